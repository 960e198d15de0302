-- Organizations that are to be deleted: they stay for a grace in which nothing new begins, and can be kept.

-- Refuses what would begin in an organization that is to be deleted; `goes_at` is when it goes.
create or replace function app.require_staying(goes_at timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if goes_at is not null then
        perform app.refuse('INVALID_STATE',
            'The organization is to be deleted. An owner can keep it, with `keepOrganization`.');
    end if;
end;
$$;

-- Has an organization deleted in 30 days, pauses its campaigns, and has its subscription not be renewed; one that is
-- to be deleted keeps its time. For owners. Returns the organization.
create or replace function app.delete_organization(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    grace constant interval := '30 days';
    own_role text := app.enter_organization(wanted);
begin
    if own_role <> 'OWNER' then
        perform app.refuse('FORBIDDEN', format('Your role is %s. Only an owner deletes an organization.', own_role));
    end if;
    update public.organizations o set deletes_at = now() + grace where o.id = wanted and o.deletes_at is null;
    if found then
        perform app.pause_campaign(c.id, 'The organization is to be deleted.')
        from public.campaigns c where c.organization_id = wanted and c.status in ('SYNCING', 'RUNNING');
        perform app.stop_renewal(wanted);
        perform app.note_organization_change(wanted, 'delete_organization');
    end if;
    return wanted;
end;
$$;

-- Keeps an organization that was to be deleted. Its campaigns stay paused. For owners. Returns the organization.
create or replace function app.keep_organization(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    own_role text := app.enter_organization(wanted);
begin
    if own_role <> 'OWNER' then
        perform app.refuse('FORBIDDEN', format('Your role is %s. Only an owner keeps an organization.', own_role));
    end if;
    update public.organizations o set deletes_at = null where o.id = wanted and o.deletes_at is not null;
    if found then
        perform app.note_organization_change(wanted, 'keep_organization');
    end if;
    return wanted;
end;
$$;

-- Deletes some rows of organizations whose time has come, and the organizations of which no calls are left. Returns
-- how much went; 0 when nothing is left to do.
create or replace function app.erase_organizations(at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    due uuid;
    gone integer;
begin
    select o.id into due from public.organizations o where o.deletes_at <= now()
    order by o.deletes_at, o.id limit 1 for update skip locked;
    if due is null then
        return 0;
    end if;
    delete from public.workflow_runs r where r.id in (
        select x.id from public.workflow_runs x where x.organization_id = due limit at_most);
    get diagnostics gone = row_count;
    if gone = 0 then
        delete from public.campaign_contacts t where t.id in (
            select x.id from public.campaign_contacts x where x.organization_id = due limit at_most);
        get diagnostics gone = row_count;
    end if;
    if gone = 0 then
        delete from public.organizations o where o.id = due;
        gone := 1;
    end if;
    return gone;
end;
$$;

revoke execute on function app.require_staying(timestamptz), app.delete_organization(uuid), app.keep_organization(uuid),
    app.erase_organizations(integer) from public;
grant execute on function app.delete_organization(uuid), app.keep_organization(uuid) to authenticated;
grant execute on function app.erase_organizations(integer) to service;
