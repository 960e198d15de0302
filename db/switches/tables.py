"""The switches: one row that everybody may read, and clients follow."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Public, Watch
from db.core.base import Base, Timestamp
from db.core.quotas import Bound


class Switches(Base):
    """How the product runs now; one row, which a migration makes.

    A column that is a switch is a boolean with the value of ordinary running as its default.
    """

    __tablename__ = "switches"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sync_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    credits_unlimited: Mapped[bool] = mapped_column(server_default=text("false"))
    ai_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    read_only: Mapped[bool] = mapped_column(server_default=text("false"))
    updated_at: Mapped[Timestamp]

    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)
    access = Access(read=Public(), service=("SELECT",))
    watch = Watch("switches.changed", inserts=False)
    quota = Bound("One row.")
