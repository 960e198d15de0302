"""Broadcasts in the schema: sent to many users, listed, watched and cancelled by admins."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

import strawberry

from db.broadcasts import operations, tables
from db.broadcasts.segments import Segment
from db.core.errors import ErrorCode, Problems
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    embedded,
    global_id,
    live,
    lookup,
    mutation,
    related_row,
    root_connection,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.notifications import NotificationType
from graph.shared.context import Context
from graph.shared.inputs import nulls, stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Connection, Cursor, Node, slug_from_global_id, uuid_from_global_id
from graph.shared.scalars import JSON

state_enum(tables.BroadcastStatus)


@strawberry.enum(description="Whether guests, members or both.")
class BroadcastAudience(Enum):
    """Whom a segment has, by whether they are guests."""

    EVERYBODY = "EVERYBODY"
    GUESTS = "GUESTS"
    MEMBERS = "MEMBERS"


@backed_by(tables.Broadcast)
class BroadcastSegment:
    """The users that a broadcast is for: those who meet all that is not null."""

    audience: BroadcastAudience = column(description="Whether guests, members or both.")
    locales: list[str] | None = column(description="Those who chose one of these languages.")
    active_since: datetime | None = column(description="Those who were seen at or after this time.")
    inactive_since: datetime | None = column(
        description="Those who have an account from before this time and were not seen since."
    )

    @computed("plan_ids", description="Those who have one of these plans, global ids.")
    def plan_ids(self: Any) -> list[strawberry.ID] | None:
        """Kept as slugs."""
        return self.plan_ids and [strawberry.ID(f"plan_{plan_id}") for plan_id in self.plan_ids]


@backed_by(tables.Broadcast, prefix="broadcast")
class Broadcast(Node):
    """A notification that an admin sends to many users; a worker notifies some at a time."""

    id: strawberry.ID = global_id()
    type: NotificationType = column(description="What it is about.")
    title_key: str = column(description="i18n key of the title.")
    message_key: str = column(description="i18n key of the message.")
    data: JSON = column(description="Values for the placeholders of the texts.")
    segment: BroadcastSegment = embedded(description="Whom it is for.")
    status: tables.BroadcastStatus = column(description="How far it is.")
    user_count: int | None = column(
        description="How many users were in the segment when it began; null before."
    )
    sent_count: int = column(description="How many have been notified.")
    unwanted_count: int = column(
        description="How many want no notifications of this type, and were passed over."
    )
    created_at: datetime = column(
        description="When it was made. Accounts that are younger are not notified."
    )
    started_at: datetime | None = column(description="When a worker began it.")
    finished_at: datetime | None = column(description="When it ended, in whichever way.")


extend(
    Broadcast,
    sent_by=related_row(
        "sent_by",
        returns=User | None,
        description="The admin who sent it; null when the account is gone.",
    ),
)


@strawberry.input(description="Users who meet all that is said; with nothing said, everybody.")
class BroadcastSegmentInput:
    audience: BroadcastAudience = strawberry.field(
        default=BroadcastAudience.EVERYBODY, description="Guests, members or both."
    )
    plan_ids: list[strawberry.ID] | None = strawberry.field(
        default=None,
        description="Only users of these plans, 1 to 100 global ids or slugs. Null is as good as "
        "leaving it out.",
    )
    locales: list[str] | None = strawberry.field(
        default=None,
        description="Only users who chose one of these languages, 1 to 100 tags; `pt` is `pt-BR`, "
        "too, and who chose none has `en`. Null is as good as leaving it out.",
    )
    active_since: datetime | None = strawberry.field(
        default=None,
        description="Only users who were seen at or after this time. Null is as good as leaving it "
        "out.",
    )
    inactive_since: datetime | None = strawberry.field(
        default=None,
        description="Only users who have an account from before this time and were not seen since. "
        "Null is as good as leaving it out.",
    )


@stored_in(
    tables.Broadcast, beside=("segment",), description="A message from an admin to many users."
)
class BroadcastNotificationInput:
    type: NotificationType = strawberry.field(description="What it is about.")
    title_key: str = strawberry.field(
        description="i18n key of the title, which has a text in some language."
    )
    message_key: str = strawberry.field(
        description="i18n key of the message, which has a text in some language."
    )
    data: JSON | None = strawberry.field(
        default=strawberry.UNSET,
        description="A JSON object with values for the placeholders of the texts, at most 4 KiB; "
        "`{}` when left out.",
    )
    segment: BroadcastSegmentInput | None = strawberry.field(
        default=None, description="Whom it is for; everybody without one."
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same broadcast again, sent once. 1 to 255 "
        "characters, kept 30 days."
    )


@strawberry.input(description="Which broadcast to stop.")
class CancelBroadcastInput:
    id: strawberry.ID = strawberry.field(description="The broadcast's global id.")


@strawberry.type(description="Result of `broadcastNotification` and `cancelBroadcast`.")
class BroadcastPayload(MutationPayload):
    broadcast: Broadcast | None = strawberry.field(
        description="The broadcast as it is now; null on errors."
    )


def segment_of(given: BroadcastSegmentInput | None) -> Segment:
    """The segment that an input names."""
    if given is None:
        return Segment()
    plans = given.plan_ids
    return Segment(
        audience=given.audience.value,
        plan_ids=None if plans is None else [slug_from_global_id(one, "plan") for one in plans],
        locales=given.locales,
        active_since=given.active_since,
        inactive_since=given.inactive_since,
    )


async def broadcast_notification(context: Context, input: BroadcastNotificationInput) -> Outcome:
    """Sends many users a message."""
    context.signed_in()
    command = operations.broadcast(
        Problems(nulls(input)),
        segment_of(input.segment),
        notification_type=input.type.value,
        title_key=input.title_key,
        message_key=input.message_key,
        data={} if input.data is strawberry.UNSET else input.data,
        idempotency_key=input.idempotency_key,
    )
    return Outcome(command, {"broadcast": RESULT})


async def cancel_broadcast(context: Context, input: CancelBroadcastInput) -> Outcome:
    """Stops a broadcast."""
    context.signed_in()
    broadcast_id = uuid_from_global_id(input.id, "broadcast", "input", "id")
    return Outcome(operations.cancel(broadcast_id), {"broadcast": RESULT})


@strawberry.type
class BroadcastsQuery:
    """Queries on broadcasts."""

    broadcast: Broadcast | None = lookup(
        description="A broadcast, for admins; null for others, and when there is none."
    )
    broadcasts: Connection[Broadcast] | None = root_connection(
        Broadcast,
        NEWEST_FIRST,
        description="All broadcasts, newest first. For admins; FORBIDDEN for others.",
    )


@strawberry.type
class BroadcastsMutation:
    """Mutations on broadcasts."""

    broadcast_notification: BroadcastPayload | None = mutation(
        broadcast_notification,
        BroadcastNotificationInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        for_admins=True,
        description="Notify every user of a segment who wants such notifications, each once, one "
        "after the other by workers. At most 20 wait or run at a time. For admins; FORBIDDEN for "
        "others.",
    )
    cancel_broadcast: BroadcastPayload | None = mutation(
        cancel_broadcast,
        CancelBroadcastInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE),
        for_admins=True,
        description="Stop a broadcast. Who has been notified stays so. For admins; FORBIDDEN for "
        "others.",
    )


@strawberry.type(description="A broadcast that went on or ended.")
class BroadcastChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    broadcast: Broadcast | None = strawberry.field(
        description="The broadcast right after the change."
    )


@strawberry.type
class BroadcastsSubscription:
    """Subscriptions on broadcasts."""

    broadcast_changed: BroadcastChanged = live(
        "broadcast.changed",
        "broadcast",
        entity=True,
        description="One broadcast of the caller's: as it is now, then whenever it went on or "
        "ended. For the admin who sent it.",
    )
