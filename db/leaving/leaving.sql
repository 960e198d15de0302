-- Leaving: an account is scheduled to be deleted, kept after all, or erased when its time has come; and
-- archives of all that a user has.

-- Refuses to delete an account that alone owns an organization of others. Their rows are locked in one
-- order, so that no owner leaves meanwhile.
create or replace function app.require_no_organization_left(leaving uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform from public.organizations o
    where o.id in (select m.organization_id from public.organization_members m
                   where m.user_id = leaving and m.role = 'OWNER')
    order by o.id for no key update;
    if exists (
        select from public.organization_members own join public.organizations o on o.id = own.organization_id
        where own.user_id = leaving and own.role = 'OWNER' and o.deletes_at is null
        and exists (select from public.organization_members m
                    where m.organization_id = own.organization_id and m.user_id <> leaving and not m.is_robot)
        and not exists (select from public.organization_members m
                        where m.organization_id = own.organization_id and m.user_id <> leaving
                        and m.role = 'OWNER')) then
        perform app.refuse('LAST_OWNER',
            'You are the only owner of an organization that has other members. Make one of them an owner first.');
    end if;
end;
$$;

-- Queues an e-mail to the owner of an account; to nobody, when it has no address. It goes with the
-- account while it waits, unless it is about one that is gone.
create or replace function app.mail_owner(owner_id uuid, template text, parameters jsonb, is_gone boolean default false)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.queue_email(template, u.email, to_jsonb(u) ->> 'locale', case when not is_gone then u.id end, parameters)
    from public.users u where u.id = owner_id and u.email is not null;
end;
$$;

-- Ends the archives of an account that nobody may sign in to: who has a link to one has all of it. Those that are
-- being made fail, and the files of those that are there go.
create or replace function app.end_exports(leaving uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    ended record;
begin
    for ended in
        select e.id, e.path from public.data_exports e
        where e.user_id = leaving and e.status in ('QUEUED', 'RUNNING', 'READY') order by e.id for update
    loop
        update public.data_exports e set status = case when ended.path is null then 'FAILED' else 'EXPIRED' end,
            path = null, finished_at = coalesce(e.finished_at, clock_timestamp())
        where e.id = ended.id;
        if ended.path is not null then
            perform app.enqueue_once('remove_archive', jsonb_build_object('path', ended.path), 'archive:' || ended.path);
        end if;
    end loop;
end;
$$;

-- Trigger: an account was locked, or became a part of another one.
create or replace function app.end_exports_of_account() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.end_exports(new.id);
    return null;
end;
$$;

-- Schedules the deletion of an account, ends its archives, its API keys and its sessions, which it returns, and
-- disconnects its partners until it comes back. Here and
-- below `place` has the network and the device that asked for it. One that is scheduled
-- already keeps its time, unless the new one is earlier. Without grace the erasing is queued at once. The last admin
-- is refused; all admins are locked before, so that two of them cannot leave at once.
create or replace function app.schedule_deletion(
    leaving uuid, grace interval, place jsonb, out deletes_at timestamptz, out ended_sessions uuid[]
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    before timestamptz;
    admin_remains boolean := app.admin_remains_without(leaving);
    account public.users;
begin
    select * into account from public.users u where u.id = leaving for no key update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such user.');
    elsif account.status = 'merged' then
        perform app.refuse('INVALID_STATE', 'This guest is part of another account, and goes with that one.');
    elsif account.role = 'admin' and not admin_remains then
        perform app.refuse_last_admin();
    end if;
    perform app.require_no_organization_left(leaving);
    select d.deletes_at into before from public.account_deletions d where d.user_id = leaving;
    insert into public.account_deletions as d (user_id, deletes_at) values (leaving, now() + grace)
    on conflict (user_id) do update set deletes_at = least(d.deletes_at, excluded.deletes_at)
    returning d.deletes_at into schedule_deletion.deletes_at;
    with ended as (
        update public.sessions s set revoked_at = clock_timestamp(), revoked_reason = 'account_deleted'
        where s.user_id = leaving and s.revoked_at is null returning s.id)
    select coalesce(array_agg(e.id), '{}') into ended_sessions from ended e;
    update public.api_keys k set revoked_at = clock_timestamp() where k.user_id = leaving and k.revoked_at is null;
    perform app.end_exports(leaving);
    perform app.pause_partners(leaving);
    insert into public.audit_log (user_id, action, detail, network, device)
    values (leaving, 'deletion_scheduled', jsonb_build_object('deletesAt', schedule_deletion.deletes_at),
            place ->> 'network', place ->> 'device');
    if schedule_deletion.deletes_at <= now() then
        perform app.enqueue_erasing(leaving);
    elsif before is distinct from schedule_deletion.deletes_at then
        perform app.mail_owner(leaving, 'account_deletion_scheduled',
            jsonb_build_object('delete_at', schedule_deletion.deletes_at));
    end if;
end;
$$;

-- Takes the deletion of an account back; false when there is none. One that is being erased is refused,
-- whoever may have unlocked it.
create or replace function app.cancel_deletion(returning_user uuid, place jsonb) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from public.account_deletions d where d.user_id = returning_user and d.began_at is null;
    if found then
        perform app.resume_partners(returning_user);
        insert into public.audit_log (user_id, action, network, device)
        values (returning_user, 'deletion_cancelled', place ->> 'network', place ->> 'device');
        perform app.mail_owner(returning_user, 'account_deletion_cancelled', '{}');
        return true;
    elsif exists (select from public.account_deletions d where d.user_id = returning_user) then
        perform app.refuse('INVALID_CREDENTIALS', 'The e-mail address or the password is not right.');
    end if;
    return false;
end;
$$;

-- Queues the erasing of an account; one that is queued or running already is enough.
create or replace function app.enqueue_erasing(leaving uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select app.enqueue_once('erase_account', jsonb_build_object('user_id', leaving), 'erase:' || leaving);
$$;

-- Queues the erasing of every account whose time has come. Returns how many there are.
create or replace function app.enqueue_due_erasings() returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    due uuid;
    found_due integer := 0;
begin
    for due in select d.user_id from public.account_deletions d where d.deletes_at <= now()
        order by d.deletes_at limit 1000
    loop
        perform app.enqueue_erasing(due);
        found_due := found_due + 1;
    end loop;
    return found_due;
end;
$$;

-- Begins to erase an account whose time has come, so that nobody can sign in any more; true, too, when
-- that had begun. Whoever is signing in right now has either cancelled it before, or is refused. With it
-- go the guests who were merged into it, each by a job of its own: of the account's files some are theirs.
-- An admin who has become the last one meanwhile, by what the operator did, is refused until there is another.
create or replace function app.begin_erasing(leaving uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not app.admin_remains_without(leaving) and exists (
        select from public.users u join public.account_deletions d on d.user_id = u.id
        where u.id = leaving and u.role = 'admin' and d.began_at is null and d.deletes_at <= now()) then
        perform app.refuse_last_admin();
    end if;
    update public.account_deletions d set began_at = coalesce(d.began_at, clock_timestamp())
    where d.user_id = leaving and d.deletes_at <= now();
    if not found then
        return false;
    end if;
    update public.users u set status = 'locked' where u.id = leaving and u.status = 'active';
    insert into public.account_deletions (user_id, deletes_at, began_at)
    select m.guest_id, now(), clock_timestamp() from public.guest_merges m where m.user_id = leaving
    on conflict do nothing;
    perform app.enqueue_erasing(m.guest_id) from public.guest_merges m where m.user_id = leaving;
    update public.sessions s set revoked_at = clock_timestamp(), revoked_reason = 'account_deleted'
    where s.user_id = leaving and s.revoked_at is null;
    return true;
end;
$$;

-- Removes an account of which nothing else is left, and has its files removed; false when it is gone
-- already. The lock keeps everybody from writing rows of the user; what came since the last piece goes, too.
create or replace function app.finish_erasing(leaving uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform from public.users u where u.id = leaving for update;
    if not found then
        return false;
    end if;
    while app.erase_rows(leaving, 1000) > 0 loop
    end loop;
    perform app.mail_owner(leaving, 'account_deleted', '{}', true);
    delete from public.users u where u.id = leaving;
    insert into public.audit_log (action) values ('account_erased');
    perform app.enqueue_once('delete_user_files', jsonb_build_object('user_id', leaving), 'files:' || leaving);
    return true;
end;
$$;

-- Asks for an archive of all that the actor has; the one that is being made, if there is one.
create or replace function app.request_export(place jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    most_a_day constant integer := 2;
    actor_id uuid := app.required_user_id();
    wanted uuid;
    oldest timestamptz;
begin
    perform from public.users u where u.id = actor_id and u.status = 'active' for no key update;
    if not found or exists (select from public.account_deletions d where d.user_id = actor_id) then
        perform app.refuse_nobody();
    end if;
    select e.id into wanted from public.data_exports e
    where e.user_id = actor_id and e.status in ('QUEUED', 'RUNNING');
    if found then
        return wanted;
    end if;
    if (select count(*) >= most_a_day from public.data_exports e where e.user_id = actor_id
        and e.status <> 'FAILED' and e.created_at > now() - interval '1 day') then
        select min(e.created_at) into oldest from (
            select e.created_at from public.data_exports e where e.user_id = actor_id and e.status <> 'FAILED'
            order by e.created_at desc limit most_a_day) e;
        perform app.refuse('RATE_LIMITED', format('There are %s archives a day. Fetch the last one, or wait.', most_a_day),
            jsonb_build_object('retry_after_seconds',
                ceil(extract(epoch from oldest + interval '1 day' - now()))::integer));
    end if;
    insert into public.data_exports (user_id) values (actor_id) returning id into wanted;
    perform app.enqueue('export_data', jsonb_build_object('export_id', wanted), 'export:' || wanted);
    insert into public.audit_log (user_id, action, network, device)
    values (actor_id, 'export_requested', place ->> 'network', place ->> 'device');
    return wanted;
end;
$$;

-- An archive is in storage, good for a while; it takes the place of the user's earlier ones, whose files
-- it returns. Null when another worker has taken over, or the account is gone.
create or replace function app.finish_export(
    wanted uuid, fenced_attempt integer, archive_path text, archive_bytes bigint
) returns text[]
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    lasts constant interval := '7 days';
    finished public.data_exports;
    replaced text[];
begin
    update public.data_exports e set status = 'READY', path = archive_path, size_bytes = archive_bytes,
        finished_at = clock_timestamp(), expires_at = clock_timestamp() + lasts
    where e.id = wanted and e.status = 'RUNNING' and e.attempts = fenced_attempt returning * into finished;
    if not found then
        return null;
    end if;
    perform app.mail_owner(finished.user_id, 'export_ready', jsonb_build_object('expires_at', finished.expires_at));
    with earlier as (
        select e.id, e.path from public.data_exports e
        where e.user_id = finished.user_id and e.status = 'READY' and e.id <> wanted for update),
    expired as (
        update public.data_exports e set status = 'EXPIRED', path = null from earlier where e.id = earlier.id)
    select coalesce(array_agg(earlier.path), '{}') into replaced from earlier;
    return replaced;
end;
$$;

-- Ends the archives whose time is over, and returns their files.
create or replace function app.expire_exports(at_most integer) returns text[]
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    files text[];
begin
    with overdue as (
        select e.id, e.path from public.data_exports e where e.status = 'READY' and e.expires_at <= now()
        order by e.expires_at limit at_most for update skip locked),
    expired as (
        update public.data_exports e set status = 'EXPIRED', path = null from overdue where e.id = overdue.id)
    select coalesce(array_agg(overdue.path), '{}') into files from overdue;
    return files;
end;
$$;

revoke execute on function app.mail_owner(uuid, text, jsonb, boolean),
    app.require_no_organization_left(uuid), app.schedule_deletion(uuid, interval, jsonb),
    app.cancel_deletion(uuid, jsonb), app.end_exports(uuid), app.end_exports_of_account(),
    app.enqueue_erasing(uuid), app.enqueue_due_erasings(), app.begin_erasing(uuid),
    app.finish_erasing(uuid), app.request_export(jsonb), app.finish_export(uuid, integer, text, bigint),
    app.expire_exports(integer)
from public;
grant execute on function app.request_export(jsonb) to authenticated;
grant execute on function app.schedule_deletion(uuid, interval, jsonb), app.cancel_deletion(uuid, jsonb),
    app.enqueue_due_erasings(), app.begin_erasing(uuid), app.finish_erasing(uuid),
    app.finish_export(uuid, integer, text, bigint), app.expire_exports(integer)
to service;
