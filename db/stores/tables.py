"""Stores with their public pages, what their owners say of themselves, and how they are paid."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Nobody, Owner, Public
from db.core.base import Base, Json, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete, GoesWith
from db.core.exporting import Export, NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import KeepTheMembers, Move
from db.core.quotas import Bound
from db.core.sealed import BlindIndex, Sealed

PAGE_LIMIT_BYTES = 65_536
LINKS_LIMIT_BYTES = 8_192
DESCRIPTION_LIMIT_CHARACTERS = 5_000
BUSINESS_LIMIT_CHARACTERS = 500
STORES_LIMIT = 20


class CreatorType(State):
    """What somebody who sells is."""

    INDEPENDENT = "INDEPENDENT", "One person."
    BUSINESS = "BUSINESS", "A business."
    CORPORATION = "CORPORATION", "A corporation."
    GROUP = "GROUP", "A group of people."
    TEAM = "TEAM", "A team."
    STUDIO = "STUDIO", "A studio."


class CreatorProfile(Base):
    """What somebody who sells says of themselves and their business.

    `onboarded_at` is when a payment provider first said that a store of theirs can be paid.
    """

    __tablename__ = "creator_profiles"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    creator_type: Mapped[str] = mapped_column(server_default=CreatorType.INDEPENDENT)
    business_name: Mapped[str | None]
    business_description: Mapped[str | None]
    contact_email: Mapped[str | None]
    website_url: Mapped[str | None]
    links: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    onboarded_at: Mapped[OptionalTimestamp]
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint(
            "creator_type in ('INDEPENDENT', 'BUSINESS', 'CORPORATION', 'GROUP', 'TEAM', 'STUDIO')",
            name="creator_type",
        ),
        CheckConstraint("length(business_name) between 1 and 100", name="business_name"),
        CheckConstraint(
            f"length(business_description) <= {BUSINESS_LIMIT_CHARACTERS}",
            name="business_description",
        ),
        CheckConstraint("length(contact_email) <= 254", name="contact_email"),
        CheckConstraint("length(website_url) <= 2000", name="website_url"),
        CheckConstraint(f"octet_length(links::text) <= {LINKS_LIMIT_BYTES}", name="links"),
    )
    large: ClassVar = {"links": LINKS_LIMIT_BYTES}
    access = Access(read=AnyOf(Owner(), Admin()), service=("SELECT",))
    on_erase = Delete()
    on_merge = KeepTheMembers()
    quota = Bound("One for each user.")


class ConnectStatus(State):
    """How far a store's account at the payment provider is, which takes what it earns."""

    NOT_CONNECTED = "NOT_CONNECTED", "It has none yet."
    PENDING = "PENDING", "It was made; its owner has not told the provider everything."
    INCOMPLETE = "INCOMPLETE", "Everything was told, and the provider wants more or is checking it."
    CONNECTED = "CONNECTED", "As good as COMPLETE, from before the provider told details."
    COMPLETE = "COMPLETE", "It is charged for and paid out to."


class DomainStatus(State):
    """Whether a store's own domain is proven to be its owner's."""

    PENDING = "PENDING", "Not proven yet; its record is looked for every hour, for a week."
    VERIFIED = "VERIFIED", "Its record names the store, and is looked at every day."
    FAILED = "FAILED", "Its record was not found, or names another store, which proved it later."


