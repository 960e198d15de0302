"""Commands on reminders."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction
from db.core.pool import Database

_REMIND = SqlFunction[UUID]("app.remind", "uuid", words="text")
_SEND = text("update reminders set sent_at = now() where id = :id and sent_at is null")


def remind(words: str) -> FunctionCall[UUID]:
    """Keeps words of the actor's, to be sent; gives the reminder."""
    return _REMIND(words=words)


async def mark_sent(database: Database, reminder_id: UUID) -> None:
    """A reminder was sent; a second time changes nothing."""
    async with database.transaction(SERVICE) as transaction:
        await transaction.execute(_SEND, id=reminder_id)
