"""Factors in the schema: confirming who one is, authenticator apps and recovery codes."""

from __future__ import annotations

from datetime import datetime

import strawberry

from auth.demands import FRESH_SIGN_IN, STRONG_SIGN_IN
from auth.reauthentication import Reauthentication
from auth.second_factors import SecondFactors
from db.core.errors import ErrorCode, bad_input
from db.factors import tables
from graph.accounts import SessionPayload, User, session_payload
from graph.engine.declare import backed_by, column, global_id, mutation, related_row
from graph.engine.execution.outcomes import Payload
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node

CODE = "Six digits of the authenticator app, or a recovery code; blanks and dashes do not matter."


@backed_by(tables.TotpFactor, prefix="totp")
class Totp(Node):
    """An authenticator app. A code of it works once."""

    id: strawberry.ID = global_id()
    created_at: datetime = column(description="When it was begun.")
    confirmed_at: datetime | None = column(
        description="Since when the account asks for its codes; null until `confirmTotp`."
    )


@backed_by(tables.RecoveryCodes, prefix="recoveryCodes")
class RecoveryCodes(Node):
    """Codes to sign in with when the second factor is lost. Each works once."""

    id: strawberry.ID = global_id()
    codes_left: int = column(description="How many were not used yet.")
    created_at: datetime = column(description="When they were made.")


extend(
    User,
    totp=related_row(
        "id",
        "user_id",
        returns=Totp | None,
        description="The authenticator app; null without one, and of others.",
    ),
    recovery_codes=related_row(
        "id",
        "user_id",
        returns=RecoveryCodes | None,
        description="What is left of the recovery codes; null without any, and of others.",
    ),
)


@strawberry.input(description="What proves again who is asking: one of the two.")
class ReauthenticateInput:
    password: str | None = strawberry.field(
        default=None, description="The password. Null is as good as leaving it out."
    )
    code: str | None = strawberry.field(
        default=None, description=f"{CODE} Null is as good as leaving it out."
    )


@strawberry.type(description="Result of `reauthenticate`.")
class ReauthenticatePayload(MutationPayload):
    access_token: str | None = strawberry.field(
        description="Send it from now on. The refresh token stays as it is; null on errors."
    )
    expires_at: datetime | None = strawberry.field(description="When the access token expires.")


@strawberry.type(description="Result of `beginTotp`.")
class BeginTotpPayload(MutationPayload):
    secret: str | None = strawberry.field(
        description="To be typed into an authenticator app, in base 32. It is shown once."
    )
    uri: str | None = strawberry.field(
        description="The same as an `otpauth://` address, to be shown as a QR code."
    )


@strawberry.input(description="A code.")
class ConfirmTotpInput:
    code: str = strawberry.field(description="Six digits of the new authenticator app.")


@strawberry.type(description="Result of `confirmTotp` and `regenerateRecoveryCodes`.")
class RecoveryCodesPayload(MutationPayload):
    recovery_codes: list[str] | None = strawberry.field(
        description="Ten codes that replace all from before. They are shown once: have them "
        "printed or kept. Null on errors."
    )


@strawberry.input(description="A code.")
class RemoveTotpInput:
    code: str = strawberry.field(description=CODE)


@strawberry.type(description="Result of `removeTotp`.")
class RemoveTotpPayload(MutationPayload):
    removed: bool = strawberry.field(description="Whether it is gone.")


@strawberry.input(description="The second factor of a sign-in.")
class VerifySecondFactorInput:
    challenge_id: strawberry.ID = strawberry.field(
        description="`secondFactor.challengeId` of the first factor's answer."
    )
    code: str = strawberry.field(description=CODE)


