-- What plans of organizations cost: as people are shown it, which is what their provider says.

-- Notes what a plan costs at its provider; a price that is not given stays. False, and nothing, where the two would
-- be in different currencies.
create or replace function app.note_plan_prices(wanted text, month integer, year integer, in_currency text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.organization_plans p
    set month_cents = coalesce(month, p.month_cents), year_cents = coalesce(year, p.year_cents), currency = in_currency
    where p.id = wanted and (p.currency = in_currency
        or coalesce(month, p.month_cents) is not distinct from month and coalesce(year, p.year_cents) is not distinct from year);
    return found;
end;
$$;

revoke execute on function app.note_plan_prices(text, integer, integer, text) from public;
grant execute on function app.note_plan_prices(text, integer, integer, text) to service;
