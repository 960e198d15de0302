-- API keys of bots: each acts as a robot, who takes care of the servers at Discord that the bot is in.

-- Makes a bot's key and returns it; the same idempotency key the same one. For admins: what a bot says of servers, who
-- owns and administers them, is believed. The caller's row is locked, so that the count is exact.
create or replace function app.create_bot_key(
    key_name text, key_prefix text, key_hash bytea, ends_at timestamptz, idempotency_key text, place jsonb
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    live_limit constant integer := 50;
    admin_id uuid := app.required_admin_id();
    fingerprint bytea := sha256(convert_to(jsonb_build_array(key_name, ends_at)::text, 'UTF8'));
    robot uuid;
    made uuid;
begin
    perform from public.users u where u.id = admin_id for no key update;
    made := app.remembered_api_key('create_bot_key', idempotency_key, fingerprint, key_prefix);
    if made is not null then
        return made;
    end if;
    if (select count(*) from public.api_keys k where k.maker_id = admin_id and k.revoked_at is null
            and coalesce(k.expires_at > now(), true)) >= live_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('You made %s keys of bots. Revoke one first.', live_limit));
    end if;
    insert into public.users (display_name) values (key_name) returning id into robot;
    insert into public.api_keys (user_id, maker_id, name, prefix, secret_hash, scopes, expires_at)
    values (robot, admin_id, key_name, key_prefix, key_hash, array['READ', 'WRITE', 'BOT'], ends_at) returning id into made;
    if idempotency_key is not null then
        perform app.remember_result(admin_id, 'create_bot_key', idempotency_key, fingerprint, made);
    end if;
    perform app.note_api_key('create_api_key', made, place, jsonb_build_object('scopes', array['READ', 'WRITE', 'BOT']));
    return made;
end;
$$;

revoke execute on function app.create_bot_key(text, text, bytea, timestamptz, text, jsonb) from public;
grant execute on function app.create_bot_key(text, text, bytea, timestamptz, text, jsonb) to authenticated;
