-- API keys: how they are made, rotated and ended, and how every process learns that a secret has ended.

-- Notes what happened to a key of the caller's or of their organization's; `place` has the network and the device
-- that asked for it.
create or replace function app.note_api_key(action text, key_id uuid, place jsonb, detail jsonb default '{}')
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.audit_log (user_id, action, detail, network, device)
    values (app.user_id(), note_api_key.action, note_api_key.detail || jsonb_build_object('api_key', 'apiKey_' || key_id)
            || (select jsonb_strip_nulls(jsonb_build_object('organization', 'organization_' || k.organization_id))
                from public.api_keys k where k.id = key_id),
            place ->> 'network', place ->> 'device');
end;
$$;

-- The key that an idempotency key has made, or given this secret, before; null when it has not.
create or replace function app.remembered_api_key(
    operation_name text, idempotency_key text, fingerprint bytea, key_prefix text
) returns uuid
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    made uuid;
begin
    if idempotency_key is null then
        return null;
    end if;
    perform app.check_idempotency_key(idempotency_key);
    made := app.remembered_result(app.user_id(), operation_name, idempotency_key, fingerprint);
    if made is not null and not exists (select from public.api_keys k
        where k.id = made and k.revoked_at is null and key_prefix in (k.prefix, k.previous_prefix)) then
        perform app.refuse('IDEMPOTENCY_CONFLICT',
            'The secret that this idempotency key made has ended. Use a new key for a new request.',
            '{"path": ["input", "idempotencyKey"]}');
    end if;
    return made;
end;
$$;

-- Makes a key of the caller's, tells them by e-mail, and returns the key; the same idempotency key the same
-- one. The caller's row is locked, so that the counts are exact. `device` is a name for the device that asks.
create or replace function app.create_api_key(
    key_name text, key_prefix text, key_hash bytea, key_scopes text[], ends_at timestamptz,
    idempotency_key text, device text, place jsonb
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    live_limit constant integer := 50;
    stored_limit constant integer := 200;
    actor_id uuid := app.required_user_id();
    fingerprint bytea := sha256(convert_to(jsonb_build_array(key_name, key_scopes, ends_at)::text, 'UTF8'));
    is_guest boolean;
    address text;
    locale text;
    live integer;
    stored integer;
    made uuid;
begin
    select u.is_anonymous, u.email, u.locale into is_guest, address, locale from public.users u
    where u.id = actor_id and u.status = 'active' for no key update;
    if is_guest is null then
        perform app.refuse('UNAUTHENTICATED', 'The account of this token is gone; sign in again.');
    elsif is_guest then
        perform app.refuse('FORBIDDEN', 'Guests have no API keys. Sign up first; what you have stays yours.');
    end if;
    if 'BOT' = any (key_scopes) then
        perform app.refuse('BAD_USER_INPUT', 'Keys of bots are made with `createBotKey`.', '{"path": ["input", "scopes"]}');
    end if;
    made := app.remembered_api_key('create_api_key', idempotency_key, fingerprint, key_prefix);
    if made is not null then
        return made;
    end if;
    select count(*) filter (where k.revoked_at is null and coalesce(k.expires_at > now(), true)), count(*)
    into live, stored from public.api_keys k where k.user_id = actor_id;
    if live >= live_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('You have %s API keys. Revoke one first.', live));
    elsif stored >= stored_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('You made %s API keys lately. Make another in a few days.', stored));
    end if;
    insert into public.api_keys (user_id, name, prefix, secret_hash, scopes, expires_at)
    values (actor_id, key_name, key_prefix, key_hash, key_scopes, ends_at) returning id into made;
    if idempotency_key is not null then
        perform app.remember_result(actor_id, 'create_api_key', idempotency_key, fingerprint, made);
    end if;
    perform app.note_api_key('create_api_key', made, place, jsonb_build_object('scopes', key_scopes));
    perform app.queue_email('api_key_created', address, locale, actor_id, jsonb_strip_nulls(
        jsonb_build_object('name', key_name, 'device', device, 'address', place ->> 'network')));
    return made;
end;
$$;

-- A key that the caller may change, locked: their own, one of an organization in which their role is above the key's, or
-- one of a bot that they made, while they are an admin. NOT_FOUND for any other.
create or replace function app.enter_api_key(wanted uuid) returns public.api_keys
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    known public.api_keys;
begin
    select * into known from public.api_keys k
    where k.id = wanted and (k.organization_id is null and k.user_id = actor_id
        or k.maker_id = actor_id and app.is_admin() or exists (
        select from public.organization_members m
        where m.organization_id = k.organization_id and m.user_id = actor_id and m.role in ('OWNER', 'ADMIN')));
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such API key.', '{"path": ["input", "id"]}');
    end if;
    if known.organization_id is not null then
        perform app.require_rank_above(app.enter_organization(known.organization_id), known.role);
    end if;
    select * into known from public.api_keys k where k.id = wanted for update;
    return known;
