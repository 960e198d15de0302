"""Referrals, what they are worth, and what tells one device from another."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Nobody, Owner
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Anonymise, Delete
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import KeepTheMembers, Move
from db.core.quotas import Bound


class ReferralTerms(Base):
    """What a referral is worth; one row, which a migration makes and a product's seed may change.

    `most_rewards` is how many referrals of one user are rewarded; friends beyond get theirs.
    """

    __tablename__ = "referral_terms"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    referrer_credits: Mapped[int]
    referee_credits: Mapped[int]
    most_rewards: Mapped[int]

    __table_args__ = (
        CheckConstraint("id = 1", name="single_row"),
        CheckConstraint(
            "referrer_credits between 0 and 1000 and referee_credits between 0 and 1000",
            name="credits",
        ),
        CheckConstraint("most_rewards >= 0", name="most_rewards"),
    )
    access = Access(read=Nobody(), service=("SELECT",))
    quota = Bound("One row.")


class ReferralStatus(State):
    """How far a referral is."""

    PENDING = "PENDING", "The friend is there, and has neither bought nor used anything yet."
    REWARDED = "REWARDED", "Both have their credits."
    TAKEN_BACK = "TAKEN_BACK", "The friend had the money back that counted; the credits are gone."
    REFUSED = "REFUSED", "It does not count: it came from a device that had one, or in a circle."
    LAPSED = "LAPSED", "The friend has done nothing in 90 days."


class Referral(Base):
    """A member who came by another's code; one for each.

    `is_near` says that the two seem to share a device, or that nothing tells them apart: only a
    purchase counts then. `reason` is why it was refused. `checked_at` is when it was last looked
    whether the friend has done something since. `order_id` is the purchase that
    counted, if one did.
    """

    __tablename__ = "referrals"

    id: Mapped[UuidKey]
    referrer_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    referee_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), unique=True
    )
    status: Mapped[str] = mapped_column(server_default=ReferralStatus.PENDING)
    reason: Mapped[str | None]
    is_near: Mapped[bool]
    credits: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Timestamp]
    checked_at: Mapped[Timestamp]
    ended_at: Mapped[OptionalTimestamp]
    order_id: Mapped[UUID | None] = mapped_column(ForeignKey("orders.id", ondelete="SET NULL"))

    __table_args__ = (
        CheckConstraint("referrer_id <> referee_id", name="two_users"),
        CheckConstraint("(status = 'PENDING') = (ended_at is null)", name="ended_at"),
        Index("ix_referrals_referrer_id_created_at_id", "referrer_id", "created_at", "id"),
        Index("ix_referrals_pending", "created_at", postgresql_where=text("status = 'PENDING'")),
        Index("ix_referrals_order_id", "order_id", postgresql_where=text("order_id is not null")),
    )
    access = Access(
        read=AnyOf(Owner("referee_id"), Owner("referrer_id"), Admin()),
        hidden=("reason", "is_near", "checked_at", "order_id"),
        service=("SELECT",),
    )
    on_erase = (Delete("referrer_id"), Delete("referee_id"))
    # Guests have neither come by a code nor given one.
    on_merge = KeepTheMembers()
    quota = Bound("One for each member who came by a code.")
    lifecycle = Lifecycle(
        "status",
        ReferralStatus,
        initial=(ReferralStatus.PENDING, ReferralStatus.REFUSED),
        transitions={
            ReferralStatus.PENDING: (
                ReferralStatus.REWARDED,
                ReferralStatus.REFUSED,
                ReferralStatus.LAPSED,
            ),
            ReferralStatus.REWARDED: (ReferralStatus.TAKEN_BACK,),
        },
    )


class ReferralDevice(Base):
    """A device on which a code was redeemed, by the SHA-256 of its installation's id; one once."""

    __tablename__ = "referral_devices"

    device_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[Timestamp]

    access = Access(read=Nobody(), service=("SELECT",))
    # Whoever deletes an account and opens another has the same device still.
    on_erase = Anonymise("user_id")
    on_merge = Move()
    export = NotExported("A hash, which tells nothing.")
    quota = Bound("One for each member who came by a code.")


class ReferralClaim(Base):
    """A code that somebody signed up with, until the account is there whose address this is."""

    __tablename__ = "referral_claims"

    email_key: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str]
    created_at: Mapped[Timestamp] = mapped_column(index=True)

    access = Access(read=Nobody(), service=("SELECT", "DELETE"))
    on_erase = Delete("email_key", by="email_key")
    export = NotExported("It is a referral once the account is there.")
    quota = Bound("One for each address that signs up; ACCOUNTS_PER_HOUR bounds those.")
    expiries = (
        Expiry(
            "codes of sign-ups of a week ago",
            "created_at < now() - interval '7 days'",
            "created_at",
        ),
    )
