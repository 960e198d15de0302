"""Notifications in the schema: reading, marking as read, and new ones as they come."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry

from db.notifications import operations, tables
from db.pool import Transaction
from graph.context import Context
from graph.engine.declare import backed_by, column, global_id, live, mutation
from graph.engine.outcomes import Payload, Ref, Verb
from graph.errors import UserError
from graph.mutations import MutationPayload
from graph.relay import Cursor, Node, uuid_from_global_id
from graph.scalars import JSON


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


@strawberry.input(description="Which notification was read.")
class MarkNotificationReadInput:
    """Input of `markNotificationRead`."""

    id: strawberry.ID = strawberry.field(description="The notification's global id.")


@strawberry.type(description="Result of `markNotificationRead`.")
class MarkNotificationReadPayload(MutationPayload):
    """Payload of `markNotificationRead`."""

    notification: Notification | None = strawberry.field(
        description="The notification as it is now."
    )
    errors: list[UserError] = strawberry.field(description="NOT_FOUND.")


async def mark_notification_read(
    context: Context,
    input: MarkNotificationReadInput,
) -> Verb:
    """Marks one of the caller's notifications; doing it twice changes nothing more."""
    actor = context.signed_in()
    notification_id = uuid_from_global_id(input.id, "notification", "input", "id")

    async def run(transaction: Transaction) -> Payload:
        await operations.mark_read(transaction, actor, notification_id)
        return Payload({"notification": Ref(notification_id)})

    return Verb(run)


@strawberry.type
class NotificationsMutation:
    """Mutations on notifications."""

    mark_notification_read: MarkNotificationReadPayload | None = mutation(
        mark_notification_read,
        MarkNotificationReadInput,
        description="Mark a notification as read.",
    )


@strawberry.type(description="A new notification.")
class NotificationAdded:
    """Item of `notificationAdded`."""

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
