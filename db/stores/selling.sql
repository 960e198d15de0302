-- How stores are paid: their accounts at payment providers, as owners make them and providers tell of them.

-- What an owner's account at a provider is made of: their store, locked, and the account that it has. The provider is
-- asked behind this, without a transaction.
create or replace function app.begin_onboarding(
    wanted uuid, for_provider text, out owner_id uuid, out email text, out business_name text, out account_id uuid,
    out sealed_account bytea
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    store public.stores := app.enter_store(wanted, 'storeId');
begin
    owner_id := store.user_id;
    select u.email, coalesce(c.business_name, store.name) into email, business_name
    from public.users u left join public.creator_profiles c on c.user_id = u.id where u.id = store.user_id;
    select a.id, a.sealed_account into account_id, begin_onboarding.sealed_account
    from public.seller_accounts a where a.store_id = wanted and a.provider = for_provider;
end;
$$;

-- Keeps the account that a provider made for a store; of two made at once the first stays. Returns whether it is this.
create or replace function app.note_seller_account(
    wanted uuid, for_provider text, account_id uuid, given_account bytea, given_index bytea
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.seller_accounts (id, store_id, provider, sealed_account, account_index)
    values (account_id, wanted, for_provider, given_account, given_index) on conflict do nothing;
    if not found then
        return false;
    end if;
    perform app.show_seller_status(wanted, for_provider, 'PENDING');
    return true;
end;
$$;

-- Shows on a store how far its account at a provider is.
create or replace function app.show_seller_status(wanted uuid, at_provider text, next_status text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.stores s
    set connect_status = case at_provider when 'stripe' then next_status else s.connect_status end,
        paypal_status = case at_provider when 'paypal' then next_status else s.paypal_status end,
        updated_at = clock_timestamp()
    where s.id = wanted
        and case at_provider when 'stripe' then s.connect_status when 'paypal' then s.paypal_status end <> next_status;
$$;

-- Forgets an account that its provider does not know any more.
create or replace function app.forget_seller_account(wanted uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    gone public.seller_accounts;
begin
    delete from public.seller_accounts a where a.id = wanted returning * into gone;
    perform app.show_seller_status(gone.store_id, gone.provider, 'NOT_CONNECTED');
end;
$$;

-- Does what a provider tells of a seller: how their account stands, or how a payout does. An account may be that of
-- several stores. One that the provider has named since is called by that name from then on.
create or replace function app.apply_seller_event(from_provider text, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    at_provider constant text := split_part(from_provider, '-', 1);
    account public.seller_accounts;
    is_known boolean := false;
begin
    update public.seller_accounts a
    set sealed_account = decode(event #>> '{named,sealed}', 'hex'), account_index = decode(event #>> '{named,index}', 'hex')
    where a.id = (event #>> '{named,account_id}')::uuid and a.provider = at_provider;
    for account in
        select * from public.seller_accounts a
        where a.provider = at_provider and a.account_index in (
            select decode(i.hex, 'hex') from jsonb_array_elements_text(event -> 'account_indexes') as i (hex))
        order by a.id for update
    loop
        is_known := true;
        if event ->> 'type' = 'PayoutTold' then
            perform app.apply_payout(account, event);
        elsif (event ->> 'is_gone')::boolean then
            perform app.forget_seller_account(account.id);
        elsif account.told_at is null or account.told_at <= (event ->> 'told_at')::timestamptz then
            perform app.apply_seller_account(account, event);
        end if;
    end loop;
    if not is_known then
        perform app.refuse_event('UNKNOWN_ACCOUNT', 'it is of no seller here');
    end if;
end;
$$;

-- How an account stands: COMPLETE once it is charged for and paid out to, INCOMPLETE once its owner has told
-- everything, PENDING before.
create or replace function app.apply_seller_account(account public.seller_accounts, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    told public.seller_accounts := jsonb_populate_record(account, event);
    next_status text := case when told.charges_enabled and told.payouts_enabled then 'COMPLETE'
        when told.details_submitted then 'INCOMPLETE' else 'PENDING' end;
begin
    update public.seller_accounts a
    set charges_enabled = told.charges_enabled, payouts_enabled = told.payouts_enabled,
        details_submitted = told.details_submitted, told_at = told.told_at
    where a.id = account.id;
    perform app.show_seller_status(account.store_id, account.provider, next_status);
    if next_status = 'COMPLETE' then
        insert into public.creator_profiles as c (user_id, onboarded_at)
        select s.user_id, now() from public.stores s where s.id = account.store_id
        on conflict (user_id) do update set onboarded_at = now() where c.onboarded_at is null;
    end if;
end;
$$;

-- How a payout stands; what is older than what is known changes nothing.
create or replace function app.apply_payout(account public.seller_accounts, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.payouts as p (store_id, user_id, provider, provider_payout_id, amount_cents, currency, status,
        arrives_at, told_at)
    select s.id, s.user_id, account.provider, event ->> 'payout_id', (event ->> 'amount_cents')::integer,
        event ->> 'currency', event ->> 'status', (event ->> 'arrives_at')::timestamptz, (event ->> 'told_at')::timestamptz
    from public.stores s where s.id = account.store_id
    on conflict (provider, provider_payout_id) do update
    set status = excluded.status, arrives_at = excluded.arrives_at, told_at = excluded.told_at
    where p.told_at <= excluded.told_at and (p.status in ('PENDING', 'IN_TRANSIT') and excluded.status <> 'PENDING'
        or p.status = 'PAID' and excluded.status = 'FAILED');
end;
$$;

-- Queues a job that brings what a seller got in line with a dispute. The job asks what is due by then, so events may
-- come again and in any order.
create or replace function app.queue_transfer(ordered public.orders, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if ordered.kind in ('DOWNLOAD', 'BOT') then
        perform app.enqueue_once('settle_transfer', jsonb_build_object('provider', ordered.provider,
            'dispute', event ->> 'dispute_id'),
            'transfer:' || (event ->> 'dispute_id') || ':' || (event ->> 'type'), 5);
    end if;
end;
$$;

-- What is due between whoever runs the service and the seller of a disputed payment: REVERSE while the dispute is open
-- and once it is lost, RETURN when it was reversed and is won; no step when nothing is. Each is due once.
create or replace function app.due_transfer(
    from_provider text, dispute text, out payment text, out amount_cents integer, out step text
)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select p.provider_payment_id, d.amount_cents, case
        when d.status <> 'WON' and d.reversed_at is null then 'REVERSE'
        when d.status = 'WON' and d.reversed_at is not null and d.returned_at is null then 'RETURN' end
    from public.payment_disputes d join public.payments p on p.id = d.payment_id
    where d.provider = from_provider and d.provider_dispute_id = dispute;
$$;

-- Notes that a step was taken.
create or replace function app.note_transfer(from_provider text, dispute text, step text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.payment_disputes d
    set reversed_at = coalesce(d.reversed_at, now()),
        returned_at = case when note_transfer.step = 'RETURN' then coalesce(d.returned_at, now()) else d.returned_at end
    where d.provider = from_provider and d.provider_dispute_id = dispute;
$$;

revoke execute on function
    app.begin_onboarding(uuid, text), app.note_seller_account(uuid, text, uuid, bytea, bytea),
    app.forget_seller_account(uuid), app.show_seller_status(uuid, text, text), app.apply_seller_event(text, jsonb),
    app.apply_seller_account(public.seller_accounts, jsonb), app.apply_payout(public.seller_accounts, jsonb),
    app.queue_transfer(public.orders, jsonb), app.due_transfer(text, text), app.note_transfer(text, text, text)
from public;
grant execute on function app.begin_onboarding(uuid, text) to authenticated;
grant execute on function
    app.note_seller_account(uuid, text, uuid, bytea, bytea), app.forget_seller_account(uuid),
    app.due_transfer(text, text), app.note_transfer(text, text, text)
to service;
