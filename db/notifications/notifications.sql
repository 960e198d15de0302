-- Notifications: what the server and admins tell users, as far as these want to be told.

-- Whether a user wants notifications of a type, by their `notification_preferences`. What these do
-- not name is wanted.
create or replace function app.wants_notification(preferences jsonb, notification_type text) returns boolean
language sql immutable parallel safe
return preferences -> case notification_type
    when 'OFFER' then 'promotions' when 'FEATURE' then 'featureUpdates' else 'generalAlerts' end
    is distinct from 'false'::jsonb;

-- Notifies a user, in the transaction of what it tells of. The keys are i18n keys; a placeholder `{name}` of
-- their texts stands for `name` in `data`, or for the text of the key that is in `nameKey`. Returns the
-- notification; null for who does not want such ones, and for an account that nobody signs in to any more.
create or replace function app.notify(user_id uuid, type text, title_key text, message_key text, data jsonb)
returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    added uuid;
begin
    insert into public.notifications (user_id, type, title_key, message_key, data)
    select u.id, notify.type, notify.title_key, notify.message_key, coalesce(notify.data, '{}')
    from public.users u
    where u.id = notify.user_id and u.status <> 'merged'
        and app.wants_notification(u.notification_preferences, notify.type)
    returning id into added;
    return added;
end;
$$;

-- Notifies the users among the next `at_most` accounts behind one who have been away for `absent_for`, once in
-- each absence, and not while the last time waits to be read. It looks a day back, for runs that were missed.
-- Returns the last account that was looked at; null at the end.
create or replace function app.notify_absent(behind uuid, at_most integer, absent_for interval) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    title constant text := 'notifications.welcomeBack.title';
    last_one uuid;
begin
    perform pg_advisory_xact_lock(hashtext('app.notify_absent'));  -- of two runs one sees what the other did
    last_one := (select u.id from (select id from public.users where id > behind order by id limit at_most) u
        order by u.id desc limit 1);
    perform app.notify(u.id, 'GENERAL', title, 'notifications.welcomeBack.message', null)
    from public.users u
    cross join lateral (select max(s.last_used_at) as at from public.sessions s where s.user_id = u.id) seen
    where u.id > behind and u.id <= last_one and u.status = 'active'
        and seen.at <= now() - absent_for and seen.at > now() - absent_for - interval '1 day'
        and not exists (select from public.account_deletions d where d.user_id = u.id)
        and not exists (select from public.notifications n
            where n.user_id = u.id and n.title_key = title and (n.created_at > seen.at or not n.read));
    return last_one;
end;
$$;

-- Marks the caller's notifications as read, those made `until` then, or all that are there. With its caller's
-- rights. Returns the caller.
create or replace function app.mark_all_notifications_read(until timestamptz) returns uuid
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
begin
    update public.notifications n set read = true
    where n.user_id = actor_id and not n.read and n.created_at <= coalesce(until, 'infinity');
    if not found and not exists (select from public.users u where u.id = actor_id) then
        perform app.refuse('UNAUTHENTICATED', 'The account of this token is gone; sign in again.');
    end if;
    return actor_id;
end;
$$;

-- Sends a user a notification and notes who sent it. Returns it, null when the user does not want such ones;
-- the same key returns the same one.
create or replace function app.send_notification(
    receiver_id uuid, notification_type text, title text, message text, placeholders jsonb, idempotency_key text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
    fingerprint bytea := sha256(convert_to(
        jsonb_build_array(receiver_id, notification_type, title, message, placeholders)::text, 'UTF8'));
    sent uuid;
begin
    perform app.check_idempotency_key(idempotency_key);
    perform from public.users u where u.id = admin_id for no key update;  -- one at a time
    sent := app.remembered_result(admin_id, 'send_notification', idempotency_key, fingerprint);
    if sent is not null then
        return sent;
    end if;
    if not exists (select from public.users u where u.id = receiver_id) then
        perform app.refuse('NOT_FOUND', 'There is no such user.', '{"path": ["input", "userId"]}');
    end if;
    sent := app.notify(receiver_id, notification_type, title, message, placeholders);
    if sent is null then
        return null;
    end if;
    insert into public.audit_log (user_id, action, detail)
    values (admin_id, 'send_notification',
            jsonb_build_object('to', 'user_' || receiver_id, 'notification', 'notification_' || sent));
    perform app.remember_result(admin_id, 'send_notification', idempotency_key, fingerprint, sent);
    return sent;
end;
$$;

revoke execute on function
    app.wants_notification(jsonb, text), app.notify(uuid, text, text, text, jsonb),
    app.notify_absent(uuid, integer, interval), app.mark_all_notifications_read(timestamptz),
    app.send_notification(uuid, text, text, text, jsonb, text)
from public;
grant execute on function
    app.notify(uuid, text, text, text, jsonb), app.notify_absent(uuid, integer, interval)
to service;
grant execute on function
    app.mark_all_notifications_read(timestamptz), app.send_notification(uuid, text, text, text, jsonb, text)
to authenticated;
