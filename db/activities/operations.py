"""Commands on activities: what admins change in the bank, and what an AI writes for a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID

from db.activities.rules import activity_uid, problems_of_activity
from db.activities.written import ActivityRequest, Written
from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.errors import DomainError, Problems, bad_input
from db.core.pool import Database
from db.credits.rules import problems_of_key

_CREATE = SqlFunction[str](
    "app.create_activity", "text", wanted="text", changes="jsonb"
).noting_place()
_UPDATE = SqlFunction[str](
    "app.update_activity", "text", wanted="text", changes="jsonb"
).noting_place()
_REMOVE = SqlFunction[str]("app.remove_activity", "text", wanted="text").noting_place()
_REQUEST = SqlFunction[UUID](
    "app.request_activities", "uuid", wanted="uuid", idempotency_key="text"
)
_ASKED = SqlFunction[Any](
    "app.asked_activities", "jsonb", wanted="uuid", number="integer", at_most="integer"
)
_KEEP = SqlFunction[int](
    "app.keep_written_activities", "integer", wanted="uuid", written="jsonb", attempt="jsonb"
)
# What stands for what is left out of a change, where only the change is looked at.
_ANY: Mapping[str, Any] = {
    "kind": "TRUTH",
    "level": "G",
    "intensity": 1,
    "text": "Any.",
    "themes": ("any",),
}


@dataclass(frozen=True, slots=True)
class WritingAttempt:
    """One request to an AI for activities, and what came of it."""

    provider: str
    model: str
    level: str
    prompt: str
    answer: str | None
    outcome: str
    duration_milliseconds: int
    usage: Mapping[str, Any]
    cost_micro_usd: int


def create(problems: Problems, given: Mapping[str, Any]) -> FunctionCall[str]:
    """Adds an activity on behalf of an admin, or changes the one that is it; gives its id."""
    values = _values(given)
    _check(problems, values)
    wanted = activity_uid(values["kind"], values["text"])
    return _CREATE(wanted=wanted, changes=values)


def update(activity_id: str, problems: Problems, given: Mapping[str, Any]) -> FunctionCall[str]:
    """Changes an activity on behalf of an admin; gives its id."""
    values = _values(given)
    _check(problems, values, _ANY)
    return _UPDATE(wanted=activity_id, changes=values)


def remove(activity_id: str) -> FunctionCall[str]:
    """Switches an activity off on behalf of an admin; gives its id."""
    return _REMOVE(wanted=activity_id)


def request(session_id: UUID, idempotency_key: str | None) -> FunctionCall[UUID]:
    """Has an AI asked for more activities of a session; gives the session."""
    problems = Problems()
    if idempotency_key is not None:
        problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    return _REQUEST(wanted=session_id, idempotency_key=idempotency_key)


async def asked_activities(
    database: Database, session_id: UUID, number: int, at_most: int
) -> ActivityRequest | None:
    """What an AI is asked for by a request; None when it is not, or not any more."""
    found = await call_as_service(
        database, _ASKED(wanted=session_id, number=number, at_most=at_most)
    )
    return None if found is None else ActivityRequest.read(found)


async def keep_written(
    database: Database, session_id: UUID, attempt: WritingAttempt, written: Written
) -> int:
    """Logs an attempt, with what may be drawn of it; gives how many activities were new."""
    logged = {name: getattr(attempt, name) for name in attempt.__dataclass_fields__}
    logged |= {"reasons": list(written.reasons), "refused_count": len(written.reasons)}
    return await call_as_service(
        database,
        _KEEP(wanted=session_id, written=list(written.approved), attempt=logged),
    )


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    """The input as it is stored."""
    return {name: _value(value) for name, value in given.items()}


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return [_value(one) for one in value]
    return value.name if isinstance(value, Enum) else value


def _check(
    problems: Problems, values: Mapping[str, Any], missing: Mapping[str, Any] | None = None
) -> None:
    # What is null is told by who read the input.
    meant = {n: value for n, value in values.items() if n != "is_active" and value is not None}
    problems.add(_told(problems_of_activity({**(missing or {}), **meant})))
    problems.refuse()


def _told(found: Any) -> Sequence[DomainError]:
    return [bad_input(f"{_field(name)} {what}.", "input", _field(name)) for name, what in found]


def _field(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.title() for part in others)
