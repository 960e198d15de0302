"""Reviews of products, by who has bought them."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, AnyOf, Owner, Through
from db.core.base import Base, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.merge_rules import MergedBy
from db.core.quotas import Bound

TEXT_LIMIT_CHARACTERS = 2_000


class Review(Base):
    """What a buyer thinks of a product: one of each, which they may change.

    `author_name` is what the buyer was called when they last wrote it. The product's ratings follow
    by triggers, whoever adds, changes or deletes one.
    """

    __tablename__ = "reviews"

    id: Mapped[UuidKey]
    product_id: Mapped[str] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    author_name: Mapped[str | None]
    rating: Mapped[int]
    text: Mapped[str | None]
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("rating between 1 and 5", name="rating"),
        CheckConstraint(f"length(text) <= {TEXT_LIMIT_CHARACTERS}", name="text"),
        CheckConstraint("length(author_name) <= 100", name="author_name"),
        Index("uq_reviews_user_id_product_id", "user_id", "product_id", unique=True),
        Index("ix_reviews_product_id_created_at_id", "product_id", "created_at", "id"),
        Index("ix_reviews_user_id_created_at_id", "user_id", "created_at", "id"),
    )
    access = Access(read=AnyOf(Through("product_id"), Owner()), service=("SELECT",))
    on_erase = Delete()
    on_merge = MergedBy("merge_reviews")
    quota = Bound("One for each product that the user has bought.")
    triggers = (
        "count_rating after insert or update or delete on reviews"
        " for each row execute function app.count_rating()",
    )
