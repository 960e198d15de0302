"""Finds the hair in a portrait by colour and place, and gives it another colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from jobs.providers.colour import Floats, shades

Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

_SMALL_SIDE = 320
_BAND_ROWS = 256
# How far apart in luma and chroma two colours of one surface may be, before any measurement.
_LEAST_SPREAD = np.array([14.0, 4.5, 4.5])
_GROWN_PIXELS = 2
# Dye darkens hair nearly at will and lightens it only so far.
_LIGHTENING, _LARGEST_LIGHTENING = 0.5, 60.0
_DARKENING, _LARGEST_DARKENING = 0.8, 120.0
_LARGEST_SKIN_SHARE = 0.85


@dataclass(frozen=True, slots=True)
class HairRegion:
    """What was recoloured: its share of the picture, and whether a face led to it."""

    share: float
    found_by: Literal["face", "position"]


@dataclass(frozen=True, slots=True)
class _Face:
    """Where the face is in the small picture, and which pixels are its skin."""

    skin: Mask
    center_x: float
    top: float
    width: float
    found_by: Literal["face", "position"]


@dataclass(frozen=True, slots=True)
class _Surface:
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

    def apart_from(self, hair: _Surface) -> _Surface:
        """Without the colours of hair: hair that reaches the border is no surrounding."""
        apart = hair.distance(self.centers) > 2.0
        return _Surface(self.centers[apart], self.spreads[apart])


def recolour_hair(picture: Image.Image, color: tuple[int, int, int]) -> HairRegion:
    """Give the hair of an RGB picture, in place, the colour's hue; its light and dark remain."""
    small = picture.copy() if max(picture.size) <= _SMALL_SIDE else _reduced(picture)
    pixels = np.asarray(small.convert("YCbCr")).astype(np.float64)
    face = _find_face(pixels)
    seeds, hair, rest = _hair_colors(pixels, face)
    likelihood = _likelihood_table(hair, rest)
    region = _region(likelihood[_table_index(pixels.astype(np.uint8))] > 0, seeds, face)
    tones = _new_tones(color, float(pixels[..., 0][region].mean()))
    painted = _paint(picture, region, face.skin, likelihood, tones)
    return HairRegion(painted / (picture.width * picture.height), face.found_by)


def _reduced(picture: Image.Image) -> Image.Image:
    scale = _SMALL_SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BOX, reducing_gap=2.0)


def _find_face(pixels: Floats) -> _Face:
    """The skin-coloured surface that weighs most near the middle; else where faces usually are."""
    height, width = pixels.shape[:2]
    luma, blue, red = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    toned = (blue > 75) & (blue < 130) & (red > 131) & (red < 178) & (luma > 40)
    rows, columns = np.mgrid[0:height, 0:width]
    near = np.exp(-(((columns / width - 0.5) / 0.2) ** 2 + ((rows / height - 0.45) / 0.2) ** 2) / 2)
    face = _face_in(pixels, toned, near) if toned.sum() > 0.01 * toned.size else None
    side = min(height, width)
    return face or _Face(
        np.zeros_like(toned), width / 2, height * 0.27, max(1, side * 0.4), "position"
    )


def _face_in(pixels: Floats, toned: Mask, near: Floats) -> _Face | None:
    """The face whose skin is the commonest near the middle, if it is one."""
    core = toned & (near > 0.1) & (_commonest_skin(pixels, near * toned) < 2.0)
    if core.sum() < 0.002 * core.size:
        return None
    skin = toned & (_surface_of(pixels[core], 1).distance(pixels) < 2.5)
    return _measured_face(_connected(skin, core))


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


def _measured_face(skin: Mask) -> _Face | None:
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
    return _Face(
        skin, float(np.median(columns)), float(max(first, top - width * 0.3)), width, "face"
    )


