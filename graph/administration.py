"""What admins do for users: looking them up, and giving credits."""

from __future__ import annotations

import re
from datetime import datetime
from uuid import UUID

import strawberry
from sqlalchemy import Text, Uuid, or_, select

from db.accounts.emails import email_key
from db.accounts.operations import USER_OF_EMAIL_KEY
from db.core.errors import ErrorCode, Problems
from db.credits import operations as credits
from db.credits import tables as credit_tables
from graph.accounts import User
from graph.credits import CreditTransaction
from graph.engine.declare import NEWEST_FIRST, mutation, root_connection
from graph.engine.execution.outcomes import RESULT, Outcome, Ref
from graph.engine.specs import Search, SearchTerm
from graph.shared.context import Context
from graph.shared.inputs import stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Connection, noted_uuid


def part_of(text: str) -> str:
    """The pattern of what contains a text."""
    return f"%{re.sub(r'([%_\\])', r'\\\1', text)}%"


def user_id_in(text: str) -> UUID | None:
    """The key in a user's global id, or a UUID; nothing for other text."""
    try:
        return UUID(text.removeprefix("user_"))
    except ValueError:
        return None


USER_SEARCH = Search(
    "A user's id, an e-mail address in any spelling, or a part of an address or a name.",
    (
        SearchTerm(Uuid(), user_id_in, lambda user, key: user.c.id == key),
        SearchTerm(
            Text(),
            email_key,
            lambda user, key: user.c.id == select(USER_OF_EMAIL_KEY.of(key)).scalar_subquery(),
        ),
        SearchTerm(
            Text(),
            part_of,
            lambda user, pattern: or_(
                user.c.email.ilike(pattern), user.c.display_name.ilike(pattern)
            ),
        ),
    ),
)


@strawberry.type
class AdministrationQuery:
    """Queries for admins."""

    users: Connection[User] | None = root_connection(
        User,
        NEWEST_FIRST,
        search=USER_SEARCH,
        description="Everybody's accounts, newest first. For admins; FORBIDDEN for others. "
        "Profiles and photos stay their owner's: here they are empty.",
    )


@stored_in(credit_tables.CreditGrant, description="Credits for a user, from an admin.")
class GrantCreditsInput:
    user_id: strawberry.ID = strawberry.field(description="The user's global id.")
    amount: int = strawberry.field(description="Credits to give, 1 to 1000000.")
    reason: str = strawberry.field(
        description="Shown in the user's history and noted in the audit log; 1 to 255 characters."
    )
    expires_at: datetime | None = strawberry.field(
        default=None, description="When what remains of them is lost; they last without it."
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same transaction again, given once. 1 to 255 "
        "characters, kept 30 days."
    )


@strawberry.type(description="Result of `grantCredits`.")
class GrantCreditsPayload(MutationPayload):
    transaction: CreditTransaction | None = strawberry.field(
        description="The movement; null when nothing was given."
    )
    user: User | None = strawberry.field(description="Whose credits they are now.")


async def grant_credits(context: Context, input: GrantCreditsInput) -> Outcome:
    """Gives a user credits."""
    context.signed_in()
    problems = Problems()
    user_id = noted_uuid(problems, input.user_id, "user", "input", "userId")
    command = credits.give_credits_as_admin(
        problems,
        receiver_id=user_id,
        amount=input.amount,
        expires_at=input.expires_at,
        reason=input.reason,
        idempotency_key=input.idempotency_key,
    )
    return Outcome(command, {"transaction": RESULT, "user": Ref(user_id)})


@strawberry.type
class AdministrationMutation:
    """Mutations for admins."""

    grant_credits: GrantCreditsPayload | None = mutation(
        grant_credits,
        GrantCreditsInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        for_admins=True,
        description="Give a user credits. For admins; FORBIDDEN for others.",
    )
