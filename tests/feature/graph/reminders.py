"""Reminders in the schema."""

from __future__ import annotations

from datetime import datetime

import strawberry
from db.reminders import operations, tables

from db.core.errors import ErrorCode
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
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor, Node


@backed_by(tables.Reminder, prefix="reminder")
class Reminder(Node):
    """Words to be reminded of."""

    id: strawberry.ID = global_id()
    words: str = column(description="The words.")
    created_at: datetime = column(description="When they were kept.")
    sent_at: datetime | None = column(description="When they were sent.")


extend(User, reminders=connection(Reminder, NEWEST_FIRST, description="Reminders, newest first."))


@strawberry.input(description="What to be reminded of.")
class RemindInput:
    """Input of `remind`."""

    words: str = strawberry.field(description="The words.")


@strawberry.type(description="Result of `remind`.")
class RemindPayload(MutationPayload):
    """Payload of `remind`."""

    reminder: Reminder | None = strawberry.field(description="What is kept.")


async def remind(context: Context, input: RemindInput) -> Outcome:
    """Keeps words of the caller's."""
    context.signed_in()
    return Outcome(operations.remind(input.words), {"reminder": RESULT})


@strawberry.type
class RemindersMutation:
    """Mutations on reminders."""

    remind: RemindPayload | None = mutation(
        remind,
        RemindInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        description="Be reminded of something.",
    )


@strawberry.type(description="A reminder that was made or sent.")
class RemindersChanged:
    """Item of `remindersChanged`."""

    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    reminder: Reminder | None = strawberry.field(description="The reminder.")


@strawberry.type
class RemindersSubscription:
    """Subscriptions on reminders."""

    reminders_changed: RemindersChanged = live(
        "reminders.changed",
        "reminder",
        starts_empty=True,
        description="The caller's reminders as they change.",
    )
