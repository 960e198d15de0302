"""Switches: what an admin turns holds for everybody at once, and live clients are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import asyncpg
import orjson
import pytest

from db.core.actor import NOBODY, Actor
from db.core.errors import DomainError, ErrorCode
from graph.engine.execution.engine import Engine
from graph.shared.context import Context
from graph.shared.switches import SwitchWatch, require_ai, require_sync
from server.services import Services

from ..conftest import MakeUser
from .conftest import Ask
from .live.test_topics import Stream

ALL = "syncEnabled creditsUnlimited aiEnabled readOnly"
USUAL = {"syncEnabled": True, "creditsUnlimited": False, "aiEnabled": True, "readOnly": False}
SET = f"""mutation($name: SwitchName!, $value: Boolean!, $reason: String!) {{
  setSwitch(input: {{name: $name, value: $value, reason: $reason}}) {{
    switches {{ {ALL} }} errors {{ code path }} }} }}"""
SPEND = """mutation($key: String!) { spendCredits(input: {amount: 7, idempotencyKey: $key}) {
  transaction { amount used } credits { balance } errors { code } } }"""
RESET = (
    "update switches set sync_enabled = true, credits_unlimited = false, ai_enabled = true,"
    " read_only = false"
)


@pytest.fixture
async def admin(
    make_user: MakeUser, owner: asyncpg.Connection, services: Services
) -> AsyncIterator[Actor]:
    """An admin, behind whom all switches stand as before."""
    user = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", user.user_id)
    yield user
    await owner.execute(RESET)
    await services.of(SwitchWatch.of).look()


async def turn(ask: Ask, admin: Actor, name: str, value: bool = True) -> None:
    given = {"name": name, "value": value, "reason": f"a test of {admin.user_id}"}
    answer = await ask(SET, given, actor=admin)
    assert answer["data"]["setSwitch"]["errors"] == []


async def test_everybody_reads_the_switches_and_follows_them(
    ask: Ask, engine: Engine, services: Services, admin: Actor
) -> None:
    assert (await ask(f"{{ switches {{ {ALL} }} }}"))["data"] == {"switches": USUAL}
    stream = Stream(
        engine, services, NOBODY, f"subscription {{ switchesChanged {{ switches {{ {ALL} }} }} }}"
    )
    assert (await stream.item())[0] == {"switches": USUAL}
    await turn(ask, admin, "SYNC_ENABLED", False)
    await turn(ask, admin, "SYNC_ENABLED", False)  # which is no change
    await turn(ask, admin, "AI_ENABLED", False)
    off = USUAL | {"syncEnabled": False}
    assert (await stream.item())[0] == {"switches": off}
    assert (await stream.item())[0] == {"switches": off | {"aiEnabled": False}}
    await stream.close()


async def test_each_change_is_audited_once_with_who_and_why(
    ask: Ask, admin: Actor, owner: asyncpg.Connection
) -> None:
    for value in (False, False, True):
        await turn(ask, admin, "AI_ENABLED", value)
    noted = await owner.fetch(
        "select detail from audit_log where user_id = $1 and action = 'set_switch' order by id",
        admin.user_id,
    )
    why = {"by": f"user_{admin.user_id}", "reason": f"a test of {admin.user_id}"}
    assert [orjson.loads(row["detail"]) for row in noted] == [
        {"switch": "ai_enabled", "value": value, **why} for value in (False, True)
    ]


async def test_a_reason_that_is_none_is_refused(ask: Ask, admin: Actor) -> None:
    answer = await ask(SET, {"name": "READ_ONLY", "value": True, "reason": ""}, actor=admin)
    assert answer["data"]["setSwitch"] == {
        "switches": None,
        "errors": [{"code": "BAD_USER_INPUT", "path": ["input", "reason"]}],
    }


async def test_while_credits_are_unlimited_use_is_noted_and_not_charged(
    ask: Ask, admin: Actor, make_user: MakeUser
) -> None:
    user = await make_user(3)
    for value, said in (
        (
            False,
            {"transaction": None, "credits": None, "errors": [{"code": "INSUFFICIENT_CREDITS"}]},
        ),
        (True, {"transaction": {"amount": 0, "used": 7}, "credits": {"balance": 3}, "errors": []}),
        (
            False,
            {"transaction": None, "credits": None, "errors": [{"code": "INSUFFICIENT_CREDITS"}]},
        ),
    ):
        await turn(ask, admin, "CREDITS_UNLIMITED", value)
        answer = await ask(SPEND, {"key": str(uuid4())}, actor=user)
        assert answer["data"]["spendCredits"] == said


async def test_work_that_began_unlimited_is_not_charged_when_it_ends_later(
    ask: Ask, admin: Actor, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user(3)
    await turn(ask, admin, "CREDITS_UNLIMITED")
    hold = await owner.fetchval(
        "select app.hold_credits($1, 5, 'test', interval '1 hour')", user.user_id
    )
    await turn(ask, admin, "CREDITS_UNLIMITED", False)
    await owner.execute("select app.capture_hold($1, 5)", hold)
    wallet = await owner.fetchrow(
        "select balance, held from wallets where user_id = $1", user.user_id
    )
    assert wallet is not None
    assert tuple(wallet) == (3, 0)


async def test_read_only_refuses_changes_of_everybody_but_admins(
    ask: Ask, admin: Actor, make_user: MakeUser
) -> None:
    user = await make_user(10)
    await turn(ask, admin, "READ_ONLY")
    for actor in (user, NOBODY):
        refused = await ask(SPEND, {"key": str(uuid4())}, actor=actor)
        assert refused["data"] == {"spendCredits": None}
        assert [e["extensions"]["code"] for e in refused["errors"]] == ["READ_ONLY"]
    read = await ask("{ viewer { credits { balance } } }", actor=user)
    assert read["data"]["viewer"]["credits"] == {"balance": 10}
    # Into an account and out of it leads a way still, and a wrong password is told from maintenance.
    entered = await ask(
        'mutation { signIn(input: {email: "nobody@example.test", password: "no"}) { errors { code } } }'
    )
    assert entered["data"]["signIn"]["errors"] == [{"code": "INVALID_CREDENTIALS"}]
    update = 'mutation { updateUser(input: {displayName: "Ada"}) { errors { code } } }'
    assert (await ask(update, actor=admin))["data"] == {"updateUser": {"errors": []}}
    # An archive only copies what may be read: what is asked of its owner is not that they wait.
    exported = await ask("mutation { exportMyData { errors { code } } }", actor=user)
    assert "READ_ONLY" not in str(exported)
    await turn(ask, admin, "READ_ONLY", False)
    spent = await ask(SPEND, {"key": str(uuid4())}, actor=user)
    assert spent["data"]["spendCredits"]["errors"] == []


async def test_another_process_follows_when_it_looks_next(
    ask: Ask, services: Services, admin: Actor
) -> None:
    elsewhere = SwitchWatch(services.database, look_every_seconds=0.01)
    await elsewhere.start()
    await turn(ask, admin, "READ_ONLY")
    try:
        while not elsewhere.state.read_only:
            await elsewhere.look()
    finally:
        await elsewhere.stop()


@pytest.mark.parametrize(
    ("name", "require", "code"),
    [
        ("SYNC_ENABLED", require_sync, ErrorCode.SYNC_DISABLED),
        ("AI_ENABLED", require_ai, ErrorCode.AI_DISABLED),
    ],
    ids=["sync", "ai"],
)
async def test_what_is_switched_off_is_refused_with_its_code(
    ask: Ask,
    services: Services,
    admin: Actor,
    name: str,
    require: Callable[[Context], None],
    code: ErrorCode,
) -> None:
    context = Context(admin, services, "test")
    require(context)
    await turn(ask, admin, name, False)
    with pytest.raises(DomainError) as refusal:
        require(context)
    assert refusal.value.code is code
