-- One-time codes and sign-ups that wait for one. What is known of an address decides which mail is
-- queued, and nothing that the caller could see: each request is one statement, which uses the same
-- budgets for all.

-- How long a code counts. NIST SP 800-63B asks for minutes where a code signs somebody in; one that
-- confirms an address may wait for its mail to be read.
create or replace function app.life_of_code(purpose text) returns interval
language sql immutable set search_path = pg_catalog, pg_temp
return case purpose
    when 'SIGN_IN' then interval '10 minutes'
    when 'CONFIRM_EMAIL' then interval '24 hours'
    when 'UNDO_EMAIL_CHANGE' then interval '7 days'
    when 'UNDO_ADDED_FACTOR' then interval '7 days'
    else interval '1 hour' end;

-- Whether a code takes something back: it stays when others end, since whoever did that could end it, too.
create or replace function app.takes_back(purpose text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
return purpose in ('UNDO_EMAIL_CHANGE', 'UNDO_ADDED_FACTOR');

-- Whether a mail with a code may go to an address, which counts from now on. Two requests from one network
-- within half a minute are one, as of a button that is pressed twice, unless the second is for something new.
-- `area_holder` is who pays where the account's owner has been signed in, so that nobody elsewhere can use up
-- the owner's mails; null elsewhere.
create or replace function app.may_mail_code(
    purpose text, account_holder bytea, place_holder bytea, area_holder bytea, is_new boolean default false
) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    if app.take_from_budget('code_pause_' || purpose, place_holder, 1, interval '30 seconds') is not null
            and not is_new
        or app.take_from_budget('code_mails_here', place_holder, 5, interval '1 hour') is not null then
        return false;
    elsif area_holder is not null
        and app.take_from_budget('code_mails_at_home', area_holder, 5, interval '1 hour') is null then
        return true;
    end if;
    return app.take_from_budget('code_mails', account_holder, 8, interval '1 hour') is null
        and app.take_from_budget('code_mails_in_a_day', account_holder, 24, interval '1 day') is null;
end;
$$;

-- Makes a code and queues its mail. `asked_from` has the device and about the network that asked, for its reader;
-- `is_resent` says that a sign-up's code is not the one of the request that made the sign-up.
create or replace function app.mail_code(
    purpose text, owner_id uuid, sign_up_id uuid, address text, key text, place bytea, locale text,
    asked_from jsonb, is_resent boolean default false
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    life interval := app.life_of_code(mail_code.purpose);
    made uuid;
begin
    insert into public.one_time_codes (purpose, user_id, sign_up_id, email, email_key, network_hash, is_resent, expires_at)
    values (mail_code.purpose, owner_id, mail_code.sign_up_id, address, key, place, mail_code.is_resent,
            clock_timestamp() + life)
    returning id into made;
    perform app.queue_email(
        case mail_code.purpose
            when 'CONFIRM_EMAIL' then 'confirm_email'
            when 'RESET_PASSWORD' then 'reset_password'
            when 'SIGN_IN' then 'sign_in_code'
            when 'CHANGE_EMAIL' then 'confirm_email_change'
            when 'UNDO_EMAIL_CHANGE' then 'email_changed_undo'
            when 'UNDO_ADDED_FACTOR' then 'factor_added_undo'
        end,
        address, mail_code.locale, owner_id,
        asked_from || jsonb_build_object('code_id', made,
            'valid_minutes', (extract(epoch from life) / 60)::integer));
end;
$$;

-- Somebody asks for a code: it is mailed when there is an account that needs it. `area` is about where they
-- are, as sessions have it.
create or replace function app.request_code(
    purpose text, key text, place bytea, account_holder bytea, place_holder bytea,
    area text, area_holder bytea, asked_from jsonb
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    owner public.users;
    sign_up public.pending_sign_ups;
begin
    select * into owner from public.users u where u.email_key = key and u.status = 'active';
    select * into sign_up from public.pending_sign_ups p
    where p.email_key = key and p.expires_at > clock_timestamp()
    order by p.network_hash = place desc, p.created_at desc limit 1;
    if not app.may_mail_code(purpose, account_holder, place_holder,
        case when exists (select from public.sessions s where s.user_id = owner.id and s.address = area)
            then area_holder end) then
        return;
    end if;
    if owner.id is not null then
        if purpose <> 'CONFIRM_EMAIL' or owner.email_confirmed_at is null then
            perform app.mail_code(purpose, owner.id, null, owner.email, key, place, owner.locale, asked_from);
        end if;
    elsif purpose = 'CONFIRM_EMAIL' and sign_up.id is not null then
        perform app.mail_code(purpose, null, sign_up.id, sign_up.email, key, place, sign_up.locale, asked_from,
            is_resent => true);
    end if;
end;
$$;

-- Locks all that belongs to one account or address and has to do with codes, in one order, so that what is
-- done at once waits instead of meeting crosswise.
create or replace function app.lock_codes(key text, owner_id uuid) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    perform from public.users u where u.email_key = key or u.id = owner_id order by u.id for no key update;
    perform from public.pending_sign_ups p where p.email_key = key order by p.id for update;
    perform from public.one_time_codes c
    where c.email_key = key or c.user_id = owner_id
        or c.user_id in (select u.id from public.users u where u.email_key = key)
    order by c.id for update;
end;
$$;

-- Makes room for another sign-up with an address: those go first that no code can confirm, then the oldest.
create or replace function app.bound_sign_ups(key text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    most_here constant integer := 8;
    most constant integer := 100;
    surplus uuid[];
begin
    select array_agg(r.id) into surplus from (
        select p.id,
            row_number() over (partition by p.network_hash order by c.is_mailed desc, p.created_at desc, p.id desc) as here,
            row_number() over (order by c.is_mailed desc, p.created_at desc, p.id desc) as anywhere
        from public.pending_sign_ups p cross join lateral (select exists (
            select from public.one_time_codes c where c.sign_up_id = p.id) as is_mailed) c
        where p.email_key = key) r
    where r.here >= most_here or r.anywhere >= most;
    if surplus is not null then
        perform app.lock_codes(key, null);
        delete from public.pending_sign_ups p where p.id = any (surplus);
    end if;
end;
$$;

-- Keeps a sign-up until its address is confirmed, and mails its code; an address that has an account is told
-- so by mail. The row is kept in both cases, so that signing in before then answers the same. The same password
-- from the same network (of the same guest) is the same sign-up: for one address it has one hash. Returns it.
create or replace function app.begin_sign_up(
    address text, key text, place bytea, account_holder bytea, place_holder bytea,
    new_password_hash text, new_username text, new_locale text, guest uuid, asked_from jsonb
) returns uuid
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    owner public.users;
    kept uuid;
    is_new boolean := false;
    ends_at constant timestamptz := clock_timestamp() + app.life_of_code('CONFIRM_EMAIL');
begin
    update public.pending_sign_ups p
    set email = address, username = new_username, locale = new_locale, expires_at = ends_at
    where p.id = (select q.id from public.pending_sign_ups q
        where q.email_key = key and q.network_hash = place and q.password_hash = new_password_hash
            and q.guest_id is not distinct from guest
        order by q.created_at limit 1)
    returning p.id into kept;
    if kept is null then
        is_new := true;
        perform app.bound_sign_ups(key);
        insert into public.pending_sign_ups
            (email, email_key, network_hash, password_hash, username, locale, guest_id, expires_at)
        values (address, key, place, new_password_hash, new_username, new_locale, guest, ends_at)
        returning id into kept;
    end if;
    select * into owner from public.users u where u.email_key = key;
    if not app.may_mail_code('CONFIRM_EMAIL', account_holder, place_holder, null, is_new) then
        return kept;
    end if;
    if owner.id is null then
        perform app.mail_code('CONFIRM_EMAIL', null, kept, address, key, place, new_locale, asked_from);
    elsif owner.status = 'active' then
        perform app.queue_email('email_in_use', owner.email, owner.locale, owner.id, asked_from);
    end if;
    return kept;
end;
$$;

-- Somebody wants another address: its code is mailed there. Whoever has an account with it is told so.
create or replace function app.request_email_change(
    owner_id uuid, address text, key text, place bytea, account_holder bytea, place_holder bytea,
    asked_from jsonb
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    owner public.users;
    other public.users;
begin
    select * into owner from public.users u where u.id = owner_id;
    select * into other from public.users u where u.email_key = key and u.id <> owner_id;
    if owner.id is null or not app.may_mail_code('CHANGE_EMAIL', account_holder, place_holder, null) then
        return;
    end if;
    -- The newest request is the one that is meant.
    delete from public.one_time_codes c where c.user_id = owner_id and c.purpose = 'CHANGE_EMAIL'
        and c.email_key <> key;
    if other.id is null then
        perform app.mail_code('CHANGE_EMAIL', owner_id, null, address, key, place, owner.locale, asked_from);
    elsif other.status = 'active' then
        perform app.queue_email('email_wanted', other.email, other.locale, other.id, asked_from);
    end if;
end;
$$;

-- Counts a guess against the codes of an address (of a user, for a change of address) that still count,
-- and gives them: whoever compares them has counted first. A code is compared five times at most,
-- three of them for other networks than the one that asked for it: a stranger leaves its owner two.
create or replace function app.guess_code(wanted text, key text, owner_id uuid, place bytea)
returns table (code_id uuid, user_id uuid)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    guesses_each constant integer := 5;
    guesses_elsewhere_each constant integer := 3;
begin
    -- In one order, so that guesses made at once wait for each other.
    perform from public.one_time_codes c
    where c.purpose = wanted and (c.email_key = key or c.user_id = owner_id)
    order by c.id for update;
    return query update public.one_time_codes c
    set guesses = c.guesses + 1,
        guesses_elsewhere = c.guesses_elsewhere + (c.network_hash <> place)::integer
    where c.purpose = wanted and (c.email_key = key or c.user_id = owner_id)
        and c.expires_at > clock_timestamp() and c.guesses < guesses_each
        and (c.network_hash = place or c.guesses_elsewhere < guesses_elsewhere_each)
    returning c.id, c.user_id;
end;
$$;

-- Uses a code up; nothing when somebody was faster or its time is over. What belongs to one account or
-- address is locked first, so that what two codes do at once has an order.
create or replace function app.use_code(codes uuid[], wanted text, key text, owner_id uuid)
returns table (user_id uuid, sign_up_id uuid, email text, is_resent boolean)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    perform app.lock_codes(key, owner_id);
    return query delete from public.one_time_codes c
    where c.id = any (codes) and c.purpose = wanted and (c.email_key = key or c.user_id = owner_id)
        and c.expires_at > clock_timestamp()
    returning c.user_id, c.sign_up_id, c.email, c.is_resent;
end;
$$;

-- The first proof that an address is its account's owner's: takes from the account whatever was set up before,
-- by whoever typed the address first, and confirms it. Gives the sessions that end, and whether a password did;
-- null where the address was confirmed before, and nothing ends. What belongs to the account stays.
create or replace function app.claim_unconfirmed_account(
    claimed uuid, out ended_sessions uuid[], out password_ended boolean
)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    perform from public.users u
    where u.id = claimed and u.status = 'active' and u.email is not null and u.email_confirmed_at is null
    for no key update;
    if not found then
        return;
    end if;
    delete from public.credentials c where c.user_id = claimed;
    password_ended := found;
    delete from public.user_identities i where i.user_id = claimed;
    delete from public.totp_factors t where t.user_id = claimed;
    delete from public.recovery_codes r where r.user_id = claimed;
    delete from public.second_factor_challenges s where s.user_id = claimed;
    delete from public.passkeys p where p.user_id = claimed;
    delete from public.passkey_challenges p where p.user_id = claimed;
    delete from public.one_time_codes c where c.user_id = claimed;
    delete from public.api_keys k where k.user_id = claimed;
    with ended as (
        update public.sessions s
        set revoked_at = clock_timestamp(), revoked_reason = 'unconfirmed_account_claimed'
        where s.user_id = claimed and s.revoked_at is null returning s.id)
    select coalesce(array_agg(e.id), '{}') into ended_sessions from ended e;
    update public.users u set email_confirmed_at = clock_timestamp() where u.id = claimed;
end;
$$;

revoke execute on function
    app.life_of_code(text), app.takes_back(text), app.may_mail_code(text, bytea, bytea, bytea, boolean),
    app.mail_code(text, uuid, uuid, text, text, bytea, text, jsonb, boolean),
    app.request_code(text, text, bytea, bytea, bytea, text, bytea, jsonb),
    app.lock_codes(text, uuid), app.bound_sign_ups(text),
    app.begin_sign_up(text, text, bytea, bytea, bytea, text, text, text, uuid, jsonb),
    app.request_email_change(uuid, text, text, bytea, bytea, bytea, jsonb),
    app.guess_code(text, text, uuid, bytea), app.use_code(uuid[], text, text, uuid),
    app.claim_unconfirmed_account(uuid)
from public;
grant execute on function
    app.life_of_code(text), app.takes_back(text), app.may_mail_code(text, bytea, bytea, bytea, boolean),
    app.mail_code(text, uuid, uuid, text, text, bytea, text, jsonb, boolean),
    app.request_code(text, text, bytea, bytea, bytea, text, bytea, jsonb),
    app.lock_codes(text, uuid), app.bound_sign_ups(text),
    app.begin_sign_up(text, text, bytea, bytea, bytea, text, text, text, uuid, jsonb),
    app.request_email_change(uuid, text, text, bytea, bytea, bytea, jsonb),
    app.guess_code(text, text, uuid, bytea), app.use_code(uuid[], text, text, uuid),
    app.claim_unconfirmed_account(uuid)
to service;
