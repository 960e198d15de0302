"""What users may use by purchases in app stores, and what a provider calls its users."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Nobody, Owner
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.exporting import NotExported
from db.core.merge_rules import Move
from db.core.quotas import Bound


class ProviderEntitlement(Base):
    """Something that a purchase lets its user use, as the provider told last.

    `source` is the purchase or subscription that gives it, in the provider's words; `told_at` is
    when that was so. Without `expires_at` it lasts. With `grace_ends_at` a payment failed, and it
    lasts until then. `held_since` is when the user was last said to have it: by what `told_at` has,
    or by a transfer.
    """

    __tablename__ = "provider_entitlements"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    provider: Mapped[str]
    source: Mapped[str]
    name: Mapped[str]
    product: Mapped[str]
    store: Mapped[str]
    expires_at: Mapped[OptionalTimestamp]
    grace_ends_at: Mapped[OptionalTimestamp]
    will_renew: Mapped[bool]
    told_at: Mapped[datetime]
    created_at: Mapped[Timestamp]
    held_since: Mapped[Timestamp]

    __table_args__ = (
        Index("uq_provider_entitlements_source", "provider", "source", "name", unique=True),
        Index("ix_provider_entitlements_user_id_created_at_id", "user_id", "created_at", "id"),
    )
    access = Access(
        read=AnyOf(Owner(), Admin()), hidden=("source", "held_since"), service=("SELECT",)
    )
    on_erase = Delete()
    on_merge = Move()
    quota = Bound("The provider's: a few for each purchase.")


class ProviderUserName(Base):
    """A name that a provider made for a user before it knew them, as that of a device."""

    __tablename__ = "provider_user_names"

    provider: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[Timestamp]

    __table_args__ = (CheckConstraint("length(name) between 1 and 255", name="name"),)
    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = Delete()
    on_merge = Move()
    export = NotExported("The provider's names of devices.")
    quota = Bound("The provider's: one for each device.")


class ProviderTransfer(Base):
    """What one user had bought by then is another's since `told_at`.

    It is kept since a provider may tell of a purchase after the transfer that moved it.
    """

    __tablename__ = "provider_transfers"

    id: Mapped[UuidKey]
    provider: Mapped[str]
    giver_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    receiver_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    told_at: Mapped[datetime]
    created_at: Mapped[Timestamp]

    __table_args__ = (Index("ix_provider_transfers_giver_id_told_at", "giver_id", "told_at"),)
    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = (Delete("giver_id"), Delete("receiver_id"))
    on_merge = Move()
    export = NotExported("The provider's word on devices; what it gave is exported.")
    quota = Bound("The provider's: one for each transfer.")
