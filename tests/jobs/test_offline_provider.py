"""Hair reaches the colour and nothing else moves; every figure of an analysis is true."""

from __future__ import annotations

import asyncio
import colorsys
import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from db.files.decoding import inspect_image
from jobs.providers import (
    GenerationOutcome,
    GenerationRequest,
    ProviderFailed,
    ProviderRefused,
    Stopwatch,
    choose_providers,
)
from jobs.providers.colour import Floats, from_linear, parse_hex, shades, to_hex, to_lab
from jobs.providers.offline_regions import Mask
from settings import Settings
from tests import pictures
from tests.pictures import Portrait, portrait

PALETTE = ["#c0392b", "#e67e22", "#f1c40f", "#2ecc71", "#3498db", "#8e44ad", "#ff69b4", "#d9b380"]
SKIN_TONES = ["#fbe7d6", "#efc8a6", "#d39c72", "#a06a45", "#633c28", "#43281b"]
RECOLOURS = {"hair-color", "skin-color", "eye-color"}
EYE_COLORS = ["#2f6db5", "#3f8f4f", "#8a5a2b", "#8e44ad", "#c0392b"]
PEOPLE: dict[str, Callable[[], Portrait]] = {
    "brown hair": portrait,
    "black hair, dark skin": lambda: portrait(hair=(34, 28, 27), skin=(140, 92, 66)),
    "blond hair": lambda: portrait(
        hair=(214, 178, 120), skin=(236, 188, 160), background=(90, 120, 90)
    ),
    "white wall": lambda: portrait(hair=(60, 42, 32), background=(248, 248, 246)),
    "dark room": lambda: portrait(background=(40, 40, 44)),
}


def with_each(choices: list[str]) -> list[Any]:
    """Each person with a third of the choices, and each choice with some of them; by night, all."""
    return [
        pytest.param(person, choice, marks=[] if (row + column) % 3 == 0 else pytest.mark.nightly)
        for row, person in enumerate(PEOPLE)
        for column, choice in enumerate(choices)
    ]


async def generate(
    tool_id: str, image: bytes, mask: bytes | None = None, **parameters: Any
) -> GenerationOutcome:
    request = GenerationRequest(tool_id, parameters, image, "image/jpeg", mask)
    return await choose_providers(Settings()).of(tool_id).generate(request, Stopwatch())


def pixels_of(data: bytes | None) -> Floats:
    assert data
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(np.float64)


def hue_of(lab: Floats) -> float:
    return float(np.degrees(np.arctan2(lab[2], lab[1])))


def apart(one: float, other: float) -> float:
    return abs((one - other + 180) % 360 - 180)


def test_lab_is_that_of_the_standard() -> None:
    known = {
        (255, 255, 255): (100, 0, 0),
        (255, 0, 0): (53.24, 80.09, 67.20),
        (0, 0, 255): (32.30, 79.19, -107.86),
        (119, 119, 119): (50.03, 0, 0),
        (0, 0, 0): (0, 0, 0),
    }
    for rgb, lab in known.items():
        assert to_lab(np.array(rgb, float)) == pytest.approx(lab, abs=0.05)


def test_a_colour_is_among_its_own_shades_and_they_grow_lighter() -> None:
    for color in PALETTE:
        ramp = shades(parse_hex(color))
        assert np.abs(ramp - parse_hex(color)).sum(axis=1).min() < 8, color
        assert (np.diff(to_lab(ramp)[:, 0]) > -0.01).all()
        assert ramp[0] == pytest.approx([0, 0, 0], abs=0.5)
        assert ramp[255] == pytest.approx([255, 255, 255], abs=0.5)


