"""What admins do for and to users: look them up, give credits, promote and lock."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import strawberry
from sqlalchemy import Text, Uuid, or_, select

from auth.demands import FRESH_SIGN_IN
from auth.ended_sessions import EndedSessions
from db.accounts.emails import email_key
from db.accounts.operations import USER_OF_EMAIL_KEY
from db.administration import operations as administration
from db.core.commands import FunctionCall
from db.core.errors import ErrorCode, Problems
from db.core.origin import Origin
from db.credits import operations as credits
from db.credits import tables as credit_tables
from graph.accounts import User
from graph.billing import Order, Payment
from graph.credits import CreditTransaction
from graph.engine.declare import NEWEST_FIRST, mutation, related_row, root_connection
from graph.engine.execution.outcomes import RESULT, Outcome, Ref
from graph.engine.extending import extend
from graph.engine.specs import Search, SearchTerm
from graph.shared.context import Context
from graph.shared.inputs import stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Connection, noted_uuid, uuid_from_global_id


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


extend(
    Order,
    user=related_row(
        "user_id",
        returns=User | None,
        description="Who wanted to buy it; null once their account is deleted.",
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
    orders: Connection[Order] | None = root_connection(
        Order,
        NEWEST_FIRST,
        description="What everybody wanted to buy, newest first. For admins; FORBIDDEN for others.",
    )
    payments: Connection[Payment] | None = root_connection(
        Payment,
        NEWEST_FIRST,
        description="Everybody's attempts to pay, newest first; declined ones too. For admins; "
        "FORBIDDEN for others.",
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


@strawberry.input(description="Whom to make an admin.")
class PromoteUserInput:
    id: strawberry.ID = strawberry.field(description="The user's global id.")


@strawberry.input(description="Whose rights of an admin to take away.")
class DemoteUserInput:
    id: strawberry.ID = strawberry.field(description="The user's global id.")


@strawberry.input(description="Whose account to lock.")
class LockUserInput:
    id: strawberry.ID = strawberry.field(description="The user's global id.")


@strawberry.input(description="Whose account to unlock.")
class UnlockUserInput:
    id: strawberry.ID = strawberry.field(description="The user's global id.")


@strawberry.input(description="Whose account to delete.")
class DeleteUserInput:
    id: strawberry.ID = strawberry.field(description="The user's global id.")


@strawberry.type(
    description="Result of what admins do to an account, such as `lockUser` or `setUserPassword`."
)
class AdministeredUserPayload(MutationPayload):
    user: User | None = strawberry.field(description="The user as they are now; null on errors.")


async def promote_user(context: Context, input: PromoteUserInput) -> Outcome:
    """Makes a user an admin."""
    return Outcome(administration.promote(_user_id(context, input.id), context), {"user": RESULT})


async def demote_user(context: Context, input: DemoteUserInput) -> Outcome:
    """Takes an admin's rights away."""
    return _ending_sessions(context, input.id, administration.demote)


async def lock_user(context: Context, input: LockUserInput) -> Outcome:
    """Locks an account."""
    return _ending_sessions(context, input.id, administration.lock)


async def unlock_user(context: Context, input: UnlockUserInput) -> Outcome:
    """Unlocks an account."""
    return Outcome(administration.unlock(_user_id(context, input.id), context), {"user": RESULT})


async def delete_user(context: Context, input: DeleteUserInput) -> Outcome:
    """Has an account deleted."""
    grace = timedelta(days=context.services.settings.account_deletion_days)
    return _ending_sessions(
        context, input.id, lambda user_id, origin: administration.delete(user_id, grace, origin)
    )


def _user_id(context: Context, wanted: str) -> UUID:
    context.signed_in()
    return uuid_from_global_id(wanted, "user", "input", "id")


def _ending_sessions(
    context: Context,
    wanted: str,
    make: Callable[[UUID, Origin], FunctionCall[UUID]],
) -> Outcome:
    """A command by which the user's sessions end, here without a delay."""
    user_id = _user_id(context, wanted)
    command = make(user_id, context)
    command.after = partial(context.services.of(EndedSessions.of).learn, user_id)
    return Outcome(command, {"user": RESULT})


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
    promote_user: AdministeredUserPayload | None = mutation(
        promote_user,
        PromoteUserInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.BAD_USER_INPUT),
        for_admins=True,
        description="Make a user an admin; a guest cannot be one. For admins; FORBIDDEN for "
        "others.",
    )
    demote_user: AdministeredUserPayload | None = mutation(
        demote_user,
        DemoteUserInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.LAST_ADMIN),
        for_admins=True,
        description="Take an admin's rights away and end their sessions. For admins; FORBIDDEN for "
        "others. An admin who can sign in always remains.",
    )
    lock_user: AdministeredUserPayload | None = mutation(
        lock_user,
        LockUserInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.LAST_ADMIN, ErrorCode.INVALID_STATE),
        for_admins=True,
        description="Lock an account: its sessions end, and nobody signs in until it is unlocked. "
        "For admins; FORBIDDEN for others. An admin who can sign in always remains.",
    )
    unlock_user: AdministeredUserPayload | None = mutation(
        unlock_user,
        UnlockUserInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE),
        for_admins=True,
        description="Let an account's owner sign in again. For admins; FORBIDDEN for others.",
    )
    delete_user: AdministeredUserPayload | None = mutation(
        delete_user,
        DeleteUserInput,
        errors=(
            ErrorCode.NOT_FOUND,
            ErrorCode.LAST_ADMIN,
            ErrorCode.LAST_OWNER,
            ErrorCode.INVALID_STATE,
        ),
        for_admins=True,
        demands=FRESH_SIGN_IN,
        description="Delete an account after the grace period of `deleteAccount`. Its sessions "
        "end, and its owner is told by e-mail and keeps it by signing in; lock it first where they "
        "shall not. For admins; FORBIDDEN for others.",
    )
