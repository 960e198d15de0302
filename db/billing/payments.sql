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

revoke execute on function
    app.apply_payment_event(text, jsonb), app.await_refund(text, text), app.check_payment(public.orders, uuid, jsonb),
    app.apply_payment(text, uuid, jsonb), app.correct_purchase(public.payments, jsonb),
    app.fulfil_in_place(public.orders, uuid, jsonb), app.fulfil_order(public.orders, uuid, timestamptz),
    app.apply_to_payment(text, jsonb)
from public;
