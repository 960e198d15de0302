"""Texts: what keys of the catalog and of notifications say in each language."""

from __future__ import annotations

from sqlalchemy import ARRAY, CheckConstraint, Computed, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Public
from db.core.base import Base
from db.core.quotas import Bound

# The languages of the product. The first is what a missing text falls back to.
LOCALES = ("en", "zh", "hi", "es", "ar", "fr", "bn", "pt", "ru", "id")


class Translation(Base):
    """The text of a key in one language. `edited` names `text` once an admin has changed it."""

    __tablename__ = "translations"

    id: Mapped[str] = mapped_column(
        Computed("locale || ':' || key", persisted=True), primary_key=True
    )
    locale: Mapped[str]
    key: Mapped[str]
    text: Mapped[str]
    edited: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")

    __table_args__ = (
        CheckConstraint(f"locale in ({', '.join(map(repr, LOCALES))})", name="locale"),
        CheckConstraint("length(key) between 1 and 200", name="key"),
        CheckConstraint("length(text) between 1 and 2000", name="text"),
    )
    access = Access(read=Public(), hidden=("edited",))
    quota = Bound("An admin's: one for each key and language.")
