"""What is sold, orders, and payments with their refunds and disputes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.catalog.tables import Edited
from db.core.access import Access, Admin, AnyOf, Nobody, Owner, Public, Through, Watch
from db.core.base import Base, OptionalTimestamp, Slug, Timestamp, UuidKey
from db.core.erasing import Anonymise, Call, Delete, Keep
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import Join, Move
from db.core.quotas import Bound

CURRENCY = "currency ~ '^[A-Z]{3}$'"
INTERVAL = "billing_interval in ('MONTH', 'YEAR')"
KIND = "kind in ('CREDITS', 'PLAN', 'SUBSCRIPTION', 'DOWNLOAD', 'BOT')"
GIVES = (
    "(kind = 'CREDITS') = (credits is not null)"
    " and (kind in ('PLAN', 'SUBSCRIPTION')) = (plan_id is not null)"
)
# What stores sell; all else is sold by whoever runs the service.
OF_STORES = "kind in ('DOWNLOAD', 'BOT')"
PRODUCT_DESCRIPTION_CHARACTERS = 5_000


class ProductStatus(State):
    """Where a product of a store stands."""

    DRAFT = "DRAFT", "Its seller alone sees it."
    PUBLISHED = "PUBLISHED", "Everybody sees and buys it, where its store is public."
    ARCHIVED = "ARCHIVED", "It is sold no more; who has bought it keeps it."


class Product(Base):
    """Something that can be bought: credits, a plan for a time, or what a store sells.

    A PLAN is paid for once and lasts for the interval of its price; a SUBSCRIPTION is renewed by
    its provider. Their `id` is a slug. A DOWNLOAD or a BOT is a store's, under an id made here: it
    names the store and the seller until these are gone, and `is_active` follows from its `status`
    and the store's. `rating_sum` and `rating_count` are of all its reviews, `download_count` counts
    everybody once.
    """

    __tablename__ = "products"

    id: Mapped[Slug]
    name: Mapped[str]
    kind: Mapped[str]
    credits: Mapped[int | None]
    plan_id: Mapped[str | None] = mapped_column(ForeignKey("plans.id"), index=True)
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    sort_order: Mapped[int] = mapped_column(server_default=text("0"))
    edited: Mapped[Edited]
    store_id: Mapped[UUID | None] = mapped_column(ForeignKey("stores.id", ondelete="SET NULL"))
    seller_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    status: Mapped[str] = mapped_column(server_default=ProductStatus.PUBLISHED)
    description: Mapped[str | None]
    category: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    licences_enabled: Mapped[bool] = mapped_column(server_default=text("false"))
    max_activations: Mapped[int | None]
    affiliates_enabled: Mapped[bool] = mapped_column(server_default=text("false"))
    download_count: Mapped[int] = mapped_column(server_default=text("0"))
    rating_sum: Mapped[int] = mapped_column(server_default=text("0"))
    rating_count: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]
    published_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint(KIND, name="kind"),
        CheckConstraint(GIVES, name="gives"),
        CheckConstraint("credits between 1 and 1000000", name="credits"),
        CheckConstraint(f"{OF_STORES} or store_id is null and seller_id is null", name="seller"),
        CheckConstraint(
            f"length(description) <= {PRODUCT_DESCRIPTION_CHARACTERS}", name="description"
        ),
        CheckConstraint(
            "length(category) between 1 and 50 and cardinality(tags) <= 20", name="labels"
        ),
        CheckConstraint("max_activations between 1 and 10000", name="max_activations"),
        CheckConstraint(
            "download_count >= 0 and rating_count >= 0"
            " and rating_sum between rating_count and 5 * rating_count",
            name="counts",
        ),
        Index("ix_products_sort_order_id", "sort_order", "id"),
        Index("ix_products_store_id_created_at_id", "store_id", "created_at", "id"),
        Index("ix_products_store_id_status", "store_id", "status", "created_at", "id"),
        Index("ix_products_store_id_category", "store_id", "category", "created_at", "id"),
        Index("ix_products_seller_id", "seller_id"),
    )
    access = Access(
        read=AnyOf(Public(only_if="is_active"), Owner("seller_id"), Admin()),
        hidden=("edited",),
        service=("SELECT",),
    )
    lifecycle = Lifecycle(
        "status",
        ProductStatus,
        initial=(ProductStatus.DRAFT, ProductStatus.PUBLISHED),
        transitions={
            ProductStatus.DRAFT: (ProductStatus.PUBLISHED, ProductStatus.ARCHIVED),
            ProductStatus.PUBLISHED: (ProductStatus.ARCHIVED,),
            ProductStatus.ARCHIVED: (ProductStatus.PUBLISHED,),
        },
        monotonic=("download_count",),
    )
    # It empties those that were sold; the others go.
    on_erase = (Call("close_stores"), Anonymise("seller_id"))
    on_merge = Move()
    quota = Bound("A store has at most 1,000.")


class ProductPrice(Base):
    """What a product costs at a provider; `price_id` is that provider's own name of the price."""

    __tablename__ = "product_prices"

    product_id: Mapped[str] = mapped_column(ForeignKey("products.id"), primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    amount_cents: Mapped[int]
    currency: Mapped[str]
    billing_interval: Mapped[str | None]
    price_id: Mapped[str | None]
    edited: Mapped[Edited]

    __table_args__ = (
        CheckConstraint("amount_cents between 1 and 100000000", name="amount_cents"),
        CheckConstraint(CURRENCY, name="currency"),
        CheckConstraint(INTERVAL, name="billing_interval"),
        Index("uq_product_prices_price_id", "provider", "price_id", unique=True),
    )
    access = Access(read=Through("product_id"), hidden=("price_id", "edited"), service=("SELECT",))
    export = NotExported("What is sold, for everybody to see.")
    on_erase = Keep("The catalog's; what stores sell goes with its prices, by `close_stores`.", ())
    quota = Bound("One for each product and provider, which admins set, or the product's seller.")


class OrderStatus(State):
    """How far an order is."""

    PENDING = "PENDING", "It waits to be paid."
    PAID = "PAID", "It is paid, and what was bought is there."
    FAILED = "FAILED", "The payment was declined; another attempt may still succeed."
    CANCELLED = "CANCELLED", "The buyer left the checkout; a payment that comes still counts."
    EXPIRED = "EXPIRED", "Nobody paid in time; a payment that comes still counts."
    PARTIALLY_REFUNDED = (
        "PARTIALLY_REFUNDED",
        "A part of the money went back, and as large a part of the credits.",
    )
    REFUNDED = "REFUNDED", "All of the money went back, and all that was bought."
    DISPUTED = "DISPUTED", "The buyer's bank questions the payment; what was bought is held."


_UNPAID = (OrderStatus.FAILED, OrderStatus.CANCELLED, OrderStatus.EXPIRED)
_SETTLED = (OrderStatus.PARTIALLY_REFUNDED, OrderStatus.REFUNDED, OrderStatus.DISPUTED)


class Order(Base):
    """What somebody wants to buy, as it was offered: later changes of the product change nothing.

    `refunded_cents` is what went back of `amount_cents`, by refunds and lost disputes, and
    `credits_taken_back` is how many of the `credits` followed, or of those that a plan had given.
    `hold_id` is what is held of them while there is a dispute. `paid_until` is when a plan that was
    bought ends.
    """

    __tablename__ = "orders"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    product_id: Mapped[str] = mapped_column(ForeignKey("products.id"), index=True)
    kind: Mapped[str]
    credits: Mapped[int | None]
    plan_id: Mapped[str | None] = mapped_column(ForeignKey("plans.id"), index=True)
    provider: Mapped[str]
    amount_cents: Mapped[int]
    currency: Mapped[str]
    billing_interval: Mapped[str | None]
    price_id: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default=OrderStatus.PENDING)
    refunded_cents: Mapped[int] = mapped_column(server_default=text("0"))
    credits_taken_back: Mapped[int] = mapped_column(server_default=text("0"))
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("credit_holds.id"), index=True)
    checkout_url: Mapped[str | None]
    success_url: Mapped[str | None]
    cancel_url: Mapped[str | None]
    created_at: Mapped[Timestamp]
    expires_at: Mapped[datetime]
    paid_at: Mapped[OptionalTimestamp]
    paid_until: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint(KIND, name="kind"),
        CheckConstraint(GIVES, name="gives"),
        CheckConstraint(CURRENCY, name="currency"),
        CheckConstraint(INTERVAL, name="billing_interval"),
        CheckConstraint("refunded_cents between 0 and amount_cents", name="refunded_cents"),
        CheckConstraint(
            "credits_taken_back >= 0 and (credits is null or credits_taken_back <= credits)",
            name="credits_taken_back",
        ),
        Index("ix_orders_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_orders_user_id_status", "user_id", "status", "created_at", "id"),
        Index("ix_orders_pending", "expires_at", postgresql_where=text("status = 'PENDING'")),
        Index("ix_orders_created_at_id", "created_at", "id"),
    )
    access = Access(
        read=AnyOf(Owner(), Admin()),
        hidden=("checkout_url", "success_url", "cancel_url", "price_id", "hold_id"),
        service=("SELECT", "DELETE"),
    )
    watch = Watch("order.updated", inserts=False)
    # What providers were told of the person is forgotten while the order still leads there.
    on_erase = (Call("forget_payer"), Anonymise("user_id"))
    on_merge = Move()
    quota = Bound(
        "One user opens 50 in a day, and one network without an account; those never paid go 90"
        " days later."
    )
    expiries = (
        Expiry(
            "orders that nobody paid for 90 days",
            "status in ('CANCELLED', 'EXPIRED') and created_at < now() - interval '90 days'"
            " and not exists (select from payments p where p.order_id = orders.id)",
            "created_at, id",
        ),
    )
    lifecycle = Lifecycle(
        "status",
        OrderStatus,
        initial=(OrderStatus.PENDING,),
        transitions={
            OrderStatus.PENDING: (OrderStatus.PAID, *_UNPAID),
            OrderStatus.FAILED: (OrderStatus.PAID, OrderStatus.CANCELLED, OrderStatus.EXPIRED),
            OrderStatus.CANCELLED: (OrderStatus.PAID,),
            OrderStatus.EXPIRED: (OrderStatus.PAID,),
            OrderStatus.PAID: _SETTLED,
            OrderStatus.PARTIALLY_REFUNDED: (OrderStatus.REFUNDED, OrderStatus.DISPUTED),
            OrderStatus.DISPUTED: (
                OrderStatus.PAID,
                OrderStatus.PARTIALLY_REFUNDED,
                OrderStatus.REFUNDED,
            ),
        },
        monotonic=("refunded_cents", "credits_taken_back"),
    )


