"""What provokes each error of playing, for the tests of all errors."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg

from ..attuned import load_surveys, onboard
from .chat_errors import switched_off

SESSION_SQL = """
with played as (
    insert into play_sessions (level, status, version, turn_player_id, current_turn_id)
    values ('R', $2, 1, $3, $5) returning id
), player as (
    insert into play_players (id, session_id, user_id, seat, name, status)
    select $3, id, $1, 1, 'Ada', $4 from played
), other as (
    insert into play_players (session_id, seat, name, status) select id, 2, 'Kim', 'PRESENT' from played
) select id from played
"""
TURN_SQL = """
insert into play_turns (id, session_id, number, player_id, activity_id, kind, level, intensity, text, theme,
    why, scores) values ($1, $2, 1, $3, 'one', 'TRUTH', 'R', 2, 'Say it.', 'talk', '{}', '{}')
"""


async def play_session(
    owner: asyncpg.Connection,
    user_id: Any,
    *,
    status: str = "ACTIVE",
    player: str = "JOINED",
    drawn: bool = False,
) -> str:
    """The global id of a session of a user and somebody without an account, at version 1."""
    place, turn = uuid4(), uuid4() if drawn else None
    begins = "ACTIVE" if status == "ENDED" else status
    made: UUID = await owner.fetchval(SESSION_SQL, user_id, begins, place, player, turn)
    if begins != status:
        await owner.execute(
            "update play_sessions set status = $2, ended_at = now() where id = $1", made, status
        )
    if turn is not None:
        await owner.execute(TURN_SQL, turn, made, place)
    return f"playSession_{made}"


async def drawn_session(owner: asyncpg.Connection, user_id: Any) -> str:
    """One in which an activity is drawn."""
    return await play_session(owner, user_id, drawn=True)


# For what names a session as `sessionId`, without a version.
NO_VERSION = -1


def in_session(given: str, *, version: int | None = 1, prepare: str = "", **session: Any) -> Any:
    """The input of a mutation on a session that is as said, after a statement on its user."""

    async def provoke(stage: Any) -> str:
        found = await play_session(stage.owner, stage.actor.user_id, **session)
        if prepare:
            await stage.owner.execute(prepare, stage.actor.user_id)
        named = "id" if version is None else "sessionId"
        asked = "" if version in (None, NO_VERSION) else f", version: {version}"
        return f'{{{named}: "{found}"{asked}{given}}}'

    return provoke


def onboarded(given: str) -> Any:
    """An input of somebody who may play."""

    async def provoke(stage: Any) -> str:
        await onboard(stage.owner, stage.actor.user_id)
        return given

    return provoke


async def without_consents(stage: Any) -> None:
    """Has somebody agree to nothing, where there are documents to agree to."""
    await load_surveys(stage.owner)
    await stage.owner.execute("delete from consents where user_id = $1", stage.actor.user_id)


async def disagreeing(stage: Any) -> str:
    await without_consents(stage)
    await stage.owner.execute(AI_WRITES, 10)
    return f'{{sessionId: "{await play_session(stage.owner, stage.actor.user_id)}"}}'


async def not_onboarded(stage: Any) -> str:
    await without_consents(stage)
    return "{level: G}"


async def invited_not_onboarded(stage: Any) -> str:
    await without_consents(stage)
    return str(await in_session("", version=None, status="WAITING", player="INVITED")(stage))


async def many_sessions(stage: Any) -> str:
    await onboard(stage.owner, stage.actor.user_id)
    for _ in range(20):
        await play_session(stage.owner, stage.actor.user_id)
    return "{level: G}"


async def started(stage: Any) -> str:
    await onboard(stage.owner, stage.actor.user_id)
    assert await stage.codes("startPlaySession", '{level: G, idempotencyKey: "k"}') == []
    return '{level: R, idempotencyKey: "k"}'


AI_WRITES = """
insert into play_rules (id, free_daily_activities, written_activities) values (1, 25, $1)
on conflict (id) do update set written_activities = $1
"""


async def asked_often(stage: Any) -> str:
    """A session for which an AI has been asked three times."""
    await onboard(stage.owner, stage.actor.user_id)
    await stage.owner.execute(AI_WRITES, 10)
    found = await play_session(stage.owner, stage.actor.user_id)
    await stage.owner.execute(
        "update play_sessions set asked_count = 3 where id = $1", UUID(found[12:])
    )
    return f'{{sessionId: "{found}"}}'


async def asked_with_a_key(stage: Any) -> str:
    """The key of a request for another session."""
    await onboard(stage.owner, stage.actor.user_id)
    await stage.owner.execute(AI_WRITES, 10)
    one, other = [await play_session(stage.owner, stage.actor.user_id) for _ in range(2)]
    given = f'{{sessionId: "{one}", idempotencyKey: "k"}}'
    assert await stage.codes("requestActivities", given) == []
    return given.replace(one, other)


NOBODYS = f'"playSession_{UUID(int=1)}"'
DAY_USED = """
insert into play_days (user_id, used, zone, resets_at) values ($1, 25, 'UTC', now() + interval '1 hour')
on conflict (user_id) do update set used = 25
"""
# Nothing suits who has nobody beside them, not even an opponent.
NOBODY_BESIDE = """
delete from play_players o using play_players p
where p.user_id = $1 and o.session_id = p.session_id and o.user_id is null
"""


def on_turn(given: str = "") -> dict[str, Any]:
    """What refuses all that needs a turn."""
    return {
        "NOT_FOUND": f"{{sessionId: {NOBODYS}, version: 1{given}}}",
        "CONFIRMATION_REQUIRED": in_session(given, status="WAITING"),
        "INVALID_STATE": in_session(given, status="ENDED"),
        "STALE_TURN": in_session(given, version=0),
    }


PROVOKED: dict[str, dict[str, Any]] = {
    "startPlaySession": {
        "BAD_USER_INPUT": '{level: G, players: [{name: " "}]}',
        "NOT_FOUND": onboarded(f'{{level: G, players: [{{partnerId: "partner_{UUID(int=1)}"}}]}}'),
        "ONBOARDING_REQUIRED": not_onboarded,
        "LIMIT_EXCEEDED": many_sessions,
        "IDEMPOTENCY_CONFLICT": started,
    },
    "confirmPlaySession": {
        "NOT_FOUND": f"{{id: {NOBODYS}}}",
        "INVALID_STATE": in_session("", version=None, status="ENDED"),
        "ONBOARDING_REQUIRED": invited_not_onboarded,
    },
    "leavePlaySession": {"NOT_FOUND": f"{{id: {NOBODYS}}}"},
    "endPlaySession": {
        "NOT_FOUND": f"{{id: {NOBODYS}}}",
        "CONFIRMATION_REQUIRED": in_session("", version=None, player="INVITED"),
    },
    "drawActivity": on_turn()
    | {
        "DAILY_LIMIT_REACHED": in_session("", prepare=DAY_USED),
        "NO_ACTIVITY_LEFT": in_session("", prepare=NOBODY_BESIDE),
    },
    "skipActivity": on_turn()
    | {
        "DAILY_LIMIT_REACHED": in_session("", prepare=DAY_USED, drawn=True),
        "NO_ACTIVITY_LEFT": in_session("", prepare=NOBODY_BESIDE, drawn=True),
    },
    "completeActivity": on_turn(),
    "requestActivities": {
        "NOT_FOUND": f"{{sessionId: {NOBODYS}}}",
        "BAD_USER_INPUT": f'{{sessionId: {NOBODYS}, idempotencyKey: ""}}',
        "INVALID_STATE": in_session("", version=NO_VERSION, status="ENDED"),
        "CONFIRMATION_REQUIRED": in_session("", version=NO_VERSION, status="WAITING"),
        "AI_DISABLED": switched_off(lambda _, __: f"{{sessionId: {NOBODYS}}}"),
        "PROVIDER_NOT_CONFIGURED": in_session("", version=NO_VERSION),
        "ONBOARDING_REQUIRED": disagreeing,
        "LIMIT_EXCEEDED": asked_often,
        "IDEMPOTENCY_CONFLICT": asked_with_a_key,
    },
    "createActivity": {
        "BAD_USER_INPUT": '{kind: TRUTH, level: G, intensity: 9, text: "Who?", themes: ["a"]}'
    },
    "updateActivity": {
        "BAD_USER_INPUT": '{id: "activity_none", intensity: 9}',
        "NOT_FOUND": '{id: "activity_none", intensity: 1}',
    },
    "removeActivity": {},
    "lowerPlayLevel": on_turn(", level: G") | {"BAD_USER_INPUT": in_session(", level: X")},
}
