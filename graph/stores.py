"""Stores in the schema: who sells, their public pages, and how they are paid."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import strawberry

from db.core.errors import ErrorCode, Problems
from db.files.storage import picture_type
from db.stores import operations, tables
from db.stores.domains import proof_of, require_proof
from db.stores.tables import ConnectStatus, CreatorType, DomainStatus, PayoutStatus
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    connection,
    global_id,
    mutation,
    related_row,
    state_enum,
    value_lookup,
)
from graph.engine.execution.outcomes import ACTOR, RESULT, Outcome, Payload, Ref
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.inputs import given, nulls, stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Connection, Node, noted_uuid, uuid_from_global_id
from graph.shared.scalars import JSON
from graph.uploads import WidthArgument, picture_url
from payments.onboarding import sellers_of

state_enum(CreatorType)
state_enum(ConnectStatus)
state_enum(DomainStatus)
state_enum(PayoutStatus)

_SELLERS_AT = "A payment provider that keeps accounts of sellers: `stripe` or `paypal`."
_PAGE = "A JSON object that the store's front end reads, at most 32 KiB."
_LINKS = "Addresses by name, such as `discord`: a JSON object of at most 20."
_SLUG = "3 to 63 small letters, digits and hyphens, unique: the store's place in addresses."


@backed_by(tables.CreatorProfile, prefix="creatorProfile")
class CreatorProfile(Node):
    """What somebody who sells says of themselves and their business. It is their own to see."""

    id: strawberry.ID = global_id()
    creator_type: CreatorType = column(description="What they are.")
    business_name: str | None = column(description="What the business is called.")
    business_description: str | None = column(description="What it does.")
    contact_email: str | None = column(description="Where buyers are told to write to.")
    website_url: str | None = column(description="Its own pages.")
    links: JSON = column(description=_LINKS)
    onboarded_at: datetime | None = column(
        description="When a payment provider first said that a store of theirs can be paid."
    )
    created_at: datetime = column(description="When it was made.")
    updated_at: datetime = column(description="When it last changed.")


@backed_by(tables.Payout, prefix="payout")
class Payout(Node):
    """Money that a payment provider sends to a seller's bank."""

    id: strawberry.ID = global_id()
    provider: str = column(description="The payment provider.")
    amount_cents: int = column(description="In hundredths of the currency.")
    currency: str = column(description="ISO 4217 code.")
    status: PayoutStatus = column(description="How far it is.")
    arrives_at: datetime | None = column(description="When the bank is to have it.")
    created_at: datetime = column(description="When it was first told of.")


def _picture_url(path: str | None, width: str | None) -> str | None:
    return picture_url(path, picture_type(path), width) if path else None


