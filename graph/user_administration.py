"""What admins do to the ways into accounts: open one, set or reset a password, end sessions."""

from __future__ import annotations

from functools import partial
from uuid import UUID

import strawberry

from auth.administered_accounts import AdministeredAccounts
from auth.demands import FRESH_SIGN_IN
from auth.ended_sessions import EndedSessions
from db.administration import operations as administration
from db.administration.new_users import check_new_user
from db.core.commands import FunctionCall
from db.core.errors import ErrorCode
from graph.administration import AdministeredUserPayload
from graph.engine.declare import mutation
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.shared.context import Context
from graph.shared.relay import uuid_from_global_id


@strawberry.input(description="The account to open for somebody.")
class CreateUserInput:
    email: str = strawberry.field(description="The address that they sign in with, as in `signUp`.")
    password: str | None = strawberry.field(
        default=None,
        description="As in `signUp`. Without one the account is opened by `signInWithCode`, or its "
        "owner sets one with a code of `sendPasswordReset`. Null is as good as leaving it out.",
    )
    email_confirmed: bool = strawberry.field(
        default=True,
        description="Whether you know that the address is theirs. If not, the first code that is "
        "mailed to it and comes back confirms it, and ends the password set here.",
    )
    display_name: str | None = strawberry.field(
        default=None,
        description="1 to 100 characters that others see. Null is as good as leaving it out.",
    )
    locale: str | None = strawberry.field(
        default=None,
        description="The language of mails, as a tag of RFC 5646 such as `pt-BR`; English when "
        "left out. Null is as good as leaving it out.",
    )


@strawberry.input(description="Whose password to set, and which.")
class SetUserPasswordInput:
    id: strawberry.ID = strawberry.field(description="The user's global id.")
    password: str = strawberry.field(description="As in `signUp`.")


@strawberry.input(description="Whom to mail a code for a new password.")
class SendPasswordResetInput:
    id: strawberry.ID = strawberry.field(description="The user's global id.")


@strawberry.input(description="Whose e-mail address to confirm.")
class ConfirmUserEmailInput:
    id: strawberry.ID = strawberry.field(description="The user's global id.")


@strawberry.input(description="Whose sessions to end.")
class SignOutUserInput:
    id: strawberry.ID = strawberry.field(description="The user's global id.")
    session_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="One of `User.sessions`, by its global id; all end when left out. Null is as "
        "good as leaving it out.",
    )


async def create_user(context: Context, input: CreateUserInput) -> Outcome:
    """Opens an account for somebody."""
    context.signed_in()
    new = check_new_user(
        input.email,
        input.password,
        is_confirmed=input.email_confirmed,
        display_name=input.display_name,
        locale=input.locale,
        blocked_words=context.services.settings.blocked_words,
    )
    command = await context.services.of(AdministeredAccounts.of).create(new, context)
    return Outcome(command, {"user": RESULT})


async def set_user_password(context: Context, input: SetUserPasswordInput) -> Outcome:
    """Gives an account another password."""
    admin, user_id = context.signed_in(), _user_id(input.id)
    accounts = context.services.of(AdministeredAccounts.of)
    command = await accounts.set_password(admin, user_id, input.password, context)
    return _ending_sessions(context, user_id, command)


async def send_password_reset(context: Context, input: SendPasswordResetInput) -> Outcome:
    """Mails a code for a new password."""
    context.signed_in()
    command = administration.send_password_reset(_user_id(input.id), context)
    return Outcome(command, {"user": RESULT})


async def confirm_user_email(context: Context, input: ConfirmUserEmailInput) -> Outcome:
    """Notes that an address is its account's owner's."""
    context.signed_in()
    command = administration.confirm_email(_user_id(input.id), context)
    return Outcome(command, {"user": RESULT})


async def sign_out_user(context: Context, input: SignOutUserInput) -> Outcome:
    """Ends sessions of a user."""
    context.signed_in()
    user_id, session_id = _user_id(input.id), None
    if input.session_id is not None:
        session_id = uuid_from_global_id(input.session_id, "session", "input", "sessionId")
    command = administration.sign_out(user_id, session_id, context)
    return _ending_sessions(context, user_id, command)


def _user_id(wanted: str) -> UUID:
    return uuid_from_global_id(wanted, "user", "input", "id")


def _ending_sessions(context: Context, user_id: UUID, command: FunctionCall[UUID]) -> Outcome:
    """A command by which sessions of the user end, here without a delay."""
    command.after = partial(context.services.of(EndedSessions.of).learn, user_id)
    return Outcome(command, {"user": RESULT})


@strawberry.type
class UserAdministrationMutation:
    """Mutations for admins on the ways into accounts."""

    create_user: AdministeredUserPayload | None = mutation(
        create_user,
        CreateUserInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.PASSWORD_TOO_WEAK, ErrorCode.EMAIL_IN_USE),
        for_admins=True,
        demands=FRESH_SIGN_IN,
        description="Open an account for somebody, who is mailed nothing. It gets the plan of new "
        "users, and their credits once its address is confirmed. For admins; FORBIDDEN for others. "
        "Sent again, it is EMAIL_IN_USE.",
    )
    set_user_password: AdministeredUserPayload | None = mutation(
        set_user_password,
        SetUserPasswordInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.PASSWORD_TOO_WEAK,
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
        ),
        for_admins=True,
        demands=FRESH_SIGN_IN,
        description="Give another user a password. Their sessions, codes and API keys end, and "
        "they are told by e-mail. INVALID_STATE for an account without an address, and for your "
        "own: `changePassword`. For admins; FORBIDDEN for others.",
    )
    send_password_reset: AdministeredUserPayload | None = mutation(
        send_password_reset,
        SendPasswordResetInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE),
        for_admins=True,
        demands=FRESH_SIGN_IN,
        description="Mail a user a code for `resetPassword`, beside what they may ask for "
        "themselves. INVALID_STATE for an account without an address, or one that is locked. For "
        "admins; FORBIDDEN for others.",
    )
    confirm_user_email: AdministeredUserPayload | None = mutation(
        confirm_user_email,
        ConfirmUserEmailInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE),
        for_admins=True,
        demands=FRESH_SIGN_IN,
        description="Confirm a user's e-mail address on your word: make sure that it is theirs. "
        "INVALID_STATE for an account without one. For admins; FORBIDDEN for others. Confirming it "
        "again changes nothing.",
    )
    sign_out_user: AdministeredUserPayload | None = mutation(
        sign_out_user,
        SignOutUserInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_admins=True,
        demands=FRESH_SIGN_IN,
        description="End one session of a user's, or all: within 5 seconds their tokens die on "
        "every node. API keys go on. For admins; FORBIDDEN for others.",
    )