end;
$$;

-- Gives a key of the caller's another secret and returns the key. The secret before it works for the
-- overlap, the one before that no longer. The same idempotency key does it once.
create or replace function app.rotate_api_key(
    wanted uuid, key_prefix text, key_hash bytea, overlap interval, ends_at timestamptz, idempotency_key text,
    place jsonb
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    known public.api_keys := app.enter_api_key(wanted);
    keeps_old boolean := overlap > interval '0';
    fingerprint bytea := sha256(convert_to(jsonb_build_array(wanted, overlap, ends_at)::text, 'UTF8'));
begin
    if known.id is null or known.revoked_at is not null then
        perform app.refuse('NOT_FOUND', 'There is no such API key.', '{"path": ["input", "id"]}');
    end if;
    if app.remembered_api_key('rotate_api_key', idempotency_key, fingerprint, key_prefix) is not null then
        return wanted;
    end if;
    if coalesce(ends_at, known.expires_at) <= now() then
        perform app.refuse('BAD_USER_INPUT', 'This API key has expired: say until when its new secret is to work.',
            '{"path": ["input", "expiresAt"]}');
    end if;
    update public.api_keys k
    set prefix = key_prefix, secret_hash = key_hash, rotated_at = clock_timestamp(),
        expires_at = coalesce(ends_at, k.expires_at),
        previous_prefix = case when keeps_old then k.prefix end,
        previous_secret_hash = case when keeps_old then k.secret_hash end,
        previous_expires_at = case when keeps_old then least(clock_timestamp() + overlap, k.expires_at) end
    where k.id = wanted;
    if idempotency_key is not null then
        perform app.remember_result(actor_id, 'rotate_api_key', idempotency_key, fingerprint, wanted);
    end if;
    perform app.note_api_key('rotate_api_key', wanted, place);
    return wanted;
end;
$$;

-- Ends a key of the caller's, or of their organization's, and returns it; ending it twice changes nothing. The robot
-- of an organization's key is no member from then on.
create or replace function app.revoke_api_key(wanted uuid, place jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    known public.api_keys := app.enter_api_key(wanted);
begin
    if known.revoked_at is null then
        update public.api_keys k set revoked_at = clock_timestamp() where k.id = wanted;
        delete from public.organization_members m where m.user_id = known.user_id and m.is_robot;
        perform app.note_api_key('revoke_api_key', wanted, place);
    end if;
    return wanted;
end;
$$;

-- Trigger: secrets that are good no more, because their key was rotated, revoked or deleted, most often
-- with its account. Every process looks there, as for sessions, for what to refuse.
create or replace function app.record_ended_secrets() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    kept bytea[] := '{}';
begin
    if tg_op = 'UPDATE' and new.revoked_at is null then
        kept := array[new.secret_hash, new.previous_secret_hash];
    end if;
    if old.revoked_at is null then
        insert into public.deleted_sessions (id, deleted_at)
        select encode(substring(ended.hash for 16), 'hex')::uuid, clock_timestamp()
        from unnest(array[old.secret_hash, old.previous_secret_hash]) as ended (hash)
        where ended.hash is not null and not coalesce(ended.hash = any (kept), false)
        on conflict (id) do nothing;
    end if;
    return null;
end;
$$;

-- Trigger: the keys of a user who is locked, or no admin any more, end, and those of bots that they made.
create or replace function app.end_api_keys() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.api_keys k set revoked_at = clock_timestamp()
    where (k.user_id = new.id or k.maker_id = new.id) and k.revoked_at is null;
    return null;
end;
$$;

-- Trigger: the robot of a key goes with it.
create or replace function app.remove_robot() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from public.users u where u.id = old.user_id;
    return null;
end;
$$;

revoke execute on function
    app.enter_api_key(uuid), app.remove_robot(), app.note_api_key(text, uuid, jsonb, jsonb), app.remembered_api_key(text, text, bytea, text),
    app.create_api_key(text, text, bytea, text[], timestamptz, text, text, jsonb),
    app.rotate_api_key(uuid, text, bytea, interval, timestamptz, text, jsonb),
    app.revoke_api_key(uuid, jsonb), app.record_ended_secrets(), app.end_api_keys()
from public;
grant execute on function
    app.create_api_key(text, text, bytea, text[], timestamptz, text, text, jsonb),
    app.rotate_api_key(uuid, text, bytea, interval, timestamptz, text, jsonb),
    app.revoke_api_key(uuid, jsonb)
to authenticated;