def assert_recoloured(before: Floats, after: Floats, region: Mask, rest: Mask, color: str) -> None:
    """The region has the hue that was asked for; the rest is as it was."""
    lab_before, lab_after = to_lab(before), to_lab(after)
    wanted = np.array(parse_hex(color), float)
    mean = lab_after[region].mean(axis=0)
    assert apart(hue_of(mean), hue_of(to_lab(wanted))) < 15
    hue = colorsys.rgb_to_hsv(*(after[region].mean(axis=0) / 255))[0] * 360
    assert apart(hue, colorsys.rgb_to_hsv(*(wanted / 255))[0] * 360) < 15

    moved = np.linalg.norm(lab_after - lab_before, axis=-1)[rest]
    assert moved.mean() < 0.3
    assert np.percentile(moved, 99.5) < 3
    assert float((moved > 3).mean()) < 0.003


@pytest.mark.parametrize(("person", "color"), with_each(PALETTE))
async def test_hair_reaches_the_hue_and_the_rest_stays(person: str, color: str) -> None:
    drawn = PEOPLE[person]()
    photo = pictures.as_jpeg(drawn.picture)
    outcome = await generate("hair-color", photo, color=color)
    before, after = pixels_of(photo), pixels_of(outcome.image)
    assert_recoloured(before, after, drawn.hair, drawn.rest, color)
    lab_before, lab_after = to_lab(before)[drawn.hair], to_lab(after)[drawn.hair]
    assert np.hypot(*lab_after[:, 1:].mean(axis=0)) > 12
    assert np.corrcoef(lab_before[:, 0], lab_after[:, 0])[0, 1] > 0.95
    assert lab_after[:, 0].std() > 0.5 * lab_before[:, 0].std()


@pytest.mark.parametrize(
    ("person", "at_most"), [("black hair, dark skin", 0.03), ("white wall", 0.008)]
)
async def test_no_rim_shines_along_dark_hair(person: str, at_most: float) -> None:
    drawn = PEOPLE[person]()
    outcome = await generate("hair-color", pictures.as_jpeg(drawn.picture), color="#3498db")
    after = to_lab(pixels_of(outcome.image))
    chroma = np.hypot(after[..., 1], after[..., 2])
    border = ~drawn.hair & ~drawn.rest
    shining = border & (after[..., 2] < -10)
    shining &= chroma > np.percentile(chroma[drawn.hair], 99.9) + 2
    assert float(shining.sum()) < at_most * float(border.sum())


@pytest.mark.parametrize(("person", "color"), with_each(SKIN_TONES))
async def test_skin_reaches_the_tone_and_the_rest_stays(person: str, color: str) -> None:
    drawn = PEOPLE[person]()
    photo = pictures.as_jpeg(drawn.picture)
    outcome = await generate("skin-color", photo, color=color)
    before, after = pixels_of(photo), pixels_of(outcome.image)
    assert_recoloured(before, after, drawn.skin, drawn.beside_skin, color)
    was, now = (to_lab(pixels)[drawn.skin][:, 0].mean() for pixels in (before, after))
    wanted = to_lab(np.array(parse_hex(color), float))[0]
    assert abs(now - wanted) < max(8.0, 0.35 * abs(was - wanted))
    assert outcome.analysis is not None
    assert outcome.analysis["noteKey"] == "generation.offline.skinColor"
    assert outcome.analysis["skinShare"] == pytest.approx(0.13, abs=0.02)


@pytest.mark.parametrize(("person", "color"), with_each(EYE_COLORS))
async def test_irises_reach_the_hue_and_the_rest_stays(person: str, color: str) -> None:
    drawn = PEOPLE[person]()
    photo = pictures.as_jpeg(drawn.picture)
    outcome = await generate("eye-color", photo, color=color)
    before, after = pixels_of(photo), pixels_of(outcome.image)
    assert_recoloured(before, after, drawn.irises, drawn.beside_irises, color)
    assert outcome.analysis is not None
    assert outcome.analysis["regionFoundBy"] == "face"
    assert outcome.analysis["eyesShare"] == pytest.approx(0.0014, abs=0.0006)


