"""The ledger: wallets, grants, holds, and the immutable entries that explain them."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Nobody, Owner, Watch
from db.core.base import Base, BigKey, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Call, Delete, Keep
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import MergedBy, Stay
from db.core.quotas import Bound

GRANT_SOURCES = "SIGNUP_BONUS,PLAN,PURCHASE,REFERRAL,REFUND,ADMIN"
EXPIRY_RANK = (
    "coalesce((extract(epoch from expires_at at time zone 'UTC') * 1000000)::bigint,"
    " 9223372036854775807)"
)

BOOKS = Stay("The guest's books are history; a transfer moves what is left.")


# An account that is deleted leaves its wallet behind, which nobody owns: the id leads to no person.
KEPT_BOOKS = Keep("The books: what was issued and spent stays, of nobody any more.")
OTHER_SIDE = NotExported("The other side of the user's transactions.")


def index_where_set(table: str, column: str) -> Index:
    """The index of a foreign key that most rows leave empty."""
    return Index(f"ix_{table}_{column}", column, postgresql_where=text(f"{column} is not null"))


def never_changed(table: str) -> tuple[str, str]:
    """The triggers of a table whose rows are history."""
    return (
        f"refuse_change before update or delete on {table}"
        " for each row execute function app.refuse_change()",
        f"refuse_truncate before truncate on {table}"
        " for each statement execute function app.refuse_change()",
    )


class Wallet(Base):
    """A user's credits: `balance` is all they own, `held` the part reserved for work under way.

    `daily_used` counts what was spent or held on the UTC day `daily_used_on` of the credits that
    the plan's daily cap is about (those of the source PLAN). An `unlimited` user spends without
    debit. `debt` is what they owe: credits that were taken back after they had been used.
    `plan_credits_due_at` is when the plan gives its next credits: on the day of the month of
    `plan_credits_anchor_at`, or the last day of a shorter month. `user_id` is no foreign key, since
    a wallet outlives its user: `closed_at` is when their account was deleted, and from then on
    nothing moves in it.
    """

    __tablename__ = "wallets"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    balance: Mapped[int] = mapped_column(server_default=text("0"))
    held: Mapped[int] = mapped_column(server_default=text("0"))
    debt: Mapped[int] = mapped_column(server_default=text("0"))
    unlimited: Mapped[bool] = mapped_column(server_default=text("false"))
    daily_used: Mapped[int] = mapped_column(server_default=text("0"))
    daily_used_on: Mapped[date | None]
    plan_credits_due_at: Mapped[OptionalTimestamp]
    plan_credits_anchor_at: Mapped[OptionalTimestamp]
    updated_at: Mapped[Timestamp]
    closed_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("held >= 0 and balance >= held", name="never_negative"),
        CheckConstraint("daily_used >= 0", name="daily_used"),
        Index(
            "ix_wallets_plan_credits_due_at",
            "plan_credits_due_at",
            postgresql_where=text("plan_credits_due_at is not null"),
        ),
        CheckConstraint("balance <= 1000000000", name="bounded"),
        CheckConstraint("closed_at is null or balance = 0", name="closed"),
        CheckConstraint("debt >= 0", name="debt"),
        Index("ix_wallets_debt", "user_id", postgresql_where=text("debt > 0")),
    )
    access = Access(read=AnyOf(Owner(), Admin()), hidden=("closed_at",), service=("SELECT",))
    on_erase = (Call("close_wallet"), KEPT_BOOKS)
    watch = Watch("credits.changed", entity="user_id", inserts=False)
    on_merge = MergedBy("merge_wallets")
    quota = Bound("One for each user.")


class CreditGrant(Base):
    """Credits that came from one source; `remaining` is neither spent, held nor expired.

    `usable` says whether anything remains. It is a column because indexes have it as their
    condition: with `remaining` there, each spend would have to write into all of them.
    `expiry_rank` orders grants by when they expire, those that never do last: microseconds since
    1970. It is a column because a page's cursor needs a value that is never null.
    """

    __tablename__ = "credit_grants"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("wallets.user_id"))
    source: Mapped[str]
    amount: Mapped[int]
    remaining: Mapped[int]
    expires_at: Mapped[OptionalTimestamp]
    reference_id: Mapped[str | None]
    created_at: Mapped[Timestamp]
    expiry_rank: Mapped[int] = mapped_column(BigInteger, Computed(EXPIRY_RANK, persisted=True))
    usable: Mapped[bool] = mapped_column(Computed("remaining > 0", persisted=True))

    __table_args__ = (
        CheckConstraint(f"source = any ('{{{GRANT_SOURCES}}}'::text[])", name="source"),
        CheckConstraint("amount > 0 and remaining between 0 and amount", name="remaining"),
        Index("ix_credit_grants_user_id_created_at_id", "user_id", "created_at", "id"),
        Index(
            "ix_credit_grants_usable",
            "user_id",
            "expiry_rank",
            "id",
            postgresql_where=text("usable"),
        ),
        Index(
            "ix_credit_grants_expiring",
            "expires_at",
            postgresql_where=text("usable and expires_at is not null"),
        ),
    )
    access = Access(read=AnyOf(Owner(), Admin()), service=("SELECT",))
    on_erase = KEPT_BOOKS
    on_merge = BOOKS
    quota = Bound("Given by the server; a client's refunds and transfers are the operator's.")


class HoldStatus(State):
    """Whether a hold still keeps its credits."""

    OPEN = "OPEN", "The credits are held for work under way."
    CAPTURED = "CAPTURED", "The work was done: all or some of the credits are spent."
    RELEASED = "RELEASED", "The work was not done: the credits are back."
    EXPIRED = "EXPIRED", "Its time was over: the credits are back."


class CreditHold(Base):
    """Credits reserved until the work they pay for ends; a hold resolves at most once.

    After `expires_at` the next sweep releases it. Until then it can be captured, late or not:
    whoever locks the wallet first ends it. An `unlimited` user's hold takes nothing from the
    wallet.
    """

    __tablename__ = "credit_holds"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("wallets.user_id"))
    amount: Mapped[int]
    captured_amount: Mapped[int] = mapped_column(server_default=text("0"))
    status: Mapped[str] = mapped_column(server_default=HoldStatus.OPEN)
    reference_id: Mapped[str | None]
    unlimited: Mapped[bool] = mapped_column(server_default=text("false"))
    expires_at: Mapped[datetime]
    created_at: Mapped[Timestamp]
    resolved_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("amount > 0 and captured_amount between 0 and amount", name="amount"),
        CheckConstraint("(status = 'OPEN') = (resolved_at is null)", name="resolved"),
        Index("ix_credit_holds_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_credit_holds_open", "expires_at", postgresql_where=text("status = 'OPEN'")),
    )
    access = Access(read=Owner(), service=("SELECT",))
    on_erase = KEPT_BOOKS
    lifecycle = Lifecycle(
        "status",
        HoldStatus,
        initial=(HoldStatus.OPEN,),
        transitions={
            HoldStatus.OPEN: (HoldStatus.CAPTURED, HoldStatus.RELEASED, HoldStatus.EXPIRED)
        },
    )
    on_merge = BOOKS
    quota = Bound(
        "Each takes a credit, which cancelling gives back; MUTATIONS_PER_USER bounds their pace."
    )


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
    access = Access(read=Nobody(), service=("SELECT",))
    triggers = never_changed("credit_hold_parts")
    on_erase = Keep(KEPT_BOOKS.reason, ())
    export = OTHER_SIDE
    quota = Bound("One for each grant that a hold takes from.")


class CreditTransaction(Base):
    """One movement in a user's history, never changed.

    `amount` is the change of the balance, `held_change` of the part of it that is held: a hold
    has amount 0 and held_change +n, its capture -n and -n. The sums over a user's transactions
    are the wallet's balance and held. `used` is what the movement used up, negative for a refund;
    it differs from `amount` for `unlimited` users, who use credits without debit.
    """

    __tablename__ = "credit_transactions"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("wallets.user_id"))
    type: Mapped[str]
    amount: Mapped[int]
    held_change: Mapped[int] = mapped_column(server_default=text("0"))
    used: Mapped[int] = mapped_column(server_default=text("0"))
    balance_after: Mapped[int]
    reason: Mapped[str | None]
    reference_id: Mapped[str | None]
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("credit_holds.id"))
    # Not the transaction's start: a movement that waited for the wallet's lock comes later in the
    # history than the one it waited for, and two of one transaction keep their order.
    created_at: Mapped[Timestamp] = mapped_column(server_default=text("clock_timestamp()"))

    __table_args__ = (
        CheckConstraint(
            f"type = any ('{{{GRANT_SOURCES},SPEND,HOLD,CAPTURE,RELEASE,EXPIRY,TRANSFER,CLAWBACK,"
            "DEBT_PAYMENT}'::text[])",
            name="type",
        ),
        CheckConstraint("balance_after >= 0", name="balance_after"),
        CheckConstraint(
            "char_length(reason) <= 255 and char_length(reference_id) <= 255", name="texts"
        ),
        Index("ix_credit_transactions_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_credit_transactions_user_id_type", "user_id", "type", "created_at", "id"),
        index_where_set("credit_transactions", "hold_id"),
        # What everybody used by day: rows lie in the order of their times, more or less.
        Index("ix_credit_transactions_created_at", "created_at", postgresql_using="brin"),
    )
    access = Access(read=AnyOf(Owner(), Admin()), service=("SELECT",))
    triggers = (
        "refuse_change before update or delete on credit_transactions"
        " for each row execute function app.refuse_change_of_line()",
        "refuse_truncate before truncate on credit_transactions"
        " for each statement execute function app.refuse_change()",
        "note_use after insert on credit_transactions for each row when (new.used > 0)"
        " execute function app.note_credit_use()",
    )
    # A transfer names the other side, whose account may be another one that is deleted.
    on_erase = (Call("forget_reasons"), Keep(KEPT_BOOKS.reason, ("user_id", "reference_id")))
    on_merge = BOOKS
    quota = Bound(
        "A spend uses a credit up; MUTATIONS_PER_USER bounds the pace of holds and releases."
    )


class CreditEntry(Base):
    """One side of a movement between accounts; the entries of a transaction sum to zero.

    `account` is ISSUED (credits come from here), GRANT, HOLD, SPENT, EXPIRED, TRANSFER (on the way
    from one user to another), or DEBT (what the user owes, below zero).
    """

    __tablename__ = "credit_entries"

    id: Mapped[BigKey]
    transaction_id: Mapped[UUID] = mapped_column(
        ForeignKey("credit_transactions.id"), primary_key=True
    )
    account: Mapped[str]
    grant_id: Mapped[UUID | None] = mapped_column(ForeignKey("credit_grants.id"))
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("credit_holds.id"))
    amount: Mapped[int]

    __table_args__ = (
        PrimaryKeyConstraint("transaction_id", "id"),
        index_where_set("credit_entries", "grant_id"),
        index_where_set("credit_entries", "hold_id"),
        CheckConstraint(
            "account = any ('{ISSUED,GRANT,HOLD,SPENT,EXPIRED,TRANSFER,DEBT}'::text[])",
            name="account",
        ),
        CheckConstraint("amount <> 0", name="amount"),
        CheckConstraint("(account = 'GRANT') = (grant_id is not null)", name="grant_id"),
        CheckConstraint("(account = 'HOLD') = (hold_id is not null)", name="hold_id"),
    )
    access = Access(read=Nobody(), service=("SELECT",))
    triggers = (
        *never_changed("credit_entries"),
        "check_entries_balance after insert on credit_entries referencing new table as new_entries"
        " for each statement execute function app.check_entries_balance()",
    )
    on_erase = Keep(KEPT_BOOKS.reason, ())
    export = OTHER_SIDE
    quota = Bound("Two or more for each movement.")


class CreditRefundPart(Base):
    """What a refund gave back of a spend: to which grant, in the order of giving.

    `grant_id` is the grant the credits had come from; null when an `unlimited` user had spent
    them. When it has expired meanwhile, they went to a new grant of the source REFUND.
    """

    __tablename__ = "credit_refund_parts"

    refund_id: Mapped[UUID] = mapped_column(ForeignKey("credit_transactions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    spend_id: Mapped[UUID] = mapped_column(ForeignKey("credit_transactions.id"), index=True)
    grant_id: Mapped[UUID | None] = mapped_column(ForeignKey("credit_grants.id"), index=True)
    amount: Mapped[int]

    __table_args__ = (CheckConstraint("amount > 0", name="amount"),)
    access = Access(read=Nobody(), service=("SELECT",))
    triggers = never_changed("credit_refund_parts")
    on_erase = Keep(KEPT_BOOKS.reason, ())
    export = OTHER_SIDE
    quota = Bound("One for each grant that a refund gives back to.")


class CreditTransfer(Base):
    """The two sides of a transfer: the sender's movement and the receiver's."""

    __tablename__ = "credit_transfers"

    sent_id: Mapped[UUID] = mapped_column(ForeignKey("credit_transactions.id"), primary_key=True)
    received_id: Mapped[UUID] = mapped_column(ForeignKey("credit_transactions.id"), unique=True)

    access = Access(read=Nobody(), service=("SELECT",))
    triggers = never_changed("credit_transfers")
    on_erase = Keep(KEPT_BOOKS.reason, ())
    export = OTHER_SIDE
    quota = Bound("One for each transfer, which an operator makes.")


class LedgerProof(Base):
    """One look over the wallets: how many were proven, and what was wrong with which.

    `faults` names the first 100; `fault_count` counts all.
    """

    __tablename__ = "ledger_proofs"

    id: Mapped[BigKey]
    started_at: Mapped[datetime]
    finished_at: Mapped[Timestamp]
    wallets: Mapped[int]
    faults: Mapped[list[dict[str, object]]] = mapped_column(JSONB)
    fault_count: Mapped[int]

    access = Access(read=Nobody(), service=("SELECT", "INSERT", "DELETE"))
    on_erase = Keep("It names wallets, which stay as well.", ("faults",))
    export = NotExported("The operator's.")
    quota = Bound("One for each scheduled check; kept for a year.")
    expiries = (
        Expiry("ledger proofs older than a year", "started_at < now() - interval '1 year'", "id"),
    )


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
    created_at: Mapped[Timestamp] = mapped_column(index=True)

    access = Access(read=Nobody(), service=("SELECT", "DELETE"))
    on_erase = Delete()
    export = NotExported("It says nothing that its results do not.")
    on_merge = MergedBy("copy_idempotency_keys")
    quota = Bound("One for each spend, generation or cancellation; kept for 30 days.")
    expiries = (
        Expiry(
            "idempotency keys older than 30 days",
            "created_at < now() - interval '30 days'",
            "created_at",
        ),
    )


class CreditAlert(Base):
    """At how many credits their user is told that they run low; one row, set by the workers."""

    __tablename__ = "credit_alerts"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    low_balance: Mapped[int]

    __table_args__ = (
        CheckConstraint("id = 1", name="single_row"),
        CheckConstraint("low_balance between 0 and 1000", name="low_balance"),
    )
    access = Access(read=Nobody(), service=("SELECT",))
    quota = Bound("One row.")