@backed_by(tables.Store, prefix="store")
class Store(Node):
    """A shop with a page of its own. One that is not public is its owner's alone."""

    id: strawberry.ID = global_id()
    slug: str = column(description="Its place in addresses, unique.")
    name: str = column(description="What it is called.")
    description: str | None = column(description="What it says of itself.")
    theme: JSON = column(description="How its page looks, as its front end reads it.")
    layout: JSON = column(description="What is where on its page, as its front end reads it.")
    links: JSON = column(description=_LINKS)

    @computed(
        "logo_path",
        description="A link to its logo, good for an hour at least; null without one. "
        "`setStorePicture` sets it.",
    )
    def logo_url(self: Any, width: WidthArgument = None) -> str | None:
        """Signs the link when the row is read."""
        return _picture_url(self.logo_path, width)  # type: ignore[arg-type]

    @computed(
        "banner_path",
        description="A link to the picture across the top of its page, as `logoUrl`; null without "
        "one.",
    )
    def banner_url(self: Any, width: WidthArgument = None) -> str | None:
        """Signs the link when the row is read."""
        return _picture_url(self.banner_path, width)  # type: ignore[arg-type]

    custom_domain: str | None = column(
        description="A domain that the owner names. It is theirs once `customDomainStatus` is "
        "VERIFIED; whoever runs the service leads it here then, and no other."
    )
    custom_domain_status: DomainStatus | None = column(
        description="Whether that is proven; null without a domain. One store at a time has a "
        "domain VERIFIED."
    )
    custom_domain_verified_at: datetime | None = column(
        description="Since when it is proven; null while it is not."
    )

    @computed(
        "id",
        description="What proves a domain: a TXT record with this text at the name `_tallygraph` "
        "below it, such as `_tallygraph.shop.example.com`. Then `verifyCustomDomain`.",
    )
    def custom_domain_proof(self: Any) -> str:
        """It is no secret: whoever may write the record has the domain."""
        return proof_of(UUID(self.id))

    is_public: bool = column(description="Whether others see it.")
    connect_status: ConnectStatus = column(
        description="How far its account at Stripe is, which takes what it earns there."
    )
    paypal_status: ConnectStatus = column(description="How far its account at PayPal is.")
    affiliate_commission_percent: int = column(
        description="How many hundredths of a sale go to who recommended it by a link of "
        "`createAffiliateLink`, of products with `affiliatesEnabled`."
    )
    created_at: datetime = column(description="When it was opened.")
    updated_at: datetime = column(description="When it last changed.")
    payouts: Connection[Payout] = connection(
        Payout,
        NEWEST_FIRST,
        key="store_id",
        description="What payment providers send to its owner's bank, newest first; empty for "
        "others.",
    )


extend(
    User,
    creator_profile=related_row(
        "id",
        "user_id",
        returns=CreatorProfile | None,
        description="The user as somebody who sells; null before `saveCreatorProfile`.",
    ),
    stores=connection(Store, NEWEST_FIRST, description="The user's stores, newest first."),
)


@stored_in(
    tables.CreatorProfile,
    description="Changes to what the caller says of themselves as a seller; the rest stays.",
)
class SaveCreatorProfileInput:
    creator_type: CreatorType | None = strawberry.field(
        default=strawberry.UNSET, description="What they are."
    )
    business_name: str | None = strawberry.field(
        default=strawberry.UNSET, description="One line of 1 to 100 characters."
    )
    business_description: str | None = strawberry.field(
        default=strawberry.UNSET, description="At most 500 characters."
    )
    contact_email: str | None = strawberry.field(
        default=strawberry.UNSET, description="An e-mail address."
    )
    website_url: str | None = strawberry.field(
        default=strawberry.UNSET, description="An address such as https://example.com."
    )
    links: JSON | None = strawberry.field(default=strawberry.UNSET, description=_LINKS)


@stored_in(tables.Store, beside=("idempotency_key",), description="A new store.")
class CreateStoreInput:
    slug: str = strawberry.field(description=_SLUG)
    name: str = strawberry.field(description="One line of 1 to 100 characters.")
    description: str | None = strawberry.field(
        default=strawberry.UNSET, description="At most 5,000 characters."
    )
    theme: JSON | None = strawberry.field(default=strawberry.UNSET, description=_PAGE)
    layout: JSON | None = strawberry.field(default=strawberry.UNSET, description=_PAGE)
    links: JSON | None = strawberry.field(default=strawberry.UNSET, description=_LINKS)
    custom_domain: str | None = strawberry.field(
        default=strawberry.UNSET, description="Such as shop.example.com, unique."
    )
    is_public: bool | None = strawberry.field(
        default=strawberry.UNSET, description="Whether others see it; they do, when left out."
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same store again. 1 to 255 characters, kept 30 days."
    )


