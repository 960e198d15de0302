"""Sales of stores, what they were offered on, and the codes that make them cheaper."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Nobody, Owner
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Anonymise, Delete
from db.core.exporting import Export, NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import MergedBy, Move
from db.core.quotas import Bound

CODES_LIMIT = 200


class DiscountKind(State):
    """How a code makes a price lower."""

    PERCENTAGE = "PERCENTAGE", "By a part of it, rounded down to whole cents."
    FIXED = "FIXED", "By an amount, but never below nothing."


class DiscountCode(Base):
    """A code that makes a store's products cheaper, for so many sales and so long.

    `product_ids` are the products that it is for, all of the store's where there are none. A FIXED
    code, and one with a least or most amount, is for prices in its `currency` alone. `use_count`
    counts sales; whoever is about to pay holds a place among the `usage_limit` beside them.
    """

    __tablename__ = "discount_codes"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    store_id: Mapped[UUID] = mapped_column(ForeignKey("stores.id", ondelete="CASCADE"))
    code: Mapped[str]
    kind: Mapped[str]
    percent: Mapped[int | None]
    amount_cents: Mapped[int | None]
    currency: Mapped[str | None]
    min_purchase_cents: Mapped[int | None]
    max_discount_cents: Mapped[int | None]
    product_ids: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    usage_limit: Mapped[int | None]
    use_count: Mapped[int] = mapped_column(server_default=text("0"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    expires_at: Mapped[OptionalTimestamp]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("code ~ '^[A-Z0-9-]{3,32}$'", name="code"),
        CheckConstraint(
            "kind = 'PERCENTAGE' and percent between 1 and 100 and amount_cents is null"
            " or kind = 'FIXED' and percent is null and amount_cents > 0",
            name="kind",
        ),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        CheckConstraint(
            "currency is not null"
            " or num_nonnulls(amount_cents, min_purchase_cents, max_discount_cents) = 0",
            name="amounts",
        ),
        CheckConstraint("min_purchase_cents > 0 and max_discount_cents > 0", name="bounds"),
        CheckConstraint("cardinality(product_ids) <= 100", name="product_ids"),
        CheckConstraint("usage_limit > 0 and use_count >= 0", name="usage_limit"),
        Index("uq_discount_codes_code", "store_id", "code", unique=True),
        Index("ix_discount_codes_store_id_created_at_id", "store_id", "created_at", "id"),
        Index("ix_discount_codes_user_id", "user_id"),
    )
    access = Access(read=AnyOf(Owner(), Admin()), service=("SELECT",))
    on_erase = Delete()
    on_merge = Move()
    quota = Bound(f"A store has at most {CODES_LIMIT}.")


class SaleOffer(Base):
    """On what terms an order of a store's product was opened: who sells, who buys, for how much.

    `list_cents` is the price before the discount, `fee_cents` what of the order's amount whoever
    runs the service keeps. `buyer_email` and `email_key` are of who bought without an account, and
    go to the sale once it is paid; `guest_key` is the hash of their idempotency key. Who came by an
    affiliate's link has it here, and what of the amount that is worth.
    """

    __tablename__ = "sale_offers"

    order_id: Mapped[UUID] = mapped_column(
        ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True
    )
    store_id: Mapped[UUID | None] = mapped_column(ForeignKey("stores.id", ondelete="SET NULL"))
    seller_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    list_cents: Mapped[int]
    discount_cents: Mapped[int] = mapped_column(server_default=text("0"))
    fee_cents: Mapped[int]
    discount_code_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("discount_codes.id", ondelete="SET NULL")
    )
    buyer_email: Mapped[str | None]
    email_key: Mapped[str | None]
    guest_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    affiliate_link_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("affiliate_links.id", ondelete="SET NULL")
    )
    commission_percent: Mapped[int | None]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("discount_cents between 0 and list_cents", name="discount_cents"),
        CheckConstraint("fee_cents between 0 and list_cents - discount_cents", name="fee_cents"),
        Index("ix_sale_offers_discount_code_id", "discount_code_id"),
        Index("ix_sale_offers_store_id", "store_id"),
        Index("ix_sale_offers_seller_id", "seller_id"),
        Index("uq_sale_offers_guest_key", "guest_key", unique=True),
        Index("ix_sale_offers_affiliate_link_id", "affiliate_link_id"),
    )
    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = Anonymise("seller_id")
    on_merge = Move()
    export = NotExported("Orders and sales are exported.")
    quota = Bound("One for each order.")


class SaleStatus(State):
    """How a sale stands."""

    COMPLETED = "COMPLETED", "It is paid, or was free, and the product is the buyer's."
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED", "A part of the money went back."
    DISPUTED = "DISPUTED", "The buyer's bank questions the payment; nothing is handed out."
    REFUNDED = "REFUNDED", "All of the money went back, and the product with it."


_ALL_BUT_COMPLETED = (
    SaleStatus.PARTIALLY_REFUNDED,
    SaleStatus.DISPUTED,
    SaleStatus.REFUNDED,
)


class Sale(Base):
    """A product that somebody has bought from a store, or taken for free.

    `fee_cents` is what whoever runs the service keeps of `amount_cents`, and the seller gets the
    rest. `product_name` is what it was called. A sale to somebody without an account has no buyer
    but a `buyer_email`, until whoever confirms that address claims it.
    """

    __tablename__ = "sales"

    id: Mapped[UuidKey]
    order_id: Mapped[UUID | None] = mapped_column(ForeignKey("orders.id"))
    product_id: Mapped[str] = mapped_column(ForeignKey("products.id"))
    product_name: Mapped[str]
    store_id: Mapped[UUID | None] = mapped_column(ForeignKey("stores.id", ondelete="SET NULL"))
    seller_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    buyer_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    buyer_email: Mapped[str | None]
    email_key: Mapped[str | None]
    provider: Mapped[str | None]
    amount_cents: Mapped[int]
    currency: Mapped[str | None]
    discount_cents: Mapped[int] = mapped_column(server_default=text("0"))
    fee_cents: Mapped[int]
    seller_cents: Mapped[int]
    refunded_cents: Mapped[int] = mapped_column(server_default=text("0"))
    status: Mapped[str] = mapped_column(server_default=SaleStatus.COMPLETED)
    created_at: Mapped[Timestamp]
    claimed_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("fee_cents + seller_cents = amount_cents", name="parts"),
        CheckConstraint("fee_cents >= 0 and seller_cents >= 0", name="cents"),
        CheckConstraint("refunded_cents between 0 and amount_cents", name="refunded_cents"),
        CheckConstraint("(currency is null) = (amount_cents = 0)", name="currency"),
        CheckConstraint("buyer_id is null or buyer_email is null", name="buyer"),
        CheckConstraint("(buyer_email is null) = (email_key is null)", name="email_key"),
        # A provider that tells twice of a payment makes one sale.
        Index("uq_sales_order_id", "order_id", unique=True),
        Index(
            "uq_sales_free",
            "buyer_id",
            "product_id",
            unique=True,
            postgresql_where=text("order_id is null"),
        ),
        Index("ix_sales_buyer_id_created_at_id", "buyer_id", "created_at", "id"),
        Index("ix_sales_buyer_id_product_id", "buyer_id", "product_id"),
        Index("ix_sales_seller_id_created_at_id", "seller_id", "created_at", "id"),
        Index("ix_sales_store_id_created_at_id", "store_id", "created_at", "id"),
        Index("ix_sales_product_id", "product_id"),
        Index("ix_sales_email_key", "email_key", postgresql_where=text("email_key is not null")),
    )
    access = Access(
        read=AnyOf(Owner("buyer_id"), Owner("seller_id"), Admin()),
        hidden=("buyer_email", "email_key"),
        service=("SELECT",),
    )
    lifecycle = Lifecycle(
        "status",
        SaleStatus,
        initial=(SaleStatus.COMPLETED,),
        transitions={
            SaleStatus.COMPLETED: _ALL_BUT_COMPLETED,
            SaleStatus.PARTIALLY_REFUNDED: (SaleStatus.DISPUTED, SaleStatus.REFUNDED),
            SaleStatus.DISPUTED: (
                SaleStatus.COMPLETED,
                SaleStatus.PARTIALLY_REFUNDED,
                SaleStatus.REFUNDED,
            ),
        },
        monotonic=("refunded_cents",),
    )
    # The books of both: the sale stays, and names nobody who has left.
    on_erase = (Anonymise("buyer_id"), Anonymise("seller_id"))
    export = Export(rows="t.buyer_id = $1 or t.seller_id = $1")
    on_merge = MergedBy("merge_sales")
    quota = Bound("One for each order that was paid, and for each free product and user.")
