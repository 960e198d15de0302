"""The switches in the schema: how the product runs now, for everybody, and turning them."""

from __future__ import annotations

from enum import Enum

import strawberry

from db.core.errors import ErrorCode
from db.switches import operations, tables
from graph.engine.declare import backed_by, column, live, mutation, only_row
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor
from graph.shared.switches import SwitchWatch


@backed_by(tables.Switches)
class Switches:
    """How the product runs now. Every process follows a change within five seconds."""

    sync_enabled: bool = column(
        description="Whether devices synchronize; while they do not, they keep their changes."
    )
    credits_unlimited: bool = column(
        description="Whether nobody's use of credits is charged; it is in the history all the same."
    )
    ai_enabled: bool = column(description="Whether an AI can be asked for anything.")
    read_only: bool = column(
        description="Maintenance: mutations are READ_ONLY for everybody but admins, apart from "
        "those that lead into an account that is there, and out of it."
    )


@strawberry.enum(description="A switch.")
class SwitchName(Enum):
    """Names of switches; the value is the column."""

    SYNC_ENABLED = "sync_enabled"
    CREDITS_UNLIMITED = "credits_unlimited"
    AI_ENABLED = "ai_enabled"
    READ_ONLY = "read_only"


@strawberry.input(description="A switch to turn, and why.")
class SetSwitchInput:
    name: SwitchName = strawberry.field(description="Which.")
    value: bool = strawberry.field(description="How it stands then.")
    reason: str = strawberry.field(
        default="by an admin", description="Noted in the audit log; 1 to 255 characters."
    )


@strawberry.type(description="Result of `setSwitch`.")
class SetSwitchPayload(MutationPayload):
    switches: Switches | None = strawberry.field(
        description="How the switches stand now; null on errors."
    )


async def set_switch(context: Context, input: SetSwitchInput) -> Outcome:
    """Turns a switch; this process follows at once."""
    context.signed_in()
    command = operations.turn_switch(input.name.value, is_on=input.value, reason=input.reason)
    command.after = context.services.of(SwitchWatch.of).look
    return Outcome(command, {"switches": RESULT})


@strawberry.type
class SwitchesQuery:
    """Queries on the switches."""

    switches: Switches = only_row(description="How the product runs now, for everybody.")


@strawberry.type
class SwitchesMutation:
    """Mutations on the switches."""

    set_switch: SetSwitchPayload | None = mutation(
        set_switch,
        SetSwitchInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        for_admins=True,
        description="Turn a switch for everybody. For admins; FORBIDDEN for others.",
    )


@strawberry.type(description="The switches after one was turned.")
class SwitchesChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    switches: Switches = strawberry.field(description="How they stand after the change.")


@strawberry.type
class SwitchesSubscription:
    """Subscriptions on the switches."""

    switches_changed: SwitchesChanged = live(
        "switches.changed",
        "switches",
        of_only_row=True,
        description="The switches: as they are now, then after each change, each once and in "
        "order. Everybody may watch them, without a session too.",
    )