@stored_in(tables.Store, description="Changes to a store; what is left out stays.")
class UpdateStoreInput:
    id: strawberry.ID = strawberry.field(description="The store's global id.")
    slug: str | None = strawberry.field(default=strawberry.UNSET, description=_SLUG)
    name: str | None = strawberry.field(
        default=strawberry.UNSET, description="One line of 1 to 100 characters."
    )
    description: str | None = strawberry.field(
        default=strawberry.UNSET, description="At most 5,000 characters."
    )
    theme: JSON | None = strawberry.field(default=strawberry.UNSET, description=_PAGE)
    layout: JSON | None = strawberry.field(default=strawberry.UNSET, description=_PAGE)
    links: JSON | None = strawberry.field(default=strawberry.UNSET, description=_LINKS)
    custom_domain: str | None = strawberry.field(
        default=strawberry.UNSET, description="Such as shop.example.com, unique."
    )
    is_public: bool | None = strawberry.field(
        default=strawberry.UNSET, description="Whether others see it and what it sells."
    )
    affiliate_commission_percent: int | None = strawberry.field(
        default=strawberry.UNSET,
        description="How many hundredths of a sale go to who recommended it, 1 to 90.",
    )


@strawberry.input(description="A store whose domain is to be proven.")
class VerifyCustomDomainInput:
    store_id: strawberry.ID = strawberry.field(description="The store's global id.")


@strawberry.input(description="A store to be paid, and where its owner goes after that.")
class OnboardSellerInput:
    store_id: strawberry.ID = strawberry.field(description="The store's global id.")
    provider: str = strawberry.field(default="stripe", description=_SELLERS_AT)
    return_url: str | None = strawberry.field(
        default=None,
        description="Where the owner comes back to, done or not; its origin is one of "
        "REDIRECT_ORIGINS, and a demo takes any web page. Null is as good as leaving it out.",
    )


@strawberry.input(description="A store whose account is to be asked about.")
class RefreshSellerInput:
    store_id: strawberry.ID = strawberry.field(description="The store's global id.")
    provider: str = strawberry.field(default="stripe", description=_SELLERS_AT)


@strawberry.type(description="Result of `onboardSeller`.")
class OnboardSellerPayload(MutationPayload):
    url: str | None = strawberry.field(
        description="The provider's page, for a short time. Open it for the store's owner alone."
    )


@strawberry.type(description="Result of `saveCreatorProfile`.")
class SaveCreatorProfilePayload(MutationPayload):
    creator_profile: CreatorProfile | None = strawberry.field(
        description="What the caller says of themselves now; null on errors."
    )


@strawberry.type(description="Result of `createStore`, `updateStore` and their kin.")
class StorePayload(MutationPayload):
    store: Store | None = strawberry.field(description="The store as it is now; null on errors.")


async def save_creator_profile(context: Context, input: SaveCreatorProfileInput) -> Outcome:
    """Changes what the caller says of themselves as a seller."""
    context.signed_in()
    command = operations.save_creator_profile(Problems(nulls(input)), _stored(input))
    return Outcome(command, {"creator_profile": ACTOR})


async def create_store(context: Context, input: CreateStoreInput) -> Outcome:
    """Opens a store."""
    context.signed_in()
    values = _stored(input)
    key = values.pop("idempotency_key")
    command = operations.create_store(Problems(nulls(input)), values, key)
    return Outcome(command, {"store": RESULT})


async def update_store(context: Context, input: UpdateStoreInput) -> Outcome:
    """Changes what is given of a store."""
    context.signed_in()
    problems = Problems(nulls(input))
    store_id = noted_uuid(problems, input.id, "store", "input", "id")
    command = operations.update_store(problems, store_id, _stored(input))
    return Outcome(command, {"store": RESULT})


async def onboard_seller(context: Context, input: OnboardSellerInput) -> Payload:
    """Makes a store's account at a provider, and a page on which its owner completes it."""
    actor = context.signed_in()
    store_id = uuid_from_global_id(input.store_id, "store", "input", "storeId")
    url = await context.services.of(sellers_of).onboard(
        actor, store_id, provider=input.provider, return_url=input.return_url
    )
    return Payload({"url": url})


