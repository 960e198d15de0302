"""What users do with their own sessions, and when these were used last."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from db.accounts.operations import END_OWN_SESSIONS, REVOKE_OWN_SESSION
from db.core.actor import Actor
from db.core.commands import FunctionCall, call
from db.core.origin import audited_place
from db.core.pool import Database, Transaction

# No column of an index: the row stays on its page.
_NOTE = text("update sessions set last_used_at = clock_timestamp() where id = any(:ids)")


def revoke(session_id: UUID) -> FunctionCall[UUID]:
    """Ends a session of the caller's; gives it."""
    return REVOKE_OWN_SESSION(wanted=session_id, place=audited_place())


async def end_all(database: Database, actor: Actor, *, kept: UUID | None) -> list[UUID]:
    """Ends the actor's sessions but one, if that is to be kept; gives those that were open."""
    async with database.transaction(actor) as transaction:
        return await call(transaction, END_OWN_SESSIONS(kept=kept, place=audited_place()))


async def note_sessions(transaction: Transaction, session_ids: list[UUID]) -> None:
    """Writes that sessions were used just now."""
    await transaction.execute(_NOTE, ids=session_ids)
