"""One-time codes in the schema: they confirm an address, sign in, change password or address."""

from __future__ import annotations

import strawberry

from auth.codes import Codes
from auth.demands import FRESH_SIGN_IN, STRONG_SIGN_IN
from auth.own_account import OwnAccount
from auth.recovery import Recovery
from auth.sign_ups import SignUps
from db.codes.operations import CodePurpose
from db.core.errors import ErrorCode
from graph.accounts import SessionPayload, User, session_payload
from graph.engine.declare import mutation
from graph.engine.execution.outcomes import Payload, Ref
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload

_CODE = "The six digits that were mailed, or the token of the mail's link."
_PASSWORD = "8 to 256 characters of any kind, and none of the most common passwords."
_ALIKE = "The answer is the same for an address that has no account."
_CODE_ERRORS = (ErrorCode.CODE_INVALID,)


@strawberry.input
class AddressInput:
    """What every request for a code takes."""

    email: str = strawberry.field(description="The account's address.")


@strawberry.input
class CodeInput:
    """What everything takes that a code does."""

    email: str | None = strawberry.field(
        default=None,
        description="The account's address. It may be left out with the token of a mail's link. "
        "Null is as good as leaving it out.",
    )
    code: str = strawberry.field(description=_CODE)


@strawberry.input(description="Which address waits to be confirmed.")
class ResendConfirmationInput(AddressInput): ...


@strawberry.input(description="Whose password was forgotten.")
class RequestPasswordResetInput(AddressInput): ...


@strawberry.input(description="Who wants to sign in.")
class RequestSignInCodeInput(AddressInput): ...


@strawberry.input(description="The code that was mailed to an address.")
class ConfirmEmailInput(CodeInput):
    sign_up_token: str | None = strawberry.field(
        default=None,
        description="What `signUp` answered with, from the device that signed up. Null is as good "
        "as leaving it out.",
    )


@strawberry.input(description="The code that was mailed to who wants to sign in.")
class SignInWithCodeInput(CodeInput): ...


@strawberry.input(description="A code that was mailed, and another password.")
class ResetPasswordInput(CodeInput):
    new_password: str = strawberry.field(description=_PASSWORD)
    remove_passkeys: bool | None = strawberry.field(
        default=None,
        description="With true, all passkeys end with the old password, where the account asks for "
        "no second factor; otherwise those of the last seven days. Null is as good as leaving it "
        "out.",
    )


@strawberry.input(description="The password, and another one.")
class ChangePasswordInput:
    current_password: str = strawberry.field(description="The password until now.")
    new_password: str = strawberry.field(description=_PASSWORD)


@strawberry.input(description="Another address.")
class RequestEmailChangeInput:
    new_email: str = strawberry.field(description="Where the code is mailed.")


@strawberry.input(description="The code that was mailed to the new address.")
class ConfirmEmailChangeInput:
    code: str = strawberry.field(description=_CODE)


@strawberry.type(description="Result of asking for a code.")
class CodeSentPayload(MutationPayload):
    sent: bool | None = strawberry.field(
        description="True: a mail is on its way, if it is due. Null on errors."
    )


@strawberry.type(description="Result of changing what one signs in with.")
class OwnAccountPayload(MutationPayload):
    user: User | None = strawberry.field(description="The caller as they are now; null on errors.")


async def resend_confirmation(context: Context, input: ResendConfirmationInput) -> Payload:
    """Mails another code to who waits for their address to be confirmed."""
    return await _request(context, CodePurpose.CONFIRM_EMAIL, input)


async def request_password_reset(context: Context, input: RequestPasswordResetInput) -> Payload:
    """Mails a code that takes a new password."""
    return await _request(context, CodePurpose.RESET_PASSWORD, input)


async def request_sign_in_code(context: Context, input: RequestSignInCodeInput) -> Payload:
    """Mails a code that signs in."""
    return await _request(context, CodePurpose.SIGN_IN, input)


async def _request(context: Context, purpose: CodePurpose, input: AddressInput) -> Payload:
    await context.services.of(Codes.of).request(purpose, input.email, context.network)
    return Payload({"sent": True})


async def confirm_email(context: Context, input: ConfirmEmailInput) -> Payload:
    """Confirms an address and signs its owner in."""
    sign_ups = context.services.of(SignUps.of)
    return session_payload(
        await sign_ups.confirm(
            input.email,
            input.code,
            token=input.sign_up_token,
            network=context.network,
            user_agent=context.user_agent,
            actor=context.actor,
        )
    )


async def sign_in_with_code(context: Context, input: SignInWithCodeInput) -> Payload:
    """Signs in whoever reads the account's mail."""
    recovery = context.services.of(Recovery.of)
    return session_payload(
        await recovery.sign_in(
            input.email, input.code, network=context.network, user_agent=context.user_agent
        )
    )


