-- The ledger's core: spends and holds. Every function locks the wallet first, so that a user's movements
-- have one order, and writes the transaction and its balanced entries together with the change of
-- the wallet. Who needs two wallets locks them in the order of their users' ids.

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
begin
    select * into wallet from public.wallets w where w.user_id = owner_id for update;
    if not found then
        wallet := app.open_wallet(owner_id);
    elsif wallet.closed_at is not null then
        perform app.refuse('NOT_FOUND', 'There is no such user.');
    end if;
    if exists (select from public.credit_grants g
               where g.user_id = owner_id and g.usable and g.expires_at <= now()) then
        wallet := app.empty_expired_grants(wallet);
    end if;
    return wallet;
end;
$$;

-- Takes what has expired out of a wallet that is locked, and returns what it is then.
create or replace function app.empty_expired_grants(wallet public.wallets) returns public.wallets
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    overdue record;
begin
    for overdue in
        select g.id, g.remaining from public.credit_grants g
        where g.user_id = wallet.user_id and g.usable and g.expires_at <= now()
        order by g.expires_at, g.id
    loop
        perform app.record_movement(wallet.user_id, 'EXPIRY', array[
            app.entry('GRANT', -overdue.remaining, overdue.id), app.entry('EXPIRED', overdue.remaining)]);
        wallet.balance := wallet.balance - overdue.remaining;
    end loop;
    return wallet;
end;
$$;

-- A wallet for who has none yet, locked.
create or replace function app.open_wallet(owner_id uuid) returns public.wallets
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    wallet public.wallets;
begin
    -- Locked, so that nobody deletes the account before the wallet is there.
    perform from public.users u where u.id = owner_id for key share;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such user.');
    end if;
    insert into public.wallets (user_id) values (owner_id) on conflict do nothing;
    select * into wallet from public.wallets w where w.user_id = owner_id for update;
    return wallet;
end;
$$;

-- One side of a movement that is about to be recorded. Bound when it is made and without settings,
-- so that it becomes a part of what calls it: a call would cost as much as a small statement.
create or replace function app.entry(
    account text, amount integer, grant_id uuid default null, hold_id uuid default null
) returns public.credit_entries
language sql immutable parallel safe
return row(null, null, account, grant_id, hold_id, amount)::public.credit_entries;

