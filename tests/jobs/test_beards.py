"""A beard is drawn on the lower face and nowhere else; what cannot be drawn is refused or labelled."""

from __future__ import annotations

import io
from itertools import cycle

import asyncpg
import numpy as np
import pytest
from PIL import Image

from db.core.pool import Database
from jobs.providers import GenerationOutcome, GenerationRequest, ProviderRefused
from jobs.providers.offline import OfflineProvider
from jobs.providers.offline_faces import find_person
from tests import pictures
from tests.people import NOBODY, PEOPLE
from tests.pictures import portrait

from .helpers import MakeServices, Someone, create_generation, generation, run_generation, wallet

BEARDED = "grey hair and beard, dark room"
# Hair as dark as the skin hardly shows.
BARE = [name for name in PEOPLE if name not in {BEARDED, "black hair, dark skin, dark room"}]


async def drawn(photo: bytes, style: str | None) -> GenerationOutcome:
    parameters = {} if style is None else {"beardStyle": style}
    return await OfflineProvider().generate(
        GenerationRequest("beard", parameters, photo, "image/jpeg")
    )


def changed(before: Image.Image, after: bytes | None) -> np.ndarray:
    """How far each pixel's light and colour went."""
    assert after
    now = np.asarray(Image.open(io.BytesIO(after)).convert("RGB")).astype(float)
    away: np.ndarray = np.abs(now - np.asarray(before).astype(float)).max(axis=-1)
    return away


@pytest.mark.parametrize(("name", "style"), zip(BARE, cycle(["Stubble", "Goatee"]), strict=False))
async def test_a_beard_lies_below_the_nose_and_on_skin(name: str, style: str) -> None:
    scene = PEOPLE[name]()
    outcome = await drawn(pictures.as_jpeg(scene.picture, quality=95), style)
    moved = changed(scene.picture, outcome.image) > 24
    person = find_person(scene.picture)
    scale = (person.eyes_box[3] - person.eyes_box[1]) / person.eyes_pixels.shape[0]
    eyes_down = person.eyes_box[1] + scale * max(eye.y for eye in person.eyes)
    assert not (moved & scene.skin)[: round(eyes_down)].any()
    assert 0.005 < moved.mean() < 0.06
    assert moved[scene.hair].mean() < 0.005
    assert (moved & scene.skin).sum() > 0.6 * moved.sum()
    assert not outcome.is_preview
    assert outcome.analysis is not None
    assert outcome.analysis["beardStyle"] == style


async def test_a_goatee_is_darker_than_stubble_and_leaves_the_lips() -> None:
    one = portrait()
    photo = pictures.as_jpeg(one.picture, quality=95)
    light, dark = [
        changed(one.picture, (await drawn(photo, style)).image) for style in ("Stubble", "Goatee")
    ]
    chin, lips = (slice(478, 500), slice(285, 315)), (slice(448, 458), slice(285, 315))
    assert dark[chin].mean() > 1.5 * light[chin].mean() > 10
    assert max(light[lips].mean(), dark[lips].mean()) < 6


async def test_what_is_not_said_is_stubble() -> None:
    photo = pictures.as_jpeg(portrait(300, 400).picture)
    assert (await drawn(photo, None)).image == (await drawn(photo, "Stubble")).image


async def test_a_beard_that_is_there_is_not_drawn_over() -> None:
    photo = pictures.as_jpeg(PEOPLE[BEARDED]().picture)
    for style in ("Stubble", "Goatee"):
        with pytest.raises(ProviderRefused, match="No bare chin was found"):
            await drawn(photo, style)


@pytest.mark.parametrize("name", NOBODY)
async def test_nobody_gets_no_beard(name: str) -> None:
    with pytest.raises(ProviderRefused, match="No face was found in this photo"):
        await drawn(pictures.as_jpeg(NOBODY[name]()), "Goatee")


async def test_taking_a_beard_away_is_a_preview_that_costs_nothing(
    database: Database,
    services: MakeServices,
    someone: Someone,
    owner: asyncpg.Connection,
) -> None:
    actor, upload_id = someone
    await owner.execute("update tools set is_active = true where id = 'beard'")
    shaven = {"beardStyle": "Clean Shaven"}
    generation_id = await create_generation(database, actor, upload_id, "beard", shaven)
    await run_generation(services(OfflineProvider()), generation_id)
    row = await generation(owner, generation_id)
    assert (row["status"], row["credits_charged"]) == ("SUCCEEDED", 0)
    assert '"isPreview": true' in row["result"]
    assert await wallet(owner, actor) == (10, 0)
