"""The profile that a user has of themselves: one each."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Owner
from db.core.base import Base, Json, Timestamp
from db.core.erasing import Delete
from db.core.merge_rules import MergedBy
from db.core.quotas import Bound

JSON_LIMIT_BYTES = 256 * 1024
ZODIAC_SIGN_LIMIT_CHARACTERS, LOCATION_LIMIT_CHARACTERS = 50, 255


class UserProfile(Base):
    """A user as they describe themselves. There is a row once something is given.

    Source: `user_profiles` of Aura's migration specification.
    """

    __tablename__ = "user_profiles"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    synthesis: Mapped[Json | None]
    zodiac_sign: Mapped[str | None]
    location: Mapped[str | None]
    preferences: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint(
            f"length(zodiac_sign) <= {ZODIAC_SIGN_LIMIT_CHARACTERS}", name="zodiac_sign"
        ),
        CheckConstraint(f"length(location) <= {LOCATION_LIMIT_CHARACTERS}", name="location"),
    )
    large: ClassVar = {"synthesis": JSON_LIMIT_BYTES, "preferences": JSON_LIMIT_BYTES}
    access = Access(read=Owner(), service=("SELECT",))
    on_erase = Delete()
    on_merge = MergedBy("merge_user_profiles")
    quota = Bound("One for each user.")
