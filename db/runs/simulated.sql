-- The simulator's telephone network: it remembers every call that was asked of it.

-- How often a run's number was called by the same workflow before it.
create or replace function app.earlier_calls(wanted uuid) returns integer
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select count(*)::integer from public.workflow_runs r join public.workflow_runs w on w.id = wanted
    where r.workflow_id = w.workflow_id and r.phone_number = w.phone_number
        and (r.created_at, r.id) < (w.created_at, w.id);
$$;

-- Dials a run's number, and counts how often that was asked; what was planned at first happens.
create or replace function app.simulate_call(wanted uuid, planned jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into public.simulated_calls as c (run_id, plan) values (wanted, planned)
    on conflict (run_id) do update set dials = c.dials + 1;
$$;

revoke execute on function app.earlier_calls(uuid), app.simulate_call(uuid, jsonb) from public;
grant execute on function app.earlier_calls(uuid), app.simulate_call(uuid, jsonb) to service;
