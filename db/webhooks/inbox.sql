-- The inbox: what providers deliver is stored first, and processed once by a job.

-- Stores a delivery and tells the workers of it. One that was delivered before is only counted.
-- With a `problem` it is not to be processed but looked at; of those that are not `genuine`, 100 in an
-- hour of each provider are kept, and as many as 200 wait until their provider is asked whether it sent them. Returns
-- the webhook, null where it is not kept.
create or replace function app.receive_webhook(
    from_provider text, given_event_id text, given_kind text, genuine boolean, given_headers jsonb,
    given_query text, given_body text, problem text, problem_detail text,
    out webhook_id uuid, out is_new boolean
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    refused_limit constant integer := 100;
    unverified_limit constant integer := 200;
begin
    is_new := false;
    if problem is null and not genuine and (
        select count(*) from (select from public.webhook_events w
            where w.provider = from_provider and w.status = 'RECEIVED' and not w.verified
            limit unverified_limit) waiting) >= unverified_limit then
        return;
    end if;
    if problem is not null and not genuine and (
        select count(*) from public.webhook_events w
        where w.provider = from_provider and w.status = 'QUARANTINED' and not w.verified
        and w.received_at > now() - interval '1 hour') >= refused_limit then
        return;
    end if;
    insert into public.webhook_events (provider, event_id, kind, verified, status, reason, detail, headers, query,
        body, processed_at)
    values (from_provider, given_event_id, given_kind, genuine,
        case when problem is null then 'RECEIVED' else 'QUARANTINED' end, problem, problem_detail, given_headers,
        given_query, given_body, case when problem is not null then now() end)
    on conflict (provider, event_id) where verified do nothing
    returning id into webhook_id;
    if webhook_id is null then
        update public.webhook_events w set deliveries = w.deliveries + 1
        where w.provider = from_provider and w.event_id = given_event_id and w.verified
        returning w.id into webhook_id;
        return;
    end if;
    is_new := true;
    if problem is null then
        perform pg_notify('webhook_received', from_provider);
    else
        perform app.tell_admins_of_webhook(webhook_id);
    end if;
end;
$$;

-- Queues a job that processes a webhook: for one that no worker could process when it was told of it. People
-- wait for what they paid for: it goes before all else.
create or replace function app.queue_webhook(wanted uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select app.enqueue_once('process_webhook', jsonb_build_object('webhook_id', wanted), 'webhook:' || wanted, 10);
$$;

-- Tells every admin of a webhook that a person has to look at. Of what was never the provider's, they are
-- told once in an hour.
create or replace function app.tell_admins_of_webhook(wanted uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    webhook public.webhook_events;
begin
    select * into webhook from public.webhook_events w where w.id = wanted;
    if not webhook.verified and exists (
        select from public.webhook_events w
        where w.provider = webhook.provider and w.status = 'QUARANTINED' and not w.verified and w.id <> wanted
        and w.received_at > now() - interval '1 hour') then
        return;
    end if;
    -- An alarm: no preference of theirs silences it.
    insert into public.notifications (user_id, type, title_key, message_key, data)
    select u.id, 'GENERAL', 'notifications.webhookQuarantined.title', 'notifications.webhookQuarantined.message',
        jsonb_build_object('provider', webhook.provider, 'reason', webhook.reason,
                           'webhook', 'webhookEvent_' || webhook.id)
    from public.users u where u.role = 'admin' and u.status = 'active';
end;
$$;

-- Notes what events say that a user may use, though their payments are not booked: it is shown, and gives nothing here.
create or replace function app.note_told_entitlements(from_provider text, events jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    event jsonb;
begin
    for event in select e.value from jsonb_array_elements(events) as e (value)
        where e.value ->> 'type' = 'EntitlementsChanged'
    loop
        perform app.note_entitlements(from_provider, event);
    end loop;
exception
    -- It is of nobody who is known yet.
    when sqlstate 'TG002' then null;
end;
$$;

-- Does what events say, all of it or nothing but what is only shown. Returns the status of the webhook that told them: PROCESSED, PARKED
-- with what it `waits` for, or QUARANTINED with the reason.
create or replace function app.apply_payment_events(
    from_provider text, events jsonb, out status text, out reason text, out detail text, out order_id uuid,
    out waits text
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    event jsonb;
    applied record;
begin
    status := 'PROCESSED';
    for event in select e.value from jsonb_array_elements(events) as e (value) loop
        applied := app.apply_payment_event(from_provider, event);
        order_id := applied.order_id;
        -- What cannot be undone here, such as a second payment, is kept and looked at.
        if applied.doubt is not null then
            status := 'QUARANTINED';
            reason := applied.doubt;
            detail := applied.doubt_detail;
        end if;
    end loop;
exception
    when sqlstate 'TG002' then
        get stacked diagnostics waits = message_text;
        status := 'PARKED';
        perform app.note_told_entitlements(from_provider, events);
    when sqlstate 'TG000' or sqlstate 'TG001' then
        get stacked diagnostics reason = pg_exception_hint, detail = message_text;
        status := 'QUARANTINED';
        perform app.note_told_entitlements(from_provider, events);
end;
$$;

-- Does what a webhook says, all of it or nothing, once: what has been processed is left as it is. Events
-- are those of `payments/events.py`. Returns how it stands then; `is_changed` says whether this call did it. Not
-- `patient`, it leaves one alone that another is processing now; `status` is null then.
create or replace function app.settle_webhook(
    wanted uuid, events jsonb, patient boolean, out status text, out reason text, out detail text, out order_id uuid,
    out is_changed boolean
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    webhook public.webhook_events;
    waits text;
begin
    -- The row alone does not say that somebody processes it: who counts another delivery locks it as well.
    if patient then
        perform pg_advisory_xact_lock(hashtextextended('webhook:' || wanted, 0));
    elsif not pg_try_advisory_xact_lock(hashtextextended('webhook:' || wanted, 0)) then
        is_changed := false;
        return;
    end if;
    select * into webhook from public.webhook_events w where w.id = wanted for update;
    status := webhook.status;
    reason := webhook.reason;
    detail := webhook.detail;
    order_id := webhook.order_id;
    is_changed := webhook.status = 'RECEIVED';
    if is_changed is not true then
        is_changed := false;
        return;
    end if;
    perform app.lock_events(webhook.provider, events);
    select a.* into status, reason, detail, order_id, waits from app.apply_payment_events(webhook.provider, events) a;
    order_id := coalesce(order_id, (
        select r.order_id from public.order_references r
        where r.provider = webhook.provider and r.reference in (
            select n.name from jsonb_array_elements_text(events -> 0 -> 'references') as n (name))
        limit 1));
    update public.webhook_events w
    set status = settle_webhook.status, reason = settle_webhook.reason, detail = settle_webhook.detail,
        order_id = settle_webhook.order_id, waits_for = waits, attempts = w.attempts + 1,
        processed_at = clock_timestamp()
    where w.id = wanted;
    if status = 'QUARANTINED' then
        perform app.tell_admins_of_webhook(wanted);
    end if;
end;
$$;

-- Does what a provider said when it was asked, and keeps it as if it had been delivered, without what the vault's keys
-- of today made of names: a rotation seals no body anew. All in one: who processes what is delivered cannot read
-- this, and must never see it waiting.
create or replace function app.apply_answer(
    from_provider text, given_event_id text, given_kind text, events jsonb, out webhook_id uuid, out status text,
    out reason text, out detail text, out order_id uuid, out is_changed boolean
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    select r.webhook_id into apply_answer.webhook_id from app.receive_webhook(
        from_provider, given_event_id, given_kind, true, '{}', '',
        (select coalesce(jsonb_agg(e.value - 'named' - 'account_indexes' order by e.ordinality), '[]')::text
            from jsonb_array_elements(events) with ordinality as e (value)), null, null) r;
    select s.status, s.reason, s.detail, s.order_id, s.is_changed
    into apply_answer.status, apply_answer.reason, apply_answer.detail, apply_answer.order_id, apply_answer.is_changed
    from app.settle_webhook(apply_answer.webhook_id, events, true) s;
end;
$$;

-- Notes that a webhook of a provider that is asked over the network is genuine, and what it is called
-- there; false for one that was stored before under that name.
create or replace function app.vouch_for_webhook(wanted uuid, given_event_id text, given_kind text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.webhook_events w set verified = true, event_id = given_event_id, kind = given_kind
    where w.id = wanted and not w.verified;
    return true;
exception when unique_violation then
    update public.webhook_events w set status = 'PROCESSED', processed_at = clock_timestamp()
    where w.id = wanted and w.status = 'RECEIVED';
    return false;
end;
$$;

-- Sets a webhook aside for a person to look at; false when that has become of it already. Of what was never the
-- provider's, 100 in an hour are kept, and of more nothing.
create or replace function app.quarantine_webhook(wanted uuid, why text, what text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    refused_limit constant integer := 100;
begin
    -- Several that are set aside at once would each count the others out.
    perform pg_advisory_xact_lock(hashtextextended('refused webhooks of ' || w.provider, 0))
    from public.webhook_events w where w.id = wanted and w.status = 'RECEIVED' and not w.verified;
    delete from public.webhook_events w
    where w.id = wanted and w.status = 'RECEIVED' and not w.verified and (
        select count(*) from (select from public.webhook_events o
            where o.provider = w.provider and o.status = 'QUARANTINED' and not o.verified
            and o.received_at > now() - interval '1 hour' limit refused_limit) refused) >= refused_limit;
    if found then
        return false;
    end if;
    update public.webhook_events w
    set status = 'QUARANTINED', reason = why, detail = what, waits_for = null, attempts = w.attempts + 1,
        processed_at = clock_timestamp()
    where w.id = wanted and w.status in ('RECEIVED', 'PARKED');
    if found then
        perform app.tell_admins_of_webhook(wanted);
    end if;
    return found;
end;
$$;

-- Queues a webhook again that is quarantined, parked, or was never processed; false for any other.
create or replace function app.replay_webhook(wanted uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    known text;
begin
    select w.status into known from public.webhook_events w where w.id = wanted for update;
    if known is null or known = 'PROCESSED' then
        return false;
    end if;
    update public.webhook_events w set status = 'RECEIVED', reason = null, detail = null, waits_for = null
    where w.id = wanted and w.status <> 'RECEIVED';
    perform app.queue_webhook(wanted);
    return true;
end;
$$;

-- Has a webhook tried again by a job, later and later, after an attempt that failed.
create or replace function app.retry_webhook(wanted uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.webhook_events w set attempts = w.attempts + 1 where w.id = wanted and w.status = 'RECEIVED';
    if found then
        perform app.queue_webhook(wanted);
    end if;
end;
$$;

-- Has what waits for a payment processed that is here now.
create or replace function app.wake_webhooks(for_provider text, payment text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    waiting uuid;
begin
    for waiting in
        select w.id from public.webhook_events w
        where w.provider = for_provider and w.waits_for = payment and w.status = 'PARKED' order by w.id
    loop
        perform app.replay_webhook(waiting);
    end loop;
end;
$$;

-- Queues webhooks that no worker was told of, and quarantines those whose payment has not come in three days.
-- Returns the webhooks that are quarantined now.
create or replace function app.sweep_webhooks() returns setof uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    late uuid;
begin
    perform app.queue_webhook(w.id) from (
        select e.id from public.webhook_events e
        where e.status = 'RECEIVED' and e.received_at < now() - interval '1 minute'
        order by e.received_at, e.id limit 1000) w;
    for late in
        select w.id from public.webhook_events w
        where w.status = 'PARKED' and w.received_at < now() - interval '3 days'
        order by w.received_at, w.id limit 1000
    loop
        if app.quarantine_webhook(late, 'UNKNOWN_PAYMENT', 'the payment that it is about has not come in 3 days') then
            return next late;
        end if;
    end loop;
end;
$$;

-- As an admin: has a delivery processed again that is not done. Returns it.
create or replace function app.replay_webhook_for_admin(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
begin
    if not exists (select from public.webhook_events w where w.id = wanted) then
        perform app.refuse('NOT_FOUND', 'There is no such webhook.', '{"path": ["input", "id"]}');
    elsif not app.replay_webhook(wanted) then
        perform app.refuse('INVALID_STATE', 'This webhook has been processed, and is done only once.',
            '{"path": ["input", "id"]}');
    end if;
    insert into public.audit_log (user_id, action, detail)
    values (admin_id, 'replay_webhook', jsonb_build_object('webhook', 'webhookEvent_' || wanted));
    return wanted;
end;
$$;

revoke execute on function
    app.receive_webhook(text, text, text, boolean, jsonb, text, text, text, text),
    app.queue_webhook(uuid), app.apply_payment_events(text, jsonb), app.note_told_entitlements(text, jsonb), app.tell_admins_of_webhook(uuid), app.settle_webhook(uuid, jsonb, boolean),
    app.apply_answer(text, text, text, jsonb), app.retry_webhook(uuid),
    app.vouch_for_webhook(uuid, text, text), app.quarantine_webhook(uuid, text, text), app.replay_webhook(uuid),
    app.wake_webhooks(text, text), app.sweep_webhooks()
from public;
grant execute on function
    app.receive_webhook(text, text, text, boolean, jsonb, text, text, text, text),
    app.settle_webhook(uuid, jsonb, boolean), app.apply_answer(text, text, text, jsonb),
    app.vouch_for_webhook(uuid, text, text), app.quarantine_webhook(uuid, text, text), app.retry_webhook(uuid), app.sweep_webhooks()
to service;
revoke execute on function app.replay_webhook_for_admin(uuid) from public;
grant execute on function app.replay_webhook_for_admin(uuid) to authenticated;
