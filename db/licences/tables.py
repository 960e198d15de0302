"""Licences of products, and the machines that use them."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Nobody, Owner, Watch
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Anonymise, Delete, GoesWith
from db.core.exporting import Export, NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import Move
from db.core.quotas import Bound
from db.core.sealed import BlindIndex, Sealed

ACTIVATIONS_LIMIT = 10_000


def _sparse(name: str, column: str, *more: str, unique: bool = False) -> Index:
    """An index of the rows that have the column: the others are written without it."""
    is_set = text(f"{column} is not null")
    return Index(name, column, *more, unique=unique, postgresql_where=is_set)


class LicenceStatus(State):
    """Where a licence stands; one may expire in any of them."""

    AVAILABLE = "AVAILABLE", "Nobody has redeemed its key."
    REDEEMED = "REDEEMED", "Its key was redeemed, and is nobody else's any more."
    BANNED = "BANNED", "It is good for nothing until its seller lifts the ban."


class LicenceSource(State):
    """How a licence came to be."""

    MADE = "MADE", "Its seller made it, to be sold or given elsewhere."
    SOLD = "SOLD", "It was bought here."
    GIVEN = "GIVEN", "Its seller gave it to a user."


class Licence(Base):
    """The right to use a product, by a key that whoever has it redeems once.

    It is of a product of a store's, or of a developer's. `key_sealed` is its key, `key_hash` finds
    it, and `key_end` are the last four characters, by which people tell keys apart; all are null
    until a job has made the key of a sale. `owner_id` is whose it is. One with `duration_days`
    begins to expire when it is redeemed. `banned_from` is the state that lifting a ban leads back
    to. `sale_id` is the sale that gave it.
    """

    __tablename__ = "licences"

    id: Mapped[UuidKey]
    product_id: Mapped[str | None] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"))
    developer_product_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("developer_products.id", ondelete="CASCADE")
    )
    seller_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    owner_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    sale_id: Mapped[UUID | None]
    key_sealed: Mapped[bytes | None] = mapped_column(Sealed())
    key_hash: Mapped[bytes | None] = mapped_column(BlindIndex("key_sealed"))
    key_end: Mapped[str | None]
    source: Mapped[str] = mapped_column(server_default=LicenceSource.MADE)
    status: Mapped[str] = mapped_column(server_default=LicenceStatus.AVAILABLE)
    max_activations: Mapped[int | None]
    activation_count: Mapped[int] = mapped_column(server_default=text("0"))
    duration_days: Mapped[int | None]
    expires_at: Mapped[OptionalTimestamp]
    discord_id: Mapped[str | None]
    roblox_id: Mapped[int | None] = mapped_column(BigInteger)
    redeemed_at: Mapped[OptionalTimestamp]
    banned_at: Mapped[OptionalTimestamp]
    banned_from: Mapped[str | None]
    ban_reason: Mapped[str | None]
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("num_nonnulls(product_id, developer_product_id) = 1", name="product"),
        CheckConstraint("source in ('MADE', 'SOLD', 'GIVEN')", name="source"),
        CheckConstraint(
            f"max_activations between 1 and {ACTIVATIONS_LIMIT}", name="max_activations"
        ),
        CheckConstraint("activation_count >= 0", name="activation_count"),
        CheckConstraint("duration_days between 1 and 36500", name="duration_days"),
        CheckConstraint("isfinite(expires_at)", name="expires_at"),
        CheckConstraint("discord_id ~ '^[0-9]{17,20}$'", name="discord_id"),
        CheckConstraint("roblox_id > 0", name="roblox_id"),
        CheckConstraint("length(ban_reason) <= 500", name="ban_reason"),
        CheckConstraint(
            "(status = 'BANNED') = (banned_at is not null)"
            " and (banned_at is null) = (banned_from is null)",
            name="banned_at",
        ),
        CheckConstraint("status <> 'REDEEMED' or redeemed_at is not null", name="redeemed_at"),
        Index("uq_licences_key_hash", "key_hash", unique=True),
        _sparse("uq_licences_sale_id", "sale_id", unique=True),
        _sparse("ix_licences_product_id_created_at_id", "product_id", "created_at", "id"),
        _sparse(
            "ix_licences_developer_product_id_created_at_id",
            "developer_product_id",
            "created_at",
            "id",
        ),
        _sparse("ix_licences_roblox_id", "roblox_id"),
        Index("ix_licences_seller_id_created_at_id", "seller_id", "created_at", "id"),
        _sparse("ix_licences_owner_id_created_at_id", "owner_id", "created_at", "id"),
        _sparse("ix_licences_discord_id", "discord_id"),
    )
    access = Access(
        read=AnyOf(Owner("owner_id"), Owner("seller_id"), Admin()),
        hidden=("key_hash", "banned_from"),
        service=("SELECT",),
    )
    watch = Watch("licence.changed", deletes=True)
    # The seller's keys stay good for whoever bought them; a buyer's go with the account.
    on_erase = (Delete("owner_id"), Anonymise("seller_id"))
    export = Export(rows="t.owner_id = $1 or t.seller_id = $1")
    on_merge = Move()
    lifecycle = Lifecycle(
        "status",
        LicenceStatus,
        initial=(LicenceStatus.AVAILABLE,),
        transitions={
            LicenceStatus.AVAILABLE: (LicenceStatus.REDEEMED, LicenceStatus.BANNED),
            LicenceStatus.REDEEMED: (LicenceStatus.BANNED,),
            LicenceStatus.BANNED: (LicenceStatus.AVAILABLE, LicenceStatus.REDEEMED),
        },
    )
    quota = Bound("A product has at most 100,000, and one more for each sale.")


class LicenceActivation(Base):
    """A machine that uses a licence; `machine_hash` is the keyed hash of its own name."""

    __tablename__ = "licence_activations"

    licence_id: Mapped[UUID] = mapped_column(
        ForeignKey("licences.id", ondelete="CASCADE"), primary_key=True
    )
    machine_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    created_at: Mapped[Timestamp]

    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = GoesWith("licence_id")
    export = NotExported("Hashes of machines' names; the licence says how many there are.")
    quota = Bound("A licence has at most 10,000, or what it allows.")
