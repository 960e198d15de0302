-- Refunds that admins ask providers for: what is to go back is noted before, and what came of it behind.

-- Notes that an admin wants money of an order to go back, all that is left without an amount, and returns what
-- its provider is asked with; the same key returns the same request.
create or replace function app.request_refund(
    wanted uuid, cents integer, why text, key text,
    out request_id uuid, out status text, out provider text, out payment_id text, out paid_cents integer,
    out currency text, out amount_cents integer, out refunded_before_cents integer, out paid_at timestamptz,
    out names text[]
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
    ordered public.orders;
    payment public.payments;
    request public.refund_requests;
    asked integer;
begin
    perform app.check_idempotency_key(key);
    select * into ordered from public.orders o where o.id = wanted for update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such order.', '{"path": ["input", "orderId"]}');
    end if;
    select * into payment from public.payments p where p.order_id = wanted and p.pays_order;
    if not found then
        perform app.refuse('INVALID_STATE', 'This order is not paid, so nothing of it can be refunded.',
            '{"path": ["input", "orderId"]}');
    end if;
    select * into request from public.refund_requests r where r.order_id = wanted and r.idempotency_key = key;
    if not found then
        select coalesce(sum(r.amount_cents), 0) into asked
        from public.refund_requests r where r.order_id = wanted and r.status = 'REQUESTED';
        -- Of what was paid, which a discount or a tax makes another amount than the order's.
        asked := asked + (app.money_back(payment.id)).back;
        if coalesce(cents, payment.amount_cents - asked) not between 1 and payment.amount_cents - asked then
            perform app.refuse('BAD_USER_INPUT', format('%s cents of this order can be refunded.',
                greatest(0, payment.amount_cents - asked)), '{"path": ["input", "amountCents"]}');
        elsif cents % app.currency_step(payment.provider, payment.currency) <> 0 then
            perform app.refuse('BAD_USER_INPUT', 'This currency is paid in whole units: amountCents must be a multiple of '
                '100, such as 50,000 for 500.', '{"path": ["input", "amountCents"]}');
        end if;
        insert into public.refund_requests (order_id, idempotency_key, amount_cents, refunded_before_cents)
        values (wanted, key, coalesce(cents, payment.amount_cents - asked), asked)
        returning * into request;
        insert into public.audit_log (user_id, action, detail)
        values (admin_id, 'refund_order', jsonb_build_object(
            'order', 'order_' || wanted, 'amount_cents', request.amount_cents, 'reason', why));
    elsif cents is not null and cents <> request.amount_cents then
        perform app.refuse('IDEMPOTENCY_CONFLICT',
            'This idempotency key was used with other parameters. Use a new key for a new request.',
            '{"path": ["input", "idempotencyKey"]}');
    end if;
    request_id := request.id;
    status := request.status;
    provider := payment.provider;
    payment_id := payment.provider_payment_id;
    paid_cents := payment.amount_cents;
    currency := payment.currency;
    amount_cents := request.amount_cents;
    refunded_before_cents := request.refunded_before_cents;
    paid_at := payment.created_at;
    names := array(select r.reference from public.order_references r
                   where r.order_id = wanted and r.provider = payment.provider order by r.reference);
end;
$$;

-- Notes what came of a refund that was asked for, once.
create or replace function app.end_refund(wanted uuid, is_made boolean) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.refund_requests r
    set status = case when is_made then 'MADE' else 'REFUSED' end, ended_at = now()
    where r.id = wanted and r.status = 'REQUESTED';
$$;

revoke execute on function app.request_refund(uuid, integer, text, text), app.end_refund(uuid, boolean) from public;
grant execute on function app.request_refund(uuid, integer, text, text) to authenticated;
grant execute on function app.end_refund(uuid, boolean) to service;
