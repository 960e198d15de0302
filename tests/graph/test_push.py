"""A device is registered for the session that asks, and for nobody else; its token is told to nobody."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text

from db.core.actor import SERVICE, Actor
from graph.engine.execution.engine import Engine
from server.services import Services

from ..conftest import MakeUser
from ..jobs.helpers import eventually
from ..jobs.pushes import fcm_token, open_session
from .asking import Client
from .conftest import Ask

REGISTER = """mutation($platform: PushPlatform!, $token: String!) {
  registerPushToken(input: {platform: $platform, token: $token}) {
    pushToken { id platform createdAt registeredAt isCurrent }
    errors { code message path }
  }
}"""
REMOVE = """mutation($token: String!) {
  removePushToken(input: {token: $token}) { removed errors { code path } }
}"""
LIST = "{ viewer { pushTokens(first: 50) { totalCount nodes { id platform isCurrent } } } }"
REVOKE = "mutation($id: ID!) { revokeSession(input: {id: $id}) { errors { code } } }"


class Device:
    """A device of a user's, in a session of its own."""

    def __init__(self, ask: Ask, actor: Actor) -> None:
        self._ask, self.actor = ask, actor

    async def register(self, token: str, platform: str = "ANDROID") -> Any:
        variables = {"platform": platform, "token": token}
        answer = await self._ask(REGISTER, variables, actor=self.actor)
        assert "errors" not in answer, answer
        return answer["data"]["registerPushToken"]

    async def id_of(self, token: str, platform: str = "ANDROID") -> str:
        payload = await self.register(token, platform)
        assert payload["errors"] == []
        return str(payload["pushToken"]["id"])

    async def remove(self, token: str) -> Any:
        answer = await self._ask(REMOVE, {"token": token}, actor=self.actor)
        return answer["data"]["removePushToken"]

    async def listed(self) -> list[str]:
        answer = await self._ask(LIST, actor=self.actor)
        return [node["id"] for node in answer["data"]["viewer"]["pushTokens"]["nodes"]]

    async def end(self) -> None:
        answer = await self._ask(
            REVOKE, {"id": f"session_{self.actor.session_id}"}, actor=self.actor
        )
        assert answer["data"]["revokeSession"]["errors"] == []


async def device(ask: Ask, owner: asyncpg.Connection, actor: Actor) -> Device:
    assert actor.user_id is not None
    return Device(ask, replace(actor, session_id=await open_session(owner, actor.user_id)))


