"""Events leave out columns that are too large to be copied."""

from __future__ import annotations

from db.migrations.steps import run_all

revision = "0060"
down_revision = "0051"
branch_labels = None
depends_on = None

# Table, changes, topic, entity, hidden columns, large columns.
WATCHED = (
    (
        "generations",
        "insert or update",
        "generation.updated",
        "id",
        ("cache_key", "attempts", "enqueued_at", "follows_id"),
        (),
    ),
    ("notifications", "insert", "notification.added", "id", (), ()),
    (
        "profiles",
        "insert or update or delete",
        "profiles.changed",
        "id",
        (),
        ("thumbnail", "analysis", "chat_history"),
    ),
    ("tools", "insert or update or delete", "tools.changed", "id", (), ()),
    ("uploads", "update", "upload.updated", "id", (), ()),
    ("wallets", "update", "credits.changed", "user_id", (), ()),
)
RECORD_EVENT = """
create or replace function app.record_event() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hidden text[] := tg_argv[2]::text[];
    apart text[] := tg_argv[3]::text[];
    row_image jsonb := case tg_op when 'DELETE' then to_jsonb(old) else to_jsonb(new) end - hidden;
    owner_id uuid;
begin
    if tg_op = 'UPDATE' and row_image = to_jsonb(old) - hidden then
        return null;
    end if;
    owner_id := (row_image ->> 'user_id')::uuid;
    if tg_op = 'DELETE' and owner_id is not null
        and not exists (select from public.users where id = owner_id) then
        return null;
    end if;
    insert into public.events (topic, change, user_id, entity_id, snapshot)
    values (tg_argv[0], tg_op, owner_id, row_image ->> tg_argv[1], row_image - apart);
    return null;
end;
$$;
"""
RECORD_EVENT_BEFORE = """
create or replace function app.record_event() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    row_image jsonb;
    owner_id uuid;
begin
    row_image := case tg_op when 'DELETE' then to_jsonb(old) else to_jsonb(new) end - tg_argv[2:];
    if tg_op = 'UPDATE' and row_image = to_jsonb(old) - tg_argv[2:] then
        return null;
    end if;
    owner_id := (row_image ->> 'user_id')::uuid;
    if tg_op = 'DELETE' and owner_id is not null
        and not exists (select from public.users where id = owner_id) then
        return null;
    end if;
    insert into public.events (topic, change, user_id, entity_id, snapshot)
    values (tg_argv[0], tg_op, owner_id, row_image ->> tg_argv[1], row_image);
    return null;
end;
$$;
"""


def upgrade() -> None:
    triggers = [
        f"create trigger record_event after {changes} on {table} for each row"
        f" execute function app.record_event('{topic}', '{entity}',"
        f" '{{{','.join(hidden)}}}', '{{{','.join(large)}}}')"
        for table, changes, topic, entity, hidden, large in WATCHED
    ]
    run_all([*_dropped(), RECORD_EVENT, *triggers])


def downgrade() -> None:
    triggers = []
    for table, changes, topic, entity, hidden, _ in WATCHED:
        arguments = ", ".join(f"'{argument}'" for argument in (topic, entity, *hidden))
        triggers.append(
            f"create trigger record_event after {changes} on {table} for each row"
            f" execute function app.record_event({arguments})"
        )
    run_all([*_dropped(), RECORD_EVENT_BEFORE, *triggers])


def _dropped() -> list[str]:
    return [f"drop trigger record_event on {watched[0]}" for watched in WATCHED]