def _hair_colors(pixels: Floats, face: _Face) -> tuple[Mask, _Surface, list[_Surface]]:
    """Where hair surely is, its colours, and those of skin and surroundings."""
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    aside = np.abs(columns - face.center_x) / face.width
    above = (face.top - rows) / face.width
    crown = (aside < 0.4) & (above > 0.02) & (above < 0.35)
    temples = (aside > 0.52) & (aside < 0.72) & (above < 0.1) & (above > -0.8)
    crown, ring = crown & ~face.skin, (crown | temples) & ~face.skin
    if not crown.any():  # the face reaches the top of the picture, or the picture is tiny
        crown = ring = rows < max(1, height // 10)
    edge = max(1, round(0.03 * width))
    sides = ((columns < edge) | (columns >= width - edge)) & (rows < 0.6 * height)
    around = _surface_of(pixels[sides | (rows < edge)], 4)
    others = [around, _surface_of(pixels[rows >= height - edge], 3)]  # the second: mostly clothes
    skin = [_surface_of(pixels[face.skin], 1)] if face.skin.any() else []
    unlike = ring.copy()
    for surface in (around, *skin):
        unlike &= surface.distance(pixels) > 2.5
    # Hair that fills the whole top of a picture is all around too: then its place decides.
    seeds = unlike if (unlike & crown).sum() > 0.15 * crown.sum() else crown
    hair = _surface_of(pixels[seeds], 3)
    rest = [surface.apart_from(hair) for surface in others]
    return seeds, hair, [*skin, *(surface for surface in rest if len(surface.centers))]


def _region(likely: Mask, seeds: Mask, face: _Face) -> Mask:
    """The likely pixels that hang together with the seeds, near the head; gaps closed."""
    height, width = likely.shape
    rows, columns = np.mgrid[0:height, 0:width]
    near = (np.abs(columns - face.center_x) < 1.4 * face.width) & (
        (rows > face.top - 0.9 * face.width) & (rows < face.top + 3.2 * face.width)
    )
    found = _connected(likely & near, seeds & likely)
    closed = _eroded(_dilated(found, 2), 2) & ~face.skin
    return closed if closed.any() else seeds


def _new_tones(color: tuple[int, int, int], hair_luma: float) -> Bytes:
    """Row i: what hair of luma i becomes; the whole moves toward the colour's own luma."""
    wanted = float(np.array(color) @ (0.299, 0.587, 0.114)) - hair_luma
    lightened = min(_LIGHTENING * wanted, _LARGEST_LIGHTENING)
    shift = lightened if wanted > 0 else max(_DARKENING * wanted, -_LARGEST_DARKENING)
    # Black stays and white nearly: strands keep their order and shine keeps its light.
    brightest = 255 + min(0.0, shift / 2)
    luma = np.interp(np.arange(256), [0, hair_luma, 255], [0, hair_luma + shift, brightest])
    tones: Bytes = np.rint(shades(color))[np.rint(luma).astype(int)].astype(np.uint8)
    return tones


def _paint(
    picture: Image.Image, region: Mask, skin: Mask, likelihood: Bytes, tones: Bytes
) -> float:
    """Put the new tones on the picture, band by band; the number of pixels painted."""
    support = _dilated(region, _GROWN_PIXELS) & ~_eroded(skin, 1)
    sure = _eroded(region, _GROWN_PIXELS)
    scale_x, scale_y = picture.width / region.shape[1], picture.height / region.shape[0]
    rows, columns = np.flatnonzero(support.any(axis=1)), np.flatnonzero(support.any(axis=0))
    left, right = int(columns[0] * scale_x), min(picture.width, int((columns[-1] + 2) * scale_x))
    bottom = min(picture.height, int((rows[-1] + 2) * scale_y))
    painted = 0.0
    for top in range(int(rows[0] * scale_y), bottom, _BAND_ROWS):
        box = (left, top, right, min(top + _BAND_ROWS, bottom))
        source = (left / scale_x, top / scale_y, right / scale_x, box[3] / scale_y)
        band = np.asarray(picture.crop(box).convert("YCbCr"))
        mask = likelihood[_table_index(band)]
        mask = np.minimum(mask, _enlarged(support, box, source))
        mask = np.maximum(mask, _enlarged(sure, box, source))
        painted += float(mask.sum(dtype=np.int64)) / 255
        picture.paste(Image.fromarray(tones[band[..., 0]]), box, Image.fromarray(mask))
    return painted


def _enlarged(
    mask: Mask, box: tuple[int, int, int, int], source: tuple[float, float, float, float]
) -> Bytes:
    size = (box[2] - box[0], box[3] - box[1])
    whole = Image.fromarray((mask * 255).astype(np.uint8))
    enlarged: Bytes = np.asarray(whole.resize(size, Image.Resampling.BILINEAR, box=source))
    return enlarged


def _likelihood_table(hair: _Surface, rest: list[_Surface]) -> Bytes:
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


def _table_index(pixels: Bytes) -> npt.NDArray[np.int32]:
    steps = (pixels >> 2).astype(np.int32)
    index: npt.NDArray[np.int32] = steps[..., 0] << 12 | steps[..., 1] << 6 | steps[..., 2]
    return index


def _surface_of(colors: Floats, count: int) -> _Surface:
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
    return _Surface(centers, np.array(spreads))


def _spread(colors: Floats) -> Floats:
    measured = colors.std(axis=0) if len(colors) else np.zeros(3)
    spread: Floats = np.maximum(measured, _LEAST_SPREAD)
    return spread


def _nearest(colors: Floats, centers: Floats) -> npt.NDArray[np.intp]:
    away = np.stack([((colors - center) ** 2).sum(axis=-1) for center in centers], axis=-1)
    labels: npt.NDArray[np.intp] = away.argmin(axis=-1)
    return labels


def _connected(allowed: Mask, seeds: Mask) -> Mask:
    """The parts of `allowed` that the seeds reach."""
    reached = seeds & allowed
    count = -1
    while count != (count := int(reached.sum())):
        for _ in range(8):
            reached = _dilated(reached, 1) & allowed
    return reached


def _dilated(mask: Mask, by_pixels: int) -> Mask:
    grown = mask
    for _ in range(by_pixels):
        padded: Any = np.pad(grown, 1)
        grown = grown | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return grown


def _eroded(mask: Mask, by_pixels: int) -> Mask:
    return ~_dilated(~mask, by_pixels)
