-- Developers: what their tier allows, their keys, and what they obfuscated.

-- The tier of a plan; of none, or one that is no tier, the first. PLAN_REQUIRED where this service has no tiers.
create or replace function app.tier_of_plan(wanted_plan text) returns public.developer_tiers
language sql stable set search_path = pg_catalog, pg_temp as $$
    select t.* from public.developer_tiers t
    order by t.id is distinct from wanted_plan, t.sort_order, t.id limit 1;
$$;

-- The tier of a user, who is a member; their row is locked until the transaction ends, so that what their tier
-- bounds is counted by one transaction at a time.
create or replace function app.enter_developer() returns public.developer_tiers
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    is_guest boolean;
    plan text;
    tier public.developer_tiers;
begin
    select u.is_anonymous, u.plan_id into is_guest, plan from public.users u
    where u.id = app.required_user_id() and u.status = 'active' for no key update;
    if is_guest is null then
        perform app.refuse('UNAUTHENTICATED', 'The account of this token is gone; sign in again.');
    elsif is_guest then
        perform app.refuse('FORBIDDEN', 'Guests are no developers. Sign up first; what you have stays yours.');
    end if;
    tier := app.tier_of_plan(plan);
    if tier.id is null then
        perform app.refuse('PLAN_REQUIRED', 'This service has no tiers for developers.', '{"plan_id": null}');
    end if;
    return tier;
end;
$$;

-- Notes what happened to a developer's key in the caller's audit log.
create or replace function app.note_developer_key(action text, key_id uuid, place jsonb) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into public.audit_log (user_id, action, detail, network, device)
    values (app.user_id(), note_developer_key.action, jsonb_build_object('developer_key', 'developerKey_' || key_id),
            place ->> 'network', place ->> 'device');
$$;

-- Makes a key of the caller's and returns it; the same idempotency key the same one. `wanted_tier` is the tier
-- that the caller takes themselves to be on.
create or replace function app.create_developer_key(
    key_name text, wanted_tier text, key_preview text, key_hash bytea, idempotency_key text, place jsonb
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    live_limit constant integer := 5;
    stored_limit constant integer := 50;
    tier public.developer_tiers := app.enter_developer();
    actor_id uuid := app.user_id();
    fingerprint bytea := sha256(convert_to(jsonb_build_array(key_name, wanted_tier)::text, 'UTF8'));
    live integer;
    stored integer;
    made uuid;
begin
    if idempotency_key is not null then
        perform app.check_idempotency_key(idempotency_key);
        made := app.remembered_result(actor_id, 'create_developer_key', idempotency_key, fingerprint);
        if made is not null then
            return made;
        end if;
    end if;
    if wanted_tier <> tier.id then
        perform app.refuse('PLAN_REQUIRED',
            format('You are on the tier %s. Subscribe to another with `createSubscription` first.', tier.id),
            jsonb_build_object('plan_id', wanted_tier, 'path', jsonb_build_array('input', 'tier')));
    end if;
    select count(*) filter (where k.revoked_at is null), count(*) into live, stored
    from public.developer_keys k where k.user_id = actor_id;
    if live >= live_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('You have %s keys. Revoke one first.', live));
    elsif stored >= stored_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('You made %s keys lately. Make another in a few days.', stored));
    elsif exists (select from public.developer_keys k
        where k.user_id = actor_id and k.name = key_name and k.revoked_at is null) then
        perform app.refuse('INVALID_STATE', 'Another key of yours has this name.', '{"path": ["input", "name"]}');
    end if;
    -- The secret follows from the idempotency key, which is remembered for a shorter time than a key may last.
    if exists (select from public.developer_keys k where k.secret_hash = key_hash) then
        perform app.refuse('IDEMPOTENCY_CONFLICT',
            'This idempotency key made a key long ago. Use a new one for another.',
            '{"path": ["input", "idempotencyKey"]}');
    end if;
    insert into public.developer_keys (user_id, name, preview, secret_hash)
    values (actor_id, key_name, key_preview, key_hash) returning id into made;
    if idempotency_key is not null then
        perform app.remember_result(actor_id, 'create_developer_key', idempotency_key, fingerprint, made);
    end if;
    perform app.note_developer_key('create_developer_key', made, place);
    return made;
end;
$$;

