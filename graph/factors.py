"""Factors in the schema: confirming who one is."""

from __future__ import annotations

from datetime import datetime

import strawberry

from auth.reauthentication import Reauthentication
from db.core.errors import ErrorCode
from graph.engine.declare import mutation
from graph.engine.execution.outcomes import Payload
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload


@strawberry.input(description="What proves again who is asking.")
class ReauthenticateInput:
    password: str = strawberry.field(description="The password.")


@strawberry.type(description="Result of `reauthenticate`.")
class ReauthenticatePayload(MutationPayload):
    access_token: str | None = strawberry.field(
        description="Send it from now on. The refresh token stays as it is; null on errors."
    )
    expires_at: datetime | None = strawberry.field(description="When the access token expires.")


async def reauthenticate(context: Context, input: ReauthenticateInput) -> Payload:
    """Freshens the caller's session."""
    actor = context.signed_in()
    reauthentication = context.services.of(Reauthentication.of)
    issued = await reauthentication.by_password(actor, input.password, network=context.network)
    return Payload({"access_token": issued.token, "expires_at": issued.expires_at})


@strawberry.type
class FactorsMutation:
    """Mutations on what proves who one is."""

    reauthenticate: ReauthenticatePayload | None = mutation(
        reauthenticate,
        ReauthenticateInput,
        errors=(ErrorCode.INVALID_CREDENTIALS,),
        description="Prove again who you are, in the session you have. What an operation refuses "
        "with FRESH_SIGN_IN_REQUIRED can be sent again afterwards.",
    )
