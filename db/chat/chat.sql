-- Chats about profiles: a message and the run that writes its reply, the pieces of replies, calling one off.

-- What is there of a message by now: of a reply that is being written, the pieces so far. It has its caller's
-- rights, so that row-level security holds.
create or replace function app.chat_written(wanted uuid) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when m.status not in ('QUEUED', 'RUNNING') then m.text else coalesce(
        (select string_agg(c.text, '' order by c.number) from public.chat_chunks c where c.message_id = m.id), '') end
    from public.chat_messages m where m.id = wanted;
$$;

-- Sends a message about a profile of the actor's, holds what the reply may cost, and returns the reply, which
-- waits for a worker. The same key returns the same reply.
create or replace function app.send_chat_message(profile_id uuid, message text, idempotency_key text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    fingerprint bytea := sha256(convert_to(jsonb_build_array(profile_id, message)::text, 'UTF8'));
    question uuid := app.uuid_v7();
    reply uuid;
begin
    perform app.check_idempotency_key(idempotency_key);
    perform app.lock_wallet(actor_id);
    reply := app.remembered_result(actor_id, 'send_chat_message', idempotency_key, fingerprint);
    if reply is not null then
        return reply;
    end if;
    -- Locked, so that it is not deleted before the messages are there.
    perform from public.profiles p
    where p.id = send_chat_message.profile_id and p.user_id = actor_id for key share;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such profile.', '{"path": ["input", "profileId"]}');
    elsif exists (select from public.chat_messages m
        where m.profile_id = send_chat_message.profile_id and m.status in ('QUEUED', 'RUNNING')) then
        perform app.refuse('INVALID_STATE',
            'The last reply of this chat is still being written. Wait for it, or call cancelChatReply.');
    end if;
    reply := app.uuid_v7();
    insert into public.chat_messages (id, user_id, profile_id, role, text, created_at)
    values (question, actor_id, send_chat_message.profile_id, 'USER', message, clock_timestamp());
    insert into public.chat_messages (id, user_id, profile_id, question_id, role, status, created_at)
    values (reply, actor_id, send_chat_message.profile_id, question, 'ASSISTANT', 'QUEUED', clock_timestamp());
    perform app.open_ai_run(actor_id, reply, 'CHAT');
    perform app.remember_result(actor_id, 'send_chat_message', idempotency_key, fingerprint, reply);
    return reply;
end;
$$;

-- Calls off a reply of the actor's and returns it: what was written by then stays and is paid for, nothing is
-- charged before the first word. Doing it twice changes nothing more; one that has ended stays as it is.
create or replace function app.cancel_chat_reply(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    run public.ai_runs;
    written integer;
    asked integer;
begin
    perform app.lock_wallet(actor_id);
    select length(q.text) into asked
    from public.chat_messages m join public.chat_messages q on q.id = m.question_id
    where m.id = wanted and m.user_id = actor_id;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such reply.', '{"path": ["input", "id"]}');
    end if;
    select * into run from public.ai_runs r
    where r.id = wanted and r.user_id = actor_id and r.status in ('QUEUED', 'RUNNING') for update;
    if found then
        written := length(app.chat_written(wanted));
        -- Nobody has counted the tokens yet: a token is about four characters.
        perform app.call_off_ai_run(run,
            case when written > 0 then ceil((asked + written) / 4.0)::integer else 0 end);
    end if;
    return wanted;
end;
$$;

-- Shows how a reply's run stands; one that has ended has its whole text, or what was written of it, and its
-- pieces go. False when the reply was deleted.
create or replace function app.show_chat_reply(
    run public.ai_runs, made_text text, offline boolean, code text, message text
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.chat_messages m
    set status = run.status, credits_charged = run.credits_charged, made_offline = offline,
        error_code = code, error_message = message, finished_at = run.finished_at,
        text = case when run.finished_at is null then m.text else coalesce(made_text, app.chat_written(m.id)) end
    where m.id = run.id;
    if found and run.finished_at is not null then
        delete from public.chat_chunks c where c.message_id = run.id;
    end if;
    return found or run.finished_at is not null;
end;
$$;

-- Keeps the next pieces of replies, for several at once, and tells each to who watches the reply: an event has
-- the reply as it is, and the piece under `delta`. A piece that is there already is not told again. Returns the
-- replies that their attempts may go on with.
create or replace function app.append_chat_chunks(
    replies uuid[], attempts integer[], numbers integer[], texts text[]
) returns table (reply uuid)
language sql security definer set search_path = pg_catalog, pg_temp as $$
    with alive as materialized (
        -- Whoever ends a run waits for this, and sees the pieces then.
        select g.reply, g.number, g.text, m.user_id, to_jsonb(m) - array['device_id', 'position'] as shown
        from unnest(replies, attempts, numbers, texts) as g (reply, attempt, number, text)
        join public.ai_runs r on r.id = g.reply and r.attempts = g.attempt and r.status = 'RUNNING'
        join public.chat_messages m on m.id = g.reply
        order by r.id for share of r
    ), kept as (
        insert into public.chat_chunks (message_id, number, user_id, text)
        select a.reply, a.number, a.user_id, a.text from alive a
        on conflict do nothing returning message_id
    ), told as (
        insert into public.events (topic, change, user_id, audience_kind, audience_id, entity_id, snapshot)
        select 'chat.reply', 'UPDATE', a.user_id, 'user', a.user_id, a.reply::text,
               a.shown || jsonb_build_object('delta', a.text)
        from alive a join kept k on k.message_id = a.reply
    )
    select a.reply from alive a;
$$;

-- What a reply is made of: the profile, whose language, and the newest whole messages up to the question, oldest
-- first. Nothing when the reply is gone.
create or replace function app.chat_context(
    wanted uuid, at_most integer, out profile jsonb, out locale text, out messages jsonb
)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object('name', p.name, 'analysis', p.analysis), u.locale, (
        select coalesce(jsonb_agg(jsonb_build_object('role', h.role, 'text', h.text)
            order by h.created_at, h.id), '[]')
        from (
            select e.role, e.text, e.created_at, e.id from public.chat_messages e
            where e.profile_id = m.profile_id and e.status = 'SUCCEEDED' and e.text <> ''
                and (e.created_at, e.id) <= (q.created_at, q.id)
            order by e.created_at desc, e.id desc limit at_most) h)
    from public.chat_messages m
    join public.chat_messages q on q.id = m.question_id
    join public.profiles p on p.id = m.profile_id
    join public.users u on u.id = m.user_id
    where m.id = wanted;
$$;

revoke execute on function
    app.chat_written(uuid), app.send_chat_message(uuid, text, text), app.cancel_chat_reply(uuid),
    app.show_chat_reply(public.ai_runs, text, boolean, text, text),
    app.append_chat_chunks(uuid[], integer[], integer[], text[]), app.chat_context(uuid, integer)
from public;
grant execute on function
    app.chat_written(uuid), app.send_chat_message(uuid, text, text), app.cancel_chat_reply(uuid)
to authenticated;
grant execute on function
    app.append_chat_chunks(uuid[], integer[], integer[], text[]), app.chat_context(uuid, integer)
to service;
