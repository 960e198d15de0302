"""Finds the irises in a face, dark discs in the whites of its eyes, and recolours them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from jobs.providers.colour import Floats
from jobs.providers.offline_paint import Painted, Reach, Region, paint, region_tones
from jobs.providers.offline_regions import (
    Face,
    Mask,
    NotFound,
    connected,
    dilated,
    eroded,
    find_face,
    likelihood_table,
    reduced,
    small_pixels,
    surface_of,
)

# Lenses that colour an iris cannot make it much lighter.
EYES_REACH = Reach(lighter=0.6, most_lighter=50.0, darker=0.8, most_darker=80.0)
# Where eyes are: how far below the top of a face, and how large, in widths of the face.
_HIGHEST, _LOWEST = 0.0, 0.95
_SMALLEST_AREA, _LARGEST_AREA = 0.0015, 0.06
# The white of an eye: nearly without colour, and lighter than any iris.
_WHITE_CHROMA, _LEAST_WHITE_LUMA, _IRIS_BELOW_WHITE = 16.0, 110.0, 35.0
_LEAST_WHITE_SHARE = 0.12
_MOST_PARTS = 12


@dataclass(frozen=True, slots=True)
class _Eye:
    """One eye: its white, its iris with the pupil, and where its middle is."""

    white: Mask
    iris: Mask
    x: float
    y: float


def recolour_eyes(picture: Image.Image, color: tuple[int, int, int]) -> Painted:
    """Give the irises of an RGB picture, in place, the colour's hue; pupils stay dark."""
    pixels = small_pixels(picture)
    face = find_face(pixels)
    if face.found_by != "face":
        raise NotFound("eye")
    box = _around_eyes(picture, face, pixels.shape)
    part = picture.crop(box)
    near = small_pixels(part)
    skin = _skin_in(face.skin, part, picture, box)
    eyes = _pair(list(_eyes(near, skin, face.width * near.shape[1] / (1.3 * face.width))))
    if not eyes:
        raise NotFound("eye")
    iris = np.any([eye.iris for eye in eyes], axis=0)
    white = np.any([eye.white for eye in eyes], axis=0)
    colored = iris & (near[..., 0] > np.percentile(near[..., 0][iris], 25))
    rest = [surface_of(near[white], 1), surface_of(near[skin & ~dilated(iris | white, 2)], 2)]
    likelihood = likelihood_table(surface_of(near[iris], 3), rest)
    tones = region_tones(color, float(near[..., 0][colored].mean()), EYES_REACH)
    painted = paint(
        part, Region(iris, likelihood, never=np.zeros_like(iris), grown_pixels=1), tones
    )
    picture.paste(part, box)
    return Painted(painted / (picture.width * picture.height), "face")


def _around_eyes(
    picture: Image.Image, face: Face, shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    scale = picture.width / shape[1]
    left, right = face.center_x - 0.65 * face.width, face.center_x + 0.65 * face.width
    top, bottom = face.top + _HIGHEST * face.width, face.top + _LOWEST * face.width
    return (
        max(0, round(left * scale)),
        max(0, round(top * scale)),
        min(picture.width, max(round(right * scale), round(left * scale) + 1)),
        min(picture.height, max(round(bottom * scale), round(top * scale) + 1)),
    )


def _skin_in(
    skin: Mask, part: Image.Image, picture: Image.Image, box: tuple[int, int, int, int]
) -> Mask:
    """The face's skin as it lies in a small copy of the part."""
    scale = skin.shape[1] / picture.width
    source = (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale)
    size = reduced(part).size if max(part.size) > 320 else part.size
    mask = Image.fromarray((skin * 255).astype(np.uint8))
    return np.asarray(mask.resize(size, Image.Resampling.BILINEAR, box=source)) > 127


def _eyes(pixels: Floats, skin: Mask, face_width: float) -> Iterator[_Eye]:
    """What lies in the face, is no skin, and has a white with something darker in it."""
    if not skin.any():
        return
    closeness = surface_of(pixels[skin], 2).distance(pixels)
    within = _hull(skin)
    luma = pixels[..., 0]
    chroma = np.hypot(pixels[..., 1] - 128, pixels[..., 2] - 128)
    white = within & (chroma < _WHITE_CHROMA) & (luma > _LEAST_WHITE_LUMA) & (closeness > 2.0)
    left_over = within & (closeness > 2.0)
    for _ in range(_MOST_PARTS):
        seeds = np.argwhere(left_over & white)
        if not len(seeds):
            return
        seed = np.zeros_like(white)
        seed[tuple(seeds[len(seeds) // 2])] = True
        part = connected(left_over, seed)
        left_over &= ~part
        share = float(part.sum()) / face_width**2
        if not _SMALLEST_AREA < share < _LARGEST_AREA:
            continue
        if (eye := _eye_in(part, part & white, luma)) is not None:
            yield eye


def _eye_in(part: Mask, white: Mask, luma: Floats) -> _Eye | None:
    if white.sum() < _LEAST_WHITE_SHARE * part.sum():
        return None
    white_luma = float(np.percentile(luma[white], 75))
    dark = eroded(part, 1) & (luma < white_luma - _IRIS_BELOW_WHITE) & ~white
    if not dark.any():
        return None
    weights = np.where(dark, white_luma - luma, 0)
    rows, columns = np.mgrid[0 : luma.shape[0], 0 : luma.shape[1]]
    y = float((rows * weights).sum() / weights.sum())
    x = float((columns * weights).sum() / weights.sum())
    whites = np.flatnonzero(white.any(axis=0))
    if not whites[0] < x < whites[-1]:
        return None
    radius = float(np.sqrt(dark.sum() / np.pi)) * 1.15
    disc = np.hypot(rows - y, columns - x) <= radius
    return _Eye(white & ~disc, dark & disc, x, y)


def _hull(skin: Mask) -> Mask:
    """Between the outermost skin of each row, and of each column."""
    across = np.maximum.accumulate(skin, axis=1) & np.maximum.accumulate(skin[:, ::-1], 1)[:, ::-1]
    down = np.maximum.accumulate(skin, axis=0) & np.maximum.accumulate(skin[::-1], 0)[::-1]
    hull: Mask = across & down
    return hull


def _pair(eyes: list[_Eye]) -> list[_Eye]:
    """Two that are level and alike, else the one with the largest white."""
    best: tuple[float, list[_Eye]] = (0.0, [])
    for index, one in enumerate(eyes):
        for other in eyes[index + 1 :]:
            apart = abs(one.x - other.x)
            if apart > 2 * abs(one.y - other.y) and apart > 0:
                best = max(
                    best,
                    (float(min(one.white.sum(), other.white.sum())), [one, other]),
                    key=lambda found: found[0],
                )
    return best[1] or sorted(eyes, key=lambda eye: -int(eye.white.sum()))[:1]
