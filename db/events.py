"""Events: what changed, for whom, and how the row looked then."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from db.base import Base, Json, Moment
from db.rls import Access, Internal


class TransactionId(UserDefinedType[int]):
    """Postgres's 64-bit transaction id, which never wraps around."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """The type's name in DDL."""
        return "xid8"


ischema_names["xid8"] = TransactionId


class Event(Base):
    """One change that clients may watch. `user_id` is null when everybody may see it.

    `snapshot` holds the row's columns as they were, never sealed ones; `xid` and `id` order events
    the way their transactions became visible.
    """

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    xid: Mapped[int] = mapped_column(TransactionId, server_default=text("pg_current_xact_id()"))
    topic: Mapped[str]
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    entity_id: Mapped[str | None]
    snapshot: Mapped[Json]
    created_at: Mapped[Moment]

    __table_args__ = (Index("ix_events_xid_id", "xid", "id"),)
    access = Access(Internal(), service=("SELECT", "DELETE"))


class DatabaseEpoch(Base):
    """Which life of the database this is: cursors from before a restore are refused."""

    __tablename__ = "database_epoch"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))

    access = Access(Internal(), service=("SELECT",))
