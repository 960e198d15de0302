"""Draws stubble or a goatee on a face: hairs in the colour of the head's, placed by the eyes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from jobs.providers.colour import Floats
from jobs.providers.offline_faces import Face, Person, find_person
from jobs.providers.offline_hair import hair_color
from jobs.providers.offline_paint import Painted
from jobs.providers.offline_regions import NotFound, small_pixels, surface_of

# Places in a face below the middle between the eyes, in distances between them.
_UNDER_NOSE, _MOUTH, _CHIN = 0.84, 1.14, 1.55
_HALF_MOUTH, _HALF_LIPS = 0.44, 0.16
# What of a face lies below the eyes: an ellipse that its chin and jaws follow.
_OVAL_MIDDLE, _OVAL_WIDTH, _OVAL_HEIGHT = 0.35, 1.06, 1.5
_BESIDE, _FROM, _TO = 1.25, 0.3, 2.1
# Distance of the eyes, in pixels, at which hairs are drawn; larger faces get them enlarged.
_WORKING_DISTANCE = 260.0
_DARK = np.array([60.0, 46.0, 38.0])
_SKIN_SPREADS = 3.2
# Of the place for hairs, so much has to be skin: a beard that is there is not drawn over.
_LEAST_BARE = 0.4


@dataclass(frozen=True, slots=True)
class LowerFace:
    """A small copy of the part around mouth and chin, and where in the face each pixel is.

    `across` and `down` count distances between the eyes, from the middle between them.
    """

    box: tuple[int, int, int, int]
    part: Image.Image
    across: Floats
    down: Floats


def draw_beard(picture: Image.Image, style: str) -> Painted:
    """Put `Stubble` or a `Goatee` on an RGB picture, in place; `NotFound` without a bare face."""
    person = find_person(picture)
    lower = _lower_face(picture, person)
    pixels = np.asarray(lower.part).astype(np.float64)
    skin = _skin(picture, person.face, lower)
    where = _goatee(lower) if style == "Goatee" else _jaws(lower)
    if (where * skin).sum() < _LEAST_BARE * where.sum():
        raise NotFound("bare chin")
    if style == "Goatee":
        streaks = _streaks(lower)
        shares, brightness = _combed(where * skin, streaks), 0.6 + 0.8 * streaks
    else:
        shares, brightness = _short(where * skin, lower), np.ones_like(where)
    hair = _hair(picture, person) * brightness[..., None] * _light(pixels, skin)[..., None]
    size = (lower.box[2] - lower.box[0], lower.box[3] - lower.box[1])
    drawn = _picture(hair).resize(size, Image.Resampling.BICUBIC)
    mask = _picture(255 * shares).resize(size, Image.Resampling.BICUBIC)
    picture.paste(drawn, lower.box, mask)
    covered = float(shares.mean()) * size[0] * size[1]
    return Painted(covered / (picture.width * picture.height), "face")


def _lower_face(picture: Image.Image, person: Person) -> LowerFace:
    left, right = sorted(_eyes(person))
    between = np.array(right) - left
    distance = float(np.hypot(*between))
    along, middle = between / distance, (np.array(right) + left) / 2
    below = np.array([-along[1], along[0]])
    corners = [
        middle + distance * (a * along + b * below)
        for a in (-_BESIDE, _BESIDE)
        for b in (_FROM, _TO)
    ]
    box = (
        max(0, round(min(corner[0] for corner in corners))),
        max(0, round(min(corner[1] for corner in corners))),
        min(picture.width, round(max(corner[0] for corner in corners))),
        min(picture.height, round(max(corner[1] for corner in corners))),
    )
    if box[0] >= box[2] or box[1] >= box[3]:
        raise NotFound("face")
    scale = min(1.0, _WORKING_DISTANCE / distance)
    size = (max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale)))
    part = picture.resize(size, Image.Resampling.BOX, box=box)
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    x = box[0] + (columns + 0.5) / scale - middle[0]
    y = box[1] + (rows + 0.5) / scale - middle[1]
    across, down = x * along[0] + y * along[1], x * below[0] + y * below[1]
    return LowerFace(box, part, across / distance, down / distance)


def _eyes(person: Person) -> list[tuple[float, float]]:
    """The middles of the eyes in the whole picture."""
    left, top, right, bottom = person.eyes_box
    height, width = person.eyes_pixels.shape[:2]
    scale_x, scale_y = (right - left) / width, (bottom - top) / height
    return [(left + eye.x * scale_x, top + eye.y * scale_y) for eye in person.eyes]


def _skin(picture: Image.Image, face: Face, lower: LowerFace) -> Floats:
    """How much skin is at each place, borders soft."""
    surface = surface_of(small_pixels(picture)[face.skin], 2).with_shade()
    away = surface.distance(np.asarray(lower.part.convert("YCbCr")).astype(np.float64))
    mask = _picture(255.0 * (away < _SKIN_SPREADS))
    radius = max(1.0, lower.part.width / 90)
    return (
        np.asarray(
            mask.filter(ImageFilter.MedianFilter(3)).filter(ImageFilter.GaussianBlur(radius))
        ).astype(np.float64)
        / 255
    )


def _hair(picture: Image.Image, person: Person) -> Floats:
    """The colour of the beard: a little darker than the head's hair."""
    try:
        return np.asarray(hair_color(picture, person.face)) * 0.8
    except NotFound:
        return _DARK


