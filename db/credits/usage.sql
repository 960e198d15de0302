-- What a user's credits were used for, summed for a chart.

-- One row for each UTC day that begins or lies between the two timestamps, days without use included;
-- or one for each tool. Without an end it is now, without a beginning 30 days before the end. It
-- reads with its caller's rights, and of `actor_id` alone.
create or replace function app.credit_usage(
    actor_id uuid, summed_by text, from_at timestamptz, to_at timestamptz
) returns table (
    day timestamptz, tool_id text, tool_slug text, used integer, refunded integer, movements integer
)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with period as (
        select coalesce(from_at, coalesce(to_at, now()) - interval '30 days') as begins,
            coalesce(to_at, now()) as ends
    ), uses as (
        select date_trunc('day', t.created_at, 'UTC') as day, t.used, g.tool_id as tool
        from public.credit_transactions t
        left join public.generations g on g.hold_id = t.hold_id and g.user_id = actor_id
        where t.user_id = actor_id and t.used <> 0
        and t.created_at >= (select begins from period) and t.created_at < (select ends from period)
    ), days as (
        -- A year at most, whatever is asked for: a series without an end would never come back.
        select d as day from period, generate_series(
            date_trunc('day', begins, 'UTC'),
            least(ends - interval '1 microsecond', begins + interval '366 days'),
            interval '1 day') d
        where isfinite(begins) and isfinite(ends)
    ), sums as (
        select days.day, null::text as tool, u.used from days left join uses u using (day)
        where summed_by = 'DAY'
        union all
        select null, u.tool, u.used from uses u where summed_by = 'TOOL'
    )
    select s.day, 'tool_' || s.tool, s.tool,
        coalesce(sum(s.used) filter (where s.used > 0), 0)::integer,
        coalesce(-sum(s.used) filter (where s.used < 0), 0)::integer,
        count(*) filter (where s.used > 0)::integer
    from sums s group by s.day, s.tool
    order by s.day, sum(s.used) filter (where s.used > 0) desc nulls last, s.tool;
$$;

revoke execute on function app.credit_usage(uuid, text, timestamptz, timestamptz) from public;
grant execute on function app.credit_usage(uuid, text, timestamptz, timestamptz) to authenticated;
