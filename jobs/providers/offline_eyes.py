"""Recolours the irises in a face; pupils stay dark."""

from __future__ import annotations

import numpy as np
from PIL import Image

from jobs.providers.offline_faces import find_person
from jobs.providers.offline_paint import Painted, Reach, Region, paint, region_tones
from jobs.providers.offline_regions import dilated, likelihood_table, surface_of

# Lenses that colour an iris cannot make it much lighter.
EYES_REACH = Reach(lighter=0.6, most_lighter=50.0, darker=0.8, most_darker=80.0)


def recolour_eyes(picture: Image.Image, color: tuple[int, int, int]) -> Painted:
    """Give the irises of an RGB picture, in place, the colour's hue; pupils stay dark."""
    person = find_person(picture)
    near = person.eyes_pixels
    iris = np.any([eye.iris for eye in person.eyes], axis=0)
    white = np.any([eye.white for eye in person.eyes], axis=0)
    colored = iris & (near[..., 0] > np.percentile(near[..., 0][iris], 25))
    beside = person.eyes_skin & ~dilated(iris | white, 2)
    rest = [surface_of(near[white], 1)] + ([surface_of(near[beside], 2)] if beside.any() else [])
    likelihood = likelihood_table(surface_of(near[iris], 3), rest)
    tones = region_tones(color, float(near[..., 0][colored].mean()), EYES_REACH)
    part = picture.crop(person.eyes_box)
    region = Region(iris, likelihood, never=np.zeros_like(iris), grown_pixels=1)
    painted = paint(part, region, tones)
    picture.paste(part, person.eyes_box)
    return Painted(painted / (picture.width * picture.height), "face")
