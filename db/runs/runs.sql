-- Runs: one call each. Whatever gives lines or takes them back locks the organization's row of
-- `call_lines` first, before any run, so that no more calls are made at once than it may.

-- The lines of an organization, locked: how many calls it makes at once.
create or replace function app.lock_lines(wanted uuid) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    lines integer;
begin
    select l.at_once into lines from public.call_lines l where l.organization_id = wanted for update;
    if not found then
        insert into public.call_lines (organization_id) values (wanted) on conflict do nothing;
        select l.at_once into lines from public.call_lines l where l.organization_id = wanted for update;
    end if;
    return lines;
end;
$$;

-- How many of an organization's lines are free. Call it only while holding the lock on them.
create or replace function app.free_lines(wanted uuid, lines integer) returns integer
language sql stable set search_path = pg_catalog, pg_temp as $$
    select greatest(0, lines - count(*)::integer) from public.workflow_runs r
    where r.organization_id = wanted and r.status in ('QUEUED', 'DIALLING', 'RINGING', 'IN_PROGRESS')
        and r.enqueued_at is not null;
$$;

-- Gives free lines to the runs that have waited longest, then to those whom campaigns call next.
create or replace function app.dispatch_calls(wanted uuid, lines integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    run_id uuid;
begin
    for run_id in
        update public.workflow_runs r set enqueued_at = clock_timestamp()
        where r.id in (
            select w.id from public.workflow_runs w
            where w.organization_id = wanted and w.status = 'QUEUED' and w.enqueued_at is null
            order by w.created_at, w.id limit app.free_lines(wanted, lines))
        returning r.id
    loop
        perform app.enqueue_once('place_call', jsonb_build_object('run_id', run_id), 'call:' || run_id);
    end loop;
    perform app.fill_campaigns(wanted, lines);
end;
$$;

-- Asks for one call and returns its run, which waits for a free line; the same key the same run.
create or replace function app.start_run(wanted uuid, phone_number text, idempotency_key text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    waiting_limit constant integer := 1000;
    fingerprint bytea := sha256(convert_to(wanted || ' ' || phone_number, 'UTF8'));
    workflow public.workflows;
    lines integer;
    made uuid;
begin
    perform app.check_idempotency_key(idempotency_key);
    workflow := app.enter_workflow(wanted, 'workflowId');
    made := app.remembered_result(app.user_id(), 'start_run', idempotency_key, fingerprint);
    if made is not null then
        return made;
    end if;
    if workflow.status <> 'ACTIVE' then
        perform app.refuse('INVALID_STATE', format('The workflow is %s. Publish or restore it first.', workflow.status),
            '{"path": ["input", "workflowId"]}');
    end if;
    lines := app.lock_lines(workflow.organization_id);
    if (select count(*) from public.workflow_runs r where r.organization_id = workflow.organization_id
        and r.status = 'QUEUED' and r.enqueued_at is null) >= waiting_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('%s calls wait for a free line. Try again later.', waiting_limit));
    end if;
    perform app.enforce_plan_limit(workflow.organization_id, 'CALLS');
    insert into public.workflow_runs (organization_id, workflow_id, version_id, phone_number, variables)
    select workflow.organization_id, wanted, v.id, start_run.phone_number, workflow.template_variables
    from public.workflow_versions v where v.workflow_id = wanted and v.is_current
    returning id into strict made;
    perform app.dispatch_calls(workflow.organization_id, lines);
    insert into public.audit_log (user_id, action, detail)
    values (app.user_id(), 'start_run', jsonb_build_object('run', 'workflowRun_' || made,
        'organization', 'organization_' || workflow.organization_id));
    perform app.remember_result(app.user_id(), 'start_run', idempotency_key, fingerprint, made);
    return made;
end;
$$;

-- A run that is locked behind its organization's lines; null when there is none.
create or replace function app.lock_run(wanted uuid) returns public.workflow_runs
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    run public.workflow_runs;
begin
    select * into run from public.workflow_runs r where r.id = wanted;
    if not found then
        return null;
    end if;
    perform app.lock_lines(run.organization_id);
    select * into run from public.workflow_runs r where r.id = wanted for update;
    return run;
end;
$$;

-- Whether a run may be dialled, and what a worker needs for that. `was_dialled` when the provider was
-- asked already, by somebody who could not say what came of it: then look before asking again. A campaign's pace
-- may say `dialled_at` later: wait until then, and ask here again when that is more than two seconds. Nothing is
-- returned for a run that has its call, has ended, or whose campaign is paused.
create or replace function app.begin_call(wanted uuid, provider_name text)
returns table (phone_number text, variables jsonb, definition jsonb, was_dialled boolean, dialled_at timestamptz)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    run public.workflow_runs;
    due_at timestamptz := clock_timestamp();
begin
    select * into run from public.workflow_runs r where r.id = wanted for update;
    if run.id is null or run.status not in ('QUEUED', 'DIALLING') or run.provider_call_id is not null then
        return;
    end if;
    if run.status = 'QUEUED' then
        if run.campaign_id is not null then
            due_at := app.take_pace(run.campaign_id);
        end if;
        if due_at is null then
            return;
        elsif due_at > clock_timestamp() + interval '2 seconds' then
            return query select run.phone_number, run.variables, '{}'::jsonb, false, due_at;
            return;
        end if;
        update public.workflow_runs r set status = 'DIALLING', provider = provider_name, dialled_at = due_at,
            checked_at = due_at
        where r.id = wanted;
    end if;
    return query
        select r.phone_number, r.variables, v.definition, run.status = 'DIALLING', r.dialled_at
        from public.workflow_runs r join public.workflow_versions v on v.id = r.version_id where r.id = wanted;
end;
$$;

-- Lets one worker dial again what was dialled at a moment and did not come to be; false for all others.
create or replace function app.redial_call(wanted uuid, dialled_before timestamptz) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.workflow_runs r set dialled_at = clock_timestamp(), checked_at = clock_timestamp()
    where r.id = wanted and r.status = 'DIALLING' and r.dialled_at = dialled_before and r.provider_call_id is null;
    return found;
end;
$$;

-- Notes which of the provider's calls is a run's: the first of `call_ids` that is no other run's. Returns it, or
-- null when there is none.
create or replace function app.note_call(wanted uuid, call_ids text[]) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    noted text;
begin
    update public.workflow_runs r set checked_at = clock_timestamp(), provider_call_id = coalesce(r.provider_call_id, (
        select c.id from unnest(call_ids) with ordinality c (id, place)
        where not exists (select from public.workflow_runs o where o.provider_call_id = c.id)
        order by c.place limit 1))
    where r.id = wanted returning r.provider_call_id into noted;
    return noted;
end;
$$;

-- How far a call has come, to tell what is news from what is late.
create or replace function app.run_stage(status text) returns integer
language sql immutable set search_path = pg_catalog, pg_temp
return case status when 'QUEUED' then 0 when 'DIALLING' then 1 when 'RINGING' then 2 when 'IN_PROGRESS' then 3 else 4 end;

-- Notes what a provider tells of a run's call. What is late, told twice or out of order changes nothing: a call
-- only goes on, and ends once. Whose call it is not is refused to say anything. Returns whether it was news.
create or replace function app.report_call(
    wanted uuid, call_id text, news text, seconds integer, reason text default null
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    run public.workflow_runs := app.lock_run(wanted);
    is_end boolean := app.run_stage(news) = 4;
begin
    if run.id is null or run.status = 'QUEUED' and call_id is not null
        or run.provider_call_id is not null and call_id is distinct from run.provider_call_id
        or app.run_stage(news) <= app.run_stage(run.status)
        -- Who was answered is not busy.
        or run.status = 'IN_PROGRESS' and news in ('BUSY', 'NO_ANSWER') then
        return false;
    end if;
    update public.workflow_runs r set status = news, error = reason,
        provider_call_id = coalesce(r.provider_call_id, call_id), checked_at = clock_timestamp(),
        answered_at = case when news in ('IN_PROGRESS', 'COMPLETED', 'VOICEMAIL')
            -- A simulated call takes less time than it says.
            then coalesce(r.answered_at, greatest(r.dialled_at, clock_timestamp() - make_interval(secs => seconds)))
            else r.answered_at end,
        ended_at = case when is_end then clock_timestamp() end,
        duration_seconds = case when is_end then greatest(0, coalesce(seconds, 0)) else 0 end
    where r.id = wanted;
    if is_end then
        perform app.end_call(wanted);
    end if;
    return true;
end;
$$;

-- What follows the end of a call: its cost and recording are fetched, and its line is another's.
create or replace function app.end_call(wanted uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    run public.workflow_runs;
begin
    select * into run from public.workflow_runs r where r.id = wanted;
    if run.campaign_id is not null then
        perform app.end_contact_call(run);
    end if;
    if run.provider_call_id is not null then
        perform app.enqueue_once('collect_call', jsonb_build_object('run_id', wanted), 'collect:' || wanted);
    end if;
    perform app.dispatch_calls(run.organization_id, app.lock_lines(run.organization_id));
end;
$$;

-- Notes what an ended call cost and left, once: a second time changes nothing and returns false.
create or replace function app.note_collected(
    wanted uuid, cost bigint, used jsonb, said text, recording text
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.workflow_runs r set collected_at = clock_timestamp(), cost_micro_usd = cost, usage = used,
        transcript = said, recording_path = recording
    where r.id = wanted and r.ended_at is not null and r.collected_at is null;
    return found;
end;
$$;

-- Has the provider asked about calls of which nothing was heard for half an hour, and ends those that were never
-- placed. Returns how many there were.
create or replace function app.check_silent_calls(at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    silent public.workflow_runs;
    found_calls integer := 0;
begin
    for silent in
        select * from public.workflow_runs r
        where r.status in ('DIALLING', 'RINGING', 'IN_PROGRESS') and r.checked_at < now() - interval '30 minutes'
        order by r.organization_id, r.checked_at limit at_most
    loop
        perform app.enqueue_once('follow_call', jsonb_build_object('run_id', silent.id), 'follow:' || silent.id);
        found_calls := found_calls + 1;
    end loop;
    return found_calls;
end;
$$;

revoke execute on function app.lock_lines(uuid), app.free_lines(uuid, integer), app.dispatch_calls(uuid, integer),
    app.start_run(uuid, text, text), app.lock_run(uuid), app.begin_call(uuid, text),
    app.redial_call(uuid, timestamptz), app.note_call(uuid, text[]), app.run_stage(text), app.report_call(uuid, text, text, integer, text), app.end_call(uuid),
    app.note_collected(uuid, bigint, jsonb, text, text), app.check_silent_calls(integer) from public;
grant execute on function app.start_run(uuid, text, text) to authenticated;
grant execute on function app.begin_call(uuid, text), app.redial_call(uuid, timestamptz), app.note_call(uuid, text[]),
    app.report_call(uuid, text, text, integer, text), app.note_collected(uuid, bigint, jsonb, text, text),
    app.check_silent_calls(integer) to service;
