"""Events: what changed, for whom, and how the row looked then."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from db.core.access import Access, Nobody
from db.core.base import Base, Json, Timestamp
from db.core.erasing import Delete
from db.core.exporting import NotExported
from db.core.merge_rules import KeepTheMembers
from db.core.quotas import Bound


class TransactionId(UserDefinedType[int]):
    """Postgres's 64-bit transaction id, which never wraps around."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """The type's name in DDL."""
        return "xid8"


ischema_names["xid8"] = TransactionId


class Event(Base):
    """One change that clients may watch, for one of its audiences.

    The audience is everybody, a user, or the members of a group who have one of the roles; a change
    has an event for each, with a `change_id` that they share. An event goes with the account of
    `user_id`, who is the audience or owns the row. Events of before there were audiences have no
    kind: they are of that user, or everybody's.

    `change` is INSERT, UPDATE or DELETE. `snapshot` holds the row's columns as they were (before
    a DELETE), but neither hidden nor large ones (`Watch.deferred`); `xid` and `id` order events the
    way their transactions became visible. The table is partitioned by day: see
    `app.make_event_days` and `app.drop_event_days`.
    """

    __tablename__ = "events"

    xid: Mapped[int] = mapped_column(
        TransactionId,
        primary_key=True,
        autoincrement=False,
        server_default=text("pg_current_xact_id()"),
    )
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    topic: Mapped[str]
    change: Mapped[str] = mapped_column(server_default="UPDATE")
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    audience_kind: Mapped[str | None]
    audience_id: Mapped[UUID | None]
    audience_roles: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    change_id: Mapped[int | None] = mapped_column(BigInteger)
    entity_id: Mapped[str | None]
    snapshot: Mapped[Json]
    created_at: Mapped[Timestamp] = mapped_column(primary_key=True)

    __table_args__ = (
        CheckConstraint("change in ('INSERT', 'UPDATE', 'DELETE')", name="change"),
        # Serves who comes back after a while, and the purge of a deleted user's snapshots.
        Index("ix_events_user_id_topic_xid_id", "user_id", "topic", "xid", "id"),
        # The same for the groups that somebody is in.
        Index(
            "ix_events_audience_id_topic_xid_id",
            "audience_id",
            "topic",
            "xid",
            "id",
            postgresql_where=text("audience_kind not in ('user', 'everybody')"),
        ),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )
    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = Delete()
    export = NotExported("How rows were that are in the archive as they are.")
    # What moves is an event of the member's.
    on_merge = KeepTheMembers()
    quota = Bound("One for each write to a counted table or a wallet; kept for 7 days.")


class DatabaseEpoch(Base):
    """Which life of the database this is: cursors from before a restore are refused.

    Events at or before (`dropped_xid`, `dropped_id`) are no longer kept.
    """

    __tablename__ = "database_epoch"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    dropped_xid: Mapped[int] = mapped_column(TransactionId, server_default=text("'0'::xid8"))
    dropped_id: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))

    access = Access(read=Nobody(), service=("SELECT",))
