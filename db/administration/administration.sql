-- What admins and the operator do to accounts: promote, demote, lock, unlock and delete. Each is noted with
-- who did it, and from where where a request asked for it. Whatever may leave the deployment without
-- an admin locks all admins first, in one order, so that two of them cannot do it at once.

-- Ends every session of a user; all nodes learn of it within seconds.
create or replace function app.end_sessions(of_user uuid, reason text) returns void
language sql volatile set search_path = pg_catalog, pg_temp as $$
    update public.sessions s set revoked_at = clock_timestamp(), revoked_reason = reason
    where s.user_id = of_user and s.revoked_at is null;
$$;

-- Locks the account that is to be changed; NOT_FOUND where there is none.
create or replace function app.enter_account(wanted uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform from public.users u where u.id = wanted for no key update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such user.', '{"path": ["input", "id"]}');
    end if;
end;
$$;

-- Makes a user an admin or takes it away; false when it was so already. Who is none any more is signed
-- out, since their tokens say otherwise.
create or replace function app.set_user_role(
    wanted uuid, new_role text, given_by text, from_network text, from_device text
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    account public.users;
begin
    perform app.enter_account(wanted);
    select * into account from public.users u where u.id = wanted;
    if account.role = new_role then
        return false;
    end if;
    if new_role = 'admin' and account.is_anonymous then
        perform app.refuse('BAD_USER_INPUT', 'A guest cannot be an admin. They sign up first.',
            '{"path": ["input", "id"]}');
    end if;
    update public.users u set role = new_role, updated_at = clock_timestamp() where u.id = wanted;
    if new_role <> 'admin' then
        perform app.end_sessions(wanted, 'demoted');
    end if;
    insert into public.audit_log (user_id, action, detail, network, device)
    values (wanted, case new_role when 'admin' then 'promote' else 'demote' end,
            jsonb_build_object('by', given_by), from_network, from_device);
    return true;
end;
$$;

-- Locks an account, which ends its sessions, or unlocks it; false when it was so already.
create or replace function app.set_user_locked(
    wanted uuid, is_locked boolean, given_by text, from_network text, from_device text
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    new_status text := case when is_locked then 'locked' else 'active' end;
begin
    perform app.enter_account(wanted);
    if exists (select from public.users u where u.id = wanted and u.status = 'merged') then
        perform app.refuse('INVALID_STATE', 'This guest is part of another account, where nobody signs in to them.',
            '{"path": ["input", "id"]}');
    end if;
    update public.users u set status = new_status, updated_at = clock_timestamp()
    where u.id = wanted and u.status = case when is_locked then 'active' else 'locked' end;
    if not found then
        return false;
    end if;
    if is_locked then
        perform app.end_sessions(wanted, 'account_locked');
    end if;
    insert into public.audit_log (user_id, action, detail, network, device)
    values (wanted, case when is_locked then 'account_locked' else 'account_unlocked' end,
            jsonb_build_object('by', given_by), from_network, from_device);
    return true;
end;
$$;

-- Has an account deleted after a while; its sessions end.
create or replace function app.set_user_leaving(
    wanted uuid, grace interval, given_by text, from_network text, from_device text
) returns timestamptz
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    account_deletes_at timestamptz;
begin
    -- Before the account: whoever takes away an admin locks them in one order.
    perform app.admin_remains_without(wanted);
    perform app.enter_account(wanted);
    select s.deletes_at into account_deletes_at from app.schedule_deletion(wanted, grace,
        jsonb_build_object('network', from_network, 'device', from_device)) s;
    insert into public.audit_log (user_id, action, detail, network, device)
    values (wanted, 'delete_user', jsonb_build_object('by', given_by), from_network, from_device);
    return account_deletes_at;
end;
$$;

-- Locks all admins and an account, then tells whether an admin other than that one remains: who can sign
-- in, and whose own account is not to be deleted.
create or replace function app.admin_remains_without(wanted uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform from public.users u where u.role = 'admin' or u.id = wanted order by u.id for no key update;
    return exists (select from public.users u
        where u.role = 'admin' and u.status = 'active' and u.id is distinct from wanted
        and not exists (select from public.account_deletions d where d.user_id = u.id));
end;
$$;

-- The refusal to take away the last admin.
create or replace function app.refuse_last_admin() returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    perform app.refuse('LAST_ADMIN', 'There must be an admin who can sign in. Promote somebody else first.');
end;
$$;

-- The admin who asks, once all admins are locked; refuses to take away the last who can sign in.
create or replace function app.enter_admins(wanted uuid) returns uuid
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform app.required_admin_id();
    if not app.admin_remains_without(wanted) then
        perform app.refuse_last_admin();
    end if;
    -- Again: another may have demoted the one who asks while they waited.
    return app.required_admin_id();
end;
$$;

-- What admins call. Each returns the user.
create or replace function app.promote_user(wanted uuid, from_network text, from_device text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.set_user_role(wanted, 'admin', 'user_' || app.required_admin_id(), from_network, from_device);
    return wanted;
end;
$$;

create or replace function app.demote_user(wanted uuid, from_network text, from_device text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.set_user_role(wanted, 'user', 'user_' || app.enter_admins(wanted), from_network, from_device);
    return wanted;
end;
$$;

create or replace function app.lock_user(wanted uuid, from_network text, from_device text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.set_user_locked(wanted, true, 'user_' || app.enter_admins(wanted), from_network, from_device);
    return wanted;
end;
$$;

create or replace function app.unlock_user(wanted uuid, from_network text, from_device text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.set_user_locked(wanted, false, 'user_' || app.required_admin_id(), from_network, from_device);
    return wanted;
end;
$$;

create or replace function app.delete_user(
    wanted uuid, grace interval, from_network text, from_device text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.set_user_leaving(wanted, grace, 'user_' || app.enter_admins(wanted), from_network, from_device);
    return wanted;
end;
$$;

revoke execute on function
    app.set_user_leaving(uuid, interval, text, text, text), app.delete_user(uuid, interval, text, text),
    app.end_sessions(uuid, text), app.enter_account(uuid), app.enter_admins(uuid),
    app.admin_remains_without(uuid), app.refuse_last_admin(),
    app.set_user_role(uuid, text, text, text, text), app.set_user_locked(uuid, boolean, text, text, text),
    app.promote_user(uuid, text, text), app.demote_user(uuid, text, text),
    app.lock_user(uuid, text, text), app.unlock_user(uuid, text, text)
from public;
grant execute on function
    app.promote_user(uuid, text, text), app.demote_user(uuid, text, text),
    app.lock_user(uuid, text, text), app.unlock_user(uuid, text, text),
    app.delete_user(uuid, interval, text, text)
to authenticated;
