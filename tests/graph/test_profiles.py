"""What a profile may hold is checked before it is stored, and named when it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import MakeUser
from .conftest import Ask

CREATE = """mutation($v: String) { createProfile(input: {thumbnail: $v, analysis: {}}) {
  profile { id thumbnail } errors { code message path } } }"""
UPDATE = """mutation($id: ID!, $v: String) { updateProfile(input: {id: $id, thumbnail: $v}) {
  profile { thumbnail } errors { code path } } }"""


@pytest.mark.parametrize("thumbnail", [None, "", "aGk=", "data:image/jpeg;base64,aGk="])
async def test_a_thumbnail_is_base64(ask: Ask, make_user: MakeUser, thumbnail: str | None) -> None:
    made: Any = (await ask(CREATE, {"v": thumbnail}, actor=await make_user()))["data"]
    assert made["createProfile"]["errors"] == []
    assert made["createProfile"]["profile"]["thumbnail"] == thumbnail


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
    made = (await ask(CREATE, {"v": "aGk="}, actor=actor))["data"]["createProfile"]["profile"]
    again = (await ask(UPDATE, {"id": made["id"], "v": thumbnail}, actor=actor))["data"]
    assert again["updateProfile"]["errors"] == [
        {"code": "BAD_USER_INPUT", "path": ["input", "thumbnail"]}
    ]
