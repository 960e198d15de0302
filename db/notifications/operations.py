"""Verbs on notifications."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import bindparam, update

from db.errors import not_found
from db.notifications.tables import Notification
from db.pool import Transaction

_MARK_READ = (
    update(Notification)
    .where(Notification.id == bindparam("notification_id"))
    .values(read=True)
    .returning(Notification.id)
)


async def mark_read(transaction: Transaction, notification_id: UUID) -> None:
    """Marks a notification of the actor's as read; NOT_FOUND for any other."""
    if await transaction.fetch_value(_MARK_READ, notification_id=notification_id) is None:
        raise not_found("notification", ("input", "id"))
