"""Sign-in providers in the schema: signing in by them, and the identities of an account."""

from __future__ import annotations

from datetime import datetime

import strawberry

from auth.demands import FRESH_SIGN_IN, STRONG_SIGN_IN
from auth.identities import Caller, Identities
from db.core.errors import ErrorCode
from db.identities import tables
from graph.accounts import SessionPayload, User, session_payload
from graph.engine.declare import backed_by, column, connection, global_id, mutation
from graph.engine.execution.outcomes import Payload, Ref
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node, uuid_from_global_id

PROVIDER = "`google`, `apple`, `facebook`, `discord`, or what the server's OIDC_PROVIDERS names."
ID_TOKEN = "The ID token, a JWT, as the provider gave it to the app. Each works once."
NONCE = "What the app made up and gave the provider, as it is or as its SHA-256 in hex."
VERIFIER = "The PKCE verifier whose SHA-256 was `code_challenge` when the browser was sent out."


@backed_by(tables.UserIdentity, prefix="identity")
class UserIdentity(Node):
    """Who a user is at a sign-in provider."""

    id: strawberry.ID = global_id()
    provider: str = column(description="The provider's name, such as `google`.")
    subject: str = column(description="The user's id there, which never changes.")
    email: str | None = column(description="The address that the provider verified last, or told.")
    is_email_verified: bool = column(
        description="Whether the provider has verified it. Facebook never says so."
    )
    name: str | None = column(description="The name that the provider told last.")
    created_at: datetime = column(description="When it was linked.")
    last_used_at: datetime = column(description="When it was last signed in with.")


extend(
    User,
    identities=connection(
        UserIdentity,
        ("created_at", "id"),
        description="Where else the user can sign in, the oldest first.",
    ),
)


@strawberry.input(description="What the browser brought back from a provider.")
class ExchangeSignInCodeInput:
    code: str = strawberry.field(
        description="The parameter `code` of the page that the browser was sent back to. It works "
        "once, for a minute."
    )
    code_verifier: str | None = strawberry.field(
        default=None,
        description=f"{VERIFIER} Left out only when there was none. Null is as good as leaving it "
        "out.",
    )


@strawberry.input(description="An ID token that an app got from a provider.")
class SignInWithIdTokenInput:
    provider: str = strawberry.field(description=PROVIDER)
    id_token: str = strawberry.field(description=ID_TOKEN)
    nonce: str = strawberry.field(description=NONCE)


@strawberry.input(description="An ID token of the identity to link.")
class LinkIdentityInput:
    provider: str = strawberry.field(description=PROVIDER)
    id_token: str = strawberry.field(description=ID_TOKEN)
    nonce: str = strawberry.field(description=NONCE)


@strawberry.input(description="What the browser brought back from the provider to link.")
class LinkIdentityWithCodeInput:
    code: str = strawberry.field(
        description="The parameter `code` of the page that the browser was sent back to."
    )
    code_verifier: str = strawberry.field(description=VERIFIER)


@strawberry.input(description="Which identity to unlink.")
class UnlinkIdentityInput:
    id: strawberry.ID = strawberry.field(description="The identity's global id.")


@strawberry.type(description="Result of `linkIdentity` and `linkIdentityWithCode`.")
class LinkIdentityPayload(MutationPayload):
    identity: UserIdentity | None = strawberry.field(
        description="The identity, now the caller's; null on errors."
    )


@strawberry.type(description="Result of `unlinkIdentity`.")
class UnlinkIdentityPayload(MutationPayload):
    unlinked_id: strawberry.ID | None = strawberry.field(
        description="The global id of what is gone; null when nothing was unlinked."
    )


def _caller(context: Context) -> Caller:
    guest = context.actor if context.actor.is_anonymous else None
    return Caller(context.network, context.user_agent, guest)


async def exchange_sign_in_code(context: Context, input: ExchangeSignInCodeInput) -> Payload:
    """Opens a session for who came back from a provider."""
    identities = context.services.of(Identities.of)
    return session_payload(
        await identities.sign_in_with_code(input.code, input.code_verifier, _caller(context))
    )