-- Writes a movement: the change of the wallet and of its grants, the line of the user's history, its
-- entries, in one statement. What it changes follows from the entries, of which each grant has one:
-- GRANT and HOLD are the user's own, SPENT is used up, DEBT is what they owe. A hold of an `unlimited` user is not the
-- user's own: nothing of the wallet is in it.
create or replace function app.record_movement(
    owner_id uuid, movement_type text, entries public.credit_entries[], reason text default null,
    reference text default null, hold uuid default null, unlimited_hold boolean default false,
    daily_change integer default 0
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    movement uuid := app.uuid_v7();
    today date := (now() at time zone 'UTC')::date;
    balance_change integer := 0;
    held_change integer := 0;
    used integer := 0;
    debt_change integer := 0;
    entry public.credit_entries;
begin
    foreach entry in array entries loop
        case entry.account
            when 'GRANT' then balance_change := balance_change + entry.amount;
            when 'SPENT' then used := used + entry.amount;
            when 'HOLD' then held_change := held_change + entry.amount;
            when 'DEBT' then debt_change := debt_change - entry.amount;
            else null;
        end case;
    end loop;
    if unlimited_hold then
        held_change := 0;
    end if;
    with changed as (
        update public.wallets w
        set balance = w.balance + balance_change + held_change, held = w.held + held_change,
            debt = w.debt + debt_change,
            daily_used = greatest(0,
                daily_change + case when w.daily_used_on = today then w.daily_used else 0 end),
            daily_used_on = today, updated_at = now()
        where w.user_id = owner_id
        returning w.balance
    ), filled as (
        update public.credit_grants g set remaining = g.remaining + e.amount
        from unnest(entries) e where e.account = 'GRANT' and g.id = e.grant_id
    ), line as (
        insert into public.credit_transactions
            (id, user_id, type, amount, held_change, used, balance_after, reason, reference_id, hold_id)
        select movement, owner_id, movement_type, balance_change + held_change, held_change, used,
               changed.balance, reason, reference, hold
        from changed
    )
    insert into public.credit_entries (transaction_id, account, grant_id, hold_id, amount)
    select movement, e.account, e.grant_id, e.hold_id, e.amount from unnest(entries) e;
    return movement;
end;
$$;

-- How many more of the plan's credits the user may use today (UTC).
create or replace function app.daily_credits_left(wallet public.wallets) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    daily_limit integer;
begin
    select p.max_daily_credits into daily_limit
    from public.users u join public.plans p on p.id = u.plan_id where u.id = wallet.user_id;
    if daily_limit is null then
        return 2147483647;
    elsif wallet.daily_used_on = (now() at time zone 'UTC')::date then
        return greatest(0, daily_limit - wallet.daily_used);
    end if;
    return daily_limit;
end;
$$;

-- Refuses a use of credits that are there, but not for today.
create or replace function app.refuse_for_today(wallet public.wallets, usable integer) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    resets_at timestamptz := (date_trunc('day', now() at time zone 'UTC') + interval '1 day') at time zone 'UTC';
    daily_limit integer;
begin
    select p.max_daily_credits into daily_limit
    from public.users u join public.plans p on p.id = u.plan_id where u.id = wallet.user_id;
    if daily_limit is null then
        raise exception 'wallet % says more than its grants hold', wallet.user_id;
    end if;
    perform app.refuse('DAILY_LIMIT_REACHED', 'The plan''s credits for today are used up.',
        jsonb_build_object('limit', daily_limit, 'remaining', usable,
                           'resets_at', to_char(resets_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')));
end;
$$;

-- The entries that take credits out of the user's grants: soonest to expire first, purchased ones
-- last. Under a plan's daily cap, no more than it allows are taken of what the plan gave; `daily`
-- says how many of those. They are taken when the entries are recorded.
create or replace function app.take_from_grants(
    wallet public.wallets, amount integer, capped boolean,
    out taken public.credit_entries[], out daily integer
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    missing integer := amount;
    daily_left integer;
    source record;
    part integer;
begin
    daily := 0;
    if wallet.balance - wallet.held < amount then
        perform app.refuse('INSUFFICIENT_CREDITS', 'Not enough credits.',
            jsonb_build_object('available', wallet.balance - wallet.held, 'required', amount));
    end if;
    for source in
        select g.id, g.remaining, g.source = 'PLAN' as is_daily
        from public.credit_grants g
        where g.user_id = wallet.user_id and g.usable
        order by g.source = 'PURCHASE', g.expiry_rank, g.created_at, g.id
    loop
        part := least(missing, source.remaining);
        if capped and source.is_daily then
            daily_left := coalesce(daily_left, app.daily_credits_left(wallet));
            part := least(part, daily_left - daily);
            continue when part = 0;
            daily := daily + part;
        end if;
        taken := taken || app.entry('GRANT', -part, source.id);
        missing := missing - part;
        exit when missing = 0;
    end loop;
    if missing > 0 then
        perform app.refuse_for_today(wallet, amount - missing);
    end if;
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
    source record;
begin
    perform app.check_idempotency_key(idempotency_key);
    perform app.check_amount(amount);
    wallet := app.lock_wallet(actor_id);
    movement := app.remembered_result(actor_id, 'spend_credits', idempotency_key, fingerprint);
    if movement is not null then
        return movement;
    end if;
    wallet.unlimited := wallet.unlimited or app.credits_are_unlimited();
    source := app.draw_credits(wallet, amount);
    movement := app.record_movement(actor_id, 'SPEND', source.taken || app.entry('SPENT', amount),
                                    reason, reference_id, daily_change => source.daily);
    perform app.remember_result(actor_id, 'spend_credits', idempotency_key, fingerprint, movement);
    return movement;
end;
$$;

-- The entries that pay for a use of `amount`: the user's grants, or for an `unlimited` user newly
-- issued credits, which never were in the wallet.
create or replace function app.draw_credits(
    wallet public.wallets, amount integer, out taken public.credit_entries[], out daily integer
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    source record;
begin
    if wallet.unlimited then
        taken := array[app.entry('ISSUED', -amount)];
        daily := 0;
    else
        source := app.take_from_grants(wallet, amount, true);
        taken := source.taken;
        daily := source.daily;
        -- No bound that is told of is higher: others look nothing up.
        if wallet.balance - wallet.held - amount <= 1000 then
            perform app.tell_of_low_balance(wallet, amount);
        end if;
    end if;
end;
$$;

-- Tells a user that their credits run low, when what takes `amount` of them takes them down to the bound. What
-- comes back of it and is used again is no news: they are told again once they have been given more.
create or replace function app.tell_of_low_balance(wallet public.wallets, amount integer) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    before integer := wallet.balance - wallet.held;
    bound integer := (select a.low_balance from public.credit_alerts a);
    told_at timestamptz;
begin
    if bound > 0 and before > bound and before - amount <= bound then
        select max(n.created_at) into told_at from public.notifications n
        where n.user_id = wallet.user_id and n.title_key = 'notifications.creditsLow.title';
        if told_at is null or exists (select from public.credit_grants g
            where g.user_id = wallet.user_id and g.created_at > told_at) then
            perform app.notify(wallet.user_id, 'GENERAL', 'notifications.creditsLow.title',
                'notifications.creditsLow.message', jsonb_build_object('available', before - amount));
        end if;
    end if;
end;
$$;

-- Sets at how many credits users are told that they run low; 0: never.
create or replace function app.set_low_balance(credits integer) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into public.credit_alerts as a (id, low_balance) values (1, credits)
    on conflict (id) do update set low_balance = credits where a.low_balance <> credits;
$$;

-- Reserves a user's credits for work that ends within `lifetime`. Returns the hold; the same key,
-- where one is given, returns the same one.
create or replace function app.hold_credits(
    owner_id uuid, amount integer, hold_reference text, lifetime interval, idempotency_key text default null
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    fingerprint bytea;
    wallet public.wallets;
    new_hold uuid;
    source record;
begin
    perform app.check_amount(amount);
    if lifetime is null or lifetime < interval '0' or lifetime > interval '1 year' then
        perform app.refuse('BAD_USER_INPUT', 'A hold lasts up to one year.');
    end if;
    wallet := app.lock_wallet(owner_id);
    if idempotency_key is not null then
        perform app.check_idempotency_key(idempotency_key);
        fingerprint := sha256(convert_to(jsonb_build_array(amount, hold_reference, lifetime)::text, 'UTF8'));
        new_hold := app.remembered_result(owner_id, 'hold_credits', idempotency_key, fingerprint);
        if new_hold is not null then
            return new_hold;
        end if;
    end if;
    wallet.unlimited := wallet.unlimited or app.credits_are_unlimited();
    source := app.draw_credits(wallet, amount);
    insert into public.credit_holds (user_id, amount, reference_id, unlimited, expires_at)
    values (owner_id, amount, hold_reference, wallet.unlimited, now() + lifetime) returning id into new_hold;
    if not wallet.unlimited then
        insert into public.credit_hold_parts (hold_id, grant_id, position, amount)
        select new_hold, part.grant_id, part.position, -part.amount
        from unnest(source.taken) with ordinality
            as part (id, transaction_id, account, grant_id, hold_id, amount, position);
    end if;
    perform app.record_movement(owner_id, 'HOLD', source.taken || app.entry('HOLD', amount, null, new_hold),
                                null, hold_reference, new_hold, wallet.unlimited, source.daily);
    if idempotency_key is not null then
        perform app.remember_result(owner_id, 'hold_credits', idempotency_key, fingerprint, new_hold);
    end if;
    return new_hold;
end;
$$;

-- The hold, locked after its wallet, whether it is open or not. Null when there is none.
create or replace function app.lock_hold(wanted_hold uuid) returns public.credit_holds
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hold public.credit_holds;
begin
    select * into hold from public.credit_holds h where h.id = wanted_hold;
    if found then
        perform app.lock_wallet(hold.user_id);
        select * into hold from public.credit_holds h where h.id = wanted_hold for update;
    end if;
    return hold;
end;
$$;

-- The hold, locked after its wallet; refuses one that has already ended. Its time may be over: it
-- is open until somebody ends it, and who locks the wallet first does.
create or replace function app.lock_open_hold(wanted_hold uuid) returns public.credit_holds
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hold public.credit_holds := app.lock_hold(wanted_hold);
begin
    if hold.id is null then
        perform app.refuse('NOT_FOUND', 'There is no such hold.');
    elsif hold.status <> 'OPEN' then
        perform app.refuse('BAD_USER_INPUT', 'This hold has already ended.');
    end if;
    return hold;
end;
$$;

-- The entries that give `amount` of a hold back to the grants it came from, last taken first; `daily`
-- says how much of it counts against today's cap no longer: nothing of what was held back from an order, since
-- no cap counted it. A grant that expired meanwhile is emptied again by the next lock of the wallet.
create or replace function app.return_to_grants(
    hold public.credit_holds, amount integer, out returned public.credit_entries[], out daily integer
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    counted_today boolean := (hold.created_at at time zone 'UTC')::date = (now() at time zone 'UTC')::date
        and coalesce(hold.reference_id, '') not like 'order\_%';
    left_over integer := amount;
    origin record;
    part integer;
begin
    daily := 0;
    returned := '{}';
    for origin in
        select p.grant_id, p.amount, g.source = 'PLAN' and counted_today as is_daily
        from public.credit_hold_parts p join public.credit_grants g on g.id = p.grant_id
        where p.hold_id = hold.id order by p.position desc
    loop
        exit when left_over = 0;
        part := least(left_over, origin.amount);
        daily := daily + case when origin.is_daily then part else 0 end;
        returned := returned || app.entry('GRANT', part, origin.grant_id);
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
    entries public.credit_entries[] := array[app.entry('HOLD', -hold.amount, null, hold.id)];
    rest integer := hold.amount - captured;
    daily integer := 0;
    back record;
begin
    if captured > 0 then
        entries := entries || app.entry('SPENT', captured);
    end if;
    if rest > 0 and hold.unlimited then
        entries := entries || app.entry('ISSUED', rest);
    elsif rest > 0 then
        back := app.return_to_grants(hold, rest);
        entries := entries || back.returned;
        daily := back.daily;
    end if;
    update public.credit_holds h
    set status = new_status, captured_amount = captured, resolved_at = now() where h.id = hold.id;
    return app.record_movement(hold.user_id, movement_type, entries, null, hold.reference_id, hold.id,
                               hold.unlimited, -daily);
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
begin
    return app.resolve_hold(app.lock_open_hold(wanted_hold), 0, 'RELEASED', 'RELEASE');
end;
$$;

grant execute on function app.spend_credits(integer, text, text, text) to authenticated;
grant execute on function
    app.hold_credits(uuid, integer, text, interval, text), app.capture_hold(uuid, integer),
    app.release_hold(uuid), app.set_low_balance(integer)
to service;
-- Ending a generation locks the wallet before the generation, so that no two functions can deadlock.
grant execute on function app.lock_wallet(uuid) to service;
