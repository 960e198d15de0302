"""Who was brought from another service, and what that service knew of them."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Owner
from db.core.base import Base, Json, Timestamp
from db.core.erasing import Delete
from db.core.merge_rules import Stay
from db.core.quotas import Bound


class ImportedUser(Base):
    """A user who came from another service, with their id there.

    `source` names the service. `metadata` is what it kept of them beside the account (Supabase's
    `raw_user_meta_data` and `raw_app_meta_data`), for the product to take from it what it needs.
    """

    __tablename__ = "imported_users"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    source: Mapped[str]
    imported_at: Mapped[Timestamp]
    # SQLAlchemy has `metadata` for itself.
    known: Mapped[Json] = mapped_column("metadata")

    access = Access(read=Owner(), service=("SELECT",))
    on_erase = Delete()
    on_merge = Stay("It says where the guest's account came from.")
    quota = Bound("One for each user whom the operator imports.")
