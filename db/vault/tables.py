"""The keys that something in the database is sealed with; never the keys themselves."""

from __future__ import annotations

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Nobody
from db.core.base import Base, OptionalTimestamp, Slug, Timestamp
from db.core.quotas import Bound


class VaultKey(Base):
    """A key of the vault that values name, by its id and the rounds that made it.

    A process that has not every key in use does not start. `retired_at` is when a rotation found
    nothing any more that the key had sealed.
    """

    __tablename__ = "vault_keys"

    head: Mapped[Slug]
    rounds: Mapped[int] = mapped_column()
    first_used_at: Mapped[Timestamp]
    retired_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("head ~ '^[0-9a-f]{18}$'", name="head"),
        CheckConstraint("rounds >= 100000", name="rounds"),
    )
    access = Access(read=Nobody(), service=("SELECT",))
    quota = Bound("One for each rotation.")
