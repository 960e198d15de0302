"""Colour goes on people of many kinds, on the right place, and on no picture without one."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
from PIL import Image

from db.files.decoding import inspect_image
from jobs.providers import GenerationOutcome, GenerationRequest, ProviderRefused
from jobs.providers.offline import OfflineProvider
from tests import people, pictures
from tests.people import BALD, NOBODY, PEOPLE, Scene

COLORS = {"hair-color": "#8e44ad", "skin-color": "#3c8f5a", "eye-color": "#c03030"}
# Hair as dark as the room around it cannot be told from it; skin as brown as its wall neither.
HIDDEN = {
    ("black hair, dark skin, dark room", "hair-color"): "hair",
    ("bald", "hair-color"): "hair",
    ("bald, dark skin, brown wall", "hair-color"): "face",
    ("bald, dark skin, brown wall", "skin-color"): "face",
    ("bald, dark skin, brown wall", "eye-color"): "face",
}


@cache
def drawn(name: str) -> Scene:
    return {**PEOPLE, **BALD}[name]()


async def made(tool: str, photo: bytes, mask: bytes | None = None) -> GenerationOutcome:
    request = GenerationRequest(tool, {"color": COLORS.get(tool)}, photo, "image/jpeg", mask)
    return await OfflineProvider().generate(request)


def shift(before: Image.Image, after: bytes | None) -> np.ndarray:
    """How far each pixel's colour went, light aside."""
    assert after
    was, now = (
        np.asarray(picture.convert("YCbCr")).astype(float)[..., 1:]
        for picture in (before, Image.open(io.BytesIO(after)).convert("RGB"))
    )
    away: np.ndarray = np.linalg.norm(now - was, axis=-1)
    return away


@pytest.mark.parametrize("tool", COLORS)
@pytest.mark.parametrize("name", [*PEOPLE, *BALD])
async def test_colour_goes_where_it_belongs_or_nowhere(name: str, tool: str) -> None:
    one = drawn(name)
    photo = pictures.as_jpeg(one.picture, quality=95)
    if missing := HIDDEN.get((name, tool)):
        with pytest.raises(ProviderRefused, match=f"No {missing} was found.*send a mask"):
            await made(tool, photo)
        return
    outcome = await made(tool, photo)
    moved = shift(one.picture, outcome.image)
    if tool == "hair-color":
        first = one.hair.copy()
        if name == "two people":
            first[:, 245:] = False  # one person's is enough
        assert np.median(moved[first]) > 8
        assert (moved[one.skin] > 8).mean() < 0.03
    elif tool == "skin-color":
        assert (moved[one.hair] > 8).sum() <= 0.03 * one.hair.sum()
        assert (moved[one.skin] > 8).mean() > (0.25 if name == "two people" else 0.5)
    assert (moved > 8).mean() < 0.5
    beside = ~(one.hair | one.skin)
    beside[80:] = False  # above the heads
    assert (moved[beside] > 8).mean() < 0.06


@pytest.mark.parametrize("name", NOBODY)
async def test_where_nobody_is_nothing_is_painted(name: str) -> None:
    tool = list(COLORS)[len(name) % len(COLORS)]  # they look for a face in the same way
    with pytest.raises(ProviderRefused, match="No face was found in this photo"):
        await made(tool, pictures.as_jpeg(NOBODY[name]()))


async def test_a_mask_paints_where_nobody_is() -> None:
    photo, mask = people.landscape(), Image.new("L", (48, 64))
    mask.paste(255, (0, 0, 48, 16))
    for tool in COLORS:
        outcome = await made(tool, pictures.as_jpeg(photo), pictures.encoded(mask, "PNG"))
        moved = shift(photo, outcome.image)
        assert moved[:140].mean() > 10
        assert moved[180:].mean() < 3


@pytest.fixture(scope="module")
def cut_out() -> Image.Image:
    """A person without a background: see-through, and black where it is."""
    alone = people.scene(Image.new("RGB", (480, 640), "white"), people.Person(hair=(40, 30, 28)))
    picture = alone.picture.convert("RGBA")
    pixels = np.asarray(picture).copy()
    pixels[(pixels[..., :3] > 232).all(axis=-1)] = 0
    return Image.fromarray(pixels)


@pytest.mark.parametrize("tool", [*COLORS, "halloween", "age"])
async def test_what_is_see_through_stays_so_and_is_no_hair(tool: str, cut_out: Image.Image) -> None:
    photo = inspect_image(pictures.encoded(cut_out, "PNG"), 40_000_000)
    assert photo.content_type == "image/png"
    outcome = await made(tool, photo.data)
    assert outcome.content_type == "image/png"
    assert outcome.image
    result = Image.open(io.BytesIO(outcome.image))
    assert result.mode == "RGBA"
    rows = slice(0, 480)  # a preview's label is below
    assert np.array_equal(np.asarray(result)[rows, :, 3], np.asarray(cut_out)[rows, :, 3])
    if tool == "hair-color":
        assert outcome.analysis
        assert 0.08 < outcome.analysis["hairShare"] < 0.3


async def test_a_wholly_see_through_picture_has_nobody() -> None:
    photo = pictures.encoded(Image.new("RGBA", (200, 200), (90, 60, 40, 0)), "PNG")
    for tool in COLORS:
        with pytest.raises(ProviderRefused, match="No face was found"):
            await made(tool, photo)
