"""Finds the hair in a portrait by colour and place, and gives it another colour."""

from __future__ import annotations

import numpy as np
from PIL import Image

from jobs.providers.colour import Floats
from jobs.providers.offline_faces import Face, find_person
from jobs.providers.offline_paint import Painted, Reach, Region, paint, region_tones
from jobs.providers.offline_regions import (
    Bytes,
    Mask,
    NotFound,
    Surface,
    connected,
    dilated,
    eroded,
    likelihood_table,
    small_pixels,
    surface_of,
    table_index,
)

# So many spreads away from a surface a colour may still be of it.
_ALIKE = 2.5
# How much hair a head has, in squares of the width of its face.
_SMALLEST_HAIR, _LARGEST_HAIR = 0.05, 4.0
# From this share of a picture's width on, a face is so close that hair can be all around it.
_CLOSE = 0.6
# Dye darkens hair nearly at will and lightens it only so far.
HAIR_REACH = Reach(lighter=0.5, most_lighter=60.0, darker=0.8, most_darker=120.0)


def recolour_hair(picture: Image.Image, color: tuple[int, int, int]) -> Painted:
    """Give the hair of an RGB picture, in place, the colour's hue; its light and dark remain."""
    face = find_person(picture).face
    pixels = small_pixels(picture)
    found, likelihood = _find_hair(pixels, face)
    tones = region_tones(color, float(pixels[..., 0][found].mean()), HAIR_REACH)
    painted = paint(picture, Region(found, likelihood, never=eroded(face.skin, 1)), tones)
    return Painted(painted / (picture.width * picture.height), "face")


def hair_color(picture: Image.Image, face: Face) -> tuple[int, int, int]:
    """The usual colour of a person's hair; `NotFound` without any."""
    found, _ = _find_hair(small_pixels(picture), face)
    small = picture.resize((found.shape[1], found.shape[0]), Image.Resampling.BOX)
    red, green, blue = np.median(np.asarray(small)[found], axis=0)
    return int(red), int(green), int(blue)


def _find_hair(pixels: Floats, face: Face) -> tuple[Mask, Bytes]:
    """Where the hair is in a small picture, and how likely each colour is of it."""
    seeds, hair, rest = _hair_colors(pixels, face)
    likelihood = likelihood_table(hair, rest)
    found = _region(likelihood[table_index(pixels.astype(np.uint8))] > 0, seeds, face)
    if not _SMALLEST_HAIR < found.sum() / face.width**2 < _LARGEST_HAIR:
        raise NotFound("hair")
    return found, likelihood


def _hair_colors(pixels: Floats, face: Face) -> tuple[Mask, Surface, list[Surface]]:
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
    border = pixels[sides | (rows < edge)]
    around = _surroundings(surface_of(border, 4), border, pixels[crown])
    others = [around, surface_of(pixels[rows >= height - edge], 3)]  # the second: mostly clothes
    skin = [surface_of(pixels[face.skin], 1).with_shade()]
    unlike = ring.copy()
    for surface in (around, *skin):
        unlike &= surface.distance(pixels) > _ALIKE
    seeds = unlike
    if (unlike & crown).sum() <= 0.15 * crown.sum():
        # Above the face is what is all around: hair of a close face, or the wall behind a bald one.
        is_wall = bool((around.distance(surface_of(pixels[crown], 1).centers) < 1).any())
        if is_wall and face.width < _CLOSE * width:
            raise NotFound("hair")
        seeds = crown
    hair = surface_of(pixels[seeds], 3)
    rest = [surface.apart_from(hair) for surface in others]
    return seeds, hair, [*skin, *(surface for surface in rest if len(surface.centers))]


def _surroundings(around: Surface, border: Floats, crown: Floats) -> Surface:
    """Without the colours of what only stands at the border, when the crown is full of them.

    A lamp as dark as the hair would otherwise make the hair a part of the room.
    """
    kept = []
    for number in range(len(around.centers)):
        one = Surface(around.centers[number : number + 1], around.spreads[number : number + 1])
        fills_crown = float((one.distance(crown) < _ALIKE).mean()) > 0.5
        kept.append(not fills_crown or float((one.distance(border) < _ALIKE).mean()) > 0.2)
    return Surface(around.centers[kept], around.spreads[kept])


def _region(likely: Mask, seeds: Mask, face: Face) -> Mask:
    """The likely pixels that hang together with the seeds, near the head; gaps closed."""
    height, width = likely.shape
    rows, columns = np.mgrid[0:height, 0:width]
    near = (np.abs(columns - face.center_x) < 1.4 * face.width) & (
        (rows > face.top - 0.9 * face.width) & (rows < face.top + 3.2 * face.width)
    )
    found = connected(likely & near, seeds & likely)
    closed = eroded(dilated(found, 2), 2) & ~face.skin
    return closed if closed.any() else seeds
