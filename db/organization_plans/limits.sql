-- Limits of organizations' plans. What creates something that a plan limits calls, in its own
-- transaction and before it inserts:
--
--     app.enforce_plan_limit(wanted uuid, limited_kind text, amount integer default 1) returns integer
--
-- `wanted` is the organization, `limited_kind` is WORKFLOWS, CALLS (a month), CAMPAIGNS or SEATS. It counts
-- what is to be created, keeps the count locked until the transaction ends, and refuses with
-- PLAN_LIMIT_REACHED what the plan does not allow, so that of any number that create at once no more
-- succeed than there is room for. A transaction that is rolled back has counted nothing. What removes
-- such a thing, or archives a workflow, gives its place back, once, in its own transaction:
--
--     app.release_plan_limit(wanted uuid, limited_kind text, amount integer default 1) returns void
--
-- Calls are never given back: a call that was made stays made, and a new month begins at zero. Both are called
-- by functions of the database alone, whose right to do so they have checked before. Members are counted as
-- they are (SEATS): nothing is given back.

-- When the month of calls began that a moment is in: at 00:00 UTC of the reset day.
create or replace function app.usage_period_start(reset_day integer, moment timestamptz) returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp
return (date_trunc('month', (moment at time zone 'UTC') - make_interval(days => reset_day - 1))
    + make_interval(days => reset_day - 1)) at time zone 'UTC';

-- When that month ends, and calls are counted from zero.
create or replace function app.usage_period_end(reset_day integer, moment timestamptz) returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp
return ((app.usage_period_start(reset_day, moment) at time zone 'UTC') + interval '1 month') at time zone 'UTC';

-- A limit of a plan; -1 for none. Each subscribed seat brings as many members as the plan says.
create or replace function app.limit_of_plan(plan public.organization_plans, limited_kind text, seats integer)
returns integer
language sql immutable set search_path = pg_catalog, pg_temp
return case limited_kind
    when 'WORKFLOWS' then plan.workflows
    when 'CALLS' then plan.calls_per_month
    when 'CAMPAIGNS' then plan.campaigns
    when 'SEATS' then case plan.seats when -1 then -1 else plan.seats * seats end
end;

-- A limit of an organization's plan, for the schema.
create or replace function app.plan_limit(wanted_plan text, limited_kind text, seats integer) returns integer
language sql stable set search_path = pg_catalog, pg_temp as $$
    select app.limit_of_plan(p, limited_kind, plan_limit.seats) from public.organization_plans p where p.id = wanted_plan;
$$;

-- How much an organization uses of something now, as far as the caller may read.
create or replace function app.plan_usage(wanted uuid, limited_kind text, reset_day integer) returns integer
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when limited_kind = 'SEATS' then (
            select count(*)::integer from public.organization_members m
            where m.organization_id = wanted and not m.is_robot)
        else coalesce((
            select u.used from public.organization_usage u
            where u.organization_id = wanted and u.kind = limited_kind
                and u.period_start = case limited_kind when 'CALLS' then app.usage_period_start(reset_day, now())
                    else 'epoch' end), 0) end;
$$;

-- What to upgrade to from a plan: the lowest plan above it that has room for `wanted_use` of something.
create or replace function app.plan_with_room(current_plan text, limited_kind text, wanted_use integer, seats integer)
returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select p.id from public.organization_plans p
    where p.is_active and p.sort_order > (select c.sort_order from public.organization_plans c where c.id = current_plan)
        and (app.limit_of_plan(p, limited_kind, plan_with_room.seats) = -1
            or app.limit_of_plan(p, limited_kind, plan_with_room.seats) >= wanted_use)
    order by p.sort_order, p.id limit 1;
$$;

-- Refuses with what is allowed, what is used, and what to upgrade to.
create or replace function app.refuse_beyond_plan(
    plan public.organization_plans, limited_kind text, allowed integer, used integer, amount integer, seats integer
) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    better text := app.plan_with_room(plan.id, limited_kind, used + amount, seats);
    things text := case limited_kind when 'WORKFLOWS' then 'workflows' when 'CALLS' then 'calls a month'
        when 'CAMPAIGNS' then 'campaigns' else 'members' end;
begin
    perform app.refuse('PLAN_LIMIT_REACHED',
        format('The plan %s allows %s %s; %s are used. %s', plan.name, allowed, things, used,
            case when better is null then 'Remove some first.'
                else format('Upgrade to %s.', (select p.name from public.organization_plans p where p.id = better)) end),
        jsonb_build_object('kind', limited_kind, 'limit', allowed, 'used', used, 'plan_id', better));
end;
$$;

-- Counts `amount` more of something that an organization is about to have, and returns how much that is now;
-- PLAN_LIMIT_REACHED when its plan allows less. See above.
create or replace function app.enforce_plan_limit(wanted uuid, limited_kind text, amount integer default 1)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    organization public.organizations;
    plan public.organization_plans;
    goes_at timestamptz;
    reset_day integer;
    allowed integer;
    counted integer;
begin
    if limited_kind = 'SEATS' then
        -- Members are counted as they are; whoever adds one has locked the organization or does here.
        perform from public.organizations o where o.id = wanted for no key update;
    end if;
    select o.deletes_at, o.usage_reset_day, app.limit_of_plan(p, limited_kind, o.seats)
    into goes_at, reset_day, allowed
    from public.organizations o join public.organization_plans p on p.id = o.plan_id where o.id = wanted;
    perform app.require_staying(goes_at);
    if limited_kind = 'SEATS' then
        counted := app.plan_usage(wanted, limited_kind, reset_day) + amount;
    else
        insert into public.organization_usage as u (organization_id, kind, period_start, used)
        values (wanted, limited_kind, case limited_kind
            when 'CALLS' then app.usage_period_start(reset_day, now()) else 'epoch' end, amount)
        on conflict (organization_id, kind, period_start) do update set used = u.used + excluded.used
        returning u.used into counted;
    end if;
    if allowed <> -1 and counted > allowed then
        select * into organization from public.organizations o where o.id = wanted;
        select * into plan from public.organization_plans p where p.id = organization.plan_id;
        perform app.refuse_beyond_plan(plan, limited_kind, allowed, counted - amount, amount, organization.seats);
    end if;
    return counted;
end;
$$;

-- Gives the place of something back that is removed. See above.
create or replace function app.release_plan_limit(wanted uuid, limited_kind text, amount integer default 1)
returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.organization_usage u set used = greatest(0, u.used - amount)
    where u.organization_id = wanted and u.kind = limited_kind and u.kind <> 'CALLS' and u.period_start = 'epoch';
$$;

revoke execute on function
    app.usage_period_start(integer, timestamptz), app.usage_period_end(integer, timestamptz),
    app.limit_of_plan(public.organization_plans, text, integer), app.plan_limit(text, text, integer),
    app.plan_usage(uuid, text, integer), app.plan_with_room(text, text, integer, integer),
    app.refuse_beyond_plan(public.organization_plans, text, integer, integer, integer, integer),
    app.enforce_plan_limit(uuid, text, integer), app.release_plan_limit(uuid, text, integer)
from public;
grant execute on function
    app.usage_period_start(integer, timestamptz), app.usage_period_end(integer, timestamptz),
    app.limit_of_plan(public.organization_plans, text, integer), app.plan_limit(text, text, integer),
    app.plan_usage(uuid, text, integer)
to authenticated;
