-- A device's sync: its changes are taken, those that are too much refused, and it is told what others changed.

-- Takes the changes that a device sends and tells what changed behind its cursor: one call, whatever their
-- number. `changes` are {n, id, local_id, clock, since, deleted, created_at, groups, messages}; `groups` has the
-- new value of each field group, `messages` are {id, role, text, created_at}. A clock further ahead than `ahead` of
-- the server's counts as the server's. Profiles of which the device's version does not hold are told again, as far
-- as `page_bytes` go: the changes of the others are not yet said to be accepted, and so are sent once more.
--
-- What the profiles told of hold comes beside `done`, in their order: nobody on the way to the client has to read it.
create or replace function app.sync_changes(
    device text, since text, strategy text, changes jsonb, page_rows integer, page_bytes bigint, ahead bigint,
    out done text, out analyses text[], out chats text[]
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    -- Which counting a cursor is of: one user's, in one life of the database.
    life text := (select left(md5(e.epoch::text || actor_id::text), 16) from public.database_epoch e);
    head public.sync_heads;
    seen bigint;
    -- Up to here, who begins anew is told of all: what the device itself has written, too.
    anew bigint;
    taken jsonb := '[]';
    refused jsonb := '[]';
    again uuid[] := '{}';
    page record;
begin
    if changes = '[]' then
        select * into head from public.sync_heads h where h.user_id = actor_id;
        if head.user_id is null and not exists (select from public.users u where u.id = actor_id) then
            perform app.refuse_nobody();
        end if;
    else
        head := app.advance_sync(actor_id, 0);
    end if;
    seen := app.sync_position(since, life, coalesce(head.position, 0), coalesce(head.forgotten, 0));
    anew := case when since is null then coalesce(head.position, 0)
        else coalesce(nullif(split_part(since, '-', 3), '')::bigint, 0) end;
    if changes <> '[]' then
        select t.taken, t.refused into taken, refused
        from app.take_or_refuse_changes(actor_id, device, life, case when since is not null then seen end, strategy,
                                        changes, ahead) t;
        perform app.note_sync(actor_id, device, jsonb_array_length(taken), jsonb_array_length(refused));
        select t.taken, t.again into taken, again from app.told_again(taken, page_bytes) t;
    end if;
    select * into page
    from app.page_of_sync(actor_id, device, life, seen, anew, again, page_rows, page_bytes);
    analyses := page.analyses;
    chats := page.chats;
    done := json_build_object(
        'accepted', taken, 'refused', refused,
        'clock', greatest(head.clock, app.sync_clock()),
        'conflicts', case when taken = '[]' then '[]' else app.conflicts_of_sync(actor_id, device, taken) end,
        'changes', page.changes, 'messages', page.messages, 'has_more', page.has_more, 'cursor', page.cursor_behind);
end;
$$;

-- Takes changes, but for those that exceed a quota: {n, code, message} of each. What makes no profile comes first, and
-- of that what makes room. New profiles for which no row is left are refused together: to try each of a large sync
-- takes longer than a statement may.
create or replace function app.take_or_refuse_changes(
    actor_id uuid, device text, life text, behind bigint, strategy text, changes jsonb, ahead bigint,
    out taken jsonb, out refused jsonb
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    code text;
    message text;
    parts jsonb;
    part jsonb;
    done record;
begin
    taken := '[]';
    refused := '[]';
    begin
        if (select c.reltuples <> 0 from pg_class c where c.oid = 'public.profiles'::regclass) then
            taken := app.take_by_kept_plan(actor_id, device, life, behind, strategy, changes,
                                          app.advance_sync(actor_id, 0), ahead);
        else
            taken := app.take_by_new_plan(actor_id, device, life, behind, strategy, changes,
                                           app.advance_sync(actor_id, 0), ahead);
        end if;
        return;
    exception when sqlstate 'TG000' then
        get stacked diagnostics code = pg_exception_hint, message = message_text;
        if code <> 'QUOTA_EXCEEDED' then
            raise;
        end if;
    end;
    parts := app.changes_by_room(actor_id, device, changes);
    if jsonb_array_length(parts) = 1 then
        refused := (select jsonb_agg(jsonb_build_object('n', o.change -> 'n', 'code', code, 'message', message))
                    from jsonb_array_elements(changes) as o (change));
        return;
    end if;
    for part in select o.part from jsonb_array_elements(parts) as o (part) loop
        select * into done
        from app.take_or_refuse_changes(actor_id, device, life, behind, strategy, part, ahead);
        taken := taken || done.taken;
        refused := refused || done.refused;
    end loop;
end;
$$;

-- Changes that exceed a quota together, in the parts that are tried by themselves: what makes no profile, the new ones
-- for which there are rows, and those beyond. What would be one part is halved; it stays one where no row is left.
create or replace function app.changes_by_room(actor_id uuid, device text, changes jsonb) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    with sent as (
        select o.change, o.n, (o.change ->> 'deleted')::boolean as deleted, o.change ->> 'local_id' as local_id,
               not (o.change ->> 'deleted')::boolean and o.change ->> 'id' is null and not exists (
                   select from public.profiles p where p.user_id = actor_id and p.origin_device_id = device
                       and p.origin_local_id = (o.change ->> 'local_id')::integer) as is_new
        from jsonb_array_elements(changes) with ordinality as o (change, n)
    ), ranked as (
        select s.*, case when s.is_new then dense_rank() over (partition by s.is_new order by s.first_n) else 0 end as rank
        from (select s.*, min(s.n) over (partition by s.is_new, s.local_id) as first_n from sent s) s
    ), grouped as (
        select r.*, case when r.rank = 0 then 0 when r.rank > room.left then 2 else 1 end as part,
               row_number() over (order by r.rank > 0, r.deleted desc, r.n) as place
        from ranked r, (
            -- Null where there is no limit.
            select q.rows_limit - coalesce(u.rows_used, 0) as left from app.quota_of(actor_id, 'profiles') q
            left join public.quota_use u on u.user_id = actor_id and u.slice = 'profiles') room
    ), parted as (
        select g.change, g.place, case when (select count(distinct o.part) from grouped o) > 1 then g.part::bigint
            when g.part = 2 then 0 else 2 * g.place / (jsonb_array_length(changes) + 2) end as part
        from grouped g
    )
    select jsonb_agg(p.changes order by p.part)
    from (select part, jsonb_agg(change order by place) as changes from parted group by part) p;
$$;

-- Of what was taken, the profiles that are told again: their device's version does not hold. What is beyond
-- `page_bytes` is left out of `taken`, but never all.
create or replace function app.told_again(inout taken jsonb, page_bytes bigint, out again uuid[])
language sql stable set search_path = pg_catalog, pg_temp as $$
    with outdone as materialized (
        select o.id, coalesce(sum(p.stored_bytes) over (order by o.n) - p.stored_bytes, 0) < page_bytes as fits
        from (select t.id, min(t.n) as n from jsonb_to_recordset(taken) as t (n integer, id uuid, is_outdone boolean)
              where t.is_outdone group by t.id) o
        left join public.profiles p on p.id = o.id
    )
    select coalesce(jsonb_agg(t.one order by (t.one ->> 'n')::integer), '[]'),
           coalesce((select array_agg(o.id) from outdone o where o.fits), '{}')
    from jsonb_array_elements(taken) as t (one)
    where not exists (select from outdone o where o.id = (t.one ->> 'id')::uuid and not o.fits);
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
-- are, and those that are gone; before them, those that are told `again`. Who begins anew is told of no deletions, and
-- of their own writes up to `before`, which the cursor keeps from page to page; so not of what they just sent.
--
-- Rows come from their index in the order of positions, by a plan that is made once: a bitmap of all that is behind the
-- cursor would be sorted anew for each page.
create or replace function app.page_of_sync(
    actor_id uuid, device text, life text, behind bigint, before bigint, again uuid[], page_rows integer,
    page_bytes bigint, out changes json, out analyses text[], out chats text[], out messages json,
    out has_more boolean, out cursor_behind text
)
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off as $$
begin
    with changed as materialized (
        (select false as is_message, p.position, p.id, p.stored_bytes from public.profiles p
         where p.user_id = actor_id and p.position > behind and p.id <> all (again) and (p.position <= before or exists (
            select from jsonb_each(p.versions) as g (field_group, version)
            where (g.version ->> 'position')::bigint > behind
                and (g.version ->> 'device' <> device or (g.version ->> 'position')::bigint <= before)))
         order by p.position limit page_rows + 1)
        union all
        (select false, t.position, t.profile_id, 0 from public.profile_tombstones t
         where t.user_id = actor_id and t.position > behind and behind > 0 and not t.is_revived and t.device_id <> device
             and t.profile_id <> all (again)
         order by t.position limit page_rows + 1)
        union all
        (select true, m.position, m.id, octet_length(m.text) from public.chat_messages m
         where m.user_id = actor_id and m.position > behind
             and (m.device_id is distinct from device or m.position <= before)
         order by m.position limit page_rows + 1)
    ), sized as materialized (
        select c.*, row_number() over places as place, sum(c.stored_bytes) over places - c.stored_bytes as bytes_before
        from changed c window places as (order by c.position)
    ), page as materialized (
        select s.is_message, s.position, s.id from sized s where s.place <= page_rows and s.bytes_before < page_bytes
    ), told as (
        select g.position, g.id from page g where not g.is_message
        union all select 0, a.id from unnest(again) as a (id)
    ), shown as (
        select json_agg(json_build_object(
                   'id', t.id, 'deleted', p.id is null, 'name', p.name, 'thumbnail', p.thumbnail,
                   'thumbnail_path', p.thumbnail_path, 'device_id', p.device_id,
                   'local_id', case when p.origin_device_id = device then p.origin_local_id end,
                   'created_at', app.written_time(p.created_at), 'updated_at', app.written_time(p.updated_at))
                   order by t.position, t.id) as changes,
               array_agg(p.analysis::text order by t.position, t.id) as analyses,
               array_agg(p.chat_history::text order by t.position, t.id) as chats
        from told t
        -- By their ids alone: a plan for an empty table might take all of the user's for as cheap.
        left join lateral (select o.* from public.profiles o where o.id = t.id offset 0) p on p.user_id = actor_id
    ), counted as (
        select (select count(*) from sized) > count(*) as has_more, max(g.position) as last from page g
    )
    -- As JSON in text: to put it together as jsonb takes several times as long.
    select coalesce(o.changes, '[]'), coalesce(o.analyses, '{}'), coalesce(o.chats, '{}'),
        coalesce((
            select json_agg(json_build_object(
                'id', m.id, 'profile_id', m.profile_id, 'client_id', m.client_id, 'role', m.role, 'status', m.status,
                'text', m.text, 'created_at', app.written_time(m.created_at)) order by g.position)
            from page g join public.chat_messages m on m.id = g.id where g.is_message), '[]'),
        c.has_more,
        life || '-' || case when c.has_more then c.last || case when c.last < before then '-' || before else '' end
            else coalesce((select h.position from public.sync_heads h where h.user_id = actor_id), 0)::text end
    into changes, analyses, chats, messages, has_more, cursor_behind
    from counted c, shown o;
end;
$$;

revoke execute on function
    app.sync_changes(text, text, text, jsonb, integer, bigint, bigint),
    app.take_or_refuse_changes(uuid, text, text, bigint, text, jsonb, bigint),
    app.changes_by_room(uuid, text, jsonb), app.told_again(jsonb, bigint),
    app.sync_position(text, text, bigint, bigint), app.written_time(timestamptz),
    app.conflicts_of_sync(uuid, text, jsonb),
    app.page_of_sync(uuid, text, text, bigint, bigint, uuid[], integer, bigint)
from public;
grant execute on function app.sync_changes(text, text, text, jsonb, integer, bigint, bigint) to authenticated;
