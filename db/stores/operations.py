"""Commands on stores, and on what their owners say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from db.core.commands import FunctionCall, SqlFunction
from db.core.errors import Problems
from db.credits.rules import problems_of_key
from db.stores.rules import problems_of_creator, problems_of_store, written_store

_CREATE = SqlFunction[UUID](
    "app.create_store", "uuid", given="jsonb", idempotency_key="text"
).noting_place()
_UPDATE = SqlFunction[UUID]("app.update_store", "uuid", wanted="uuid", given="jsonb")
_SAVE_CREATOR = SqlFunction[UUID]("app.save_creator_profile", "uuid", given="jsonb")


def create_store(
    problems: Problems, given: Mapping[str, Any], idempotency_key: str
) -> FunctionCall[UUID]:
    """Opens a store of the actor's; gives it. What is wrong is told with the `problems` before."""
    written = written_store(given)
    problems.add(problems_of_store(written))
    problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    return _CREATE(given=written, idempotency_key=idempotency_key)


def update_store(
    problems: Problems, store_id: UUID, given: Mapping[str, Any]
) -> FunctionCall[UUID]:
    """Changes what is given of a store of the actor's; gives it."""
    written = written_store(given)
    problems.add(problems_of_store(written))
    problems.refuse()
    return _UPDATE(wanted=store_id, given=written)


def save_creator_profile(problems: Problems, given: Mapping[str, Any]) -> FunctionCall[UUID]:
    """Changes what the actor says of themselves as a seller; gives the actor."""
    problems.add(problems_of_creator(given))
    problems.refuse()
    return _SAVE_CREATOR(given=given)
