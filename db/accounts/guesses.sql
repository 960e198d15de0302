-- How many attempts at an account's password there were in a row: rows of rate_budgets that keep no times.
-- Each attempt wears off after a while, one behind the other; `expires_at` is when all have.

-- Counts an attempt; null when it may be made, otherwise how many seconds to wait.
create or replace function app.count_guess(
    budget_kind text, budget_holder bytea, most integer, wears_off interval
) returns double precision
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.rate_budgets as b (kind, holder_hash, used_at, expires_at)
    values (budget_kind, budget_holder, '{}', clock_timestamp() + wears_off)
    on conflict (kind, holder_hash) do update
    set expires_at = greatest(b.expires_at, clock_timestamp()) + wears_off
    where greatest(b.expires_at, clock_timestamp()) + wears_off <= clock_timestamp() + most * wears_off;
    if found then
        return null;
    end if;
    return coalesce((select greatest(extract(epoch from b.expires_at - (most - 1) * wears_off - clock_timestamp()), 0)
        from public.rate_budgets b where b.kind = budget_kind and b.holder_hash = budget_holder), 0);
end;
$$;

-- Counts an attempt at an account's password: where its owner has been signed in, by that network alone, of which
-- ten in an hour wear off; elsewhere with all others, one a day.
create or replace function app.begin_password_guess(
    owner_id uuid, area text, account_holder bytea, area_holder bytea, most integer
) returns double precision
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from public.sessions s where s.user_id = owner_id and s.address = area) then
        return app.count_guess('wrong_passwords_at_home', area_holder, most, interval '6 minutes');
    end if;
    return app.count_guess('wrong_passwords', account_holder, most, interval '1 day');
end;
$$;

-- Forgets the attempts at an account's password, once its owner has shown up.
create or replace function app.forget_password_guesses(account_holder bytea, area_holder bytea) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    delete from public.rate_budgets b
    where b.kind = 'wrong_passwords' and b.holder_hash = account_holder
        or b.kind = 'wrong_passwords_at_home' and b.holder_hash = area_holder;
$$;

revoke execute on function
    app.count_guess(text, bytea, integer, interval),
    app.begin_password_guess(uuid, text, bytea, bytea, integer), app.forget_password_guesses(bytea, bytea)
from public;
grant execute on function
    app.begin_password_guess(uuid, text, bytea, bytea, integer), app.forget_password_guesses(bytea, bytea)
to service;
