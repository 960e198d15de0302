-- A device's sync: takes its changes, settles conflicts, and tells what others changed.

-- Takes the changes that a device sends and tells what changed behind its cursor: one call, whatever their
-- number. `changes` are {n, id, local_id, clock, since, deleted, created_at, groups, messages}; `groups` has the
-- new value of each field group, `messages` are {id, role, text, created_at}. A clock further ahead than `ahead` of the server's counts as the server's.
create or replace function app.sync_profiles(
    device text, since text, strategy text, changes jsonb, page_rows integer, page_bytes bigint, ahead bigint
) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    -- Which counting a cursor is of: one user's, in one life of the database.
    life text := (select left(md5(e.epoch::text || actor_id::text), 16) from public.database_epoch e);
    is_empty boolean := changes = '[]';
    head public.sync_heads;
    seen bigint;
    -- Up to here, who begins anew is told of all: what the device itself has written, too.
    anew bigint;
    taken jsonb := '[]';
begin
    if is_empty then
        select * into head from public.sync_heads h where h.user_id = actor_id;
    else
        head := app.advance_sync(actor_id, 0);
    end if;
    seen := app.sync_position(since, life, coalesce(head.position, 0), coalesce(head.forgotten, 0));
    anew := case when since is null then coalesce(head.position, 0)
        else coalesce(nullif(split_part(since, '-', 3), '')::bigint, 0) end;
    if not is_empty then
        taken := app.take_profile_changes(actor_id, device, life, seen, strategy, changes, head, ahead);
    end if;
    return jsonb_build_object(
            'accepted', taken,
            'clock', greatest(head.clock, app.sync_clock()),
            'conflicts', case when is_empty then '[]' else app.conflicts_of_sync(actor_id, device, taken) end)
        || app.profile_changes(actor_id, device, life, seen, anew, page_rows, page_bytes);
end;
$$;

-- The position in a cursor; 0 without one.
create or replace function app.sync_position(cursor_text text, life text, newest bigint, forgotten bigint) returns bigint
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    found bigint := coalesce(split_part(cursor_text, '-', 2)::bigint, 0);
begin
    if cursor_text is not null
        and (split_part(cursor_text, '-', 1) <> life or found > newest or found < forgotten and found > 0) then
        perform app.refuse('CURSOR_EXPIRED', 'The changes after this cursor are no longer known. Sync without `since`'
            ' to get everything.', '{"path": ["input", "since"]}');
    end if;
    return found;
end;
$$;

