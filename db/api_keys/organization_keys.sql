-- API keys of organizations: each acts as a robot, a user who is a member of that organization and of nothing else,
-- so that what it may do follows from its role by the same rules as for people.

-- Makes a key of an organization and returns it; the same idempotency key the same one. For owners, and for
-- admins where the key's role is below their own. The organization is locked, so that the counts are exact.
create or replace function app.create_organization_key(
    wanted uuid, key_role text, key_name text, key_prefix text, key_hash bytea, key_scopes text[],
    ends_at timestamptz, idempotency_key text, place jsonb
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    live_limit constant integer := 50;
    stored_limit constant integer := 200;
    own_role text := app.enter_organization(wanted);
    fingerprint bytea := sha256(convert_to(
        jsonb_build_array(wanted, key_role, key_name, key_scopes, ends_at)::text, 'UTF8'));
    live integer;
    stored integer;
    robot uuid;
    made uuid;
begin
    if key_role is null or key_role not in ('ADMIN', 'MEMBER', 'VIEWER') then
        perform app.refuse('BAD_USER_INPUT', 'A key is an admin, a member or a viewer.', '{"path": ["input", "role"]}');
    end if;
    perform app.require_rank_above(own_role, key_role);
    perform app.require_staying(o.deletes_at) from public.organizations o where o.id = wanted;
    made := app.remembered_api_key('create_organization_key', idempotency_key, fingerprint, key_prefix);
    if made is not null then
        return made;
    end if;
    select count(*) filter (where k.revoked_at is null and coalesce(k.expires_at > now(), true)), count(*)
    into live, stored from public.api_keys k where k.organization_id = wanted;
    if live >= live_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('The organization has %s API keys. Revoke one first.', live));
    elsif stored >= stored_limit then
        perform app.refuse('LIMIT_EXCEEDED', format(
            'The organization made %s API keys lately. Make another in a few days.', stored));
    end if;
    insert into public.users (display_name, selected_organization_id) values (key_name, wanted) returning id into robot;
    insert into public.organization_members (organization_id, user_id, role, is_robot)
    values (wanted, robot, key_role, true);
    insert into public.api_keys (user_id, organization_id, role, name, prefix, secret_hash, scopes, expires_at)
    values (robot, wanted, key_role, key_name, key_prefix, key_hash, key_scopes, ends_at) returning id into made;
    if idempotency_key is not null then
        perform app.remember_result(app.user_id(), 'create_organization_key', idempotency_key, fingerprint, made);
    end if;
    perform app.note_api_key('create_api_key', made, place, jsonb_build_object('scopes', key_scopes, 'role', key_role));
    return made;
end;
$$;

revoke execute on function
    app.create_organization_key(uuid, text, text, text, bytea, text[], timestamptz, text, jsonb)
from public;
grant execute on function
    app.create_organization_key(uuid, text, text, text, bytea, text[], timestamptz, text, jsonb)
to authenticated;
