"""The profile that a user has of themselves: one each."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Owner
from db.core.base import Base, Json, Timestamp
from db.core.erasing import Delete
from db.core.merge_rules import MergedBy
from db.core.quotas import Bound

JSON_LIMIT_BYTES = 256 * 1024
DOCUMENTS = (
    "synthesis",
    "preferences",
    "dating_goals",
    "video_analysis",
    "manual_entry",
    "settings",
)
LISTS = ("data_exports", "text_inputs", "insight_feedback")
ZODIAC_SIGN_LIMIT_CHARACTERS, LOCATION_LIMIT_CHARACTERS = 50, 255


class UserProfile(Base):
    """A user as they describe themselves. There is a row once something is given.

    Source: `user_profiles` of Aura's migration specification, and of its server.
    """

    __tablename__ = "user_profiles"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    synthesis: Mapped[Json | None]
    zodiac_sign: Mapped[str | None]
    location: Mapped[str | None]
    preferences: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    dating_goals: Mapped[Json | None]
    data_exports: Mapped[list[object]] = mapped_column(JSONB, server_default=text("'[]'"))
    text_inputs: Mapped[list[object]] = mapped_column(JSONB, server_default=text("'[]'"))
    video_analysis: Mapped[Json | None]
    manual_entry: Mapped[Json | None]
    settings: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    insight_feedback: Mapped[list[object]] = mapped_column(JSONB, server_default=text("'[]'"))
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint(
            f"length(zodiac_sign) <= {ZODIAC_SIGN_LIMIT_CHARACTERS}", name="zodiac_sign"
        ),
        CheckConstraint(f"length(location) <= {LOCATION_LIMIT_CHARACTERS}", name="location"),
    )
    large: ClassVar = dict.fromkeys((*DOCUMENTS, *LISTS), JSON_LIMIT_BYTES)
    access = Access(read=Owner(), service=("SELECT",))
    on_erase = Delete()
    on_merge = MergedBy("merge_user_profiles")
    quota = Bound("One for each user.")
