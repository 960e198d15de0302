-- Taking back what somebody did to the ways into an account who had no right to: with a code of the mail that told its
-- owner, or by a new password.

-- Puts out whoever got into an account, as its owner was told at a time: sessions, API keys and the password end, and
-- what else signs in if it was set up on the day before or since. What was there earlier stays, so that who reads the
-- mail alone does not pass a second factor. Codes end, but for those that take back what was done before.
create or replace function app.put_intruder_out(
    owner_id uuid, told_at timestamptz, reason text,
    out password_ended boolean, out ended_sessions uuid[]
)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    since constant timestamptz := told_at - interval '1 day';
begin
    delete from public.credentials c where c.user_id = owner_id;
    password_ended := found;
    delete from public.user_identities i where i.user_id = owner_id and i.created_at > since;
    perform app.end_added_factors(owner_id, since);
    delete from public.one_time_codes c where c.user_id = owner_id
        and (not app.takes_back(c.purpose) or c.created_at >= told_at);
    update public.api_keys k set revoked_at = clock_timestamp() where k.user_id = owner_id and k.revoked_at is null;
    with ended as (
        update public.sessions s set revoked_at = clock_timestamp(), revoked_reason = reason
        where s.user_id = owner_id and s.revoked_at is null returning s.id)
    select coalesce(array_agg(e.id), '{}') into ended_sessions from ended e;
end;
$$;

-- Ends the authenticator app, the passkeys and the recovery codes of a user that were added since a time, and what waits
-- for one; all recovery codes where nothing asks for them any more.
create or replace function app.end_added_factors(owner_id uuid, since timestamptz) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    delete from public.totp_factors t
    where t.user_id = owner_id and (t.confirmed_at is null or t.confirmed_at > since);
    delete from public.passkeys p where p.user_id = owner_id and p.created_at > since;
    delete from public.recovery_codes r
    where r.user_id = owner_id and (r.created_at > since or not app.asks_second_factor(owner_id));
    delete from public.second_factor_challenges s where s.user_id = owner_id;
    delete from public.passkey_challenges p where p.user_id = owner_id;
end;
$$;

-- Whether signing in to an account takes a second factor.
create or replace function app.asks_second_factor(owner_id uuid) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select from public.totp_factors t where t.user_id = owner_id and t.confirmed_at is not null)
        or exists (select from public.passkeys p where p.user_id = owner_id and p.is_second_factor);
$$;

-- What a password that was reset by mail does to passkeys that sign in by themselves: those end that were added within
-- the days in which the mail that told of them takes them back. With `also_older` all of them end where the account
-- asks for no second factor. What it asks for stays, so that reading its mail skips none (OWASP ASVS 5, 6.4.3).
-- Returns which ended, and the names of those that stay.
create or replace function app.end_passkeys_at_reset(
    owner_id uuid, also_older boolean, out ended_passkeys uuid[], out kept_passkeys text[]
)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    since timestamptz := clock_timestamp() - app.life_of_code('UNDO_ADDED_FACTOR');
begin
    with gone as (
        delete from public.passkeys p
        where p.user_id = owner_id and not p.is_second_factor
            and (p.created_at > since or also_older and not app.asks_second_factor(owner_id))
        returning p.id)
    select coalesce(array_agg(gone.id), '{}') into ended_passkeys from gone;
    delete from public.passkey_challenges c where c.user_id = owner_id;
    select coalesce(array_agg(p.name order by p.created_at, p.id), '{}') into kept_passkeys
    from public.passkeys p where p.user_id = owner_id;
end;
$$;

-- Mails the owner of an account that something was added which signs in to it (`change`), with a code that takes it
-- back where they have confirmed the address.
create or replace function app.tell_of_added_factor(owner_id uuid, change text, asked_from jsonb) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    owner public.users;
begin
    select * into owner from public.users u where u.id = owner_id and not u.is_anonymous;
    if owner.email_confirmed_at is not null and owner.email is not null then
        perform app.mail_code('UNDO_ADDED_FACTOR', owner_id, null, owner.email, owner.email_key, '', null,
            asked_from || jsonb_build_object('change', change));
    else
        perform app.queue_email('second_factor_changed', owner.email, null, owner_id,
            jsonb_build_object('change', change));
    end if;
end;
$$;

-- Takes back what was added to an account to sign in with, for who reads the mail that told of it. What was set up on
-- the day before ends as well, since whoever added this may have begun with something else. Null where the code counts
-- no more; `has_another_address` where the account left the mail's address since: then that is what is taken back first.
create or replace function app.undo_added_factor(
    wanted uuid, out user_id uuid, out has_another_address boolean, out password_ended boolean,
    out ended_sessions uuid[]
)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    code public.one_time_codes;
    account public.users;
begin
    select * into code from public.one_time_codes c where c.id = wanted and c.purpose = 'UNDO_ADDED_FACTOR';
    perform app.lock_codes(code.email_key, code.user_id);
    select * into account from public.users u where u.id = code.user_id and u.status = 'active';
    if account.id is null or not exists (
        select from public.one_time_codes c where c.id = wanted and c.expires_at > clock_timestamp()) then
        return;
    end if;
    user_id := account.id;
    has_another_address := account.email_key is distinct from code.email_key;
    if not has_another_address then
        select o.password_ended, o.ended_sessions into password_ended, ended_sessions
        from app.put_intruder_out(account.id, code.created_at, 'factor_undone') o;
    end if;
end;
$$;

-- Gives an account back the address that it had before a change, for who reads what was mailed there. Whoever had got
-- into it to change that gets out, with what they set up on the day before the change or since. Codes end, and so do
-- those that would take back later changes. Null where the code counts no more.
create or replace function app.undo_email_change(
    wanted uuid, out user_id uuid, out email text, out replaced text, out password_ended boolean,
    out ended_sessions uuid[]
)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    code public.one_time_codes;
    account public.users;
begin
    select * into code from public.one_time_codes c where c.id = wanted and c.purpose = 'UNDO_EMAIL_CHANGE';
    perform app.lock_codes(code.email_key, code.user_id);
    select * into account from public.users u where u.id = code.user_id and u.status = 'active';
    if account.id is null or not exists (
        select from public.one_time_codes c where c.id = wanted and c.expires_at > clock_timestamp()) then
        return;
    end if;
    select o.password_ended, o.ended_sessions into password_ended, ended_sessions
    from app.put_intruder_out(account.id, code.created_at, 'email_change_undone') o;
    update public.users u set email = code.email, email_key = code.email_key,
        email_confirmed_at = clock_timestamp(), updated_at = clock_timestamp()
    where u.id = account.id;
    user_id := account.id;
    email := code.email;
    replaced := account.email;
end;
$$;

revoke execute on function
    app.put_intruder_out(uuid, timestamptz, text), app.end_added_factors(uuid, timestamptz),
    app.asks_second_factor(uuid), app.end_passkeys_at_reset(uuid, boolean), app.tell_of_added_factor(uuid, text, jsonb),
    app.undo_added_factor(uuid), app.undo_email_change(uuid)
from public;
grant execute on function
    app.put_intruder_out(uuid, timestamptz, text), app.end_added_factors(uuid, timestamptz),
    app.asks_second_factor(uuid), app.end_passkeys_at_reset(uuid, boolean), app.tell_of_added_factor(uuid, text, jsonb),
    app.undo_added_factor(uuid), app.undo_email_change(uuid)
to service;
