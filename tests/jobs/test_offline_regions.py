"""The region that is recoloured is the right one: found where it is, and nothing that is like it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from jobs.providers.colour import Floats, parse_hex, to_lab
from jobs.providers.offline_eyes import recolour_eyes
from jobs.providers.offline_faces import find_face
from jobs.providers.offline_hair import recolour_hair
from jobs.providers.offline_regions import (
    Mask,
    NotFound,
    connected,
    likelihood_table,
    small_pixels,
    surface_of,
    table_index,
)
from jobs.providers.offline_skin import recolour_skin
from tests.pictures import HAIR, SKIN, Portrait, portrait

PURPLE = parse_hex("#8e44ad")
# From very light to very dark, cool and warm.
SKIN_TONES = [
    (250, 224, 205), (240, 200, 170), (224, 172, 140), (198, 144, 104), (160, 110, 78),
    (120, 78, 54), (88, 56, 40),
]  # fmt: skip
NO_SKIN = ["#3060c0", "#40a040", "#808080", "#e8e8e8", "#202020", "#8e44ad", "#d8d84a", "#e02020"]


def box(left: int, top: int, right: int, bottom: int) -> Mask:
    """A rectangle of a picture of 600 × 800, a little smaller than it is painted."""
    found = np.zeros((800, 600), bool)
    found[top + 8 : bottom - 8, left + 8 : right - 8] = True
    return found


def painted(picture: Image.Image, *places: tuple[int, int, int, int], color: object) -> Image.Image:
    """The picture with rectangles of a colour."""
    copy = picture.copy()
    for place in places:
        ImageDraw.Draw(copy).rectangle(place, fill=color)  # type: ignore[arg-type]
    return copy


def moved(before: Image.Image, after: Image.Image, where: Mask) -> float:
    """By how much a region changed: the mean ΔE."""
    was, now = (to_lab(np.asarray(picture).astype(float)) for picture in (before, after))
    difference: Floats = np.linalg.norm(now - was, axis=-1)
    return float(difference[where].mean())


@pytest.mark.parametrize("skin", SKIN_TONES)
def test_a_face_of_any_skin_is_found_where_it_is(skin: tuple[int, int, int]) -> None:
    drawn = portrait(hair=(20, 22, 30), skin=skin)
    face = find_face(small_pixels(drawn.picture))
    scale = 320 / 800
    assert face
    assert face.center_x == pytest.approx(300 * scale, abs=4)
    assert face.width == pytest.approx(220 * scale, rel=0.12)
    assert face.top == pytest.approx(200 * scale, abs=10)
    assert face.skin[small(drawn.skin, face.skin.shape)].mean() > 0.97
    assert face.skin[small(drawn.beside_skin, face.skin.shape)].mean() < 0.01


def small(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """A mask at the size in which regions are found."""
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


@pytest.mark.parametrize("color", NO_SKIN)
def test_what_no_skin_has_is_no_face(color: str) -> None:
    picture = painted(
        Image.new("RGB", (600, 800), (118, 128, 138)), (190, 200, 410, 520), color=color
    )
    assert find_face(small_pixels(picture)) is None


def test_a_wall_of_skins_colour_is_no_face() -> None:
    assert find_face(small_pixels(Image.new("RGB", (600, 800), SKIN))) is None


def test_a_few_freckles_of_skin_are_no_face() -> None:
    picture = painted(Image.new("RGB", (600, 800), (60, 90, 160)), (290, 350, 320, 390), color=SKIN)
    assert find_face(small_pixels(picture)) is None


def test_a_floor_of_skins_colour_and_a_freckle_in_the_middle_are_no_face() -> None:
    picture = painted(
        Image.new("RGB", (600, 800), (60, 90, 160)),
        (0, 740, 600, 800),
        (295, 350, 318, 373),
        color=SKIN,
    )
    assert find_face(small_pixels(picture)) is None


@pytest.mark.parametrize("across", [-90, 90])
def test_the_face_is_found_beside_the_middle(across: int) -> None:
    drawn = portrait()
    picture = Image.new("RGB", drawn.picture.size, (150, 178, 190))
    picture.paste(drawn.picture, (across, 0))
    face = find_face(small_pixels(picture))
    assert face
    assert face.center_x == pytest.approx((300 + across) * 0.4, abs=5)


def test_of_two_skins_the_one_in_the_middle_is_the_face() -> None:
    drawn = portrait()
    # A wooden door, larger than the face, at the right.
    picture = painted(drawn.picture, (480, 0, 600, 800), color=(196, 146, 108))
    face = find_face(small_pixels(picture))
    assert face
    assert face.center_x == pytest.approx(120, abs=4)
    assert not face.skin[:, 200:].any()


def test_a_hand_of_the_same_skin_that_hangs_nowhere_stays_as_it_is() -> None:
    drawn = portrait()
    hand = (20, 560, 80, 660)
    picture = painted(drawn.picture, hand, color=SKIN)
    after = picture.copy()
    recolour_skin(after, (90, 56, 40))
    assert moved(picture, after, drawn.skin) > 25
    assert moved(picture, after, box(*hand)) < 1


@pytest.mark.parametrize(
    "thing",
    [(10, 560, 90, 780), (500, 20, 590, 100), (10, 20, 90, 100), (520, 640, 590, 780)],
    ids=["bag", "lamp", "frame", "chair"],
)
def test_a_thing_of_the_hairs_colour_that_hangs_nowhere_stays_as_it_is(
    thing: tuple[int, int, int, int],
) -> None:
    drawn = portrait()
    picture = painted(drawn.picture, thing, color=HAIR)
    after = picture.copy()
    recolour_hair(after, PURPLE)
    assert moved(picture, after, drawn.hair) > 25
    assert moved(picture, after, box(*thing)) < 1


def test_hair_ends_where_something_of_its_colour_begins_far_below() -> None:
    dark = (34, 32, 36)
    drawn = portrait(hair=dark)
    picture = Image.new("RGB", (600, 800), (150, 178, 190))
    picture.paste(drawn.picture.resize((300, 400)), (150, 50))
    # From the hair to the floor: more than three widths of the face below it, it is none.
    pole = (225, 300, 252, 799)
    picture = painted(picture, pole, color=dark)
    after = picture.copy()
    recolour_hair(after, PURPLE)
    assert moved(picture, after, box(225, 300, 252, 400)) > 20
    assert moved(picture, after, box(225, 560, 252, 799)) < 1


def test_hair_ends_where_something_of_its_colour_begins_far_aside() -> None:
    dark = (34, 32, 36)
    picture = Image.new("RGB", (600, 800), (150, 178, 190))
    picture.paste(portrait(hair=dark).picture.resize((300, 400)), (150, 50))
    shelf = (0, 240, 228, 262)  # it touches the hair, and is no wider than three faces around
    picture = painted(picture, shelf, color=dark)
    after = picture.copy()
    recolour_hair(after, PURPLE)
    assert moved(picture, after, inner((228, 200, 250, 300))) > 20
    assert moved(picture, after, inner((0, 240, 110, 262))) < 1


def test_hair_that_fills_the_picture_to_its_borders_is_painted() -> None:
    drawn = portrait(hair=(40, 30, 30))
    place = (165, 150, 435, 510)
    picture = drawn.picture.crop(place)
    after = picture.copy()
    recolour_hair(after, PURPLE)
    left, top, right, bottom = place
    assert moved(picture, after, drawn.hair[top:bottom, left:right]) > 20
    assert moved(picture, after, drawn.skin[top:bottom, left:right]) < 1


@pytest.mark.parametrize("wall", [(128, 92, 70), (70, 62, 58)], ids=["lighter", "greyer"])
def test_a_wall_nearly_of_the_hairs_colour_stays(wall: tuple[int, int, int]) -> None:
    drawn = portrait(background=wall)
    after = drawn.picture.copy()
    recolour_hair(after, PURPLE)
    assert moved(drawn.picture, after, drawn.hair) > 20
    beside = drawn.rest.copy()
    beside[180:] = False
    assert moved(drawn.picture, after, beside) < 1


def test_long_hair_is_painted_to_its_end() -> None:
    drawn = portrait()
    ends = ((150, 500, 205, 600), (395, 500, 450, 600))
    picture = painted(drawn.picture, *ends, color=HAIR)
    after = picture.copy()
    recolour_hair(after, PURPLE)
    for end in ends:
        assert moved(picture, after, box(*end)) > 20


def test_brows_and_lips_of_the_hairs_colour_stay() -> None:
    drawn = portrait()
    features = ((235, 305, 280, 318), (325, 305, 370, 318), (262, 440, 338, 466))
    picture = painted(drawn.picture, *features, color=HAIR)
    after = picture.copy()
    recolour_hair(after, PURPLE)
    for feature in features:
        assert moved(picture, after, inner(feature)) < 3


def inner(place: tuple[int, int, int, int]) -> Mask:
    left, top, right, bottom = place
    found = np.zeros((800, 600), bool)
    found[top + 4 : bottom - 3, left + 4 : right - 3] = True
    return found


def test_eyes_and_lips_are_no_skin() -> None:
    drawn = portrait()
    after = drawn.picture.copy()
    recolour_skin(after, (90, 56, 40))
    for feature in ((235, 330, 275, 352), (325, 330, 365, 352), (275, 445, 325, 461)):
        assert moved(drawn.picture, after, inner(feature)) < 3


def test_no_rim_of_the_old_skin_is_left_along_a_darker_one() -> None:
    drawn = portrait(480, 640)
    after = drawn.picture.copy()
    recolour_skin(after, parse_hex("#633c28"))
    was, now = (to_lab(np.asarray(picture).astype(float)) for picture in (drawn.picture, after))
    shirt = np.s_[490:508, 185:215]  # there the neck's left edge runs between two dark colours
    assert was[shirt][..., 0].max() > 70
    assert now[shirt][..., 0].max() < 35


def eyes(picture: Image.Image) -> tuple[Image.Image, str]:
    after = picture.copy()
    try:
        recolour_eyes(after, (47, 109, 181))
    except NotFound as missing:
        return after, missing.what
    return after, ""


def test_teeth_and_a_white_plaster_have_no_iris() -> None:
    drawn = portrait()
    white = ((262, 440, 338, 466), (215, 360, 245, 380))
    picture = painted(drawn.picture, *white, color=(240, 238, 232))
    after, missing = eyes(picture)
    assert not missing
    assert moved(picture, after, drawn.irises) > 40
    for place in white:
        assert moved(picture, after, inner(place)) < 1


def test_a_mole_has_no_white_and_is_no_eye() -> None:
    drawn = portrait()
    mole = (340, 380, 362, 402)
    picture = painted(drawn.picture, mole, color=(50, 40, 36))
    after, missing = eyes(picture)
    assert not missing
    assert moved(picture, after, drawn.irises) > 40
    assert moved(picture, after, inner(mole)) < 1


def test_of_three_eyes_the_two_that_are_level_are_eyes() -> None:
    drawn = portrait()
    picture = drawn.picture.copy()
    eye = picture.crop((230, 325, 282, 357))
    picture.paste(eye, (331, 360))  # below the right one, like a brooch on a cheek
    picture = painted(picture, (235, 326, 275, 333), color=SKIN)  # the left one's lid hangs
    after, missing = eyes(picture)
    assert not missing
    assert moved(picture, after, drawn.irises) > 40
    assert moved(picture, after, inner((331, 360, 383, 392))) < 1


def test_eyes_that_are_shut_are_not_found() -> None:
    drawn = portrait()
    shut = painted(drawn.picture, (225, 322, 375, 360), color=SKIN)
    after, missing = eyes(shut)
    assert missing == "face"
    assert moved(shut, after, np.ones((800, 600), bool)) == 0


def test_pupils_stay_dark() -> None:
    drawn = portrait()
    after, _ = eyes(drawn.picture)
    for center in ((255, 341), (345, 341)):
        pupil = np.asarray(after.crop((center[0] - 2, center[1] - 2, center[0] + 2, center[1] + 2)))
        assert float(pupil.mean()) < 45


def regions_of(drawn: Portrait) -> tuple[Floats, Mask, Mask]:
    pixels = small_pixels(drawn.picture)
    return pixels, small(drawn.hair, pixels.shape), small(drawn.rest, pixels.shape)


def test_likelihood_is_high_for_its_own_colours_and_nothing_for_others() -> None:
    pixels, hair, rest = regions_of(portrait())
    table = likelihood_table(surface_of(pixels[hair], 3), [surface_of(pixels[rest], 4)])
    likelihood = table[table_index(pixels.astype(np.uint8))]
    assert (likelihood[hair] > 200).mean() > 0.9
    assert (likelihood[rest] == 0).mean() > 0.97
    green = np.array([[[120, 60, 60]]], np.uint8)  # neither: further than any mixture
    alone = likelihood_table(surface_of(pixels[hair], 3), [])
    assert alone[table_index(green)][0, 0] == 0


def test_what_hangs_together_is_reached_round_corners_and_not_across_gaps() -> None:
    spiral = np.zeros((40, 40), bool)
    spiral[2, 2:38] = spiral[2:38, 37] = spiral[37, 4:38] = spiral[6:38, 4] = True
    island = spiral.copy()
    island[20:24, 20:24] = True
    seeds = np.zeros((40, 40), bool)
    seeds[2, 2] = True
    assert (connected(island, seeds) == spiral).all()
    assert not connected(island, np.zeros((40, 40), bool)).any()