class OrderReference(Base):
    """A name by which a provider knows an order: of its checkout, its payment, its subscription."""

    __tablename__ = "order_references"

    provider: Mapped[str] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), index=True)

    __table_args__ = (CheckConstraint("length(reference) between 1 and 255", name="reference"),)
    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = Keep("The books: how the provider calls an order of nobody any more.", ())
    export = NotExported("The provider's names of orders.")
    quota = Bound("A few for each order.")


class PaymentCustomer(Base):
    """The name by which a provider knows a buyer: whose cards it keeps, whom its portal shows.

    A buyer is a user or an organization.
    """

    __tablename__ = "payment_customers"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    organization_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    provider: Mapped[str]
    customer_id: Mapped[str]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("length(customer_id) between 1 and 255", name="customer_id"),
        CheckConstraint("num_nonnulls(user_id, organization_id) = 1", name="owner"),
        Index("uq_payment_customers_user_id", "user_id", "provider", unique=True),
        Index("uq_payment_customers_organization_id", "organization_id", "provider", unique=True),
        Index("uq_payment_customers_customer_id", "provider", "customer_id", unique=True),
    )
    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = (Call("forget_customers"), Delete())
    on_merge = Join(key=("provider",))
    export = NotExported("The provider's name of the buyer.")
    quota = Bound("One for each provider.")
    triggers = (
        "forget_organization_customer after delete on payment_customers for each row"
        " when (old.organization_id is not null)"
        " execute function app.forget_organization_customer()",
    )


