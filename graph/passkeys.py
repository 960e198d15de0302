"""Passkeys in the schema: registering, using, naming and removing them."""

from __future__ import annotations

from datetime import datetime

import strawberry

from auth.demands import FRESH_SIGN_IN, STRONG_SIGN_IN
from auth.passkeys import Passkeys
from db.core.errors import ErrorCode
from db.factors import passkeys, tables
from graph.accounts import SessionPayload, User, session_payload
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    global_id,
    mutation,
)
from graph.engine.execution.outcomes import RESULT, Outcome, Payload, Ref
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node, uuid_from_global_id
from graph.shared.scalars import JSON

OPTIONS = "What `PublicKeyCredential.parse{}OptionsFromJSON()` takes; good once, for 5 minutes."
CREDENTIAL = "What the browser made, by its `toJSON()`."


@backed_by(tables.Passkey, prefix="passkey")
class Passkey(Node):
    """A passkey: on this device alone, or synced by its maker."""

    id: strawberry.ID = global_id()
    name: str = column(description="What its owner calls it.")
    is_second_factor: bool = column(
        description="Whether the account asks for a second factor because of it."
    )
    is_synced: bool = column(description="Whether its maker keeps copies of it elsewhere.")
    created_at: datetime = column(description="When it was registered.")
    last_used_at: datetime | None = column(description="When it was used last.")


extend(
    User,
    passkeys=connection(
        Passkey, NEWEST_FIRST, description="Their passkeys, newest first; 20 at most."
    ),
)


@strawberry.input(description="What the passkey is to be.")
class BeginPasskeyRegistrationInput:
    second_factor: bool | None = strawberry.field(
        default=None,
        description="With true, every sign-in by another way asks for a second factor from then "
        "on, and a key without PIN will do. Otherwise it is one more way to sign in. "
        "Null is as good as leaving it out.",
    )


@strawberry.type(description="Result of `beginPasskeyRegistration`.")
class BeginPasskeyRegistrationPayload(MutationPayload):
    options: JSON | None = strawberry.field(description=OPTIONS.format("Creation"))


@strawberry.input(description="A new passkey.")
class FinishPasskeyRegistrationInput:
    credential: JSON = strawberry.field(description=CREDENTIAL)
    name: str = strawberry.field(
        default="Passkey", description="How its owner knows it again; 1 to 100 characters."
    )


@strawberry.type(description="Result of `finishPasskeyRegistration`.")
class FinishPasskeyRegistrationPayload(MutationPayload):
    passkey: Passkey | None = strawberry.field(description="The passkey; null on errors.")
    recovery_codes: list[str] | None = strawberry.field(
        description="Ten codes, shown once, when the account asks for a second factor now and had "
        "none yet."
    )


@strawberry.input(description="What the passkey is for.")
class BeginPasskeySignInInput:
    challenge_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="`secondFactor.challengeId`, to give a passkey as the second factor. Without "
        "it, any passkey signs in to its account. Null is as good as leaving it out.",
    )


@strawberry.type(description="Result of `beginPasskeySignIn`.")
class BeginPasskeySignInPayload(MutationPayload):
    options: JSON | None = strawberry.field(description=OPTIONS.format("Request"))


@strawberry.input(description="The answer of a passkey.")
class FinishPasskeySignInInput:
    credential: JSON = strawberry.field(description=CREDENTIAL)


@strawberry.input(description="Another name.")
class RenamePasskeyInput:
    id: strawberry.ID = strawberry.field(description="The passkey's global id.")
    name: str = strawberry.field(description="1 to 100 characters.")


@strawberry.type(description="Result of `renamePasskey`.")
class RenamePasskeyPayload(MutationPayload):
    passkey: Passkey | None = strawberry.field(description="The passkey; null on errors.")


@strawberry.input(description="Which passkey to forget.")
class RemovePasskeyInput:
    id: strawberry.ID = strawberry.field(description="The passkey's global id.")


@strawberry.type(description="Result of `removePasskey`.")
class RemovePasskeyPayload(MutationPayload):
    removed_id: strawberry.ID | None = strawberry.field(
        description="The passkey's global id; null on errors."
    )


