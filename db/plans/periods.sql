-- What was paid of plans: each payment gives a period, and which plan a user has follows from the
-- periods. Everything here locks the wallet first, so that a user's plans and credits have one order.

-- What a plan costs beside others; one without a price is above all that have one.
create or replace function app.plan_rank(wanted text) returns integer
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(p.price_cents, 2147483647) from public.plans p where p.id = wanted;
$$;

-- The period that counts at a time: of those that overlap the one of the highest price. Null when none
-- is paid.
create or replace function app.plan_period_at(owner_id uuid, at timestamptz) returns public.plan_periods
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    found_period public.plan_periods;
begin
    select p.* into found_period from public.plan_periods p
    where p.user_id = owner_id and p.revoked_at is null and p.starts_at <= at and coalesce(p.ends_at, 'infinity') > at
    order by app.plan_rank(p.plan_id) desc, p.created_at desc, p.id desc limit 1;
    return found_period;
end;
$$;

-- Until when a plan is paid, if a period's is followed by others of the same plan; null without an end.
create or replace function app.plan_paid_until(period public.plan_periods) returns timestamptz
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    paid_until timestamptz := coalesce(period.ends_at, 'infinity');
    later timestamptz;
begin
    loop
        select max(coalesce(p.ends_at, 'infinity')) into later from public.plan_periods p
        where p.user_id = period.user_id and p.plan_id = period.plan_id and p.revoked_at is null
            and p.starts_at <= paid_until and coalesce(p.ends_at, 'infinity') > paid_until;
        exit when later is null;
        paid_until := later;
    end loop;
    return nullif(paid_until, 'infinity');
end;
$$;

-- Makes a user's subscription, and their plan, what the periods say for now; false when none is paid for
-- now. With `resumes` what was scheduled or cancelled is taken back, apart from what is paid already.
create or replace function app.follow_plan_periods(owner_id uuid, resumes boolean) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    period public.plan_periods := app.plan_period_at(owner_id, now());
    paid_until timestamptz;
    next_plan text;
begin
    if period.id is null then
        return false;
    end if;
    paid_until := app.plan_paid_until(period);
    next_plan := nullif((app.plan_period_at(owner_id, paid_until)).plan_id, period.plan_id);
    insert into public.plan_subscriptions as s
        (user_id, plan_id, current_period_start, current_period_end, scheduled_plan_id)
    values (owner_id, period.plan_id, period.starts_at, paid_until, next_plan)
    on conflict (user_id) do update set
        plan_id = period.plan_id,
        status = case when s.status = 'CANCELLING' and not resumes and next_plan is null then s.status else 'ACTIVE' end,
        started_at = case when s.status = 'ENDED' then now() else s.started_at end,
        current_period_start = period.starts_at, current_period_end = paid_until,
        scheduled_plan_id = coalesce(next_plan,
            case when not resumes and s.status <> 'ENDED' then nullif(s.scheduled_plan_id, period.plan_id) end),
        grace_ends_at = null, ended_at = null, updated_at = clock_timestamp();
    update public.users u set plan_id = period.plan_id, updated_at = clock_timestamp()
    where u.id = owner_id and u.plan_id is distinct from period.plan_id;
    return true;
end;
$$;

-- Credits of a plan for one month of a period, or a part of one; once for each month.
create or replace function app.give_period_credits(
    period public.plan_periods, month_starts_at timestamptz, amount integer, expires_at timestamptz
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    movement uuid;
begin
    if amount > 0 and not exists (select from public.plan_credits c where c.period_id = period.id
        and c.month_starts_at = give_period_credits.month_starts_at) then
        movement := app.grant_credits(period.user_id, 'PLAN', amount, period.plan_id, expires_at);
        insert into public.plan_credits (period_id, month_starts_at, amount, transaction_id)
        values (period.id, month_starts_at, amount, movement);
        perform app.hold_later_month(period.user_id, period.reference);
    end if;
end;
$$;

-- Gives the month's credits of the user's plan, if they are due; they last until the next ones. Months
-- that nobody looked at are not made up for. A plan that is subscribed to gives them as far as it is paid.
-- Returns whether any were given.
create or replace function app.grant_plan_credits(owner_id uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    wallet public.wallets := app.lock_wallet(owner_id);
    due_at timestamptz := wallet.plan_credits_due_at;
    anchor timestamptz := coalesce(wallet.plan_credits_anchor_at, due_at);
    period public.plan_periods;
    next_due_at timestamptz;
    plan public.plans;
begin
    if due_at is null or due_at > now() then
        return false;
    end if;
    period := app.plan_period_at(owner_id, now());
    if period.id is null and exists (select from public.plan_subscriptions s
        where s.user_id = owner_id and s.status <> 'ENDED') then
        return false;
    end if;
    select p.* into plan from public.users u join public.plans p on p.id = coalesce(period.plan_id, u.plan_id)
    where u.id = owner_id;
    -- A period of a provider's own days: its months are counted from its beginning.
    if period.kind <> 'UPGRADE' and app.plan_month_of(anchor, period.starts_at) <> period.starts_at then
        anchor := period.starts_at;
    end if;
    next_due_at := case when plan.id is not null then app.next_plan_credits(anchor, now(), period.ends_at) end;
    update public.wallets w set plan_credits_due_at = next_due_at, plan_credits_anchor_at = anchor
    where w.user_id = owner_id;
    if coalesce(plan.monthly_credits, 0) = 0 then
        return false;
    elsif period.id is null then
        perform app.grant_credits(owner_id, 'PLAN', plan.monthly_credits, plan.id, next_due_at, null,
                                  'plan:' || extract(epoch from due_at));
    else
        perform app.give_period_credits(period, greatest(period.starts_at, app.plan_month_of(anchor, now())),
            plan.monthly_credits, next_due_at);
    end if;
    return true;
end;
$$;

revoke execute on function
    app.plan_rank(text), app.plan_period_at(uuid, timestamptz), app.plan_paid_until(public.plan_periods),
    app.follow_plan_periods(uuid, boolean),
    app.give_period_credits(public.plan_periods, timestamptz, integer, timestamptz),
    app.grant_plan_credits(uuid)
from public;
grant execute on function app.grant_plan_credits(uuid) to service;