async def reauthenticate(context: Context, input: ReauthenticateInput) -> Payload:
    """Freshens the caller's session."""
    actor = context.signed_in()
    if (input.password is None) == (input.code is None):
        raise bad_input("Send either the password or a code.", "input")
    if input.password is not None:
        by_password = context.services.of(Reauthentication.of).by_password
        issued = await by_password(actor, input.password, network=context.network)
    else:
        by_code = context.services.of(SecondFactors.of).reauthenticate
        issued = await by_code(actor, input.code or "", network=context.network)
    return Payload({"access_token": issued.token, "expires_at": issued.expires_at})


async def begin_totp(context: Context) -> Payload:
    """Offers a secret to an authenticator app."""
    offer = await context.services.of(SecondFactors.of).begin_totp(context.signed_in())
    return Payload({"secret": offer.secret, "uri": offer.uri})


async def confirm_totp(context: Context, input: ConfirmTotpInput) -> Payload:
    """Makes the authenticator app count."""
    factors = context.services.of(SecondFactors.of)
    codes = await factors.confirm_totp(context.signed_in(), input.code)
    return Payload({"recovery_codes": codes})


async def remove_totp(context: Context, input: RemoveTotpInput) -> Payload:
    """Forgets the authenticator app."""
    factors = context.services.of(SecondFactors.of)
    await factors.remove_totp(context.signed_in(), input.code, network=context.network)
    return Payload({"removed": True})


async def regenerate_recovery_codes(context: Context) -> Payload:
    """Makes new recovery codes."""
    factors = context.services.of(SecondFactors.of)
    codes = await factors.regenerate_recovery_codes(context.signed_in())
    return Payload({"recovery_codes": codes})


async def verify_second_factor(context: Context, input: VerifySecondFactorInput) -> Payload:
    """Opens the session that waits for a second factor."""
    factors = context.services.of(SecondFactors.of)
    return session_payload(
        await factors.verify(input.challenge_id, input.code, network=context.network)
    )


@strawberry.type
class FactorsMutation:
    """Mutations on what proves who one is."""

    reauthenticate: ReauthenticatePayload | None = mutation(
        reauthenticate,
        ReauthenticateInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.INVALID_CREDENTIALS,
            ErrorCode.CODE_INVALID,
        ),
        while_read_only=True,
        description="Prove again who you are, in the session you have. What an operation refuses "
        "with FRESH_SIGN_IN_REQUIRED or SECOND_FACTOR_REQUIRED can be sent again afterwards.",
    )
    begin_totp: BeginTotpPayload | None = mutation(
        begin_totp,
        errors=(ErrorCode.INVALID_STATE,),
        demands=FRESH_SIGN_IN | STRONG_SIGN_IN,
        description="Begin to use an authenticator app. It counts once `confirmTotp` has seen a "
        "code of it; beginning again replaces the secret until then.",
    )
    confirm_totp: RecoveryCodesPayload | None = mutation(
        confirm_totp,
        ConfirmTotpInput,
        errors=(ErrorCode.CODE_INVALID, ErrorCode.INVALID_STATE),
        description="Confirm the authenticator app. Every sign-in asks for a second factor from "
        "now on; sessions that were opened with one factor end, but the one that asks.",
    )
    remove_totp: RemoveTotpPayload | None = mutation(
        remove_totp,
        RemoveTotpInput,
        errors=(ErrorCode.CODE_INVALID,),
        description="Forget the authenticator app. The account does not ask for it any more.",
    )
    regenerate_recovery_codes: RecoveryCodesPayload | None = mutation(
        regenerate_recovery_codes,
        errors=(ErrorCode.INVALID_STATE,),
        demands=FRESH_SIGN_IN | STRONG_SIGN_IN,
        description="Make ten new recovery codes; those from before are worth nothing any more.",
    )
    verify_second_factor: SessionPayload | None = mutation(
        verify_second_factor,
        VerifySecondFactorInput,
        errors=(ErrorCode.CODE_INVALID,),
        ignores_dead_token=True,
        while_read_only=True,
        description="Give the second factor that a sign-in asked for.",
    )