class PaymentStatus(State):
    """How far a payment is."""

    PENDING = "PENDING", "The money is on its way."
    SUCCEEDED = "SUCCEEDED", "The money is there."
    FAILED = "FAILED", "It was declined."
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED", "A part of the money went back."
    REFUNDED = "REFUNDED", "All of the money went back."
    DISPUTED = "DISPUTED", "The buyer's bank questions it."


class Payment(Base):
    """An attempt to pay an order. `pays_order` is the one that did: the first to succeed.

    `reason` says why one failed, in the provider's words.
    """

    __tablename__ = "payments"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    provider: Mapped[str]
    provider_payment_id: Mapped[str]
    amount_cents: Mapped[int]
    currency: Mapped[str]
    status: Mapped[str]
    pays_order: Mapped[bool] = mapped_column(server_default=text("false"))
    refunded_cents: Mapped[int] = mapped_column(server_default=text("0"))
    reason: Mapped[str | None]
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("refunded_cents between 0 and amount_cents", name="refunded_cents"),
        CheckConstraint(CURRENCY, name="currency"),
        Index("uq_payments_provider", "provider", "provider_payment_id", unique=True),
        Index(
            "uq_payments_pays_order",
            "order_id",
            unique=True,
            postgresql_where=text("pays_order"),
        ),
        Index("ix_payments_order_id", "order_id"),
        Index("ix_payments_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_payments_created_at_id", "created_at", "id"),
    )
    access = Access(read=AnyOf(Owner(), Admin()), hidden=("reason",), service=("SELECT",))
    triggers = (
        "note_new after insert on payments for each row"
        " when (new.status in ('SUCCEEDED', 'FAILED')) execute function app.note_payment()",
        "note_end after update on payments for each row"
        " when (new.status <> old.status and (new.status = 'FAILED'"
        " or new.status = 'SUCCEEDED' and old.status in ('PENDING', 'FAILED')))"
        " execute function app.note_payment()",
    )
    on_erase = Anonymise("user_id")
    on_merge = Move()
    quota = Bound("The provider's: one for each attempt to pay, which it bounds.")
    lifecycle = Lifecycle(
        "status",
        PaymentStatus,
        initial=(PaymentStatus.PENDING, PaymentStatus.SUCCEEDED, PaymentStatus.FAILED),
        transitions={
            PaymentStatus.PENDING: (PaymentStatus.SUCCEEDED, PaymentStatus.FAILED),
            PaymentStatus.FAILED: (PaymentStatus.SUCCEEDED,),
            PaymentStatus.SUCCEEDED: (
                PaymentStatus.PARTIALLY_REFUNDED,
                PaymentStatus.REFUNDED,
                PaymentStatus.DISPUTED,
            ),
            PaymentStatus.PARTIALLY_REFUNDED: (PaymentStatus.REFUNDED, PaymentStatus.DISPUTED),
            PaymentStatus.DISPUTED: (
                PaymentStatus.SUCCEEDED,
                PaymentStatus.PARTIALLY_REFUNDED,
                PaymentStatus.REFUNDED,
            ),
        },
        monotonic=("refunded_cents",),
    )


