"""Quotas as data: who may have how much of a slice, and how much each user has."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Owner, Public
from db.core.base import Base, Slug
from db.core.erasing import Delete
from db.core.merge_rules import Stay
from db.core.quotas import Bound


class QuotaLimit(Base):
    """How much of a slice each user of an audience may have; `slice` is the table's name.

    `audience` is GUEST, MEMBER or a plan's id. A guest has what GUEST says, a member what their
    plan says, else what MEMBER says. `is_custom` rows are an operator's or a seed's; the others
    follow the declarations and the settings, each time the database is migrated.
    """

    __tablename__ = "quota_limits"

    audience: Mapped[Slug]
    slice: Mapped[Slug]
    rows_limit: Mapped[int] = mapped_column(BigInteger)
    bytes_limit: Mapped[int] = mapped_column(BigInteger)
    is_custom: Mapped[bool] = mapped_column(server_default=text("true"))

    __table_args__ = (CheckConstraint("rows_limit >= 0 and bytes_limit >= 0", name="limits"),)
    access = Access(read=Public(), service=("SELECT",))
    triggers = (
        "forget_allowed after insert or update or delete on quota_limits"
        " for each row execute function app.forget_allowed()",
    )


class QuotaUse(Base):
    """How much of a slice a user has now, kept by triggers on the slice's table.

    `rows_allowed` and `bytes_allowed` are the limit when it was last looked up, and 0 since a plan
    or a limit changed: up to them nothing need be looked up.
    """

    __tablename__ = "quota_use"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    slice: Mapped[Slug]
    rows_used: Mapped[int] = mapped_column(BigInteger)
    bytes_used: Mapped[int] = mapped_column(BigInteger)
    rows_allowed: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    bytes_allowed: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))

    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)
    access = Access(read=AnyOf(Owner(), Admin()), service=("SELECT",))
    on_erase = Delete()
    on_merge = Stay("What moves is taken off the guest's counts and added to the member's.")
    quota = Bound("One row for each user and counted table.")
