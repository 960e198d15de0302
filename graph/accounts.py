"""Accounts in the schema: the viewer, signing up, in and out, and renewing a session."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

import strawberry
from sqlalchemy import and_, literal_column, not_

from auth.sessions import SecondFactorNeeded, SignInResult
from auth.sign_ups import SignUps
from db.accounts import tables
from db.accounts.new_accounts import check_new_account
from db.core.errors import DomainError, ErrorCode
from db.core.predicates import came_with_less
from db.referrals import operations as referrals
from graph.engine.declare import (
    backed_by,
    column,
    expression,
    global_id,
    mutation,
    node_lookup,
    nodes_lookup,
    viewer_row,
)
from graph.engine.execution.outcomes import Payload, Ref
from graph.shared.context import Context
from graph.shared.errors import user_error
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node
from graph.shared.scalars import JSON


@backed_by(tables.User, prefix="user")
class User(Node):
    """A person, or a guest who has not signed up yet."""

    id: strawberry.ID = global_id()
    email: str | None = column(
        description="The e-mail address; null for a guest, and for who signed in with a provider "
        "that has verified none."
    )
    is_anonymous: bool = column(description="Whether this is a guest.")
    is_admin: bool = expression(
        lambda user: and_(user.c.role == literal_column("'admin'"), not_(came_with_less())),
        description="Whether they may use what is for admins. False to who came with an API key, "
        "or a token of another service.",
    )
    is_locked: bool = expression(
        lambda user: user.c.status == literal_column("'locked'"),
        description="Whether an admin locked the account, so that nobody signs in.",
    )
    display_name: str | None = column(description="The name shown to others.")
    created_at: datetime = column(description="When the account was opened.")
    username: str = column(description="Names them to others; made up for who chose none.")
    locale: str | None = column(
        description="The language that they chose, as a tag of RFC 5646 such as `pt-BR`."
    )
    time_zone: str | None = column(
        description="The time zone that they chose, as the IANA database names it."
    )
    notification_preferences: JSON = column(
        description="A switch for each kind of notification that the product has. What is not "
        "named is on."
    )
    email_confirmed_at: datetime | None = column(
        description="When they last proved that they read what is sent to `email`; null while "
        "they have not."
    )


@strawberry.type(description="A signed-in session. Keep both tokens secret.")
class AuthSession:
    """Tokens and whose they are."""

    access_token: str = strawberry.field(description="Send as `Authorization: Bearer …`.")
    refresh_token: str = strawberry.field(
        description="Give it to `refreshSession` once, before or after the access token expires."
    )
    expires_at: datetime = strawberry.field(description="When the access token expires.")
    user: User | None = strawberry.field(description="Who is signed in.")


@strawberry.input(description="What an account is opened with.")
class SignUpInput:
    email: str = strawberry.field(
        description="At most 254 bytes, in one alphabet. It is kept as it is typed; all spellings "
        "of an address (case, an accented letter as one character or two, `münchen.example` or "
        "`xn--mnchen-3ya.example`) are one; `çan@` and `can@` are two."
    )
    password: str = strawberry.field(
        description="8 to 256 characters of any kind, and none of the most common passwords."
    )
    username: str | None = strawberry.field(
        default=None,
        description="3 to 30 letters and digits of ASCII, with single `.`, `_` or `-` between "
        "them; made up when left out. Null is as good as leaving it out.",
    )
    locale: str | None = strawberry.field(
        default=None,
        description="The language of mails, as a tag of RFC 5646 such as `pt-BR`; English when "
        "left out. Null is as good as leaving it out.",
    )
    referral_code: str | None = strawberry.field(
        default=None,
        description="The `referralCode` of a friend; one that nobody has is forgotten. Null is as "
        "good as leaving it out.",
    )


@strawberry.input(description="An e-mail address and a password.")
class SignInInput:
    email: str = strawberry.field(description="The address signed up with.")
    password: str = strawberry.field(description="The password.")


@strawberry.input(description="What is known of a guest's device.")
class SignInAnonymouslyInput:
    device_id: str | None = strawberry.field(
        default=None,
        description="An id of the installation, such as a UUID that the app keeps. A device gets "
        "the bonus once, and its guests share the free activities of a day; only a hash of its id "
        "is stored. Null is as good as leaving it out.",
    )


@strawberry.input(description="A refresh token.")
class RefreshSessionInput:
    refresh_token: str = strawberry.field(description="The newest refresh token of the session.")


@strawberry.enum(description="What can be given as a second factor.")
class SecondFactorMethod(Enum):
    """By the names of `SecondFactor`."""

    TOTP = strawberry.enum_value("TOTP", description="The six digits of an authenticator app.")
    RECOVERY_CODE = strawberry.enum_value(
        "RECOVERY_CODE", description="One of the codes that were shown once, to be kept."
    )
    PASSKEY = strawberry.enum_value("PASSKEY", description="A passkey of the account.")


@strawberry.type(description="A sign-in whose first factor was right, and which needs another.")
class SecondFactorRequest:
    """What `verifySecondFactor` is about."""

    challenge_id: strawberry.ID = strawberry.field(
        description="For `verifySecondFactor`. Good for 10 minutes and 5 guesses."
    )
    methods: list[SecondFactorMethod] = strawberry.field(
        description="What the account has. `verifySecondFactor` takes the codes, "
        "`beginPasskeySignIn` the id for a passkey."
    )
    expires_at: datetime = strawberry.field(description="Until when.")


@strawberry.type(description="Result of signing up or in, or of renewing a session.")
class SessionPayload(MutationPayload):
    session: AuthSession | None = strawberry.field(
        description="The session; null on errors, while the e-mail address waits to be confirmed, "
        "and while a second factor is needed."
    )
    second_factor: SecondFactorRequest | None = strawberry.field(
        description="Set when the account asks for a second factor before there is a session."
    )
    bonus_credits: int | None = strawberry.field(
        description="Credits that came with the account just opened: 0 when its address or device "
        "has had its bonuses for now. Null when no account was opened."
    )
    password_required: bool | None = strawberry.field(
        description="True when a code has signed in to an account that has no password now: "
        "it is not known whether who confirms its address has chosen the password, or somebody had "
        "opened it without confirming the address. Let its owner set one, with "
        "`requestPasswordReset` and `resetPassword`. Null when there is no session."
    )
    sign_up_token: str | None = strawberry.field(
        description="Set by `signUp` where addresses are confirmed: give it to `confirmEmail` and "
        "the account has the password that was chosen. Keep it on this device, as it shows who "
        "signed up here. Null otherwise."
    )


@strawberry.type(description="Result of `signOut`.")
class SignOutPayload(MutationPayload):
    signed_out: bool = strawberry.field(description="True: the session's tokens are dead.")


_NO_SESSION = dict.fromkeys(
    ("session", "second_factor", "bonus_credits", "password_required", "sign_up_token")
)


def session_payload(signed_in: SignInResult) -> Payload:
    """What every way into an account answers with."""
    if isinstance(signed_in, SecondFactorNeeded):
        waiting = {
            "challenge_id": signed_in.challenge_id,
            "methods": [SecondFactorMethod[factor.name] for factor in signed_in.factors],
            "expires_at": signed_in.expires_at,
        }
        return Payload({**_NO_SESSION, "second_factor": waiting})
    session: dict[str, Any] = {
        "access_token": signed_in.access_token,
        "refresh_token": signed_in.refresh_token,
        "expires_at": signed_in.expires_at,
        "user": Ref(signed_in.user_id),
    }
    fields = {
        "session": session,
        "second_factor": None,
        "bonus_credits": signed_in.bonus_credits,
        "password_required": signed_in.password_required,
        "sign_up_token": None,
    }
    return Payload(fields, reader=signed_in.actor)


async def sign_up(context: Context, input: SignUpInput) -> Payload:
    """Opens an account; a signed-in guest keeps everything they have."""
    guest = context.actor if context.actor.is_anonymous else None
    given = (input.email, input.password, input.username, input.locale)
    if context.services.settings.confirms_email:
        sign_ups = context.services.of(SignUps.of)
        new = check_new_account(*given, blocked_words=context.services.settings.blocked_words)
        token = await sign_ups.begin(new, network=context.network, anonymous=guest)
        await _keep_code(context, input)
        return Payload({**_NO_SESSION, "sign_up_token": token})
    signed_up = await context.services.accounts.sign_up(
        *given, network=context.network, user_agent=context.user_agent, anonymous=guest
    )
    await _keep_code(context, input)
    return session_payload(signed_up)


async def _keep_code(context: Context, input: SignUpInput) -> None:
    """Keeps a friend's code for the account that this becomes."""
    if input.referral_code is not None:
        await referrals.claim(context.services.database, input.email, input.referral_code)


