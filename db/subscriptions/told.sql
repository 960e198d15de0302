-- What a provider tells of subscriptions and invoices (`payments/events.py`). It is asked how each stands now
-- whenever it tells of one, so that order and repetition of its events do not matter: what was asked for earlier
-- than what is known changes nothing.

-- Does what one event says of a subscription or an invoice.
create or replace function app.apply_billing_event(from_provider text, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    case event ->> 'type'
        when 'SubscriptionTold' then perform app.apply_told_subscription(from_provider, event);
        when 'InvoiceTold' then perform app.apply_told_invoice(from_provider, event);
        when 'SubscriptionCheckoutEnded' then
            update public.provider_subscriptions s
            set status = 'EXPIRED', ended_at = clock_timestamp(), updated_at = clock_timestamp()
            where s.provider = from_provider and s.checkout_id = event ->> 'checkout_id' and s.status = 'PENDING';
    end case;
end;
$$;

-- Whose a subscription or an invoice is: by the row that the checkout was made for, or by the customer. Both null for
-- what is sold here by others. The owner is locked.
create or replace function app.lock_billed(
    from_provider text, event jsonb, out owner_id uuid, out organization_id uuid
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    select c.user_id, c.organization_id into owner_id, organization_id from public.payment_customers c
    where c.provider = from_provider and c.customer_id = event ->> 'customer_id';
    if organization_id is not null then
        perform from public.organizations o where o.id = organization_id for no key update;
    elsif exists (select from public.wallets w where w.user_id = owner_id and w.closed_at is not null) then
        owner_id := null;
    elsif owner_id is not null then
        -- As whatever gives plans and credits does first.
        perform app.lock_wallet(owner_id);
    end if;
end;
$$;

-- Brings a subscription in line with what its provider says, and its owner's plan with it.
create or replace function app.apply_told_subscription(from_provider text, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    billed record := app.lock_billed(from_provider, event);
    asked_at timestamptz := event ->> 'told_at';
    is_over boolean := event ->> 'status' in ('CANCELLED', 'EXPIRED');
    known public.provider_subscriptions;
    plan text;
begin
    if billed.organization_id is null and billed.owner_id is null then
        return;
    end if;
    select * into known from public.provider_subscriptions s
    where s.user_id = billed.owner_id or s.organization_id = billed.organization_id for update;
    if known.provider_subscription_id = event ->> 'subscription_id' then
        if known.told_at >= asked_at then
            return;
        end if;
    elsif is_over then
        -- One of before, or one whose page was left.
        return;
    elsif known.provider_subscription_id is not null and known.status not in ('CANCELLED', 'EXPIRED') then
        perform app.refuse_event('SECOND_SUBSCRIPTION',
            'another subscription of the same owner goes on: end one of them at the provider');
    end if;
    plan := coalesce(app.plan_of_price(billed.organization_id, from_provider, event), known.plan_id);
    if not app.is_plan(billed.organization_id, plan) then
        perform app.refuse_event('PRODUCT_MISMATCH', 'it is for no plan of ours');
    end if;
    if known.id is null then
        insert into public.provider_subscriptions (user_id, organization_id, provider, plan_id, billing_interval)
        values (billed.owner_id, billed.organization_id, from_provider, plan, event ->> 'interval')
        returning * into known;
    end if;
    update public.provider_subscriptions s
    set provider = from_provider, provider_subscription_id = event ->> 'subscription_id', plan_id = plan,
        billing_interval = event ->> 'interval', seats = (event ->> 'seats')::integer, status = event ->> 'status',
        current_period_start = (event ->> 'period_start')::timestamptz,
        current_period_end = (event ->> 'period_end')::timestamptz,
        cancel_at_period_end = (event ->> 'cancel_at_period_end')::boolean,
        -- Counted from when the first payment failed.
        grace_ends_at = case when event ->> 'status' = 'PAST_DUE' then coalesce(s.grace_ends_at,
            asked_at + make_interval(days => (event ->> 'grace_days')::integer)) end,
        ended_at = case when is_over then coalesce((event ->> 'ended_at')::timestamptz, clock_timestamp()) end,
        told_at = asked_at, updated_at = clock_timestamp()
    where s.id = known.id returning * into known;
    perform app.follow_billing(known);
end;
$$;

-- The plan that a subscription is for, by the provider's price: an organization's by the settings, a user's by the
-- product that has the price. Null where the price is known nowhere.
create or replace function app.plan_of_price(organization_id uuid, from_provider text, event jsonb) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when plan_of_price.organization_id is not null then event ->> 'plan_id' else (
        select p.plan_id from public.product_prices pp join public.products p on p.id = pp.product_id
        where pp.provider = from_provider and pp.price_id = event ->> 'price_id') end;
$$;

-- Whether a plan is one of organizations, or of users where no organization is named.
create or replace function app.is_plan(organization_id uuid, wanted_plan text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when is_plan.organization_id is null
        then exists (select from public.plans p where p.id = wanted_plan)
        else exists (select from public.organization_plans p where p.id = wanted_plan) end;
$$;

-- Gives an organization the plan that its subscription pays for, and the free one when it pays for none any more.
-- While a payment fails the plan is kept until the grace ends. Who manages it is told when it ends.
create or replace function app.follow_billing(told public.provider_subscriptions) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    is_given boolean := told.status in ('ACTIVE', 'TRIALING') or told.status = 'PAST_DUE' and told.grace_ends_at > now();
    before text;
begin
    if told.organization_id is null then
        perform app.follow_users_billing(told);
        return;
    end if;
    select o.plan_id into before from public.organizations o where o.id = told.organization_id for no key update;
    update public.organizations o
    set plan_id = case when is_given then told.plan_id else 'free' end,
        seats = case when is_given then told.seats else 1 end, updated_at = clock_timestamp()
    where o.id = told.organization_id and (o.plan_id, o.seats) is distinct from (
        case when is_given then told.plan_id else 'free' end, case when is_given then told.seats else 1 end);
    if not is_given and before <> 'free' and told.status not in ('PENDING', 'INCOMPLETE') then
        perform app.tell_of_billing(told, 'subscriptionEnded', 'subscription_ended', before, '{}');
    end if;
end;
$$;

-- Gives a user the time on a plan that an invoice paid, with its credits, as an order of what was charged: a refund
-- takes it back as it does any other. The same payment gives it once.
create or replace function app.give_billed_period(owner_id uuid, from_provider text, event jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select app.apply_payment_event(from_provider, jsonb_build_object(
        'type', 'PaymentSucceeded', 'references', jsonb_build_array(event ->> 'invoice_id'),
        'payment_id', event ->> 'payment_id', 'amount_cents', event -> 'paid_cents', 'currency', event ->> 'currency',
        'paid_until', event ->> 'period_end', 'renews', false,
        'purchase', jsonb_build_object('user_id', owner_id, 'price_id', event ->> 'price_id')));
$$;

-- Has a user's plan follow what their subscription says beside its payments: that it ends with its period, that a
-- payment fails, or that it is over.
create or replace function app.follow_users_billing(told public.provider_subscriptions) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    paid public.provider_invoices;
begin
    select i.* into paid from public.provider_invoices i
    where i.provider = told.provider and i.provider_subscription_id = told.provider_subscription_id and i.status = 'PAID'
        and exists (select from public.payments p
            where p.provider = i.provider and p.provider_payment_id = i.payment_id)
    order by i.period_end desc, i.created_at desc limit 1;
    if not found then
        return;
    end if;
    perform app.apply_subscription_state(told.provider, jsonb_build_object(
        'type', 'SubscriptionState', 'references', jsonb_build_array(told.provider_subscription_id),
        'payment_id', paid.payment_id, 'started_at', paid.period_start, 'told_at', told.told_at,
        'expires_at', case when told.status = 'CANCELLED' then least(told.ended_at, paid.period_end) end,
        'auto_renews', not told.cancel_at_period_end, 'grace_until', told.grace_ends_at,
        'has_ended', told.status in ('CANCELLED', 'UNPAID')));
end;
$$;

-- Notes an invoice as it stands now. When another attempt to collect it failed, who manages the organization is told.
create or replace function app.apply_told_invoice(from_provider text, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    billed record := app.lock_billed(from_provider, event);
    tried integer := event ->> 'attempts';
    known public.provider_invoices;
    subscription public.provider_subscriptions;
begin
    if billed.organization_id is null and billed.owner_id is null then
        return;
    end if;
    select * into known from public.provider_invoices i
    where i.provider = from_provider and i.provider_invoice_id = event ->> 'invoice_id' for update;
    if known.told_at >= (event ->> 'told_at')::timestamptz then
        return;
    end if;
    insert into public.provider_invoices as i (user_id, organization_id, provider, provider_invoice_id,
        provider_subscription_id, payment_id, number, status, total_cents, paid_cents, currency, period_start, period_end, page_url, document_url, attempts, next_attempt_at,
        created_at, paid_at, told_at)
    values (billed.owner_id, billed.organization_id, from_provider, event ->> 'invoice_id',
        event ->> 'subscription_id', event ->> 'payment_id', event ->> 'number', event ->> 'status', (event ->> 'total_cents')::integer, (event ->> 'paid_cents')::integer,
        event ->> 'currency', (event ->> 'period_start')::timestamptz, (event ->> 'period_end')::timestamptz,
        event ->> 'page_url', event ->> 'document_url', tried, (event ->> 'next_attempt_at')::timestamptz,
        (event ->> 'created_at')::timestamptz, (event ->> 'paid_at')::timestamptz, (event ->> 'told_at')::timestamptz)
    on conflict (provider, provider_invoice_id) do update
    set payment_id = excluded.payment_id, number = excluded.number, status = excluded.status, total_cents = excluded.total_cents,
        paid_cents = excluded.paid_cents, page_url = excluded.page_url, document_url = excluded.document_url,
        attempts = excluded.attempts, next_attempt_at = excluded.next_attempt_at, paid_at = excluded.paid_at,
        told_at = excluded.told_at;
    select * into subscription from public.provider_subscriptions s
    where s.provider = from_provider and s.provider_subscription_id = event ->> 'subscription_id';
    if billed.owner_id is not null and event ->> 'status' = 'PAID' and (event ->> 'pays_period')::boolean then
        perform app.give_billed_period(billed.owner_id, from_provider, event);
    end if;
    if subscription.id is not null then
        perform app.follow_billing(subscription);
    end if;
    perform app.wake_webhooks(from_provider, event ->> 'payment_id');
    if event ->> 'status' = 'OPEN' and tried > coalesce(known.attempts, 0) and subscription.status = 'PAST_DUE' then
        perform app.tell_of_billing(subscription, 'subscriptionPaymentFailed', 'subscription_payment_failed',
            subscription.plan_id, jsonb_build_object('until', subscription.grace_ends_at));
    end if;
end;
$$;

-- Whether a payment is of an invoice of an organization's.
create or replace function app.is_payment_of_organization(from_provider text, payment text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from public.provider_invoices i
        where i.provider = from_provider and i.payment_id = payment and i.organization_id is not null);
$$;

-- Tells who pays that something is wrong with it, in the product and by e-mail: the user, or the owners and admins
-- of the organization.
create or replace function app.tell_of_billing(
    told public.provider_subscriptions, what text, letter text, plan text, more jsonb
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    organization text := (select o.name from public.organizations o where o.id = told.organization_id);
    plan_name text := case when told.organization_id is null
        then (select p.name from public.plans p where p.id = plan)
        else (select p.name from public.organization_plans p where p.id = plan) end;
    reader record;
begin
    for reader in
        select u.id, u.email, u.locale from public.users u where u.id = told.user_id or u.id in (
            select m.user_id from public.organization_members m
            where m.organization_id = told.organization_id and m.role in ('OWNER', 'ADMIN'))
        order by u.id
    loop
        perform app.notify(reader.id, 'GENERAL', format('notifications.%s.title', what),
            format('notifications.%s.message', what), jsonb_strip_nulls(jsonb_build_object('plan', plan_name,
                'organization', 'organization_' || told.organization_id,
                'until', ((more ->> 'until')::timestamptz at time zone 'UTC')::date)));
        perform app.queue_email(letter, reader.email, reader.locale, reader.id,
            jsonb_strip_nulls(jsonb_build_object('plan', plan_name, 'name', organization,
                'expires_at', (more ->> 'until')::timestamptz)));
    end loop;
end;
$$;

-- Has organizations whose grace is over lose what they do not pay for, so many at once. Returns how many.
create or replace function app.lapse_subscriptions(at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    wanted uuid;
    late public.provider_subscriptions;
    lapsed integer := 0;
begin
    for wanted in
        select o.id from public.provider_subscriptions s join public.organizations o on o.id = s.organization_id
        where s.status = 'PAST_DUE' and s.grace_ends_at <= now() and o.plan_id <> 'free'
        order by s.grace_ends_at, s.id limit at_most
    loop
        perform from public.organizations o where o.id = wanted for no key update;
        select * into late from public.provider_subscriptions s where s.organization_id = wanted for update;
        -- It may have been paid meanwhile.
        if late.status = 'PAST_DUE' and late.grace_ends_at <= now() then
            perform app.follow_billing(late);
            lapsed := lapsed + 1;
        end if;
    end loop;
    return lapsed;
end;
$$;

-- The subscriptions of which something was due and nothing was heard, so many at once: their providers are to be
-- asked. Each is asked again ten minutes later.
create or replace function app.subscriptions_to_ask(
    at_most integer
) returns table (subscription_id uuid, provider text, provider_subscription_id text, checkout_id text, asked_at timestamptz)
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.provider_subscriptions s set updated_at = clock_timestamp()
    where s.id in (
        select d.id from public.provider_subscriptions d
        where d.status not in ('CANCELLED', 'EXPIRED') and d.updated_at < now() - interval '10 minutes'
            and (d.status = 'PENDING' and d.checkout_id is not null
                or d.current_period_end < now() - interval '1 hour' and d.told_at < d.current_period_end + interval '1 hour')
        order by d.updated_at, d.id limit at_most for update skip locked)
    returning s.id, s.provider, s.provider_subscription_id, s.checkout_id, clock_timestamp();
$$;

-- Has the subscription of an organization that is to be deleted end with its period, and its open page take no payment.
create or replace function app.stop_renewal(wanted uuid) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select app.enqueue_once('end_subscription', jsonb_strip_nulls(jsonb_build_object('provider', s.provider,
        'subscription', s.provider_subscription_id, 'checkout', s.checkout_id, 'at_period_end', true)),
        'stop_renewal:' || s.id, 10)
    from public.provider_subscriptions s
    where s.organization_id = wanted and s.status not in ('CANCELLED', 'EXPIRED') and not s.cancel_at_period_end
        and coalesce(s.provider_subscription_id, s.checkout_id) is not null;
$$;

-- Trigger: what nobody has any more is not charged for any more.
create or replace function app.end_at_provider() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if old.status not in ('CANCELLED', 'EXPIRED') and coalesce(old.provider_subscription_id, old.checkout_id) is not null then
        perform app.enqueue_once('end_subscription', jsonb_strip_nulls(jsonb_build_object('provider', old.provider,
            'subscription', old.provider_subscription_id, 'checkout', old.checkout_id)), 'end_subscription:' || old.id, 10);
    end if;
    return null;
end;
$$;

revoke execute on function
    app.apply_billing_event(text, jsonb), app.lock_billed(text, jsonb), app.apply_told_subscription(text, jsonb),
    app.plan_of_price(uuid, text, jsonb), app.is_plan(uuid, text), app.follow_billing(public.provider_subscriptions),
    app.give_billed_period(uuid, text, jsonb), app.follow_users_billing(public.provider_subscriptions),
    app.apply_told_invoice(text, jsonb), app.is_payment_of_organization(text, text),
    app.tell_of_billing(public.provider_subscriptions, text, text, text, jsonb), app.lapse_subscriptions(integer),
    app.subscriptions_to_ask(integer), app.stop_renewal(uuid), app.end_at_provider()
from public;
grant execute on function app.lapse_subscriptions(integer), app.subscriptions_to_ask(integer) to service;
