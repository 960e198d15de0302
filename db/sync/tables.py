"""How far each user's changes are counted, what was deleted, and versions that lost a conflict."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Nobody, Owner
from db.core.base import Base, Json, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import KeepTheMembers, Move, Stay
from db.core.quotas import Bound, Limit, TableQuota

FIELD_GROUPS = ("NAME", "THUMBNAIL", "ANALYSIS")
LOST_VALUE_LIMIT_BYTES = 2 * 1024 * 1024
# As Postgres writes it, by which Alembic knows it again.
_LOST_THUMBNAIL = (
    "CASE field_group WHEN 'THUMBNAIL'::text THEN (value #>> '{}'::text[])"
    " WHEN 'PROFILE'::text THEN (value ->> 'THUMBNAIL'::text) ELSE NULL::text END"
)
LOST_PICTURE = (
    f"CASE WHEN ({_LOST_THUMBNAIL} ~~ 'thumbnails/%-%'::text) THEN {_LOST_THUMBNAIL}"
    " ELSE NULL::text END"
)


class SyncConflictStatus(State):
    """Where a conflict stands."""

    OPEN = "OPEN", "The user is to choose; the server's version holds until then."
    SETTLED = "SETTLED", "The strategy decided; the user may still choose otherwise."
    RESOLVED = "RESOLVED", "The user chose."
    DELETED = "DELETED", "No conflict: what a profile held when it was deleted."


class SyncHead(Base):
    """How far a user's changes are counted.

    Each change of a profile takes the next `position`, while it holds the lock on this row: changes
    become visible in the order of their positions, so that a position says what a device has seen.
    `clock` is the server's hybrid logical clock: milliseconds, then 16 bits that count. Deletions
    up to `forgotten` are no longer known. Source: Kulkarni et al., Logical Physical Clocks, 2014.
    """

    __tablename__ = "sync_heads"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(BigInteger)
    clock: Mapped[int] = mapped_column(BigInteger)
    forgotten: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))

    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)
    access = Access(read=Nobody(), service=("SELECT",))
    on_erase = Delete()
    on_merge = Stay("What moves is counted anew among the member's changes.")
    export = NotExported("A number without a meaning outside of this server.")
    quota = Bound("One row for each user.")


class ProfileTombstone(Base):
    """That a profile was deleted, for the devices that still have it.

    `versions` are the profile's, `seen` the newest deletion of each device, as in those. A profile
    that a later edit brings back `is_revived`. `clock` and `device_id` are of the deletion.
    """

    __tablename__ = "profile_tombstones"

    profile_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    origin_device_id: Mapped[str | None]
    origin_local_id: Mapped[int | None]
    device_id: Mapped[str]
    clock: Mapped[int] = mapped_column(BigInteger)
    position: Mapped[int] = mapped_column(BigInteger)
    seen: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    versions: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    is_revived: Mapped[bool] = mapped_column(server_default=text("false"))
    deleted_at: Mapped[Timestamp]

    __table_args__ = (
        Index("ix_profile_tombstones_user_id_position", "user_id", "position"),
        Index(
            "ix_profile_tombstones_origin",
            "user_id",
            "origin_device_id",
            "origin_local_id",
            postgresql_where=text("origin_local_id is not null"),
        ),
        Index("ix_profile_tombstones_deleted_at", "deleted_at"),
    )
    access = Access(read=Nobody(), service=("SELECT", "DELETE"))
    triggers = (
        "note_forgotten after delete on profile_tombstones referencing old table as old_rows"
        " for each statement execute function app.note_forgotten_tombstones()",
    )
    on_erase = Delete()
    on_merge = KeepTheMembers()
    export = NotExported("That something is gone, without what it was.")
    quota = Bound("One for each profile that there was; kept for 90 days.")
    expiries = (
        Expiry(
            "tombstones of 90 days",
            "deleted_at < now() - interval '90 days'",
            "deleted_at",
        ),
    )


class SyncConflict(Base):
    """A version that lost against another, kept so that it can be brought back.

    `device_id` and `clock` are of the change that met the conflict; `loser` says whether that lost
    (CLIENT) or what the server had (SERVER). `value` is what lost: of one field group, the messages
    of a CHAT whose profile was deleted, all of a PROFILE that was deleted, or null where a DELETION
    lost. `kept` is what the user chose. `thumbnail_path` is where the picture among it lies.
    """

    __tablename__ = "sync_conflicts"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    profile_id: Mapped[UUID]
    field_group: Mapped[str]
    loser: Mapped[str]
    device_id: Mapped[str]
    clock: Mapped[int] = mapped_column(BigInteger)
    value: Mapped[object | None] = mapped_column(JSONB(none_as_null=True))
    status: Mapped[str]
    kept: Mapped[str | None]
    created_at: Mapped[Timestamp]
    resolved_at: Mapped[OptionalTimestamp]
    thumbnail_path: Mapped[str | None] = mapped_column(Computed(LOST_PICTURE, persisted=True))
    stored_bytes: Mapped[int] = mapped_column(
        Computed("octet_length(coalesce(value::text, '')) + 64", persisted=True)
    )

    __table_args__ = (
        UniqueConstraint(
            "profile_id",
            "field_group",
            "device_id",
            "clock",
            name="uq_sync_conflicts_change",
        ),
        CheckConstraint(
            "field_group in ('NAME', 'THUMBNAIL', 'ANALYSIS', 'CHAT', 'PROFILE', 'DELETION')",
            name="field_group",
        ),
        CheckConstraint("loser in ('SERVER', 'CLIENT')", name="loser"),
        CheckConstraint("kept in ('CURRENT', 'LOST')", name="kept"),
        CheckConstraint(
            "(status = 'RESOLVED') = (resolved_at is not null)"
            " and (status = 'RESOLVED') = (kept is not null)",
            name="resolved",
        ),
        Index("ix_sync_conflicts_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_sync_conflicts_user_id_status", "user_id", "status", "created_at", "id"),
        Index("ix_sync_conflicts_profile_id", "profile_id", "created_at"),
        Index("ix_sync_conflicts_created_at", "created_at"),
        Index(
            "ix_sync_conflicts_thumbnail_path",
            "thumbnail_path",
            postgresql_where=text("thumbnail_path is not null"),
        ),
    )
    large: ClassVar = {"value": LOST_VALUE_LIMIT_BYTES}
    access = Access(read=Owner(), service=("SELECT", "DELETE"))
    lifecycle = Lifecycle(
        "status",
        SyncConflictStatus,
        initial=(
            SyncConflictStatus.OPEN,
            SyncConflictStatus.SETTLED,
            SyncConflictStatus.DELETED,
        ),
        transitions={
            SyncConflictStatus.OPEN: (SyncConflictStatus.RESOLVED,),
            SyncConflictStatus.SETTLED: (SyncConflictStatus.RESOLVED,),
            SyncConflictStatus.DELETED: (SyncConflictStatus.RESOLVED,),
        },
    )
    on_erase = Delete()
    on_merge = Move()
    quota = TableQuota(
        guests=Limit(500, 25_000_000), members=Limit(2_000, 100_000_000), excess="FORGET"
    )
    expiries = (Expiry("lost versions", "created_at < now() - interval '30 days'", "created_at"),)
