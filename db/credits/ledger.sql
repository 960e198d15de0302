-- The ledger's verbs. Each locks the wallet first, so that a user's movements have one order, and
-- writes the transaction and its balanced entries together with the change of the wallet.

-- What an earlier success under this key returned; null when there was none. The same key with
-- other parameters is refused. Call it only while holding the wallet's lock.
create or replace function app.remembered_result(
    owner_id uuid, operation_name text, idempotency_key text, parameters_fingerprint bytea
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    found_row public.idempotency_keys;
begin
    select * into found_row from public.idempotency_keys k
    where k.user_id = owner_id and k.operation = operation_name and k.key = idempotency_key;
    if found_row.fingerprint <> parameters_fingerprint then
        perform app.refuse('IDEMPOTENCY_CONFLICT',
            'This idempotency key was used with other parameters. Use a new key for a new request.',
            '{"path": ["input", "idempotencyKey"]}');
    end if;
    return found_row.result_id;
end;
$$;

create or replace function app.remember_result(
    owner_id uuid, operation_name text, idempotency_key text, parameters_fingerprint bytea, result uuid
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.idempotency_keys (user_id, operation, key, fingerprint, result_id)
    values (owner_id, operation_name, idempotency_key, parameters_fingerprint, result);
end;
$$;

create or replace function app.check_idempotency_key(idempotency_key text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if idempotency_key is null or length(idempotency_key) not between 1 and 255 then
        perform app.refuse('BAD_USER_INPUT', 'idempotencyKey must have 1 to 255 characters.',
            '{"path": ["input", "idempotencyKey"]}');
    end if;
end;
$$;

create or replace function app.check_amount(amount integer) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if amount is null or amount not between 1 and 1000000 then
        perform app.refuse('BAD_USER_INPUT', 'amount must be between 1 and 1000000 credits.',
            '{"path": ["input", "amount"]}');
    end if;
end;
$$;

-- The user's wallet, locked until the transaction ends; what has expired is taken out of it first.
create or replace function app.lock_wallet(owner_id uuid) returns public.wallets
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    wallet public.wallets;
    overdue record;
    movement uuid;
begin
    select * into wallet from public.wallets w where w.user_id = owner_id for update;
    if not found then
        insert into public.wallets (user_id) values (owner_id) on conflict do nothing;
        select * into wallet from public.wallets w where w.user_id = owner_id for update;
    end if;
    for overdue in
        select g.id, g.remaining from public.credit_grants g
        where g.user_id = owner_id and g.remaining > 0 and g.expires_at <= now() order by g.expires_at, g.id
    loop
        update public.credit_grants g set remaining = 0 where g.id = overdue.id;
        update public.wallets w set balance = w.balance - overdue.remaining, updated_at = now()
        where w.user_id = owner_id returning * into wallet;
        movement := app.record_movement(wallet, 'EXPIRY', -overdue.remaining, 0);
        insert into public.credit_entries (transaction_id, account, grant_id, amount)
        values (movement, 'GRANT', overdue.id, -overdue.remaining),
               (movement, 'EXPIRED', null, overdue.remaining);
    end loop;
    return wallet;
end;
$$;

-- Writes one line of the user's history; `wallet` is the wallet as it stands after the movement.
create or replace function app.record_movement(
    wallet public.wallets, movement_type text, balance_change integer, held_change integer,
    movement_reason text default null, movement_reference text default null, movement_hold uuid default null
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    movement uuid;
begin
    insert into public.credit_transactions
        (user_id, type, amount, held_change, balance_after, reason, reference_id, hold_id)
    values (wallet.user_id, movement_type, balance_change, held_change, wallet.balance,
            movement_reason, movement_reference, movement_hold)
    returning id into movement;
    return movement;
end;
$$;

-- Takes credits out of the user's grants: soonest to expire first, purchased ones last.
create or replace function app.take_from_grants(
    wallet public.wallets, amount integer, out grant_ids uuid[], out parts integer[]
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    missing integer := amount;
    source record;
    part integer;
begin
    if wallet.balance - wallet.held < amount then
        perform app.refuse('INSUFFICIENT_CREDITS', 'Not enough credits.',
            jsonb_build_object('balance', wallet.balance - wallet.held, 'required', amount));
    end if;
    for source in
        select g.id, g.remaining from public.credit_grants g
        where g.user_id = wallet.user_id and g.remaining > 0
        order by g.source = 'PURCHASE', g.expires_at nulls last, g.created_at, g.id
    loop
        part := least(missing, source.remaining);
        update public.credit_grants g set remaining = g.remaining - part where g.id = source.id;
        grant_ids := grant_ids || source.id;
        parts := parts || part;
        missing := missing - part;
        exit when missing = 0;
    end loop;
    if missing > 0 then
        raise exception 'wallet % says more than its grants hold', wallet.user_id;
    end if;
end;
$$;

-- Gives a user credits from a source. Returns the transaction. For `service` only.
create or replace function app.grant_credits(
    owner_id uuid, grant_source text, amount integer, grant_reference text default null,
    grant_expires_at timestamptz default null, movement_reason text default null
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    wallet public.wallets;
    grant_id uuid;
    movement uuid;
begin
    perform app.check_amount(amount);
    wallet := app.lock_wallet(owner_id);
    if wallet.balance + amount > 1000000000 then
        perform app.refuse('LIMIT_EXCEEDED', 'A wallet holds at most 1000000000 credits.',
            '{"path": ["input", "amount"]}');
    end if;
    insert into public.credit_grants (user_id, source, amount, remaining, reference_id, expires_at)
    values (owner_id, grant_source, amount, amount, grant_reference, grant_expires_at)
    returning id into grant_id;
    update public.wallets w set balance = w.balance + amount, updated_at = now()
    where w.user_id = owner_id returning * into wallet;
    movement := app.record_movement(wallet, grant_source, amount, 0, movement_reason, grant_reference);
    insert into public.credit_entries (transaction_id, account, grant_id, amount)
    values (movement, 'ISSUED', null, -amount), (movement, 'GRANT', grant_id, amount);
    return movement;
end;
$$;

-- The bonus of signing up, by the deployment's terms, given once in a user's life: a guest who
-- becomes a member gets what a member gets beyond what the guest got.
create or replace function app.grant_sign_up_bonus(new_user_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    terms public.sign_up_terms;
    guest boolean;
    bonus integer;
begin
    perform app.lock_wallet(new_user_id);
    select * into terms from public.sign_up_terms;
    select u.is_anonymous into guest from public.users u where u.id = new_user_id;
    bonus := case when guest then terms.anonymous_bonus_credits else terms.bonus_credits end
        - coalesce((select sum(g.amount) from public.credit_grants g
                    where g.user_id = new_user_id and g.source = 'SIGNUP_BONUS'), 0);
    if bonus > 0 then
        perform app.grant_credits(new_user_id, 'SIGNUP_BONUS', bonus);
    end if;
    update public.users u set plan_id = terms.plan_id where u.id = new_user_id and u.plan_id is null;
end;
$$;

-- Spends the actor's credits at once. Returns the transaction; the same key returns the same one.
create or replace function app.spend_credits(
    amount integer, reason text, reference_id text, idempotency_key text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    fingerprint bytea := sha256(convert_to(jsonb_build_array(amount, reason, reference_id)::text, 'UTF8'));
    wallet public.wallets;
    movement uuid;
    taken record;
begin
    perform app.check_idempotency_key(idempotency_key);
    perform app.check_amount(amount);
    wallet := app.lock_wallet(actor_id);
    movement := app.remembered_result(actor_id, 'spend_credits', idempotency_key, fingerprint);
    if movement is not null then
        return movement;
    end if;
    taken := app.take_from_grants(wallet, amount);
    update public.wallets w set balance = w.balance - amount, updated_at = now()
    where w.user_id = actor_id returning * into wallet;
    movement := app.record_movement(wallet, 'SPEND', -amount, 0, reason, reference_id);
    insert into public.credit_entries (transaction_id, account, grant_id, amount)
    select movement, 'GRANT', part.grant_id, -part.amount
    from unnest(taken.grant_ids, taken.parts) as part (grant_id, amount)
    union all select movement, 'SPENT', null, amount;
    perform app.remember_result(actor_id, 'spend_credits', idempotency_key, fingerprint, movement);
    return movement;
end;
$$;

-- Reserves a user's credits for work that ends within `lifetime`. Returns the hold.
create or replace function app.hold_credits(
    owner_id uuid, amount integer, hold_reference text, lifetime interval
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    wallet public.wallets;
    new_hold uuid;
    movement uuid;
    taken record;
begin
    perform app.check_amount(amount);
    wallet := app.lock_wallet(owner_id);
    taken := app.take_from_grants(wallet, amount);
    insert into public.credit_holds (user_id, amount, reference_id, expires_at)
    values (owner_id, amount, hold_reference, now() + lifetime) returning id into new_hold;
    insert into public.credit_hold_parts (hold_id, grant_id, position, amount)
    select new_hold, part.grant_id, part.position, part.amount
    from unnest(taken.grant_ids, taken.parts) with ordinality as part (grant_id, amount, position);
    update public.wallets w set held = w.held + amount, updated_at = now()
    where w.user_id = owner_id returning * into wallet;
    movement := app.record_movement(wallet, 'HOLD', 0, amount, null, hold_reference, new_hold);
    insert into public.credit_entries (transaction_id, account, grant_id, hold_id, amount)
    select movement, 'GRANT', p.grant_id, null::uuid, -p.amount
    from public.credit_hold_parts p where p.hold_id = new_hold
    union all select movement, 'HOLD', null, new_hold, amount;
    return new_hold;
end;
$$;

-- The hold, locked after its wallet; refuses one that has already ended.
create or replace function app.lock_open_hold(wanted_hold uuid) returns public.credit_holds
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hold public.credit_holds;
begin
    select * into hold from public.credit_holds h where h.id = wanted_hold;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such hold.');
    end if;
    perform app.lock_wallet(hold.user_id);
    select * into hold from public.credit_holds h where h.id = wanted_hold for update;
    if hold.status <> 'OPEN' then
        perform app.refuse('BAD_USER_INPUT', 'This hold has already ended.');
    end if;
    return hold;
end;
$$;

-- Gives `amount` of a hold back to the grants it came from, last taken first. Returns what went
-- where; a grant that expired meanwhile is emptied again by the next lock of the wallet.
create or replace function app.return_to_grants(
    ending_hold uuid, amount integer, out grant_ids uuid[], out parts integer[]
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    left_over integer := amount;
    origin record;
    part integer;
begin
    for origin in
        select p.grant_id, p.amount from public.credit_hold_parts p
        where p.hold_id = ending_hold order by p.position desc
    loop
        exit when left_over = 0;
        part := least(left_over, origin.amount);
        update public.credit_grants g set remaining = g.remaining + part where g.id = origin.grant_id;
        grant_ids := grant_ids || origin.grant_id;
        parts := parts || part;
        left_over := left_over - part;
    end loop;
end;
$$;

-- Ends a hold: `captured` of it is spent, the rest goes back. One movement tells both.
create or replace function app.resolve_hold(
    hold public.credit_holds, captured integer, new_status text, movement_type text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    wallet public.wallets;
    movement uuid;
    returned record;
begin
    returned := app.return_to_grants(hold.id, hold.amount - captured);
    update public.credit_holds h
    set status = new_status, captured_amount = captured, resolved_at = now() where h.id = hold.id;
    update public.wallets w
    set balance = w.balance - captured, held = w.held - hold.amount, updated_at = now()
    where w.user_id = hold.user_id returning * into wallet;
    movement := app.record_movement(
        wallet, movement_type, -captured, -hold.amount, null, hold.reference_id, hold.id);
    insert into public.credit_entries (transaction_id, account, grant_id, hold_id, amount)
    select movement, 'HOLD', null::uuid, hold.id, -hold.amount
    union all
    select movement, 'GRANT', part.grant_id, null, part.amount
    from unnest(returned.grant_ids, returned.parts) as part (grant_id, amount)
    union all select movement, 'SPENT', null, null, captured where captured > 0;
    return movement;
end;
$$;

-- Spends all or part of a hold and gives the rest back. Returns the transaction.
create or replace function app.capture_hold(wanted_hold uuid, amount integer) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hold public.credit_holds := app.lock_open_hold(wanted_hold);
begin
    if amount is null or amount not between 1 and hold.amount then
        perform app.refuse('BAD_USER_INPUT', 'A capture takes 1 to all of the held credits.');
    end if;
    return app.resolve_hold(hold, amount, 'CAPTURED', 'CAPTURE');
end;
$$;

-- Gives all of a hold back. Returns the transaction.
create or replace function app.release_hold(wanted_hold uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hold public.credit_holds := app.lock_open_hold(wanted_hold);
begin
    return app.resolve_hold(hold, 0, 'RELEASED', 'RELEASE');
end;
$$;

-- Releases holds whose time is over. Returns how many.
create or replace function app.expire_holds(at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    overdue record;
    expired integer := 0;
begin
    for overdue in
        select h.id from public.credit_holds h
        where h.status = 'OPEN' and h.expires_at <= now() order by h.user_id limit at_most
    loop
        begin
            perform app.resolve_hold(app.lock_open_hold(overdue.id), 0, 'EXPIRED', 'RELEASE');
            expired := expired + 1;
        exception when sqlstate 'TG000' then
            null;  -- somebody else ended it between our look and our lock
        end;
    end loop;
    return expired;
end;
$$;

revoke execute on all functions in schema app from public;
grant usage on schema app to anon, authenticated, service;
grant execute on function app.user_id(), app.uuid_v7() to anon, authenticated, service;
grant execute on function app.required_user_id(), app.refuse(text, text, jsonb) to authenticated, service;
grant execute on function app.answer(uuid, text, jsonb) to authenticated;
grant execute on function app.spend_credits(integer, text, text, text) to authenticated;
grant execute on function
    app.grant_credits(uuid, text, integer, text, timestamptz, text), app.grant_sign_up_bonus(uuid),
    app.hold_credits(uuid, integer, text, interval), app.capture_hold(uuid, integer),
    app.release_hold(uuid), app.expire_holds(integer)
to service;
-- Ending a generation locks the wallet before the generation, so that no two verbs can deadlock.
grant execute on function app.lock_wallet(uuid) to service;
