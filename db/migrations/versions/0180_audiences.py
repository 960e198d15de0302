"""Events say whom they are for: everybody, a user, or the members of a group."""

from __future__ import annotations

from db.migrations.steps import run_all, run_script

revision = "0180"
down_revision = "0170"
branch_labels = None
depends_on = None

# Table, changes, topic, entity, hidden columns, deferred columns, the column that names the user.
WATCHED = (
    (
        "generations",
        "insert or update or delete",
        "generation.updated",
        "id",
        "{cache_key,attempts,enqueued_at,follows_id}",
        "{}",
        "user_id",
    ),
    ("notifications", "insert", "notification.added", "id", "{}", "{}", "user_id"),
    (
        "profiles",
        "insert or update or delete",
        "profiles.changed",
        "id",
        "{}",
        "{thumbnail,analysis,chat_history}",
        "user_id",
    ),
    ("tools", "insert or update or delete", "tools.changed", "id", "{}", "{}", ""),
    ("uploads", "update", "upload.updated", "id", "{}", "{}", "user_id"),
    ("wallets", "update", "credits.changed", "user_id", "{}", "{}", "user_id"),
)
# No row is written anew: events of before have no kind, and are of their user or everybody's.
COLUMNS = (
    "alter table events add column audience_kind text, add column audience_id uuid,"
    " add column audience_roles text[], add column change_id bigint",
    "create index ix_events_audience_id_topic_xid_id on events (audience_id, topic, xid, id)"
    " where audience_kind not in ('user', 'everybody')",
)
NO_COLUMNS = (
    # Without an audience they would be everybody's.
    "delete from events where audience_kind not in ('user', 'everybody')",
    "drop index ix_events_audience_id_topic_xid_id",
    "alter table events drop column audience_kind, drop column audience_id,"
    " drop column audience_roles, drop column change_id",
)


def upgrade() -> None:
    run_all(COLUMNS)
    run_all([_trigger(*watched) for watched in WATCHED])


def downgrade() -> None:
    run_script("0180_record_event.sql")
    run_all([_trigger(*watched[:-1]) for watched in WATCHED])
    run_all(NO_COLUMNS)


def _trigger(table: str, changes: str, *arguments: str) -> str:
    listed = ", ".join(f"'{argument}'" for argument in arguments)
    return (
        f"create or replace trigger record_event after {changes} on {table}"
        f" for each row execute function app.record_event({listed})"
    )
