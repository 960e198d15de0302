"""Regions of a picture: what looks like a surface, and what hangs together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from jobs.providers.colour import Floats

Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

SMALL_SIDE = 320
# How far apart in luma and chroma two colours of one surface may be, before any measurement.
LEAST_SPREAD = np.array([14.0, 4.5, 4.5])


class NotFound(Exception):
    """A picture in which the wanted region cannot be made out; `what` names the region."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True)
class Surface:
    """The colours of one kind of thing: centres in YCbCr, each with its spread."""

    centers: Floats
    spreads: Floats

    def distance(self, colors: Floats) -> Floats:
        """How many spreads each colour is away from the nearest centre."""
        nearest = np.full(colors.shape[:-1], np.inf)
        for center, spread in zip(self.centers, self.spreads, strict=True):
            away = (((colors - center) / spread) ** 2).sum(axis=-1)
            np.minimum(nearest, away, out=nearest)
        return np.sqrt(nearest)

    def with_shade(self) -> Surface:
        """With the same colours where less light falls, as under a chin."""
        neutral = np.array([0.0, 128.0, 128.0])
        shares = (1.0, 0.87, 0.75)
        centers = [neutral + (self.centers - neutral) * share for share in shares]
        return Surface(np.concatenate(centers), np.concatenate([self.spreads] * len(shares)))

    def apart_from(self, hair: Surface) -> Surface:
        """Without the colours of hair: hair that reaches the border is no surrounding."""
        apart = hair.distance(self.centers) > 2.0
        return Surface(self.centers[apart], self.spreads[apart])


def small_pixels(picture: Image.Image) -> Floats:
    """A small copy of an RGB picture in YCbCr, to find regions in."""
    small = picture if max(picture.size) <= SMALL_SIDE else reduced(picture)
    return np.asarray(small.convert("YCbCr")).astype(np.float64)


def reduced(picture: Image.Image) -> Image.Image:
    scale = SMALL_SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BOX, reducing_gap=2.0)


def likelihood_table(hair: Surface, rest: list[Surface]) -> Bytes:
    """For each YCbCr colour, in steps of four: 255 where it is hair, 0 where it is not."""
    steps = np.arange(64) * 4.0 + 1.5
    colors = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    to_hair = hair.distance(colors)
    to_rest = np.full(len(colors), 3.5)  # further from hair than this is not hair in any case
    for surface in rest:
        np.minimum(to_rest, surface.distance(colors), out=to_rest)
    certainty = 1 / (1 + np.exp(np.clip(3 * (to_hair - to_rest), -30, 30)))
    # Pixels in which hair and surroundings mix stay as they are: tinted, they would shine.
    table: Bytes = np.rint(255 * np.clip(2.2 * certainty - 1.1, 0, 1)).astype(np.uint8)
    return table


def table_index(pixels: Bytes) -> npt.NDArray[np.int32]:
    steps = (pixels >> 2).astype(np.int32)
    index: npt.NDArray[np.int32] = steps[..., 0] << 12 | steps[..., 1] << 6 | steps[..., 2]
    return index


def surface_of(colors: Floats, count: int) -> Surface:
    """Up to `count` centres (k-means, started along the order of luma) and their spreads."""
    ordered = colors[np.argsort(colors[:, 0], kind="stable")]
    places = ((np.arange(count) + 0.5) / count * len(ordered)).astype(int)
    centers = ordered[places]
    for _ in range(8):
        labels = _nearest(colors, centers)
        present = [k for k in range(len(centers)) if (labels == k).any()]
        centers = np.array([colors[labels == k].mean(axis=0) for k in present])
    labels = _nearest(colors, centers)
    spreads = [_spread(colors[labels == k]) for k in range(len(centers))]
    return Surface(centers, np.array(spreads))


def _spread(colors: Floats) -> Floats:
    measured = colors.std(axis=0) if len(colors) else np.zeros(3)
    spread: Floats = np.maximum(measured, LEAST_SPREAD)
    return spread


def _nearest(colors: Floats, centers: Floats) -> npt.NDArray[np.intp]:
    away = np.stack([((colors - center) ** 2).sum(axis=-1) for center in centers], axis=-1)
    labels: npt.NDArray[np.intp] = away.argmin(axis=-1)
    return labels


def connected(allowed: Mask, seeds: Mask) -> Mask:
    """The parts of `allowed` that the seeds reach."""
    reached = seeds & allowed
    count = -1
    while count != (count := int(reached.sum())):
        for _ in range(8):
            reached = dilated(reached, 1) & allowed
    return reached


def dilated(mask: Mask, by_pixels: int) -> Mask:
    grown = mask
    for _ in range(by_pixels):
        padded: Any = np.pad(grown, 1)
        grown = grown | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return grown


def eroded(mask: Mask, by_pixels: int) -> Mask:
    return ~dilated(~mask, by_pixels)
