-- Credits that come and go between users and the operator: grants, refunds, transfers.

create or replace function app.check_wallet_bound(wallet public.wallets, amount integer) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if wallet.balance + amount > 1000000000 then
        perform app.refuse('LIMIT_EXCEEDED', 'A wallet holds at most 1000000000 credits.',
            '{"path": ["input", "amount"]}');
    end if;
end;
$$;

-- Gives a user credits from a source. Returns the transaction; the same key, where one is given,
-- returns the same one. For `service` only.
create or replace function app.grant_credits(
    owner_id uuid, grant_source text, amount integer, grant_reference text default null,
    grant_expires_at timestamptz default null, movement_reason text default null,
    idempotency_key text default null
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    fingerprint bytea;
    wallet public.wallets;
    grant_id uuid;
    movement uuid;
begin
    perform app.check_amount(amount);
    wallet := app.lock_wallet(owner_id);
    if idempotency_key is not null then
        perform app.check_idempotency_key(idempotency_key);
        fingerprint := sha256(convert_to(
            jsonb_build_array(grant_source, amount, grant_reference, grant_expires_at, movement_reason)::text,
            'UTF8'));
        movement := app.remembered_result(owner_id, 'grant_credits', idempotency_key, fingerprint);
        if movement is not null then
            return movement;
        end if;
    end if;
    if grant_expires_at <= now() then
        perform app.refuse('BAD_USER_INPUT', 'Credits must expire in the future.',
            '{"path": ["input", "expiresAt"]}');
    end if;
    perform app.check_wallet_bound(wallet, amount);
    insert into public.credit_grants (user_id, source, amount, remaining, reference_id, expires_at)
    values (owner_id, grant_source, amount, 0, grant_reference, grant_expires_at)
    returning id into grant_id;
    movement := app.record_movement(
        owner_id, grant_source, array[app.entry('ISSUED', -amount), app.entry('GRANT', amount, grant_id)],
        movement_reason, grant_reference);
    if idempotency_key is not null then
        perform app.remember_result(owner_id, 'grant_credits', idempotency_key, fingerprint, movement);
    end if;
    perform app.pay_debt(owner_id);
    perform app.follow_merge(owner_id);
    return movement;
end;
$$;

-- The bonus of signing up, by the deployment's terms, given once in a user's life: a guest who
-- becomes a member gets what a member gets beyond what the guest got, and who takes a guest's account
-- over what is beyond what that guest used. It stands for the plan's
-- first month: a member's plan gives its first credits a month later, a guest's none. Without
-- `with_bonus` the user gets the plan and is still owed the credits. Returns how many were granted.
create or replace function app.grant_sign_up_bonus(new_user_id uuid, with_bonus boolean default true)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    terms public.sign_up_terms;
    guest boolean;
    bonus integer := 0;
begin
    perform app.lock_wallet(new_user_id);
    select * into terms from public.sign_up_terms;
    select u.is_anonymous into guest from public.users u where u.id = new_user_id;
    if with_bonus then
        bonus := case when guest then terms.anonymous_bonus_credits else terms.bonus_credits end
            - app.sign_up_bonus_had(new_user_id);
    end if;
    if not guest and terms.plan_id is not null then
        update public.wallets w set plan_credits_due_at = app.plan_month(now(), 1), plan_credits_anchor_at = now()
        where w.user_id = new_user_id and w.plan_credits_due_at is null;
    end if;
    if bonus > 0 then
        perform app.grant_credits(new_user_id, 'SIGNUP_BONUS', bonus);
    end if;
    update public.users u set plan_id = terms.plan_id where u.id = new_user_id and u.plan_id is null;
    if not guest and terms.founds_organization then
        perform app.found_first_organization(new_user_id);
    end if;
    return greatest(bonus, 0);
end;
$$;

-- What a spend took from each grant and has not given back yet, last taken first. Nothing for a
-- spend of an `unlimited` user.
create or replace function app.refundable_parts(spend public.credit_transactions)
returns table (grant_id uuid, amount integer)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select e.grant_id,
        (-sum(e.amount) - coalesce((select sum(r.amount) from public.credit_refund_parts r
                                    where r.spend_id = spend.id and r.grant_id = e.grant_id), 0))::integer
    from public.credit_entries e
    where e.account = 'GRANT' and e.transaction_id in (
        select spend.id union all
        select t.id from public.credit_transactions t where t.hold_id = spend.hold_id and t.type = 'HOLD')
    group by e.grant_id
    order by min(e.id) desc;
$$;

-- The entry that gives spent credits back to a grant. One that has expired since cannot take them:
-- they become a new grant that lasts as long as they would have lasted when they were spent.
create or replace function app.refund_to_grant(
    spent_from public.credit_grants, part integer, spent_at timestamptz, refund_reference text
) returns public.credit_entries
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    refunded uuid := spent_from.id;
begin
    if spent_from.expires_at <= now() then
        insert into public.credit_grants (user_id, source, amount, remaining, reference_id, expires_at)
        values (spent_from.user_id, 'REFUND', part, 0, refund_reference,
                now() + (spent_from.expires_at - spent_at))
        returning id into refunded;
    end if;
    return app.entry('GRANT', part, refunded);
end;
$$;

-- Gives back `amount` of what a SPEND or a CAPTURE used (all that is left of it, when null) to the
-- grants it came from, last taken first. Returns the transaction; the same key returns the same
-- one. For `service` only.
create or replace function app.refund_credits(
    spend_id uuid, amount integer, refund_reason text, idempotency_key text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    fingerprint bytea := sha256(convert_to(jsonb_build_array(spend_id, amount, refund_reason)::text, 'UTF8'));
    today date := (now() at time zone 'UTC')::date;
    spend public.credit_transactions;
    wallet public.wallets;
    spent_at timestamptz;
    spent_from public.credit_grants;
    origin record;
    left_over integer;
    part integer;
    daily integer := 0;
    entries public.credit_entries[] := '{}';
    origins uuid[] := '{}';
    parts integer[] := '{}';
    movement uuid;
begin
    perform app.check_idempotency_key(idempotency_key);
    select * into spend from public.credit_transactions t where t.id = spend_id and t.used > 0;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such spend.');
    end if;
    wallet := app.lock_wallet(spend.user_id);
    movement := app.remembered_result(spend.user_id, 'refund_credits', idempotency_key, fingerprint);
    if movement is not null then
        return movement;
    end if;
    left_over := spend.used - coalesce((select sum(r.amount) from public.credit_refund_parts r
                                        where r.spend_id = spend.id), 0);
    if left_over = 0 or amount not between 1 and left_over then
        perform app.refuse('BAD_USER_INPUT', format('%s of this spend are left to be refunded.', left_over),
            '{"path": ["input", "amount"]}');
    end if;
    left_over := coalesce(amount, left_over);
    perform app.check_wallet_bound(wallet, left_over);
    entries := array[app.entry('SPENT', -left_over)];
    spent_at := coalesce((select h.created_at from public.credit_holds h where h.id = spend.hold_id),
                         spend.created_at);
    for origin in select p.grant_id, p.amount from app.refundable_parts(spend) p where p.amount > 0 loop
        exit when left_over = 0;
        part := least(left_over, origin.amount);
        select * into spent_from from public.credit_grants g where g.id = origin.grant_id;
        entries := entries || app.refund_to_grant(spent_from, part, spent_at, spend.id::text);
        if spent_from.source = 'PLAN' and (spent_at at time zone 'UTC')::date = today then
            daily := daily + part;
        end if;
        origins := origins || origin.grant_id;
        parts := parts || part;
        left_over := left_over - part;
    end loop;
    if left_over > 0 then  -- an `unlimited` user's: it goes back where it was issued
        entries := entries || app.entry('ISSUED', left_over);
        origins := origins || null::uuid;
        parts := parts || left_over;
    end if;
    movement := app.record_movement(spend.user_id, 'REFUND', entries, refund_reason, spend.id::text,
                                    spend.hold_id, daily_change => -daily);
    insert into public.credit_refund_parts (refund_id, position, spend_id, grant_id, amount)
    select movement, p.position, spend.id, p.grant_id, p.amount
    from unnest(origins, parts) with ordinality as p (grant_id, amount, position);
    perform app.remember_result(spend.user_id, 'refund_credits', idempotency_key, fingerprint, movement);
    perform app.pay_debt(spend.user_id);
    perform app.follow_merge(spend.user_id);
    return movement;
end;
$$;

-- Moves credits from one user to another. They keep their source and their expiry, and no daily cap
-- counts them. Returns the sender's transaction; the same key returns the same one. For `service`
-- only.
create or replace function app.transfer_credits(
    sender_id uuid, receiver_id uuid, amount integer, transfer_reason text, idempotency_key text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    fingerprint bytea := sha256(convert_to(jsonb_build_array(receiver_id, amount, transfer_reason)::text, 'UTF8'));
    sender public.wallets;
    receiver public.wallets;
    source record;
    part public.credit_entries;
    new_grant uuid;
    entries public.credit_entries[] := array[app.entry('TRANSFER', -amount)];
    sent uuid;
    received uuid;
begin
    perform app.check_idempotency_key(idempotency_key);
    perform app.check_amount(amount);
    receiver_id := app.merged_into(receiver_id);
    if sender_id is null or sender_id is not distinct from receiver_id then
        perform app.refuse('BAD_USER_INPUT', 'Credits are transferred between two users.');
    elsif sender_id < receiver_id then
        sender := app.lock_wallet(sender_id);
        receiver := app.lock_wallet(receiver_id);
    else
        receiver := app.lock_wallet(receiver_id);
        sender := app.lock_wallet(sender_id);
    end if;
    sent := app.remembered_result(sender_id, 'transfer_credits', idempotency_key, fingerprint);
    if sent is not null then
        return sent;
    end if;
    perform app.check_wallet_bound(receiver, amount);
    source := app.take_from_grants(sender, amount, false);
    foreach part in array source.taken loop
        insert into public.credit_grants (user_id, source, amount, remaining, reference_id, expires_at)
        select receiver_id, g.source, -part.amount, 0, g.reference_id, g.expires_at
        from public.credit_grants g where g.id = part.grant_id
        returning id into new_grant;
        entries := entries || app.entry('GRANT', -part.amount, new_grant);
    end loop;
    sent := app.record_movement(sender_id, 'TRANSFER', source.taken || app.entry('TRANSFER', amount),
                                transfer_reason, receiver_id::text);
    received := app.record_movement(receiver_id, 'TRANSFER', entries, transfer_reason, sender_id::text);
    insert into public.credit_transfers (sent_id, received_id) values (sent, received);
    perform app.remember_result(sender_id, 'transfer_credits', idempotency_key, fingerprint, sent);
    perform app.pay_debt(receiver_id);
    return sent;
end;
$$;

revoke execute on function
    app.check_wallet_bound(public.wallets, integer),
    app.grant_credits(uuid, text, integer, text, timestamptz, text, text),
    app.grant_sign_up_bonus(uuid, boolean),
    app.refundable_parts(public.credit_transactions),
    app.refund_to_grant(public.credit_grants, integer, timestamptz, text),
    app.refund_credits(uuid, integer, text, text), app.transfer_credits(uuid, uuid, integer, text, text)
from public;
grant execute on function
    app.grant_credits(uuid, text, integer, text, timestamptz, text, text),
    app.grant_sign_up_bonus(uuid, boolean),
    app.refund_credits(uuid, integer, text, text), app.transfer_credits(uuid, uuid, integer, text, text)
to service;
