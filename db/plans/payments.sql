-- What payments do to plans. The service calls these in the transaction that marks an order as paid or
-- refunded, so that both happen or neither does; the same reference does it once.

-- Gives a user the time on a plan that was paid, and returns its period. `paid_until` says until when, where
-- the provider counts that; without it so many `months` are given, by the calendar.
--
-- Whoever has no plan that is paid begins one. Whoever has the plan goes on where its period ends. Whoever
-- has one of a lower price has this one at once: for the rest of the current period, when `paid_until`
-- lies in it (what `app.quote_plan()` asks is the difference), else for a new period from now on. Whoever
-- has one of a higher price has it when that one's period ends.
--
-- INVALID_STATE when it is too late for what was paid, and nothing is left that it could give.
create or replace function app.start_plan(
    owner_id uuid, wanted_plan text, paid_until timestamptz, reference text, months integer default 1
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    period public.plan_periods;
begin
    owner_id := app.merged_into(owner_id);
    perform app.lock_wallet(owner_id);
    select p.* into period from public.plan_periods p where p.reference = start_plan.reference;
    if found then
        return period.id;
    elsif not exists (select from public.plans p where p.id = wanted_plan) then
        perform app.refuse('NOT_FOUND', 'There is no such plan.', '{"path": ["input", "planId"]}');
    end if;
    perform app.settle_plan(owner_id);
    period := app.planned_period(owner_id, wanted_plan, paid_until, months);
    insert into public.plan_periods (user_id, plan_id, kind, starts_at, ends_at, reference)
    values (owner_id, wanted_plan, period.kind, period.starts_at, period.ends_at, start_plan.reference)
    returning * into period;
    if period.ends_at > period.starts_at then
        perform app.begin_period(period);
    end if;
    return period.id;
end;
$$;

-- The period that a payment gives, as `app.start_plan()` says.
create or replace function app.planned_period(
    owner_id uuid, wanted_plan text, paid_until timestamptz, months integer
) returns public.plan_periods
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    subscription public.plan_subscriptions;
    anchor timestamptz := (select w.plan_credits_anchor_at from public.wallets w where w.user_id = owner_id);
    period public.plan_periods;
    is_open boolean;
    is_paid boolean := (app.plan_period_at(owner_id, now())).id is not null;
    -- Payments of one plan may be told of in another order: of an earlier one nothing is left to give.
    is_told_late boolean;
begin
    select * into subscription from public.plan_subscriptions s where s.user_id = owner_id for update;
    is_open := found and subscription.status <> 'ENDED';
    if is_open and (subscription.plan_id = wanted_plan or not is_paid) then
        period.kind := 'RENEWAL';
        period.starts_at := subscription.current_period_end;
    elsif is_open and app.plan_rank(wanted_plan) <= app.plan_rank(subscription.plan_id) then
        period.kind := 'DOWNGRADE';
        period.starts_at := (select greatest(subscription.current_period_end, max(p.ends_at)) from public.plan_periods p
            where p.user_id = owner_id and p.revoked_at is null and p.starts_at >= subscription.current_period_end);
    elsif is_open and paid_until <= subscription.current_period_end then
        period.kind := 'UPGRADE';
        period.starts_at := now();
    end if;
    is_told_late := coalesce(
        period.kind = 'RENEWAL' and subscription.plan_id = wanted_plan and period.starts_at > paid_until, false);
    if is_told_late then
        period.starts_at := paid_until;
    end if;
    period.ends_at := coalesce(paid_until, app.plan_months_on(anchor, period.starts_at, months));
    if period.kind is null or period.kind = 'RENEWAL' and not is_told_late and period.ends_at <= now() then
        period.kind := 'START';
        period.starts_at := now();
        period.ends_at := coalesce(paid_until, app.plan_month(now(), months));
    end if;
    -- What is paid by its provider until no later than what there is: beside that, not behind it.
    if paid_until > now() and period.starts_at >= paid_until and not is_told_late then
        period.starts_at := now();
        period.ends_at := paid_until;
    end if;
    if period.starts_at is null or period.ends_at <= period.starts_at and not is_told_late then
        perform app.refuse('INVALID_STATE', 'There is nothing left that this payment could give.');
    end if;
    return period;
end;
$$;

-- So many months after a time, by the anchor when it is the beginning of one of its months.
create or replace function app.plan_months_on(anchor timestamptz, from_at timestamptz, months integer)
returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp
return case when app.plan_month_of(anchor, from_at) = from_at
    then app.plan_month(anchor, app.plan_months_begun(anchor, from_at) + months)
    else app.plan_month(from_at, months) end;

-- Lets a new period begin, now or when its time comes: the subscription, the plan, and its credits.
create or replace function app.begin_period(period public.plan_periods) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    before text := (select u.plan_id from public.users u where u.id = period.user_id);
    wallet public.wallets;
    given integer := 0;
begin
    if period.kind in ('START', 'GIVEN') then
        update public.wallets w set plan_credits_anchor_at = period.starts_at, plan_credits_due_at = period.starts_at
        where w.user_id = period.user_id;
    elsif period.kind = 'UPGRADE' then
        select * into wallet from public.wallets w where w.user_id = period.user_id;
        given := app.upgrade_credits(wallet, before, period.plan_id);
        perform app.give_period_credits(period, app.plan_month_of(wallet.plan_credits_anchor_at, now()), given,
            wallet.plan_credits_due_at);
    end if;
    perform app.follow_plan_periods(period.user_id, true);
    perform app.grant_plan_credits(period.user_id);
    if app.plan_rank((select u.plan_id from public.users u where u.id = period.user_id))
        > coalesce(app.plan_rank(before), -1) then
        perform app.tell_of_plan(period.user_id, 'planUpgraded', period.plan_id, jsonb_build_object(
            'credits', (select coalesce(sum(c.amount), 0) from public.plan_credits c where c.period_id = period.id)));
    end if;
end;
$$;

-- The credits of an upgrade in the middle of a month: the difference for what is left of it.
create or replace function app.upgrade_credits(wallet public.wallets, from_plan text, to_plan text) returns integer
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select greatest(0, floor((higher.monthly_credits - coalesce(lower.monthly_credits, 0))
        * least(1, app.plan_months_left(wallet.plan_credits_anchor_at, now(), wallet.plan_credits_due_at))))::integer
    from public.plans higher left join public.plans lower on lower.id = from_plan where higher.id = to_plan;
$$;

-- Ends what a payment gave, after its refund or a lost dispute: its period counts no more, and what is left of
-- the credits that it gave expires. The user has again what else is paid, or the plan of new users. Without
-- a `reference` all paid time ends now, and the credits stay until they expire. Returns how many of
-- the payment's credits are used up, which cannot be taken back; null when nothing was given under this
-- reference, and 0 when it has been ended before.
create or replace function app.end_plan(owner_id uuid, reference text default null) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    period public.plan_periods;
    used integer := 0;
begin
    owner_id := app.merged_into(owner_id);
    perform app.lock_wallet(owner_id);
    if end_plan.reference is null then
        perform app.stop_periods(owner_id);
    else
        select p.* into period from public.plan_periods p
        where p.reference = end_plan.reference and p.user_id = owner_id for update;
        if not found then
            return null;
        elsif period.revoked_at is not null then
            return 0;
        end if;
        update public.plan_periods p set revoked_at = now() where p.id = period.id;
        used := app.take_period_credits(period.id);
        perform app.lock_wallet(owner_id);
    end if;
    perform app.close_period_gaps(owner_id);
    if app.follow_plan_periods(owner_id, false) then
        update public.wallets w set plan_credits_due_at = least(w.plan_credits_due_at, s.current_period_end)
        from public.plan_subscriptions s where s.user_id = owner_id and w.user_id = owner_id;
        -- Months count anew from a period that was brought forward to now: of none that has given credits already.
        update public.wallets w set plan_credits_due_at = s.current_period_start, plan_credits_anchor_at = s.current_period_start
        from public.plan_subscriptions s
        where s.user_id = owner_id and w.user_id = owner_id and s.current_period_start = now()
            and not exists (select from public.plan_credits c
                where c.period_id = (app.plan_period_at(owner_id, now())).id);
        perform app.grant_plan_credits(owner_id);
    else
        perform app.close_plan(owner_id);
    end if;
    return used;
end;
$$;

-- Brings what is paid further ahead forward to where the time before it was taken away, so that nobody is
-- without a plan while time on one is still paid.
create or replace function app.close_period_gaps(owner_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    paid_until timestamptz := now();
    later timestamptz;
    next_start timestamptz;
begin
    loop
        select max(coalesce(p.ends_at, 'infinity')) into later from public.plan_periods p
        where p.user_id = owner_id and p.revoked_at is null and p.starts_at <= paid_until
            and coalesce(p.ends_at, 'infinity') > paid_until;
        paid_until := coalesce(later, paid_until);
        continue when later is not null;
        select min(p.starts_at) into next_start from public.plan_periods p
        where p.user_id = owner_id and p.revoked_at is null and p.starts_at > paid_until and p.ends_at > p.starts_at;
        exit when next_start is null;
        update public.plan_periods p
        set starts_at = p.starts_at - (next_start - paid_until), ends_at = p.ends_at - (next_start - paid_until)
        where p.user_id = owner_id and p.revoked_at is null and p.starts_at >= next_start;
    end loop;
    perform app.follow_paid_until(owner_id);
end;
$$;

-- Ends all periods of a user's now, those that have not begun as well.
create or replace function app.stop_periods(owner_id uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.plan_periods p set ends_at = greatest(p.starts_at, now())
    where p.user_id = owner_id and p.revoked_at is null and coalesce(p.ends_at, 'infinity') > now();
    select app.follow_paid_until(owner_id);
$$;

-- The grants of what a payment's period has given, of whose credits the time is not over.
create or replace function app.grants_of_plan(owner_id uuid, reference text) returns setof public.credit_grants
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select g.* from public.plan_periods p
    join public.plan_credits c on c.period_id = p.id
    join public.credit_entries e on e.transaction_id = c.transaction_id and e.account = 'GRANT'
    join public.credit_grants g on g.id = e.grant_id
    where p.reference = grants_of_plan.reference and p.user_id = owner_id and p.revoked_at is null
        and coalesce(g.expires_at, 'infinity') > now();
$$;

-- How many credits are left of what a payment's period has given.
create or replace function app.unused_of_plan(owner_id uuid, reference text) returns integer
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(sum(g.remaining), 0)::integer from app.grants_of_plan(owner_id, reference) g;
$$;

-- Lets what is left of a period's credits expire now: the next lock of the wallet takes them out, and
-- whatever a hold gives back later. Returns how many are used up; what is held is not, yet.
create or replace function app.take_period_credits(wanted uuid) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    used integer;
begin
    with taken as (
        update public.credit_grants g set expires_at = now()
        where coalesce(g.expires_at, 'infinity') > now() and g.id in (
            select e.grant_id from public.plan_credits c
            join public.credit_entries e on e.transaction_id = c.transaction_id and e.account = 'GRANT'
            where c.period_id = wanted)
        returning g.id, g.amount - g.remaining as gone)
    select coalesce(sum(t.gone - coalesce((
        select sum(p.amount) from public.credit_hold_parts p join public.credit_holds h on h.id = p.hold_id
        where p.grant_id = t.id and h.status = 'OPEN'), 0)), 0) into used from taken t;
    return used;
end;
$$;

-- Holds as large a part of what is left of a period's credits as of its price is questioned, rounded down. Returns
-- the hold, null when there is nothing to hold.
create or replace function app.hold_back_plan(owner_id uuid, reference text, questioned integer, price integer)
returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    missing integer;
    source record;
    taken public.credit_entries[] := '{}';
begin
    perform app.lock_wallet(owner_id);
    for source in
        select g.id, g.remaining, sum(g.remaining) over () as all_of_them
        from app.grants_of_plan(owner_id, hold_back_plan.reference) g
        where g.usable order by g.created_at, g.id
    loop
        missing := coalesce(missing, floor(source.all_of_them * questioned / price));
        exit when missing = 0;
        taken := taken || app.entry('GRANT', -least(missing, source.remaining), source.id);
        missing := missing - least(missing, source.remaining);
    end loop;
    return app.hold_back_entries(owner_id, taken, hold_back_plan.reference);
end;
$$;

revoke execute on function
    app.hold_back_plan(uuid, text, integer, integer), app.grants_of_plan(uuid, text), app.unused_of_plan(uuid, text),
    app.start_plan(uuid, text, timestamptz, text, integer),
    app.planned_period(uuid, text, timestamptz, integer),
    app.plan_months_on(timestamptz, timestamptz, integer), app.begin_period(public.plan_periods),
    app.upgrade_credits(public.wallets, text, text), app.end_plan(uuid, text), app.close_period_gaps(uuid),
    app.stop_periods(uuid),
    app.take_period_credits(uuid)
from public;
grant execute on function
    app.start_plan(uuid, text, timestamptz, text, integer), app.end_plan(uuid, text)
to service;
