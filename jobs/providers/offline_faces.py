"""Finds a person: a face is skin that hangs together and has a pair of eyes in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from jobs.providers.colour import Floats
from jobs.providers.offline_regions import (
    LEAST_SPREAD,
    Mask,
    NotFound,
    connected,
    eroded,
    reduced,
    small_pixels,
    surface_of,
)

_LARGEST_SKIN_SHARE = 0.85
# Where faces are looked for, one after the other: across, down, and how far around, in shares.
_PLACES = (
    (0.5, 0.45, 0.2),
    (0.5, 0.35, 0.12),
    (0.28, 0.45, 0.12),
    (0.72, 0.45, 0.12),
    (0.5, 0.5, 0.6),
)
# Where eyes are: how far below the top of a face, and how large, in widths of the face.
_HIGHEST, _LOWEST = 0.0, 0.95
_SMALLEST_AREA, _LARGEST_AREA = 0.0015, 0.06
# The white of an eye: nearly without colour, and lighter than any iris.
_WHITE_CHROMA, _LEAST_WHITE_LUMA, _IRIS_BELOW_WHITE = 16.0, 110.0, 35.0
_LEAST_WHITE_SHARE = 0.12
_MOST_PARTS = 24
# Two eyes of one face: how far apart, how far off its middle and off level, in widths of the face.
_NEAREST, _FURTHEST, _OFF_MIDDLE, _OFF_LEVEL = 0.33, 0.65, 0.14, 0.08
_SMALLEST_IRIS = 0.003
# A face is skin nearly all over, and most of what is beside and between its eyes.
_LEAST_OF_HULL, _LEAST_AROUND_EYES = 0.7, 0.3
_MOST_UNLIKE = 4.0


@dataclass(frozen=True, slots=True)
class Face:
    """Where the face is in the small picture, and which pixels are its skin."""

    skin: Mask
    center_x: float
    top: float
    width: float


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye: its white, its iris with the pupil, and where its middle is."""

    white: Mask
    iris: Mask
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Person:
    """A face that has eyes. They lie in a small copy of the picture's part within `eyes_box`."""

    face: Face
    eyes: tuple[Eye, Eye]
    eyes_box: tuple[int, int, int, int]
    eyes_pixels: Floats
    eyes_skin: Mask


def find_person(picture: Image.Image) -> Person:
    """The person of an RGB picture, the one nearest its middle; `NotFound` when there is none."""
    pixels = small_pixels(picture)
    seen: list[Face] = []
    for place in _PLACES:
        face = find_face(pixels, place)
        if face is None or any(_same(face, other) for other in seen):
            continue
        seen.append(face)
        if (person := _with_eyes(picture, face)) is not None:
            return person
    raise NotFound("face")


def _same(one: Face, other: Face) -> bool:
    both = int((one.skin & other.skin).sum())
    return both > 0.9 * max(int(one.skin.sum()), int(other.skin.sum()))


def find_face(pixels: Floats, place: tuple[float, float, float] = _PLACES[0]) -> Face | None:
    """The skin-coloured surface that weighs most near a place, if it has the shape of a face."""
    height, width = pixels.shape[:2]
    luma, blue, red = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    toned = (blue > 75) & (blue < 130) & (red > 131) & (red < 178) & (luma > 40)
    if toned.sum() <= 0.005 * toned.size:
        return None
    rows, columns = np.mgrid[0:height, 0:width]
    x, y, around = place
    away = ((columns / width - x) / around) ** 2 + ((rows / height - y) / around) ** 2
    near = np.exp(-away / 2)
    return _face_in(pixels, toned, near) if (toned & (near > 0.1)).any() else None


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
        distance = np.sqrt((((pixels - center) / LEAST_SPREAD) ** 2).sum(axis=-1))
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
    return Face(skin, float(np.median(columns)), float(max(first, top - width * 0.3)), width)


def _with_eyes(picture: Image.Image, face: Face) -> Person | None:
    box = _around_eyes(picture, face, face.skin.shape)
    part = picture.crop(box)
    pixels = small_pixels(part)
    skin = _skin_in(face.skin, part, picture, box)
    if skin.mean() < _LEAST_AROUND_EYES or skin.sum() < _LEAST_OF_HULL * _hull(skin).sum():
        return None
    face_width = pixels.shape[1] / 1.3
    eyes = _pair(list(_eyes(pixels, skin, face_width)), pixels.shape[1] / 2, face_width)
    return Person(face, eyes, box, pixels, skin) if eyes else None


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


def _eyes(pixels: Floats, skin: Mask, face_width: float) -> Iterator[Eye]:
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


def _eye_in(part: Mask, white: Mask, luma: Floats) -> Eye | None:
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
    return Eye(white & ~disc, dark & disc, x, y)


def _hull(skin: Mask) -> Mask:
    """Between the outermost skin of each row, and of each column."""
    across = np.maximum.accumulate(skin, axis=1) & np.maximum.accumulate(skin[:, ::-1], 1)[:, ::-1]
    down = np.maximum.accumulate(skin, axis=0) & np.maximum.accumulate(skin[::-1], 0)[::-1]
    hull: Mask = across & down
    return hull


def _pair(eyes: list[Eye], middle: float, face_width: float) -> tuple[Eye, Eye] | None:
    """The two that are level, alike and on both sides of the middle; those with most white."""
    best, most_white = None, 0
    for index, one in enumerate(eyes):
        for other in eyes[index + 1 :]:
            white = sorted((int(one.white.sum()), int(other.white.sum())))
            size = sorted((int(one.iris.sum()), int(other.iris.sum())))
            apart = abs(one.x - other.x) / face_width
            fits = (
                size[0] > _SMALLEST_IRIS * face_width**2
                and _NEAREST < apart < _FURTHEST
                and abs(one.y - other.y) < _OFF_LEVEL * face_width
                and abs((one.x + other.x) / 2 - middle) < _OFF_MIDDLE * face_width
                and white[1] <= _MOST_UNLIKE * white[0]
                and size[1] <= _MOST_UNLIKE * size[0]
            )
            if fits and white[0] > most_white:
                best, most_white = (one, other), white[0]
    return best