async def sign_in(context: Context, input: SignInInput) -> Payload:
    """Opens a session of an existing account."""
    accounts = context.services.accounts
    return session_payload(
        await accounts.sign_in(
            input.email, input.password, network=context.network, user_agent=context.user_agent
        )
    )


async def sign_in_anonymously(
    context: Context, input: SignInAnonymouslyInput | None = None
) -> Payload:
    """Opens a guest's account and session."""
    return session_payload(
        await context.services.accounts.sign_in_anonymously(
            network=context.network,
            device_id=input.device_id if input else None,
            user_agent=context.user_agent,
        )
    )


async def refresh_session(context: Context, input: RefreshSessionInput) -> Payload:
    """Renews a session. A dead token is the input's fault here, so it is a UserError."""
    try:
        accounts = context.services.accounts
        return session_payload(await accounts.refresh(input.refresh_token, network=context.network))
    except DomainError as error:
        if error.code is not ErrorCode.UNAUTHENTICATED:
            raise
        return Payload({**_NO_SESSION, "errors": [user_error(error)]})


async def sign_out(context: Context) -> Payload:
    """Ends the caller's session; without one, there is nothing to end."""
    await context.services.accounts.sign_out(context.actor)
    return Payload({"signed_out": True, "viewer": None})


@strawberry.type
class AccountsQuery:
    """Queries on accounts."""

    viewer: User | None = viewer_row(description="Who is asking; null without a token.")
    node: Node | None = node_lookup(
        description="The object with a global id; null when it is missing or not the caller's."
    )
    nodes: list[Node | None] = nodes_lookup(
        description="The objects with these global ids, in their order; null for each that is "
        "missing or not the caller's."
    )


