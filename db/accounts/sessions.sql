-- Trigger: a session that is deleted before its time, most often with its account, has tokens that are
-- still good. Every process looks here, and at what was revoked, for those to refuse.
create or replace function app.record_deleted_session() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if old.revoked_at is null and old.expires_at > now() then
        insert into public.deleted_sessions (id, deleted_at) values (old.id, clock_timestamp())
        on conflict (id) do nothing;
    end if;
    return null;
end;
$$;

revoke execute on function app.record_deleted_session() from public;

-- Ends a session of the caller's and returns it; ending it twice changes nothing. Here and below `place` has
-- the network and the device that asked for it.
create or replace function app.revoke_own_session(wanted uuid, place jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
begin
    update public.sessions s set revoked_at = clock_timestamp(), revoked_reason = 'revoked_by_user'
    where s.id = wanted and s.user_id = actor_id and s.revoked_at is null;
    if found then
        insert into public.audit_log (user_id, action, detail, network, device)
        values (actor_id, 'revoke_session', jsonb_build_object('session', 'session_' || wanted),
                place ->> 'network', place ->> 'device');
    elsif not exists (select from public.sessions s where s.id = wanted and s.user_id = actor_id) then
        perform app.refuse('NOT_FOUND', 'There is no such session.', '{"path": ["input", "id"]}');
    end if;
    return wanted;
end;
$$;

-- Ends all sessions of the caller's but one, which may be null, and returns those that were open.
create or replace function app.end_own_sessions(kept uuid, place jsonb) returns uuid[]
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    ended uuid[];
begin
    with revoked as (
        update public.sessions s set revoked_at = clock_timestamp(), revoked_reason = 'signed_out_everywhere'
        where s.user_id = actor_id and s.revoked_at is null and s.id is distinct from kept
        returning s.id
    )
    select coalesce(array_agg(r.id), '{}') into ended from revoked r;
    if ended <> '{}' then
        insert into public.audit_log (user_id, action, detail, network, device)
        values (actor_id, 'sign_out_everywhere', jsonb_build_object('sessions', cardinality(ended)),
                place ->> 'network', place ->> 'device');
    end if;
    return ended;
end;
$$;

revoke execute on function app.revoke_own_session(uuid, jsonb), app.end_own_sessions(uuid, jsonb) from public;
grant execute on function app.revoke_own_session(uuid, jsonb), app.end_own_sessions(uuid, jsonb) to authenticated;
