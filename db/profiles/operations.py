"""Profiles: the command that Python does."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import delete

from db.core.actor import Actor
from db.core.errors import not_found
from db.core.pool import Transaction
from db.core.predicates import own_rows
from db.profiles.tables import Profile


async def delete_profile(transaction: Transaction, actor: Actor, profile_id: UUID) -> None:
    """Deletes a profile of the actor's; NOT_FOUND for any other."""
    statement = (
        delete(Profile)
        .where(Profile.id == profile_id, own_rows(Profile, actor, "DELETE"))
        .returning(Profile.id)
    )
    if await transaction.fetch_value(statement) is None:
        raise not_found("profile", ("input", "id"))
