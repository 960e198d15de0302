"""Links by which people recommend stores, and the commissions on what is bought by them."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Owner
from db.core.base import Base, Timestamp, UuidKey
from db.core.erasing import Anonymise, Delete
from db.core.exporting import Export
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import KeepTheMembers, Move
from db.core.quotas import Bound

LINKS_LIMIT = 200


class AffiliateLink(Base):
    """A user's recommendation of a store, known by its `code`; one for each store.

    `clicks` counts each network once in a day.
    """

    __tablename__ = "affiliate_links"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    store_id: Mapped[UUID] = mapped_column(ForeignKey("stores.id", ondelete="CASCADE"))
    code: Mapped[str]
    clicks: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("code ~ '^[a-z0-9]{10}$'", name="code"),
        CheckConstraint("clicks >= 0", name="clicks"),
        Index("uq_affiliate_links_code", "code", unique=True),
        Index("uq_affiliate_links_store", "user_id", "store_id", unique=True),
        Index("ix_affiliate_links_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_affiliate_links_store_id", "store_id"),
    )
    access = Access(read=AnyOf(Owner(), Admin()), service=("SELECT",))
    on_erase = Delete()
    # Guests have none.
    on_merge = KeepTheMembers()
    quota = Bound(f"One for each store, and {LINKS_LIMIT} for each user.")


class CommissionStatus(State):
    """How a commission stands."""

    EARNED = "EARNED", "The sale is paid; of what went back to the buyer nothing is earned."
    HELD = "HELD", "The buyer's bank questions the payment."
    REVERSED = "REVERSED", "All of the money went back, or the buyer was who recommended it."


class AffiliateReferral(Base):
    """What somebody earns because a sale came by their link; the seller owes it.

    `reversed_cents` is what of `commission_cents` is lost because money went back.
    """

    __tablename__ = "affiliate_referrals"

    id: Mapped[UuidKey]
    link_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("affiliate_links.id", ondelete="SET NULL")
    )
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    seller_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    store_id: Mapped[UUID | None] = mapped_column(ForeignKey("stores.id", ondelete="SET NULL"))
    sale_id: Mapped[UUID] = mapped_column(ForeignKey("sales.id"))
    commission_cents: Mapped[int]
    reversed_cents: Mapped[int] = mapped_column(server_default=text("0"))
    currency: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=CommissionStatus.EARNED)
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("commission_cents > 0", name="commission_cents"),
        CheckConstraint("reversed_cents between 0 and commission_cents", name="reversed_cents"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        Index("uq_affiliate_referrals_sale_id", "sale_id", unique=True),
        Index("ix_affiliate_referrals_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_affiliate_referrals_seller_id_created_at_id", "seller_id", "created_at", "id"),
        Index("ix_affiliate_referrals_link_id", "link_id"),
        Index("ix_affiliate_referrals_store_id", "store_id"),
    )
    access = Access(
        read=AnyOf(Owner("user_id"), Owner("seller_id"), Admin()),
        hidden=("sale_id",),
        service=("SELECT",),
    )
    lifecycle = Lifecycle(
        "status",
        CommissionStatus,
        initial=(CommissionStatus.EARNED,),
        transitions={
            CommissionStatus.EARNED: (CommissionStatus.HELD, CommissionStatus.REVERSED),
            CommissionStatus.HELD: (CommissionStatus.EARNED, CommissionStatus.REVERSED),
        },
        monotonic=("reversed_cents",),
    )
    # The books of both: the commission stays, and names nobody who has left.
    on_erase = (Anonymise("user_id"), Anonymise("seller_id"))
    export = Export(rows="t.user_id = $1 or t.seller_id = $1")
    on_merge = Move()
    quota = Bound("At most one for each sale.")