def _light(pixels: Floats, skin: Floats) -> Floats:
    """How much light falls on each place, against the mean."""
    luma = _picture(pixels @ np.array([0.299, 0.587, 0.114]))
    soft = np.asarray(luma.filter(ImageFilter.GaussianBlur(luma.width / 16))).astype(np.float64)
    mean = float((soft * skin).sum() / max(float(skin.sum()), 1.0)) or 1.0
    return np.clip(soft / max(mean, 1.0), 0.6, 1.25)


def _step(values: Floats, start: float, end: float) -> Floats:
    """From 0 at the start to 1 at the end, without corners."""
    along = np.clip((values - start) / (end - start), 0, 1)
    smooth: Floats = along * along * (3 - 2 * along)
    return smooth


def _oval(lower: LowerFace, across: float, down: float, width: float, height: float) -> Floats:
    """Below 1 within an ellipse, above outside."""
    away: Floats = np.hypot((lower.across - across) / width, (lower.down - down) / height)
    return away


def _lips(lower: LowerFace) -> Floats:
    return 1 - _step(_oval(lower, 0, _MOUTH, _HALF_MOUTH, _HALF_LIPS), 0.88, 1.12)


def _jaws(lower: LowerFace) -> Floats:
    """Upper lip, cheeks below a line from ear to mouth, jaws and chin."""
    aside = np.abs(lower.across)
    moustache = _UNDER_NOSE + 0.3 * (aside / _HALF_MOUTH) ** 2
    cheeks = 1.12 - 0.75 * np.clip((aside - _HALF_MOUTH) / 0.55, 0, 1) ** 1.4
    line = np.where(aside < _HALF_MOUTH, moustache, cheeks)
    oval = _oval(lower, 0, _OVAL_MIDDLE, _OVAL_WIDTH, _OVAL_HEIGHT)
    inside = 1 - _step(oval, 0.88, 1.04)
    return _step(lower.down - line, -0.04, 0.14) * inside * (1 - _lips(lower))


def _goatee(lower: LowerFace) -> Floats:
    """A moustache, joined around the mouth with a beard on the chin."""
    around = 1 - _step(_oval(lower, 0, _MOUTH + 0.1, 0.62, 0.42), 0.84, 1.02)
    chin = 1 - _step(_oval(lower, 0, _CHIN, 0.44, 0.36), 0.8, 1.03)
    below_nose = _step(lower.down - _UNDER_NOSE - 0.1 * (lower.across / 0.3) ** 2, -0.03, 0.06)
    return np.maximum(around * below_nose, chin) * (1 - _lips(lower))


def _table(number: int) -> Floats:
    return np.random.default_rng(number).random((512, 512))


def _streaks(lower: LowerFace) -> Floats:
    """Hairs side by side that grow down and outward: how light each is, 0 to 1."""
    spread = lower.across / (0.8 + 0.35 * np.clip(lower.down, 0, 2))
    fine = 110 * spread + 3 * np.sin(9 * lower.down)
    values: Floats = np.zeros_like(fine)
    for weight, hairs, lengths, number in ((0.6, 1.0, 5.0, 1), (0.4, 0.4, 9.0, 2)):
        column = np.floor(fine * hairs).astype(int) % 512
        place = lower.down * lengths + _table(number)[column, 0] * 7
        row = np.floor(place).astype(int)
        part = place - row
        table = _table(number + 10)
        values += weight * (
            table[column, row % 512] * (1 - part) + table[column, (row + 1) % 512] * part
        )
    return values


def _combed(shares: Floats, streaks: Floats) -> Floats:
    """Hairs that lie on one another, thin at the edge."""
    thick = _step(shares + 0.5 * (streaks - 0.5), 0.3, 0.7)
    return np.clip(thick * (0.72 + 0.28 * streaks), 0, 1)


def _short(shares: Floats, lower: LowerFace) -> Floats:
    """Dots of hair on a shadow."""
    column = np.floor(lower.across * 95).astype(int) % 512
    row = np.floor(lower.down * 70 + 0.5 * (column % 2)).astype(int) % 512
    dots = _step(_table(5)[column, row], 0.45, 0.95)
    soft = np.asarray(_picture(255 * dots).filter(ImageFilter.GaussianBlur(0.6))) / 255.0
    return shares * (0.2 + 0.5 * soft)


def _picture(values: Floats) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(values, 0, 255)).astype(np.uint8))
