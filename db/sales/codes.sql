-- Discount codes, made and changed by sellers, and what sellers have earned.

-- Refuses products of other stores in a code.
create or replace function app.check_products_of_code(wanted_store uuid, ids text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from unnest(ids) as i (id)
        where not exists (select from public.products p where p.id = i.id and p.store_id = wanted_store)) then
        perform app.refuse('BAD_USER_INPUT', 'A code is for products of its own store.',
            '{"path": ["input", "productIds"]}');
    end if;
end;
$$;

-- Makes a discount code of a store of the caller's, and returns it.
create or replace function app.create_discount_code(wanted_store uuid, given jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    codes_limit constant integer := 200;
    store public.stores := app.enter_store(wanted_store, 'storeId');
    wanted public.discount_codes := jsonb_populate_record(null::public.discount_codes, given);
    made uuid;
begin
    if (select count(*) from public.discount_codes d where d.store_id = wanted_store) >= codes_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('A store has at most %s discount codes.', codes_limit));
    end if;
    perform app.check_products_of_code(wanted_store, wanted.product_ids);
    insert into public.discount_codes (user_id, store_id, code, kind, percent, amount_cents, currency,
        min_purchase_cents, max_discount_cents, product_ids, usage_limit, expires_at)
    values (store.user_id, wanted_store, wanted.code, wanted.kind, wanted.percent, wanted.amount_cents,
        wanted.currency, wanted.min_purchase_cents, wanted.max_discount_cents, coalesce(wanted.product_ids, '{}'),
        wanted.usage_limit, wanted.expires_at)
    on conflict (store_id, code) do nothing
    returning id into made;
    if made is null then
        perform app.refuse('BAD_USER_INPUT', 'This store has this code already.', '{"path": ["input", "code"]}');
    end if;
    return made;
end;
$$;

-- Changes whether, how long and how often a code of the caller's is good, and returns it.
create or replace function app.update_discount_code(wanted uuid, given jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    code public.discount_codes;
    changed public.discount_codes;
begin
    select * into code from public.discount_codes d
    where d.id = wanted and d.user_id = app.required_user_id() for update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such discount code.', '{"path": ["input", "id"]}');
    end if;
    changed := jsonb_populate_record(code, given);
    update public.discount_codes d
    set is_active = changed.is_active, usage_limit = changed.usage_limit, expires_at = changed.expires_at
    where d.id = wanted;
    return wanted;
end;
$$;

-- What a seller has earned in each store and currency: what was paid, what of it whoever runs the service keeps, what
-- went back, and what is left. Of what went back as large a part is taken from both, of the fee as much of that as can be
-- paid. It has its caller's rights.
create or replace function app.seller_earnings(owner_id uuid) returns table (
    store_id text, currency text, sale_count integer, gross_cents float8, fee_cents float8, refunded_cents float8,
    net_cents float8
)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select 'store_' || s.store_id, s.currency, count(*)::integer, sum(s.amount_cents)::float8,
        sum(s.fee_cents - b.fee_cents)::float8, sum(s.refunded_cents)::float8,
        sum(s.seller_cents - (s.refunded_cents - b.fee_cents))::float8
    from public.sales s, lateral (select app.payable_cents(
        (s.fee_cents::bigint * s.refunded_cents / s.amount_cents)::integer, s.provider, s.currency) as fee_cents) b
    where s.seller_id = owner_id and s.amount_cents > 0
    group by s.store_id, s.currency order by 1, 2
$$;

revoke execute on function
    app.check_products_of_code(uuid, text[]), app.create_discount_code(uuid, jsonb),
    app.update_discount_code(uuid, jsonb), app.seller_earnings(uuid)
from public;
grant execute on function
    app.create_discount_code(uuid, jsonb), app.update_discount_code(uuid, jsonb), app.seller_earnings(uuid)
to authenticated;