async def begin_passkey_registration(
    context: Context, input: BeginPasskeyRegistrationInput | None = None
) -> Payload:
    """Offers to make a passkey."""
    options = await context.services.of(Passkeys.of).begin_registration(
        context.signed_in(), is_second_factor=input is not None and input.second_factor is True
    )
    return Payload({"options": options})


async def finish_passkey_registration(
    context: Context, input: FinishPasskeyRegistrationInput
) -> Payload:
    """Keeps a passkey."""
    registered = await context.services.of(Passkeys.of).finish_registration(
        context.signed_in(), input.credential, input.name
    )
    return Payload(
        {"passkey": Ref(registered.passkey_id), "recovery_codes": registered.recovery_codes}
    )


async def begin_passkey_sign_in(
    context: Context, input: BeginPasskeySignInInput | None = None
) -> Payload:
    """Asks for a passkey."""
    challenge_id = input.challenge_id if input is not None else None
    options = await context.services.of(Passkeys.of).begin_sign_in(context.network, challenge_id)
    return Payload({"options": options})


async def finish_passkey_sign_in(context: Context, input: FinishPasskeySignInInput) -> Payload:
    """Opens a session by a passkey."""
    return session_payload(
        await context.services.of(Passkeys.of).finish_sign_in(
            input.credential, network=context.network, user_agent=context.user_agent
        )
    )


async def rename_passkey(context: Context, input: RenamePasskeyInput) -> Outcome:
    """Gives a passkey another name."""
    context.signed_in()
    passkey_id = uuid_from_global_id(input.id, "passkey", "input", "id")
    return Outcome(passkeys.rename(passkey_id, input.name), {"passkey": RESULT})


async def remove_passkey(context: Context, input: RemovePasskeyInput) -> Payload:
    """Forgets a passkey."""
    actor = context.signed_in()
    passkey_id = uuid_from_global_id(input.id, "passkey", "input", "id")
    await context.services.of(Passkeys.of).remove(actor, passkey_id)
    return Payload({"removed_id": input.id})


@strawberry.type
class PasskeysMutation:
    """Mutations on passkeys."""

    begin_passkey_registration: BeginPasskeyRegistrationPayload | None = mutation(
        begin_passkey_registration,
        BeginPasskeyRegistrationInput,
        errors=(ErrorCode.INVALID_STATE, ErrorCode.LIMIT_EXCEEDED),
        needs_input=False,
        demands=FRESH_SIGN_IN | STRONG_SIGN_IN,
        description="Begin to register a passkey of this device or of a security key.",
    )
    finish_passkey_registration: FinishPasskeyRegistrationPayload | None = mutation(
        finish_passkey_registration,
        FinishPasskeyRegistrationInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.CODE_INVALID, ErrorCode.LIMIT_EXCEEDED),
        description="Keep the passkey that was made.",
    )
    begin_passkey_sign_in: BeginPasskeySignInPayload | None = mutation(
        begin_passkey_sign_in,
        BeginPasskeySignInInput,
        errors=(ErrorCode.CODE_INVALID,),
        needs_input=False,
        ignores_dead_token=True,
        while_read_only=True,
        description="Begin to sign in with a passkey, or to give one as the second factor.",
    )
    finish_passkey_sign_in: SessionPayload | None = mutation(
        finish_passkey_sign_in,
        FinishPasskeySignInInput,
        errors=(ErrorCode.CODE_INVALID,),
        ignores_dead_token=True,
        while_read_only=True,
        description="Sign in with a passkey. One that made sure of its user is two factors: "
        "nothing more is asked for.",
    )
    rename_passkey: RenamePasskeyPayload | None = mutation(
        rename_passkey,
        RenamePasskeyInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND),
        description="Give a passkey another name.",
    )
    remove_passkey: RemovePasskeyPayload | None = mutation(
        remove_passkey,
        RemovePasskeyInput,
        errors=(ErrorCode.NOT_FOUND,),
        demands=FRESH_SIGN_IN | STRONG_SIGN_IN,
        description="Forget a passkey. The account no longer knows it; the device still has it.",
    )
