-- What users and admins change of plans: another plan, no plan any more, going on after all.

-- What a plan would cost a user, and give them at once: for `months` months, or the part of one that is
-- left of the current period where it is of a higher price than theirs (kind UPGRADE, until `paid_until`).
-- `month_cents` and `current_month_cents` are what a month of the wanted and of the current plan costs where it is
-- paid; without them it is the plans' own prices. No row when the plan has no price.
create or replace function app.quote_plan(
    owner_id uuid, wanted_plan text, month_cents integer default null, current_month_cents integer default null,
    out kind text, out months numeric, out amount_cents integer, out currency text, out credits integer,
    out paid_until timestamptz
) returns setof record
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    wanted public.plans;
    current_plan public.plans;
    subscription public.plan_subscriptions;
    wallet public.wallets;
    step integer;
begin
    select * into wanted from public.plans p where p.id = wanted_plan;
    step := app.currency_step('sandbox', wanted.currency);
    if coalesce(month_cents, wanted.price_cents) is null then
        return;
    end if;
    select * into wallet from public.wallets w where w.user_id = owner_id;
    select * into subscription from public.plan_subscriptions s where s.user_id = owner_id and s.status <> 'ENDED';
    select * into current_plan from public.plans p where p.id = subscription.plan_id;
    currency := wanted.currency;
    kind := case when subscription.user_id is null then 'START'
        when subscription.plan_id = wanted_plan then 'RENEWAL'
        when app.plan_rank(wanted_plan) <= app.plan_rank(subscription.plan_id) then 'DOWNGRADE'
        when subscription.current_period_end > now() and subscription.status <> 'PAST_DUE'
            and coalesce(current_month_cents, current_plan.price_cents) is not null
            and wanted.currency = current_plan.currency then 'UPGRADE'
        else 'START' end;
    months := 1;
    credits := case when kind = 'START' then wanted.monthly_credits else 0 end;
    amount_cents := coalesce(month_cents, wanted.price_cents);
    if kind = 'UPGRADE' then
        paid_until := subscription.current_period_end;
        months := app.plan_months_left(wallet.plan_credits_anchor_at, now(), paid_until);
        amount_cents := ceil(months * greatest(0, amount_cents
            - coalesce(current_month_cents, current_plan.price_cents)) / step) * step;
        credits := app.upgrade_credits(wallet, current_plan.id, wanted.id);
    end if;
    return next;
end;
$$;

-- What an upgrade in a paid period costs at a provider, and until when it pays: the difference to what the current
-- plan costs there. No row where there is none to be had: then a whole month is paid, and begins at once.
create or replace function app.upgrade_at_provider(
    owner_id uuid, wanted_plan text, price public.product_prices, out amount_cents integer, out paid_until timestamptz
) returns setof record
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    current_cents integer;
begin
    -- The prices that a provider keeps cannot be charged in part; months are what is compared.
    if price.price_id is null and price.billing_interval = 'MONTH' then
        select c.amount_cents into current_cents
        from public.plan_subscriptions s join public.products p on p.plan_id = s.plan_id
        join public.product_prices c on c.product_id = p.id
        where s.user_id = owner_id and s.status <> 'ENDED' and c.provider = price.provider
            and c.currency = price.currency and c.billing_interval = 'MONTH' and c.amount_cents <= price.amount_cents
        order by c.amount_cents desc limit 1;
        return query select greatest(s.step, (ceil(q.amount_cents::numeric / s.step) * s.step)::integer), q.paid_until
            from app.quote_plan(owner_id, wanted_plan, price.amount_cents, current_cents) q,
                coalesce(app.currency_step(price.provider, price.currency), 1) as s (step)
            where q.kind = 'UPGRADE' and current_cents is not null;
    end if;
end;
$$;