class Store(Base):
    """A shop of a user's, with a page of its own at its slug.

    `theme` and `layout` are the page's own, as its front end reads them; `logo_path` and
    `banner_path` are copies of photos that its owner chose. One that is not
    `is_public` is its owner's alone, and so is everything in it. `connect_status` is how far its
    account at Stripe is, `paypal_status` that at PayPal. `affiliate_commission_percent` is what of
    a sale goes to who recommended it. A `custom_domain` is one store's once it is VERIFIED; its
    record is looked for at `domain_due_at`, and was not there `domain_misses` times in a row.
    """

    __tablename__ = "stores"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    slug: Mapped[str]
    name: Mapped[str]
    description: Mapped[str | None]
    theme: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    layout: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    links: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    custom_domain: Mapped[str | None]
    custom_domain_status: Mapped[str | None]
    custom_domain_verified_at: Mapped[OptionalTimestamp]
    domain_due_at: Mapped[OptionalTimestamp]
    domain_misses: Mapped[int] = mapped_column(server_default=text("0"))
    logo_path: Mapped[str | None]
    banner_path: Mapped[str | None]
    is_public: Mapped[bool] = mapped_column(server_default=text("true"))
    connect_status: Mapped[str] = mapped_column(server_default=ConnectStatus.NOT_CONNECTED)
    paypal_status: Mapped[str] = mapped_column(server_default=ConnectStatus.NOT_CONNECTED)
    affiliate_commission_percent: Mapped[int] = mapped_column(server_default=text("10"))
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("slug ~ '^[a-z0-9]([a-z0-9-]{1,61})[a-z0-9]$'", name="slug"),
        CheckConstraint("length(name) between 1 and 100", name="name"),
        CheckConstraint(
            f"length(description) <= {DESCRIPTION_LIMIT_CHARACTERS}", name="description"
        ),
        CheckConstraint(
            f"octet_length(theme::text) <= {PAGE_LIMIT_BYTES}"
            f" and octet_length(layout::text) <= {PAGE_LIMIT_BYTES}"
            f" and octet_length(links::text) <= {LINKS_LIMIT_BYTES}",
            name="page",
        ),
        CheckConstraint(
            "connect_status in ('NOT_CONNECTED', 'PENDING', 'INCOMPLETE', 'CONNECTED', 'COMPLETE')",
            name="connect_status",
        ),
        CheckConstraint(
            "paypal_status in ('NOT_CONNECTED', 'PENDING', 'INCOMPLETE', 'CONNECTED', 'COMPLETE')",
            name="paypal_status",
        ),
        CheckConstraint("length(custom_domain) between 4 and 253", name="custom_domain"),
        CheckConstraint(
            "(custom_domain_status in ('PENDING', 'VERIFIED', 'FAILED'))"
            " is not false and (custom_domain is null) = (custom_domain_status is null)",
            name="custom_domain_status",
        ),
        CheckConstraint(
            "affiliate_commission_percent between 1 and 90", name="affiliate_commission_percent"
        ),
        Index("uq_stores_slug", "slug", unique=True),
        Index(
            "uq_stores_custom_domain",
            "custom_domain",
            unique=True,
            postgresql_where=text("custom_domain_status = 'VERIFIED'"),
        ),
        Index(
            "ix_stores_domain_due_at",
            "domain_due_at",
            postgresql_where=text("domain_due_at is not null"),
        ),
        Index("ix_stores_user_id_created_at_id", "user_id", "created_at", "id"),
    )
    large: ClassVar = {
        "theme": PAGE_LIMIT_BYTES,
        "layout": PAGE_LIMIT_BYTES,
        "links": LINKS_LIMIT_BYTES,
    }
    access = Access(
        read=AnyOf(Public(only_if="is_public"), Owner(), Admin()),
        hidden=("domain_due_at", "domain_misses"),
        service=("SELECT",),
    )
    on_erase = Delete()
    export = Export(files={"logo_path": "logo_path", "banner_path": "banner_path"})
    on_merge = Move()
    quota = Bound(f"One user has at most {STORES_LIMIT}, each with two pictures at most.")


class SellerAccount(Base):
    """A store's account at a payment provider, as the provider calls it; it is sealed.

    One merchant of PayPal's may be the account of several stores.
    """

    __tablename__ = "seller_accounts"

    id: Mapped[UuidKey]
    store_id: Mapped[UUID] = mapped_column(ForeignKey("stores.id", ondelete="CASCADE"))
    provider: Mapped[str]
    sealed_account: Mapped[bytes] = mapped_column(Sealed())
    account_index: Mapped[bytes] = mapped_column(BlindIndex("sealed_account"))
    charges_enabled: Mapped[bool] = mapped_column(server_default=text("false"))
    payouts_enabled: Mapped[bool] = mapped_column(server_default=text("false"))
    details_submitted: Mapped[bool] = mapped_column(server_default=text("false"))
    told_at: Mapped[OptionalTimestamp]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("provider in ('stripe', 'paypal', 'sandbox')", name="provider"),
        Index("uq_seller_accounts_store_id", "store_id", "provider", unique=True),
        Index("ix_seller_accounts_account_index", "provider", "account_index"),
    )
    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = GoesWith("store_id")
    export = NotExported("The provider's name of the seller.")
    quota = Bound("One for each store and provider.")


class PayoutStatus(State):
    """How far a payout to a seller's bank is."""

    PENDING = "PENDING", "It is on its way to the bank."
    IN_TRANSIT = "IN_TRANSIT", "The bank has it."
    PAID = "PAID", "It has come."
    FAILED = "FAILED", "The bank sent it back."
    CANCELLED = "CANCELLED", "It was called off."


class Payout(Base):
    """Money that a payment provider sends to a seller's bank, as it told of it."""

    __tablename__ = "payouts"

    id: Mapped[UuidKey]
    store_id: Mapped[UUID] = mapped_column(ForeignKey("stores.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    provider: Mapped[str]
    provider_payout_id: Mapped[str]
    amount_cents: Mapped[int]
    currency: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=PayoutStatus.PENDING)
    arrives_at: Mapped[OptionalTimestamp]
    created_at: Mapped[Timestamp]
    told_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("amount_cents >= 0", name="amount_cents"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        Index("uq_payouts_provider", "provider", "provider_payout_id", unique=True),
        Index("ix_payouts_store_id_created_at_id", "store_id", "created_at", "id"),
        Index("ix_payouts_user_id", "user_id"),
    )
    access = Access(read=AnyOf(Owner(), Admin()), service=("SELECT",))
    lifecycle = Lifecycle(
        "status",
        PayoutStatus,
        initial=tuple(PayoutStatus),
        transitions={
            PayoutStatus.PENDING: (
                PayoutStatus.IN_TRANSIT,
                PayoutStatus.PAID,
                PayoutStatus.FAILED,
                PayoutStatus.CANCELLED,
            ),
            PayoutStatus.IN_TRANSIT: (
                PayoutStatus.PAID,
                PayoutStatus.FAILED,
                PayoutStatus.CANCELLED,
            ),
            # Banks send money back after they have said that it came.
            PayoutStatus.PAID: (PayoutStatus.FAILED,),
        },
    )
    on_erase = Delete()
    on_merge = Move()
    quota = Bound("The provider's: a few for each day.")