@pytest.mark.parametrize("nothing", ["black", (255, 255, 255, 0)], ids=["black", "see-through"])
@pytest.mark.parametrize("tool_id", ["hair-color", "skin-color", "eye-color"])
async def test_a_mask_decides_where_the_colour_goes(tool_id: str, nothing: Any) -> None:
    drawn = portrait()
    photo, color = pictures.as_jpeg(drawn.picture), "#8e44ad"
    where = Image.new("RGBA", (150, 200), nothing)
    where.paste("white", (20, 150, 130, 190))  # the shirt, at a quarter of the photo's size
    mask = inspect_image(pictures.encoded(where, "PNG"), 40_000_000).data
    outcome = await generate(tool_id, photo, mask, color=color)
    region, rest = np.zeros((800, 600), bool), np.ones((800, 600), bool)
    region[620:740, 120:480], rest[580:780, 60:540] = True, False
    assert_recoloured(pixels_of(photo), pixels_of(outcome.image), region, rest, color)
    assert outcome.analysis is not None
    assert outcome.analysis["regionFoundBy"] == "mask"


async def test_a_mask_that_marks_nothing_is_refused() -> None:
    photo = pictures.as_jpeg(portrait(60, 80).picture)
    for nothing in (Image.new("L", (9, 9)), Image.new("RGBA", (9, 9))):
        with pytest.raises(ProviderRefused, match="The mask marks nothing"):
            await generate("hair-color", photo, pictures.encoded(nothing, "PNG"), color="#3498db")


@pytest.mark.parametrize("size", [(80, 60), (1, 1), (60, 20)])
async def test_a_mask_of_another_shape_is_refused(size: tuple[int, int]) -> None:
    photo = pictures.as_jpeg(portrait(60, 80).picture)
    mask = pictures.encoded(Image.new("L", size, 255), "PNG")
    with pytest.raises(ProviderRefused, match="The mask has another shape than the photo"):
        await generate("hair-color", photo, mask, color="#3498db")


async def test_the_outcome_says_that_no_ai_had_a_part() -> None:
    drawn = portrait()
    outcome = await generate("hair-color", pictures.as_jpeg(drawn.picture), color="#C0392B")
    assert outcome.made_offline
    assert outcome.content_type == "image/jpeg"
    assert outcome.analysis is not None
    assert outcome.analysis["provider"] == outcome.usage["provider"] == "offline"
    assert outcome.analysis["noteKey"] == "generation.offline.hairColor"
    assert outcome.analysis["regionFoundBy"] == "face"
    assert outcome.analysis["hairShare"] == pytest.approx(0.11, abs=0.02)
    assert outcome.usage["inputPixels"] == 600 * 800


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 400), (400, 5), (64, 64), (801, 333)])
@pytest.mark.parametrize("filling", ["black", "white", "#e0ac8b", "red", "noise"])
async def test_no_picture_breaks_a_tool(size: tuple[int, int], filling: str) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    picture = Image.fromarray(noise) if filling == "noise" else Image.new("RGB", size, filling)
    photo = pictures.as_jpeg(picture)
    for tool_id in ("hair-color", "skin-color", "eye-color", "halloween", "analysis", "beard"):
        try:
            outcome = await generate(tool_id, photo, color="#3498db")
        except ProviderRefused:
            assert tool_id in {*RECOLOURS, "beard"}  # there is nobody
            continue
        assert tool_id not in {*RECOLOURS, "beard"}
        assert outcome.made_offline
        if outcome.image:
            assert pixels_of(outcome.image).shape == (size[1], size[0], 3)


async def test_a_see_through_png_stands_on_white() -> None:
    picture = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    outcome = await generate("analysis", pictures.encoded(picture, "PNG"))
    assert outcome.analysis is not None
    assert outcome.analysis["brightness"] == 1


