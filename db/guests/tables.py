"""Guests who were merged into an account, and into which."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Nobody
from db.core.base import Base, Json, OptionalTimestamp, Timestamp
from db.core.erasing import GoesWith
from db.core.exporting import NotExported
from db.core.merge_rules import Stay
from db.core.quotas import Bound


class GuestMerge(Base):
    """A guest whose rows became a member's; once for each guest.

    `moved` says how many rows of which table, and `credits_moved` how many credits: what the answer
    is made of, however often it is asked for. `bonus_used` is what the guest had used of the bonus,
    which counts as the member's. A write of the guest's that was under way follows until
    `settled_at`.
    """

    __tablename__ = "guest_merges"

    guest_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    moved: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    credits_moved: Mapped[int] = mapped_column(server_default=text("0"))
    bonus_used: Mapped[int] = mapped_column(server_default=text("0"))
    merged_at: Mapped[Timestamp]
    settled_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("guest_id <> user_id", name="two_users"),
        CheckConstraint("credits_moved >= 0 and bonus_used >= 0", name="figures"),
        Index(
            "ix_guest_merges_unsettled",
            "merged_at",
            postgresql_where=text("settled_at is null"),
        ),
    )
    access = Access(read=Nobody(), service=("SELECT",))
    on_merge = Stay("It names the guest; nobody is merged into a guest.")
    # The guest's account goes with the member's, by a job of its own.
    on_erase = (GoesWith("guest_id"), GoesWith("user_id"))
    export = NotExported("How the account came to be; what was the guest's is the member's.")
    quota = Bound("One for each guest, whose sign-up has a budget, by address.")
