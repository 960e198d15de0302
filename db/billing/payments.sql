-- What follows from a provider's events (`payments/events.py`): payments, their refunds and disputes, and
-- what was bought. Each function may be called again with the same event, and in any order of events.
-- What an event names is locked first, then the buyer's wallet, then the order.

-- Does what one event says. Returns the order that it is about, and what a person should look at though it
-- is done.
create or replace function app.apply_payment_event(
    from_provider text, event jsonb, out order_id uuid, out doubt text, out doubt_detail text
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    kind text := event ->> 'type';
    taken integer;
begin
    if kind = 'NeedsOperator' then
        perform app.refuse_event('NEEDS_OPERATOR', event ->> 'reason');
    end if;
    if kind in ('EntitlementsChanged', 'UserNamed', 'PurchasesMoved') then
        perform app.apply_user_event(from_provider, event);
        return;
    elsif kind in ('SellerAccountTold', 'PayoutTold') then
        perform app.apply_seller_event(from_provider, event);
        return;
    elsif kind in ('SubscriptionTold', 'InvoiceTold', 'SubscriptionCheckoutEnded') then
        perform app.apply_billing_event(from_provider, event);
        return;
    elsif kind in ('Refunded', 'DisputeOpened', 'DisputeClosed')
        and app.is_payment_of_organization(from_provider, event ->> 'payment_id') then
        -- What it pays for follows its subscription alone.
        if kind = 'DisputeOpened' then
            perform app.refuse_event('NEEDS_OPERATOR', 'an organization''s bank questions what it paid for an invoice');
        end if;
        return;
    end if;
    order_id := app.order_of_event(from_provider, event);
    if kind = 'Refunded' and event ->> 'payment_id' is null then
        event := event || jsonb_build_object('payment_id', app.payment_of_refund(order_id));
    end if;
    if coalesce((event ->> 'if_known')::boolean, false) and not exists (select from public.payments p
        where p.provider = from_provider and p.provider_payment_id = event ->> 'payment_id') then
        return;
    elsif coalesce((event ->> 'is_one_of_several')::boolean, false) and not app.is_known_product(from_provider, event ->> 'product') then
        doubt := 'PRODUCT_MISMATCH';
        doubt_detail := 'one of several things that were bought together is no product of ours';
        return;
    end if;
    if kind in ('Refunded', 'DisputeOpened', 'DisputeClosed') then
        order_id := app.apply_to_payment(from_provider, event);
        perform app.refund_subscription(order_id);
        return;
    elsif kind = 'SubscriptionState' then
        order_id := app.apply_subscription_state(from_provider, event);
        return;
    elsif kind = 'AcknowledgementDue' then
        perform app.queue_acknowledgement(from_provider, event ->> 'payment_id', event ->> 'purchase');
        return;
    end if;
    if event ->> 'after_refund_of' is not null then
        perform app.await_refund(from_provider, event ->> 'after_refund_of');
    end if;
    if order_id is null and jsonb_typeof(event -> 'purchase') = 'object' then
        order_id := app.order_of_purchase(from_provider, event);
    end if;
    if order_id is null and kind = 'SubscriptionEnded' and event ->> 'payment_id' is not null then
        perform app.park_event(event ->> 'payment_id');
    elsif order_id is null then
        perform app.refuse_event('UNKNOWN_ORDER', 'it names no order of ours');
    end if;
    if event -> 'amount_cents' = 'null' or event -> 'currency' = 'null' then
        select event || jsonb_build_object(
            'amount_cents', coalesce((event ->> 'amount_cents')::integer, o.amount_cents),
            'currency', case when event ->> 'amount_cents' is null then o.currency
                else coalesce(event ->> 'currency', o.currency) end,
            'is_price_assumed', event -> 'amount_cents' = 'null')
        into event from public.orders o where o.id = order_id;
    end if;
    case kind
        when 'CheckoutEnded' then
            update public.orders o
            set status = case when (event ->> 'cancelled')::boolean then 'CANCELLED' else 'EXPIRED' end
            where o.id = order_id and o.status in ('PENDING', 'FAILED');
        when 'SubscriptionEnded' then
            taken := app.end_ordered_plan(order_id);
            update public.orders o set credits_taken_back = o.credits_taken_back + taken
            where o.id = order_id and taken > 0;
        else
            select a.order_id, a.doubt, a.doubt_detail into order_id, doubt, doubt_detail
            from app.apply_payment(from_provider, order_id, event) a;
    end case;
end;
$$;

-- Parks an event until a payment has been refunded.
create or replace function app.await_refund(from_provider text, payment text) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    known text := (select p.status from public.payments p
        where p.provider = from_provider and p.provider_payment_id = payment);
begin
    if known is null or known in ('PENDING', 'FAILED') then
        perform app.park_event(payment);
    elsif known not in ('REFUNDED', 'PARTIALLY_REFUNDED') then
        perform app.park_event('refund:' || payment);
    end if;
end;
$$;

-- Refuses a payment that is not for what was ordered, by whom, at the price it was offered for.
create or replace function app.check_payment(ordered public.orders, owner_id uuid, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    product text := event ->> 'product';
    payer uuid := (event ->> 'user_id')::uuid;
begin
    if event ->> 'currency' is distinct from ordered.currency then
        perform app.refuse_event('CURRENCY_MISMATCH', format('%s was paid, %s was asked',
            event ->> 'currency', ordered.currency));
    elsif coalesce(event ->> 'listed_cents', event ->> 'amount_cents')::integer is distinct from ordered.amount_cents then
        perform app.refuse_event('AMOUNT_MISMATCH', format('%s was paid, %s was asked',
            coalesce(event ->> 'listed_cents', event ->> 'amount_cents'), ordered.amount_cents));
    elsif product is not null and product not in (ordered.product_id, coalesce(ordered.price_id, '')) then
        perform app.refuse_event('PRODUCT_MISMATCH', format('it is for %s, and %s was ordered',
            product, ordered.product_id));
    elsif owner_id is null and ordered.kind not in ('DOWNLOAD', 'BOT') then
        perform app.refuse_event('UNKNOWN_USER', 'the account that ordered it is deleted');
    elsif payer is not null and app.merged_into(payer) is distinct from owner_id then
        perform app.refuse_event('USER_MISMATCH', 'it is for another user than the one who ordered');
    end if;
end;
$$;

-- What a payment's success, delay or failure changes. The first that succeeds pays the order; one that
-- renews a subscription is for an order of its own.
create or replace function app.apply_payment(
    from_provider text, wanted uuid, event jsonb, out order_id uuid, out doubt text, out doubt_detail text
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    held record := app.lock_order(wanted);
    ordered public.orders := held.locked;
    told text := case event ->> 'type'
        when 'PaymentSucceeded' then 'SUCCEEDED' when 'PaymentPending' then 'PENDING' else 'FAILED' end;
    payment public.payments;
    is_booked boolean;
begin
    order_id := wanted;
    select * into payment from public.payments p
    where p.provider = from_provider and p.provider_payment_id = event ->> 'payment_id' for update;
    if payment.id is not null and payment.order_id <> wanted then
        -- A renewal is named by its subscription, which names the first order.
        if not coalesce((event ->> 'renews')::boolean, false) then
            perform app.refuse_event('ORDER_MISMATCH', 'the payment is another order''s');
        end if;
        order_id := payment.order_id;
        perform app.correct_purchase(payment, event);
        return;
    end if;
    is_booked := coalesce(payment.status not in ('PENDING', 'FAILED'), false) and jsonb_typeof(event -> 'purchase') = 'object';
    if is_booked and jsonb_typeof(event #> '{purchase,user_names}') = 'array'
        and app.merged_into((event ->> 'user_id')::uuid) is distinct from held.owner_id then
        -- It is booked. Its provider names who has the purchase by now: after a transfer that is another than who paid.
        return;
    end if;
    if payment.id is null and coalesce((event ->> 'renews')::boolean, false) and ordered.paid_at is not null then
        ordered := app.renewed_order(ordered, event);
        order_id := ordered.id;
    end if;
    perform app.check_payment(ordered, held.owner_id, event || case when is_booked
        then jsonb_build_object('amount_cents', ordered.amount_cents, 'currency', ordered.currency) else '{}' end);
    if is_booked then
        perform app.correct_purchase(payment, event);
    end if;
    perform app.note_references(from_provider, wanted,
        array(select jsonb_array_elements_text(event -> 'references')));
    if payment.id is not null and (payment.status = told or payment.status not in ('PENDING', 'FAILED')
        or told = 'PENDING') then
        return;
    end if;
    if payment.id is null then
        insert into public.payments (user_id, order_id, provider, provider_payment_id, amount_cents, currency,
            status, reason)
        values (held.owner_id, order_id, from_provider, event ->> 'payment_id', (event ->> 'amount_cents')::integer,
            event ->> 'currency', told, event ->> 'reason')
        returning * into payment;
    else
        update public.payments p set status = told, reason = event ->> 'reason', updated_at = now()
        where p.id = payment.id returning * into payment;
    end if;
    if told = 'FAILED' then
        update public.orders o set status = 'FAILED' where o.id = ordered.id and o.status = 'PENDING';
    elsif told = 'SUCCEEDED' then
        if ordered.paid_at is null then
            perform app.fulfil_in_place(ordered, payment.id, event);
        else
            doubt := 'ALREADY_PAID';
            doubt_detail := 'the order had been paid by another payment; refund one of them';
        end if;
        perform app.wake_webhooks(from_provider, payment.provider_payment_id);
        perform app.wake_webhooks(from_provider, 'order:' || ordered.id);
    end if;
end;
$$;

-- Has a purchase that began at its provider, and is booked, say what was charged as it is told of last: it may have been
-- booked before that was known. Of what has gone back in part, the price stays.
create or replace function app.correct_purchase(payment public.payments, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    cents constant integer := (event ->> 'amount_cents')::integer;
begin
    if payment.status = 'SUCCEEDED' and payment.refunded_cents = 0 and jsonb_typeof(event -> 'purchase') = 'object'
        and not coalesce((event ->> 'is_price_assumed')::boolean, false)
        and (payment.amount_cents, payment.currency) <> (cents, event ->> 'currency')
    then
        update public.payments p set amount_cents = cents, currency = event ->> 'currency', updated_at = now()
        where p.id = payment.id;
        update public.orders o set amount_cents = cents, currency = event ->> 'currency' where o.id = payment.order_id;
    end if;
end;
$$;

-- Gives what was ordered, and ends the time of the purchases that the payment replaces: before that, so that the
-- new time goes on from now, or after it, where a plan of a higher price begins anew.
create or replace function app.fulfil_in_place(ordered public.orders, payment uuid, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    until_then constant timestamptz := (event ->> 'paid_until')::timestamptz;
    replaced constant text[] := array(select jsonb_array_elements_text(
        case jsonb_typeof(event -> 'replaces') when 'array' then event -> 'replaces' else '[]' end));
    is_higher constant boolean := cardinality(replaced) > 0 and coalesce((
        select app.plan_rank(ordered.plan_id) > app.plan_rank(s.plan_id)
        from public.plan_subscriptions s where s.user_id = ordered.user_id and s.status <> 'ENDED'), false);
    has_ended boolean;
begin
    if is_higher then
        perform app.fulfil_order(ordered, payment, until_then);
    end if;
    has_ended := app.end_replaced_purchases(ordered, replaced, (event ->> 'began_at')::timestamptz);
    if not is_higher then
        perform app.fulfil_order(ordered, payment, until_then);
    end if;
    -- Told of when the new time was over as well.
    if has_ended and (app.plan_period_at(ordered.user_id, now())).id is null then
        perform app.close_plan(ordered.user_id);
    end if;
end;
$$;

-- Gives what was ordered, since `payment` has paid for it; the order and its buyer's wallet are locked. Until
-- when a plan lasts is the provider's to say, where it renews it, else the order's, else the calendar's.
create or replace function app.fulfil_order(ordered public.orders, payment uuid, until_then timestamptz) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    period uuid;
begin
    update public.payments p set pays_order = true where p.id = payment;
    update public.orders o set status = 'PAID', paid_at = now() where o.id = ordered.id;
    if ordered.kind in ('DOWNLOAD', 'BOT') then
        perform app.make_sale(ordered);
    elsif ordered.kind = 'CREDITS' then
        perform app.grant_credits(ordered.user_id, 'PURCHASE', ordered.credits, ordered.id::text);
    else
        period := app.start_plan(ordered.user_id, ordered.plan_id, coalesce(until_then, ordered.paid_until), ordered.id::text,
            case ordered.billing_interval when 'YEAR' then 12 else 1 end);
        update public.orders o set paid_until = (select p.ends_at from public.plan_periods p where p.id = period)
        where o.id = ordered.id;
    end if;
    perform app.notify(ordered.user_id, 'GENERAL', 'notifications.paymentSucceeded.title',
        'notifications.paymentSucceeded.message', app.told_of_order(ordered));
end;
$$;

-- What a refund or a dispute changes; parked until its payment is there. Returns the order.
create or replace function app.apply_to_payment(from_provider text, event jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    payment public.payments;
    held record;
begin
    select * into payment from public.payments p
    where p.provider = from_provider and p.provider_payment_id = event ->> 'payment_id';
    if payment.id is null or payment.status in ('PENDING', 'FAILED') then
        perform app.park_event(event ->> 'payment_id');
    elsif coalesce(event ->> 'currency', payment.currency) <> payment.currency then
        perform app.refuse_event('CURRENCY_MISMATCH', format('%s came back, %s was paid',
            event ->> 'currency', payment.currency));
    end if;
    held := app.lock_order(payment.order_id);
    select * into payment from public.payments p where p.id = payment.id for update;
    if event ->> 'type' = 'Refunded' then
        perform app.note_refund(payment, event);
        perform app.wake_webhooks(from_provider, 'refund:' || payment.provider_payment_id);
    else
        perform app.note_dispute(payment, event);
        perform app.queue_transfer(held.locked, event);
    end if;
    perform app.settle_payment(payment.id);
    if payment.pays_order then
        perform app.settle_order(held.locked, held.owner_id);
    end if;
    return payment.order_id;
end;
$$;

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
    app.apply_payment_event(text, jsonb), app.await_refund(text, text), app.check_payment(public.orders, uuid, jsonb),
    app.apply_payment(text, uuid, jsonb), app.correct_purchase(public.payments, jsonb), app.fulfil_in_place(public.orders, uuid, jsonb),
    app.fulfil_order(public.orders, uuid, timestamptz),
    app.apply_to_payment(text, jsonb), app.note_refund(public.payments, jsonb),
    app.note_dispute(public.payments, jsonb), app.money_back(uuid),
    app.settled_status(integer, integer, integer, text), app.settle_payment(uuid),
    app.money_of_order(public.orders), app.hold_later_month(uuid, text), app.settle_order(public.orders, uuid), app.part_of_order(public.orders, integer, integer),
    app.tell_of_money_back(public.orders, uuid, public.wallets, integer, text), app.told_of_order(public.orders),
    app.credits_for(public.orders, integer), app.end_ordered_plan(uuid)
from public;