async def test_results_carry_no_metadata() -> None:
    photo = pictures.jpeg_with_exif(portrait(300, 400).picture)
    for tool_id in ("hair-color", "halloween"):
        outcome = await generate(tool_id, photo, color="#3498db")
        assert outcome.image
        assert b"anary" not in outcome.image
        assert not Image.open(io.BytesIO(outcome.image)).getexif()


async def test_halloween_darkens_corners_warms_light_and_greens_shadow() -> None:
    ramp = np.linspace(0, 255, 400).astype(np.uint8)
    grey = Image.fromarray(np.tile(ramp, (300, 1))).convert("RGB")
    after = to_lab(pixels_of((await generate("halloween", pictures.as_jpeg(grey))).image))
    shadow, highlight = after[150, 90], after[150, 330]
    assert shadow[1] < -2  # toward green
    assert highlight[2] > 15  # toward orange
    flat = Image.new("RGB", (400, 300), (200, 200, 200))
    light = to_lab(pixels_of((await generate("halloween", pictures.as_jpeg(flat))).image))[..., 0]
    assert light[150, 200] > 1.8 * light[2, 2]
    assert light[2, 2] == pytest.approx(light[-3, -3], abs=1)


async def measured(picture: Image.Image) -> dict[str, Any]:
    outcome = await generate("analysis", pictures.encoded(picture.convert("RGB"), "PNG"))
    assert outcome.image is None
    assert outcome.content_type is None
    assert outcome.analysis is not None
    return outcome.analysis


async def test_figures_of_two_halves_are_those_they_were_built_from() -> None:
    picture = Image.new("RGB", (1000, 600), (40, 40, 40))
    picture.paste((200, 200, 200), (0, 0, 700, 600))
    found = await measured(picture)
    assert found["dimensions"] == {
        "widthPixels": 1000, "heightPixels": 600, "megapixels": 0.6, "aspectRatio": 1.6667,
    }  # fmt: skip
    assert found["brightness"] == pytest.approx((0.7 * 200 + 0.3 * 40) / 255, rel=0.02)
    assert found["contrast"] == pytest.approx(160 * np.sqrt(0.7 * 0.3) / 255, rel=0.02)
    # Only the two columns beside the border differ from their neighbours: by 160 each.
    assert found["sharpness"] == pytest.approx(2 * 160**2 / 998, rel=0.02)
    light, dark = found["dominantColors"]
    assert light == {"hex": "#c8c8c8", "share": pytest.approx(0.7, rel=0.02)}
    assert dark == {"hex": "#282828", "share": pytest.approx(0.3, rel=0.02)}
    assert found["exposure"]["clippedShadowsShare"] == 0
    assert found["skinShare"] == 0


async def test_sharpness_is_that_of_the_noise_and_falls_with_blur() -> None:
    noise = np.random.default_rng(5).normal(128, 10, (700, 900)).clip(0, 255)
    picture = Image.fromarray(noise.astype(np.uint8))
    sharp = await measured(picture)
    assert sharp["sharpness"] == pytest.approx(100 * (4 + 16), rel=0.02)
    assert sharp["sharpnessKey"] == "analysis.sharpness.sharp"
    soft = await measured(picture.filter(ImageFilter.GaussianBlur(2)))
    assert soft["sharpness"] < sharp["sharpness"] / 50
    assert soft["sharpnessKey"] == "analysis.sharpness.soft"


async def test_shares_of_skin_and_of_clipped_light_are_true() -> None:
    picture = Image.new("RGB", (1000, 1000), (90, 120, 160))
    picture.paste(pictures.SKIN, (0, 0, 1000, 250))
    picture.paste((255, 255, 255), (0, 250, 1000, 450))
    found = await measured(picture)
    assert found["skinShare"] == pytest.approx(0.25, rel=0.02)
    assert found["exposure"]["clippedHighlightsShare"] == pytest.approx(0.2, rel=0.02)
    assert found["exposure"]["adviceKey"] == "analysis.exposure.reduceExposure"


