-- Credits that are taken back, because the money that paid for them was: what has been used by then is owed.
-- A debt is the user's account DEBT, which the books keep below zero; whatever comes in pays it first.

-- The entries that take up to `amount` of what is left of a user's grants: those of one reference first, then
-- all in their order of use. No daily cap counts them.
create or replace function app.entries_taken_back(owner_id uuid, amount integer, first_reference text)
returns public.credit_entries[]
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    missing integer := amount;
    source record;
    taken public.credit_entries[] := '{}';
begin
    for source in
        select g.id, g.remaining from public.credit_grants g
        where g.user_id = owner_id and g.usable
        order by (g.source = 'PURCHASE' or g.source = 'REFERRAL' and first_reference is not null)
                and g.reference_id is not distinct from first_reference desc,
            g.source = 'PURCHASE', g.expiry_rank, g.created_at, g.id
    loop
        exit when missing = 0;
        taken := taken || app.entry('GRANT', -least(missing, source.remaining), source.id);
        missing := missing - least(missing, source.remaining);
    end loop;
    return taken;
end;
$$;

-- Takes credits back that a purchase gave; what is not there is owed. Returns the movement.
create or replace function app.take_back_credits(owner_id uuid, amount integer, purchase_reference text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    wallet public.wallets;
    taken public.credit_entries[];
    owed integer;
begin
    perform app.check_amount(amount);
    wallet := app.lock_wallet(owner_id);
    taken := app.entries_taken_back(owner_id, amount, purchase_reference);
    owed := amount + coalesce((select sum(t.amount) from unnest(taken) t), 0)::integer;
    if owed > 0 then
        taken := taken || app.entry('DEBT', -owed);
    end if;
    return app.record_movement(owner_id, 'CLAWBACK', taken || app.entry('ISSUED', amount), null, purchase_reference);
end;
$$;

-- Holds up to `amount` of a user's credits while it is open whether a purchase stands; those of the purchase
-- first. Returns the hold, null when there is nothing to hold.
create or replace function app.hold_back_credits(owner_id uuid, amount integer, purchase_reference text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.lock_wallet(owner_id);
    return app.hold_back_entries(owner_id, app.entries_taken_back(owner_id, amount, purchase_reference),
        purchase_reference);
end;
$$;

-- Holds what `taken` takes from a user's grants, while it is open whether a purchase stands. Returns the hold, null
-- when it takes nothing.
create or replace function app.hold_back_entries(
    owner_id uuid, taken public.credit_entries[], purchase_reference text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    lasts constant interval := '1 year';
    held integer := -coalesce((select sum(t.amount) from unnest(taken) t), 0);
    new_hold uuid;
begin
    if held = 0 then
        return null;
    end if;
    insert into public.credit_holds (user_id, amount, reference_id, expires_at)
    values (owner_id, held, 'order_' || purchase_reference, now() + lasts) returning id into new_hold;
    insert into public.credit_hold_parts (hold_id, grant_id, position, amount)
    select new_hold, part.grant_id, part.position, -part.amount
    from unnest(taken) with ordinality
        as part (id, transaction_id, account, grant_id, hold_id, amount, position);
    perform app.record_movement(owner_id, 'HOLD', taken || app.entry('HOLD', held, null, new_hold), null,
                                'order_' || purchase_reference, new_hold);
    return new_hold;
end;
$$;

-- Gives a hold back, unless its time was over or a merge did so.
create or replace function app.release_if_open(wanted_hold uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hold public.credit_holds := app.lock_hold(wanted_hold);
begin
    if hold.status = 'OPEN' then
        perform app.resolve_hold(hold, 0, 'RELEASED', 'RELEASE');
    end if;
end;
$$;

-- Pays what a user owes with the credits that are there. Returns how many that were. Whoever gives credits
-- calls it last.
create or replace function app.pay_debt(owner_id uuid) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    wallet public.wallets;
    paid integer;
    source record;
begin
    select * into wallet from public.wallets w where w.user_id = owner_id;
    if wallet.debt = 0 or wallet.closed_at is not null then
        return 0;
    end if;
    wallet := app.lock_wallet(owner_id);
    paid := least(wallet.debt, wallet.balance - wallet.held);
    if paid <= 0 then
        return 0;
    end if;
    source := app.take_from_grants(wallet, paid, false);
    perform app.record_movement(owner_id, 'DEBT_PAYMENT', source.taken || app.entry('DEBT', paid));
    return paid;
end;
$$;

-- What a guest owes is the member's once they are merged.
create or replace function app.merge_debt(guest uuid, member uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    owed integer := (select w.debt from public.wallets w where w.user_id = guest);
    sent uuid;
    received uuid;
begin
    if owed > 0 then
        sent := app.record_movement(guest, 'TRANSFER',
            array[app.entry('DEBT', owed), app.entry('TRANSFER', -owed)], 'guest_merge', member::text);
        received := app.record_movement(member, 'TRANSFER',
            array[app.entry('DEBT', -owed), app.entry('TRANSFER', owed)], 'guest_merge', guest::text);
        insert into public.credit_transfers (sent_id, received_id) values (sent, received);
    end if;
end;
$$;

revoke execute on function
    app.entries_taken_back(uuid, integer, text), app.take_back_credits(uuid, integer, text),
    app.hold_back_credits(uuid, integer, text), app.hold_back_entries(uuid, public.credit_entries[], text),
    app.release_if_open(uuid), app.pay_debt(uuid),
    app.merge_debt(uuid, uuid)
from public;
grant execute on function app.pay_debt(uuid) to service;