async def verify_custom_domain(context: Context, input: VerifyCustomDomainInput) -> Payload:
    """Looks whether a store's domain names it."""
    actor, services = context.signed_in(), context.services
    store_id = uuid_from_global_id(input.store_id, "store", "input", "storeId")
    domain = await operations.domain_of(services.database, actor, store_id)
    await require_proof(domain, store_id, services.settings.dns_servers)
    await operations.note_domain(services.database, store_id, domain, is_proven=True)
    return Payload({"store": Ref(store_id)})


async def refresh_seller(context: Context, input: RefreshSellerInput) -> Payload:
    """Asks a provider how a store's account stands."""
    actor = context.signed_in()
    store_id = uuid_from_global_id(input.store_id, "store", "input", "storeId")
    await context.services.of(sellers_of).refresh(actor, store_id, provider=input.provider)
    return Payload({"store": Ref(store_id)})


def _stored(input: Any) -> dict[str, Any]:
    values = given(input)
    if isinstance(kind := values.get("creator_type"), CreatorType):
        values["creator_type"] = kind.value
    return values


def _slug_argument(
    self: Any,  # noqa: ARG001
    slug: Annotated[str, strawberry.argument(description="Its slug.")],  # noqa: ARG001
) -> Any:
    """The argument of `store`; the engine itself answers."""
    raise AssertionError("the engine answers lookups")  # pragma: no cover


@strawberry.type
class StoresQuery:
    """Queries on stores."""

    store: Store | None = value_lookup(
        "slug",
        _slug_argument,
        description="The store at a slug, for everybody; null when there is none, or it is not "
        "public and another's.",
    )


@strawberry.type
class StoresMutation:
    """Mutations on stores."""

    save_creator_profile: SaveCreatorProfilePayload | None = mutation(
        save_creator_profile,
        SaveCreatorProfileInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        for_api_keys=True,
        description="Change what the caller says of themselves as a seller; the first time makes "
        "it. Guests sign up first.",
    )
    create_store: StorePayload | None = mutation(
        create_store,
        CreateStoreInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        for_api_keys=True,
        description="Open a store, at most 20 for each user. Guests sign up first.",
    )
    update_store: StorePayload | None = mutation(
        update_store,
        UpdateStoreInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND),
        for_api_keys=True,
        description="Change a store of the caller's.",
    )
    verify_custom_domain: StorePayload | None = mutation(
        verify_custom_domain,
        VerifyCustomDomainInput,
        errors=(
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
            ErrorCode.PROVIDER_REFUSED,
            ErrorCode.PROVIDER_FAILED,
        ),
        for_api_keys=True,
        description="Look now whether a store's domain has the TXT record `customDomainProof`; a "
        "job looks as well. Then the domain is this store's, whoever had it before.",
    )
    onboard_seller: OnboardSellerPayload | None = mutation(
        onboard_seller,
        OnboardSellerInput,
        errors=(
            ErrorCode.NOT_FOUND,
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.REDIRECT_NOT_ALLOWED,
            ErrorCode.PROVIDER_NOT_CONFIGURED,
            ErrorCode.PROVIDER_REFUSED,
            ErrorCode.PROVIDER_FAILED,
        ),
        description="Open a payment provider's page on which the owner of a store says who they "
        "are and where their money goes. The first time makes the account. How far it is shows in "
        "`store { connectStatus paypalStatus }`, as the provider tells it.",
    )
    refresh_seller: StorePayload | None = mutation(
        refresh_seller,
        RefreshSellerInput,
        errors=(
            ErrorCode.NOT_FOUND,
            ErrorCode.PROVIDER_NOT_CONFIGURED,
            ErrorCode.PROVIDER_REFUSED,
            ErrorCode.PROVIDER_FAILED,
        ),
        description="Ask the payment provider how a store's account stands now, for who has just "
        "come back from its page.",
    )
