"""Broadcasts through the schema: what admins say and are shown, and what is refused."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from db.broadcasts import operations
from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from graph.engine.execution.engine import Engine
from server.services import Services

from ..conftest import MakeUser
from .conftest import Ask
from .live.test_topics import Stream

FIELDS = """id type titleKey messageKey data status userCount sentCount unwantedCount
  segment { audience planIds locales activeSince inactiveSince } sentBy { id }"""
SEND = f"""mutation($input: BroadcastNotificationInput!) {{ broadcastNotification(input: $input) {{
  broadcast {{ {FIELDS} }} errors {{ code path }} }} }}"""
ONE = f"query($id: ID!) {{ broadcast(id: $id) {{ {FIELDS} }} broadcasts {{ nodes {{ id }} }} }}"
WATCH = """subscription {{ broadcastChanged(id: "{}") {{
  broadcast {{ status userCount sentCount }} }} }}"""
TEXTS = {"titleKey": "notifications.welcome.title", "messageKey": "notifications.welcome.message"}
MESSAGE = {"type": "FEATURE", **TEXTS, "idempotencyKey": "k"}
# Nobody's, so that nothing is sent to the users of other tests.
NOBODYS = "qaa-nobodys"


@pytest.fixture
async def admins(make_user: MakeUser, owner: asyncpg.Connection) -> tuple[Actor, Actor]:
    both = await make_user(), await make_user()
    await owner.execute(
        "update users set role = 'admin' where id = any ($1)", [one.user_id for one in both]
    )
    return both


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"titleKey": ""}, ["titleKey"]),
        ({"titleKey": "notifications.nobody.wrote"}, ["titleKey"]),
        ({"messageKey": "notifications.nobody.wrote"}, ["messageKey"]),
        ({"messageKey": "x" * 256}, ["messageKey"]),
        ({"data": [1]}, ["data"]),
        ({"data": None}, ["data"]),
        ({"idempotencyKey": ""}, ["idempotencyKey"]),
        ({"segment": {"planIds": []}}, ["segment", "planIds"]),
        ({"segment": {"locales": []}}, ["segment", "locales"]),
        ({"segment": {"locales": ["en"] * 101}}, ["segment", "locales"]),
        ({"segment": {"locales": ["en", "no language"]}}, ["segment", "locales"]),
        (
            {
                "segment": {
                    "activeSince": "2026-02-01T00:00:00Z",
                    "inactiveSince": "2026-02-01T00:00:00Z",
                }
            },
            ["segment", "activeSince"],
        ),
    ],
)
async def test_what_is_wrong_is_refused_with_its_path(
    ask: Ask, admins: tuple[Actor, Actor], wrong: dict[str, Any], path: list[str]
) -> None:
    answer = (await ask(SEND, {"input": MESSAGE | wrong}, actor=admins[0]))["data"]
    assert answer["broadcastNotification"] == {
        "broadcast": None,
        "errors": [{"code": "BAD_USER_INPUT", "path": ["input", *path]}],
    }


async def test_an_admin_sees_what_was_sent_to_whom_and_how_far_it_is(
    ask: Ask,
    engine: Engine,
    services: Services,
    admins: tuple[Actor, Actor],
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    sender, other = admins
    segment = {"planIds": ["plan_pro", "free"], "locales": ["QAA_nobodys"], "audience": "MEMBERS"}
    given = MESSAGE | {"data": {"version": 2}, "segment": segment}
    payload = (await ask(SEND, {"input": given}, actor=sender))["data"]["broadcastNotification"]
    made = payload["broadcast"]
    assert payload["errors"] == []
    assert made.items() >= {"status": "QUEUED", "userCount": None, "data": {"version": 2}}.items()
    assert made["segment"] == {
        "audience": "MEMBERS",
        "planIds": ["plan_pro", "plan_free"],
        "locales": [NOBODYS],
        "activeSince": None,
        "inactiveSince": None,
    }
    assert made["sentBy"] == {"id": f"user_{sender.user_id}"}
    shown = (await ask(ONE, {"id": made["id"]}, actor=other))["data"]
    assert shown["broadcast"] == made
    assert shown["broadcasts"]["nodes"][0] == {"id": made["id"]}
    user = await make_user()
    assert (await ask(ONE, {"id": made["id"]}, actor=user))["data"]["broadcast"] is None

    stream = Stream(engine, services, sender, WATCH.format(made["id"]))
    assert (await stream.item())[0]["broadcast"]["status"] == "QUEUED"
    key = await owner.fetchval(
        "select id from broadcasts where 'broadcast_' || id = $1", made["id"]
    )
    await operations.begin(services.database, key)
    while await operations.send_batch(services.database, key, at_most=50, window_size=1_000):
        pass
    services.wake()
    seen = [(await stream.item())[0]["broadcast"]["status"]]
    while seen[-1] != "FINISHED":
        seen.append((await stream.item())[0]["broadcast"]["status"])
    assert seen[0] == "RUNNING"
    await stream.close()
    for foreign in (other, user):
        stream = Stream(engine, services, foreign, WATCH.format(made["id"]))
        with pytest.raises(DomainError) as refused:
            await stream.item()
        assert refused.value.code is ErrorCode.NOT_FOUND
        await stream.close()
