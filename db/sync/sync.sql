-- What a device's changes become: each holds, is known already, or loses a conflict.

-- Takes the changes of one sync in one statement and returns what became of each: {n, local_id, id, clock}.
-- A write of a field group loses against one that its device had not seen where the strategy or the clocks
-- say so; what loses is kept. A write that is known already, or older than a known one of the same device,
-- changes nothing. `behind` is the position in the sync's cursor, null without one.
create or replace function app.take_profile_changes(
    actor_id uuid, device text, life text, behind bigint, strategy text, changes jsonb, head public.sync_heads,
    ahead bigint
) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    taken jsonb;
begin
    with received as materialized (
        select c.*, row_number() over (partition by c.id, c.local_id, c.clock order by c.n) = 1 as is_first,
               max(c.clock) over (partition by c.id, c.local_id order by c.n
                                  rows between unbounded preceding and 1 preceding) as clock_before
        from jsonb_to_recordset(changes) as c (n integer, id uuid, local_id integer, clock bigint, since text,
                                               deleted boolean, created_at timestamptz, groups jsonb, messages jsonb)
    ), sent as materialized (
        select r.n, r.id, r.local_id, r.clock as raw, r.deleted, r.created_at, r.groups, r.messages,
               -- A device's clock may be put back: what it does later is later.
               case when r.is_first and r.clock < r.clock_before then r.clock_before
                   + count(*) filter (where r.is_first and r.clock < r.clock_before)
                       over (partition by r.id, r.local_id order by r.n)
                   else r.clock end as own_clock,
               case when r.clock > head.clock + ahead then head.clock else r.clock end as clock,
               -- The sync's own cursor is that of a change without one. Null where there is neither.
               case when r.since is null then behind
                   else app.sync_position(r.since, life, head.position, 0) end as own_seen
        from received r
    ), looked_up as materialized (
        select s.*, coalesce(s.own_seen, 0) as seen_position,
               coalesce(p.id, t.profile_id, o.id, u.profile_id) as found_id
        from sent s
        left join public.profiles p on p.id = s.id and p.user_id = actor_id
        left join public.profile_tombstones t on t.profile_id = s.id and t.user_id = actor_id
        left join public.profiles o on s.id is null and o.user_id = actor_id and o.origin_device_id = device
            and o.origin_local_id = s.local_id
        left join public.profile_tombstones u on s.id is null and u.user_id = actor_id
            and u.origin_device_id = device and u.origin_local_id = s.local_id
    ), fresh as materialized (
        select f.local_id, app.uuid_v7() as profile_id
        from (select distinct l.local_id from looked_up l where l.found_id is null and l.id is null) f
    ), resolved as materialized (
        select l.*, coalesce(l.found_id, f.profile_id) as profile_id
        from looked_up l left join fresh f on l.found_id is null and l.id is null and f.local_id = l.local_id
    ), wanted as materialized (
        select r.profile_id, min(r.n) as n, bool_and(r.found_id is null) as is_new, min(r.local_id) as local_id,
               min(r.created_at) as created_at, min(r.clock) as first_clock, max(r.clock) as last_clock,
               max(r.raw) filter (where r.deleted) as delete_raw,
               max(r.own_clock) filter (where r.deleted) as delete_order,
               max(r.clock) filter (where r.deleted) as delete_clock,
               max(r.seen_position) filter (where r.deleted) as delete_seen,
               max(r.own_seen) filter (where r.deleted) as delete_own_seen,
               max(r.own_clock) filter (where not r.deleted) as edit_order
        from resolved r where r.profile_id is not null group by r.profile_id
    ), stored as materialized (
        select w.*, p.id is not null as is_live, p.name,
               coalesce(p.thumbnail_path, p.thumbnail) as thumbnail, p.analysis, p.device_id as last_device,
               b.profile_id is not null and not b.is_revived as is_buried,
               b.clock as buried_clock, b.device_id as buried_device, b.position as buried_position,
               coalesce((b.seen ->> device)::bigint, -1) as buried_seen,
               coalesce(p.versions, b.versions, '{}') as versions,
               p.origin_device_id, p.origin_local_id
        from wanted w
        left join public.profiles p on p.id = w.profile_id
        left join public.profile_tombstones b on b.profile_id = w.profile_id
    ), deletions as materialized (
        select d.*, case
                when d.is_buried or d.is_known or exists (
                    select from public.sync_conflicts c
                    where c.user_id = actor_id and c.profile_id = d.profile_id and c.field_group = 'DELETION'
                        and c.device_id = device and c.clock = d.delete_raw) then 'KNOWN'
                when d.is_unclear then 'LOST'
                when d.unseen = 0 then 'WON'
                when strategy = 'CLIENT_WINS' then 'WON_OVER'
                when strategy = 'LAST_WRITE_WINS' and (d.delete_clock, device) > (d.unseen_clock, d.unseen_device)
                    then 'WON_OVER'
                else 'LOST' end as verdict
        from (
            select s.*, v.*,
                   s.delete_raw <= s.buried_seen and coalesce(s.delete_own_seen, -1) < v.last_position
                       or v.is_older and s.delete_own_seen is not null as is_known,
                   v.is_older and s.delete_own_seen is null as is_unclear
            from stored s cross join lateral (
                select count(*) filter (where is_unseen) as unseen,
                       coalesce(max((g.version -> 'seen' ->> device)::bigint), -1) as own_raw,
                       coalesce(bool_or(app.is_known_write(s.delete_own_seen, s.delete_raw,
                           g.version -> 'last' -> device, (g.version -> 'seen' ->> device)::bigint,
                           l.position)), false) as is_older,
                       coalesce(max((g.version ->> 'position')::bigint), 0) as last_position,
                       max((g.version ->> 'clock')::bigint) filter (where is_unseen) as unseen_clock,
                       (array_agg(g.version ->> 'device' order by (g.version ->> 'clock')::bigint desc,
                                  g.version ->> 'device' desc) filter (where is_unseen))[1] as unseen_device
                from jsonb_each(s.versions) as g (field_group, version)
                cross join lateral (select max((o.version ->> 'position')::bigint) as position
                    from jsonb_each(s.versions) as o (field_group, version)) l
                cross join lateral (select g.version ->> 'device' <> device
                    and (g.version ->> 'position')::bigint > s.delete_seen as is_unseen) u
            ) v
            where s.delete_order > coalesce(s.edit_order, -1)
        ) d
    ), gone as materialized (
        select * from deletions where verdict in ('WON', 'WON_OVER')
    ), writes as materialized (
        select distinct on (r.profile_id, g.field_group) r.profile_id, g.field_group, g.value, r.raw, r.own_clock,
               r.clock, r.seen_position, r.own_seen
        from resolved r
        cross join jsonb_each(r.groups || case when r.messages <> '[]' then '{"CHAT": null}'::jsonb else '{}' end)
            as g (field_group, value)
        where r.profile_id is not null and not r.deleted
            and not exists (select from gone d where d.profile_id = r.profile_id)
            -- What a device deletes in the end, it does not bring back with what it wrote before that.
            and not exists (select from deletions d where d.profile_id = r.profile_id and d.is_buried)
        order by r.profile_id, g.field_group, r.own_clock desc, r.n desc
    ), judged as materialized (
        select f.*, case
                when f.field_group = 'CHAT' and f.is_live then 'KNOWN'
                -- It comes again, or was written behind a clock that was put back: without a cursor nobody can tell.
                when f.own_seen is null and f.field_group <> 'CHAT' and f.own_clock < f.known_raw
                    and f.own_clock > f.buried_seen then 'LOST'
                when app.is_known_write(f.own_seen, f.own_clock, f.known_last, f.known_raw, f.last_position) then 'KNOWN'
                when f.is_new or f.last_writer = device or f.last_position <= f.seen_position then 'WON'
                when strategy = 'CLIENT_WINS' then 'WON_OVER'
                when strategy = 'LAST_WRITE_WINS' and (f.clock, device) > (f.last_clock, f.last_writer)
                    then 'WON_OVER'
                else 'LOST' end as verdict
        from (
            select w.*, s.is_new, s.is_live, s.is_buried, s.buried_seen,
                   s.versions -> w.field_group as version,
                   case w.field_group when 'NAME' then to_jsonb(s.name) when 'THUMBNAIL' then to_jsonb(s.thumbnail)
                       when 'ANALYSIS' then s.analysis end as current_value,
                   greatest((s.versions -> w.field_group -> 'seen' ->> device)::bigint,
                            case when s.is_buried then s.buried_seen end, -1) as known_raw,
                   -- Not of what the device deleted later than it wrote.
                   case when s.is_buried and s.buried_seen >= (s.versions -> w.field_group -> 'seen' ->> device)::bigint
                       then null else s.versions -> w.field_group -> 'last' -> device end as known_last,
                   case when s.is_buried then s.buried_clock
                       else coalesce((s.versions -> w.field_group ->> 'clock')::bigint, 0) end as last_clock,
                   case when s.is_buried then s.buried_device
                       else coalesce(s.versions -> w.field_group ->> 'device', '') end as last_writer,
                   case when s.is_buried then s.buried_position
                       else coalesce((s.versions -> w.field_group ->> 'position')::bigint, 0) end as last_position
            from writes w join stored s on s.profile_id = w.profile_id
        ) f
    ), places as materialized (
        -- The positions that this sync takes.
        select s.profile_id, head.position + row_number() over (order by s.n) as position
        from stored s
        where s.is_new or exists (select from gone d where d.profile_id = s.profile_id)
            or exists (select from judged j where j.profile_id = s.profile_id and j.verdict like 'WON%')
    ), said as materialized (
        -- The messages that are new, of profiles that are there then; each once.
        select distinct on (r.profile_id, m.id) r.profile_id, m.id as client_id, m.role, m.text,
               app.plausible_time(m.created_at, r.clock, head.clock + ahead) as created_at
        from resolved r
        cross join jsonb_to_recordset(r.messages) as m (id text, role text, text text, created_at timestamptz)
        where exists (select from stored s where s.profile_id = r.profile_id and s.is_live
                      and not exists (select from gone d where d.profile_id = r.profile_id))
            or exists (select from judged j where j.profile_id = r.profile_id and j.verdict like 'WON%')
        order by r.profile_id, m.id, r.n
    ), spoken as (
        insert into public.chat_messages (user_id, profile_id, client_id, role, text, created_at, device_id, position)
        select actor_id, s.profile_id, s.client_id, s.role, s.text, s.created_at, device,
               head.position + (select count(*) from places) + row_number() over (order by s.created_at, s.client_id)
        from said s
        on conflict (profile_id, client_id) do nothing
    ), counted as (
        update public.sync_heads h
        set position = h.position + (select count(*) from places) + (select count(*) from said),
            clock = greatest(h.clock, (select max(j.last_clock) + 1 from judged j where j.verdict = 'WON'))
        where h.user_id = actor_id
    ), versions as materialized (
        select j.profile_id, bool_or(j.verdict like 'WON%') as has_won,
               jsonb_object_agg(j.field_group, app.note_write(j.version, device, j.own_clock, j.known_raw,
                       coalesce(j.own_seen, j.seen_position))
                   || case when j.verdict like 'WON%' then jsonb_build_object(
                       'clock', greatest(j.clock, j.last_clock + 1), 'device', device, 'position', l.position)
                       else '{}' end) as changed,
               jsonb_object_agg(j.field_group, j.value) filter (where j.verdict like 'WON%') as won
        from judged j left join places l on l.profile_id = j.profile_id
        where j.verdict <> 'KNOWN' group by j.profile_id
    ), kept as materialized (
        -- What a profile that comes back held.
        select distinct on (c.profile_id) c.profile_id, c.value
        from public.sync_conflicts c join stored s on s.profile_id = c.profile_id and s.is_buried
        where c.user_id = actor_id and c.field_group = 'PROFILE' order by c.profile_id, c.created_at desc
    ), inserted as (
        insert into public.profiles (id, user_id, name, thumbnail, thumbnail_path, analysis, chat_history, created_at,
                                     updated_at,
                                     device_id, origin_device_id, origin_local_id, position, versions)
        select s.profile_id, actor_id,
               case when m.content ? 'NAME' then m.content ->> 'NAME' end,
               app.picture_in_row(m.content ->> 'THUMBNAIL'), app.picture_in_storage(m.content ->> 'THUMBNAIL'),
               coalesce(nullif(m.content -> 'ANALYSIS', 'null'), '{}'), coalesce(m.content -> 'CHAT', '[]'),
               coalesce((m.content ->> 'created_at')::timestamptz,
                        app.plausible_time(s.created_at, s.first_clock, head.clock + ahead)),
               app.time_of_clock(s.last_clock), device,
               coalesce(b.origin_device_id, case when s.is_new then device end),
               coalesce(b.origin_local_id, case when s.is_new then s.local_id end), l.position,
               coalesce(b.versions, '{}') || v.changed
        from stored s join places l on l.profile_id = s.profile_id
        join versions v on v.profile_id = s.profile_id and v.has_won
        left join kept k on k.profile_id = s.profile_id
        left join public.profile_tombstones b on b.profile_id = s.profile_id
        cross join lateral (select coalesce(k.value, '{}') || v.won as content) m
        where not s.is_live
    ), updated as (
        update public.profiles p
        set name = case when v.won ? 'NAME' then v.won ->> 'NAME' else p.name end,
            thumbnail = case when v.won ? 'THUMBNAIL' then app.picture_in_row(v.won ->> 'THUMBNAIL')
                else p.thumbnail end,
            thumbnail_path = case when v.won ? 'THUMBNAIL' then app.picture_in_storage(v.won ->> 'THUMBNAIL')
                else p.thumbnail_path end,
            analysis = coalesce(v.won -> 'ANALYSIS', p.analysis),
            updated_at = case when v.has_won then app.time_of_clock(s.last_clock) else p.updated_at end,
            synced_at = case when v.has_won then now() else p.synced_at end,
            device_id = case when v.has_won then device else p.device_id end,
            position = coalesce(l.position, p.position), versions = p.versions || v.changed
        from versions v join stored s on s.profile_id = v.profile_id and s.is_live
        left join places l on l.profile_id = v.profile_id
        -- A row that is written as it was is a change of the server's to the trigger.
        where p.id = v.profile_id and p.user_id = actor_id and (v.has_won or p.versions <> p.versions || v.changed)
    ), revived as (
        update public.profile_tombstones t
        set is_revived = t.is_revived or v.has_won,
            versions = t.versions || v.changed
        from versions v join stored s on s.profile_id = v.profile_id and s.is_buried
        where t.profile_id = v.profile_id
    ), agreed as (
        update public.profile_tombstones t
        set seen = t.seen || jsonb_build_object(device, d.delete_order)
        from deletions d
        where t.profile_id = d.profile_id and d.is_buried and d.delete_order > d.buried_seen
    ), buried as (
        insert into public.profile_tombstones as t (profile_id, user_id, origin_device_id, origin_local_id, device_id,
                                                    clock, position, seen, versions)
        select d.profile_id, actor_id, coalesce(d.origin_device_id, case when d.is_new then device end),
               coalesce(d.origin_local_id, case when d.is_new then d.local_id end), device,
               greatest(d.delete_clock, d.unseen_clock + 1), l.position,
               jsonb_build_object(device, greatest(d.delete_order, d.buried_seen, d.own_raw)),
               d.versions
        from gone d join places l on l.profile_id = d.profile_id
        on conflict (profile_id) do update
        set device_id = excluded.device_id, clock = excluded.clock, position = excluded.position,
            seen = t.seen || excluded.seen, versions = excluded.versions, is_revived = false, deleted_at = now()
    ), deleted as (
        delete from public.profiles p using gone d where p.id = d.profile_id and p.user_id = actor_id
    ), lost as (
        insert into public.sync_conflicts (user_id, profile_id, field_group, loser, device_id, clock, value, status)
        select actor_id, j.profile_id, j.field_group, case j.verdict when 'LOST' then 'CLIENT' else 'SERVER' end,
               device, j.raw, nullif(case when j.field_group = 'CHAT' then (
                       select jsonb_agg(m.message) from resolved r cross join jsonb_array_elements(r.messages) as m (message)
                       where r.profile_id = j.profile_id)
                   when j.verdict = 'LOST' then j.value else j.current_value end, 'null'),
               case strategy when 'MANUAL' then 'OPEN' else 'SETTLED' end
        from judged j
        where j.verdict in ('LOST', 'WON_OVER')
            and (j.is_buried and j.verdict = 'LOST'
                 or j.is_live and j.value is distinct from coalesce(j.current_value, 'null'))
        union all
        select actor_id, d.profile_id, 'PROFILE', 'SERVER', device, d.delete_raw,
               app.profile_content(to_jsonb(p)) || jsonb_build_object('MESSAGES', (
                   select jsonb_agg(to_jsonb(m)) from public.chat_messages m where m.profile_id = d.profile_id)),
               case d.verdict when 'WON' then 'DELETED' else 'SETTLED' end
        from gone d join public.profiles p on p.id = d.profile_id
        union all
        select actor_id, d.profile_id, 'DELETION', 'CLIENT', device, d.delete_raw, null,
               case strategy when 'MANUAL' then 'OPEN' else 'SETTLED' end
        from deletions d where d.verdict = 'LOST'
        union all
        -- Devices that count their messages give two of them one id. The later one is kept, and has one of its own
        -- if it is brought back. What begins like a stored one is a reply that the device has not whole yet.
        select actor_id, r.profile_id, 'CHAT', 'CLIENT', device, r.raw, jsonb_agg(jsonb_build_object(
                   'id', left(m.id, 27) || '@' || left(device, 36), 'role', m.role, 'text', m.text,
                   'created_at', coalesce(m.created_at, app.time_of_clock(r.clock)))),
               case strategy when 'MANUAL' then 'OPEN' else 'SETTLED' end
        from resolved r
        cross join jsonb_to_recordset(r.messages) as m (id text, role text, text text, created_at timestamptz)
        join public.chat_messages c on c.profile_id = r.profile_id and c.client_id = m.id
        where c.device_id is distinct from device and not starts_with(c.text, m.text)
        group by r.profile_id, r.raw
        on conflict (profile_id, field_group, device_id, clock) do nothing
    )
    select coalesce(jsonb_agg(jsonb_build_object(
               'n', r.n, 'local_id', r.local_id, 'id', r.profile_id, 'clock', r.raw,
               'is_outdone', exists (select from judged j where j.profile_id = r.profile_id and j.field_group <> 'CHAT'
                   and (j.verdict = 'LOST' or j.verdict = 'KNOWN'
                        and (j.last_writer <> device or j.own_clock < j.known_raw)))
                   or exists (select from deletions d where d.profile_id = r.profile_id and d.is_live
                              and d.verdict in ('LOST', 'KNOWN'))
           ) order by r.n), '[]')
    into taken from resolved r;
    perform app.bring_back_messages(p.id) from public.profiles p
    join public.profile_tombstones t on t.profile_id = p.id and t.is_revived
    where p.user_id = actor_id and p.position > head.position;
    return taken;
