-- Affiliates: links by which people recommend stores, the orders that come by them, and what is earned. The seller owes
-- commissions; here they are counted.

-- A link of the caller's to a store, with a code; the same for the same store. Guests have none, and nobody to a store of
-- their own.
create or replace function app.create_affiliate_link(wanted_store uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    links_limit constant integer := 200;
    actor_id uuid := app.required_user_id();
    store public.stores;
    made uuid;
begin
    if (select u.is_anonymous from public.users u where u.id = actor_id for no key update) then
        perform app.refuse('FORBIDDEN', 'Guests have no links. Sign up first; what you have stays yours.');
    end if;
    select * into store from public.stores s where s.id = wanted_store and (s.is_public or s.user_id = actor_id);
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such store.', '{"path": ["input", "storeId"]}');
    elsif store.user_id = actor_id then
        perform app.refuse('INVALID_STATE', 'This is your own store: nobody earns by their own sales.',
            '{"path": ["input", "storeId"]}');
    end if;
    select l.id into made from public.affiliate_links l where l.user_id = actor_id and l.store_id = wanted_store;
    if made is not null then
        return made;
    elsif (select count(*) from public.affiliate_links l where l.user_id = actor_id) >= links_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('One user has at most %s links.', links_limit));
    end if;
    insert into public.affiliate_links (user_id, store_id, code)
    values (actor_id, wanted_store, left(replace(gen_random_uuid()::text, '-', ''), 10))
    returning id into made;
    return made;
end;
$$;

-- Counts that somebody came by a link: each network once in a day, and of one network no more than 200 links. Returns
-- whether it counted; nobody learns which codes there are.
create or replace function app.count_affiliate_click(wanted_code text, network bytea) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    daily_limit constant integer := 200;
    wanted uuid;
begin
    select l.id into wanted from public.affiliate_links l where l.code = lower(btrim(wanted_code));
    if wanted is null
        or app.take_from_budget('affiliate_visits', network, daily_limit, interval '1 day') is not null
        or app.take_from_budget('affiliate_clicks', sha256(network || uuid_send(wanted)), 1, interval '1 day') is not null
    then
        return false;
    end if;
    update public.affiliate_links l set clicks = l.clicks + 1 where l.id = wanted;
    return true;
end;
$$;

-- Notes by whose link an order came, and what that is worth, where the product may be recommended and it is not the
-- buyer's or the seller's own link. The first link stays; a code that is none changes nothing.
create or replace function app.recommend_order(wanted uuid, wanted_code text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.sale_offers f
    set affiliate_link_id = l.id, commission_percent = s.affiliate_commission_percent
    from public.orders o, public.products p, public.stores s, public.affiliate_links l, public.users u
    where f.order_id = wanted and f.affiliate_link_id is null and o.id = f.order_id and o.status = 'PENDING'
        and p.id = o.product_id and p.affiliates_enabled and s.id = f.store_id and l.store_id = s.id
        and l.code = lower(btrim(wanted_code)) and u.id = l.user_id and u.status = 'active'
        and l.user_id is distinct from o.user_id and l.user_id is distinct from f.seller_id
        and (f.email_key is null or u.email_key is distinct from f.email_key);
$$;

-- Gives who recommended a sale their commission, unless they bought it themselves.
create or replace function app.earn_commission(sold public.sales, offer public.sale_offers) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into public.affiliate_referrals (link_id, user_id, seller_id, store_id, sale_id, commission_cents, currency)
    select l.id, l.user_id, sold.seller_id, sold.store_id, sold.id, c.cents, sold.currency
    from public.affiliate_links l,
        lateral (select app.payable_cents((sold.amount_cents::bigint * offer.commission_percent / 100)::integer,
            sold.provider, sold.currency) as cents) c
    where l.id = offer.affiliate_link_id and l.user_id is distinct from sold.buyer_id and c.cents > 0
    on conflict (sale_id) do nothing;
$$;

-- Brings a commission in line with its sale: as large a part of it is lost as of the money went back, rounded against
-- whoever earns it so that what is left can be paid, and all of it where they turn out to be the buyer.
create or replace function app.settle_commission(wanted_sale uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.affiliate_referrals r
    set reversed_cents = n.lost, status = case when n.lost = r.commission_cents then 'REVERSED'
        when n.sale_status = 'DISPUTED' then 'HELD' else 'EARNED' end
    from (
        select o.id, s.status as sale_status, case when s.buyer_id = o.user_id then o.commission_cents
            else o.commission_cents - app.payable_cents(
                (o.commission_cents::bigint * (s.amount_cents - s.refunded_cents) / s.amount_cents)::integer,
                s.provider, s.currency) end as lost
        from public.affiliate_referrals o join public.sales s on s.id = o.sale_id
        where o.sale_id = wanted_sale and o.status <> 'REVERSED'
    ) n
    where r.id = n.id;
$$;

-- What somebody has earned by recommending, in each currency: all of it, what of it is lost, what is questioned, and what
-- is left. It has its caller's rights.
create or replace function app.affiliate_earnings(owner_id uuid) returns table (
    currency text, referral_count integer, commission_cents float8, reversed_cents float8, held_cents float8,
    net_cents float8
)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select r.currency, count(*)::integer, sum(r.commission_cents)::float8, sum(r.reversed_cents)::float8,
        coalesce(sum(r.commission_cents - r.reversed_cents) filter (where r.status = 'HELD'), 0)::float8,
        coalesce(sum(r.commission_cents - r.reversed_cents) filter (where r.status = 'EARNED'), 0)::float8
    from public.affiliate_referrals r where r.user_id = owner_id
    group by r.currency order by 1
$$;

revoke execute on function
    app.create_affiliate_link(uuid), app.count_affiliate_click(text, bytea), app.recommend_order(uuid, text),
    app.earn_commission(public.sales, public.sale_offers), app.settle_commission(uuid), app.affiliate_earnings(uuid)
from public;
grant execute on function app.create_affiliate_link(uuid), app.affiliate_earnings(uuid) to authenticated;
grant execute on function app.count_affiliate_click(text, bytea), app.recommend_order(uuid, text) to service;
