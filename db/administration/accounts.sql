-- What admins and the operator do to the ways into an account: open one, set or reset a password, confirm an
-- address, end sessions. Each is noted with who did it, and from where where a request asked for it.

-- Opens a member's account, with or without a password. Who signed up with the address and waits for a code
-- waits no more: the account is there. The credits of signing up come with a confirmed address.
create or replace function app.add_user(
    given jsonb, given_by text, from_network text, from_device text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    added uuid;
    is_confirmed boolean := (given ->> 'is_confirmed')::boolean;
begin
    perform app.lock_codes(given ->> 'email_key', null);
    insert into public.users (email, email_key, email_confirmed_at, display_name, locale)
    values (given ->> 'email', given ->> 'email_key', case when is_confirmed then clock_timestamp() end,
            given ->> 'display_name', given ->> 'locale')
    returning id into added;
    delete from public.pending_sign_ups p where p.email_key = given ->> 'email_key';
    if given ->> 'password_hash' is not null then
        insert into public.credentials (user_id, password_hash) values (added, given ->> 'password_hash');
    end if;
    perform app.grant_sign_up_bonus(added, is_confirmed);
    insert into public.audit_log (user_id, action, detail, network, device)
    values (added, 'create_user', jsonb_build_object('by', given_by), from_network, from_device);
    perform app.notify(added, 'GENERAL', 'notifications.welcome.title', 'notifications.welcome.message', '{}');
    return added;
exception when unique_violation then
    perform app.refuse('EMAIL_IN_USE', 'An account with this e-mail address exists.',
        '{"path": ["input", "email"]}');
end;
$$;

-- Locks an account that has an address to sign in with, and gives what is known of it; refuses one that has none.
create or replace function app.enter_addressed_account(
    wanted uuid, out email text, out email_key text, out locale text, out status text, out is_confirmed boolean
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    select u.email, u.email_key, u.locale, u.status, u.email_confirmed_at is not null
    into email, email_key, locale, status, is_confirmed
    from public.users u where u.id = wanted for no key update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such user.', '{"path": ["input", "id"]}');
    elsif email_key is null then
        perform app.refuse('INVALID_STATE', 'The account has no e-mail address to sign in with.',
            '{"path": ["input", "id"]}');
    end if;
end;
$$;

-- Ends all sessions of a user, or one of them, and gives how many were open; NOT_FOUND where the one is not theirs.
create or replace function app.end_sessions_of(
    wanted uuid, only_session uuid, given_by text, from_network text, from_device text
) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    ended integer;
begin
    perform app.enter_account(wanted);
    if only_session is not null and not exists (
        select from public.sessions s where s.id = only_session and s.user_id = wanted) then
        perform app.refuse('NOT_FOUND', 'The user has no such session.', '{"path": ["input", "sessionId"]}');
    end if;
    update public.sessions s set revoked_at = clock_timestamp(), revoked_reason = 'ended_by_admin'
    where s.user_id = wanted and s.revoked_at is null and s.id = coalesce(only_session, s.id);
    get diagnostics ended = row_count;
    if ended > 0 then
        insert into public.audit_log (user_id, action, detail, network, device)
        values (wanted, 'sessions_ended', jsonb_build_object('by', given_by, 'sessions', ended),
                from_network, from_device);
    end if;
    return ended;
end;
$$;

-- Gives an account another password, or its first. As after a reset, its sessions, codes and API keys end, but
-- for codes that take a change of it back, and its owner is told by mail.
create or replace function app.replace_password(
    wanted uuid, new_hash text, given_by text, from_network text, from_device text
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    account record := app.enter_addressed_account(wanted);
begin
    insert into public.credentials as c (user_id, password_hash, updated_at)
    values (wanted, new_hash, clock_timestamp())
    on conflict (user_id) do update set password_hash = excluded.password_hash, updated_at = excluded.updated_at;
    delete from public.one_time_codes c where c.user_id = wanted and not app.takes_back(c.purpose);
    update public.api_keys k set revoked_at = clock_timestamp() where k.user_id = wanted and k.revoked_at is null;
    perform app.end_sessions(wanted, 'password_set_by_admin');
    insert into public.audit_log (user_id, action, detail, network, device)
    values (wanted, 'password_set', jsonb_build_object('by', given_by), from_network, from_device);
    perform app.queue_email('password_changed', account.email, account.locale, wanted, '{}');
end;
$$;

-- Mails a code for a new password to the account's address. It was asked for from no network of its owner's,
-- so it counts three guesses wherever they come from.
create or replace function app.mail_reset_code(
    wanted uuid, given_by text, from_network text, from_device text
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    account record := app.enter_addressed_account(wanted);
begin
    if account.status <> 'active' then
        perform app.refuse('INVALID_STATE', 'The account is locked: unlock it first.', '{"path": ["input", "id"]}');
    end if;
    perform app.mail_code('RESET_PASSWORD', wanted, null, account.email, account.email_key, '', account.locale, '{}');
    insert into public.audit_log (user_id, action, detail, network, device)
    values (wanted, 'reset_code_sent', jsonb_build_object('by', given_by), from_network, from_device);
end;
$$;

-- Notes that an account's address is its owner's, on an admin's or the operator's word; false when it was noted
-- already. What the account has stays, and it gets the credits that the terms still owe it.
create or replace function app.note_email_confirmed(
    wanted uuid, given_by text, from_network text, from_device text
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    account record := app.enter_addressed_account(wanted);
begin
    if account.is_confirmed then
        return false;
    end if;
    update public.users u set email_confirmed_at = clock_timestamp() where u.id = wanted;
    delete from public.one_time_codes c where c.user_id = wanted and c.purpose = 'CONFIRM_EMAIL';
    perform app.grant_sign_up_bonus(wanted, true);
    insert into public.audit_log (user_id, action, detail, network, device)
    values (wanted, 'email_confirmed', jsonb_build_object('by', given_by), from_network, from_device);
    return true;
end;
$$;

-- What admins call. Each returns the user.
create or replace function app.create_user(given jsonb, from_network text, from_device text) returns uuid
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select app.add_user(given, 'user_' || app.required_admin_id(), from_network, from_device);
$$;

create or replace function app.set_user_password(
    wanted uuid, new_hash text, from_network text, from_device text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
begin
    if admin_id = wanted then
        perform app.refuse('INVALID_STATE', 'Change your own password with changePassword.',
            '{"path": ["input", "id"]}');
    end if;
    perform app.replace_password(wanted, new_hash, 'user_' || admin_id, from_network, from_device);
    return wanted;
end;
$$;

create or replace function app.send_password_reset(wanted uuid, from_network text, from_device text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.mail_reset_code(wanted, 'user_' || app.required_admin_id(), from_network, from_device);
    return wanted;
end;
$$;

create or replace function app.confirm_user_email(wanted uuid, from_network text, from_device text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.note_email_confirmed(wanted, 'user_' || app.required_admin_id(), from_network, from_device);
    return wanted;
end;
$$;

create or replace function app.sign_out_user(
    wanted uuid, only_session uuid, from_network text, from_device text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.end_sessions_of(wanted, only_session, 'user_' || app.required_admin_id(), from_network, from_device);
    return wanted;
end;
$$;

revoke execute on function
    app.add_user(jsonb, text, text, text), app.enter_addressed_account(uuid),
    app.end_sessions_of(uuid, uuid, text, text, text), app.replace_password(uuid, text, text, text, text),
    app.mail_reset_code(uuid, text, text, text), app.note_email_confirmed(uuid, text, text, text),
    app.create_user(jsonb, text, text), app.set_user_password(uuid, text, text, text),
    app.send_password_reset(uuid, text, text), app.confirm_user_email(uuid, text, text),
    app.sign_out_user(uuid, uuid, text, text)
from public;
grant execute on function
    app.create_user(jsonb, text, text), app.set_user_password(uuid, text, text, text),
    app.send_password_reset(uuid, text, text), app.confirm_user_email(uuid, text, text),
    app.sign_out_user(uuid, uuid, text, text)
to authenticated;
