"""Plans, tools, and the hairstyles and colours that tools offer: data a product's seed loads."""

from __future__ import annotations

from typing import Annotated, ClassVar

from sqlalchemy import ARRAY, CheckConstraint, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Public, Watch
from db.core.base import Base, Json, Slug

HEX_COLOR = "hex_code ~ '^#[0-9a-f]{6}$'"
# The columns that an admin has changed: loading the seed again leaves them.
Edited = Annotated[list[str], mapped_column(ARRAY(Text), server_default=text("'{}'"))]
CATALOG_TOPIC = "catalog.changed"


class Plan(Base):
    """What a subscriber gets: credits a month, and how many of them may be spent in a day.

    Without `price_cents` the price is on request. `adds_watermark` is of the pictures that its
    subscribers make, `has_pro_hairstyles` of what they may ask for, `has_high_quality` of the
    files that they may have.
    """

    __tablename__ = "plans"

    id: Mapped[Slug]
    name: Mapped[str] = mapped_column(unique=True)
    monthly_credits: Mapped[int]
    max_daily_credits: Mapped[int]
    price_cents: Mapped[int | None]
    currency: Mapped[str] = mapped_column(server_default="USD")
    sort_order: Mapped[int] = mapped_column(server_default=text("0"))
    adds_watermark: Mapped[bool] = mapped_column(server_default=text("false"))
    has_pro_hairstyles: Mapped[bool] = mapped_column(server_default=text("true"))
    has_high_quality: Mapped[bool] = mapped_column(server_default=text("true"))
    edited: Mapped[Edited]

    __table_args__ = (
        CheckConstraint("monthly_credits >= 0 and max_daily_credits >= 0", name="credits"),
        CheckConstraint("price_cents >= 0 and currency ~ '^[A-Z]{3}$'", name="price"),
    )
    access = Access(read=Public(), hidden=("edited",))
    joint_topic = CATALOG_TOPIC


class Tool(Base):
    """Something a user can run on a photo. Texts travel as i18n keys; `id` is a slug.

    A tool that `takes_mask` works where a second picture is white, when it is given one. Of a tool
    that `is_preview` the provider makes only labelled previews, for nothing; workers say which.
    """

    __tablename__ = "tools"

    id: Mapped[Slug]
    name_key: Mapped[str]
    description_key: Mapped[str]
    type: Mapped[str]
    icon_name: Mapped[str]
    cover_image_url: Mapped[str | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    sort_order: Mapped[int] = mapped_column(server_default=text("0"))
    credits_cost: Mapped[int] = mapped_column(server_default=text("1"))
    parameters_schema: Mapped[Json] = mapped_column(server_default=text('\'{"type": "object"}\''))
    takes_mask: Mapped[bool] = mapped_column(server_default=text("false"))
    is_preview: Mapped[bool] = mapped_column(server_default=text("false"))
    edited: Mapped[Edited]

    __table_args__ = (
        CheckConstraint("type in ('TRANSFORMATION', 'FILTER', 'ANALYSIS')", name="type"),
        CheckConstraint("credits_cost between 0 and 1000", name="credits_cost"),
        Index("ix_tools_sort_order_id", "sort_order", "id"),
    )
    large: ClassVar = {"parameters_schema": 16_384}
    access = Access(read=AnyOf(Public(only_if="is_active"), Admin()), hidden=("edited",))
    joint_topic = CATALOG_TOPIC
    watch = Watch("tools.changed", deletes=True)


class Hairstyle(Base):
    """A hairstyle the hairstyle tool can give.

    One that was removed `is_active` no more: generations that used it still name it.
    """

    __tablename__ = "hairstyles"

    id: Mapped[Slug]
    name: Mapped[str]
    image_url: Mapped[str]
    gender: Mapped[str]
    is_pro: Mapped[bool] = mapped_column(server_default=text("false"))
    category: Mapped[str]
    sort_order: Mapped[int] = mapped_column(server_default=text("0"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    edited: Mapped[Edited]

    __table_args__ = (CheckConstraint("gender in ('MALE', 'FEMALE')", name="gender"),)
    access = Access(read=AnyOf(Public(only_if="is_active"), Admin()), hidden=("edited",))
    joint_topic = CATALOG_TOPIC


class HairColor(Base):
    """A colour offered for hair, as lower-case #rrggbb."""

    __tablename__ = "hair_colors"

    hex_code: Mapped[Slug]
    sort_order: Mapped[int] = mapped_column(server_default=text("0"))
    edited: Mapped[Edited]

    __table_args__ = (CheckConstraint(HEX_COLOR, name="hex_code"),)
    access = Access(read=Public(), hidden=("edited",))
    joint_topic = CATALOG_TOPIC


class SkinColor(Base):
    """A named skin tone, as lower-case #rrggbb."""

    __tablename__ = "skin_colors"

    hex_code: Mapped[Slug]
    name: Mapped[str]
    sort_order: Mapped[int] = mapped_column(server_default=text("0"))
    edited: Mapped[Edited]

    __table_args__ = (CheckConstraint(HEX_COLOR, name="hex_code"),)
    access = Access(read=Public(), hidden=("edited",))
    joint_topic = CATALOG_TOPIC
