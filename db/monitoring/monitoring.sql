-- Counts of operations by minute, and the alerts that are made of them.

-- Adds what a process has answered since it was last asked: `counts` has for each operation its `kind`
-- and `field`, how many were `answered` and `failed`, and the `buckets` of how long they took.
create or replace function app.count_operations(counts jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into public.operation_counts as c (minute, kind, field, answered, failed, buckets)
    select date_trunc('minute', clock_timestamp()), g.kind, g.field, g.answered, g.failed, g.buckets
    from jsonb_to_recordset(counts) g (kind text, field text, answered integer, failed integer, buckets integer[])
    order by g.kind, g.field
    on conflict (minute, kind, field) do update
    set answered = c.answered + excluded.answered, failed = c.failed + excluded.failed,
        buckets = (select array_agg(coalesce(o.n, 0) + coalesce(a.n, 0) order by coalesce(o.place, a.place))
            from unnest(c.buckets) with ordinality o (n, place)
                full join unnest(excluded.buckets) with ordinality a (n, place) on a.place = o.place);
$$;

-- Which share of some operations failed since a time; null of fewer than ten, of which one would be a tenth.
create or replace function app.failed_share(fields text[], since timestamptz) returns double precision
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select sum(c.failed)::double precision / nullif(sum(c.answered), 0)
    from public.operation_counts c where c.field = any (fields) and c.minute >= since
    having sum(c.answered) >= 10;
$$;

-- What each alert watches, over the last ten minutes. The time that providers take, of replies until the first
-- words, is the 95th of 100, of ten at least; a webhook has failed when it was quarantined, but not what anybody
-- can send who knows no secret, or when it waits for longer than five minutes.
create or replace function app.measure_alerts(out alert_id text, out measured double precision) returns setof record
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with since as (select clock_timestamp() - interval '10 minutes' as t)
    select 'ai-latency', (select percentile_cont(0.95) within group (order by l.latency_milliseconds) / 1000.0
        from (select g.latency_milliseconds from public.ai_generation_logs g
                where g.created_at >= since.t and g.provider <> 'offline'
            union all
            select coalesce(r.first_milliseconds, r.latency_milliseconds) from public.ai_request_logs r
                where r.created_at >= since.t and r.provider <> 'offline') l
        having count(*) >= 10) from since
    union all select 'sync-failures', app.failed_share('{syncProfiles}', since.t) from since
    union all select 'deduction-failures',
        app.failed_share('{spendCredits,createGeneration,sendChatMessage,analyzeProfile}', since.t) from since
    union all select 'webhook-failures', (select count(*) from public.webhook_events e
        where e.status = 'QUARANTINED' and e.received_at >= since.t
                and coalesce(e.reason, '') not in ('FORGED', 'STALE')
            or e.status = 'RECEIVED' and e.received_at < clock_timestamp() - interval '5 minutes') from since;
$$;

-- Measures all alerts, and tells of those that begin or end: by e-mail to `email`, and by a job that calls the
-- operator's webhook where `with_webhook` says so. `thresholds` has the limit of each. Returns how many changed.
-- Workers do this one after the other, so that a change is told once. One that fires is over when it was within its limit
-- for five minutes: a value that goes up and down around it is told of once.
create or replace function app.check_alerts(thresholds jsonb, email text, with_webhook boolean) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    calm constant interval := '5 minutes';
    found record;
    is_beyond boolean;
    before public.alerts;
    next text;
    changed integer := 0;
begin
    perform pg_advisory_xact_lock(hashtextextended('alerts', 0));
    for found in
        select m.alert_id, m.measured, (thresholds ->> m.alert_id)::double precision as threshold
        from app.measure_alerts() m where thresholds ? m.alert_id order by m.alert_id
    loop
        is_beyond := coalesce(found.measured > found.threshold, false);
        select * into before from public.alerts a where a.id = found.alert_id;
        next := case when is_beyond or before.status = 'FIRING' and before.beyond_at > clock_timestamp() - calm
            then 'FIRING' else 'OK' end;
        insert into public.alerts as a (id, status, measured, threshold, changed_at, checked_at, beyond_at)
        values (found.alert_id, next, found.measured, found.threshold,
            case next when 'FIRING' then clock_timestamp() end, clock_timestamp(),
            case when is_beyond then clock_timestamp() end)
        on conflict (id) do update
        set status = excluded.status, measured = excluded.measured, threshold = excluded.threshold,
            checked_at = excluded.checked_at, beyond_at = coalesce(excluded.beyond_at, a.beyond_at),
            changed_at = case when a.status = excluded.status then a.changed_at else clock_timestamp() end;
        if next is distinct from coalesce(before.status, 'OK') then
            changed := changed + 1;
            perform app.tell_of_alert(found.alert_id, next, found.measured, found.threshold, email, with_webhook);
        end if;
    end loop;
    return changed;
end;
$$;

-- Whether an alert has begun or ended since a change of it: what is told last is how it stands.
create or replace function app.alert_changed_since(alert_id text, told_at timestamptz) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from public.alerts a where a.id = alert_id and a.changed_at > told_at);
$$;

-- Queues what is told of an alert that has begun or ended.
create or replace function app.tell_of_alert(
    alert_id text, status text, measured double precision, threshold double precision, email text,
    with_webhook boolean
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    told jsonb := jsonb_build_object('alert', alert_id, 'measured', measured, 'threshold', threshold);
begin
    if email is not null then
        perform app.queue_email(case status when 'FIRING' then 'alert_firing' else 'alert_over' end, email, null, null,
            jsonb_strip_nulls(told));
    end if;
    if with_webhook then
        perform app.enqueue_once('call_alert_webhook', told || jsonb_build_object('status', status,
            'changed_at', clock_timestamp()), format('alert:%s:%s:%s', alert_id, status, clock_timestamp()), 5);
    end if;
end;
$$;

revoke execute on function app.count_operations(jsonb), app.failed_share(text[], timestamptz), app.measure_alerts(),
    app.check_alerts(jsonb, text, boolean),
    app.tell_of_alert(text, text, double precision, double precision, text, boolean),
    app.alert_changed_since(text, timestamptz) from public;
grant execute on function app.count_operations(jsonb), app.check_alerts(jsonb, text, boolean),
    app.alert_changed_since(text, timestamptz) to service;
