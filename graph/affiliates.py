"""Affiliates in the schema: links by which people recommend stores, and what they earn by them."""

from __future__ import annotations

import hmac
from datetime import datetime

import strawberry
from sqlalchemy import Double, Integer, Text

from db.affiliates import operations, tables
from db.affiliates.tables import CommissionStatus
from db.core.errors import ErrorCode
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    global_id,
    mutation,
    related_row,
    report,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome, Payload
from graph.engine.extending import extend
from graph.engine.specs import Report
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node, uuid_from_global_id
from graph.stores import Store

state_enum(CommissionStatus)


@backed_by(tables.AffiliateLink, prefix="affiliateLink")
class AffiliateLink(Node):
    """A user's recommendation of a store. It is their own to see."""

    id: strawberry.ID = global_id()
    code: str = column(
        description="What front ends keep of who comes by the link, and give to "
        "`trackAffiliateClick` and `createCheckout`."
    )
    clicks: int = column(description="How many networks came by it, each counted once in a day.")
    store: Store | None = related_row(
        "store_id", description="The store; null when it is not public."
    )
    created_at: datetime = column(description="When it was made.")


@backed_by(tables.AffiliateReferral, prefix="affiliateReferral")
class AffiliateReferral(Node):
    """What somebody earns because a sale came by their link. They and the seller see it."""

    id: strawberry.ID = global_id()
    status: CommissionStatus = column(description="How it stands.")
    store: Store | None = related_row(
        "store_id", description="The store that sold; null when it is closed."
    )
    commission_cents: int = column(
        description="What the sale was worth to who recommended it, in hundredths of the currency."
    )
    reversed_cents: int = column(description="What of it is lost because money went back.")
    currency: str = column(description="ISO 4217 code.")
    created_at: datetime = column(description="When the sale was paid.")


@strawberry.type(
    description="What somebody earned by recommending stores, in one currency; whole hundredths."
)
class AffiliateEarnings:
    currency: str = column(description="ISO 4217 code.")
    referral_count: int = column(description="How many sales came by their links.")
    commission_cents: float = column(description="What all of them were worth.")
    reversed_cents: float = column(description="What of it is lost because money went back.")
    held_cents: float = column(description="What is left and questioned by buyers' banks.")
    net_cents: float = column(description="What is left beside that, which sellers owe.")


def _no_arguments(self: object) -> object:  # noqa: ARG001
    """A report without arguments; the engine itself answers."""
    raise AssertionError("the engine answers reports")  # pragma: no cover


extend(
    User,
    affiliate_links=connection(
        AffiliateLink,
        NEWEST_FIRST,
        description="The user's links to stores, newest first.",
    ),
    affiliate_referrals=connection(
        AffiliateReferral,
        NEWEST_FIRST,
        key="user_id",
        description="What the user earned by their links, sale by sale, newest first.",
    ),
    owed_commissions=connection(
        AffiliateReferral,
        NEWEST_FIRST,
        key="seller_id",
        description="What the user owes to who recommended their stores, newest first.",
    ),
    affiliate_earnings=report(
        Report(
            operations.EARNINGS,
            (),
            (
                ("currency", Text()),
                ("referral_count", Integer()),
                ("commission_cents", Double()),
                ("reversed_cents", Double()),
                ("held_cents", Double()),
                ("net_cents", Double()),
            ),
        ),
        _no_arguments,
        returns=list[AffiliateEarnings],
        description="What the user earned by their links in each currency.",
    ),
)


@strawberry.input(description="A store to recommend.")
class CreateAffiliateLinkInput:
    store_id: strawberry.ID = strawberry.field(description="The store's global id.")


@strawberry.input(description="A link by which somebody came.")
class TrackAffiliateClickInput:
    code: str = strawberry.field(description="The link's code.")


@strawberry.type(description="Result of `createAffiliateLink`.")
class CreateAffiliateLinkPayload(MutationPayload):
    affiliate_link: AffiliateLink | None = strawberry.field(description="The link; null on errors.")


@strawberry.type(description="Result of `trackAffiliateClick`.")
class TrackAffiliateClickPayload(MutationPayload):
    is_counted: bool | None = strawberry.field(
        description="Whether it counts: each network counts once in a day, and a code that is none "
        "never does."
    )


async def create_affiliate_link(context: Context, input: CreateAffiliateLinkInput) -> Outcome:
    """Gives the caller's link to a store."""
    context.signed_in()
    store_id = uuid_from_global_id(input.store_id, "store", "input", "storeId")
    return Outcome(operations.create_link(store_id), {"affiliate_link": RESULT})


async def track_affiliate_click(context: Context, input: TrackAffiliateClickInput) -> Payload:
    """Counts that somebody came by a link, without keeping who."""
    key = context.services.settings.secret("refresh-token-key").encode()
    network = hmac.digest(key, b"affiliate_clicks:" + context.network.encode(), "sha256")
    counted = await operations.count_click(context.services.database, input.code, network)
    return Payload({"is_counted": counted})


@strawberry.type
class AffiliatesMutation:
    """Mutations on affiliates."""

    create_affiliate_link: CreateAffiliateLinkPayload | None = mutation(
        create_affiliate_link,
        CreateAffiliateLinkInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE, ErrorCode.LIMIT_EXCEEDED),
        for_api_keys=True,
        description="Get the caller's link to a store of another's, the same every time. What is "
        "bought with its code earns the store's commission, of products with "
        "`affiliatesEnabled`. Guests sign up first.",
    )
    track_affiliate_click: TrackAffiliateClickPayload | None = mutation(
        track_affiliate_click,
        TrackAffiliateClickInput,
        errors=(),
        ignores_dead_token=True,
        description="Count that somebody came by a link, with an account or without.",
    )
