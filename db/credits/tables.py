"""The ledger: wallets, grants, holds, and the immutable entries that explain them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, BigKey, Moment, OptionalMoment, UuidKey
from db.rls import Access, Internal, Owned, Watch

GRANT_SOURCES = "'SIGNUP_BONUS', 'PLAN', 'PURCHASE', 'REFERRAL', 'REFUND', 'ADMIN'"


class Wallet(Base):
    """A user's credits: `balance` is all they own, `held` the part reserved for work under way."""

    __tablename__ = "wallets"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="RESTRICT"), primary_key=True
    )
    balance: Mapped[int] = mapped_column(server_default=text("0"))
    held: Mapped[int] = mapped_column(server_default=text("0"))
    updated_at: Mapped[Moment]

    __table_args__ = (
        CheckConstraint("held >= 0 and balance >= held", name="never_negative"),
        CheckConstraint("balance <= 1000000000", name="bounded"),
    )
    access = Access(Owned(), service=("SELECT",))
    watch = Watch("credits.changed", entity="user_id", inserts=False)


class CreditGrant(Base):
    """Credits that came from one source; `remaining` is neither spent, held nor expired."""

    __tablename__ = "credit_grants"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("wallets.user_id"))
    source: Mapped[str]
    amount: Mapped[int]
    remaining: Mapped[int]
    expires_at: Mapped[OptionalMoment]
    reference_id: Mapped[str | None]
    created_at: Mapped[Moment]

    __table_args__ = (
        CheckConstraint(f"source in ({GRANT_SOURCES})", name="source"),
        CheckConstraint("amount > 0 and remaining between 0 and amount", name="remaining"),
        Index("ix_credit_grants_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_credit_grants_usable", "user_id", postgresql_where=text("remaining > 0")),
    )
    access = Access(Owned(), service=("SELECT",))


class CreditHold(Base):
    """Credits reserved until the work they pay for ends; a hold resolves at most once."""

    __tablename__ = "credit_holds"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("wallets.user_id"))
    amount: Mapped[int]
    captured_amount: Mapped[int] = mapped_column(server_default=text("0"))
    status: Mapped[str] = mapped_column(server_default="OPEN")
    reference_id: Mapped[str | None]
    expires_at: Mapped[datetime]
    created_at: Mapped[Moment]
    resolved_at: Mapped[OptionalMoment]

    __table_args__ = (
        CheckConstraint("status in ('OPEN', 'CAPTURED', 'RELEASED', 'EXPIRED')", name="status"),
        CheckConstraint("amount > 0 and captured_amount between 0 and amount", name="amount"),
        CheckConstraint("(status = 'OPEN') = (resolved_at is null)", name="resolved"),
        Index("ix_credit_holds_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_credit_holds_open", "expires_at", postgresql_where=text("status = 'OPEN'")),
    )
    access = Access(Owned(), service=("SELECT",))


class CreditHoldPart(Base):
    """From which grants a hold took its credits, so that a release gives them back there."""

    __tablename__ = "credit_hold_parts"

    hold_id: Mapped[UUID] = mapped_column(ForeignKey("credit_holds.id"), primary_key=True)
    grant_id: Mapped[UUID] = mapped_column(
        ForeignKey("credit_grants.id"), primary_key=True, index=True
    )
    position: Mapped[int]
    amount: Mapped[int]

    __table_args__ = (CheckConstraint("amount > 0", name="amount"),)
    access = Access(Internal(), service=("SELECT",))


class CreditTransaction(Base):
    """One movement in a user's history, never changed.

    `amount` is the change of the balance, `held_change` of the part of it that is held: a hold
    has amount 0 and held_change +n, its capture -n and -n. The sums over a user's transactions
    are the wallet's balance and held.
    """

    __tablename__ = "credit_transactions"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("wallets.user_id"))
    type: Mapped[str]
    amount: Mapped[int]
    held_change: Mapped[int] = mapped_column(server_default=text("0"))
    balance_after: Mapped[int]
    reason: Mapped[str | None]
    reference_id: Mapped[str | None]
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("credit_holds.id"), index=True)
    # Not the transaction's start: a movement that waited for the wallet's lock comes later in the
    # history than the one it waited for, and two of one transaction keep their order.
    created_at: Mapped[Moment] = mapped_column(server_default=text("clock_timestamp()"))

    __table_args__ = (
        CheckConstraint(
            f"type in ({GRANT_SOURCES}, 'SPEND', 'HOLD', 'CAPTURE', 'RELEASE', 'EXPIRY')",
            name="type",
        ),
        CheckConstraint("balance_after >= 0", name="balance_after"),
        Index("ix_credit_transactions_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_credit_transactions_user_id_type", "user_id", "type", "created_at", "id"),
    )
    access = Access(Owned(), service=("SELECT",))


class CreditEntry(Base):
    """One side of a movement between accounts; the entries of a transaction sum to zero.

    `account` is ISSUED (credits come from here), GRANT, HOLD, SPENT or EXPIRED.
    """

    __tablename__ = "credit_entries"

    id: Mapped[BigKey]
    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("credit_transactions.id"), index=True)
    account: Mapped[str]
    grant_id: Mapped[UUID | None] = mapped_column(ForeignKey("credit_grants.id"), index=True)
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("credit_holds.id"), index=True)
    amount: Mapped[int]

    __table_args__ = (
        CheckConstraint(
            "account in ('ISSUED', 'GRANT', 'HOLD', 'SPENT', 'EXPIRED')", name="account"
        ),
        CheckConstraint("amount <> 0", name="amount"),
        CheckConstraint("(account = 'GRANT') = (grant_id is not null)", name="grant_id"),
        CheckConstraint("(account = 'HOLD') = (hold_id is not null)", name="hold_id"),
    )
    access = Access(Internal(), service=("SELECT",))


class IdempotencyKey(Base):
    """The success stored under a client's key: the same call again returns `result_id`."""

    __tablename__ = "idempotency_keys"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    operation: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    result_id: Mapped[UUID]
    created_at: Mapped[Moment] = mapped_column(index=True)

    access = Access(Internal(), service=("SELECT", "DELETE"))