class PaymentRefund(Base):
    """One refund that a provider told of by its own id, so that it counts once."""

    __tablename__ = "payment_refunds"

    provider: Mapped[str] = mapped_column(primary_key=True)
    provider_refund_id: Mapped[str] = mapped_column(primary_key=True)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"), index=True)
    amount_cents: Mapped[int]
    created_at: Mapped[Timestamp]

    __table_args__ = (CheckConstraint("amount_cents > 0", name="amount_cents"),)
    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = Keep("The books: a refund names nobody.", ())
    export = NotExported("The payment says what was refunded of it.")
    quota = Bound("The provider's.")


class RefundRequestStatus(State):
    """How far a refund is that an admin asked for."""

    REQUESTED = "REQUESTED", "The provider is asked; the same key asks it again."
    MADE = "MADE", "The provider gave the money back."
    REFUSED = "REFUSED", "The provider refused, and nothing went back."


class RefundRequest(Base):
    """A refund that an admin asked a provider for, so that one key gives money back once.

    `refunded_before_cents` is what had gone back of the payment, or was being asked for, when this
    was: a provider without idempotency keys shows by its own total whether this one was made.
    """

    __tablename__ = "refund_requests"

    id: Mapped[UuidKey]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    idempotency_key: Mapped[str]
    amount_cents: Mapped[int]
    refunded_before_cents: Mapped[int]
    status: Mapped[str] = mapped_column(server_default=RefundRequestStatus.REQUESTED)
    created_at: Mapped[Timestamp]
    ended_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("amount_cents > 0 and refunded_before_cents >= 0", name="amounts"),
        CheckConstraint("(status = 'REQUESTED') = (ended_at is null)", name="ended_at"),
        UniqueConstraint("order_id", "idempotency_key"),
    )
    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = Keep("The books: a refund names nobody.", ())
    export = NotExported("The payment says what was refunded of it.")
    quota = Bound("An admin's; together no more than was paid.")
    lifecycle = Lifecycle(
        "status",
        RefundRequestStatus,
        initial=(RefundRequestStatus.REQUESTED,),
        transitions={
            RefundRequestStatus.REQUESTED: (RefundRequestStatus.MADE, RefundRequestStatus.REFUSED)
        },
    )