end;
$$;

-- Planning takes longer than a small sync: it is done once for a connection, and again when a table is analyzed. It may
-- only look up the few rows that a sync names, by their indexes.
create or replace function app.take_by_kept_plan(
    actor_id uuid, device text, life text, behind bigint, strategy text, changes jsonb, head public.sync_heads,
    ahead bigint
) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off as $$
begin
    return app.take_profile_changes(actor_id, device, life, behind, strategy, changes, head, ahead);
end;
$$;

-- While Postgres takes the table for empty, as it was when it was analyzed, a plan that is kept reads all of a user's
-- profiles for each change once there are many. It is made each time then, for the size that the table has.
create or replace function app.take_by_new_plan(
    actor_id uuid, device text, life text, behind bigint, strategy text, changes jsonb, head public.sync_heads,
    ahead bigint
) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
begin
    return app.take_profile_changes(actor_id, device, life, behind, strategy, changes, head, ahead);
end;
$$;

-- Whether a write of a device is one that is known, or older. What a device wrote behind `last`, its newest [cursor, clock],
-- is later, though its clock may have been put back since `newest_clock`: it had seen more, or that write. Where no cursor
-- is known, it is later than the last write of all, at `last_position`, if it had seen that.
create or replace function app.is_known_write(
    own_cursor bigint, own_clock bigint, last jsonb, newest_clock bigint, last_position bigint
) returns boolean
language sql immutable parallel safe
return own_clock = newest_clock or own_clock < newest_clock and case when own_cursor is null or last is null
    then coalesce(own_cursor, -1) < last_position
    else (own_cursor, own_clock) <= ((last ->> 0)::bigint, (last ->> 1)::bigint) end;

