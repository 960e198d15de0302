"""Gives a region of a picture other tones, with borders in which old and new colours mix right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from jobs.providers.colour import Floats, shades
from jobs.providers.offline_regions import Bytes, Mask, dilated, eroded, table_index

_BAND_ROWS = 256
_SURE, _SURELY_NOT = 0.9, 0.1
# Closer than this, in steps of 0-255, two colours do not tell how much of each is in a mixture.
_LEAST_CONTRAST = 24.0


@dataclass(frozen=True, slots=True)
class Painted:
    """What was recoloured: its share of the picture, and what led to it."""

    share: float
    found_by: Literal["face", "mask"]


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a region's luma follows the colour's own: a share of the way, and at most so far."""

    lighter: float
    most_lighter: float
    darker: float
    most_darker: float


@dataclass(frozen=True, slots=True)
class Region:
    """Where a small picture is to be painted, which colours are of it, and where never to go.

    What was found may be so many pixels too small or too large.
    """

    found: Mask
    likelihood: Bytes
    never: Mask
    grown_pixels: int = 2


def region_tones(color: tuple[int, int, int], region_luma: float, reach: Reach) -> Floats:
    """Row i: what luma i of the region becomes; the whole moves toward the colour's own luma."""
    wanted = float(np.array(color) @ (0.299, 0.587, 0.114)) - region_luma
    lighter = min(reach.lighter * wanted, reach.most_lighter)
    shift = lighter if wanted > 0 else max(reach.darker * wanted, -reach.most_darker)
    # Black stays and white nearly: what is darker stays darker, and shine keeps its light.
    brightest = 255 + min(0.0, shift / 2)
    luma = np.interp(np.arange(256), [0, region_luma, 255], [0, region_luma + shift, brightest])
    return np.asarray(shades(color)[np.rint(luma).astype(int)], np.float32)


def paint(picture: Image.Image, region: Region, tones: Floats) -> float:
    """Put the tones on the picture, band by band; the number of pixels painted."""
    support = dilated(region.found, region.grown_pixels) & ~region.never
    sure = eroded(region.found, region.grown_pixels)
    rows, columns = np.flatnonzero(support.any(axis=1)), np.flatnonzero(support.any(axis=0))
    scale_x = picture.width / region.found.shape[1]
    scale_y = picture.height / region.found.shape[0]
    # A border is about as wide as a pixel of the small picture, and never sharper than these.
    margin = max(3, round(1.5 * max(scale_x, scale_y)))
    left = max(0, int(columns[0] * scale_x) - margin)
    right = min(picture.width, int((columns[-1] + 2) * scale_x) + margin)
    top = max(0, int(rows[0] * scale_y) - margin)
    bottom = min(picture.height, int((rows[-1] + 2) * scale_y) + margin)
    painted, bands = 0.0, []
    for upper in range(top, bottom, _BAND_ROWS):
        lower = min(upper + _BAND_ROWS, bottom)
        # Colours beside a border are gathered from beyond the band as well.
        box = (left, max(top, upper - 2 * margin), right, min(bottom, lower + 2 * margin))
        source = (left / scale_x, box[1] / scale_y, right / scale_x, box[3] / scale_y)
        part = picture.crop(box)
        mask = region.likelihood[table_index(np.asarray(part.convert("YCbCr")))]
        mask = np.minimum(mask, _enlarged(support, part.size, source))
        mask = np.maximum(mask, _enlarged(sure, part.size, source))
        recoloured, shares = _recoloured(part, mask.astype(np.float32) / 255, tones, margin)
        inner = slice(upper - box[1], lower - box[1])
        painted += float(shares[inner].sum())
        bands.append((Image.fromarray(recoloured[inner]), (left, upper)))
    for band, corner in bands:  # pasted last, so that every band saw the picture as it was
        picture.paste(band, corner)
    return painted


