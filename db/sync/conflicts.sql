-- Bringing back what lost a conflict.

-- Makes the messages again that a profile had when it was deleted.
create or replace function app.bring_back_messages(wanted uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.chat_messages (id, user_id, profile_id, question_id, client_id, role, status, text,
                                      credits_charged, made_offline, error_code, error_message, created_at, finished_at)
    select m.id, p.user_id, p.id, null, m.client_id, m.role, 'SUCCEEDED', m.text, m.credits_charged, m.made_offline,
           null, null, m.created_at, m.finished_at
    from public.profiles p
    join lateral (
        select c.value from public.sync_conflicts c
        where c.user_id = p.user_id and c.profile_id = p.id and c.field_group = 'PROFILE'
        order by c.created_at desc limit 1) k on true
    cross join jsonb_populate_recordset(null::public.chat_messages, coalesce(nullif(k.value -> 'MESSAGES', 'null'), '[]')) m
    where p.id = wanted
    on conflict do nothing;
end;
$$;

-- Makes a deleted profile again with what it held, under the number of the device that made it; nothing where it is
-- there. Of what devices wrote before, it is known that they did: sent again, it changes nothing.
create or replace function app.bring_back_profile(actor_id uuid, wanted uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.profiles (id, user_id, name, thumbnail, thumbnail_path, analysis, chat_history, created_at,
                                 origin_device_id, origin_local_id, versions)
    select wanted, actor_id, k.value ->> 'NAME', app.picture_in_row(k.value ->> 'THUMBNAIL'),
           app.picture_in_storage(k.value ->> 'THUMBNAIL'), coalesce(k.value -> 'ANALYSIS', '{}'),
           coalesce(k.value -> 'CHAT', '[]'), (k.value ->> 'created_at')::timestamptz,
           t.origin_device_id, t.origin_local_id, coalesce(t.versions, '{}')
    from (select c.value from public.sync_conflicts c
          where c.user_id = actor_id and c.profile_id = wanted and c.field_group = 'PROFILE'
          order by c.created_at desc limit 1) k
    left join public.profile_tombstones t on t.profile_id = wanted and t.user_id = actor_id
    on conflict (id) do nothing;
    if found then
        update public.profile_tombstones t set is_revived = true where t.profile_id = wanted;
        perform app.bring_back_messages(wanted);
    end if;
end;
$$;

-- Settles a conflict of the actor's for good and returns it: CURRENT leaves things as they are, LOST brings back
-- what lost. What has to give way is kept in turn. Of one that is resolved already nothing changes.
create or replace function app.resolve_sync_conflict(wanted uuid, keep text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    conflict public.sync_conflicts;
begin
    select * into conflict from public.sync_conflicts c where c.id = wanted and c.user_id = actor_id for update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such conflict.', '{"path": ["input", "id"]}');
    elsif conflict.status = 'RESOLVED' then
        return wanted;
    end if;
    if keep = 'LOST' then
        perform app.bring_back_lost(wanted);
    end if;
    update public.sync_conflicts c set status = 'RESOLVED', kept = keep, resolved_at = now() where c.id = wanted;
    return wanted;
end;
$$;

-- Keeps an analysis of which `coming` takes parts away, so that the user can have it back: it may be an edit that a
-- device made while another was being written.
create or replace function app.keep_replaced_analysis(owner_id uuid, replaced uuid, coming jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    head public.sync_heads := app.advance_sync(owner_id, 0);
begin
    insert into public.sync_conflicts (user_id, profile_id, field_group, loser, device_id, clock, value, status)
    select p.user_id, p.id, 'ANALYSIS', 'SERVER', '', head.clock, p.analysis, 'SETTLED'
    from public.profiles p
    where p.id = replaced and p.analysis <> '{}'
        and (jsonb_typeof(p.analysis) <> 'object' or (p.analysis || coming) @> p.analysis is not true);
end;
$$;

-- Makes what lost a conflict hold again.
create or replace function app.bring_back_lost(wanted uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    conflict public.sync_conflicts;
    head public.sync_heads;
begin
    select * into conflict from public.sync_conflicts c where c.id = wanted;
    head := app.advance_sync(conflict.user_id, 0);
    if conflict.field_group = 'DELETION' then
        delete from public.profiles p where p.id = conflict.profile_id and p.user_id = conflict.user_id;
        return;
    end if;
    perform app.bring_back_profile(conflict.user_id, conflict.profile_id);
    if conflict.field_group in ('NAME', 'THUMBNAIL', 'ANALYSIS') then
        insert into public.sync_conflicts (user_id, profile_id, field_group, loser, device_id, clock, value, status)
        select p.user_id, p.id, conflict.field_group, 'SERVER', '', head.clock,
               app.profile_content(to_jsonb(p)) -> conflict.field_group, 'SETTLED'
        from public.profiles p where p.id = conflict.profile_id
        on conflict (profile_id, field_group, device_id, clock) do nothing;
        update public.profiles p
        set name = case conflict.field_group when 'NAME' then conflict.value #>> '{}' else p.name end,
            thumbnail = case conflict.field_group when 'THUMBNAIL' then app.picture_in_row(conflict.value #>> '{}')
                else p.thumbnail end,
            thumbnail_path = case conflict.field_group when 'THUMBNAIL'
                then app.picture_in_storage(conflict.value #>> '{}') else p.thumbnail_path end,
            analysis = case conflict.field_group when 'ANALYSIS' then conflict.value else p.analysis end,
            updated_at = now(), synced_at = now()
        where p.id = conflict.profile_id;
    elsif conflict.field_group = 'CHAT' then
        insert into public.chat_messages (user_id, profile_id, client_id, role, text, created_at)
        select p.user_id, p.id, m.id, m.role, m.text,
               app.plausible_time(m.created_at, least(conflict.clock, head.clock), head.clock)
        from public.profiles p
        cross join jsonb_to_recordset(conflict.value) as m (id text, role text, text text, created_at timestamptz)
        where p.id = conflict.profile_id
        on conflict (profile_id, client_id) do nothing;
    end if;
end;
$$;

revoke execute on function
    app.bring_back_messages(uuid), app.bring_back_profile(uuid, uuid), app.resolve_sync_conflict(uuid, text),
    app.keep_replaced_analysis(uuid, uuid, jsonb),
    app.bring_back_lost(uuid)
from public;
grant execute on function app.resolve_sync_conflict(uuid, text) to authenticated;