@pytest.mark.parametrize(
    ("x", "y", "kelvin", "name"),
    [  # chromaticities of the CIE illuminants A and D65, and of black bodies
        (0.44757, 0.40745, 2856, "warm"),
        (0.3805, 0.3768, 4000, "warm"),
        (0.31271, 0.32902, 6504, "neutral"),
        (0.2869, 0.2956, 9000, "cool"),
    ],
)
async def test_colour_temperature_is_that_of_the_light(
    x: float, y: float, kelvin: int, name: str
) -> None:
    to_rgb = np.array(
        [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560],
         [0.0556434, -0.2040259, 1.0572252]]
    )  # fmt: skip
    light = to_rgb @ (x / y, 1, (1 - x - y) / y)
    srgb = np.rint(from_linear(light / light.max()) * 255).astype(int)
    color = (int(srgb[0]), int(srgb[1]), int(srgb[2]))
    found = (await measured(Image.new("RGB", (50, 50), color)))["colorTemperature"]
    assert found["kelvin"] == pytest.approx(kelvin, rel=0.02)
    assert found["key"] == f"analysis.temperature.{name}"


async def test_advice_follows_from_the_light() -> None:
    keys = {}
    for level in (20, 128, 245):
        noise = np.random.default_rng(2).normal(level, 30 if level == 128 else 2, (200, 200))
        picture = Image.fromarray(noise.clip(6, 249).astype(np.uint8))
        keys[level] = (await measured(picture))["exposure"]["adviceKey"].rpartition(".")[2]
    assert keys == {20: "addLight", 128: "good", 245: "reduceExposure"}


@pytest.mark.parametrize("tool_id", ["hairstyle", "age", "bald", "smile", "fat", ""])
async def test_what_needs_an_ai_is_a_labelled_preview(tool_id: str) -> None:
    drawn = portrait()
    photo = pictures.as_jpeg(drawn.picture)
    outcome = await generate(tool_id, photo)
    assert outcome.made_offline
    assert outcome.analysis == {
        "provider": "offline",
        "noteKey": "generation.offline.preview",
        "isPreview": True,
    }
    before, after = pixels_of(photo), pixels_of(outcome.image)
    label = after[690:]
    assert float((label < 16).all(axis=-1).mean()) > 0.6  # black, with white letters
    assert 0.03 < float((label > 200).all(axis=-1).mean()) < 0.3
    assert np.abs(before[:660] - after[:660]).mean() < 2


async def test_labels_of_two_tools_differ() -> None:
    photo = pictures.as_jpeg(portrait(300, 400).picture)
    one, other = [(await generate(tool_id, photo)).image for tool_id in ("bald", "smile")]
    assert one != other


@pytest.mark.parametrize("color", [None, 7, "", "red", "#12345", "#1234567", "#12345g", "123456"])
async def test_a_colour_that_is_none_is_refused(color: object) -> None:
    photo = pictures.as_jpeg(portrait(60, 80).picture)
    with pytest.raises(ProviderRefused, match="needs a color"):
        await generate("hair-color", photo, color=color)


async def test_a_damaged_photo_fails_with_a_message_for_anyone() -> None:
    for damaged in (b"", b"no photo", pictures.as_jpeg(portrait().picture)[:3000]):
        with pytest.raises(ProviderFailed, match="Upload it again"):
            await generate("halloween", damaged)


async def test_the_loop_goes_on_while_a_large_photo_is_worked_on() -> None:
    photo = pictures.as_jpeg(portrait(1500, 2000).picture)
    work = asyncio.create_task(generate("hair-color", photo, color="#3498db"))
    longest, last = 0.0, time.perf_counter()
    while not work.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    assert pixels_of(work.result().image).shape == (2000, 1500, 3)
    assert longest < 0.5


def test_hex_goes_there_and_back() -> None:
    assert to_hex(np.array(parse_hex("#0a1B2c"), float)) == "#0a1b2c"
