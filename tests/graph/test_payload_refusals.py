"""What is wrong with a payload's selection is said before the mutation does anything."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from ..conftest import MakeUser
from .conftest import Ask

SIGN_UP = """mutation($email: String!, $n: Int, $c: Cursor) {
  signUp(input: {email: $email, password: "correct horse"}) {
    session { accessToken user { profiles(first: $n, after: $c) { nodes { id } } } }
    errors { code }
  }
}"""
GUEST = """mutation {
  signInAnonymously { session { user { profiles(first: 101) { nodes { id } } } } errors { code } }
}"""
REFRESH = """mutation {
  refreshSession(input: {refreshToken: "dead"}) {
    session { user { id profiles { nodes { id } } } } errors { code }
  }
}"""


@pytest.mark.parametrize(
    ("variables", "code"),
    [({"n": 1000}, "LIMIT_EXCEEDED"), ({"n": 0}, "LIMIT_EXCEEDED"), ({"c": "x"}, "BAD_USER_INPUT")],
    ids=str,
)
async def test_a_bad_page_in_a_payload_opens_no_account(
    ask: Ask, owner: asyncpg.Connection, variables: dict[str, Any], code: str
) -> None:
    email = f"{uuid4()}@example.test"
    answer = await ask(SIGN_UP, {"email": email, **variables})
    (error,) = answer["errors"]
    assert (answer["data"], error["path"]) == ({"signUp": None}, ["signUp"])
    assert error["extensions"]["code"] == code
    assert await owner.fetchval("select count(*) from users where email = $1", email) == 0
    assert (await ask(SIGN_UP, {"email": email}))["data"]["signUp"]["errors"] == []


async def test_a_bad_page_written_in_the_document_opens_no_account(
    ask: Ask, owner: asyncpg.Connection
) -> None:
    before = await owner.fetchval("select count(*) from users")
    answer = await ask(GUEST)
    assert answer["data"] == {"signInAnonymously": None}
    assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert await owner.fetchval("select count(*) from users") == before


@pytest.mark.parametrize("signed_in", [False, True])
async def test_a_refused_payload_reads_no_row(
    ask: Ask, make_user: MakeUser, signed_in: bool
) -> None:
    answer = await (ask(REFRESH, actor=await make_user()) if signed_in else ask(REFRESH))
    payload = {"session": None, "errors": [{"code": "UNAUTHENTICATED"}]}
    assert answer == {"data": {"refreshSession": payload}}