-- Takes the changes of one sync in one statement and returns what became of each: {n, local_id, id, clock}.
-- A write of a field group loses against one that its device had not seen where the strategy or the clocks
-- say so; what loses is kept. A write that is known already, or older than a known one of the same device,
-- changes nothing.
create or replace function app.take_profile_changes(
    actor_id uuid, device text, life text, behind bigint, strategy text, changes jsonb, head public.sync_heads,
    ahead bigint
) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    taken jsonb;
begin
    with sent as materialized (
        select c.n, c.id, c.local_id, c.clock as raw, c.deleted, c.created_at, c.groups, c.messages,
               case when c.clock > head.clock + ahead then head.clock else c.clock end as clock,
               app.sync_position(c.since, life, head.position, 0) as own_seen, c.since is not null as has_seen
        from jsonb_to_recordset(changes) as c (n integer, id uuid, local_id integer, clock bigint, since text,
                                               deleted boolean, created_at timestamptz, groups jsonb, messages jsonb)
    ), looked_up as materialized (
        select s.*, case when s.has_seen then s.own_seen else behind end as seen_position,
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
               max(r.clock) filter (where r.deleted) as delete_clock,
               max(r.seen_position) filter (where r.deleted) as delete_seen,
               max(r.raw) filter (where not r.deleted) as edit_raw
        from resolved r where r.profile_id is not null group by r.profile_id
    ), stored as materialized (
        select w.*, p.id is not null as is_live, p.name,
               coalesce(p.thumbnail_path, p.thumbnail) as thumbnail, p.analysis, p.device_id as last_device,
               app.profile_content(to_jsonb(p)) as content, b.profile_id is not null and not b.is_revived as is_buried,
               b.clock as buried_clock, b.device_id as buried_device, b.position as buried_position,
               coalesce((b.seen ->> device)::bigint, -1) as buried_seen,
               coalesce(p.versions, b.versions, '{}') as versions,
               p.origin_device_id, p.origin_local_id
        from wanted w
        left join public.profiles p on p.id = w.profile_id
        left join public.profile_tombstones b on b.profile_id = w.profile_id
    ), deletions as materialized (
        select d.*, case
                when d.is_buried or d.delete_raw <= greatest(d.buried_seen, d.own_raw) or exists (
                    select from public.sync_conflicts c
                    where c.user_id = actor_id and c.profile_id = d.profile_id and c.field_group = 'DELETION'
                        and c.device_id = device and c.clock = d.delete_raw) then 'KNOWN'
                when d.unseen = 0 then 'WON'
                when strategy = 'CLIENT_WINS' then 'WON_OVER'
                when strategy = 'LAST_WRITE_WINS' and (d.delete_clock, device) > (d.unseen_clock, d.unseen_device)
                    then 'WON_OVER'
                else 'LOST' end as verdict
        from (
            select s.*, v.*
            from stored s cross join lateral (
                select count(*) filter (where is_unseen) as unseen,
                       coalesce(max((g.version -> 'seen' ->> device)::bigint), -1) as own_raw,
                       max((g.version ->> 'clock')::bigint) filter (where is_unseen) as unseen_clock,
                       (array_agg(g.version ->> 'device' order by (g.version ->> 'clock')::bigint desc,
                                  g.version ->> 'device' desc) filter (where is_unseen))[1] as unseen_device
                from jsonb_each(s.versions) as g (field_group, version)
                cross join lateral (select g.version ->> 'device' <> device
                    and (g.version ->> 'position')::bigint > s.delete_seen as is_unseen) u
            ) v
            where s.delete_raw > coalesce(s.edit_raw, -1)
        ) d
    ), gone as materialized (
        select * from deletions where verdict in ('WON', 'WON_OVER')
    ), writes as materialized (
        select distinct on (r.profile_id, g.field_group) r.profile_id, g.field_group, g.value, r.raw, r.clock,
               r.seen_position
        from resolved r
        cross join jsonb_each(r.groups || case when r.messages <> '[]' then '{"CHAT": null}'::jsonb else '{}' end)
            as g (field_group, value)
        where r.profile_id is not null and not r.deleted
            and not exists (select from gone d where d.profile_id = r.profile_id)
            -- What a device deletes in the end, it does not bring back with what it wrote before that.
            and not exists (select from deletions d where d.profile_id = r.profile_id and d.is_buried)
        order by r.profile_id, g.field_group, r.raw desc, r.n desc
    ), judged as materialized (
        select f.*, case
                when f.raw <= f.known_raw or f.field_group = 'CHAT' and f.is_live then 'KNOWN'
                when f.is_new or f.last_writer = device or f.last_position <= f.seen_position then 'WON'
                when strategy = 'CLIENT_WINS' then 'WON_OVER'
                when strategy = 'LAST_WRITE_WINS' and (f.clock, device) > (f.last_clock, f.last_writer)
                    then 'WON_OVER'
                else 'LOST' end as verdict
        from (
            select w.*, s.is_new, s.is_live, s.is_buried, s.versions -> w.field_group as version,
                   case w.field_group when 'NAME' then to_jsonb(s.name) when 'THUMBNAIL' then to_jsonb(s.thumbnail)
                       when 'ANALYSIS' then s.analysis end as current_value,
                   greatest((s.versions -> w.field_group -> 'seen' ->> device)::bigint,
                            case when s.is_buried then s.buried_seen end, -1) as known_raw,
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
               coalesce(m.created_at, app.time_of_clock(r.clock)) as created_at
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
               jsonb_object_agg(j.field_group, case when j.verdict like 'WON%' then
                   app.profile_version(j.version, greatest(j.clock, j.last_clock + 1), device, l.position, j.raw)
                   else jsonb_set(coalesce(j.version, '{"clock": 0, "device": "", "position": 0, "seen": {}}'),
                                  array['seen', device], to_jsonb(j.raw)) end) as changed,
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
               coalesce((m.content ->> 'created_at')::timestamptz, s.created_at, app.time_of_clock(s.first_clock)),
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
        where p.id = v.profile_id and p.user_id = actor_id
    ), revived as (
        update public.profile_tombstones t
        set is_revived = t.is_revived or v.has_won,
            versions = t.versions || v.changed
        from versions v join stored s on s.profile_id = v.profile_id and s.is_buried
        where t.profile_id = v.profile_id
    ), agreed as (
        update public.profile_tombstones t
        set seen = t.seen || jsonb_build_object(device, d.delete_raw)
        from deletions d
        where t.profile_id = d.profile_id and d.is_buried and d.delete_raw > d.buried_seen
    ), buried as (
        insert into public.profile_tombstones as t (profile_id, user_id, origin_device_id, origin_local_id, device_id,
                                                    clock, position, seen, versions)
        select d.profile_id, actor_id, coalesce(d.origin_device_id, case when d.is_new then device end),
               coalesce(d.origin_local_id, case when d.is_new then d.local_id end), device,
               greatest(d.delete_clock, d.unseen_clock + 1), l.position, jsonb_build_object(device, d.delete_raw),
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
               d.content || jsonb_build_object('MESSAGES', (
                   select jsonb_agg(to_jsonb(m)) from public.chat_messages m where m.profile_id = d.profile_id)),
               case d.verdict when 'WON' then 'DELETED' else 'SETTLED' end
        from gone d where d.is_live
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
    select coalesce(jsonb_agg(jsonb_build_object('n', r.n, 'local_id', r.local_id, 'id', r.profile_id,
                                                 'clock', r.raw) order by r.n), '[]')
    into taken from resolved r;
    perform app.bring_back_messages(p.id) from public.profiles p
    join public.profile_tombstones t on t.profile_id = p.id and t.is_revived
    where p.user_id = actor_id and p.position > head.position;
    return taken;
end;
$$;

-- When a clock says that something was.
create or replace function app.time_of_clock(clock bigint) returns timestamptz
language sql immutable parallel safe
return to_timestamp((clock >> 16) / 1000.0);

-- A timestamp as the schema writes it.
create or replace function app.written_time(moment timestamptz) returns text
language sql stable parallel safe
return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- The conflicts that the changes of a sync met, now or when they were first sent.
create or replace function app.conflicts_of_sync(actor_id uuid, device text, taken jsonb) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(jsonb_agg(to_jsonb(c) - 'user_id' || jsonb_build_object('local_id', t.local_id)
                              order by t.n, c.field_group), '[]')
    from (select distinct on (t.id, t.clock) t.*
          from jsonb_to_recordset(taken) as t (n integer, id uuid, local_id integer, clock bigint)
          order by t.id, t.clock, t.n) t
    join public.sync_conflicts c on c.user_id = actor_id and c.profile_id = t.id and c.device_id = device
        and c.clock = t.clock and c.status <> 'DELETED';
$$;

-- A page of what changed behind a position, but for what the device itself has written: the profiles as they
-- are, and those that are gone. Who begins anew is told of no deletions, and of their own writes up to `before`, which
-- the cursor keeps from page to page; so not of what they just sent.
create or replace function app.profile_changes(
    actor_id uuid, device text, life text, behind bigint, before bigint, page_rows integer, page_bytes bigint
) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    with changed as materialized (
        (select p.position, p.id, p.stored_bytes from public.profiles p
         where p.user_id = actor_id and p.position > behind and exists (
            select from jsonb_each(p.versions) as g (field_group, version)
            where (g.version ->> 'position')::bigint > behind
                and (g.version ->> 'device' <> device or (g.version ->> 'position')::bigint <= before))
         order by p.position limit page_rows + 1)
        union all
        (select t.position, t.profile_id, 0 from public.profile_tombstones t
         where t.user_id = actor_id and t.position > behind and behind > 0 and not t.is_revived and t.device_id <> device
         order by t.position limit page_rows + 1)
        union all
        (select m.position, m.id, octet_length(m.text) from public.chat_messages m
         where m.user_id = actor_id and m.position > behind
             and (m.device_id is distinct from device or m.position <= before)
         order by m.position limit page_rows + 1)
    ), sized as materialized (
        select c.position, c.id, row_number() over places as place,
               sum(c.stored_bytes) over places - c.stored_bytes as bytes_before
        from changed c window places as (order by c.position)
    ), page as materialized (
        select s.position, s.id from sized s where s.place <= page_rows and s.bytes_before < page_bytes
    ), shown as (
        select g.position, jsonb_build_object(
            'id', g.id, 'deleted', p.id is null, 'name', p.name, 'thumbnail', p.thumbnail,
            'thumbnail_path', p.thumbnail_path, 'analysis', p.analysis,
            'chat_history', p.chat_history, 'device_id', p.device_id,
            'local_id', case when p.origin_device_id = device then p.origin_local_id end,
            'created_at', app.written_time(p.created_at), 'updated_at', app.written_time(p.updated_at)) as change
        from page g left join public.profiles p on p.id = g.id
        where not exists (select from public.chat_messages m where m.id = g.id)
    ), said as (
        select g.position, jsonb_build_object(
            'id', m.id, 'profile_id', m.profile_id, 'client_id', m.client_id, 'role', m.role, 'status', m.status,
            'text', m.text, 'created_at', app.written_time(m.created_at)) as message
        from page g join public.chat_messages m on m.id = g.id
    ), more as (
        select (select count(*) from sized) > (select count(*) from page) as has_more
    )
    select jsonb_build_object(
        'changes', coalesce((select jsonb_agg(s.change order by s.position) from shown s), '[]'),
        'messages', coalesce((select jsonb_agg(s.message order by s.position) from said s), '[]'),
        'has_more', m.has_more,
        'cursor', life || '-' || case when m.has_more then (
            select max(g.position) || case when max(g.position) < before then '-' || before else '' end from page g)
            else coalesce((select h.position from public.sync_heads h where h.user_id = actor_id), 0)::text end)
    from more m;
$$;

revoke execute on function
    app.sync_profiles(text, text, text, jsonb, integer, bigint, bigint),
    app.sync_position(text, text, bigint, bigint),
    app.take_profile_changes(uuid, text, text, bigint, text, jsonb, public.sync_heads, bigint),
    app.time_of_clock(bigint), app.written_time(timestamptz), app.conflicts_of_sync(uuid, text, jsonb),
    app.profile_changes(uuid, text, text, bigint, bigint, integer, bigint)
from public;
grant execute on function app.sync_profiles(text, text, text, jsonb, integer, bigint, bigint) to authenticated;
