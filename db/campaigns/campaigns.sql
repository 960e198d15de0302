-- Campaigns: made and moved by members, and filled with contacts by workers. Whatever begins or ends their
-- calls holds the lock on the organization's lines (`app.lock_lines`), then changes contacts and progress.

-- A place for a list of contacts of an organization.
create or replace function app.create_contact_list(wanted_organization uuid, size_bytes bigint) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    lists_limit constant integer := 100;
    made uuid;
begin
    perform app.require_editor(app.enter_organization(wanted_organization));
    perform app.require_staying(o.deletes_at) from public.organizations o where o.id = wanted_organization;
    if (select count(*) from public.contact_lists l where l.organization_id = wanted_organization) >= lists_limit then
        perform app.refuse('LIMIT_EXCEEDED', format(
            'An organization has at most %s lists. Each goes 30 days after it was announced.', lists_limit));
    end if;
    insert into public.contact_lists (organization_id, size_bytes)
    values (wanted_organization, create_contact_list.size_bytes) returning id into made;
    return made;
end;
$$;

-- Notes what was done to a campaign.
create or replace function app.note_campaign(wanted uuid, action text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into public.audit_log (user_id, action, detail)
    select app.user_id(), note_campaign.action,
        jsonb_build_object('campaign', 'campaign_' || c.id, 'organization', 'organization_' || c.organization_id)
    from public.campaigns c where c.id = wanted;
$$;

-- Makes a campaign of a list that is there and returns it; the same key the same one.
create or replace function app.create_campaign(
    wanted_workflow uuid, wanted_list uuid, given jsonb, idempotency_key text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    campaigns_limit constant integer := 1000;
    fingerprint bytea := sha256(convert_to(jsonb_build_array(wanted_workflow, wanted_list, given)::text, 'UTF8'));
    workflow public.workflows;
    contacts public.contact_lists;
    made uuid;
begin
    perform app.check_idempotency_key(idempotency_key);
    workflow := app.enter_workflow(wanted_workflow, 'workflowId');
    made := app.remembered_result(app.user_id(), 'create_campaign', idempotency_key, fingerprint);
    if made is not null then
        return made;
    end if;
    select * into contacts from public.contact_lists l
    where l.id = wanted_list and l.organization_id = workflow.organization_id;
    if contacts.id is null then
        perform app.refuse('NOT_FOUND', 'There is no such list of contacts.', '{"path": ["input", "contactListId"]}');
    elsif contacts.status <> 'READY' then
        perform app.refuse('UPLOAD_MISSING', 'No file has arrived yet. PUT it to the list''s url first.',
            '{"path": ["input", "contactListId"]}');
    elsif workflow.status <> 'ACTIVE' then
        perform app.refuse('INVALID_STATE', format('The workflow is %s. Publish or restore it first.', workflow.status),
            '{"path": ["input", "workflowId"]}');
    elsif (select count(*) from public.campaigns c where c.organization_id = workflow.organization_id)
        >= campaigns_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('An organization has at most %s campaigns.', campaigns_limit));
    end if;
    perform app.enforce_plan_limit(workflow.organization_id, 'CAMPAIGNS');
    insert into public.campaigns (organization_id, workflow_id, contact_list_id, name, time_zone, windows, starts_at,
        calls_per_second, concurrency, max_retries, retry_delay_seconds, retry_on_busy, retry_on_no_answer,
        retry_on_voicemail)
    select workflow.organization_id, wanted_workflow, wanted_list, p.name, p.time_zone, p.windows, p.starts_at,
        p.calls_per_second, p.concurrency, p.max_retries, p.retry_delay_seconds, p.retry_on_busy,
        p.retry_on_no_answer, p.retry_on_voicemail
    from jsonb_to_record(given) as p (name text, time_zone text, windows jsonb, starts_at timestamptz,
        calls_per_second float8, concurrency integer, max_retries integer, retry_delay_seconds integer,
        retry_on_busy boolean, retry_on_no_answer boolean, retry_on_voicemail boolean)
    returning id into made;
    insert into public.campaign_progress (campaign_id) values (made);
    perform app.note_campaign(made, 'create_campaign');
    perform app.remember_result(app.user_id(), 'create_campaign', idempotency_key, fingerprint, made);
    return made;
end;
$$;

-- Trigger: a campaign that is over gives its place in the plan back.
create or replace function app.release_campaign() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.release_plan_limit(new.organization_id, 'CAMPAIGNS');
    return null;
end;
$$;

-- Puts what a campaign does next in line: reading its contacts, or calling.
create or replace function app.enqueue_campaign(wanted uuid, status text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if status = 'SYNCING' then
        perform app.enqueue_once('sync_campaign', jsonb_build_object('campaign_id', wanted), 'sync:' || wanted);
    elsif status = 'RUNNING' then
        perform app.enqueue_once('run_campaign', jsonb_build_object('campaign_id', wanted), 'campaign:' || wanted);
    end if;
end;
$$;

-- Takes a campaign from one state to another: START, PAUSE, RESUME or CANCEL; INVALID_STATE for every other step.
create or replace function app.move_campaign(wanted uuid, step text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    campaign public.campaigns;
    next_status text;
begin
    select * into campaign from public.campaigns c where c.id = wanted;
    if not found or not exists (select from public.organization_members m
        where m.organization_id = campaign.organization_id and m.user_id = app.required_user_id()) then
        perform app.refuse('NOT_FOUND', 'There is no such campaign.', '{"path": ["input", "id"]}');
    end if;
    perform app.require_editor(app.enter_organization(campaign.organization_id));
    perform app.lock_lines(campaign.organization_id);
    select * into campaign from public.campaigns c where c.id = wanted for update;
    next_status := case
        when step = 'START' and campaign.status = 'CREATED' then 'SYNCING'
        when step = 'PAUSE' and campaign.status in ('SYNCING', 'RUNNING') then 'PAUSED'
        when step = 'RESUME' and campaign.status = 'PAUSED' then
            case when campaign.synced_at is null then 'SYNCING' else 'RUNNING' end
        when step = 'CANCEL' and campaign.status in ('CREATED', 'SYNCING', 'RUNNING', 'PAUSED') then 'CANCELLED'
    end;
    if next_status is null or step in ('START', 'RESUME')
        and (select w.status from public.workflows w where w.id = campaign.workflow_id) <> 'ACTIVE' then
        perform app.refuse('INVALID_STATE', case when next_status is null
            then format('The campaign is %s, so this cannot be done with it.', campaign.status)
            else 'The workflow is archived. Restore it first.' end, '{"path": ["input", "id"]}');
    end if;
    if step in ('START', 'RESUME') then
        perform app.require_staying(o.deletes_at) from public.organizations o where o.id = campaign.organization_id;
    elsif next_status = 'CANCELLED' then
        perform app.cancel_contacts(wanted);
    end if;
    perform app.show_progress(wanted);
    update public.campaigns c set status = next_status, updated_at = clock_timestamp(), pause_reason = null,
        started_at = case when step = 'START' then clock_timestamp() else c.started_at end,
        ended_at = case when next_status = 'CANCELLED' then clock_timestamp() end
    where c.id = wanted;
    -- A call that was given its line and not dialled before the pause is dialled now.
    if step = 'RESUME' then
        perform app.enqueue_once('place_call', jsonb_build_object('run_id', r.id), 'call:' || r.id)
        from public.workflow_runs r
        where r.campaign_id = wanted and r.status = 'QUEUED' and r.enqueued_at is not null;
    end if;
    perform app.enqueue_campaign(wanted, next_status);
    perform app.note_campaign(wanted, lower(step) || '_campaign');
    return wanted;
end;
$$;

-- Calls off whom a campaign has not called yet; calls that were dialled go on.
create or replace function app.cancel_contacts(wanted uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    update public.workflow_runs r set status = 'CANCELLED', ended_at = clock_timestamp()
    where r.campaign_id = wanted and r.status = 'QUEUED';
    update public.campaign_contacts t set status = 'CANCELLED', next_call_at = null
    where t.campaign_id = wanted and (t.status = 'QUEUED' or t.status = 'CALLING' and exists (
        select from public.workflow_runs r
        where r.contact_id = t.id and r.attempt = t.calls and r.status = 'CANCELLED'));
end;
$$;

-- Shows how far a campaign has come to those who watch it.
create or replace function app.show_progress(wanted uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    update public.campaigns c set call_count = p.call_count, processed_count = p.processed_count,
        failed_count = p.failed_count, retry_count = p.retry_count
    from public.campaign_progress p
    where c.id = wanted and p.campaign_id = wanted
        and (c.call_count, c.processed_count, c.failed_count, c.retry_count)
            is distinct from (p.call_count, p.processed_count, p.failed_count, p.retry_count);
    if found then
        update public.campaign_progress p set shown_at = clock_timestamp() where p.campaign_id = wanted;
    end if;
end;
$$;

-- Keeps rows of a list as contacts: [row number, phone number, variables] each. Whose number is on the list
-- already is refused. The same rows again change nothing. Nothing is kept for a campaign that ended meanwhile;
-- false tells so.
create or replace function app.keep_contacts(wanted uuid, kept jsonb, wrong jsonb) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    refused_limit constant integer := 1000;
    campaign public.campaigns;
begin
    select * into campaign from public.campaigns c where c.id = wanted for share;
    if campaign.id is null or campaign.synced_at is not null or campaign.status not in ('SYNCING', 'PAUSED') then
        return false;
    end if;
    insert into public.campaign_contacts (campaign_id, organization_id, row_number, phone_number, variables)
    select wanted, campaign.organization_id, (r ->> 0)::integer, r ->> 1, r -> 2
    from jsonb_array_elements(kept) r on conflict do nothing;
    insert into public.refused_rows (campaign_id, organization_id, row_number, field, message)
    select wanted, campaign.organization_id, (r ->> 0)::integer, r ->> 1, r ->> 2
    from (
        select r from jsonb_array_elements(wrong) r
        union all
        select jsonb_build_array(r -> 0, 'phone_number', 'The number is on the list already.')
        from jsonb_array_elements(kept) r
        where not exists (select from public.campaign_contacts t
            where t.campaign_id = wanted and t.row_number = (r ->> 0)::integer)
    ) as found (r)
    where (select count(*) from public.refused_rows o where o.campaign_id = wanted) < refused_limit
    on conflict do nothing;
    return true;
end;
$$;

-- Notes that all rows of a campaign's list were read, or why they could not be. A pause that came meanwhile
-- stays. Without anybody to call, the campaign is complete.
create or replace function app.finish_sync(wanted uuid, row_count integer, fault text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    campaign public.campaigns;
    contacts integer := (select count(*) from public.campaign_contacts t where t.campaign_id = wanted);
    next_status text;
begin
    select * into campaign from public.campaigns c where c.id = wanted for update;
    if campaign.id is null or campaign.synced_at is not null or campaign.status not in ('SYNCING', 'PAUSED') then
        return;
    end if;
    next_status := case when fault is not null then 'FAILED' when campaign.status = 'PAUSED' then 'PAUSED'
        when contacts = 0 then 'COMPLETED' else 'RUNNING' end;
    update public.campaigns c set status = next_status, error = fault, contact_count = contacts,
        refused_row_count = greatest(0, row_count - contacts), updated_at = clock_timestamp(),
        synced_at = case when fault is null then clock_timestamp() end,
        ended_at = case when next_status in ('COMPLETED', 'FAILED') then clock_timestamp() end
    where c.id = wanted;
    perform app.enqueue_campaign(wanted, next_status);
end;
$$;

revoke execute on function app.release_campaign(), app.create_contact_list(uuid, bigint), app.note_campaign(uuid, text),
    app.create_campaign(uuid, uuid, jsonb, text), app.enqueue_campaign(uuid, text), app.move_campaign(uuid, text),
    app.cancel_contacts(uuid), app.show_progress(uuid), app.keep_contacts(uuid, jsonb, jsonb),
    app.finish_sync(uuid, integer, text) from public;
grant execute on function app.create_contact_list(uuid, bigint), app.create_campaign(uuid, uuid, jsonb, text),
    app.move_campaign(uuid, text) to authenticated;
grant execute on function app.keep_contacts(uuid, jsonb, jsonb), app.finish_sync(uuid, integer, text) to service;
