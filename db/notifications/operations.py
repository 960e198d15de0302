"""Commands on notifications."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from db.core.commands import FunctionCall, SqlFunction, call, call_as_service
from db.core.errors import Problems
from db.core.pool import Database, Transaction
from db.core.writes import delete_row, update_row
from db.credits.rules import problems_of_key
from db.notifications.rules import problems_of_message
from db.notifications.tables import Notification

# Accounts that are looked at together.
AT_ONCE = 500
FIRST_ID = UUID(int=0)

_NOTIFY = SqlFunction[UUID | None](
    "app.notify",
    "uuid",
    user_id="uuid",
    type="text",
    title_key="text",
    message_key="text",
    data="jsonb",
)
_NOTIFY_ABSENT = SqlFunction[UUID | None](
    "app.notify_absent", "uuid", behind="uuid", at_most="integer", absent_for="interval"
)
_MARK_ALL_READ = SqlFunction[UUID](
    "app.mark_all_notifications_read", "uuid", until="timestamp with time zone"
)
_SEND = SqlFunction[UUID | None](
    "app.send_notification",
    "uuid",
    receiver_id="uuid",
    notification_type="text",
    title="text",
    message="text",
    placeholders="jsonb",
    idempotency_key="text",
).noting_place()


async def welcome(transaction: Transaction, user_id: UUID) -> None:
    """Welcomes a new member, in the transaction that makes them one."""
    welcomed = _NOTIFY(
        user_id=user_id,
        type="GENERAL",
        title_key="notifications.welcome.title",
        message_key="notifications.welcome.message",
        data={},
    )
    await call(transaction, welcomed)


async def notify_absent(database: Database, absent_for: timedelta) -> None:
    """Notifies who has been away for so long, once in each absence."""
    behind: UUID | None = FIRST_ID
    while behind is not None:
        looked_at = _NOTIFY_ABSENT(behind=behind, at_most=AT_ONCE, absent_for=absent_for)
        behind = await call_as_service(database, looked_at)


def mark_read(notification_id: UUID) -> FunctionCall[UUID]:
    """Marks a notification of the actor's as read; NOT_FOUND for any other. Gives its id."""
    return update_row(Notification, notification_id, {"read": True})


def mark_all_read(until: datetime | None) -> FunctionCall[UUID]:
    """Marks the actor's notifications as read, those made until then; gives the actor."""
    return _MARK_ALL_READ(until=until)


def delete(notification_id: UUID) -> FunctionCall[UUID]:
    """Deletes a notification of the actor's; NOT_FOUND for any other. Gives its id."""
    return delete_row(Notification, notification_id)


def send_notification(
    problems: Problems,
    *,
    receiver_id: UUID,
    notification_type: str,
    title_key: str,
    message_key: str,
    data: object,
    idempotency_key: str,
) -> FunctionCall[UUID | None]:
    """Sends a user a message on behalf of an admin; gives the notification, None if unwanted.

    What is wrong is told together with the `problems` found before.
    """
    texts: Mapping[str, str] = {"titleKey": title_key, "messageKey": message_key}
    problems.add(problems_of_message(data, texts))
    problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    return _SEND(
        receiver_id=receiver_id,
        notification_type=notification_type,
        title=title_key,
        message=message_key,
        placeholders=data,
        idempotency_key=idempotency_key,
    )
