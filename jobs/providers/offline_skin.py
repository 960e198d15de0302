"""Finds the skin that hangs together with a face, and gives it another tone."""

from __future__ import annotations

import numpy as np
from PIL import Image

from jobs.providers.colour import Floats
from jobs.providers.offline_faces import Face, find_person
from jobs.providers.offline_paint import Painted, Reach, Region, paint, region_tones
from jobs.providers.offline_regions import (
    Mask,
    Surface,
    likelihood_table,
    small_pixels,
    surface_of,
)

# Skin takes the whole tone that is asked for, as long as light and shade on it can still be seen.
SKIN_REACH = Reach(lighter=0.9, most_lighter=110.0, darker=0.9, most_darker=130.0)


def recolour_skin(picture: Image.Image, color: tuple[int, int, int]) -> Painted:
    """Give the skin of an RGB picture, in place, the colour's hue and most of its lightness."""
    face = find_person(picture).face
    pixels = small_pixels(picture)
    skin = surface_of(pixels[face.skin], 2)
    likelihood = likelihood_table(skin, _others(pixels, face, skin))
    tones = region_tones(color, float(pixels[..., 0][face.skin].mean()), SKIN_REACH)
    region = Region(face.skin, likelihood, never=np.zeros_like(face.skin))
    painted = paint(picture, region, tones)
    return Painted(painted / (picture.width * picture.height), "face")


def _others(pixels: Floats, face: Face, skin: Surface) -> list[Surface]:
    """The colours around the skin and within the face: background, clothes, hair, eyes, lips."""
    width, height = pixels.shape[1], pixels.shape[0]
    edge = max(1, round(0.03 * width))
    border = np.zeros_like(face.skin)
    border[:edge], border[:, :edge], border[:, -edge:], border[-edge:] = True, True, True, True
    rows, columns = np.mgrid[0:height, 0:width]
    near = (np.abs(columns - face.center_x) < 0.8 * face.width) & (
        (rows > face.top - 0.4 * face.width) & (rows < face.top + 1.6 * face.width)
    )
    others = [_unlike(pixels, border, skin), _unlike(pixels, near & ~face.skin, skin)]
    return [surface for surface in others if len(surface.centers)]


def _unlike(pixels: Floats, where: Mask, skin: Surface) -> Surface:
    """The main colours of some pixels, without those that skin has itself."""
    return (
        surface_of(pixels[where], 5).apart_from(skin)
        if where.any()
        else Surface(np.empty((0, 3)), np.empty((0, 3)))
    )
