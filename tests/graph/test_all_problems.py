"""Whatever is wrong with an input is told at once, each problem at its field."""

from __future__ import annotations

import pytest

from db.core.actor import NOBODY
from db.core.errors import DomainError
from graph.shared.relay import uuid_from_global_id

from ..conftest import MakeUser
from .conftest import Ask

PATHS = {
    'signUp(input: {email: "no address", password: "short"})': ["email", "password"],
    'createProfile(input: {name: "%s", thumbnail: "no base64!", analysis: []})' % ("x" * 256): [
        "name",
        "thumbnail",
        "analysis",
    ],
    'updateProfile(input: {id: "profile_0", analysis: null, thumbnail: "no base64!"})': [
        "analysis",
        "id",
        "thumbnail",
    ],
    'createUpload(input: {contentType: "text/html", sizeBytes: 0})': ["contentType", "sizeBytes"],
    'spendCredits(input: {amount: 0, reason: "%s", idempotencyKey: ""})' % ("x" * 256): [
        "amount",
        "reason",
        "idempotencyKey",
    ],
    """createGeneration(input: {toolId: "hair-color", uploadId: "x", maskUploadId: "y",
      parameters: {color: "no colour"}, idempotencyKey: ""})""": [
        "uploadId",
        "maskUploadId",
        "idempotencyKey",
        "parameters",
    ],
}


@pytest.mark.parametrize(
    ("call", "paths"), PATHS.items(), ids=lambda one: str(one).partition("(")[0]
)
async def test_all_problems_of_an_input_are_told(
    ask: Ask, make_user: MakeUser, call: str, paths: list[str]
) -> None:
    actor = NOBODY if call.startswith("signUp") else await make_user()
    answer = await ask(f"mutation {{ it: {call} {{ errors {{ code path }} }} }}", actor=actor)
    assert [error["path"][:2] for error in answer["data"]["it"]["errors"]] == [
        ["input", path] for path in paths
    ]


def test_what_is_missing_is_named_in_words() -> None:
    with pytest.raises(DomainError, match=r"There is no such dead job\."):
        uuid_from_global_id("nothing", "deadJob", "input", "id")
