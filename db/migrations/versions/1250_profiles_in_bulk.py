"""A statement that inserts many profiles writes their events, and counts them, at once."""

from __future__ import annotations

from alembic import op

revision = "1250"
down_revision = "1243"
branch_labels = None
depends_on = None

RECORD = """create or replace function app.record_inserted() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hidden text[] := tg_argv[2]::text[];
    deferred text[] := tg_argv[3]::text[];
    kind text := case tg_argv[4] when '' then 'everybody' else 'user' end;
begin
    insert into public.events (topic, change, user_id, audience_kind, audience_id, entity_id, snapshot)
    select tg_argv[0], tg_op, o.owner_id, kind, o.owner_id, i.row_image ->> tg_argv[1], i.row_image - deferred
    -- Nothing is pulled up: the image would be made again wherever it is named.
    from (select to_jsonb(n) - hidden as row_image from new_rows n offset 0) i
    cross join lateral (select (i.row_image ->> tg_argv[4])::uuid as owner_id) o
    where o.owner_id is not null or kind = 'everybody';
    return null;
end;
$$"""
COUNT = """create or replace function app.count_inserted() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    counted record;
begin
    for counted in
        with added as materialized (
            select n.user_id, sum(sign(n.stored_bytes))::bigint as more_rows, sum(n.stored_bytes)::bigint as more_bytes
            from new_rows n group by n.user_id
        ), known as (
            insert into public.quota_use as q (user_id, slice, rows_used, bytes_used)
            select a.user_id, tg_table_name, a.more_rows, a.more_bytes from added a order by a.user_id
            on conflict (user_id, slice) do update
            set rows_used = q.rows_used + excluded.rows_used, bytes_used = q.bytes_used + excluded.bytes_used
            returning q.*
        )
        select row(k.*)::public.quota_use as used, a.more_rows, a.more_bytes
        from known k join added a using (user_id)
        where (k.rows_used > k.rows_allowed or k.bytes_used > k.bytes_allowed)
            and (a.more_rows > 0 or a.more_bytes > 0) and tg_argv[0] <> 'COUNT'
    loop
        perform app.check_use(counted.used, counted.more_rows, counted.more_bytes, tg_argv[0], tg_argv[1]);
    end loop;
    return null;
end;
$$"""
TOLD = (
    "('profiles.changed', 'id', '{origin_device_id,origin_local_id,position,versions}',"
    " '{thumbnail,analysis,chat_history}', 'user_id')"
)
COUNTED = "('REFUSE', 'deleteProfile')"
IN_BULK = "referencing new table as new_rows for each statement execute function"


def upgrade() -> None:
    op.create_function("app.record_inserted()", RECORD)
    op.create_function("app.count_inserted()", COUNT)
    op.drop_trigger("record_event", "profiles")
    op.drop_trigger("count_insert", "profiles")
    op.create_trigger(
        "record_inserted", "profiles", "after insert", f"{IN_BULK} app.record_inserted{TOLD}"
    )
    op.create_trigger(
        "record_event",
        "profiles",
        "after update or delete",
        f"for each row execute function app.record_event{TOLD}",
    )
    op.create_trigger(
        "count_insert", "profiles", "after insert", f"{IN_BULK} app.count_inserted{COUNTED}"
    )


def downgrade() -> None:
    op.drop_trigger("record_inserted", "profiles")
    op.drop_trigger("record_event", "profiles")
    op.drop_trigger("count_insert", "profiles")
    op.create_trigger(
        "record_event",
        "profiles",
        "after insert or update or delete",
        f"for each row execute function app.record_event{TOLD}",
    )
    op.create_trigger(
        "count_insert",
        "profiles",
        "after insert",
        f"for each row execute function app.count_use{COUNTED}",
    )
    op.drop_function("app.count_inserted()")
    op.drop_function("app.record_inserted()")