async def test_a_token_is_registered_and_listed_but_never_told(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    phone = await device(ask, owner, await make_user())
    token = fcm_token()
    payload = await phone.register(token)
    found = payload["pushToken"]
    assert (found["platform"], found["isCurrent"], payload["errors"]) == ("ANDROID", True, [])
    answer = await ask(LIST, actor=phone.actor)
    assert answer["data"]["viewer"]["pushTokens"] == {
        "totalCount": 1,
        "nodes": [{"id": found["id"], "platform": "ANDROID", "isCurrent": True}],
    }
    assert token not in repr((payload, answer))
    # The same again is the same registration, later.
    again = (await phone.register(token))["pushToken"]
    assert (again["id"], again["createdAt"]) == (found["id"], found["createdAt"])
    assert again["registeredAt"] > found["registeredAt"]


@pytest.mark.parametrize(
    ("platform", "token", "provider"),
    [
        ("IOS", "0123456789abcdef" * 4, "APNS"),
        ("IOS", "0123456789ABCDEF" * 10, "APNS"),
        ("IOS", "0123456789abcdef:APA91b", "FCM"),
        ("ANDROID", "0123456789abcdef:APA91b", "FCM"),
        ("WEB", "0123456789abcdef", "FCM"),
    ],
    ids=["apns", "apns, longer", "firebase on an iphone", "android", "browser"],
)
async def test_the_provider_is_the_one_that_made_the_token(
    ask: Ask,
    owner: asyncpg.Connection,
    make_user: MakeUser,
    platform: str,
    token: str,
    provider: str,
) -> None:
    phone = await device(ask, owner, await make_user())
    named = UUID((await phone.id_of(token, platform)).removeprefix("pushToken_"))
    found = await owner.fetchval("select provider from push_tokens where id = $1", named)
    assert found == provider


@pytest.mark.parametrize(
    "token", ["", "short", "with a blank", "x" * 4097, "é" * 10, "line\nbreak"]
)
async def test_what_can_be_no_token_is_refused_without_repeating_it(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser, token: str
) -> None:
    phone = await device(ask, owner, await make_user())
    payload = await phone.register(token)
    (error,) = payload["errors"]
    assert (error["code"], error["path"]) == ("BAD_USER_INPUT", ["input", "token"])
    assert not token or token not in error["message"]
    assert payload["pushToken"] is None


async def test_guests_register_too(ask: Ask, owner: asyncpg.Connection) -> None:
    user_id = await owner.fetchval(
        "insert into users (id, is_anonymous) values ($1, true) returning id", uuid4()
    )
    phone = await device(ask, owner, Actor("authenticated", user_id, is_anonymous=True))
    registered = await phone.id_of(fcm_token())
    assert await phone.listed() == [registered]


async def test_nobody_registers_without_a_session_that_is_open(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    actor = await make_user()
    with_key = Device(ask, actor)
    answer = await ask(REGISTER, {"platform": "WEB", "token": fcm_token()}, actor=with_key.actor)
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    others = await device(ask, owner, await make_user())
    ended = await device(ask, owner, actor)
    await ended.end()
    for session_id in (others.actor.session_id, ended.actor.session_id, uuid4()):
        actor = replace(actor, session_id=session_id)
        answer = await ask(REGISTER, {"platform": "WEB", "token": fcm_token()}, actor=actor)
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_signing_out_removes_what_the_session_registered(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    actor = await make_user()
    phone, tablet = await device(ask, owner, actor), await device(ask, owner, actor)
    await phone.register(fcm_token())
    kept = await tablet.id_of(fcm_token())
    await phone.end()
    assert await tablet.listed() == [kept]


async def test_a_token_that_another_account_registers_becomes_theirs(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    former = await device(ask, owner, await make_user())
    newer = await device(ask, owner, await make_user())
    token = fcm_token()
    before = await former.id_of(token)
    after = await newer.id_of(token)
    assert before != after
    assert (await former.listed(), await newer.listed()) == ([], [after])
    # Its former owner cannot remove it, as if it were unknown, nor does their signing out.
    for unknown in (token, fcm_token()):
        payload = await former.remove(unknown)
        assert payload["errors"] == [{"code": "NOT_FOUND", "path": ["input", "token"]}]
    await former.end()
    assert await newer.listed() == [after]
    assert (await newer.remove(token))["removed"] is True
    assert await newer.listed() == []


async def test_two_accounts_that_register_a_token_at_once_leave_it_to_one(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    token = fcm_token()
    both = [await device(ask, owner, await make_user()) for _ in range(2)]
    await asyncio.gather(*(one.register(token) for one in both * 3))
    assert sorted([len(await one.listed()) for one in both]) == [0, 1]


async def test_a_session_has_one_token_of_each_platform(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    phone = await device(ask, owner, await make_user())
    await phone.register(fcm_token())
    newer, browser = await phone.id_of(fcm_token()), await phone.id_of(fcm_token(), "WEB")
    assert set(await phone.listed()) == {newer, browser}


async def test_of_more_than_twenty_the_one_registered_longest_ago_goes(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    actor = await make_user()
    tokens = [fcm_token() for _ in range(21)]
    devices = [await device(ask, owner, actor) for _ in tokens]
    ids = [await one.id_of(token) for one, token in zip(devices[:20], tokens[:20], strict=True)]
    # The first says again that it is there, so the second is the oldest.
    await devices[0].register(tokens[0])
    newest = await devices[20].id_of(tokens[20])
    assert set(await devices[0].listed()) == {ids[0], *ids[2:], newest}


async def test_who_is_really_signed_in_registers(services: Services, engine: Engine) -> None:
    client = await Client(engine, services).signed_in("signInAnonymously")
    answer = await client.ask(REGISTER, platform="WEB", token=fcm_token())
    assert answer["data"]["registerPushToken"]["pushToken"]["isCurrent"]


async def test_a_session_that_ends_at_the_same_moment_leaves_no_token_behind(
    ask: Ask, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    phone = await device(ask, owner, await make_user())
    variables = {"platform": "WEB", "token": fcm_token()}
    async with owner.transaction():
        await owner.execute(
            "update sessions set revoked_at = now() where id = $1", phone.actor.session_id
        )
        registering = asyncio.create_task(ask(REGISTER, variables, actor=phone.actor))
        # It waits for what has not been committed.
        await eventually(
            lambda: owner.fetchval("select count(*) from pg_locks where not granted"), 20
        )
    answer = await registering
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    count = "select count(*) from push_tokens where user_id = $1"
    assert await owner.fetchval(count, phone.actor.user_id) == 0


async def test_signing_out_everywhere_leaves_no_token(services: Services, engine: Engine) -> None:
    client = await Client(engine, services).signed_in("signInAnonymously")
    await client.ask(REGISTER, platform="WEB", token=fcm_token())
    await client.ask("mutation { signOutEverywhere { sessionsEnded errors { code } } }")
    async with services.database.transaction(SERVICE) as transaction:
        count = text("select count(*) from push_tokens where user_id = :user")
        assert await transaction.fetch_value(count, user=client.actor.user_id) == 0