-- Sets which plan the caller is to have, and returns the caller. A plan of a lower price comes when the
-- current period ends, the current one goes on after all. PAYMENT_REQUIRED for one of a higher price, with
-- what has to be paid; it begins when that is.
create or replace function app.change_plan(wanted text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    subscription public.plan_subscriptions;
    current_plan text;
begin
    perform app.lock_wallet(actor_id);
    perform app.settle_plan(actor_id);
    if not exists (select from public.plans p where p.id = wanted) then
        perform app.refuse('NOT_FOUND', 'There is no such plan.', '{"path": ["input", "planId"]}');
    elsif (select u.is_anonymous from public.users u where u.id = actor_id) then
        perform app.refuse('FORBIDDEN', 'Guests have no plan. Sign up first; what you have stays yours.');
    end if;
    select * into subscription from public.plan_subscriptions s where s.user_id = actor_id and s.status <> 'ENDED';
    current_plan := coalesce(subscription.plan_id, (select u.plan_id from public.users u where u.id = actor_id));
    if wanted is not distinct from current_plan then
        perform app.resume_plan(subscription);
    elsif subscription.user_id is null and app.plan_rank(wanted) = 0 then
        update public.users u set plan_id = wanted, updated_at = clock_timestamp() where u.id = actor_id;
        perform app.note_plan_change(actor_id, 'change_plan', wanted);
    elsif subscription.user_id is null or app.plan_rank(wanted) > app.plan_rank(current_plan) then
        perform app.refuse_unpaid_plan(actor_id, wanted);
    else
        perform app.schedule_plan(subscription, wanted, app.plan_rank(wanted) = 0);
    end if;
    return actor_id;
end;
$$;

-- Refuses a plan that has to be paid first, and says what it costs.
create or replace function app.refuse_unpaid_plan(owner_id uuid, wanted text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    quote record;
begin
    select * into quote from app.quote_plan(owner_id, wanted);
    if not found then
        perform app.refuse('BAD_USER_INPUT', 'The price of this plan is on request. Ask whoever runs this service.',
            '{"path": ["input", "planId"]}');
    end if;
    perform app.refuse('PAYMENT_REQUIRED', 'This plan begins when it is paid. Make a checkout for it.',
        jsonb_build_object('amount_cents', quote.amount_cents, 'currency', quote.currency,
            'credits', quote.credits, 'period_end',
            to_char(coalesce(quote.paid_until, app.plan_month(now(), 1)) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')));
end;
$$;

-- Takes back what was cancelled or scheduled; nothing when that was nothing. What is paid ahead stays.
create or replace function app.resume_plan(subscription public.plan_subscriptions) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if subscription.status = 'CANCELLING' or subscription.scheduled_plan_id is not null then
        perform app.refuse_paid_ahead(subscription);
        update public.plan_subscriptions s
        set status = 'ACTIVE', scheduled_plan_id = null, updated_at = clock_timestamp()
        where s.user_id = subscription.user_id;
        perform app.note_plan_change(subscription.user_id, 'resume_plan', subscription.plan_id);
    end if;
end;
$$;

-- Refuses to change what follows the current period once that has been paid.
create or replace function app.refuse_paid_ahead(subscription public.plan_subscriptions) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if (app.plan_period_at(subscription.user_id, subscription.current_period_end)).id is not null then
        perform app.refuse('INVALID_STATE', 'What follows the current period is paid already. Change it then.');
    end if;
end;
$$;

-- Has a plan of no higher price follow the current one when its period ends; at once when that is over
-- already. A plan without an end ends with the month of its credits.
create or replace function app.schedule_plan(
    subscription public.plan_subscriptions, wanted text, is_free boolean
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    new_end timestamptz := coalesce(subscription.current_period_end, (
        select greatest(w.plan_credits_due_at, now() + interval '1 second') from public.wallets w
        where w.user_id = subscription.user_id));
begin
    if subscription.scheduled_plan_id = wanted then
        return;
    end if;
    perform app.refuse_paid_ahead(subscription);
    update public.plan_periods p set ends_at = new_end
    where p.user_id = subscription.user_id and p.ends_at is null and p.revoked_at is null;
    if subscription.status = 'PAST_DUE' and not is_free then
        update public.plan_subscriptions s set plan_id = wanted, updated_at = clock_timestamp()
        where s.user_id = subscription.user_id;
        update public.users u set plan_id = wanted, updated_at = clock_timestamp() where u.id = subscription.user_id;
    else
        update public.plan_subscriptions s
        set status = case when s.status = 'PAST_DUE' then s.status when is_free then 'CANCELLING' else 'ACTIVE' end,
            scheduled_plan_id = nullif(wanted, s.plan_id), current_period_end = new_end,
            updated_at = clock_timestamp()
        where s.user_id = subscription.user_id;
        if subscription.status = 'PAST_DUE' then
            perform app.close_plan(subscription.user_id);
        end if;
    end if;
    perform app.note_plan_change(subscription.user_id, case when is_free then 'cancel_plan' else 'change_plan' end,
        wanted);
end;
$$;

-- Has the caller's subscription end with its period, and returns the caller; again, nothing more happens.
create or replace function app.cancel_plan() returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    subscription public.plan_subscriptions;
begin
    perform app.lock_wallet(actor_id);
    perform app.settle_plan(actor_id);
    select * into subscription from public.plan_subscriptions s
    where s.user_id = actor_id and s.status not in ('ENDED', 'CANCELLING');
    if found then
        perform app.schedule_plan(subscription, (select t.plan_id from public.sign_up_terms t), true);
    end if;
    return actor_id;
end;
$$;

-- Notes what a user did about their plan.
create or replace function app.note_plan_change(owner_id uuid, action text, wanted_plan text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into public.audit_log (user_id, action, detail)
    values (owner_id, action, jsonb_build_object('plan', 'plan_' || wanted_plan));
$$;

-- Gives a user a plan until a day, or without an end, in place of what they had paid; the plan of new users
-- ends it. It is noted who gave it and why; the same key does it once. Returns the user. For the owner's
-- command line, and for admins through the next one.
create or replace function app.give_plan(
    owner_id uuid, wanted_plan text, ends_at timestamptz, change_reason text, idempotency_key text, given_by text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    fingerprint bytea := sha256(convert_to(jsonb_build_array(wanted_plan, ends_at, change_reason)::text, 'UTF8'));
    period public.plan_periods;
begin
    perform app.check_idempotency_key(idempotency_key);
    perform app.lock_wallet(owner_id);
    if app.remembered_result(owner_id, 'give_plan', idempotency_key, fingerprint) is not null then
        return owner_id;
    elsif not exists (select from public.plans p where p.id = wanted_plan) then
        perform app.refuse('NOT_FOUND', 'There is no such plan.', '{"path": ["input", "planId"]}');
    elsif ends_at <= now() then
        perform app.refuse('BAD_USER_INPUT', 'A plan must end in the future.', '{"path": ["input", "until"]}');
    end if;
    perform app.stop_periods(owner_id);
    if wanted_plan = (select t.plan_id from public.sign_up_terms t) then
        perform app.close_plan(owner_id);
        update public.users u set plan_id = wanted_plan, updated_at = clock_timestamp()
        where u.id = owner_id and u.plan_id is distinct from wanted_plan;
    else
        insert into public.plan_periods (user_id, plan_id, kind, starts_at, ends_at, reference)
        values (owner_id, wanted_plan, 'GIVEN', now(), give_plan.ends_at, 'given:' || app.uuid_v7())
        returning * into period;
        perform app.begin_period(period);
    end if;
    insert into public.audit_log (user_id, action, detail)
    values (owner_id, 'give_plan', jsonb_build_object('by', given_by, 'reason', change_reason,
        'plan', 'plan_' || wanted_plan, 'until', ends_at));
    perform app.remember_result(owner_id, 'give_plan', idempotency_key, fingerprint, owner_id);
    return owner_id;
end;
$$;

-- The same, asked for by an admin.
create or replace function app.give_plan_as_admin(
    owner_id uuid, wanted_plan text, ends_at timestamptz, change_reason text, idempotency_key text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
begin
    if not exists (select from public.users u where u.id = owner_id) then
        perform app.refuse('NOT_FOUND', 'There is no such user.', '{"path": ["input", "userId"]}');
    end if;
    return app.give_plan(owner_id, wanted_plan, ends_at, change_reason, idempotency_key, 'user_' || admin_id);
end;
$$;

revoke execute on function
    app.upgrade_at_provider(uuid, text, public.product_prices),
    app.quote_plan(uuid, text, integer, integer), app.change_plan(text), app.refuse_unpaid_plan(uuid, text),
    app.resume_plan(public.plan_subscriptions), app.refuse_paid_ahead(public.plan_subscriptions),
    app.schedule_plan(public.plan_subscriptions, text, boolean), app.cancel_plan(),
    app.note_plan_change(uuid, text, text), app.give_plan(uuid, text, timestamptz, text, text, text),
    app.give_plan_as_admin(uuid, text, timestamptz, text, text)
from public;
grant execute on function app.quote_plan(uuid, text, integer, integer) to service;
grant execute on function app.change_plan(text), app.cancel_plan(),
    app.give_plan_as_admin(uuid, text, timestamptz, text, text)
to authenticated;
