"""Commands on profiles. What is given of one is a mapping by its columns' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import delete

from db.core.actor import Actor
from db.core.commands import Command, FunctionCall, SqlFunction
from db.core.errors import Problems, not_found
from db.core.pool import Transaction
from db.core.predicates import own_rows
from db.profiles.rules import problems_of_profile
from db.profiles.tables import Profile

_CREATE = SqlFunction[UUID]("app.create_profile", "uuid", given="jsonb")
_UPDATE = SqlFunction[UUID]("app.update_profile", "uuid", profile_id="uuid", given="jsonb")


def create_profile(problems: Problems, given: Mapping[str, Any]) -> FunctionCall[UUID]:
    """Creates a profile of the actor's, or finds the one with the same `local_id`; gives its id.

    What is wrong is told together with the `problems` found before.
    """
    problems.add(problems_of_profile(given))
    problems.refuse()
    return _CREATE(given=given)


def update_profile(
    problems: Problems, profile_id: UUID, given: Mapping[str, Any]
) -> FunctionCall[UUID]:
    """Changes what is given of a profile of the actor's; NOT_FOUND for any other. Gives its id."""
    problems.add(problems_of_profile(given))
    problems.refuse()
    return _UPDATE(profile_id=profile_id, given=given)


def delete_profile(actor: Actor, profile_id: UUID) -> Command[UUID]:
    """Deletes a profile of the actor's; NOT_FOUND for any other. Gives its id."""

    async def run(transaction: Transaction) -> UUID:
        statement = (
            delete(Profile)
            .where(Profile.id == profile_id, own_rows(Profile, actor, "DELETE"))
            .returning(Profile.id)
        )
        if await transaction.fetch_value(statement) is None:
            raise not_found("profile", ("input", "id"))
        return profile_id

    return Command(run)
