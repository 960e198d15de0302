-- Broadcasts: one notification to many users, some at a time, each user exactly once.

-- The first users of a broadcast's segment whose ids lie behind `behind` and not behind `up_to`, in the order of
-- their ids, and whether they want such notifications. Accounts that are leaving, locked or younger than
-- the broadcast are none of them. A language stands for all its variants; who chose none has English.
create or replace function app.segment_users(wanted uuid, behind uuid, up_to uuid, at_most integer)
returns table (user_id uuid, is_wanted boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    b public.broadcasts;
begin
    select * into b from public.broadcasts where broadcasts.id = wanted;
    return query
        select u.id, app.wants_notification(u.notification_preferences, b.type)
        from public.users u
        where u.id > behind and u.id <= up_to and u.status = 'active' and u.created_at <= b.created_at
            and (b.audience = 'EVERYBODY' or u.is_anonymous = (b.audience = 'GUESTS'))
            and (b.plan_ids is null or u.plan_id = any (b.plan_ids))
            and (b.locales is null or coalesce(u.locale, 'en') = any (b.locales)
                or split_part(coalesce(u.locale, 'en'), '-', 1) = any (b.locales))
            and (b.active_since is null or exists (
                select from public.sessions s where s.user_id = u.id and s.last_used_at >= b.active_since))
            and (b.inactive_since is null or u.created_at < b.inactive_since and not exists (
                select from public.sessions s where s.user_id = u.id and s.last_used_at >= b.inactive_since))
            and not exists (select from public.account_deletions d where d.user_id = u.id)
        order by u.id limit at_most;
end;
$$;

-- Puts a broadcast in line, unless it is. Whatever somebody waits for comes first.
create or replace function app.enqueue_broadcast(wanted uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select app.enqueue_once('send_broadcast', jsonb_build_object('broadcast_id', wanted), 'broadcast:' || wanted, -10);
$$;

-- Refuses a key that has no text in any language: everybody would be shown the key.
create or replace function app.refuse_unknown_text(field text, wanted_key text) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from public.translations t where t.key = wanted_key) then
        perform app.refuse('BAD_USER_INPUT',
            format('%s has no text in any language. Add one with setTranslation.', field),
            jsonb_build_object('path', array['input', field]));
    end if;
end;
$$;

-- Makes a broadcast on behalf of an admin, notes who did, and puts it in line. Returns it; the same key
-- returns the same one. `given` are its columns.
create or replace function app.broadcast_notification(given jsonb, idempotency_key text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
    fingerprint bytea := sha256(convert_to(given::text, 'UTF8'));
    b public.broadcasts := jsonb_populate_record(null::public.broadcasts, given);
    made uuid;
begin
    perform app.check_idempotency_key(idempotency_key);
    perform from public.users u where u.id = admin_id for no key update;  -- one at a time
    made := app.remembered_result(admin_id, 'broadcast_notification', idempotency_key, fingerprint);
    if made is not null then
        return made;
    end if;
    perform app.refuse_unknown_text('titleKey', b.title_key);
    perform app.refuse_unknown_text('messageKey', b.message_key);
    if exists (select from unnest(b.plan_ids) as named (id)
        where not exists (select from public.plans p where p.id = named.id)) then
        perform app.refuse('NOT_FOUND', 'There is no such plan.', '{"path": ["input", "segment", "planIds"]}');
    end if;
    perform pg_advisory_xact_lock(hashtext('app.broadcasts'));
    if (select count(*) from public.broadcasts w where w.status in ('QUEUED', 'RUNNING')) >= 20 then
        perform app.refuse('LIMIT_EXCEEDED',
            'At most 20 broadcasts wait or run at a time. Cancel one, or wait until one has finished.');
    end if;
    insert into public.broadcasts (sent_by, type, title_key, message_key, data, audience, plan_ids, locales,
        active_since, inactive_since)
    values (admin_id, b.type, b.title_key, b.message_key, b.data, b.audience, b.plan_ids, b.locales,
        b.active_since, b.inactive_since)
    returning id into made;
    insert into public.audit_log (user_id, action, detail)
    values (admin_id, 'broadcast_notification', jsonb_build_object('broadcast', 'broadcast_' || made));
    perform app.enqueue_broadcast(made);
    perform app.remember_result(admin_id, 'broadcast_notification', idempotency_key, fingerprint, made);
    return made;
end;
$$;

-- Stops a broadcast on behalf of an admin; who was notified stays so. Again, it changes nothing.
create or replace function app.cancel_broadcast(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
    b public.broadcasts;
begin
    select * into b from public.broadcasts where broadcasts.id = wanted for no key update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such broadcast.', '{"path": ["input", "id"]}');
    elsif b.status in ('FINISHED', 'FAILED') then
        perform app.refuse('INVALID_STATE', 'This broadcast has ended.', '{"path": ["input", "id"]}');
    elsif b.status <> 'CANCELLED' then
        update public.broadcasts set status = 'CANCELLED', finished_at = clock_timestamp()
        where broadcasts.id = wanted;
        insert into public.audit_log (user_id, action, detail)
        values (admin_id, 'cancel_broadcast', jsonb_build_object('broadcast', 'broadcast_' || wanted));
    end if;
    return wanted;
end;
$$;

-- Begins a broadcast: counts its users once. False when there is nothing to do any more.
create or replace function app.begin_broadcast(wanted uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    b public.broadcasts;
begin
    select * into b from public.broadcasts where broadcasts.id = wanted for no key update;
    if b.status = 'QUEUED' then
        update public.broadcasts
        set status = 'RUNNING', started_at = clock_timestamp(),
            user_count = (select count(*) from app.segment_users(wanted, b.position,
                'ffffffff-ffff-ffff-ffff-ffffffffffff', null))
        where broadcasts.id = wanted;
        return true;
    end if;
    return coalesce(b.status = 'RUNNING', false);
end;
$$;

-- Notifies at most so many users of a broadcast, looking at no more than `window_size` accounts, and notes in the
-- same transaction how far it is. Workers that meet here go one after the other. Returns whether there
-- is more to do.
create or replace function app.send_broadcast_batch(wanted uuid, at_most integer, window_size integer)
returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    b public.broadcasts;
    window_end uuid;
    reached uuid[];
    unwanted integer;
    sent integer;
    is_last boolean;
begin
    select * into b from public.broadcasts where broadcasts.id = wanted for no key update;
    if b.status is distinct from 'RUNNING' then
        return false;
    end if;
    window_end := (select u.id from public.users u where u.id > b.position order by u.id
        offset window_size - 1 limit 1);
    select array_agg(s.user_id order by s.user_id) filter (where s.is_wanted),
        count(*) filter (where not s.is_wanted), count(*) < at_most,
        coalesce((array_agg(s.user_id order by s.user_id desc))[1], b.position)
    into reached, unwanted, is_last, b.position
    from app.segment_users(wanted, b.position,
        coalesce(window_end, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), at_most) s;
    -- Locked as the foreign key does it, so that who is being deleted is left out and fails nothing.
    with there as (
        select u.id from public.users u where u.id = any (reached) order by u.id for key share
    ), added as (
        insert into public.notifications (user_id, type, title_key, message_key, data, broadcast_id)
        select t.id, b.type, b.title_key, b.message_key, b.data, wanted from there t order by t.id
        on conflict do nothing returning 1
    )
    select count(*) into sent from added;
    if is_last and window_end is not null then
        b.position := window_end;
    end if;
    is_last := is_last and window_end is null;
    update public.broadcasts w
    set position = b.position, sent_count = w.sent_count + sent, unwanted_count = w.unwanted_count + unwanted,
        failures = 0, status = case when is_last then 'FINISHED' else w.status end,
        finished_at = case when is_last then clock_timestamp() end
    where w.id = wanted;
    return not is_last;
end;
$$;

-- Notes that a broadcast could not be gone on with; after ten times in a row it has failed. It is tried again
-- by the schedule. Returns whether it has failed for good.
create or replace function app.note_broadcast_failure(wanted uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    has_failed boolean;
begin
    update public.broadcasts w
    set failures = w.failures + 1, status = case when w.failures >= 9 then 'FAILED' else w.status end,
        finished_at = case when w.failures >= 9 then clock_timestamp() end
    where w.id = wanted and w.status in ('QUEUED', 'RUNNING') returning w.status = 'FAILED' into has_failed;
    return coalesce(has_failed, false);
end;
$$;

-- Puts every broadcast in line that has not ended. Returns how many there are.
create or replace function app.enqueue_unfinished_broadcasts() returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    unfinished uuid;
    found_unfinished integer := 0;
begin
    for unfinished in select w.id from public.broadcasts w
        where w.status in ('QUEUED', 'RUNNING') order by w.created_at
    loop
        perform app.enqueue_broadcast(unfinished);
        found_unfinished := found_unfinished + 1;
    end loop;
    return found_unfinished;
end;
$$;

revoke execute on function
    app.refuse_unknown_text(text, text),
    app.segment_users(uuid, uuid, uuid, integer), app.enqueue_broadcast(uuid), app.broadcast_notification(jsonb, text),
    app.cancel_broadcast(uuid), app.begin_broadcast(uuid), app.send_broadcast_batch(uuid, integer, integer),
    app.note_broadcast_failure(uuid), app.enqueue_unfinished_broadcasts()
from public;
grant execute on function app.broadcast_notification(jsonb, text), app.cancel_broadcast(uuid) to authenticated;
grant execute on function
    app.begin_broadcast(uuid), app.send_broadcast_batch(uuid, integer, integer),
    app.note_broadcast_failure(uuid), app.enqueue_unfinished_broadcasts()
to service;
