"""Commands on notifications."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import update

from db.core.actor import Actor
from db.core.errors import not_found
from db.core.pool import Transaction
from db.core.predicates import own_rows
from db.notifications.tables import Notification


async def mark_read(transaction: Transaction, actor: Actor, notification_id: UUID) -> None:
    """Marks a notification of the actor's as read; NOT_FOUND for any other."""
    statement = (
        update(Notification)
        .where(Notification.id == notification_id, own_rows(Notification, actor, "UPDATE"))
        .values(read=True)
        .returning(Notification.id)
    )
    if await transaction.fetch_value(statement) is None:
        raise not_found("notification", ("input", "id"))