class DisputeStatus(State):
    """How a dispute stands."""

    OPEN = "OPEN", "The bank has not decided."
    WON = "WON", "The payment stands."
    LOST = "LOST", "The money went back to the buyer."


class PaymentDispute(Base):
    """A payment that the buyer's bank questions, or a part of it.

    Of what a store sold, `reversed_at` is when the seller's part was taken back, and `returned_at`
    when they got it again.
    """

    __tablename__ = "payment_disputes"

    id: Mapped[UuidKey]
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"), index=True)
    provider: Mapped[str]
    provider_dispute_id: Mapped[str]
    amount_cents: Mapped[int]
    status: Mapped[str] = mapped_column(server_default=DisputeStatus.OPEN)
    opened_at: Mapped[Timestamp]
    closed_at: Mapped[OptionalTimestamp]
    reversed_at: Mapped[OptionalTimestamp]
    returned_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("amount_cents > 0", name="amount_cents"),
        CheckConstraint("(status = 'OPEN') = (closed_at is null)", name="closed_at"),
        CheckConstraint(
            "returned_at is null or reversed_at is not null and status = 'WON'", name="returned_at"
        ),
        Index("uq_payment_disputes_provider", "provider", "provider_dispute_id", unique=True),
    )
    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = Keep("The books: a dispute names nobody.", ())
    export = NotExported("The payment says that it is disputed.")
    quota = Bound("The provider's.")
    lifecycle = Lifecycle(
        "status",
        DisputeStatus,
        initial=(DisputeStatus.OPEN,),
        transitions={DisputeStatus.OPEN: (DisputeStatus.WON, DisputeStatus.LOST)},
    )
