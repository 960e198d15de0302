-- Which order a provider's event (`payments/events.py`) is about, found or made for it, and locked. What an event
-- names is locked first, then the buyer's wallet, then the order.

-- Stops an event that cannot be right: nothing of its webhook is done.
create or replace function app.refuse_event(reason text, detail text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    raise exception using errcode = 'TG001', message = detail, hint = reason;
end;
$$;

-- Stops an event that is about a payment which has not been told of.
create or replace function app.park_event(payment text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    raise exception using errcode = 'TG002', message = payment;
end;
$$;

-- The order that an event names, or the payment that it is about; null when there is none.
create or replace function app.order_of_event(from_provider text, event jsonb) returns uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    found_orders uuid[];
begin
    select array_agg(distinct r.order_id) into found_orders
    from public.order_references r
    where r.provider = from_provider
        and r.reference in (select n.name from jsonb_array_elements_text(event -> 'references') as n (name));
    if cardinality(found_orders) > 1 then
        perform app.refuse_event('ORDER_MISMATCH', 'its names lead to several orders');
    end if;
    return coalesce(found_orders[1], (
        select p.order_id from public.payments p
        where p.provider = from_provider and p.provider_payment_id = event ->> 'payment_id'));
end;
$$;

-- An order with its buyer's wallet, both locked; `owner_id` is null for one whose account is gone.
create or replace function app.lock_order(wanted uuid, out locked public.orders, out owner_id uuid)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    loop
        select o.user_id into owner_id from public.orders o where o.id = wanted;
        if exists (select from public.wallets w where w.user_id = owner_id and w.closed_at is not null) then
            owner_id := null;
        elsif owner_id is not null then
            perform app.lock_wallet(owner_id);
        end if;
        select * into locked from public.orders o where o.id = wanted for update;
        -- A guest's order may have become a member's meanwhile.
        exit when owner_id is null or locked.user_id = owner_id;
    end loop;
end;
$$;

-- Locks what the events of one webhook are about: a refund that is parked and the payment that wakes it do
-- not pass one another by. Taken outside of what an error undoes, so that they last until the webhook does.
create or replace function app.lock_events(from_provider text, events jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    name text;
begin
    for name in
        select n.name from jsonb_array_elements(events) as e (event), lateral (
            select e.event ->> 'payment_id' union all
            select jsonb_array_elements_text(e.event -> 'references')) as n (name)
        where n.name is not null group by n.name order by n.name
    loop
        perform pg_advisory_xact_lock(hashtextextended(from_provider || ':' || name, 0));
    end loop;
end;
$$;

-- The payment that a refund is of, where its provider says no more than the order: the one there is. Parked
-- until there is one, and left to a person when there are several.
create or replace function app.payment_of_refund(wanted uuid) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    found_payments text[];
begin
    if wanted is null then
        perform app.refuse_event('UNKNOWN_ORDER', 'it names no order of ours');
    end if;
    select array_agg(p.provider_payment_id) into found_payments
    from public.payments p where p.order_id = wanted and p.status not in ('PENDING', 'FAILED');
    if found_payments is null then
        perform app.park_event('order:' || wanted);
    elsif cardinality(found_payments) > 1 then
        perform app.refuse_event('ALREADY_PAID', 'the order was paid twice: say by hand which payment went back');
    end if;
    return found_payments[1];
end;
$$;

-- The order that a renewal pays: like the subscription's first one, at what the provider charged this time. A
-- subscription that changed to another product of the provider's is renewed as that.
create or replace function app.renewed_order(first_order public.orders, event jsonb) returns public.orders
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    renewed public.orders := first_order;
begin
    if event ->> 'product' not in (first_order.product_id, coalesce(first_order.price_id, '')) then
        select p.id, p.kind, p.credits, p.plan_id, pp.billing_interval, pp.price_id
        into renewed.product_id, renewed.kind, renewed.credits, renewed.plan_id, renewed.billing_interval, renewed.price_id
        from public.product_prices pp join public.products p on p.id = pp.product_id
        where pp.provider = first_order.provider and pp.price_id = event ->> 'product';
        if not found then
            perform app.refuse_event('PRODUCT_MISMATCH', 'it is for no product of ours');
        end if;
    end if;
    insert into public.orders (user_id, product_id, kind, credits, plan_id, provider, amount_cents, currency,
        billing_interval, price_id, expires_at)
    values (renewed.user_id, renewed.product_id, renewed.kind, renewed.credits, renewed.plan_id, renewed.provider,
        (event ->> 'amount_cents')::integer, event ->> 'currency', renewed.billing_interval, renewed.price_id, now())
    returning * into renewed;
    return renewed;
end;
$$;

-- The order for a purchase that began at its provider, which says what was charged, or else its price. Parked until the
-- buyer is known.
create or replace function app.order_of_purchase(from_provider text, event jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    buyer uuid := coalesce(app.user_of_names(from_provider, event #> '{purchase,user_names}'),
        app.merged_into((event #>> '{purchase,user_id}')::uuid));
    bought text := event #>> '{purchase,price_id}';
    made uuid;
begin
    if buyer is null then
        perform app.park_event('user:' || (event #>> '{purchase,user_names,0}'));
    end if;
    if not exists (select from public.users u where u.id = buyer) then
        perform app.refuse_event('UNKNOWN_USER', 'it is for no user of ours');
    end if;
    insert into public.orders (user_id, product_id, kind, credits, plan_id, provider, amount_cents, currency,
        billing_interval, price_id, expires_at)
    select buyer, p.id, p.kind, p.credits, p.plan_id, from_provider,
        coalesce((event ->> 'amount_cents')::integer, pp.amount_cents),
        case when event ->> 'amount_cents' is null then pp.currency else coalesce(event ->> 'currency', pp.currency) end,
        pp.billing_interval, pp.price_id, now()
    from public.product_prices pp join public.products p on p.id = pp.product_id
    -- Google Play's subscriptions are called by their base plan as well.
    where pp.provider = from_provider and pp.price_id in (bought, split_part(bought, ':', 1))
    order by pp.price_id = bought desc limit 1
    returning id into made;
    if made is null then
        perform app.refuse_event('PRODUCT_MISMATCH', 'it is for no product of ours');
    end if;
    return made;
end;
$$;

-- Whether something of ours is sold by a provider's name, or by the first part of it.
create or replace function app.is_known_product(from_provider text, name text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from public.product_prices pp
        where pp.provider = from_provider and pp.price_id in (name, split_part(name, ':', 1)));
$$;

revoke execute on function
    app.refuse_event(text, text), app.park_event(text), app.order_of_event(text, jsonb), app.lock_order(uuid),
    app.lock_events(text, jsonb), app.payment_of_refund(uuid), app.renewed_order(public.orders, jsonb),
    app.order_of_purchase(text, jsonb), app.is_known_product(text, text)
from public;