@strawberry.type
class AccountsMutation:
    """Mutations on accounts."""

    sign_up: SessionPayload | None = mutation(
        sign_up,
        SignUpInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.PASSWORD_TOO_WEAK,
            ErrorCode.USERNAME_IN_USE,
            ErrorCode.EMAIL_IN_USE,
        ),
        ignores_dead_token=True,
        description="Open an account. Sent with a guest's token, it turns the guest into a "
        "member who keeps profiles, generations and credits. Where addresses are confirmed, the "
        "session is null, whether the address has an account or not, and a mail says how to go on: "
        "`confirmEmail` opens the account and the session. Until then a guest's session stays.",
    )
    sign_in: SessionPayload | None = mutation(
        sign_in,
        SignInInput,
        errors=(ErrorCode.INVALID_CREDENTIALS, ErrorCode.EMAIL_NOT_CONFIRMED),
        ignores_dead_token=True,
        while_read_only=True,
        description="Sign in with e-mail and password. Where the account has a second factor, the "
        "session is null and `secondFactor` says how to go on.",
    )
    sign_in_anonymously: SessionPayload | None = mutation(
        sign_in_anonymously,
        SignInAnonymouslyInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        needs_input=False,
        ignores_dead_token=True,
        description="Begin as a guest, without e-mail or password.",
    )
    refresh_session: SessionPayload | None = mutation(
        refresh_session,
        RefreshSessionInput,
        errors=(ErrorCode.UNAUTHENTICATED, ErrorCode.SESSION_EXPIRED),
        ignores_dead_token=True,
        while_read_only=True,
        description="Exchange a refresh token for new tokens. Each works once; using one again "
        "later ends the whole session. A member signs in again after 90 days by default "
        "(SESSION_EXPIRED), or proves who they are with `reauthenticate` before.",
    )
    sign_out: SignOutPayload | None = mutation(
        sign_out,
        errors=(),
        while_read_only=True,
        description="End the session of the token this is sent with.",
    )
