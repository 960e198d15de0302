-- Sales: an order of a store's product is opened on terms that stay as they are, and becomes a sale once it is paid.
-- Whoever opens one locks the buyer, then the discount code.

-- What a discount code takes off a price, in whole cents. The code is locked, so that of those who want its last place
-- at once one has it; whoever has begun to pay holds a place until their order ends, by the clock or because its
-- provider says so, and longer while a payment is on its way. Refuses with the same words what
-- there is not, what is over and what is for something else, so that nobody finds codes by trying.
create or replace function app.take_discount(
    product public.products, wanted_code text, list_cents integer, list_currency text,
    out discount_id uuid, out cents integer
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    found_code public.discount_codes;
    path constant jsonb := '{"path": ["input", "discountCode"]}';
    held bigint;
begin
    cents := 0;
    if wanted_code is null then
        return;
    end if;
    select * into found_code from public.discount_codes d
    where d.store_id = product.store_id and d.code = upper(btrim(wanted_code)) for update;
    if found_code.id is null or not found_code.is_active or found_code.expires_at <= now()
        or found_code.product_ids <> '{}' and product.id <> all (found_code.product_ids)
        or found_code.currency <> list_currency then
        perform app.refuse('BAD_USER_INPUT', 'This code does not apply here.', path);
    elsif found_code.min_purchase_cents > list_cents then
        perform app.refuse('BAD_USER_INPUT', format('This code is for purchases of %s cents and more.',
            found_code.min_purchase_cents), path);
    end if;
    select count(*) into held from public.sale_offers f join public.orders o on o.id = f.order_id
    where f.discount_code_id = found_code.id and o.status in ('PENDING', 'FAILED') and (o.expires_at > now()
        or exists (select from public.payments p where p.order_id = o.id and p.status = 'PENDING'));
    if found_code.use_count + held >= found_code.usage_limit then
        perform app.refuse('BAD_USER_INPUT', 'This code has been used as often as it may.', path);
    end if;
    discount_id := found_code.id;
    cents := least(list_cents, coalesce(found_code.max_discount_cents, list_cents), case found_code.kind
        when 'FIXED' then found_code.amount_cents else (list_cents::bigint * found_code.percent / 100)::integer end);
end;
$$;

-- What of a price whoever runs the service keeps, rounded down to whole cents in the seller's favour.
create or replace function app.fee_of(cents integer) returns integer
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select (cents::bigint * coalesce((select t.fee_basis_points from public.marketplace_terms t), 0) / 10000)::integer;
$$;

-- Refuses a product that cannot be sold there: of a seller who bought it, or whose account at the provider takes no
-- money yet.
create or replace function app.check_seller(product public.products, buyer uuid, wanted_provider text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if product.seller_id = buyer then
        perform app.refuse('INVALID_STATE', 'This is your own product; download it as it is.',
            '{"path": ["input", "productId"]}');
    elsif wanted_provider <> 'sandbox' and not exists (select from public.seller_accounts a
        where a.store_id = product.store_id and a.provider = wanted_provider and a.charges_enabled) then
        perform app.refuse('INVALID_STATE', 'This store cannot be paid at this provider yet. Choose another.',
            '{"path": ["input", "provider"]}');
    end if;
end;
$$;

-- Opens an order of a store's product and returns it, on terms that are noted beside it; one that costs nothing any
-- more is paid at once. Without a buyer it is somebody's without an account, who is known by an e-mail.
create or replace function app.open_sale(
    buyer uuid, product public.products, wanted_provider text, success_url text, cancel_url text, discount_code text,
    given_email text default null, given_email_key text default null, guest_key bytea default null
) returns public.orders
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    lasts constant interval := '24 hours';
    -- Stripe has no page for less than 30 minutes; what is left is for asking it again.
    holds_place constant interval := '40 minutes';
    price public.product_prices;
    discount record;
    opened public.orders;
begin
    select * into price from public.product_prices p
    where p.product_id = product.id and p.provider = wanted_provider;
    if not found then
        perform app.refuse('BAD_USER_INPUT', 'This product has no price at this provider.',
            '{"path": ["input", "provider"]}');
    end if;
    perform app.check_seller(product, buyer, wanted_provider);
    discount := app.take_discount(product, discount_code, price.amount_cents, price.currency);
    discount.cents := app.payable_cents(discount.cents, wanted_provider, price.currency);
    if discount.cents > 0 and price.amount_cents - discount.cents between 1
        and app.least_payable_cents(wanted_provider, price.currency) - 1 then
        perform app.refuse('BAD_USER_INPUT',
            'With this code less would be left than can be paid. Choose another code, or none.',
            '{"path": ["input", "discountCode"]}');
    end if;
    insert into public.orders (user_id, product_id, kind, provider, amount_cents, currency, success_url, cancel_url,
        expires_at)
    values (buyer, product.id, product.kind, wanted_provider, price.amount_cents - discount.cents, price.currency,
        open_sale.success_url, open_sale.cancel_url, now() + case when exists (
            select from public.discount_codes d where d.id = discount.discount_id and d.usage_limit is not null)
            then holds_place else lasts end)
    returning * into opened;
    insert into public.sale_offers (order_id, store_id, seller_id, list_cents, discount_cents, fee_cents,
        discount_code_id, buyer_email, email_key, guest_key)
    values (opened.id, product.store_id, product.seller_id, price.amount_cents, discount.cents,
        app.payable_cents(app.fee_of(opened.amount_cents), wanted_provider, price.currency), discount.discount_id,
        given_email, given_email_key, open_sale.guest_key);
    if opened.amount_cents = 0 then
        update public.orders o set status = 'PAID', paid_at = now() where o.id = opened.id returning * into opened;
        perform app.make_sale(opened);
    end if;
    return opened;
end;
$$;

-- Opens an order of a store's product for the caller, at a lower price with a code; the same key the same one.
create or replace function app.open_discounted_order(
    wanted_product text, wanted_provider text, success_url text, cancel_url text, discount_code text,
    idempotency_key text
) returns public.orders
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    fingerprint bytea := sha256(convert_to(jsonb_build_array(
        wanted_product, wanted_provider, success_url, cancel_url, discount_code)::text, 'UTF8'));
    known uuid;
    opened public.orders;
begin
    perform app.check_idempotency_key(idempotency_key);
    perform from public.users u where u.id = actor_id for no key update;
    known := app.remembered_result(actor_id, 'create_checkout', idempotency_key, fingerprint);
    if known is not null then
        select * into opened from public.orders o where o.id = known;
        return opened;
    end if;
    perform app.check_open_orders(actor_id);
    opened := app.open_sale(actor_id, app.product_of_store(wanted_product), wanted_provider, success_url, cancel_url,
        discount_code);
    perform app.remember_result(actor_id, 'create_checkout', idempotency_key, fingerprint, opened.id);
    return opened;
end;
$$;

-- A product that a store sells now; what has no store takes no codes, and nobody buys it without an account.
create or replace function app.product_of_store(wanted text) returns public.products
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    product public.products;
begin
    select * into product from public.products p where p.id = wanted and p.is_active;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such product.', '{"path": ["input", "productId"]}');
    elsif product.store_id is null then
        perform app.refuse('BAD_USER_INPUT', 'This product is no store''s: sign in, and leave the code and e-mail out.',
            '{"path": ["input", "productId"]}');
    end if;
    return product;
end;
$$;

-- Opens an order for somebody without an account, who is known by their e-mail until they claim it; the same key and
-- e-mail the same one. `LIMIT_EXCEEDED` once a network has opened too many.
create or replace function app.open_guest_order(
    wanted_product text, wanted_provider text, success_url text, cancel_url text, discount_code text, email text,
    email_key text, network bytea, idempotency_key text
) returns public.orders
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    daily_limit constant integer := 50;
    key_hash bytea := sha256(convert_to(jsonb_build_array(email_key, idempotency_key)::text, 'UTF8'));
    opened public.orders;
    opened_with text;
begin
    perform app.check_idempotency_key(idempotency_key);
    perform pg_advisory_xact_lock(hashtextextended('guest order:' || encode(key_hash, 'hex'), 0));
    select o.* into opened from public.sale_offers f join public.orders o on o.id = f.order_id
    where f.guest_key = key_hash;
    if opened.id is not null then
        select d.code into opened_with from public.sale_offers f join public.discount_codes d on d.id = f.discount_code_id
        where f.order_id = opened.id;
        if (opened.product_id, opened.provider, opened.success_url, opened.cancel_url, opened_with) is distinct from
            (wanted_product, wanted_provider, open_guest_order.success_url, open_guest_order.cancel_url,
            upper(btrim(discount_code))) then
            perform app.refuse('IDEMPOTENCY_CONFLICT',
                'This idempotency key was used with other parameters. Use a new key for a new request.',
                '{"path": ["input", "idempotencyKey"]}');
        end if;
        return opened;
    end if;
    if app.take_from_budget('guest_orders', network, daily_limit, interval '1 day') is not null then
        perform app.refuse('LIMIT_EXCEEDED', format(
            'From one network at most %s orders are opened in a day without an account. Sign in, or wait.', daily_limit));
    end if;
    return app.open_sale(null, app.product_of_store(wanted_product), wanted_provider, success_url, cancel_url,
        discount_code, email, email_key, key_hash);
end;
$$;

-- Gives with a sale what comes with it: a licence, where the product has them.
create or replace function app.give_with_sale(wanted uuid, wanted_product text, buyer uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.give_licence_of_sale(wanted, wanted_product, buyer);
end;
$$;

-- Makes a sale of an order that is paid, once, with what comes with it.
-- Somebody who has confirmed the e-mail that a guest gave is the buyer at once.
create or replace function app.make_sale(ordered public.orders) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    offer public.sale_offers;
    buyer uuid := ordered.user_id;
    made uuid;
    sold public.sales;
begin
    select * into offer from public.sale_offers f where f.order_id = ordered.id for update;
    if buyer is null and offer.email_key is not null then
        select u.id into buyer from public.users u where u.email_key = offer.email_key
            and u.email_confirmed_at is not null and u.status = 'active';
    end if;
    insert into public.sales (order_id, product_id, product_name, store_id, seller_id, buyer_id, buyer_email, email_key,
        provider, amount_cents, currency, discount_cents, fee_cents, seller_cents, claimed_at)
    select ordered.id, ordered.product_id, p.name, offer.store_id, offer.seller_id, buyer,
        case when buyer is null then offer.buyer_email end, case when buyer is null then offer.email_key end,
        case when ordered.amount_cents > 0 then ordered.provider end, ordered.amount_cents,
        case when ordered.amount_cents > 0 then ordered.currency end, offer.discount_cents, offer.fee_cents,
        ordered.amount_cents - offer.fee_cents, case when ordered.user_id is null and buyer is not null then now() end
    from public.products p where p.id = ordered.product_id
    on conflict (order_id) do nothing
    returning id into made;
    if made is not null then
        perform app.give_with_sale(made, ordered.product_id, buyer);
        select * into sold from public.sales s where s.id = made;
        perform app.earn_commission(sold, offer);
        update public.sale_offers f set buyer_email = null, email_key = null where f.order_id = ordered.id;
        update public.discount_codes d set use_count = d.use_count + 1 where d.id = offer.discount_code_id;
        perform app.notify(offer.seller_id, 'GENERAL', 'notifications.productSold.title',
            'notifications.productSold.message', app.told_of_order(ordered));
    end if;
    return made;
end;
$$;

-- Brings a sale in line with its order: what came with it is held while it hands nothing out.
create or replace function app.settle_sale(wanted_order uuid, back integer, order_status text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    new_status text := case order_status when 'PAID' then 'COMPLETED' else order_status end;
    settled uuid;
begin
    update public.sales s set refunded_cents = back, status = new_status
    where s.order_id = wanted_order and (s.refunded_cents, s.status) is distinct from (back, new_status)
    returning s.id into settled;
    if settled is not null then
        perform app.hold_licence_of_sale(settled, new_status in ('DISPUTED', 'REFUNDED'));
        perform app.settle_commission(settled);
    end if;
end;
$$;

-- Gives the caller a free product of a store, and returns the sale; doing it again returns the same.
create or replace function app.obtain_product(wanted text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    product public.products := app.product_of_store(wanted);
    had uuid;
begin
    perform app.check_seller(product, actor_id, 'sandbox');
    if exists (select from public.product_prices p where p.product_id = wanted) then
        perform app.refuse('INVALID_STATE', 'This product has a price. Buy it with createCheckout.',
            '{"path": ["input", "productId"]}');
    end if;
    insert into public.sales (product_id, product_name, store_id, seller_id, buyer_id, amount_cents, fee_cents, seller_cents)
    values (wanted, product.name, product.store_id, product.seller_id, actor_id, 0, 0, 0)
    on conflict (buyer_id, product_id) where order_id is null do nothing returning id into had;
    if had is not null then
        perform app.give_with_sale(had, wanted, actor_id);
    end if;
    return coalesce(had, (select s.id from public.sales s
        where s.buyer_id = actor_id and s.product_id = wanted and s.order_id is null));
end;
$$;

-- Makes the caller the buyer of what was bought without an account under the e-mail that they have confirmed. Returns
-- how many sales.
create or replace function app.claim_sales() returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    claimer public.users;
    claimed integer := 0;
    sold uuid;
begin
    select * into claimer from public.users u where u.id = actor_id;
    if claimer.email_confirmed_at is null then
        perform app.refuse('EMAIL_NOT_CONFIRMED', 'Confirm your e-mail address first: what was bought under it is yours then.');
    end if;
    for sold in
        update public.sales s
        set buyer_id = actor_id, buyer_email = null, email_key = null, claimed_at = clock_timestamp()
        where s.email_key = claimer.email_key and s.buyer_id is null
        returning s.id
    loop
        claimed := claimed + 1;
        perform app.claim_licence_of_sale(sold, actor_id);
        perform app.settle_commission(sold);
    end loop;
    return claimed;
end;
$$;

-- What a guest bought and sold becomes a member's. Of a free product that both took the member's sale stays, and who
-- turns out to have recommended a purchase of their own earns nothing by it. Returns how many sales moved.
create or replace function app.merge_sales(guest uuid, member uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    moved uuid[];
begin
    delete from public.sales g using public.sales m
    where g.buyer_id = guest and g.order_id is null and m.buyer_id = member and m.order_id is null
        and m.product_id = g.product_id;
    with gone as (
        update public.sales s
        set buyer_id = case when s.buyer_id = guest then member else s.buyer_id end,
            seller_id = case when s.seller_id = guest then member else s.seller_id end
        where s.buyer_id = guest or s.seller_id = guest returning s.id)
    select array_agg(g.id) into moved from gone g;
    perform app.settle_commission(s.id) from unnest(moved) as s (id);
    return coalesce(cardinality(moved), 0);
end;
$$;

revoke execute on function
    app.merge_sales(uuid, uuid),
    app.take_discount(public.products, text, integer, text), app.fee_of(integer),
    app.check_seller(public.products, uuid, text),
    app.open_sale(uuid, public.products, text, text, text, text, text, text, bytea),
    app.open_discounted_order(text, text, text, text, text, text), app.product_of_store(text),
    app.open_guest_order(text, text, text, text, text, text, text, bytea, text), app.make_sale(public.orders),
    app.give_with_sale(uuid, text, uuid),
    app.settle_sale(uuid, integer, text), app.obtain_product(text), app.claim_sales()
from public;
grant execute on function
    app.open_discounted_order(text, text, text, text, text, text), app.obtain_product(text), app.claim_sales()
to authenticated;
grant execute on function app.open_guest_order(text, text, text, text, text, text, text, bytea, text) to service;