def paint_mask(picture: Image.Image, mask: Image.Image, tones: Floats) -> float:
    """Put the tones where a mask of the picture's size is white; grey mixes."""
    painted = 0.0
    for top in range(0, picture.height, _BAND_ROWS):
        box = (0, top, picture.width, min(top + _BAND_ROWS, picture.height))
        part, shares = picture.crop(box), np.asarray(mask.crop(box)).astype(np.float32) / 255
        picture.paste(Image.fromarray(_mixed(part, shares, tones)), box)
        painted += float(shares.sum())
    return painted


def luma_under(picture: Image.Image, mask: Image.Image) -> float:
    """The mean luma of a picture where a mask of its size is white."""
    small = (min(picture.width, 512), min(picture.height, 512))
    weights = np.asarray(mask.resize(small, Image.Resampling.BOX)).astype(np.float64)
    luma = np.asarray(picture.resize(small, Image.Resampling.BOX).convert("L"))
    return float((luma * weights).sum() / weights.sum())


def _enlarged(
    mask: Mask, size: tuple[int, int], source: tuple[float, float, float, float]
) -> Bytes:
    whole = Image.fromarray((mask * 255).astype(np.uint8))
    enlarged: Bytes = np.asarray(whole.resize(size, Image.Resampling.BILINEAR, box=source))
    return enlarged


def _mixed(part: Image.Image, shares: Floats, tones: Floats) -> Bytes:
    pixels = np.asarray(part).astype(np.float32)
    luma = np.asarray(part.convert("L"))
    mixed = pixels + shares[..., None] * (tones[luma] - pixels)
    rounded: Bytes = np.rint(mixed).astype(np.uint8)
    return rounded


def _recoloured(
    part: Image.Image, mask: Floats, tones: Floats, margin: int
) -> tuple[Bytes, Floats]:
    """The part with its region recoloured, and how much of each pixel the region is.

    A pixel on a border is some of the region and some of what is beside it. Its share follows from
    the colours of both nearby; then only that share gets the region's new colour. Given a tone by
    its own luma instead, it would shine where the surroundings are bright.
    """
    pixels = np.asarray(part).astype(np.float32)
    inside = _mean_around((mask >= _SURE).astype(np.float32), margin // 3) > 0.999
    # One pixel more: the last in which a little of the region shines through is on the border too.
    outside = _mean_around((mask <= _SURELY_NOT).astype(np.float32), margin // 3 + 1) > 0.999
    within, near_within = _gathered(pixels, inside, margin)
    beside, near_beside = _gathered(pixels, outside, margin)
    apart = within - beside
    contrast = (apart**2).sum(axis=-1)
    border = ~inside & ~outside & near_within & near_beside & (contrast > _LEAST_CONTRAST**2)
    shares = np.where(inside, 1.0, np.where(outside, 0.0, mask)).astype(np.float32)
    along = ((pixels - beside) * apart).sum(axis=-1) / np.maximum(contrast, 1e-3)
    shares[border] = np.clip(along, 0, 1)[border]
    old = np.where(border[..., None], within, pixels)
    luma = np.clip(np.rint(old @ np.array([0.299, 0.587, 0.114], np.float32)), 0, 255)
    mixed = pixels + shares[..., None] * (tones[luma.astype(np.uint8)] - old)
    return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8), shares


def _gathered(pixels: Floats, where: Mask, radius: int) -> tuple[Floats, Mask]:
    """The mean colour of the chosen pixels around each pixel, and whether there are any."""
    weights = where.astype(np.float32)
    count = _mean_around(weights, radius)
    sums = [_mean_around(pixels[..., channel] * weights, radius) for channel in range(3)]
    means: Floats = np.stack(sums, axis=-1) / np.maximum(count, 1e-6)[..., None]
    return means, count > 1e-4


def _mean_around(values: Floats, radius: int) -> Floats:
    """The mean over a square around each pixel, its border repeated outward."""
    if radius == 0:
        return values
    width = 2 * radius + 1
    for axis in (0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (radius + 1, radius)
        sums = np.cumsum(np.pad(values, padding, "edge"), axis=axis, dtype=np.float64)
        after, before = [slice(None)] * 2, [slice(None)] * 2
        after[axis], before[axis] = slice(width, None), slice(None, -width)
        values = ((sums[tuple(after)] - sums[tuple(before)]) / width).astype(np.float32)
    return values
