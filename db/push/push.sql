-- Push notifications: which devices want them, and handing each to each device at most once.

-- Registers a token for the caller's session and returns it. Another account's token becomes the caller's, under
-- another id, so that nothing that waits for its former owner goes there. What the session had for the same
-- platform, and the user's oldest beyond the limit, go. The session's end waits for this, or this sees it.
create or replace function app.register_push_token(
    asking_session uuid, token_platform text, token_provider text, hash bytea, sealed bytea
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    token_limit constant integer := 20;
    actor_id uuid := app.required_user_id();
    made uuid;
begin
    perform from public.users u where u.id = actor_id and u.status = 'active' for no key update;
    if not found then
        perform app.refuse('UNAUTHENTICATED', 'The account of this token is gone; sign in again.');
    end if;
    perform from public.sessions s
    where s.id = asking_session and s.user_id = actor_id and s.revoked_at is null and s.expires_at > now()
    for share;
    if not found then
        perform app.refuse('UNAUTHENTICATED', 'This session has ended; sign in again.');
    end if;
    insert into public.push_tokens as t
        (user_id, session_id, platform, provider, token_hash, sealed_token, created_at, registered_at)
    values (actor_id, asking_session, token_platform, token_provider, hash, sealed, clock_timestamp(),
            clock_timestamp())
    on conflict (token_hash) do update
    set id = case when t.user_id = excluded.user_id then t.id else excluded.id end,
        created_at = case when t.user_id = excluded.user_id then t.created_at else excluded.created_at end,
        user_id = excluded.user_id, session_id = excluded.session_id, platform = excluded.platform,
        provider = excluded.provider, sealed_token = excluded.sealed_token,
        registered_at = excluded.registered_at
    returning t.id into made;
    delete from public.push_tokens t
    where t.user_id = actor_id and t.id <> made
        and (t.session_id = asking_session and t.platform = token_platform
            or t.id in (select o.id from public.push_tokens o where o.user_id = actor_id and o.id <> made
                order by o.registered_at desc, o.id desc offset token_limit - 1));
    return made;
end;
$$;

-- Removes a token of the caller's and returns it.
create or replace function app.remove_push_token(hash bytea) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    removed uuid;
begin
    delete from public.push_tokens t where t.token_hash = hash and t.user_id = actor_id
    returning t.id into removed;
    if removed is null then
        perform app.refuse('NOT_FOUND', 'There is no such push token.', '{"path": ["input", "token"]}');
    end if;
    return removed;
end;
$$;

-- Trigger: what a session registered ends with it.
create or replace function app.forget_push_tokens() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from public.push_tokens t where t.session_id = new.id;
    return null;
end;
$$;

-- Trigger: queues the delivery of new notifications, for those users only who have tokens, and so many with one
-- job. What is sent to many at once waits behind everything else.
create or replace function app.queue_pushes() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    batch_size constant integer := 50;
begin
    -- By far the most are for users without a device: what follows costs them several times as much to plan.
    if not exists (select from added n join public.push_tokens t on t.user_id = n.user_id) then
        return null;
    end if;
    insert into queue.pgqueuer (priority, entrypoint, payload, dedupe_key, status)
    select case when count(*) = max(due.total) then 0 else -1 end, 'send_push',
        convert_to(jsonb_build_object('notification_ids', jsonb_agg(due.id order by due.id),
            'queued_at', clock_timestamp())::text, 'UTF8'),
        'push:' || min(due.id::text), 'queued'
    from (
        select n.id, (row_number() over (order by n.id) - 1) / batch_size as batch, count(*) over () as total
        from added n
        where exists (select from public.push_tokens t where t.user_id = n.user_id)
    ) due
    group by due.batch;
    return null;
end;
$$;

-- Makes the deliveries of some notifications that are missing: for each token of these providers that was there
-- when the notifications were.
create or replace function app.make_pushes(wanted uuid[], queued_at timestamptz, providers text[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into public.push_deliveries (notification_id, token_id, provider, not_before)
    select n.id, t.id, t.provider, clock_timestamp()
    from public.notifications n
    join public.push_tokens t on t.user_id = n.user_id
    where n.id = any (wanted) and t.provider = any (providers) and t.created_at <= make_pushes.queued_at
    order by n.id, t.id
    on conflict (notification_id, token_id) do nothing;
$$;

-- Begins an attempt at every delivery of some notifications that may be tried, by the providers that are `ready`;
-- those of `providers` that are missing are made.
-- `action` says of each delivery what the worker does: SEND it, or WAIT for some seconds because it is not due
-- or another worker may still be handing it over; LOST is one that was left SENDING for ten minutes, longer
-- than any attempt lasts, and has ended as UNCERTAIN. Texts are in the user's language, or the keys where there
-- is none; `parameters` fill them, a name `xKey` of `data` with the text of its key as `x`.
create or replace function app.begin_pushes(
    wanted uuid[], queued_at timestamptz, providers text[], ready text[]
) returns table (
    action text, delivery_id uuid, attempt integer, provider text, platform text, token_hash bytea,
    sealed_token bytea, notification_id uuid, type text, title_key text, message_key text, title text, message text,
    data jsonb, parameters jsonb, unread bigint, created_at timestamptz, wait_seconds double precision
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    longest constant interval := '10 minutes';
begin
    perform app.make_pushes(wanted, queued_at, providers);

    return query
    update public.push_deliveries d
    set status = 'UNCERTAIN', error = 'the worker died', ended_at = clock_timestamp()
    where d.notification_id = any (wanted) and d.status = 'SENDING' and d.claimed_at <= clock_timestamp() - longest
    returning 'LOST', d.id, d.attempts, d.provider, null::text, null::bytea, null::bytea, d.notification_id,
        null::text, null::text, null::text, null::text, null::text, null::jsonb, null::jsonb, null::bigint,
        null::timestamptz, null::double precision;

    update public.push_deliveries d set status = 'SKIPPED', ended_at = clock_timestamp()
    where d.notification_id = any (wanted) and d.status = 'QUEUED'
        and not exists (select from public.push_tokens t join public.notifications n on n.user_id = t.user_id
            where t.id = d.token_id and n.id = d.notification_id);

    return query
    with begun as (
        update public.push_deliveries d set attempts = d.attempts + 1
        where d.notification_id = any (wanted) and d.status = 'QUEUED' and d.provider = any (ready)
            and d.not_before <= clock_timestamp()
            and exists (select from public.push_tokens t where t.id = d.token_id)
        returning d.id, d.attempts, d.notification_id, d.token_id
    )
    select 'SEND', b.id, b.attempts, t.provider, t.platform, t.token_hash, t.sealed_token, n.id, n.type, n.title_key,
        n.message_key, app.translated(u.locale, n.title_key), app.translated(u.locale, n.message_key), n.data,
        coalesce((select jsonb_object_agg(left(given.key, -3), app.translated(u.locale, given.value #>> '{}'))
            from jsonb_each(n.data) given
            where given.key ~ '.Key$' and jsonb_typeof(given.value) = 'string'), '{}') || n.data,
        (select count(*) from public.notifications o where o.user_id = n.user_id and not o.read),
        n.created_at, null::double precision
    from begun b
    join public.notifications n on n.id = b.notification_id
    join public.users u on u.id = n.user_id
    join public.push_tokens t on t.id = b.token_id and t.user_id = n.user_id;

    return query
    select 'WAIT', d.id, d.attempts, d.provider, null::text, null::bytea, null::bytea, d.notification_id, null::text,
        null::text, null::text, null::text, null::text, null::jsonb, null::jsonb, null::bigint, null::timestamptz,
        case d.status when 'SENDING' then 30
            else greatest(extract(epoch from d.not_before - clock_timestamp())::double precision, 0) end
    from public.push_deliveries d
    where d.notification_id = any (wanted)
        and (d.status = 'SENDING'
            or d.status = 'QUEUED' and (d.not_before > clock_timestamp() or d.provider <> all (ready)
                or not exists (select from public.push_tokens t where t.id = d.token_id)));
end;
$$;

-- Notes that an attempt is about to hand a delivery over; false when it may not: a later one has begun, it has
-- ended, or it is not wanted any more, which ends it. Whoever reads the token's row here reads its owner.
create or replace function app.claim_push(wanted uuid, fenced_attempt integer) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    is_wanted boolean;
begin
    perform from public.push_deliveries d
    where d.id = wanted and d.attempts = fenced_attempt and d.status = 'QUEUED' for update;
    if not found then
        return false;
    end if;
    is_wanted := exists (
        select from public.push_deliveries d
        join public.notifications n on n.id = d.notification_id
        join public.push_tokens t on t.id = d.token_id and t.user_id = n.user_id
        join public.sessions s on s.id = t.session_id
        join public.users u on u.id = n.user_id
        where d.id = wanted and not n.read and s.revoked_at is null and s.expires_at > now()
            and u.status = 'active' and app.wants_notification(u.notification_preferences, n.type));
    update public.push_deliveries d
    set status = case when is_wanted then 'SENDING' else 'SKIPPED' end,
        claimed_at = case when is_wanted then clock_timestamp() end,
        ended_at = case when not is_wanted then clock_timestamp() end
    where d.id = wanted;
    return is_wanted;
end;
$$;

-- Ends an attempt with an outcome: SENT, FAILED, UNCERTAIN, or QUEUED for another one after `wait`. False when it
-- has ended already or a later attempt has begun. With `token_is_dead` the token goes, unless its device has
-- registered it again since `dead_since`, or else since it was handed over.
create or replace function app.end_push(
    wanted uuid, fenced_attempt integer, outcome text, reason text, wait interval, token_is_dead boolean,
    dead_since timestamptz
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    delivery public.push_deliveries;
begin
    select * into delivery from public.push_deliveries d
    where d.id = wanted and d.attempts = fenced_attempt and d.status in ('QUEUED', 'SENDING') for update;
    if not found then
        return false;
    end if;
    if outcome = 'QUEUED' then
        update public.push_deliveries d
        set status = 'QUEUED', claimed_at = null, error = reason, not_before = clock_timestamp() + wait
        where d.id = wanted;
    else
        update public.push_deliveries d set status = outcome, error = reason, ended_at = clock_timestamp()
        where d.id = wanted;
    end if;
    if token_is_dead then
        delete from public.push_tokens t
        where t.id = delivery.token_id and t.registered_at <= coalesce(dead_since, delivery.claimed_at);
    end if;
    return true;
end;
$$;

-- Ends what waits of some notifications' deliveries; what is being handed over is then UNCERTAIN.
create or replace function app.give_up_pushes(wanted uuid[], reason text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    ended integer;
begin
    update public.push_deliveries d
    set status = case d.status when 'SENDING' then 'UNCERTAIN' else 'FAILED' end, error = reason,
        ended_at = clock_timestamp()
    where d.notification_id = any (wanted) and d.status in ('QUEUED', 'SENDING');
    get diagnostics ended = row_count;
    return ended;
end;
$$;

revoke execute on function
    app.register_push_token(uuid, text, text, bytea, bytea), app.remove_push_token(bytea),
    app.forget_push_tokens(), app.queue_pushes(), app.make_pushes(uuid[], timestamptz, text[]),
    app.begin_pushes(uuid[], timestamptz, text[], text[]),
    app.claim_push(uuid, integer),
    app.end_push(uuid, integer, text, text, interval, boolean, timestamptz), app.give_up_pushes(uuid[], text)
from public;
grant execute on function app.register_push_token(uuid, text, text, bytea, bytea), app.remove_push_token(bytea)
to authenticated;
grant execute on function
    app.begin_pushes(uuid[], timestamptz, text[], text[]), app.claim_push(uuid, integer),
    app.end_push(uuid, integer, text, text, interval, boolean, timestamptz), app.give_up_pushes(uuid[], text)
to service;
