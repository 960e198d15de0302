"""Commands on notifications."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from db.core.commands import FunctionCall, SqlFunction
from db.core.errors import Problems
from db.core.writes import update_row
from db.credits.rules import problems_of_key
from db.notifications.rules import problems_of_message
from db.notifications.tables import Notification

_SEND = SqlFunction[UUID](
    "app.send_notification",
    "uuid",
    receiver_id="uuid",
    notification_type="text",
    title="text",
    message="text",
    placeholders="jsonb",
    idempotency_key="text",
)


def mark_read(notification_id: UUID) -> FunctionCall[UUID]:
    """Marks a notification of the actor's as read; NOT_FOUND for any other. Gives its id."""
    return update_row(Notification, notification_id, {"read": True})


def send_notification(
    problems: Problems,
    *,
    receiver_id: UUID,
    notification_type: str,
    title_key: str,
    message_key: str,
    data: object,
    idempotency_key: str,
) -> FunctionCall[UUID]:
    """Sends a user a message on behalf of an admin; gives the notification.

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
