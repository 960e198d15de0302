-- Whitelists that a bot shares with this server: systems, and both sides' changes by cursors.

-- Makes a whitelist of the caller's and returns it; the same name gives the same one.
create or replace function app.create_whitelist_system(
    wanted_name text, wanted_description text, wanted_product uuid
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    systems_limit constant integer := 100;
    made uuid;
begin
    perform app.enter_developer();
    if wanted_product is not null and not exists (
        select from public.developer_products p where p.id = wanted_product and p.user_id = app.user_id()) then
        perform app.refuse('NOT_FOUND', 'There is no such developer product.',
            '{"path": ["input", "developerProductId"]}');
    end if;
    select s.id into made from public.whitelist_systems s
    where s.user_id = app.user_id() and s.name = wanted_name;
    if found then
        return made;
    elsif (select count(*) from public.whitelist_systems s where s.user_id = app.user_id()) >= systems_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('You have %s whitelists. Delete one first.', systems_limit));
    end if;
    insert into public.whitelist_systems (user_id, developer_product_id, name, description)
    values (app.user_id(), wanted_product, wanted_name, wanted_description) returning id into made;
    return made;
end;
$$;

-- Deletes a whitelist of the caller's with all who are on it.
create or replace function app.delete_whitelist_system(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from public.whitelist_systems s where s.id = wanted and s.user_id = app.required_user_id();
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such whitelist system.', '{"path": ["input", "id"]}');
    end if;
    return wanted;
end;
$$;

-- The position in a cursor of a whitelist; 0 without one.
create or replace function app.whitelist_position(cursor_text text, life text, system public.whitelist_systems)
returns bigint
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    found bigint;
begin
    if cursor_text is null then
        return 0;
    elsif app.is_sync_cursor(cursor_text, life) then
        found := split_part(cursor_text, '-', 2)::bigint;
    end if;
    -- Who is still told of everybody has not been told of any who were removed before that began.
    if found is null or found > system.position
        or greatest(found, app.everybody_until(cursor_text, 0)) < system.forgotten and found > 0 then
        perform app.refuse('CURSOR_EXPIRED', 'The changes after this cursor are no longer known. Sync without `since`'
            ' to get everything.', '{"path": ["input", "since"]}');
    end if;
    return found;
end;
$$;

-- Takes the changes of one side of a whitelist of the caller's, and tells what the other changed behind its cursor. Of two
-- changes of the same user the later holds, by the clocks of those who made them; what is more than a minute
-- ahead counts as made now. What is sent again changes nothing more. `changes` are {n, external_id, username,
-- discord_id, roblox_id, key_hash, key_sealed, status, expires_at, ban_reason, details, changed_at}.
create or replace function app.sync_whitelist(wanted uuid, side text, since text, changes jsonb, page_rows integer)
returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    system public.whitelist_systems;
    life text;
    seen bigint;
    everybody bigint;
    change record;
    before public.whitelist_users;
    made_at timestamptz;
    outcome text;
    taken jsonb := '[]';
    page jsonb;
    last_position bigint;
    has_more boolean;
begin
    select * into system from public.whitelist_systems s where s.id = wanted and s.user_id = actor_id for no key update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such whitelist system.', '{"path": ["input", "systemId"]}');
    end if;
    select left(md5(e.epoch::text || wanted::text), 16) into life from public.database_epoch e;
    seen := app.whitelist_position(since, life, system);
    for change in select * from jsonb_to_recordset(changes) as c (n integer, external_id text, username text,
        discord_id text, roblox_id bigint, key_hash text, key_sealed text, status text, expires_at timestamptz, ban_reason text,
        details jsonb, changed_at timestamptz) order by c.n
    loop
        made_at := case when change.changed_at > clock_timestamp() + interval '1 minute' then clock_timestamp()
            else change.changed_at end;
        select * into before from public.whitelist_users u
        where u.system_id = wanted and u.external_id = change.external_id;
        outcome := case when before.id is null or made_at > before.updated_at then 'APPLIED'
            when made_at = before.updated_at and before.changed_by = side then 'KNOWN' else 'LOST' end;
        if outcome = 'APPLIED' then
            system.position := system.position + 1;
            insert into public.whitelist_users as u (user_id, system_id, external_id, username, discord_id, roblox_id,
                key_hash, key_sealed, status, expires_at, banned_at, ban_reason, details, changed_by, position, updated_at)
            values (actor_id, wanted, change.external_id, change.username, change.discord_id, change.roblox_id,
                decode(change.key_hash, 'hex'), decode(change.key_sealed, 'hex'), change.status, change.expires_at,
                case when change.status = 'BANNED' then coalesce(before.banned_at, made_at) end, change.ban_reason,
                coalesce(change.details, '{}'), side, system.position, made_at)
            on conflict (system_id, external_id) do update
            set username = excluded.username, discord_id = excluded.discord_id, roblox_id = excluded.roblox_id,
                key_hash = coalesce(excluded.key_hash, u.key_hash),
                key_sealed = coalesce(excluded.key_sealed, u.key_sealed), status = excluded.status,
                expires_at = excluded.expires_at, banned_at = excluded.banned_at, ban_reason = excluded.ban_reason,
                details = excluded.details, changed_by = excluded.changed_by, position = excluded.position,
                updated_at = excluded.updated_at;
        end if;
        taken := taken || jsonb_build_object('external_id', change.external_id, 'outcome', outcome);
    end loop;
    update public.whitelist_systems s set position = system.position, updated_at = clock_timestamp()
    where s.id = wanted and s.position <> system.position;
    everybody := app.everybody_until(since, system.position);
    select coalesce(jsonb_agg(to_jsonb(p) order by p.position), '[]'), coalesce(max(p.position), system.position),
        count(*) = page_rows
    into page, last_position, has_more
    from (
        select u.id, u.external_id, u.username, u.discord_id, u.roblox_id::text as roblox_id, u.status, u.expires_at,
            u.banned_at, u.ban_reason, u.details, u.changed_by, u.created_at, u.updated_at, u.position
        from public.whitelist_users u
        where u.system_id = wanted and u.position > seen
            and case when u.position > everybody then u.changed_by <> side else u.status <> 'REMOVED' end
        order by u.position limit page_rows
    ) p;
    return jsonb_build_object('accepted', taken, 'changes', page, 'has_more', has_more,
        'cursor', app.sync_cursor(life, case when has_more then last_position else system.position end, everybody));
end;
$$;

-- Trigger of `whitelist_users`: who has not seen a removal that is forgotten now must begin anew.
create or replace function app.note_forgotten_whitelist() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.whitelist_systems s set forgotten = greatest(s.forgotten, o.position)
    from (select system_id, max(position) as position from old_rows group by system_id) o
    where s.id = o.system_id;
    return null;
end;
$$;

revoke execute on function
    app.create_whitelist_system(text, text, uuid), app.delete_whitelist_system(uuid),
    app.whitelist_position(text, text, public.whitelist_systems),
    app.sync_whitelist(uuid, text, text, jsonb, integer), app.note_forgotten_whitelist()
from public;
grant execute on function
    app.create_whitelist_system(text, text, uuid), app.delete_whitelist_system(uuid),
    app.sync_whitelist(uuid, text, text, jsonb, integer)
to authenticated;