async def reset_password(context: Context, input: ResetPasswordInput) -> Payload:
    """Sets a new password and signs in."""
    recovery = context.services.of(Recovery.of)
    return session_payload(
        await recovery.reset_password(
            input.email,
            input.code,
            input.new_password,
            removes_passkeys=input.remove_passkeys is True,
            network=context.network,
            user_agent=context.user_agent,
        )
    )


async def change_password(context: Context, input: ChangePasswordInput) -> Payload:
    """Sets a new password for who knows the old one."""
    actor = context.signed_in()
    await context.services.of(OwnAccount.of).change_password(
        actor, input.current_password, input.new_password, network=context.network
    )
    return Payload({"user": Ref(actor.user_id)})


async def request_email_change(context: Context, input: RequestEmailChangeInput) -> Payload:
    """Mails a code to the address that the caller wants."""
    await context.services.of(OwnAccount.of).request_email_change(
        context.signed_in(), input.new_email, network=context.network
    )
    return Payload({"sent": True})


async def confirm_email_change(context: Context, input: ConfirmEmailChangeInput) -> Payload:
    """Gives the caller the address that the code was mailed to."""
    actor = context.signed_in()
    await context.services.of(OwnAccount.of).confirm_email_change(
        actor, input.code, network=context.network
    )
    return Payload({"user": Ref(actor.user_id)})


@strawberry.type
class CodesMutation:
    """Mutations with codes that are mailed."""

    confirm_email: SessionPayload | None = mutation(
        confirm_email,
        ConfirmEmailInput,
        errors=(*_CODE_ERRORS, ErrorCode.EMAIL_IN_USE),
        ignores_dead_token=True,
        description="Confirm an address: it opens the account that was signed up for, with its "
        "bonus, and a session. Anybody can sign up with an address: the password is that of the "
        "sign-up whose `signUpToken` is sent along, or else of the one whose code it is, and only "
        "at the network where that was made; otherwise `passwordRequired` is true. Send the token "
        "of who is signed in: a guest becomes the member that they signed up as, and a member who "
        "confirms their address keeps sessions, keys and password, which end otherwise.",
    )
    resend_confirmation: CodeSentPayload | None = mutation(
        resend_confirmation,
        ResendConfirmationInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        ignores_dead_token=True,
        description=f"Mail another code to an address that waits to be confirmed. {_ALIKE}",
    )
    request_password_reset: CodeSentPayload | None = mutation(
        request_password_reset,
        RequestPasswordResetInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        ignores_dead_token=True,
        description=f"Mail a code for `resetPassword`. {_ALIKE}",
    )
    reset_password: SessionPayload | None = mutation(
        reset_password,
        ResetPasswordInput,
        errors=(*_CODE_ERRORS, ErrorCode.BAD_USER_INPUT, ErrorCode.PASSWORD_TOO_WEAK),
        ignores_dead_token=True,
        description="Set a new password with a code. All other sessions, codes and API keys end, "
        "and so do passkeys that were added in the last seven days and are no second factor. Other "
        "passkeys stay, and the mail that tells of the new password names them. A second factor is "
        "asked for as before. Where the address was not confirmed, all ways into the account end.",
    )
    request_sign_in_code: CodeSentPayload | None = mutation(
        request_sign_in_code,
        RequestSignInCodeInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        ignores_dead_token=True,
        while_read_only=True,
        description=f"Mail a code for `signInWithCode`. {_ALIKE}",
    )
    sign_in_with_code: SessionPayload | None = mutation(
        sign_in_with_code,
        SignInWithCodeInput,
        errors=_CODE_ERRORS,
        ignores_dead_token=True,
        while_read_only=True,
        description="Sign in with a code, without a password. Where the address was not confirmed "
        "before, all other ways into the account end, and `passwordRequired` is true.",
    )
    change_password: OwnAccountPayload | None = mutation(
        change_password,
        ChangePasswordInput,
        errors=(
            ErrorCode.INVALID_CREDENTIALS,
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.PASSWORD_TOO_WEAK,
        ),
        demands=STRONG_SIGN_IN,
        description="Set a new password. All sessions but this one end. Who has no password yet "
        "sets one with `resetPassword`.",
    )
    request_email_change: CodeSentPayload | None = mutation(
        request_email_change,
        RequestEmailChangeInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        demands=FRESH_SIGN_IN | STRONG_SIGN_IN,
        description="Mail a code to another address, for `confirmEmailChange`. The answer is the "
        "same for an address that has an account; its owner is told by mail.",
    )
    confirm_email_change: OwnAccountPayload | None = mutation(
        confirm_email_change,
        ConfirmEmailChangeInput,
        errors=(*_CODE_ERRORS, ErrorCode.EMAIL_IN_USE),
        description="Change the account's address to the one that the code was mailed to. All "
        "sessions but this one end. The old address is told, and if it was confirmed, its reader "
        "can take the change back for seven days.",
    )
