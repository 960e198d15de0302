-- E-mails: queued in the transaction that causes them, handed over at most once.

-- Queues an e-mail and its job; returns it. Both are there when the caller's transaction commits.
-- Codes do not wait behind generations. Whoever opened an account that has not confirmed its address may be no
-- friend of the address's owner: after five mails in a day its notices are none (null), and they have none of its words.
create or replace function app.queue_email(
    template text, recipient text, locale text, user_id uuid, parameters jsonb
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    notices_a_day constant integer := 5;
    given jsonb := coalesce(queue_email.parameters, '{}');
    queued uuid;
begin
    -- Accounts of a provider that told no address have nowhere to be told anything.
    if queue_email.recipient is null then
        return null;
    end if;
    if not given ? 'code_id' and exists (select from public.users u
        where u.id = queue_email.user_id and u.email = queue_email.recipient and u.email_confirmed_at is null) then
        given := given - 'name';
        if (select count(*) from public.emails e where e.user_id = queue_email.user_id
            and e.created_at > clock_timestamp() - interval '1 day') >= notices_a_day then
            return null;
        end if;
    end if;
    insert into public.emails (template, recipient, locale, user_id, parameters)
    values (queue_email.template, queue_email.recipient, queue_email.locale, queue_email.user_id,
            given)
    returning id into queued;
    perform app.enqueue_once('send_email', jsonb_build_object('email_id', queued), 'email:' || queued, 5);
    return queued;
end;
$$;

-- Begins an attempt. `action` says what the worker does: SEND it, WAIT because another may still be
-- handing it over, or nothing (DONE). One that was left SENDING for ten minutes ends as UNCERTAIN:
-- no attempt lasts as long, and its server may have taken it. Locale and time zone are the account's, where
-- the e-mail says none.
create or replace function app.begin_email(
    wanted uuid, out action text, out attempt integer, out template text, out recipient text,
    out locale text, out time_zone text, out parameters jsonb, out queued_at timestamptz, out age interval
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    longest constant interval := '10 minutes';
    email public.emails;
begin
    select * into email from public.emails e where e.id = wanted for update;
    action := 'DONE';
    if email.status = 'SENDING' then
        if email.claimed_at > clock_timestamp() - longest then
            action := 'WAIT';
        else
            perform app.end_email(wanted, email.attempts, 'UNCERTAIN', 'the worker died');
            action := 'LOST';
        end if;
    elsif email.status = 'QUEUED' then
        update public.emails e set attempts = e.attempts + 1 where e.id = wanted returning * into email;
        action := 'SEND';
        attempt := email.attempts;
        template := email.template;
        recipient := email.recipient;
        select u.locale, u.time_zone into locale, time_zone from public.users u where u.id = email.user_id;
        locale := coalesce(email.locale, locale);
        parameters := email.parameters;
        queued_at := email.created_at;
        age := clock_timestamp() - email.created_at;
    end if;
end;
$$;

-- Notes that an attempt is about to hand the e-mail over; false when it may not, since a later one
-- has begun or it has ended.
create or replace function app.claim_email(wanted uuid, fenced_attempt integer) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.emails e set status = 'SENDING', claimed_at = clock_timestamp()
    where e.id = wanted and e.attempts = fenced_attempt and e.status = 'QUEUED';
    return found;
end;
$$;

-- Ends an attempt with an outcome: SENT, FAILED, UNCERTAIN, or QUEUED for another attempt. Without
-- `fenced_attempt`, whichever is the last; what is being handed over is then UNCERTAIN. False when it
-- has ended already or a later attempt has begun.
create or replace function app.end_email(wanted uuid, fenced_attempt integer, outcome text, reason text)
returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if outcome = 'QUEUED' then
        update public.emails e set status = 'QUEUED', claimed_at = null, error = reason
        where e.id = wanted and e.attempts = fenced_attempt and e.status in ('QUEUED', 'SENDING');
    else
        update public.emails e
        set status = case when fenced_attempt is null and e.status = 'SENDING' then 'UNCERTAIN' else outcome end,
            error = reason, ended_at = clock_timestamp(), recipient = null, parameters = '{}'
        where e.id = wanted and e.attempts = coalesce(fenced_attempt, e.attempts)
            and e.status in ('QUEUED', 'SENDING');
    end if;
    return found;
end;
$$;

revoke execute on function app.queue_email(text, text, text, uuid, jsonb), app.begin_email(uuid),
    app.claim_email(uuid, integer), app.end_email(uuid, integer, text, text) from public;
grant execute on function app.queue_email(text, text, text, uuid, jsonb), app.begin_email(uuid),
    app.claim_email(uuid, integer), app.end_email(uuid, integer, text, text) to service;
