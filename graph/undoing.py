"""Undoing in the schema: with the code of a mail, what somebody else did to an account."""

from __future__ import annotations

import strawberry

from auth.undoing import Undoing
from db.core.errors import ErrorCode
from graph.engine.declare import mutation
from graph.engine.execution.outcomes import Payload
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload

_TOKEN = "The token that the mail shows, which is also that of its link."
_PASSWORD_ENDED = (
    "True when the account had a password, which has ended: let its owner set one, with "
    "`requestPasswordReset` and `resetPassword`. Null on errors."
)


@strawberry.input(description="What was mailed to the old address.")
class UndoEmailChangeInput:
    code: str = strawberry.field(description=_TOKEN)


@strawberry.type(description="Result of taking a change of address back.")
class UndoEmailChangePayload(MutationPayload):
    email: str | None = strawberry.field(
        description="The address that the account has again. Null on errors."
    )
    password_required: bool | None = strawberry.field(description=_PASSWORD_ENDED)


@strawberry.input(description="What was mailed when something was added to sign in with.")
class UndoAddedFactorInput:
    code: str = strawberry.field(description=_TOKEN)


@strawberry.type(description="Result of taking back what was added to sign in with.")
class UndoAddedFactorPayload(MutationPayload):
    password_required: bool | None = strawberry.field(description=_PASSWORD_ENDED)


async def undo_email_change(context: Context, input: UndoEmailChangeInput) -> Payload:
    """Gives an account its old address back."""
    undoing = context.services.of(Undoing.of)
    undone = await undoing.undo_email_change(input.code, network=context.network)
    return Payload({"email": undone.email, "password_required": undone.password_ended})


async def undo_added_factor(context: Context, input: UndoAddedFactorInput) -> Payload:
    """Removes what was added to an account to sign in with."""
    undoing = context.services.of(Undoing.of)
    undone = await undoing.undo_added_factor(input.code, network=context.network)
    return Payload({"password_required": undone.password_ended})


@strawberry.type
class UndoingMutation:
    """Mutations that take something back."""

    undo_email_change: UndoEmailChangePayload | None = mutation(
        undo_email_change,
        UndoEmailChangeInput,
        errors=(ErrorCode.CODE_INVALID, ErrorCode.EMAIL_IN_USE),
        ignores_dead_token=True,
        description="Take a change of address back with what was mailed to the old one. Whoever "
        "made it is out: all sessions, codes, API keys and the password end, and so does what else "
        "signs in that was set up since the day before the change. Later changes end with it. "
        "Nobody is signed in by it.",
    )
    undo_added_factor: UndoAddedFactorPayload | None = mutation(
        undo_added_factor,
        UndoAddedFactorInput,
        errors=(ErrorCode.CODE_INVALID,),
        ignores_dead_token=True,
        description="Take an authenticator app or a passkey back with the code of the mail that "
        "told of it, for seven days. Whoever added it is out: all sessions, codes, API keys and "
        "the password end, and so does what else signs in that was set up since the day before. "
        "Nobody is signed in by it.",
    )
