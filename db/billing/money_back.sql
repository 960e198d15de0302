-- What becomes of a payment, and of what it paid for, when its money goes back or is questioned.

-- Adds a refund to a payment: one by its own id once, or all that there were so far. Never more than was
-- paid.
create or replace function app.note_refund(payment public.payments, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    refund text := event ->> 'refund_id';
    amount integer := (event ->> 'amount_cents')::integer;
    total bigint := greatest(payment.refunded_cents, amount);
begin
    if refund is not null then
        insert into public.payment_refunds (provider, provider_refund_id, payment_id, amount_cents)
        values (payment.provider, refund, payment.id, amount) on conflict do nothing;
        total := payment.refunded_cents + case when found then amount::bigint else 0 end;
    end if;
    update public.payments p set refunded_cents = least(p.amount_cents, total), updated_at = now()
    where p.id = payment.id and p.refunded_cents <> least(p.amount_cents, total);
end;
$$;

-- Notes that a dispute began or how it ended; the end may be told of first.
create or replace function app.note_dispute(payment public.payments, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.payment_disputes (payment_id, provider, provider_dispute_id, amount_cents)
    values (payment.id, payment.provider, event ->> 'dispute_id',
        least(payment.amount_cents, (event ->> 'amount_cents')::integer))
    on conflict do nothing;
    if event ->> 'type' = 'DisputeClosed' then
        update public.payment_disputes d
        set status = case when (event ->> 'won')::boolean then 'WON' else 'LOST' end, closed_at = now()
        where d.provider = payment.provider and d.provider_dispute_id = event ->> 'dispute_id'
            and d.payment_id = payment.id and d.status = 'OPEN';
    end if;
end;
$$;

-- How much of a payment went back, by refunds and lost disputes, and how much is questioned beside that.
create or replace function app.money_back(wanted uuid, out back integer, out questioned integer)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select least(p.amount_cents, p.refunded_cents + coalesce(sum(d.amount_cents) filter (where d.status = 'LOST'), 0)),
        coalesce(sum(d.amount_cents) filter (where d.status = 'OPEN'), 0)
    from public.payments p left join public.payment_disputes d on d.payment_id = p.id
    where p.id = wanted group by p.id;
$$;

-- The state of something that is paid, of which a part went back or is questioned.
create or replace function app.settled_status(amount integer, back integer, questioned integer, whole text)
returns text
language sql immutable set search_path = pg_catalog, pg_temp
return case when back >= amount then 'REFUNDED' when questioned > 0 then 'DISPUTED'
    when back > 0 then 'PARTIALLY_REFUNDED' else whole end;

create or replace function app.settle_payment(wanted uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    money record := app.money_back(wanted);
begin
    update public.payments p
    set status = app.settled_status(p.amount_cents, money.back, money.questioned, 'SUCCEEDED'), updated_at = now()
    where p.id = wanted
        and p.status <> app.settled_status(p.amount_cents, money.back, money.questioned, 'SUCCEEDED');
end;
$$;

-- Brings an order in line with its payment: of its credits as large a part is taken back as of the money,
-- rounded down, and as much as is questioned is held. A plan ends when all the money went back; while a part is
-- questioned, as large a part of what is left of its credits is held. The buyer is told.
create or replace function app.settle_order(ordered public.orders, owner_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    money record;
    wallet public.wallets;
    taken integer;
    questioned integer;
    new_hold uuid;
    new_status text;
begin
    money := app.money_of_order(ordered);
    taken := app.credits_for(ordered, money.back);
    questioned := money.questioned;
    new_status := app.settled_status(ordered.amount_cents, money.back, money.questioned, 'PAID');
    if ordered.kind in ('DOWNLOAD', 'BOT') then
        perform app.settle_sale(ordered.id, money.back, new_status);
    end if;
    if owner_id is not null then
        select * into wallet from public.wallets w where w.user_id = owner_id;
        if ordered.hold_id is not null then
            perform app.release_if_open(ordered.hold_id);
        end if;
        if ordered.kind = 'CREDITS' then
            if taken > ordered.credits_taken_back then
                perform app.take_back_credits(owner_id, taken - ordered.credits_taken_back, ordered.id::text);
            end if;
            new_hold := app.hold_back_credits(owner_id,
                app.credits_for(ordered, money.back + questioned) - taken, ordered.id::text);
        elsif ordered.plan_id is not null and new_status = 'REFUNDED' and ordered.status <> 'REFUNDED' then
            taken := app.end_ordered_plan(ordered.id);
        elsif ordered.plan_id is not null and questioned > 0 then
            new_hold := app.hold_back_plan(owner_id, ordered.id::text, questioned, ordered.amount_cents);
        end if;
        perform app.tell_of_money_back(ordered, owner_id, wallet, money.back, new_status);
    end if;
    update public.orders o
    set refunded_cents = money.back, credits_taken_back = greatest(o.credits_taken_back, taken),
        hold_id = new_hold, status = new_status
    where o.id = ordered.id;
end;
$$;

-- How much of an order's amount went back, and how much of the rest is questioned.
create or replace function app.money_of_order(ordered public.orders, out back integer, out questioned integer)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    select app.part_of_order(ordered, m.back, p.amount_cents), app.part_of_order(ordered, m.questioned, p.amount_cents)
    into back, questioned
    from public.payments p, app.money_back(p.id) m where p.order_id = ordered.id and p.pays_order;
    questioned := least(ordered.amount_cents - back, questioned);
end;
$$;

-- Holds of the plan of a disputed order, which `reference` names, what a later month has given, too. Its owner's wallet
-- is locked.
create or replace function app.hold_later_month(owner_id uuid, reference text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    ordered public.orders;
    new_hold uuid;
begin
    -- Other references, such as of a plan that was given, are no ids.
    select * into ordered from public.orders o
    where o.id = case when reference ~ '^[0-9a-f-]{36}$' then reference::uuid end
        and o.status = 'DISPUTED' for update;
    if not found then
        return;
    elsif ordered.hold_id is not null then
        perform app.release_if_open(ordered.hold_id);
    end if;
    new_hold := app.hold_back_plan(owner_id, reference, (app.money_of_order(ordered)).questioned, ordered.amount_cents);
    update public.orders o set hold_id = new_hold where o.id = ordered.id;
end;
$$;

-- How much of an order's amount a part of its payment is: all that was `paid` is all of it, also where discounts
-- or taxes made that more or less; rounded down in the buyer's favour.
create or replace function app.part_of_order(ordered public.orders, cents integer, paid integer) returns integer
language sql immutable set search_path = pg_catalog, pg_temp
return case when cents >= paid and cents > 0 then ordered.amount_cents
    else coalesce(ordered.amount_cents::bigint * cents / nullif(paid, 0), 0) end::integer;

-- Tells a buyer that money of an order went back, or that their bank questions it; and that their credits run low
-- now, where that is so. `before` is their wallet as it was.
create or replace function app.tell_of_money_back(
    ordered public.orders, owner_id uuid, before public.wallets, back integer, new_status text
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    told text := case when back > ordered.refunded_cents then 'paymentRefunded'
        when new_status = 'DISPUTED' and ordered.status <> 'DISPUTED' then 'paymentDisputed' end;
    lost integer;
begin
    if told is not null then
        perform app.notify(owner_id, 'GENERAL', 'notifications.' || told || '.title',
            'notifications.' || told || '.message', app.told_of_order(ordered));
    end if;
    select before.balance - before.held - (w.balance - w.held) into lost from public.wallets w
    where w.user_id = owner_id;
    if lost > 0 and not before.unlimited then
        perform app.tell_of_low_balance(before, lost);
    end if;
end;
$$;

-- What a notification says of an order: which one, and what it is for, by the key of the product's name, or by its
-- name where there is no text.
create or replace function app.told_of_order(ordered public.orders) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object('order', 'order_' || ordered.id) || case
        when exists (select from public.translations t where t.key = 'product.' || ordered.product_id || '.name')
        then jsonb_build_object('productKey', 'product.' || ordered.product_id || '.name')
        else jsonb_build_object('product', (select p.name from public.products p where p.id = ordered.product_id))
    end;
$$;

-- How many of an order's credits a part of its money is worth, rounded down in the buyer's favour.
create or replace function app.credits_for(ordered public.orders, cents integer) returns integer
language sql immutable set search_path = pg_catalog, pg_temp
return coalesce(ordered.credits::bigint * cents / nullif(ordered.amount_cents, 0), 0)::integer;

-- Ends the time on a plan that an order gave. Credits of it that are used up are taken from what else the
-- buyer has, or owed. Returns how many credits that took back in all.
create or replace function app.end_ordered_plan(wanted uuid) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    ordered public.orders;
    used integer;
    unused integer := 0;
begin
    select * into ordered from public.orders o where o.id = wanted;
    if ordered.plan_id is not null and ordered.user_id is not null then
        perform app.lock_wallet(ordered.user_id);
        unused := app.unused_of_plan(ordered.user_id, ordered.id::text);
        used := app.end_plan(ordered.user_id, ordered.id::text);
        if used > 0 then
            perform app.take_back_credits(ordered.user_id, used, ordered.id::text);
        end if;
    end if;
    return unused + coalesce(used, 0);
end;
$$;

revoke execute on function
    app.note_refund(public.payments, jsonb), app.note_dispute(public.payments, jsonb), app.money_back(uuid),
    app.settled_status(integer, integer, integer, text), app.settle_payment(uuid),
    app.money_of_order(public.orders), app.hold_later_month(uuid, text), app.settle_order(public.orders, uuid),
    app.part_of_order(public.orders, integer, integer),
    app.tell_of_money_back(public.orders, uuid, public.wallets, integer, text), app.told_of_order(public.orders),
    app.credits_for(public.orders, integer), app.end_ordered_plan(uuid)
from public;
