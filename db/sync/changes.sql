-- What every change of a profile leaves for the devices that sync: a position, versions, tombstones.

-- Milliseconds of the server's time, as the upper bits of a hybrid logical clock.
create or replace function app.sync_clock() returns bigint
language sql volatile parallel safe
return floor(extract(epoch from clock_timestamp()) * 1000)::bigint << 16;

-- Counts `changes` more of a user's, and locks the count until the transaction ends.
create or replace function app.advance_sync(owner_id uuid, changes bigint) returns public.sync_heads
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    head public.sync_heads;
begin
    insert into public.sync_heads as h (user_id, position, clock) values (owner_id, changes, app.sync_clock())
    on conflict (user_id) do update
    set position = h.position + changes, clock = greatest(h.clock + 1, excluded.clock)
    returning * into head;
    return head;
end;
$$;

-- Trigger of `profiles`: a change that no device's sync makes is the server's, and later than all before it.
-- A profile that another user takes over is new to that user's devices.
create or replace function app.note_profile_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    head public.sync_heads := app.advance_sync(new.user_id, 1);
    is_new boolean := new.user_id is distinct from old.user_id;
begin
    new.position := head.position;
    new.device_id := null;
    new.versions := new.versions || coalesce((
        -- What devices had seen of another user's changes counts no more.
        select jsonb_object_agg(g.field_group, app.profile_version(
            case when is_new then (new.versions -> g.field_group) - 'last' else new.versions -> g.field_group end,
            head.clock, '', head.position, head.clock))
        from (values ('NAME', new.name is distinct from old.name),
                     ('THUMBNAIL', (new.thumbnail, new.thumbnail_path)
                         is distinct from (old.thumbnail, old.thumbnail_path)),
                     ('ANALYSIS', new.analysis is distinct from old.analysis),
                     ('CHAT', new.chat_history is distinct from old.chat_history)) as g (field_group, is_changed)
        where is_new or g.is_changed), '{}');
    return new;
end;
$$;

-- Trigger of `chat_messages`: what has ended is a change that devices are told of.
create or replace function app.note_chat_message() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    head public.sync_heads := app.advance_sync(new.user_id, 1);
begin
    new.position := head.position;
    return new;
end;
$$;

-- Tells who watches their profiles that something was said of these. `devices` are those that brought it, null where
-- none did. A profile that this transaction changed is told of already.
create or replace function app.tell_of_chats(profiles uuid[], devices text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.events (topic, change, user_id, audience_kind, audience_id, entity_id, snapshot)
    select 'profiles.changed', 'UPDATE', p.user_id, 'user', p.user_id, p.id::text,
           to_jsonb(p) - array['origin_device_id', 'origin_local_id', 'position', 'versions',
                               'thumbnail', 'analysis', 'chat_history']
               || jsonb_build_object('device_id', t.device_id)
    from unnest(profiles, devices) as t (profile_id, device_id)
    join public.profiles p on p.id = t.profile_id and p.synced_at <> now();
end;
$$;

-- Triggers of `chat_messages`: an event for each profile of which messages are new or replies have ended.
create or replace function app.tell_of_new_messages() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.tell_of_chats(array_agg(m.profile_id), array_agg(m.device_id))
    from (select distinct n.profile_id, n.device_id from new_rows n
          where n.status not in ('QUEUED', 'RUNNING')) m;
    return null;
end;
$$;

create or replace function app.tell_of_ended_replies() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.tell_of_chats(array_agg(m.profile_id), array_agg(null::text))
    from (select distinct n.profile_id from new_rows n join old_rows o using (id)
          where n.status <> o.status and n.status not in ('QUEUED', 'RUNNING')) m;
    return null;
end;
$$;

-- A version of a field group: the write of a device that is now its last. `raw` is the device's own clock.
create or replace function app.profile_version(
    before jsonb, clock bigint, device text, place bigint, raw bigint
) returns jsonb
language sql immutable parallel safe
return coalesce(before, '{}') || jsonb_build_object(
    'clock', clock, 'device', device, 'position', place,
    'seen', coalesce(before -> 'seen', '{}') || jsonb_build_object(device, raw));

-- Trigger of `profiles`: what is deleted without a sync leaves tombstones, and what it held; nothing of an
-- account that is gone.
create or replace function app.bury_profiles() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    owner_id uuid;
    buried bigint;
    head public.sync_heads;
begin
    for owner_id, buried in select o.user_id, count(*) from old_rows o join public.users u on u.id = o.user_id
        where not exists (select from public.profile_tombstones t where t.profile_id = o.id and not t.is_revived)
            and not exists (select from public.account_deletions d where d.user_id = o.user_id
                            and d.began_at is not null)
        group by o.user_id
    loop
        head := app.advance_sync(owner_id, buried);
        insert into public.sync_conflicts (user_id, profile_id, field_group, loser, device_id, clock, value, status)
        select o.user_id, o.id, 'PROFILE', 'SERVER', '', head.clock, app.profile_content(to_jsonb(o)), 'DELETED'
        from old_rows o where o.user_id = owner_id
            and not exists (select from public.profile_tombstones t where t.profile_id = o.id and not t.is_revived);
        insert into public.profile_tombstones as t (profile_id, user_id, origin_device_id, origin_local_id, device_id,
                                                    clock, position, versions)
        select o.id, o.user_id, o.origin_device_id, o.origin_local_id, '', head.clock,
               head.position - buried + row_number() over (order by o.id), o.versions
        from old_rows o where o.user_id = owner_id
            and not exists (select from public.profile_tombstones t where t.profile_id = o.id and not t.is_revived)
        on conflict (profile_id) do update
        set device_id = '', clock = excluded.clock, position = excluded.position, versions = excluded.versions,
            is_revived = false, deleted_at = now();
    end loop;
    return null;
end;
$$;

-- A version of THUMBNAIL is where the picture lies in storage, or base64 from before there was that. No base64 has
-- a hyphen.
create or replace function app.picture_in_storage(kept text) returns text
language sql immutable parallel safe
return case when kept like 'thumbnails/%-%' then kept end;

create or replace function app.picture_in_row(kept text) returns text
language sql immutable parallel safe
return case when kept like 'thumbnails/%-%' then null else kept end;

-- All that a profile's row holds, to be brought back by.
create or replace function app.profile_content(profile jsonb) returns jsonb
language sql immutable parallel safe
return jsonb_build_object('NAME', profile -> 'name',
                          'THUMBNAIL', coalesce(profile ->> 'thumbnail_path', profile ->> 'thumbnail'),
                          'ANALYSIS', profile -> 'analysis', 'CHAT', profile -> 'chat_history',
                          'created_at', profile -> 'created_at');

-- Trigger of `profile_tombstones`: a device that has not seen what is forgotten now must begin anew.
create or replace function app.note_forgotten_tombstones() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.sync_heads h set forgotten = greatest(h.forgotten, o.position)
    from (select user_id, max(position) as position from old_rows group by user_id) o
    where h.user_id = o.user_id;
    return null;
end;
$$;

revoke execute on function
    app.sync_clock(), app.advance_sync(uuid, bigint), app.note_profile_change(), app.note_chat_message(),
    app.tell_of_chats(uuid[], text[]), app.tell_of_new_messages(), app.tell_of_ended_replies(),
    app.profile_version(jsonb, bigint, text, bigint, bigint), app.bury_profiles(),
    app.picture_in_storage(text), app.picture_in_row(text), app.profile_content(jsonb), app.note_forgotten_tombstones()
from public;
