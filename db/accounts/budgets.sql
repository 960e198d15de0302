-- How often something may happen for an address or a device within a span of time, exactly, whichever
-- process asks: each budget is one row, and its lock decides who is the last to be let in.

-- Of the uses, those that still count.
create or replace function app.counted_uses(used_at timestamptz[], span interval) returns timestamptz[]
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(u order by u), '{}') from unnest(used_at) u where u > clock_timestamp() - span;
$$;

-- Seconds until a budget of `most` uses within `span` has room again; null when it has now.
create or replace function app.budget_wait(
    budget_kind text, budget_holder bytea, most integer, span interval
) returns double precision
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    uses timestamptz[] := (select app.counted_uses(b.used_at, span) from public.rate_budgets b
                           where b.kind = budget_kind and b.holder_hash = budget_holder);
begin
    if most = 0 then
        return extract(epoch from span);
    elsif coalesce(cardinality(uses), 0) < most then
        return null;
    end if;
    return greatest(extract(epoch from uses[cardinality(uses) - most + 1] + span - clock_timestamp()), 0);
end;
$$;

-- Uses a budget once; null when there was room, otherwise how many seconds to wait. A use counts when
-- the transaction commits, and until then nobody else gets at this budget.
create or replace function app.take_from_budget(
    budget_kind text, budget_holder bytea, most integer, span interval
) returns double precision
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    if most > 0 then
        insert into public.rate_budgets as b (kind, holder_hash, used_at, expires_at)
        values (budget_kind, budget_holder, array[clock_timestamp()], clock_timestamp() + span)
        on conflict (kind, holder_hash) do update
        set used_at = app.counted_uses(b.used_at, span) || clock_timestamp(),
            expires_at = clock_timestamp() + span
        where cardinality(app.counted_uses(b.used_at, span)) < most;
        if found then
            return null;
        end if;
    end if;
    -- Not null, though a use may have stopped counting just now.
    return coalesce(app.budget_wait(budget_kind, budget_holder, most, span), 0);
end;
$$;

revoke execute on function
    app.counted_uses(timestamptz[], interval),
    app.budget_wait(text, bytea, integer, interval), app.take_from_budget(text, bytea, integer, interval)
from public;
grant execute on function
    app.budget_wait(text, bytea, integer, interval), app.take_from_budget(text, bytea, integer, interval)
to service;