-- A version of a field group with a device's write noted in it. Stable, as what makes objects of JSON is: only so does it
-- become a part of the statement that calls it.
create or replace function app.note_write(version jsonb, device text, own_clock bigint, newest_clock bigint, own_cursor bigint)
returns jsonb
language sql stable parallel safe
return coalesce(version, '{"clock": 0, "device": "", "position": 0}') || jsonb_build_object(
    'seen', coalesce(version -> 'seen', '{}') || jsonb_build_object(device, greatest(own_clock, newest_clock)),
    'last', coalesce(version -> 'last', '{}') || case
        when (own_cursor, own_clock) <= ((version -> 'last' -> device ->> 0)::bigint, (version -> 'last' -> device ->> 1)::bigint)
        then '{}' else jsonb_build_object(device, jsonb_build_array(own_cursor, own_clock)) end);

-- When a clock says that something was.
create or replace function app.time_of_clock(clock bigint) returns timestamptz
language sql immutable parallel safe
return to_timestamp((clock >> 16) / 1000.0);

-- When a device says that something was; by its clock, where that cannot be: what programs write for "unset" or
-- "never" would stand first or last for ever.
create or replace function app.plausible_time(told timestamptz, clock bigint, newest bigint) returns timestamptz
language sql immutable parallel safe
return case when told >= timestamptz '2000-01-01 00:00:00+00' and told <= app.time_of_clock(newest) then told
    else app.time_of_clock(clock) end;

revoke execute on function
    app.take_profile_changes(uuid, text, text, bigint, text, jsonb, public.sync_heads, bigint),
    app.take_by_kept_plan(uuid, text, text, bigint, text, jsonb, public.sync_heads, bigint),
    app.take_by_new_plan(uuid, text, text, bigint, text, jsonb, public.sync_heads, bigint),
    app.is_known_write(bigint, bigint, jsonb, bigint, bigint),
    app.note_write(jsonb, text, bigint, bigint, bigint), app.time_of_clock(bigint),
    app.plausible_time(timestamptz, bigint, bigint)
from public;
