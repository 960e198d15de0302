-- Orders: opened by their buyer, named by their provider, ended by the clock.

-- Opens an order for a product at a provider's price, and returns it with what a checkout is made of;
-- the same key the same one, with the checkout that was made for it. A checkout is made behind this,
-- without a transaction; until then `checkout_url` is null.
create or replace function app.open_order(
    wanted_product text, wanted_provider text, success_url text, cancel_url text, idempotency_key text
) returns public.orders
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    lasts constant interval := '24 hours';
    actor_id uuid := app.required_user_id();
    fingerprint bytea := sha256(convert_to(
        jsonb_build_array(wanted_product, wanted_provider, success_url, cancel_url)::text, 'UTF8'));
    is_guest boolean;
    known uuid;
    product public.products;
    price public.product_prices;
    upgrade record;
    opened public.orders;
begin
    perform app.check_idempotency_key(idempotency_key);
    -- One at a time, so that a key opens one order.
    select u.is_anonymous into is_guest from public.users u where u.id = actor_id for no key update;
    known := app.remembered_result(actor_id, 'create_checkout', idempotency_key, fingerprint);
    if known is not null then
        select * into opened from public.orders o where o.id = known;
        return opened;
    end if;
    select * into product from public.products p where p.id = wanted_product and p.is_active;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such product.', '{"path": ["input", "productId"]}');
    end if;
    perform app.check_open_orders(actor_id);
    if product.store_id is not null then
        opened := app.open_sale(actor_id, product, wanted_provider, open_order.success_url, open_order.cancel_url, null);
        perform app.remember_result(actor_id, 'create_checkout', idempotency_key, fingerprint, opened.id);
        return opened;
    end if;
    select * into price from public.product_prices p
    where p.product_id = wanted_product and p.provider = wanted_provider;
    if not found then
        perform app.refuse('BAD_USER_INPUT', 'This product has no price at this provider.',
            '{"path": ["input", "provider"]}');
    elsif is_guest and product.kind <> 'CREDITS' then
        perform app.refuse('FORBIDDEN', 'Guests have no plans. Sign up first; what you have stays yours.');
    end if;
    -- In a paid period on a plan of a lower price, the difference for what is left of it.
    select u.amount_cents, u.paid_until into upgrade from app.upgrade_at_provider(actor_id, product.plan_id, price) u;
    insert into public.orders (user_id, product_id, kind, credits, plan_id, provider, amount_cents, currency,
        billing_interval, price_id, success_url, cancel_url, expires_at, paid_until)
    values (actor_id, product.id, product.kind, product.credits, product.plan_id, price.provider,
        coalesce(upgrade.amount_cents, price.amount_cents), price.currency, price.billing_interval,
        case when upgrade.amount_cents is null then price.price_id end,
        open_order.success_url, open_order.cancel_url, least(now() + lasts, upgrade.paid_until), upgrade.paid_until)
    returning * into opened;
    perform app.remember_result(actor_id, 'create_checkout', idempotency_key, fingerprint, opened.id);
    return opened;
end;
$$;

-- Refuses another order to a user who has opened many lately and paid nothing for them: neither yet, nor because a
-- discount code made them free.
create or replace function app.check_open_orders(buyer uuid) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    daily_limit constant integer := 50;
begin
    if (select count(*) from public.orders o where o.user_id = buyer
        and o.created_at > now() - interval '1 day' and (o.paid_at is null or o.amount_cents = 0)) >= daily_limit then
        perform app.refuse('LIMIT_EXCEEDED', format(
            'One user opens at most %s orders in a day without paying. Pay one of them, or wait.', daily_limit));
    end if;
end;
$$;

-- Notes the checkout that a provider made for an order. Of two made at once the first is shown, and the
-- names of both find the order. Returns the one to show.
create or replace function app.note_checkout(
    wanted uuid, made_url text, lasts_until timestamptz, made_references text[],
    out checkout_url text, out expires_at timestamptz
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    noted public.orders;
begin
    update public.orders o
    set checkout_url = coalesce(o.checkout_url, made_url),
        expires_at = case when o.checkout_url is null then lasts_until else o.expires_at end
    where o.id = wanted returning * into noted;
    perform app.note_references(noted.provider, wanted, made_references);
    checkout_url := noted.checkout_url;
    expires_at := noted.expires_at;
end;
$$;

-- Names by which a provider calls an order. One that leads to another order already stays with that.
create or replace function app.note_references(for_provider text, wanted uuid, names text[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into public.order_references (provider, reference, order_id)
    select for_provider, n.name, wanted from unnest(names) as n (name) on conflict do nothing;
$$;

-- Notes by which name a provider knows a buyer; the first stays. Returns it.
create or replace function app.note_payment_customer(wanted uuid, for_provider text, made_customer text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.payment_customers (user_id, provider, customer_id)
    values (wanted, for_provider, made_customer) on conflict do nothing;
    return (select c.customer_id from public.payment_customers c
            where c.user_id = wanted and c.provider = for_provider);
end;
$$;

-- Ends orders that nobody has paid in time, so many at once; returns how many. One with a payment on its
-- way waits for that.
create or replace function app.expire_orders(at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    expired integer;
begin
    update public.orders set status = 'EXPIRED' where id in (
        select o.id from public.orders o
        where o.status = 'PENDING' and o.expires_at <= now() and not exists (
            select from public.payments p where p.order_id = o.id and p.status = 'PENDING')
        order by o.expires_at limit at_most for update skip locked);
    get diagnostics expired = row_count;
    return expired;
end;
$$;

-- Has a user's orders of plans say until when they are paid for, once their periods were moved or ended.
create or replace function app.follow_paid_until(owner_id uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.orders o set paid_until = coalesce(p.revoked_at, p.ends_at)
    from public.plan_periods p
    where o.user_id = owner_id and o.plan_id is not null and o.paid_at is not null
        and p.user_id = owner_id and p.reference = o.id::text
        and o.paid_until is distinct from coalesce(p.revoked_at, p.ends_at);
$$;

-- Forgets what providers told of a person whose account is being erased: the bodies and headers of the
-- webhooks of their orders, and where their browser was sent. Returns how many webhooks and orders.
create or replace function app.forget_payer(leaving uuid, at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    webhooks integer;
    forgotten integer;
begin
    update public.webhook_events set body = '', headers = '{}', query = '' where id in (
        select w.id from public.webhook_events w join public.orders o on o.id = w.order_id
        where o.user_id = leaving and (w.body <> '' or w.query <> '' or w.headers <> '{}') limit at_most);
    get diagnostics webhooks = row_count;
    update public.orders set checkout_url = null, success_url = null, cancel_url = null where id in (
        select o.id from public.orders o where o.user_id = leaving
        and coalesce(o.checkout_url, o.success_url, o.cancel_url) is not null limit at_most);
    get diagnostics forgotten = row_count;
    return webhooks + forgotten;
end;
$$;

revoke execute on function
    app.open_order(text, text, text, text, text), app.check_open_orders(uuid),
    app.note_checkout(uuid, text, timestamptz, text[]), app.note_references(text, uuid, text[]), app.note_payment_customer(uuid, text, text),
    app.expire_orders(integer), app.follow_paid_until(uuid), app.forget_payer(uuid, integer)
from public;
grant execute on function app.open_order(text, text, text, text, text) to authenticated;
grant execute on function
    app.note_checkout(uuid, text, timestamptz, text[]), app.note_payment_customer(uuid, text, text),
    app.expire_orders(integer)
to service;
