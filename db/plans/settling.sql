-- What time does to plans: the next period begins, what was cancelled ends, what is not paid lapses. And
-- what ends a plan.

-- Does what is due for a user's subscription and returns whether that was anything. A period that is not
-- paid further is PAST_DUE until the grace is over, and then lapses; without a `grace` only what payments
-- and cancellations have decided is done.
create or replace function app.settle_plan(owner_id uuid, grace interval default null) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    subscription public.plan_subscriptions;
begin
    perform app.lock_wallet(owner_id);
    select * into subscription from public.plan_subscriptions s where s.user_id = owner_id for update;
    if not found or subscription.status = 'ENDED' or coalesce(subscription.current_period_end, 'infinity') > now() then
        return false;
    elsif app.follow_plan_periods(owner_id, false) then
        perform app.grant_plan_credits(owner_id);
        return true;
    elsif subscription.status = 'CANCELLING' then
        perform app.close_plan(owner_id);
        return true;
    elsif grace is null then
        return false;
    end if;
    return app.lapse_plan(subscription, grace);
end;
$$;

-- A plan in the values of a notification: by the key of its name, or by its name where there is no text.
create or replace function app.plan_in_words(wanted text) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select case when exists (select from public.translations t where t.key = 'plan.' || p.id || '.name')
        then jsonb_build_object('planKey', 'plan.' || p.id || '.name') else jsonb_build_object('plan', p.name) end
    from public.plans p where p.id = wanted;
$$;

-- Tells a user something of a plan, with a day where one matters.
create or replace function app.tell_of_plan(owner_id uuid, what text, wanted text, more jsonb default '{}') returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select app.notify(owner_id, 'GENERAL', format('notifications.%s.title', what),
        format('notifications.%s.message', what), app.plan_in_words(wanted) || more);
$$;

-- A period is over and unpaid: first PAST_DUE, on the plan that is to be paid next, then over.
create or replace function app.lapse_plan(subscription public.plan_subscriptions, grace interval) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    lapses_at timestamptz := coalesce(subscription.grace_ends_at, subscription.current_period_end + grace);
    unpaid_plan text := coalesce(subscription.scheduled_plan_id, subscription.plan_id);
begin
    if lapses_at <= now() then
        perform app.close_plan(subscription.user_id);
        perform app.tell_of_plan(subscription.user_id, 'planLapsed', unpaid_plan);
        return true;
    elsif subscription.status = 'PAST_DUE' then
        return false;
    end if;
    update public.plan_subscriptions s
    set status = 'PAST_DUE', plan_id = unpaid_plan, scheduled_plan_id = null, grace_ends_at = lapses_at,
        updated_at = clock_timestamp()
    where s.user_id = subscription.user_id;
    update public.users u set plan_id = unpaid_plan, updated_at = clock_timestamp()
    where u.id = subscription.user_id and u.plan_id is distinct from unpaid_plan;
    perform app.tell_of_plan(subscription.user_id, 'planPastDue', unpaid_plan,
        jsonb_build_object('until', (lapses_at at time zone 'UTC')::date));
    return true;
end;
$$;

-- Ends a subscription: its user has the plan of new users, or the free one that was chosen. That plan's credits come
-- when the last ones' time is over.
create or replace function app.close_plan(owner_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    free_plan text;
begin
    select coalesce(s.scheduled_plan_id, (select t.plan_id from public.sign_up_terms t)) into free_plan
    from public.plan_subscriptions s where s.user_id = owner_id and s.status <> 'ENDED';
    if not found then
        return;
    end if;
    if coalesce((select p.price_cents from public.plans p where p.id = free_plan), 1) > 0 then
        free_plan := (select t.plan_id from public.sign_up_terms t);
    end if;
    update public.plan_subscriptions s
    set status = 'ENDED', ended_at = now(), scheduled_plan_id = null, grace_ends_at = null,
        updated_at = clock_timestamp()
    where s.user_id = owner_id;
    update public.users u set plan_id = free_plan, updated_at = clock_timestamp()
    where u.id = owner_id and u.plan_id is distinct from free_plan;
    update public.wallets w set plan_credits_due_at = null
    from public.users u where w.user_id = owner_id and u.id = owner_id and u.is_anonymous;
    perform app.grant_plan_credits(owner_id);
end;
$$;

-- Tells a user that their plan ends soon unless it is paid, once for each end. Returns whether they were told.
create or replace function app.remind_of_plan(owner_id uuid, ahead interval) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    subscription public.plan_subscriptions;
begin
    perform app.lock_wallet(owner_id);
    update public.plan_subscriptions s set reminded_of = s.current_period_end
    where s.user_id = owner_id and s.status = 'ACTIVE' and s.current_period_end between now() and now() + ahead
        and s.reminded_of is distinct from s.current_period_end
    returning * into subscription;
    if not found then
        return false;
    end if;
    perform app.tell_of_plan(owner_id, 'planLapsesSoon', subscription.plan_id,
        jsonb_build_object('until', (subscription.current_period_end at time zone 'UTC')::date));
    return true;
end;
$$;

revoke execute on function
    app.plan_in_words(text), app.tell_of_plan(uuid, text, text, jsonb), app.settle_plan(uuid, interval), app.lapse_plan(public.plan_subscriptions, interval), app.close_plan(uuid),
    app.remind_of_plan(uuid, interval)
from public;
grant execute on function app.settle_plan(uuid, interval), app.remind_of_plan(uuid, interval) to service;
