"""Small pictures of profiles lie in storage; those that rows have stay there."""

from __future__ import annotations

from db.migrations.steps import run_all

revision = "1040"
down_revision = "1030"
branch_labels = None
depends_on = None

TEXTS = (
    "coalesce(octet_length(name::text), 0) + coalesce(octet_length(thumbnail), 0)"
    " + octet_length(analysis::text) + octet_length(chat_history::text)"
)
WITH_PICTURE = f"{TEXTS} + coalesce(\"substring\"(thumbnail_path, '-([0-9]+)[.]')::integer, 0)"
LOST_THUMBNAIL = (
    "case field_group when 'THUMBNAIL' then value #>> '{}'::text[]"
    " when 'PROFILE' then value ->> 'THUMBNAIL' end"
)
DROP_TRIGGER = "drop trigger count_update on profiles"
TRIGGER = (
    "create trigger count_update after update on profiles for each row"
    " when (old.stored_bytes <> new.stored_bytes)"
    " execute function app.count_use('REFUSE', 'deleteProfile')"
)


def stored_bytes(expression: str) -> list[str]:
    """The column anew: before version 17 Postgres changes no expression of a column."""
    return [
        "alter table profiles drop column stored_bytes",
        "alter table profiles add column stored_bytes integer not null"
        f" generated always as ({expression}) stored",
        "grant select (stored_bytes) on profiles to authenticated",
    ]


def upgrade() -> None:
    run_all(
        [
            "alter table profiles add column thumbnail_path text",
            "grant select (thumbnail_path), insert (thumbnail_path), update (thumbnail_path)"
            " on profiles to authenticated",
            DROP_TRIGGER,
            *stored_bytes(WITH_PICTURE),
            TRIGGER,
            "create index ix_profiles_thumbnail_path on profiles (thumbnail_path)"
            " where thumbnail_path is not null",
            "alter table sync_conflicts add column thumbnail_path text generated always as"
            f" (case when {LOST_THUMBNAIL} like 'thumbnails/%-%' then {LOST_THUMBNAIL} end) stored",
            "grant select (thumbnail_path) on sync_conflicts to authenticated",
            "create index ix_sync_conflicts_thumbnail_path on sync_conflicts (thumbnail_path)"
            " where thumbnail_path is not null",
        ]
    )


def downgrade() -> None:
    run_all(
        [
            "alter table sync_conflicts drop column thumbnail_path",
            # Counted off by the trigger.
            "update profiles set thumbnail_path = null where thumbnail_path is not null",
            DROP_TRIGGER,
            *stored_bytes(TEXTS),
            TRIGGER,
            "alter table profiles drop column thumbnail_path",
        ]
    )
