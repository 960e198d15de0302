-- What admins see at a glance: how the product was used day by day, and how it answered hour by hour.
-- Both read with their caller's rights: row-level security gives everybody's rows to admins alone.

-- One row for each of the last days (UTC), today included; at most 90.
create or replace function app.usage_by_day(days integer) returns table (
    day timestamptz, credits_used integer, generations integer, generations_failed integer, replies integer,
    replies_failed integer, cost_micro_usd double precision, latency_milliseconds integer
)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with period as (
        select d as day from generate_series(
            date_trunc('day', now(), 'UTC') - make_interval(days => least(greatest(days, 1), 90) - 1),
            date_trunc('day', now(), 'UTC'), interval '1 day') d
    ), since as (select min(p.day) as t from period p),
    credits as (
        select date_trunc('day', t.created_at, 'UTC') as day, -sum(t.amount) as used
        from public.credit_transactions t
        where t.created_at >= (select s.t from since s) and t.used <> 0 group by 1
    ), attempts as (
        select date_trunc('day', g.created_at, 'UTC') as day, true as is_generation, g.outcome, g.provider,
            g.latency_milliseconds as taken, g.cost_micro_usd
        from public.ai_generation_logs g where g.created_at >= (select s.t from since s)
        union all
        select date_trunc('day', r.created_at, 'UTC'), false, r.outcome, r.provider,
            coalesce(r.first_milliseconds, r.latency_milliseconds), r.cost_micro_usd
        from public.ai_request_logs r where r.created_at >= (select s.t from since s)
    ), made as (
        select a.day, count(*) filter (where a.is_generation) as generations,
            count(*) filter (where a.is_generation and a.outcome not in ('SUCCEEDED', 'CANCELLED'))
                as generations_failed,
            count(*) filter (where not a.is_generation) as replies,
            count(*) filter (where not a.is_generation and a.outcome not in ('SUCCEEDED', 'CANCELLED'))
                as replies_failed,
            sum(a.cost_micro_usd) as cost,
            percentile_cont(0.95) within group (order by a.taken) filter (where a.provider <> 'offline') as taken
        from attempts a group by a.day
    )
    select p.day, coalesce(c.used, 0)::integer, coalesce(m.generations, 0)::integer,
        coalesce(m.generations_failed, 0)::integer, coalesce(m.replies, 0)::integer,
        coalesce(m.replies_failed, 0)::integer, coalesce(m.cost, 0)::double precision, round(m.taken)::integer
    from period p left join credits c using (day) left join made m using (day) order by p.day;
$$;

-- One row for each of the last hours, this one included; at most 168. The times are estimated from the buckets
-- whose upper bounds, in seconds, are `bounds`: within one, times are taken to be spread evenly.
create or replace function app.traffic_by_hour(hours integer, bounds double precision[]) returns table (
    hour timestamptz, answered integer, failed integer, median_milliseconds double precision,
    slowest_milliseconds double precision
)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with period as (
        select h as hour from generate_series(
            date_trunc('hour', now()) - make_interval(hours => least(greatest(hours, 1), 168) - 1),
            date_trunc('hour', now()), interval '1 hour') h
    ), counted as (
        select date_trunc('hour', c.minute) as hour, c.answered, c.failed, c.buckets from public.operation_counts c
        where c.minute >= (select min(p.hour) from period p)
    ), sums as (
        select c.hour, sum(c.answered) as answered, sum(c.failed) as failed from counted c group by c.hour
    ), places as (
        select c.hour, b.place, sum(b.n) as n
        from counted c, unnest(c.buckets) with ordinality b (n, place) group by c.hour, b.place
    ), ranked as (
        select p.hour, p.place, p.n, sum(p.n) over (partition by p.hour order by p.place) as up_to,
            sum(p.n) over (partition by p.hour) as total
        from places p
    ), shares as (select unnest(array[0.5, 0.95]) as share),
    times as (
        select distinct on (r.hour, s.share) r.hour, s.share,
            1000 * (coalesce(bounds[r.place - 1], 0) + (coalesce(bounds[r.place], bounds[cardinality(bounds)])
                - coalesce(bounds[r.place - 1], 0)) * (s.share * r.total - (r.up_to - r.n)) / r.n) as taken
        from ranked r, shares s where r.n > 0 and r.up_to >= s.share * r.total
        order by r.hour, s.share, r.place
    )
    select p.hour, coalesce(s.answered, 0)::integer, coalesce(s.failed, 0)::integer,
        (select t.taken::double precision from times t where t.hour = p.hour and t.share = 0.5),
        (select t.taken::double precision from times t where t.hour = p.hour and t.share = 0.95)
    from period p left join sums s using (hour) order by p.hour;
$$;

-- How many jobs of each kind wait and are under way now; nothing for all but admins. With its definer's rights: the queue
-- is the workers' alone.
create or replace function app.job_queue() returns table (
    entrypoint text, waiting integer, deferred integer, running integer, waiting_since timestamptz,
    running_since timestamptz
)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select q.entrypoint,
        (count(*) filter (where q.status = 'queued' and q.execute_after <= now()))::integer,
        (count(*) filter (where q.status = 'queued' and q.execute_after > now()))::integer,
        (count(*) filter (where q.status = 'picked'))::integer,
        min(q.execute_after) filter (where q.status = 'queued' and q.execute_after <= now()),
        min(q.updated) filter (where q.status = 'picked')
    from queue.pgqueuer q where app.is_admin() group by q.entrypoint order by q.entrypoint;
$$;

-- The credits that are held for work under way, what ends soonest first, at most 200; nothing for all but admins.
create or replace function app.open_holds(at_most integer) returns table (
    user_id text, amount integer, reference text, unlimited boolean, held_at timestamptz, expires_at timestamptz
)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select 'user_' || h.user_id, h.amount, h.reference_id, h.unlimited, h.created_at, h.expires_at
    from public.credit_holds h where h.status = 'OPEN' and app.is_admin()
    order by h.expires_at, h.id limit least(greatest(at_most, 1), 200);
$$;

revoke execute on function
    app.usage_by_day(integer), app.traffic_by_hour(integer, double precision[]), app.job_queue(), app.open_holds(integer)
from public;
grant execute on function
    app.usage_by_day(integer), app.traffic_by_hour(integer, double precision[]), app.job_queue(), app.open_holds(integer)
to authenticated;