async def sign_in_with_id_token(context: Context, input: SignInWithIdTokenInput) -> Payload:
    """Opens a session for whom an ID token names."""
    identities = context.services.of(Identities.of)
    return session_payload(
        await identities.sign_in_with_token(
            input.provider, input.id_token, input.nonce, _caller(context)
        )
    )


async def link_identity(context: Context, input: LinkIdentityInput) -> Payload:
    """Links whom an ID token names to the caller's account."""
    actor = context.signed_in()
    await context.services.accounts.refuse_gone(actor)
    identities = context.services.of(Identities.of)
    linked = await identities.link_token(actor, input.provider, input.id_token, input.nonce)
    return Payload({"identity": Ref(linked)})


async def link_identity_with_code(context: Context, input: LinkIdentityWithCodeInput) -> Payload:
    """Links who came back from a provider to the caller's account."""
    actor = context.signed_in()
    await context.services.accounts.refuse_gone(actor)
    identities = context.services.of(Identities.of)
    linked = await identities.link_code(actor, input.code, input.code_verifier)
    return Payload({"identity": Ref(linked)})


async def unlink_identity(context: Context, input: UnlinkIdentityInput) -> Payload:
    """Takes an identity from the caller's account."""
    actor = context.signed_in()
    identity_id = uuid_from_global_id(input.id, "identity", "input", "id")
    await context.services.of(Identities.of).unlink(actor, identity_id)
    return Payload({"unlinked_id": input.id})


@strawberry.type
class IdentitiesMutation:
    """Mutations on identities."""

    exchange_sign_in_code: SessionPayload | None = mutation(
        exchange_sign_in_code,
        ExchangeSignInCodeInput,
        errors=(ErrorCode.CODE_INVALID, ErrorCode.INVALID_CREDENTIALS),
        ignores_dead_token=True,
        while_read_only=True,
        description="Sign in with what the browser brought back from "
        "`/auth/{provider}/start?redirect_to=…`. A new identity opens an account. Sent with a "
        "guest's token and a `codeVerifier`, it turns the guest into a member who keeps "
        "everything, unless the identity or its verified address has an account already.",
    )
    sign_in_with_id_token: SessionPayload | None = mutation(
        sign_in_with_id_token,
        SignInWithIdTokenInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.INVALID_CREDENTIALS,
            ErrorCode.PROVIDER_NOT_CONFIGURED,
            ErrorCode.PROVIDER_FAILED,
        ),
        ignores_dead_token=True,
        while_read_only=True,
        description="Sign in with an ID token that an app got from a provider by itself. A new "
        "identity opens an account; sent with a guest's token, it turns the guest into a member.",
    )
    link_identity: LinkIdentityPayload | None = mutation(
        link_identity,
        LinkIdentityInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.INVALID_CREDENTIALS,
            ErrorCode.PROVIDER_NOT_CONFIGURED,
            ErrorCode.PROVIDER_FAILED,
            ErrorCode.IDENTITY_IN_USE,
            ErrorCode.LIMIT_EXCEEDED,
        ),
        demands=FRESH_SIGN_IN | STRONG_SIGN_IN,
        description="Let the caller sign in with an identity at a provider, by an ID token. Not "
        "for guests. At most 20 are linked.",
    )
    link_identity_with_code: LinkIdentityPayload | None = mutation(
        link_identity_with_code,
        LinkIdentityWithCodeInput,
        errors=(ErrorCode.CODE_INVALID, ErrorCode.IDENTITY_IN_USE, ErrorCode.LIMIT_EXCEEDED),
        demands=FRESH_SIGN_IN | STRONG_SIGN_IN,
        description="The same by what the browser brought back from a provider that gives apps no "
        "ID tokens. The browser was sent out with a `code_challenge`.",
    )
    unlink_identity: UnlinkIdentityPayload | None = mutation(
        unlink_identity,
        UnlinkIdentityInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.LAST_IDENTITY),
        demands=FRESH_SIGN_IN | STRONG_SIGN_IN,
        description="Take an identity from the caller's account. The last way in stays.",
    )
