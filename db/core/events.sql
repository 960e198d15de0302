-- The days of the event log: partitions are made ahead, and dropped when nobody may ask for them.
-- Makes the partitions of `events` for today and the days ahead. What has none goes to the default
-- partition, so a day that already has rows there is left to it. Attaching locks no writer out.
create or replace function app.make_event_days(days_ahead integer) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '1s' set timezone = 'UTC' as $$
declare
    day date;
    partition text;
begin
    perform pg_advisory_xact_lock(hashtext('app.event_days'));
    for day in select generate_series(current_date, current_date + days_ahead, '1 day')::date loop
        partition := format('event_days.%I', to_char(day, '"on_"YYYY_MM_DD'));
        continue when to_regclass(partition) is not null or exists (
            select from event_days.others where created_at >= day and created_at < day + 1);
        execute format('create table %s (like public.events including defaults including constraints)',
            partition);
        execute format('alter table %s enable row level security', partition);
        execute format('alter table public.events attach partition %s for values from (%L) to (%L)',
            partition, day, day + 1);
    end loop;
end;
$$;

-- Drops the partitions whose days ended more than `days_kept` days ago, and what is as old in the
-- default one. What was dropped is marked in the same transaction, so that a cursor from before is
-- known to be too old even when nothing is left. Returns how many partitions went.
create or replace function app.drop_event_days(days_kept integer) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '1s' set timezone = 'UTC' as $$
declare
    first_kept date := current_date - days_kept;
    partition regclass;
    dropped integer := 0;
begin
    perform pg_advisory_xact_lock(hashtext('app.event_days'));
    update public.database_epoch set (dropped_xid, dropped_id) = (select e.xid, e.id from public.events e
        where created_at < first_kept order by e.xid desc, e.id desc limit 1)
    where exists (select from public.events where created_at < first_kept
        and (xid, id) > (dropped_xid, dropped_id));
    delete from event_days.others where created_at < first_kept;
    for partition in select c.oid from pg_class c
        where c.relnamespace = 'event_days'::regnamespace and c.relkind = 'r'
        and c.relname ~ '^on_' and c.relname < to_char(first_kept, '"on_"YYYY_MM_DD')
    loop
        execute format('drop table %s', partition);
        dropped := dropped + 1;
    end loop;
    return dropped;
end;
$$;

-- What the statement that calls it has seen of the log: its snapshot (xmin:xmax:open), cut off behind the
-- newest event. A crash forgets the numbers of transactions that were rolled back last, and gives them
-- again; who counted them among what it has seen would miss the events they come with then.
create or replace function app.seen_of_events() returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set enable_sort = off as $$
declare
    seen pg_snapshot := pg_current_snapshot();
    behind_newest bigint := 1 + coalesce(
        (select xid::text::bigint from public.events order by events.xid desc, id desc limit 1),
        (select dropped_xid::text::bigint from public.database_epoch));
begin
    return format('%s:%s:%s', least(pg_snapshot_xmin(seen)::text::bigint, behind_newest),
        least(pg_snapshot_xmax(seen)::text::bigint, behind_newest),
        (select string_agg(open::text, ',') from pg_snapshot_xip(seen) as open
         where open::text::bigint < behind_newest));
end;
$$;

revoke execute on function app.make_event_days(integer), app.drop_event_days(integer), app.seen_of_events()
from public;
grant execute on function app.make_event_days(integer), app.drop_event_days(integer) to service;
grant execute on function app.seen_of_events() to anon, authenticated, service;
