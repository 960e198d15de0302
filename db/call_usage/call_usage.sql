-- What an organization's calls came to.

-- The calls of an organization that were dialled, summed by DAY (of a time zone, days without calls too), WORKFLOW or
-- CAMPAIGN, the busiest 100 of these first. Nothing for who is no member of it. It has its caller's rights.
create or replace function app.call_usage(
    actor_id uuid, wanted uuid, summed_by text, time_zone text, from_at timestamptz, to_at timestamptz
) returns table (
    day timestamptz, workflow_id uuid, campaign_id uuid, calls integer, completed integer, voicemail integer,
    busy integer, no_answer integer, failed integer, duration_seconds integer, cost_cents integer
)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with period as (
        select coalesce(from_at, coalesce(to_at, now()) - interval '30 days') as begins,
            coalesce(to_at, now()) as ends
        where exists (select from public.organization_members m
            where m.organization_id = wanted and m.user_id = actor_id)
    ), made as (
        select r.id, r.workflow_id, r.campaign_id, r.status, r.duration_seconds, r.cost_micro_usd,
            date_trunc('day', r.created_at, call_usage.time_zone) as day
        from period p join public.workflow_runs r on r.organization_id = wanted
            and r.created_at >= p.begins and r.created_at < p.ends and r.dialled_at is not null
    ), days as (
        -- A year at most, whatever is asked for: a series without an end would never come back.
        select d as day from period, generate_series(
            date_trunc('day', begins, call_usage.time_zone),
            least(ends - interval '1 microsecond', begins + interval '366 days'),
            interval '1 day', call_usage.time_zone) d
        where isfinite(begins) and isfinite(ends)
    ), grouped as (
        select days.day, null::uuid as workflow, null::uuid as campaign, m.id, m.status, m.duration_seconds as seconds,
            m.cost_micro_usd as micro_usd
        from days left join made m using (day) where summed_by = 'DAY'
        union all
        select null, m.workflow_id, null, m.id, m.status, m.duration_seconds, m.cost_micro_usd
        from made m where summed_by = 'WORKFLOW'
        union all
        select null, null, m.campaign_id, m.id, m.status, m.duration_seconds, m.cost_micro_usd
        from made m where summed_by = 'CAMPAIGN'
    )
    select g.day, g.workflow, g.campaign, count(g.id)::integer,
        count(*) filter (where g.status = 'COMPLETED')::integer,
        count(*) filter (where g.status = 'VOICEMAIL')::integer,
        count(*) filter (where g.status = 'BUSY')::integer,
        count(*) filter (where g.status = 'NO_ANSWER')::integer,
        count(*) filter (where g.status in ('FAILED', 'CANCELLED'))::integer,
        coalesce(sum(g.seconds), 0)::integer, coalesce(round(sum(g.micro_usd) / 10000.0), 0)::integer
    from grouped g group by g.day, g.workflow, g.campaign
    order by g.day, count(g.id) desc, g.workflow, g.campaign
    limit case when summed_by <> 'DAY' then 100 end;
$$;

revoke execute on function app.call_usage(uuid, uuid, text, text, timestamptz, timestamptz) from public;
grant execute on function app.call_usage(uuid, uuid, text, text, timestamptz, timestamptz) to authenticated;
