-- What admins change of what is sold while the product runs. Each change is noted once: doing it again changes nothing
-- more. Orders keep what they were offered.

-- Adds a product or changes it; it gives credits, or a plan. Returns it.
create or replace function app.save_product(wanted text, changes jsonb) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
    known public.products;
    saved public.products;
begin
    select * into known from public.products p where p.id = wanted for update;
    saved := jsonb_populate_record(known, changes);
    if saved.kind in ('DOWNLOAD', 'BOT') then
        perform app.refuse('BAD_USER_INPUT', 'Products of this kind are made and changed by stores alone.',
            '{"path": ["input", "kind"]}');
    elsif saved.kind is not null and (saved.kind = 'CREDITS') <> (saved.credits is not null) then
        perform app.refuse('BAD_USER_INPUT', 'A product of kind CREDITS says how many; no other has credits.',
            '{"path": ["input", "credits"]}');
    elsif saved.kind is not null and (saved.kind = 'CREDITS') <> (saved.plan_id is null) then
        perform app.refuse('BAD_USER_INPUT', 'A product of kind PLAN or SUBSCRIPTION names its plan; no other has one.',
            '{"path": ["input", "planId"]}');
    elsif known.id is not null and (saved.kind = 'CREDITS') <> (known.kind = 'CREDITS') and exists (
        select from public.product_prices p where p.product_id = wanted) then
        perform app.refuse('BAD_USER_INPUT', 'Its prices are for what it gives now: remove them first.',
            '{"path": ["input", "kind"]}');
    elsif not exists (select from public.plans p where p.id = saved.plan_id) and saved.plan_id is not null then
        perform app.refuse('BAD_USER_INPUT', 'There is no such plan.', '{"path": ["input", "planId"]}');
    end if;
    return app.save_in_catalog('products', 'id', wanted, changes, '{"name": "name", "kind": "kind"}');
end;
$$;

