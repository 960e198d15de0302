-- The audit log of organizations. Whatever writes a line into `audit_log` that names an organization writes one here,
-- by this trigger, so that nothing that is noted of somebody is missing for their organization.

-- Trigger: copies what an organization's owners and admins are to read.
create or replace function app.note_for_organization() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.organization_audit_log (organization_id, user_id, actor, action, subject, role, created_at)
    select o.id, new.user_id, (select coalesce(u.email, u.display_name) from public.users u where u.id = new.user_id),
        new.action, coalesce(new.detail ->> 'member', new.detail ->> 'invitation', new.detail ->> 'api_key',
            new.detail ->> 'run', new.detail ->> 'campaign', new.detail ->> 'workflow', new.detail ->> 'plan'),
        new.detail ->> 'role', new.created_at
    from public.organizations o where o.id = substr(new.detail ->> 'organization', 14)::uuid;
    return null;
end;
$$;

-- Takes an account that is being erased out of the lines that name it: as who did something, and as whom it was done
-- to. What was done stays.
create or replace function app.forget_in_organization_audit(leaving uuid, at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    done integer;
begin
    update public.organization_audit_log l
    set actor = case when l.user_id = leaving then null else l.actor end,
        subject = case when l.subject = 'user_' || leaving then 'user_gone' else l.subject end
    where l.id in (
        select a.id from public.organization_audit_log a
        where a.user_id = leaving and a.actor is not null
            or starts_with(a.subject, 'user_') and a.subject = 'user_' || leaving
        limit at_most);
    get diagnostics done = row_count;
    return done;
end;
$$;

revoke execute on function app.note_for_organization(), app.forget_in_organization_audit(uuid, integer) from public;
