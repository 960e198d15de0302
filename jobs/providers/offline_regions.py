"""Finds regions of a portrait: the face, what looks like a surface, what hangs together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from jobs.providers.colour import Floats

Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

SMALL_SIDE = 320
# How far apart in luma and chroma two colours of one surface may be, before any measurement.
_LEAST_SPREAD = np.array([14.0, 4.5, 4.5])
_LARGEST_SKIN_SHARE = 0.85


class NotFound(Exception):
    """A picture in which the wanted region cannot be made out; `what` names the region."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True)
class Face:
    """Where the face is in the small picture, and which pixels are its skin."""

    skin: Mask
    center_x: float
    top: float
    width: float
    found_by: Literal["face", "position"]


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


def find_face(pixels: Floats) -> Face:
    """The skin-coloured surface that weighs most near the middle; else where faces usually are."""
    height, width = pixels.shape[:2]
    luma, blue, red = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    toned = (blue > 75) & (blue < 130) & (red > 131) & (red < 178) & (luma > 40)
    rows, columns = np.mgrid[0:height, 0:width]
    near = np.exp(-(((columns / width - 0.5) / 0.2) ** 2 + ((rows / height - 0.45) / 0.2) ** 2) / 2)
    face = _face_in(pixels, toned, near) if toned.sum() > 0.01 * toned.size else None
    side = min(height, width)
    return face or Face(
        np.zeros_like(toned), width / 2, height * 0.27, max(1, side * 0.4), "position"
    )


def _face_in(pixels: Floats, toned: Mask, near: Floats) -> Face | None:
    """The face whose skin is the commonest near the middle, if it is one."""
    core = toned & (near > 0.1) & (_commonest_skin(pixels, near * toned) < 2.0)
    if core.sum() < 0.002 * core.size:
        return None
    skin = toned & (surface_of(pixels[core], 1).distance(pixels) < 2.5)
    return _measured_face(connected(skin, core))


def _commonest_skin(pixels: Floats, weights: Floats) -> Floats:
    """How far each pixel is from the colour that weighs most, in usual spreads of a surface."""
    steps = (pixels / (20, 5, 5)).astype(int)
    index = steps[..., 0] << 12 | steps[..., 1] << 6 | steps[..., 2]
    commonest = int(np.bincount(index.ravel(), weights.ravel()).argmax())
    center = pixels[index == commonest].mean(axis=0)
    distance: Floats = np.zeros(len(pixels))
    for _ in range(10):  # mean shift: climbs from the fullest bin to the peak beside it
        distance = np.sqrt((((pixels - center) / _LEAST_SPREAD) ** 2).sum(axis=-1))
        window = weights * (distance < 2.0)
        center = (pixels * window[..., None]).sum(axis=(0, 1)) / window.sum()
    return distance


def _measured_face(skin: Mask) -> Face | None:
    if skin.sum() > _LARGEST_SKIN_SHARE * skin.size:
        return None
    widths = skin.sum(axis=1)
    wide_rows = np.flatnonzero(widths > 0.35 * widths.max())
    if wide_rows.size < 4:
        return None
    top = int(wide_rows[0])
    upper = skin[top : top + max(4, int(1.3 * widths.max()))]
    columns = np.flatnonzero(upper.any(axis=0))
    width = float(np.percentile(upper.sum(axis=1), 85))
    first = int(np.flatnonzero(widths > 0)[0])
    return Face(
        skin, float(np.median(columns)), float(max(first, top - width * 0.3)), width, "face"
    )


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
    spread: Floats = np.maximum(measured, _LEAST_SPREAD)
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
