-- The calls of campaigns: whom they call next, how fast, and what becomes of whom they called.

-- Begins a call to a contact: a run that has its line. Call it only while holding the lock on the lines.
create or replace function app.call_contact(contact public.campaign_contacts, campaign public.campaigns) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    made uuid;
begin
    update public.campaign_contacts t set status = 'CALLING', calls = t.calls + 1, next_call_at = null
    where t.id = contact.id;
    insert into public.workflow_runs (organization_id, workflow_id, version_id, campaign_id, contact_id, attempt,
        retry_reason, phone_number, variables, enqueued_at)
    select campaign.organization_id, campaign.workflow_id, v.id, campaign.id, contact.id, contact.calls + 1,
        contact.last_outcome, contact.phone_number, w.template_variables || contact.variables, clock_timestamp()
    from public.workflow_versions v join public.workflows w on w.id = v.workflow_id
    where v.workflow_id = campaign.workflow_id and v.is_current
    returning id into strict made;
    perform app.enqueue_once('place_call', jsonb_build_object('run_id', made), 'call:' || made);
end;
$$;

-- How many calls a campaign may begin now: by the organization's free lines, its own share of them, and its pace,
-- of which three seconds are given out ahead.
create or replace function app.calls_to_begin(campaign public.campaigns, lines integer) returns integer
language sql stable set search_path = pg_catalog, pg_temp as $$
    select greatest(0, least(app.free_lines(campaign.organization_id, lines),
        campaign.concurrency - count(*)::integer,
        ceil(campaign.calls_per_second * 3)::integer - (count(*) filter (where r.status = 'QUEUED'))::integer))
    from public.workflow_runs r
    where r.organization_id = campaign.organization_id and r.campaign_id = campaign.id
        and r.status in ('QUEUED', 'DIALLING', 'RINGING', 'IN_PROGRESS');
$$;

