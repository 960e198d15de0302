-- Workflows and their versions. Whatever changes them locks the organization first, so that what its
-- plan allows is counted exactly.

-- Notes in the audit log what was done to a workflow.
create or replace function app.note_workflow(wanted uuid, action text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into public.audit_log (user_id, action, detail)
    select app.user_id(), note_workflow.action,
        jsonb_build_object('workflow', 'workflow_' || w.id, 'organization', 'organization_' || w.organization_id)
    from public.workflows w where w.id = wanted;
$$;

-- Refuses members who only look on.
create or replace function app.require_editor(own_role text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if own_role not in ('OWNER', 'ADMIN', 'MEMBER') then
        perform app.refuse('FORBIDDEN', format('Your role is %s. Members, admins and owners may do this.', own_role));
    end if;
end;
$$;

-- A workflow of an organization in which the caller may change something; the organization is locked.
-- NOT_FOUND for who is no member of it.
create or replace function app.enter_workflow(wanted uuid, field text) returns public.workflows
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    workflow public.workflows;
begin
    select * into workflow from public.workflows w where w.id = wanted;
    if not found or not exists (select from public.organization_members m
        where m.organization_id = workflow.organization_id and m.user_id = app.required_user_id()) then
        perform app.refuse('NOT_FOUND', 'There is no such workflow.',
            jsonb_build_object('path', jsonb_build_array('input', field)));
    end if;
    perform app.require_editor(app.enter_organization(workflow.organization_id));
    -- Its key stays, so that a campaign's call to it can be made meanwhile.
    select * into workflow from public.workflows w where w.id = wanted for no key update;
    return workflow;
end;
$$;

-- Refuses another workflow to an organization that has as many as there may be, whatever its plan.
create or replace function app.require_room_for_workflow(wanted_organization uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    workflows_limit constant integer := 1000;
begin
    if (select count(*) from public.workflows w where w.organization_id = wanted_organization) >= workflows_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('An organization has at most %s workflows.', workflows_limit));
    end if;
end;
$$;

-- Makes a definition the current version of a workflow: the version that it is already, or a new one.
create or replace function app.make_current(wanted uuid, definition jsonb, hash text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    versions_limit constant integer := 100;
    known uuid;
    last_number integer;
begin
    select v.id into known from public.workflow_versions v
    where v.workflow_id = wanted and v.hash = make_current.hash;
    select coalesce(max(v.number), 0) into last_number from public.workflow_versions v where v.workflow_id = wanted;
    if known is null and last_number >= versions_limit then
        perform app.refuse('LIMIT_EXCEEDED', format(
            'A workflow has at most %s versions. Make another workflow of it.', versions_limit));
    end if;
    update public.workflow_versions v set is_current = false
    where v.workflow_id = wanted and v.is_current and v.id is distinct from known;
    if known is null then
        insert into public.workflow_versions (workflow_id, organization_id, number, hash, definition, is_current)
        select wanted, w.organization_id, last_number + 1, make_current.hash, make_current.definition, true
        from public.workflows w where w.id = wanted;
    else
        update public.workflow_versions v set is_current = true where v.id = known and not v.is_current;
    end if;
end;
$$;

-- Makes a workflow with its first version and returns it; the same key the same one.
create or replace function app.create_workflow(
    wanted_organization uuid, wanted_name text, definition jsonb, hash text, variables jsonb, idempotency_key text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    fingerprint bytea := sha256(convert_to(jsonb_build_array(wanted_organization, wanted_name, hash, variables)::text,
                                           'UTF8'));
    made uuid;
begin
    perform app.check_idempotency_key(idempotency_key);
    perform app.require_editor(app.enter_organization(wanted_organization));
    made := app.remembered_result(app.user_id(), 'create_workflow', idempotency_key, fingerprint);
    if made is not null then
        return made;
    end if;
    perform app.require_room_for_workflow(wanted_organization);
    perform app.enforce_plan_limit(wanted_organization, 'WORKFLOWS');
    insert into public.workflows (organization_id, name, template_variables)
    values (wanted_organization, wanted_name, variables) returning id into made;
    perform app.make_current(made, definition, hash);
    perform app.note_workflow(made, 'create_workflow');
    perform app.remember_result(app.user_id(), 'create_workflow', idempotency_key, fingerprint, made);
    return made;
end;
$$;

-- Changes what is given of a workflow, null for what stays; a name alone makes no version.
create or replace function app.update_workflow(
    wanted uuid, wanted_name text, definition jsonb, hash text, variables jsonb
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    workflow public.workflows := app.enter_workflow(wanted, 'id');
begin
    if workflow.status = 'ARCHIVED' then
        perform app.refuse('INVALID_STATE', 'The workflow is archived. Restore it first.', '{"path": ["input", "id"]}');
    end if;
    if hash is not null then
        perform app.make_current(wanted, definition, hash);
    end if;
    update public.workflows w set name = coalesce(wanted_name, w.name),
        template_variables = coalesce(variables, w.template_variables), updated_at = clock_timestamp()
    where w.id = wanted;
    perform app.note_workflow(wanted, 'update_workflow');
    return wanted;
end;
$$;

-- Takes a workflow from one state to another: PUBLISH, ARCHIVE or RESTORE. Calls that are under way go on; campaigns
-- that call with what is put away are paused.
create or replace function app.move_workflow(wanted uuid, step text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    workflow public.workflows := app.enter_workflow(wanted, 'id');
    next_status text;
begin
    next_status := case
        when step = 'PUBLISH' and workflow.status = 'DRAFT' then 'ACTIVE'
        when step = 'ARCHIVE' and workflow.status in ('DRAFT', 'ACTIVE') then 'ARCHIVED'
        when step = 'RESTORE' and workflow.status = 'ARCHIVED' then
            case when workflow.published_at is null then 'DRAFT' else 'ACTIVE' end
    end;
    if next_status is null then
        perform app.refuse('INVALID_STATE', format('The workflow is %s, so this cannot be done with it.', workflow.status),
            '{"path": ["input", "id"]}');
    end if;
    -- What is put away does not count.
    if next_status = 'ARCHIVED' then
        perform app.release_plan_limit(workflow.organization_id, 'WORKFLOWS');
        perform app.pause_campaign(c.id, 'Its workflow is archived. Restore it, then resume the campaign.')
        from public.campaigns c where c.workflow_id = wanted and c.status in ('SYNCING', 'RUNNING');
    elsif workflow.status = 'ARCHIVED' then
        perform app.enforce_plan_limit(workflow.organization_id, 'WORKFLOWS');
    end if;
    update public.workflows w set status = next_status, updated_at = clock_timestamp(),
        published_at = case when next_status = 'ACTIVE' then coalesce(w.published_at, now()) else w.published_at end
    where w.id = wanted;
    perform app.note_workflow(wanted, lower(step) || '_workflow');
    return wanted;
end;
$$;

revoke execute on function app.note_workflow(uuid, text), app.require_editor(text), app.enter_workflow(uuid, text),
    app.require_room_for_workflow(uuid), app.make_current(uuid, jsonb, text),
    app.create_workflow(uuid, text, jsonb, text, jsonb, text), app.update_workflow(uuid, text, jsonb, text, jsonb),
    app.move_workflow(uuid, text) from public;
grant execute on function app.create_workflow(uuid, text, jsonb, text, jsonb, text),
    app.update_workflow(uuid, text, jsonb, text, jsonb), app.move_workflow(uuid, text) to authenticated;
