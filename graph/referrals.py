"""Referrals in the schema: a user's code, who came by it, and redeeming one."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.core.errors import ErrorCode
from db.referrals import operations, tables
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    global_id,
    mutation,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node

state_enum(tables.ReferralStatus)


@backed_by(tables.Referral, prefix="referral")
class Referral(Node):
    """A member who came by another's code."""

    id: strawberry.ID = global_id()
    status: tables.ReferralStatus = column(description="How far it is.")
    credits: int = column(
        description="What it gave whose code it was: 0 before, and beyond as many as are rewarded."
    )
    created_at: datetime = column(description="When the code was redeemed.")
    ended_at: datetime | None = column(description="When it was rewarded, refused or lapsed.")


extend(
    User,
    referral_code=column(
        returns=str,
        description="The user's code, for friends: they give it to `signUp` or "
        "`redeemReferralCode`. Both get credits once the friend has bought or used something.",
    ),
    referrals=connection(
        Referral,
        NEWEST_FIRST,
        key="referrer_id",
        description="Who came by the user's code, newest first.",
    ),
)


@strawberry.input(description="The code of a friend.")
class RedeemReferralCodeInput:
    code: str = strawberry.field(description="The friend's `referralCode`, in any spelling.")
    device_id: str | None = strawberry.field(
        default=None,
        description="An id of the installation, as for `signInAnonymously`. A device counts once; "
        "without it, only a purchase does. Null is as good as leaving it out.",
    )


@strawberry.type(description="Result of `redeemReferralCode`.")
class RedeemReferralCodePayload(MutationPayload):
    referral: Referral | None = strawberry.field(
        description="The referral; REFUSED where it does not count; null on errors."
    )


async def redeem_referral_code(context: Context, input: RedeemReferralCodeInput) -> Outcome:
    """Notes whose code the caller came by."""
    context.signed_in()
    return Outcome(operations.redeem(input.code, input.device_id), {"referral": RESULT})


@strawberry.type
class ReferralsMutation:
    """Mutations on referrals."""

    redeem_referral_code: RedeemReferralCodePayload | None = mutation(
        redeem_referral_code,
        RedeemReferralCodeInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE),
        description="Say by whose code the caller came, within 30 days of signing up and before "
        "anything is bought. Both get credits once the caller has bought something, or, with a "
        "confirmed address, used a credit.",
    )
