"""Notifications in the schema: listed, counted, marked, deleted, and watched as they change."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry
from sqlalchemy import ColumnElement, FromClause, func, select

from db.core.errors import ErrorCode, Problems
from db.notifications import operations, tables
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    expression,
    global_id,
    live,
    mutation,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.shared.changes import ChangeKind
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


def unread(user: FromClause) -> ColumnElement[int]:
    """How many notifications of a user's wait to be read; a part of one index says so."""
    notification = tables.Notification.__table__.alias("unread")
    counted = select(func.count()).select_from(notification)
    of_user = notification.c.user_id == user.c.id
    return counted.where(of_user, ~notification.c.read).correlate(user).scalar_subquery()


extend(
    User,
    after="profiles",
    notifications=connection(
        Notification, NEWEST_FIRST, description="Notifications, newest first."
    ),
    unread_notification_count=expression(
        unread, returns=int, description="How many notifications wait to be read."
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


@strawberry.input(description="Which notifications were read.")
class MarkAllNotificationsReadInput:
    until: datetime | None = strawberry.field(
        default=None,
        description="`createdAt` of the newest one that the user has seen: what was made later "
        "stays unread, however late this arrives or is sent again. Without it all that are there "
        "are marked. Null is as good as leaving it out.",
    )


@strawberry.type(description="Result of `markAllNotificationsRead`.")
class MarkAllNotificationsReadPayload(MutationPayload):
    """Payload with nothing but the viewer, whose `unreadNotificationCount` tells what is left."""


async def mark_all_notifications_read(
    context: Context, input: MarkAllNotificationsReadInput | None = None
) -> Outcome:
    """Marks the caller's notifications; doing it twice changes nothing more."""
    context.signed_in()
    return Outcome(operations.mark_all_read(input.until if input else None))


@strawberry.input(description="Which notification to delete.")
class DeleteNotificationInput:
    id: strawberry.ID = strawberry.field(description="The notification's global id.")


@strawberry.type(description="Result of `deleteNotification`.")
class DeleteNotificationPayload(MutationPayload):
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of what is gone; null when nothing was deleted."
    )


async def delete_notification(context: Context, input: DeleteNotificationInput) -> Outcome:
    """Deletes a notification of the caller's."""
    context.signed_in()
    notification_id = uuid_from_global_id(input.id, "notification", "input", "id")
    return Outcome(operations.delete(notification_id), fields={"deleted_id": input.id})


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
    notification: Notification | None = strawberry.field(
        description="What was sent; null on errors, and for a user who wants no notifications of "
        "this type."
    )


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
    mark_all_notifications_read: MarkAllNotificationsReadPayload | None = mutation(
        mark_all_notifications_read,
        MarkAllNotificationsReadInput,
        errors=(),
        needs_input=False,
        for_api_keys=True,
        description="Mark all of the caller's notifications as read. What arrives meanwhile stays "
        "unread.",
    )
    delete_notification: DeleteNotificationPayload | None = mutation(
        delete_notification,
        DeleteNotificationInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_api_keys=True,
        description="Delete a notification.",
    )
    send_notification: SendNotificationPayload | None = mutation(
        send_notification,
        SendNotificationInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND, ErrorCode.IDEMPOTENCY_CONFLICT),
        for_admins=True,
        description="Send one user a notification, if they want such ones. For admins; FORBIDDEN "
        "for others.",
    )


@strawberry.type(description="A new notification.")
class NotificationAdded:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    notification: Notification | None = strawberry.field(
        description="The notification; null in the first item, which only gives the cursor."
    )


@strawberry.type(description="A notification that came, was read or was deleted.")
class NotificationsChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    kind: ChangeKind | None = strawberry.field(
        description="What has happened; null in the first item, which only gives the cursor."
    )
    notification: Notification | None = strawberry.field(
        description="The notification right after the change; null when it was deleted, and in the "
        "first item."
    )
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of a notification that was deleted, by the user or because the "
        "limit was reached; null otherwise."
    )


@strawberry.type
class NotificationsSubscription:
    """Subscriptions on notifications."""

    notification_added: NotificationAdded = live(
        "notification.added",
        "notification",
        starts_empty=True,
        only_new=True,
        description="The caller's new notifications, each once and in order, behind one null item.",
    )
    notifications_changed: NotificationsChanged = live(
        "notification.added",
        "notification",
        starts_empty=True,
        gone="deletedId",
        kind="kind",
        description="The caller's notifications as they come, are read and deleted, on whichever "
        "device: each change once and in order, behind one null item. Ask for the list first, then "
        "watch.",
    )
