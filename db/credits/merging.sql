-- A guest's credits when the guest is merged into a member's account. The guest's books are history
-- and stay: what is left in the wallet is transferred. Holds are given back and taken again from the
-- same credits, so that work under way is paid for by the member.

-- How many credits of the sign-up bonus a user has had, of their own account and of the guests that
-- were merged into it.
create or replace function app.sign_up_bonus_had(owner_id uuid) returns integer
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce((select sum(g.amount) from public.credit_grants g
                     where g.user_id = owner_id and g.source = 'SIGNUP_BONUS'), 0)::integer
        + coalesce((select sum(m.bonus_used) from public.guest_merges m where m.user_id = owner_id), 0)::integer;
$$;

-- How many credits of the sign-up bonus a user has used up: neither left in a grant nor held.
create or replace function app.used_sign_up_bonus(owner_id uuid) returns integer
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select greatest(0, coalesce(sum(g.amount - g.remaining - coalesce((
        select sum(p.amount) from public.credit_hold_parts p join public.credit_holds h on h.id = p.hold_id
        where p.grant_id = g.id and h.status = 'OPEN'), 0)), 0))::integer
    from public.credit_grants g where g.user_id = owner_id and g.source = 'SIGNUP_BONUS';
$$;

-- A grant of the member's for what comes out of one of the guest's; it is filled by the transfer.
create or replace function app.open_merged_grant(member uuid, origin uuid, credits integer, lasts_until timestamptz)
returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    opened uuid;
begin
    insert into public.credit_grants (user_id, source, amount, remaining, reference_id, expires_at)
    select member, g.source, credits, 0, g.reference_id, lasts_until
    from public.credit_grants g where g.id = origin
    returning id into opened;
    return opened;
end;
$$;

-- Transfers what the guest has to the member; returns 1 when that was anything. Of the sign-up bonus
-- only what the terms still owe the member moves, and the rest expires. What is held moves whole: bonus
-- credits that the member is not owed are good for the work they are held for, and expire when it
-- comes to nothing.
create or replace function app.merge_wallets(guest uuid, member uuid) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    receiver public.wallets;
    open_holds public.credit_holds[];
    hold public.credit_holds;
    source record;
    bonus_left integer;
    held_kept integer;
    rest_kept integer;
    lost integer := 0;
    total integer := 0;
    lost_entries public.credit_entries[] := '{}';
    sent_entries public.credit_entries[] := '{}';
    received_entries public.credit_entries[] := '{}';
    -- For each of the guest's grants: the member's that its credits are in, and how much of what is
    -- held is in the first of them; the other has what is good for the work alone.
    origins uuid[] := '{}';
    kept uuid[] := '{}';
    kept_held integer[] := '{}';
    only_held uuid[] := '{}';
begin
    perform app.lock_wallet(least(guest, member));
    perform app.lock_wallet(greatest(guest, member));
    select * into receiver from public.wallets w where w.user_id = member;
    open_holds := array(select h from public.credit_holds h
        where h.user_id = guest and h.status = 'OPEN' order by h.created_at, h.id for update);
    foreach hold in array open_holds loop
        perform app.resolve_hold(hold, 0, 'RELEASED', 'RELEASE');
    end loop;
    bonus_left := greatest(0, coalesce((select t.bonus_credits from public.sign_up_terms t), 0)
        - app.sign_up_bonus_had(member));
    for source in
        select g.id, g.source, g.expires_at, g.remaining, coalesce(p.held, 0)::integer as held
        from public.credit_grants g
        left join (select p.grant_id, sum(p.amount) as held from public.credit_hold_parts p
                   where p.hold_id in (select h.id from unnest(open_holds) h) group by p.grant_id) p
            on p.grant_id = g.id
        where g.user_id = guest and g.usable
        order by g.created_at, g.id
    loop
        held_kept := source.held;
        rest_kept := source.remaining - source.held;
        if source.source = 'SIGNUP_BONUS' then
            held_kept := least(held_kept, bonus_left);
            rest_kept := least(rest_kept, bonus_left - held_kept);
            bonus_left := bonus_left - held_kept - rest_kept;
        end if;
        origins := origins || source.id;
        kept := kept || case when held_kept + rest_kept > 0 then
            app.open_merged_grant(member, source.id, held_kept + rest_kept, source.expires_at) end;
        kept_held := kept_held || held_kept;
        only_held := only_held || case when source.held > held_kept then
            app.open_merged_grant(member, source.id, source.held - held_kept, now()) end;
        if held_kept + rest_kept > 0 then
            received_entries := received_entries
                || app.entry('GRANT', held_kept + rest_kept, kept[cardinality(kept)]);
        end if;
        if source.held > held_kept then
            received_entries := received_entries
                || app.entry('GRANT', source.held - held_kept, only_held[cardinality(only_held)]);
        end if;
        if source.held + rest_kept > 0 then
            sent_entries := sent_entries || app.entry('GRANT', -(source.held + rest_kept), source.id);
            total := total + source.held + rest_kept;
        end if;
        if source.remaining > source.held + rest_kept then
            lost_entries := lost_entries || app.entry('GRANT', source.held + rest_kept - source.remaining, source.id);
            lost := lost + source.remaining - source.held - rest_kept;
        end if;
    end loop;
    if lost > 0 then
        perform app.record_movement(guest, 'EXPIRY', lost_entries || app.entry('EXPIRED', lost), 'guest_merge');
    end if;
    if total > 0 then
        perform app.transfer_merged(guest, member, receiver, total, sent_entries, received_entries);
    end if;
    foreach hold in array open_holds loop
        kept_held := app.hold_again(hold, member, origins, kept, kept_held, only_held);
    end loop;
    perform app.merge_debt(guest, member);
    perform app.pay_debt(member);
    return least(total, 1);
