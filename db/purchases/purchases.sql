-- Purchases in app stores: what a proof gives its buyer, and what a store says of a subscription beside its
-- payments.

-- Does what a proof of a purchase says, for the user who sent it, and returns the order; the same proof does it
-- once. The events are those of `payments/events.py`, the payment first. One purchase is one user's.
create or replace function app.claim_purchase(owner_id uuid, from_provider text, events jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    event jsonb;
    applied record;
    claimed uuid;
    reason text;
    detail text;
begin
    perform app.lock_events(from_provider, events);
    perform app.refuse_purchase_of_another(owner_id, from_provider, events -> 0);
    if (events #>> '{0,paid_until}')::timestamptz <= now() and not exists (select from public.payments p
        where p.provider = from_provider and p.provider_payment_id = events #>> '{0,payment_id}') then
        perform app.refuse('INVALID_STATE', 'What this purchase paid for is over.');
    end if;
    for event in select e.value from jsonb_array_elements(events) as e (value) loop
        applied := app.apply_payment_event(from_provider, event);
        claimed := coalesce(claimed, applied.order_id);
    end loop;
    if claimed is null then
        perform app.refuse_event('PRODUCT_MISMATCH', 'nothing of it is a product of ours');
    end if;
    return claimed;
exception when sqlstate 'TG001' then
    get stacked diagnostics reason = pg_exception_hint, detail = message_text;
    if reason = 'USER_MISMATCH' then
        perform app.refuse_purchase_in_use();
    elsif reason = 'PRODUCT_MISMATCH' then
        perform app.refuse('NOT_FOUND', 'What was bought is no product here. Ask whoever runs this service.');
    end if;
    raise warning 'a purchase was not given: %, %', reason, detail;
    perform app.refuse('INVALID_STATE', 'This purchase cannot be given here. Ask whoever runs this service.');
end;
$$;

-- Counts that a user sends a proof, for which a store may have to be asked: 100 in an hour, LIMIT_EXCEEDED beyond.
create or replace function app.take_proof(owner_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hourly_limit constant integer := 100;
begin
    if app.take_from_budget('proof', sha256(uuid_send(owner_id)), hourly_limit, interval '1 hour') is not null then
        perform app.refuse('LIMIT_EXCEEDED', format(
            'One user proves at most %s purchases in an hour. Wait, then send it again.', hourly_limit));
    end if;
end;
$$;

-- Refuses a purchase whose account token, or whose order, is another user's.
create or replace function app.refuse_purchase_of_another(owner_id uuid, from_provider text, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    payer uuid := (event ->> 'user_id')::uuid;
    known uuid := app.order_of_event(from_provider, event);
begin
    if payer is not null and app.merged_into(payer) <> owner_id
        or known is not null and (select o.user_id from public.orders o where o.id = known) is distinct from owner_id then
        perform app.refuse_purchase_in_use();
    end if;
end;
$$;

create or replace function app.refuse_purchase_in_use() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.refuse('PURCHASE_IN_USE', 'This purchase belongs to another account here. Sign in with that one.');
end;
$$;

-- Notes what a store says of a subscription with its latest payment, parked until that is there, and has the plan
-- follow it; what is older than what is known changes nothing. Returns the order of the payment.
create or replace function app.apply_subscription_state(from_provider text, event jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    payment public.payments;
    ordered public.orders;
    told public.subscription_transactions;
begin
    select * into payment from public.payments p
    where p.provider = from_provider and p.provider_payment_id = event ->> 'payment_id';
    if payment.id is null or payment.status in ('PENDING', 'FAILED') then
        perform app.park_event(event ->> 'payment_id');
    end if;
    ordered := (app.lock_order(payment.order_id)).locked;
    if ordered.plan_id is null then
        return ordered.id;
    end if;
    insert into public.subscription_transactions as t (user_id, order_id, provider, transaction_id, purchase_id, plan_id,
        amount_cents, currency, started_at, expires_at, auto_renews, grace_ends_at, told_at, status)
    select ordered.user_id, ordered.id, from_provider, event ->> 'payment_id', event -> 'references' ->> 0, ordered.plan_id,
        payment.amount_cents, payment.currency, s.started_at, s.expires_at, s.auto_renews, s.grace_until, s.told_at,
        app.subscription_status(s.expires_at, s.auto_renews, s.grace_until, s.has_ended)
    from (select (event ->> 'started_at')::timestamptz as started_at,
        coalesce((event ->> 'expires_at')::timestamptz, ordered.paid_until) as expires_at,
        (event ->> 'auto_renews')::boolean as auto_renews, (event ->> 'grace_until')::timestamptz as grace_until,
        (event ->> 'told_at')::timestamptz as told_at, (event ->> 'has_ended')::boolean as has_ended) s
    on conflict (provider, transaction_id) do update
    set expires_at = excluded.expires_at, auto_renews = excluded.auto_renews, grace_ends_at = excluded.grace_ends_at,
        told_at = excluded.told_at, updated_at = clock_timestamp(),
        status = case when t.status = 'REFUNDED' then t.status else excluded.status end
    where t.told_at < excluded.told_at
    returning * into told;
    if told.id is not null and told.user_id is not null and told.status <> 'REFUNDED' then
        perform app.follow_subscription(told, (event ->> 'has_ended')::boolean);
        perform app.end_changed_subscription(told.id);
    end if;
    return ordered.id;
end;
$$;

create or replace function app.subscription_status(
    expires_at timestamptz, auto_renews boolean, grace_until timestamptz, has_ended boolean
) returns text
language sql stable set search_path = pg_catalog, pg_temp
return case when has_ended or greatest(expires_at, grace_until) <= now() then 'EXPIRED'
    when auto_renews then 'ACTIVE' else 'CANCELLED' end;

-- Has a user's plan follow what a store says of their subscription, as long as nothing else pays for the plan: it ends
-- with its period, or goes on after all, or is served while a renewal fails, or is over.
create or replace function app.follow_subscription(told public.subscription_transactions, has_ended boolean) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    plan public.plan_subscriptions;
begin
    perform app.extend_ordered_plan(told);
    if has_ended then
        perform app.cut_ordered_plan(told);
    end if;
    select * into plan from public.plan_subscriptions s
    where s.user_id = told.user_id and s.status <> 'ENDED' for update;
    if plan.plan_id is distinct from told.plan_id or plan.current_period_end is distinct from told.expires_at then
        return;
    elsif has_ended and plan.current_period_end <= now() then
        perform app.close_plan(told.user_id);
        perform app.tell_of_plan(told.user_id, 'planLapsed', told.plan_id);
    elsif told.grace_ends_at > now() and plan.status in ('ACTIVE', 'PAST_DUE') then
        update public.plan_subscriptions s
        set status = 'PAST_DUE', grace_ends_at = told.grace_ends_at, updated_at = clock_timestamp()
        where s.user_id = told.user_id;
        if plan.status = 'ACTIVE' then
            perform app.tell_of_plan(told.user_id, 'planPastDue', told.plan_id,
                jsonb_build_object('until', (told.grace_ends_at at time zone 'UTC')::date));
        end if;
    elsif plan.scheduled_plan_id is null and plan.status in ('ACTIVE', 'CANCELLING') then
        update public.plan_subscriptions s
        set status = case when told.auto_renews then 'ACTIVE' else 'CANCELLING' end, updated_at = clock_timestamp()
        where s.user_id = told.user_id and s.status <> case when told.auto_renews then 'ACTIVE' else 'CANCELLING' end;
    end if;
end;
$$;

-- Lets the time that a payment gave last as long as its store says now, where that has become longer.
create or replace function app.extend_ordered_plan(told public.subscription_transactions) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.plan_periods p set ends_at = told.expires_at
    where p.reference = told.order_id::text and p.revoked_at is null and p.ends_at < told.expires_at
        and p.ends_at > p.starts_at;
    if found then
        update public.orders o set paid_until = told.expires_at where o.id = told.order_id;
        perform app.follow_plan_periods(told.user_id, false);
    end if;
end;
$$;

-- Ends the time that a subscription's payments gave now, where its store says that it ended before that. The credits
-- stay until they expire.
create or replace function app.cut_ordered_plan(told public.subscription_transactions) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.plan_periods p set ends_at = greatest(p.starts_at, now())
    where p.revoked_at is null and told.expires_at <= now() and p.ends_at > now() and p.reference in (
        select t.order_id::text from public.subscription_transactions t
        where t.user_id = told.user_id and t.provider = told.provider and t.purchase_id = told.purchase_id)
        -- Not by what was told before somebody subscribed again.
        and not exists (select from public.subscription_transactions t
            where t.user_id = told.user_id and t.provider = told.provider and t.purchase_id = told.purchase_id
                and t.told_at > told.told_at);
    if found and not app.follow_plan_periods(told.user_id, false) then
        perform app.close_plan(told.user_id);
        perform app.tell_of_plan(told.user_id, 'planLapsed', told.plan_id);
    end if;
end;
$$;

-- Ends now what is left of a user's purchases in a store that a new order replaces, by the store's names of them: of
-- what began `before` a time, where there is one. Where nothing else is paid, the plan waits for that order's time with
-- its own over. The items of one purchase have its name before their own. Returns whether anything ended.
create or replace function app.end_replaced_purchases(by_order public.orders, names text[], before timestamptz) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    has_ended boolean;
begin
    with replaced as (
        update public.subscription_transactions t
        set status = 'EXPIRED', auto_renews = false, grace_ends_at = null, expires_at = least(t.expires_at, now()),
            updated_at = clock_timestamp()
        where t.user_id = by_order.user_id and t.provider = by_order.provider and split_part(t.purchase_id, ' ', 1) = any (names)
            and t.order_id <> by_order.id and t.status in ('ACTIVE', 'CANCELLED')
            and t.started_at < coalesce(before, 'infinity')
        returning t.order_id)
    update public.plan_periods p set ends_at = greatest(p.starts_at, now())
    from replaced r where p.reference = r.order_id::text and p.revoked_at is null and p.ends_at > now();
    has_ended := found;
    if has_ended and not app.follow_plan_periods(by_order.user_id, false) then
        update public.plan_subscriptions s
        set status = 'ACTIVE', current_period_end = now(), scheduled_plan_id = null, grace_ends_at = null,
            updated_at = clock_timestamp()
        where s.user_id = by_order.user_id and s.status <> 'ENDED';
    end if;
    return has_ended;
end;
$$;

-- Ends what a payment gave that is told of behind the change which replaced it: another product of the same purchase
-- that began while its time went on. A renewal begins no more than a day before.
create or replace function app.end_changed_subscription(wanted uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    told record;
begin
    update public.subscription_transactions t
    set status = 'EXPIRED', auto_renews = false, grace_ends_at = null, expires_at = least(t.expires_at, now()),
        updated_at = clock_timestamp()
    from public.orders b
    where t.id = wanted and b.id = t.order_id and t.status in ('ACTIVE', 'CANCELLED') and exists (
        select from public.subscription_transactions n join public.orders o on o.id = n.order_id
        where n.user_id = t.user_id and n.provider = t.provider and n.purchase_id = t.purchase_id
            and n.started_at > t.started_at and n.started_at < t.expires_at - interval '1 day'
            and o.product_id <> b.product_id)
    returning t.user_id, t.order_id into told;
    if not found then
        return;
    end if;
    update public.plan_periods p set ends_at = greatest(p.starts_at, now())
    where p.reference = told.order_id::text and p.revoked_at is null and p.ends_at > now();
    if found and not app.follow_plan_periods(told.user_id, false) then
        perform app.close_plan(told.user_id);
    end if;
end;
$$;

-- Queues a job that tells a store that a purchase was given: it would take it back.
create or replace function app.queue_acknowledgement(for_provider text, payment text, purchase text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select app.enqueue_once('acknowledge_purchase',
        jsonb_build_object('provider', for_provider, 'purchase', purchase), 'acknowledge:' || for_provider || ':' || payment, 5);
$$;

-- Notes that what paid for a subscription went back.
create or replace function app.refund_subscription(wanted uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.subscription_transactions t set status = 'REFUNDED', updated_at = clock_timestamp()
    from public.orders o
    where o.id = wanted and o.status = 'REFUNDED' and t.order_id = o.id and t.status <> 'REFUNDED';
$$;

-- Notes which subscriptions are over, so many at once; returns how many.
create or replace function app.expire_subscription_transactions(at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    expired integer;
begin
    update public.subscription_transactions set status = 'EXPIRED', updated_at = clock_timestamp() where id in (
        select t.id from public.subscription_transactions t
        where t.status in ('ACTIVE', 'CANCELLED') and greatest(t.expires_at, t.grace_ends_at) <= now()
        order by t.expires_at limit at_most for update skip locked);
    get diagnostics expired = row_count;
    return expired;
end;
$$;

revoke execute on function
    app.take_proof(uuid), app.claim_purchase(uuid, text, jsonb), app.refuse_purchase_of_another(uuid, text, jsonb),
    app.refuse_purchase_in_use(), app.apply_subscription_state(text, jsonb),
    app.subscription_status(timestamptz, boolean, timestamptz, boolean),
    app.follow_subscription(public.subscription_transactions, boolean),
    app.extend_ordered_plan(public.subscription_transactions),
    app.cut_ordered_plan(public.subscription_transactions), app.refund_subscription(uuid),
    app.end_replaced_purchases(public.orders, text[], timestamptz),
    app.end_changed_subscription(uuid),
    app.queue_acknowledgement(text, text, text),
    app.expire_subscription_transactions(integer)
from public;
grant execute on function
    app.take_proof(uuid), app.claim_purchase(uuid, text, jsonb), app.expire_subscription_transactions(integer)
to service;
