"""What a profile may hold is checked before it is stored, and named when it is refused."""

from __future__ import annotations

import base64
import io
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from PIL import Image

from db.files.storage import open_storage
from settings import Settings
from tests import photos, pictures

from ..conftest import MakeUser
from .conftest import Ask

CREATE = """mutation($v: String) { createProfile(input: {thumbnail: $v, analysis: {}}) {
  profile { id thumbnail thumbnailUrl sizeBytes } errors { code message path } } }"""
UPDATE = """mutation($id: ID!, $v: String) { updateProfile(input: {id: $id, thumbnail: $v}) {
  profile { thumbnail thumbnailUrl } errors { code path } } }"""


@pytest.mark.parametrize("head", ["", "data:image/png;base64,"])
async def test_a_picture_goes_into_storage(
    ask: Ask, make_user: MakeUser, settings: Settings, head: str
) -> None:
    actor = await make_user()
    given = head + base64.b64encode(photos.png(pictures.portrait(800, 600).picture)).decode()
    made: Any = (await ask(CREATE, {"v": given}, actor=actor))["data"]["createProfile"]
    assert made["errors"] == []
    profile = made["profile"]
    assert profile["thumbnail"] is None
    path = urlsplit(profile["thumbnailUrl"]).path.removeprefix("/files/")
    stored = await open_storage(settings).get(path)
    assert Image.open(io.BytesIO(stored)).size == (512, 384)
    assert profile["sizeBytes"] == len(stored) + len("{}") + len("[]")
    emptied: Any = (await ask(UPDATE, {"id": profile["id"], "v": None}, actor=actor))["data"]
    assert emptied["updateProfile"]["profile"] == {"thumbnail": None, "thumbnailUrl": None}


@pytest.mark.parametrize("thumbnail", [None, ""])
async def test_no_thumbnail_is_none(ask: Ask, make_user: MakeUser, thumbnail: str | None) -> None:
    made: Any = (await ask(CREATE, {"v": thumbnail}, actor=await make_user()))["data"]
    assert made["createProfile"]["errors"] == []
    assert made["createProfile"]["profile"]["thumbnail"] is None


async def test_a_thumbnail_that_is_in_its_row_stays_base64(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    actor = await make_user()
    await owner.execute(
        "insert into profiles (user_id, thumbnail, analysis) values ($1, 'aGk=', '{}')",
        actor.user_id,
    )
    shown = "{ viewer { profiles { nodes { thumbnail thumbnailUrl } } } }"
    (profile,) = (await ask(shown, actor=actor))["data"]["viewer"]["profiles"]["nodes"]
    assert profile == {"thumbnail": "aGk=", "thumbnailUrl": None}


async def test_what_is_no_picture_changes_nothing(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user()
    for sent in (b"hi", photos.jpeg()[:200], pictures.bomb_png(2_100, 2_000)):
        given = base64.b64encode(sent).decode()
        refused = (await ask(CREATE, {"v": given}, actor=actor))["data"]["createProfile"]
        assert refused["profile"] is None
        (error,) = refused["errors"]
        assert (error["code"], error["path"]) == ("INVALID_IMAGE", ["input", "thumbnail"])
    shown = "{ viewer { profiles { nodes { id } } } }"
    assert (await ask(shown, actor=actor))["data"]["viewer"]["profiles"]["nodes"] == []


@pytest.mark.parametrize(
    "thumbnail",
    ["no base64!", "aGk", "aG k=", "ä", "https://example.com/a.png", "data:text/html;base64,aGk="],
)
async def test_any_other_thumbnail_is_refused(
    ask: Ask, make_user: MakeUser, thumbnail: str
) -> None:
    actor = await make_user()
    refused = (await ask(CREATE, {"v": thumbnail}, actor=actor))["data"]["createProfile"]
    assert refused["profile"] is None
    assert refused["errors"] == [
        {
            "code": "BAD_USER_INPUT",
            "message": "thumbnail must be base64.",
            "path": ["input", "thumbnail"],
        }
    ]
    made = (await ask(CREATE, {"v": None}, actor=actor))["data"]["createProfile"]["profile"]
    again = (await ask(UPDATE, {"id": made["id"], "v": thumbnail}, actor=actor))["data"]
    assert again["updateProfile"]["errors"] == [
        {"code": "BAD_USER_INPUT", "path": ["input", "thumbnail"]}
    ]