end;
$$;

-- The two movements of the transfer, and the bond between them.
create or replace function app.transfer_merged(
    guest uuid, member uuid, receiver public.wallets, total integer,
    sent_entries public.credit_entries[], received_entries public.credit_entries[]
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    sent uuid;
    received uuid;
begin
    if receiver.balance + total > 1000000000 then
        perform app.refuse('LIMIT_EXCEEDED', 'A wallet holds at most 1000000000 credits. Use some first.');
    end if;
    sent := app.record_movement(guest, 'TRANSFER', sent_entries || app.entry('TRANSFER', total),
                                'guest_merge', member::text);
    received := app.record_movement(member, 'TRANSFER', received_entries || app.entry('TRANSFER', -total),
                                    'guest_merge', guest::text);
    insert into public.credit_transfers (sent_id, received_id) values (sent, received);
    update public.guest_merges m set credits_moved = m.credits_moved + total where m.guest_id = guest;
end;
$$;

-- Takes one of the guest's holds again from the member's wallet, out of the same credits and for the
-- same work, no cap asked. Returns what is left of `kept_held`.
create or replace function app.hold_again(
    hold public.credit_holds, member uuid, origins uuid[], kept uuid[], kept_held integer[], only_held uuid[]
) returns integer[]
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    today date := (now() at time zone 'UTC')::date;
    entries public.credit_entries[] := '{}';
    new_hold uuid;
    part record;
    place integer;
    from_kept integer;
    daily integer := 0;
begin
    insert into public.credit_holds (user_id, amount, reference_id, unlimited, expires_at, created_at)
    values (member, hold.amount, hold.reference_id, hold.unlimited, hold.expires_at, hold.created_at)
    returning id into new_hold;
    if hold.unlimited then
        entries := array[app.entry('ISSUED', -hold.amount)];
    end if;
    for part in
        select p.grant_id, p.amount, g.source from public.credit_hold_parts p
        join public.credit_grants g on g.id = p.grant_id where p.hold_id = hold.id order by p.position
    loop
        place := array_position(origins, part.grant_id);
        from_kept := least(part.amount, kept_held[place]);
        kept_held[place] := kept_held[place] - from_kept;
        if from_kept > 0 then
            entries := entries || app.entry('GRANT', -from_kept, kept[place]);
        end if;
        if part.amount > from_kept then
            entries := entries || app.entry('GRANT', from_kept - part.amount, only_held[place]);
        end if;
        if part.source = 'PLAN' and (hold.created_at at time zone 'UTC')::date = today then
            daily := daily + part.amount;
        end if;
    end loop;
    insert into public.credit_hold_parts (hold_id, grant_id, position, amount)
    select new_hold, e.grant_id, e.position, -e.amount
    from unnest(entries) with ordinality as e (id, transaction_id, account, grant_id, hold_id, amount, position)
    where e.account = 'GRANT';
    perform app.record_movement(member, 'HOLD', entries || app.entry('HOLD', hold.amount, null, new_hold),
                                null, hold.reference_id, new_hold, hold.unlimited, daily);
    update public.generations g set hold_id = new_hold where g.hold_id = hold.id;
    update public.orders o set hold_id = new_hold where o.hold_id = hold.id;
    update public.ai_runs r set hold_id = new_hold where r.hold_id = hold.id;
    return kept_held;
end;
$$;

-- The member that a guest was merged into; a user who was not is who they are.
create or replace function app.merged_into(owner_id uuid) returns uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce((select m.user_id from public.guest_merges m where m.guest_id = owner_id), owner_id);
$$;

-- Credits that come to a guest who was merged, such as a refund, go on to the member. Whoever gives
-- them calls it last.
create or replace function app.follow_merge(owner_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    member uuid := app.merged_into(owner_id);
begin
    if member <> owner_id then
        perform app.merge_wallets(owner_id, member);
    end if;
end;
$$;

-- The member's requests find what the guest's did under the same keys, so that one that is sent again
-- does nothing twice. The guest's keys stay as well: what a payment gives is remembered under the
-- account it named. Returns how many were copied.
create or replace function app.copy_idempotency_keys(guest uuid, member uuid) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    copied integer;
begin
    insert into public.idempotency_keys (user_id, operation, key, fingerprint, result_id, created_at)
    select member, k.operation, k.key, k.fingerprint, k.result_id, k.created_at
    from public.idempotency_keys k
    where k.user_id = guest
        and k.operation not in ('grant_credits', 'hold_credits', 'refund_credits', 'transfer_credits')
    on conflict do nothing;
    get diagnostics copied = row_count;
    return copied;
end;
$$;

revoke execute on function
    app.sign_up_bonus_had(uuid), app.used_sign_up_bonus(uuid),
    app.open_merged_grant(uuid, uuid, integer, timestamptz), app.merge_wallets(uuid, uuid),
    app.transfer_merged(uuid, uuid, public.wallets, integer, public.credit_entries[], public.credit_entries[]),
    app.hold_again(public.credit_holds, uuid, uuid[], uuid[], integer[], uuid[]),
    app.merged_into(uuid), app.follow_merge(uuid), app.copy_idempotency_keys(uuid, uuid)
from public;
