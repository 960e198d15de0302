"""Commands on play sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.errors import Problems
from db.core.pool import Database
from db.credits.rules import problems_of_key
from db.play.rules import OtherPlayer, opponent, problems_of_opponent, problems_of_players

_START = SqlFunction[UUID](
    "app.start_play_session",
    "uuid",
    wanted_level="text",
    wanted_order="text",
    others="jsonb",
    idempotency_key="text",
)
_CONFIRM = SqlFunction[UUID]("app.confirm_play_session", "uuid", wanted="uuid", wanted_level="text")
_LOWER = SqlFunction[UUID](
    "app.lower_play_level", "uuid", wanted="uuid", wanted_level="text", known_version="integer"
)
_LEAVE = SqlFunction[UUID]("app.leave_play_session", "uuid", wanted="uuid")
_END = SqlFunction[UUID]("app.end_play_session", "uuid", wanted="uuid")
_DRAW = SqlFunction[UUID](
    "app.draw_activity", "uuid", wanted="uuid", kind="text", known_version="integer"
)
_SKIP = SqlFunction[UUID]("app.skip_activity", "uuid", wanted="uuid", known_version="integer")
_COMPLETE = SqlFunction[UUID](
    "app.complete_activity",
    "uuid",
    wanted="uuid",
    known_version="integer",
    done="boolean",
    feedback="text",
)
_EXPIRE = SqlFunction[int]("app.expire_play_sessions", "integer", at_most="integer")
_SET_RULES = SqlFunction[None]("app.set_play_rules", "void", free="integer", written="integer")
NEXT_MIDNIGHT = SqlFunction[Any](
    "app.next_midnight", "timestamp with time zone", at="timestamp with time zone", zone="text"
)
# What of a user's day the schema shows.
USED = SqlFunction[int]("app.play_used", "integer", owner_id="uuid")
LIMIT = SqlFunction[int]("app.play_limit", "integer", owner_id="uuid")
REMAINING = SqlFunction[int]("app.play_remaining", "integer", owner_id="uuid")
DIAGNOSTICS = SqlFunction[dict[str, Any] | None]("app.turn_diagnostics", "jsonb", wanted="uuid")
RESETS_AT = SqlFunction[Any]("app.play_resets_at", "timestamp with time zone", owner_id="uuid")


def start(
    problems: Problems,
    *,
    level: str,
    order: str,
    others: Sequence[tuple[UUID | None, str | None, Sequence[str]]],
    opponent_name: str | None = None,
    idempotency_key: str | None,
) -> FunctionCall[UUID]:
    """Starts a session with the caller and `others`; gives it.

    Each of them is a partner's id, or a name and anatomy. Nobody: an opponent, whose name may be
    given. What is wrong is told together with the
    `problems` found before.
    """
    players = [OtherPlayer(*other) for other in others]
    problems.add(problems_of_players(players))
    problems.add(problems_of_opponent(opponent_name, has_players=bool(players)))
    if idempotency_key is not None:
        problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    return _START(
        wanted_level=level,
        wanted_order=order,
        others=[player.stored() for player in players] or opponent(opponent_name),
        idempotency_key=idempotency_key,
    )


def confirm(session_id: UUID, level: str | None) -> FunctionCall[UUID]:
    """The caller plays along, at no higher level than they want; gives the session."""
    return _CONFIRM(wanted=session_id, wanted_level=level)


def lower_level(session_id: UUID, level: str, version: int) -> FunctionCall[UUID]:
    """Plays on at a lower level; gives the session."""
    return _LOWER(wanted=session_id, wanted_level=level, known_version=version)


def leave(session_id: UUID) -> FunctionCall[UUID]:
    """The caller leaves, or declines; gives the caller."""
    return _LEAVE(wanted=session_id)


def end(session_id: UUID) -> FunctionCall[UUID]:
    """Ends a session for all; gives it."""
    return _END(wanted=session_id)


def draw(session_id: UUID, kind: str, version: int) -> FunctionCall[UUID]:
    """Draws an activity for whose turn it is; gives the session."""
    return _DRAW(wanted=session_id, kind=kind, known_version=version)


def skip(session_id: UUID, version: int) -> FunctionCall[UUID]:
    """Draws another of the same kind in its place; gives the session."""
    return _SKIP(wanted=session_id, known_version=version)


def complete(
    session_id: UUID, version: int, *, done: bool, feedback: str | None
) -> FunctionCall[UUID]:
    """Ends the turn; gives the session."""
    return _COMPLETE(wanted=session_id, known_version=version, done=done, feedback=feedback)


async def expire(database: Database, at_most: int) -> int:
    """Ends sessions in which nobody did anything for 7 days; gives how many."""
    return await call_as_service(database, _EXPIRE(at_most=at_most))


async def set_play_rules(database: Database, *, free: int, written: int) -> None:
    """Says how many activities a day are free, and how many an AI writes for a session."""
    await call_as_service(database, _SET_RULES(free=free, written=written))
