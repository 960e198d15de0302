"""Notifications in the schema: reading, marking as read, and new ones as they come."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry

from db.core.errors import ErrorCode, Problems
from db.notifications import operations, tables
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    global_id,
    live,
    mutation,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.inputs import nulls, stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor, Node, noted_uuid, uuid_from_global_id
from graph.shared.scalars import JSON


@strawberry.enum(description="What a notification is about.")
class NotificationType(Enum):
    """Kinds of notifications (from Sparky)."""

    OFFER = "OFFER"
    FEATURE = "FEATURE"
    GENERAL = "GENERAL"


@backed_by(tables.Notification, prefix="notification")
class Notification(Node):
    """A message to one user; its texts are i18n keys."""

    id: strawberry.ID = global_id()
    type: NotificationType = column(description="What it is about.")
    title_key: str = column(description="i18n key of the title.")
    message_key: str = column(description="i18n key of the message.")
    data: JSON = column(description="Values for the placeholders of the texts.")
    read: bool = column(description="Whether the user has read it.")
    created_at: datetime = column(description="When it was made.")


extend(
    User,
    after="profiles",
    notifications=connection(
        Notification, NEWEST_FIRST, description="Notifications, newest first."
    ),
)


@strawberry.input(description="Which notification was read.")
class MarkNotificationReadInput:
    id: strawberry.ID = strawberry.field(description="The notification's global id.")


@strawberry.type(description="Result of `markNotificationRead`.")
class MarkNotificationReadPayload(MutationPayload):
    notification: Notification | None = strawberry.field(
        description="The notification as it is now."
    )


async def mark_notification_read(
    context: Context,
    input: MarkNotificationReadInput,
) -> Outcome:
    """Marks one of the caller's notifications; doing it twice changes nothing more."""
    context.signed_in()
    notification_id = uuid_from_global_id(input.id, "notification", "input", "id")
    return Outcome(operations.mark_read(notification_id), {"notification": RESULT})


@stored_in(tables.Notification, description="A message from an admin to one user.")
class SendNotificationInput:
    user_id: strawberry.ID = strawberry.field(description="The user's global id.")
    type: NotificationType = strawberry.field(description="What it is about.")
    title_key: str = strawberry.field(description="i18n key of the title, 1 to 255 characters.")
    message_key: str = strawberry.field(description="i18n key of the message, 1 to 255 characters.")
    data: JSON | None = strawberry.field(
        default=strawberry.UNSET,
        description="A JSON object with values for the placeholders of the texts, at most 4 KiB; "
        "`{}` when left out.",
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same notification again, sent once. 1 to 255 "
        "characters, kept 30 days."
    )


@strawberry.type(description="Result of `sendNotification`.")
class SendNotificationPayload(MutationPayload):
    notification: Notification | None = strawberry.field(description="What was sent.")


async def send_notification(context: Context, input: SendNotificationInput) -> Outcome:
    """Sends one user a message."""
    context.signed_in()
    problems = Problems(nulls(input))
    command = operations.send_notification(
        problems,
        receiver_id=noted_uuid(problems, input.user_id, "user", "input", "userId"),
        notification_type=input.type.value,
        title_key=input.title_key,
        message_key=input.message_key,
        data={} if input.data is strawberry.UNSET else input.data,
        idempotency_key=input.idempotency_key,
    )
    return Outcome(command, {"notification": RESULT})


@strawberry.type
class NotificationsMutation:
    """Mutations on notifications."""

    mark_notification_read: MarkNotificationReadPayload | None = mutation(
        mark_notification_read,
        MarkNotificationReadInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_api_keys=True,
        description="Mark a notification as read.",
    )
    send_notification: SendNotificationPayload | None = mutation(
        send_notification,
        SendNotificationInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND, ErrorCode.IDEMPOTENCY_CONFLICT),
        for_admins=True,
        description="Send one user a notification. For admins; FORBIDDEN for others.",
    )


@strawberry.type(description="A new notification.")
class NotificationAdded:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    notification: Notification | None = strawberry.field(
        description="The notification; null in the first item, which only gives the cursor."
    )


@strawberry.type
class NotificationsSubscription:
    """Subscriptions on notifications."""

    notification_added: NotificationAdded = live(
        "notification.added",
        "notification",
        starts_empty=True,
        description="The caller's new notifications, each once and in order, behind one null item.",
    )