-- Deletes a product with its prices, or switches it off where orders name it. Returns it.
create or replace function app.remove_product(wanted text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
begin
    begin
        perform from public.products p where p.id = wanted and p.kind not in ('DOWNLOAD', 'BOT') for update;
        if not found then
            return wanted;
        end if;
        delete from public.product_prices p where p.product_id = wanted;
        perform app.delete_from_catalog('products', 'id', wanted);
    exception when foreign_key_violation then
        perform app.switch_off_in_catalog('products', wanted);
    end;
    return wanted;
end;
$$;

-- Refuses a price that a provider does not take, or cannot be paid in its currency; the field is the amount's.
create or replace function app.check_price(for_provider text, cents integer, wanted_currency text, field text)
returns void
language plpgsql immutable security definer set search_path = pg_catalog, pg_temp as $$
declare
    step integer := app.currency_step(for_provider, wanted_currency);
begin
    if step is null then
        perform app.refuse('BAD_USER_INPUT', 'This provider does not take this currency. Choose another.',
            '{"path": ["input", "currency"]}');
    elsif cents % step <> 0 then
        perform app.refuse('BAD_USER_INPUT', 'This currency is paid in whole units: ' || field || ' must be a multiple of '
            '100, such as 50,000 for 500.', jsonb_build_object('path', jsonb_build_array('input', field)));
    end if;
end;
$$;

-- Sets what a product costs at a provider, and returns the product. What is paid by the interval says which; what is
-- bought for good has none.
create or replace function app.save_product_price(wanted text, for_provider text, changes jsonb) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
    product public.products;
    known public.product_prices;
    saved public.product_prices;
begin
    select * into product from public.products p
    where p.id = wanted and p.kind not in ('DOWNLOAD', 'BOT') for update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such product.', '{"path": ["input", "productId"]}');
    end if;
    select * into known from public.product_prices p where p.product_id = wanted and p.provider = for_provider;
    saved := jsonb_populate_record(known, changes);
    if saved.amount_cents is null then
        perform app.refuse('BAD_USER_INPUT', 'There is none yet; a new one needs amountCents and currency.',
            '{"path": ["input", "amountCents"]}');
    elsif saved.currency is null then
        perform app.refuse('BAD_USER_INPUT', 'There is none yet; a new one needs amountCents and currency.',
            '{"path": ["input", "currency"]}');
    elsif (product.kind = 'CREDITS') <> (saved.billing_interval is null) then
        perform app.refuse('BAD_USER_INPUT', 'A price of a plan says how long it lasts; one of credits does not.',
            '{"path": ["input", "interval"]}');
    end if;
    perform app.check_price(for_provider, saved.amount_cents, saved.currency, 'amountCents');
    insert into public.product_prices as p
        (product_id, provider, amount_cents, currency, billing_interval, price_id, edited)
    values (wanted, for_provider, saved.amount_cents, saved.currency, saved.billing_interval, saved.price_id,
        array(select jsonb_object_keys(changes) order by 1))
    on conflict (product_id, provider) do update set
        amount_cents = excluded.amount_cents, currency = excluded.currency,
        billing_interval = excluded.billing_interval, price_id = excluded.price_id,
        edited = app.with_edited(p.edited, excluded.edited)
    where (p.amount_cents, p.currency, p.billing_interval, p.price_id) is distinct from
        (excluded.amount_cents, excluded.currency, excluded.billing_interval, excluded.price_id);
    if found then
        perform app.note_catalog_change(admin_id, 'save_in_catalog', jsonb_build_object(
            'table', 'product_prices', 'key', wanted || ':' || for_provider, 'changes', changes));
    end if;
    return wanted;
exception when unique_violation then
    perform app.refuse('BAD_USER_INPUT', 'Another product has this price of the provider''s.',
        '{"path": ["input", "priceId"]}');
end;
$$;

-- Has a product cost nothing at a provider any more: it is not sold there. Returns the product.
create or replace function app.remove_product_price(wanted text, for_provider text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
begin
    delete from public.product_prices p using public.products o
    where p.product_id = wanted and p.provider = for_provider and o.id = wanted and o.kind not in ('DOWNLOAD', 'BOT');
    if found then
        perform app.note_catalog_change(admin_id, 'remove_from_catalog', jsonb_build_object(
            'table', 'product_prices', 'key', wanted || ':' || for_provider));
    end if;
    return wanted;
end;
$$;

-- Has what is charged for a month of a plan follow the plan's own price, where it was the same before and no provider
-- keeps it: what is shown is what is paid.
create or replace function app.follow_plan_price(wanted text, old_cents integer, old_currency text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    changed public.product_prices;
begin
    perform app.check_price(pp.provider, n.price_cents, n.currency, 'priceCents')
    from public.plans n join public.products p on p.plan_id = n.id join public.product_prices pp on pp.product_id = p.id
    where n.id = wanted and pp.billing_interval = 'MONTH' and pp.price_id is null and n.price_cents > 0
        and pp.amount_cents = old_cents and pp.currency = old_currency;
    for changed in
        update public.product_prices pp
        set amount_cents = n.price_cents, currency = n.currency,
            edited = app.with_edited(pp.edited, '{amount_cents,currency}')
        from public.plans n, public.products p
        where n.id = wanted and p.plan_id = n.id and p.id = pp.product_id
            and pp.billing_interval = 'MONTH' and pp.price_id is null and n.price_cents > 0
            and pp.amount_cents = old_cents and pp.currency = old_currency
            and (pp.amount_cents, pp.currency) is distinct from (n.price_cents, n.currency)
        returning pp.*
    loop
        perform app.note_catalog_change(app.required_admin_id(), 'save_in_catalog', jsonb_build_object(
            'table', 'product_prices', 'key', changed.product_id || ':' || changed.provider, 'changes',
            jsonb_build_object('amount_cents', changed.amount_cents, 'currency', changed.currency)));
    end loop;
end;
$$;

revoke execute on function
    app.save_product(text, jsonb), app.remove_product(text), app.save_product_price(text, text, jsonb),
    app.remove_product_price(text, text), app.follow_plan_price(text, integer, text),
    app.check_price(text, integer, text, text)
from public;
grant execute on function
    app.save_product(text, jsonb), app.remove_product(text), app.save_product_price(text, text, jsonb),
    app.remove_product_price(text, text)
to authenticated;
