-- Messages that admins send.

-- Sends a user a notification and notes who sent it. Returns it; the same key returns the same one.
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
    insert into public.notifications (user_id, type, title_key, message_key, data)
    values (receiver_id, notification_type, title, message, placeholders) returning id into sent;
    insert into public.audit_log (user_id, action, detail)
    values (admin_id, 'send_notification',
            jsonb_build_object('to', 'user_' || receiver_id, 'notification', 'notification_' || sent));
    perform app.remember_result(admin_id, 'send_notification', idempotency_key, fingerprint, sent);
    return sent;
end;
$$;

revoke execute on function app.send_notification(uuid, text, text, text, jsonb, text) from public;
grant execute on function app.send_notification(uuid, text, text, text, jsonb, text) to authenticated;