-- Ends a key of the caller's and returns it; ending it twice changes nothing.
create or replace function app.revoke_developer_key(wanted uuid, place jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
begin
    update public.developer_keys k set revoked_at = clock_timestamp()
    where k.id = wanted and k.user_id = actor_id and k.revoked_at is null;
    if found then
        perform app.note_developer_key('revoke_developer_key', wanted, place);
    elsif not exists (select from public.developer_keys k where k.id = wanted and k.user_id = actor_id) then
        perform app.refuse('NOT_FOUND', 'There is no such developer key.', '{"path": ["input", "id"]}');
    end if;
    return wanted;
end;
$$;

-- Trigger: a key that has ended, with its account or by its developer; every process looks there.
create or replace function app.record_ended_developer_key() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if old.revoked_at is null and (tg_op = 'DELETE' or new.revoked_at is not null) then
        insert into public.deleted_sessions (id, deleted_at)
        values (encode(substring(old.secret_hash for 16), 'hex')::uuid, clock_timestamp())
        on conflict (id) do nothing;
    end if;
    return null;
end;
$$;

-- When the period began in which a moment lies: weeks begin on Sunday, days at midnight, both in UTC.
create or replace function app.obfuscation_period_start(period text, moment timestamptz) returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp
return case period
    when 'WEEK' then date_trunc('week', (moment at time zone 'UTC') + interval '1 day') - interval '1 day'
    else date_trunc('day', moment at time zone 'UTC') end at time zone 'UTC';

-- When that period ends.
create or replace function app.obfuscation_period_end(period text, moment timestamptz) returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp
return (app.obfuscation_period_start(period, moment) at time zone 'UTC'
    + case period when 'WEEK' then interval '7 days' else interval '1 day' end) at time zone 'UTC';

-- How much of the allowance of the period a developer has used, as far as the caller may read.
create or replace function app.allowance_used(owner_id uuid, period text) returns integer
language sql stable set search_path = pg_catalog, pg_temp as $$
    select count(*)::integer from public.obfuscation_uses o
    where o.user_id = owner_id and o.source = 'ALLOWANCE'
        and o.created_at >= app.obfuscation_period_start(period, now());
$$;

-- What the tier of a plan is called; null where there are no tiers.
create or replace function app.tier_name(wanted_plan text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select t.id from app.tier_of_plan(wanted_plan) t;
$$;

-- A limit of the tier of a plan, for the schema: REQUESTS (a minute), WHITELIST (of each product), OBFUSCATIONS (of a
-- period); -1 for none, 0 where there are no tiers.
create or replace function app.tier_limit(wanted_plan text, limited_kind text) returns integer
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(case limited_kind when 'REQUESTS' then t.requests_per_minute when 'WHITELIST' then t.whitelist_entries
        else t.obfuscations end, 0) from app.tier_of_plan(wanted_plan) t;
$$;

-- When the period of the allowance of a plan's tier began.
create or replace function app.allowance_start(wanted_plan text) returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
    select app.obfuscation_period_start(coalesce(t.obfuscation_period, 'DAY'), now()) from app.tier_of_plan(wanted_plan) t;
$$;

-- When it ends.
create or replace function app.allowance_end(wanted_plan text) returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
    select app.obfuscation_period_end(coalesce(t.obfuscation_period, 'DAY'), now()) from app.tier_of_plan(wanted_plan) t;
$$;

-- What a developer has of something now, for the schema: PRODUCTS, KEYS, ENTRIES that are not over, OBFUSCATIONS of the
-- period, whatever paid for them, and ALLOWANCE: those of them that cost no credit.
create or replace function app.developer_usage(owner_id uuid, counted text, wanted_plan text) returns integer
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case counted
        when 'PRODUCTS' then (select count(*)::integer from public.developer_products p where p.user_id = owner_id)
        when 'KEYS' then (select count(*)::integer from public.developer_keys k
            where k.user_id = owner_id and k.revoked_at is null)
        when 'ENTRIES' then (select count(*)::integer from public.whitelist_entries e
            where e.user_id = owner_id and e.expires_at > now())
        else (select count(*)::integer from public.obfuscation_uses o
            where o.user_id = owner_id and o.created_at >= app.allowance_start(wanted_plan)
                and (counted = 'OBFUSCATIONS' or o.source = 'ALLOWANCE')) end;
$$;

-- The credits of a user's wallet that can be spent now, as far as the caller may read.
create or replace function app.spendable_credits(owner_id uuid) returns integer
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((select w.balance - w.held from public.wallets w where w.user_id = owner_id), 0);
$$;

-- Counts an obfuscation of the caller's and returns it: by the allowance of the period while there is some, then
-- by a credit. The same key counts it once. INSUFFICIENT_CREDITS when there is neither.
create or replace function app.record_obfuscation(idempotency_key text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    fingerprint constant bytea := ''::bytea;
    wallet public.wallets;
    tier public.developer_tiers;
    by_allowance boolean;
    made uuid;
begin
    perform app.check_idempotency_key(idempotency_key);
    -- The wallet first, as for whatever may cost credits.
    wallet := app.lock_wallet(actor_id);
    made := app.remembered_result(actor_id, 'record_obfuscation', idempotency_key, fingerprint);
    if made is not null then
        return made;
    end if;
    tier := app.enter_developer();
    by_allowance := tier.obfuscations = -1
        or app.allowance_used(actor_id, tier.obfuscation_period) < tier.obfuscations;
    insert into public.obfuscation_uses (user_id, source)
    values (actor_id, case when by_allowance then 'ALLOWANCE' else 'CREDIT' end) returning id into made;
    if not by_allowance then
        perform app.spend_credits(1, 'obfuscation', 'obfuscationUse_' || made, 'obfuscation:' || made);
    end if;
    perform app.remember_result(actor_id, 'record_obfuscation', idempotency_key, fingerprint, made);
    return made;
end;
$$;

revoke execute on function
    app.tier_of_plan(text), app.enter_developer(), app.note_developer_key(text, uuid, jsonb),
    app.create_developer_key(text, text, text, bytea, text, jsonb), app.revoke_developer_key(uuid, jsonb),
    app.record_ended_developer_key(), app.obfuscation_period_start(text, timestamptz),
    app.obfuscation_period_end(text, timestamptz), app.allowance_used(uuid, text), app.tier_name(text),
    app.tier_limit(text, text), app.allowance_start(text), app.allowance_end(text),
    app.developer_usage(uuid, text, text), app.spendable_credits(uuid), app.record_obfuscation(text)
from public;
grant execute on function
    app.tier_of_plan(text), app.create_developer_key(text, text, text, bytea, text, jsonb),
    app.revoke_developer_key(uuid, jsonb), app.obfuscation_period_start(text, timestamptz),
    app.obfuscation_period_end(text, timestamptz), app.tier_name(text), app.tier_limit(text, text),
    app.allowance_start(text), app.allowance_end(text), app.developer_usage(uuid, text, text),
    app.spendable_credits(uuid), app.record_obfuscation(text)
to authenticated;
grant execute on function app.tier_of_plan(text) to service;
