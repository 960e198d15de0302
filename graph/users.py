"""The user's own row in the schema: what people say of themselves, and how they change it."""

from __future__ import annotations

import strawberry

from db.accounts import tables, users
from db.core.errors import ErrorCode, Problems
from graph.accounts import User
from graph.engine.declare import mutation
from graph.engine.execution.outcomes import ACTOR, Outcome
from graph.shared.context import Context
from graph.shared.inputs import given, nulls, stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.scalars import JSON


@stored_in(tables.User, description="Changes to the caller's own row; what is left out stays.")
class UpdateUserInput:
    username: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="3 to 30 letters and digits of ASCII, with single `.`, `_` or `-` between "
        "them. Nobody else's, in whatever case.",
    )
    display_name: str | None = strawberry.field(
        default=strawberry.UNSET, description="1 to 100 characters that others see."
    )
    locale: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The language of mails, as a tag of RFC 5646 such as `pt-BR`.",
    )
    time_zone: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="A name of the IANA database, such as `Europe/Berlin`.",
    )
    notification_preferences: JSON | None = strawberry.field(
        default=strawberry.UNSET,
        description="All the switches, such as `{promotions: false}`: a JSON object of true and "
        "false, at most 4 KiB. What it does not name is on.",
    )


@strawberry.type(description="Result of `updateUser`.")
class UserPayload(MutationPayload):
    user: User | None = strawberry.field(description="The caller as they are now; null on errors.")


async def update_user(context: Context, input: UpdateUserInput) -> Outcome:
    """Changes the caller's own row."""
    context.signed_in()
    command = users.change_user(Problems(nulls(input)), given(input))
    return Outcome(command, {"user": ACTOR})


@strawberry.type
class UsersMutation:
    """Mutations on the user's own row."""

    update_user: UserPayload | None = mutation(
        update_user,
        UpdateUserInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.USERNAME_IN_USE),
        description="Change the caller's username, display name, language, time zone or "
        "notification preferences.",
    )
