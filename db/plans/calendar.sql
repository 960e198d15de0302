-- The calendar of plans, in UTC whatever a session's time zone is: months are counted from an anchor and
-- never from the month before, so that a plan of 31 January goes on on 28 February and on 31 March.

-- The time that lies so many months after the anchor: the same day of the month, or the last that
-- the month has.
create or replace function app.plan_month(anchor timestamptz, months integer) returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp
return (anchor at time zone 'UTC' + make_interval(months => months)) at time zone 'UTC';

-- How many months begin after the anchor's own and up to a time; 0 before the anchor, too.
create or replace function app.plan_months_begun(anchor timestamptz, at timestamptz) returns integer
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    -- Months of the calendar: the one in which `at` lies may not have begun for the anchor.
    months integer := 12 * (extract(year from at at time zone 'UTC') - extract(year from anchor at time zone 'UTC'))
        + extract(month from at at time zone 'UTC') - extract(month from anchor at time zone 'UTC');
begin
    if app.plan_month(anchor, months) > at then
        months := months - 1;
    end if;
    return greatest(0, months);
end;
$$;

-- When the month began in which a time lies.
create or replace function app.plan_month_of(anchor timestamptz, at timestamptz) returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp
return app.plan_month(anchor, app.plan_months_begun(anchor, at));

-- When the next month begins after a time.
create or replace function app.next_plan_month(anchor timestamptz, at timestamptz) returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp
return app.plan_month(anchor, app.plan_months_begun(anchor, at) + 1);

-- When credits are due next after a time, in a period that ends at `ends_at` (null: never): when the
-- next month begins, or with the period, where less than half a month would be left. A period of 30
-- days from 31 January has one month, though February ends within it.
create or replace function app.next_plan_credits(anchor timestamptz, at timestamptz, ends_at timestamptz)
returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp
return case when ends_at < app.next_plan_month(anchor, at) + interval '15 days' then ends_at
    else app.next_plan_month(anchor, at) end;

-- How many months, and parts of them, lie between two times.
create or replace function app.plan_months_left(anchor timestamptz, at timestamptz, until timestamptz)
returns numeric
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    first_ends timestamptz := app.next_plan_month(anchor, at);
    last_begins timestamptz := app.plan_month_of(anchor, until);
begin
    if until <= at then
        return 0;
    elsif until <= first_ends then
        return app.part_of_plan_month(anchor, at, until);
    end if;
    return app.part_of_plan_month(anchor, at, first_ends)
        + app.plan_months_begun(anchor, until) - app.plan_months_begun(anchor, first_ends)
        + app.part_of_plan_month(anchor, last_begins, until);
end;
$$;

-- How much of the month in which `at` lies is between it and `until`, which is no later than the next.
create or replace function app.part_of_plan_month(anchor timestamptz, at timestamptz, until timestamptz)
returns numeric
language sql immutable set search_path = pg_catalog, pg_temp
return extract(epoch from until - at)
    / extract(epoch from app.next_plan_month(anchor, at) - app.plan_month_of(anchor, at));

revoke execute on function
    app.plan_month(timestamptz, integer), app.plan_months_begun(timestamptz, timestamptz),
    app.plan_month_of(timestamptz, timestamptz), app.next_plan_month(timestamptz, timestamptz),
    app.next_plan_credits(timestamptz, timestamptz, timestamptz),
    app.plan_months_left(timestamptz, timestamptz, timestamptz),
    app.part_of_plan_month(timestamptz, timestamptz, timestamptz)
from public;
