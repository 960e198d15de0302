-- Subscriptions as their owners open and change them. Whatever changes one locks its owner first: the
-- organization's row, or the user's. The provider is asked behind these, without a transaction.

-- The caller's right to what is billed to an organization, or to themselves where none is named: owners
-- change it, admins see it. The organization, or the user, is locked.
create or replace function app.enter_billing(wanted uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    own_role text;
    is_guest boolean;
begin
    if wanted is not null then
        own_role := app.enter_organization(wanted);
        if own_role <> 'OWNER' then
            perform app.refuse('FORBIDDEN', format('Your role is %s. Only owners change what is paid for.', own_role));
        end if;
        return;
    end if;
    select u.is_anonymous into is_guest from public.users u where u.id = app.required_user_id() for no key update;
    if is_guest is null then
        perform app.refuse_nobody();
    elsif is_guest then
        perform app.refuse('FORBIDDEN', 'Guests have no plans. Sign up first; what you have stays yours.');
    end if;
end;
$$;

-- The subscription of an organization, or of the caller where none is named.
create or replace function app.own_subscription(wanted uuid) returns public.provider_subscriptions
language sql stable set search_path = pg_catalog, pg_temp as $$
    select s.* from public.provider_subscriptions s
    where case when wanted is null then s.user_id = app.user_id() else s.organization_id = wanted end;
$$;

-- What a checkout of a subscription is made of. `earlier_checkout` is one that is still open: it is closed at
-- the provider before another is made.
create or replace function app.checkout_of_subscription(wanted public.provider_subscriptions, out subscription_id uuid,
    out status text, out checkout_url text, out earlier_checkout text, out customer_id text, out email text,
    out owner_name text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- On the page of one that was paid nothing can be done any more.
    select wanted.id, wanted.status, case when wanted.status = 'PENDING' then wanted.checkout_url end,
        case when wanted.checkout_url is null then wanted.checkout_id end, c.customer_id, u.email, o.name
    from (select 1) one
    left join public.users u on u.id = app.user_id()
    left join public.organizations o on o.id = wanted.organization_id
    left join public.payment_customers c on c.provider = wanted.provider
        and (c.organization_id = wanted.organization_id or c.user_id = wanted.user_id);
$$;

-- Opens a subscription to a plan, or finds the one that the key has opened, and returns what its checkout is made
-- of. INVALID_STATE while another one goes on. `pages` are where the buyer goes afterwards.
create or replace function app.open_subscription(
    wanted uuid, wanted_plan text, wanted_interval text, wanted_seats integer, at_provider text, pages text[],
    idempotency_key text, out subscription_id uuid, out status text, out checkout_url text, out earlier_checkout text,
    out customer_id text, out email text, out owner_name text, out asked_at timestamptz
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    fingerprint bytea := sha256(convert_to(
        jsonb_build_array(wanted, wanted_plan, wanted_interval, wanted_seats, at_provider, pages)::text, 'UTF8'));
    opened public.provider_subscriptions;
    known uuid;
begin
    perform app.check_idempotency_key(idempotency_key);
    perform app.enter_billing(wanted);
    perform app.require_staying(o.deletes_at) from public.organizations o where o.id = wanted;
    known := app.remembered_result(actor_id, 'create_subscription', idempotency_key, fingerprint);
    opened := app.own_subscription(wanted);
    if known is null or opened.id is null then
        if not app.is_plan_for(wanted, wanted_plan) then
            perform app.refuse('NOT_FOUND', 'There is no such plan.', '{"path": ["input", "planId"]}');
        elsif opened.status not in ('PENDING', 'CANCELLED', 'EXPIRED') then
            perform app.refuse('INVALID_STATE',
                'There is a subscription already. Change it with `changeSubscription`, or cancel it first.');
        end if;
        if opened.id is null then
            insert into public.provider_subscriptions (user_id, organization_id, provider, plan_id, billing_interval, seats)
            values (case when wanted is null then actor_id end, wanted, at_provider, wanted_plan, wanted_interval,
                wanted_seats);
        else
            update public.provider_subscriptions s
            set provider = at_provider, provider_subscription_id = null, plan_id = wanted_plan,
                billing_interval = wanted_interval, seats = wanted_seats, status = 'PENDING', current_period_start = null,
                current_period_end = null, cancel_at_period_end = false, ended_at = null, told_at = null,
                -- One that is open yet is closed before another is made.
                checkout_id = case when s.status = 'PENDING' then s.checkout_id end, checkout_url = null,
                checkout_ends_at = null, grace_ends_at = null, updated_at = clock_timestamp()
            where s.id = opened.id;
        end if;
        opened := app.own_subscription(wanted);
        perform app.remember_result(actor_id, 'create_subscription', idempotency_key, fingerprint, opened.id);
        if wanted is not null then
            perform app.note_organization_change(wanted, 'create_subscription', jsonb_build_object('plan', wanted_plan));
        end if;
    end if;
    select c.* into subscription_id, status, checkout_url, earlier_checkout, customer_id, email, owner_name
    from app.checkout_of_subscription(opened) c;
    asked_at := clock_timestamp();
end;
$$;

-- Whether a plan can be subscribed to by an organization, or by a user where none is named.
create or replace function app.is_plan_for(wanted uuid, wanted_plan text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when wanted is null
        then exists (select from public.plans p where p.id = wanted_plan)
        else exists (select from public.organization_plans p where p.id = wanted_plan and p.is_active) end;
$$;

-- Notes the checkout that a provider made for a subscription; of two made at once the first is shown. Returns
-- the address to show, null when it was paid or begun anew meanwhile.
create or replace function app.note_subscription_checkout(
    wanted uuid, made_id text, made_url text, lasts_until timestamptz
) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    shown text;
begin
    update public.provider_subscriptions s
    set checkout_id = case when s.checkout_url is null then made_id else s.checkout_id end,
        checkout_url = coalesce(s.checkout_url, made_url),
        checkout_ends_at = coalesce(s.checkout_ends_at, lasts_until), updated_at = clock_timestamp()
    where s.id = wanted and s.status = 'PENDING'
    returning s.checkout_url into shown;
    return shown;
end;
$$;

-- A subscription that its owner is about to change, as its provider knows it, and the time from which what the
-- provider answers counts. INVALID_STATE when there is none that goes on. The `action` is noted in the audit log.
create or replace function app.subscription_to_change(
    wanted uuid, action text, out subscription_id uuid, out provider text, out provider_subscription_id text, out plan_id text,
    out billing_interval text, out seats integer, out status text, out cancel_at_period_end boolean,
    out checkout_id text, out asked_at timestamptz
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    found_one public.provider_subscriptions;
begin
    perform app.enter_billing(wanted);
    if action in ('change_subscription', 'resume_subscription') then
        perform app.require_staying(o.deletes_at) from public.organizations o where o.id = wanted;
    end if;
    found_one := app.own_subscription(wanted);
    if found_one.id is null or found_one.status in ('CANCELLED', 'EXPIRED') then
        perform app.refuse('INVALID_STATE', 'There is no subscription that goes on. Begin one with `createSubscription`.');
    end if;
    subscription_id := found_one.id;
    provider := found_one.provider;
    provider_subscription_id := found_one.provider_subscription_id;
    plan_id := found_one.plan_id;
    billing_interval := found_one.billing_interval;
    seats := found_one.seats;
    status := found_one.status;
    cancel_at_period_end := found_one.cancel_at_period_end;
    checkout_id := found_one.checkout_id;
    asked_at := clock_timestamp();
    if action is not null and wanted is not null then
        perform app.note_organization_change(wanted, action);
    end if;
end;
$$;

-- The name by which a provider knows an organization; null when it was never there. Owners and admins see its page.
create or replace function app.billing_customer(wanted uuid, for_provider text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if app.enter_organization(wanted) not in ('OWNER', 'ADMIN') then
        perform app.refuse('FORBIDDEN', 'Only owners and admins see what is paid for.');
    end if;
    return (select c.customer_id from public.payment_customers c
        where c.organization_id = wanted and c.provider = for_provider);
end;
$$;

-- Notes by which name a provider knows an organization; the first stays. Returns it.
create or replace function app.note_billing_customer(wanted uuid, for_provider text, made_customer text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.payment_customers (organization_id, provider, customer_id)
    values (wanted, for_provider, made_customer) on conflict do nothing;
    return (select c.customer_id from public.payment_customers c
        where c.organization_id = wanted and c.provider = for_provider);
end;
$$;

revoke execute on function
    app.enter_billing(uuid), app.own_subscription(uuid),
    app.checkout_of_subscription(public.provider_subscriptions),
    app.open_subscription(uuid, text, text, integer, text, text[], text), app.is_plan_for(uuid, text),
    app.note_subscription_checkout(uuid, text, text, timestamptz), app.subscription_to_change(uuid, text),
    app.billing_customer(uuid, text), app.note_billing_customer(uuid, text, text)
from public;
grant execute on function
    app.open_subscription(uuid, text, text, integer, text, text[], text), app.subscription_to_change(uuid, text),
    app.billing_customer(uuid, text)
to authenticated;
grant execute on function
    app.note_subscription_checkout(uuid, text, text, timestamptz), app.note_billing_customer(uuid, text, text)
to service;