-- Pauses a campaign for a reason of the server's; one whose contacts are being read has them read nevertheless.
create or replace function app.pause_campaign(wanted uuid, reason text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update public.campaigns c set status = 'PAUSED', pause_reason = reason, updated_at = clock_timestamp()
    where c.id = wanted and c.status in ('SYNCING', 'RUNNING');
$$;

-- Begins the calls of a campaign for which there is room: to whom a second one is due first, then to the next on the
-- list. When the plan allows no further call this month, the campaign is paused. Call it only while holding the
-- lock on the lines.
create or replace function app.fill_campaign(campaign public.campaigns, lines integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    room integer := app.calls_to_begin(campaign, lines);
    contact public.campaign_contacts;
begin
    for contact in
        (select * from public.campaign_contacts t
        where t.campaign_id = campaign.id and t.status = 'QUEUED' and t.calls > 0 and t.next_call_at <= clock_timestamp()
        order by t.next_call_at limit room)
        union all
        (select * from public.campaign_contacts t
        where t.campaign_id = campaign.id and t.status = 'QUEUED' and t.calls = 0
        order by t.row_number limit room)
        limit room
    loop
        begin
            perform app.enforce_plan_limit(campaign.organization_id, 'CALLS');
        exception when sqlstate 'TG000' then
            perform app.pause_campaign(campaign.id, sqlerrm);
            return;
        end;
        perform app.call_contact(contact, campaign);
    end loop;
end;
$$;

-- Begins the calls of an organization's campaigns that are within their hours. Those that wait longest for a
-- call are first.
create or replace function app.fill_campaigns(wanted_organization uuid, lines integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    campaign public.campaigns;
begin
    for campaign in
        select c.* from public.campaigns c join public.campaign_progress p on p.campaign_id = c.id
        where c.organization_id = wanted_organization and c.status = 'RUNNING' and p.open_until > clock_timestamp()
        order by p.paced_until, c.id
    loop
        perform app.fill_campaign(campaign, lines);
    end loop;
end;
$$;

-- When the next call of a campaign may be dialled: each takes its place behind the one before. Null while the
-- campaign is paused or over: what resumes it puts the call in line again. What is further away than two seconds
-- takes no place, and asks again then.
create or replace function app.take_pace(wanted uuid) returns timestamptz
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    campaign public.campaigns;
    progress public.campaign_progress;
    place timestamptz;
begin
    select * into campaign from public.campaigns c where c.id = wanted;
    if campaign.status <> 'RUNNING' then
        return null;
    end if;
    select * into progress from public.campaign_progress p where p.campaign_id = wanted for update;
    place := greatest(progress.paced_until, clock_timestamp());
    if progress.open_until is null or progress.open_until <= place then
        return clock_timestamp() + interval '30 seconds';
    elsif place <= clock_timestamp() + interval '2 seconds' then
        update public.campaign_progress p
        set paced_until = place + make_interval(secs => 1 / campaign.calls_per_second), call_count = p.call_count + 1
        where p.campaign_id = wanted;
    end if;
    return place;
end;
$$;

-- Whether those who watch a campaign may be told of it again: four times a second.
create or replace function app.may_show_progress(wanted uuid) returns boolean
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select p.shown_at < clock_timestamp() - interval '250 milliseconds'
    from public.campaign_progress p where p.campaign_id = wanted;
$$;

-- Notes on a contact how a call ended, and whether there is to be another.
create or replace function app.end_contact_call(run public.workflow_runs) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    campaign public.campaigns;
    is_again boolean;
    next_status text;
begin
    select * into campaign from public.campaigns c where c.id = run.campaign_id;
    is_again := run.attempt <= campaign.max_retries and campaign.status not in ('CANCELLED', 'COMPLETED', 'FAILED')
        and case run.status when 'BUSY' then campaign.retry_on_busy when 'NO_ANSWER' then campaign.retry_on_no_answer
            when 'VOICEMAIL' then campaign.retry_on_voicemail else false end;
    next_status := case when is_again then 'QUEUED' when run.status = 'COMPLETED' then 'PROCESSED'
        when run.status = 'VOICEMAIL' and not campaign.retry_on_voicemail then 'PROCESSED'
        when run.status = 'CANCELLED' then 'CANCELLED' else 'FAILED' end;
    update public.campaign_contacts t set status = next_status, last_outcome = run.status,
        next_call_at = case when is_again then clock_timestamp() + make_interval(secs => campaign.retry_delay_seconds) end
    where t.id = run.contact_id and t.status = 'CALLING' and t.calls = run.attempt;
    update public.campaign_progress p set processed_count = p.processed_count + (next_status = 'PROCESSED')::integer,
        failed_count = p.failed_count + (next_status = 'FAILED')::integer, retry_count = p.retry_count + is_again::integer
    where p.campaign_id = run.campaign_id;
    -- While it runs, its own work shows what is not shown now.
    if campaign.status <> 'RUNNING' or app.may_show_progress(run.campaign_id) then
        perform app.show_progress(run.campaign_id);
    end if;
end;
$$;

-- A campaign's own work, again and again while it runs: its hours, until which lines may be given (null while it
-- does not call), whom it calls next, what is shown of it, and its end. Returns whether it still runs.
create or replace function app.tend_campaign(wanted uuid, calls_until timestamptz) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    organization uuid := (select c.organization_id from public.campaigns c where c.id = wanted);
    campaign public.campaigns;
    lines integer;
begin
    if organization is null then
        return false;
    end if;
    lines := app.lock_lines(organization);
    select * into campaign from public.campaigns c where c.id = wanted for update;
    if campaign.status <> 'RUNNING' then
        return false;
    end if;
    update public.campaign_progress p set open_until = calls_until where p.campaign_id = wanted;
    if calls_until is not null then
        perform app.fill_campaign(campaign, lines);
    end if;
    if exists (select from public.campaign_contacts t
        where t.campaign_id = wanted and t.status in ('QUEUED', 'CALLING')) then
        if app.may_show_progress(wanted) then
            perform app.show_progress(wanted);
        end if;
        return (select c.status = 'RUNNING' from public.campaigns c where c.id = wanted);
    end if;
    perform app.show_progress(wanted);
    update public.campaigns c set status = 'COMPLETED', ended_at = clock_timestamp(), updated_at = clock_timestamp()
    where c.id = wanted;
    return false;
end;
$$;

revoke execute on function app.call_contact(public.campaign_contacts, public.campaigns),
    app.calls_to_begin(public.campaigns, integer), app.pause_campaign(uuid, text),
    app.fill_campaign(public.campaigns, integer), app.fill_campaigns(uuid, integer), app.take_pace(uuid),
    app.may_show_progress(uuid),
    app.end_contact_call(public.workflow_runs), app.tend_campaign(uuid, timestamptz) from public;
grant execute on function app.tend_campaign(uuid, timestamptz) to service;
