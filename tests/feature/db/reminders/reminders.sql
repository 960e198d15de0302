-- Reminders.

-- Keeps words of the caller's, and has a worker send them.
create or replace function app.remind(words text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    made uuid;
begin
    insert into public.reminders (user_id, words) values (app.required_user_id(), remind.words)
    returning id into made;
    insert into queue.pgqueuer (priority, entrypoint, payload, status)
    values (0, 'send_reminder', convert_to(jsonb_build_object('reminder_id', made)::text, 'UTF8'), 'queued');
    return made;
end;
$$;

revoke execute on function app.remind(text) from public;
grant execute on function app.remind(text) to authenticated;
