-- Guests: merging one into a member's account, and the end of those whom nobody uses any more. What becomes of each table's rows is declared beside it
-- (`on_merge`); `app.move_rows()` is made of that.

-- Locks both for a merge: wallets first, as everything does that needs more than a wallet, then the
-- accounts, each pair in the order of their ids. Whoever writes a row for one of them holds a lock on
-- the account until the end, so that every row is seen and none comes in between. Returns false
-- when one of the accounts is none. Signing up changes the account before it grants the bonus: the merge
-- waits for less time than Postgres needs to see a deadlock, gives way, and is tried again.
create or replace function app.lock_for_merge(guest uuid, member uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '400ms' as $$
begin
    if guest = member or (select count(*) from public.users u where u.id in (guest, member)) < 2 then
        return false;
    end if;
    perform app.lock_wallet(least(guest, member));
    perform app.lock_wallet(greatest(guest, member));
    perform from public.users u where u.id in (guest, member) order by u.id for update;
    return true;
exception when lock_not_available then
    raise exception 'others are at work on the accounts' using errcode = 'serialization_failure';
end;
$$;

-- Makes everything of the guest's the member's and returns what that was. Call it only while holding
-- the locks; the guest's sessions are the caller's to end.
create or replace function app.merge_guest(guest uuid, member uuid) returns public.guest_merges
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    merged public.guest_merges;
    rows_moved jsonb;
begin
    insert into public.guest_merges (guest_id, user_id, bonus_used)
    values (guest, member, app.used_sign_up_bonus(guest));
    update public.users u
    set status = 'merged', display_name = null, plan_id = null, selected_organization_id = null,
        updated_at = clock_timestamp()
    where u.id = guest;
    rows_moved := app.move_rows(guest, member);
    update public.guest_merges m set moved = rows_moved
    where m.guest_id = guest returning * into merged;
    return merged;
end;
$$;

-- The merges that are to be settled: whatever the guest's requests had begun has ended by now.
create or replace function app.unsettled_merges(at_most integer) returns setof uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select m.guest_id from public.guest_merges m
    where m.settled_at is null and m.merged_at < now() - interval '2 minutes'
    order by m.merged_at limit at_most;
$$;

-- Moves what the guest's last requests wrote after the merge. Returns how many rows that were.
create or replace function app.settle_merge(guest uuid) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    member uuid := (select m.user_id from public.guest_merges m where m.guest_id = guest);
    late jsonb := '{}';
begin
    if app.lock_for_merge(guest, member) then
        late := app.move_rows(guest, member);
        update public.guest_merges m set settled_at = clock_timestamp() where m.guest_id = guest;
    end if;
    return (select coalesce(sum(value::integer), 0) from jsonb_each_text(late));
end;
$$;

-- Has some guests erased who have used nothing for so long, as accounts that their owners deleted are. A guest stays
-- who has credits, a plan or an entitlement that was paid for, or is in an organization, where others would lose
-- something. Returns how many.
create or replace function app.end_idle_guests(idle interval, at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    guest uuid;
    ended integer := 0;
begin
    for guest in
        select u.id from public.users u
        where u.is_anonymous and u.status = 'active' and u.created_at < now() - idle
            and not exists (select from public.sessions s where s.user_id = u.id and s.last_used_at >= now() - idle)
            and not exists (select from public.imported_users i where i.user_id = u.id and i.imported_at >= now() - idle)
            and not exists (select from public.account_deletions d where d.user_id = u.id)
            and not exists (select from public.credit_grants g
                where g.user_id = u.id and g.usable and g.source = 'PURCHASE')
            and not exists (select from public.plans p where p.id = u.plan_id and p.price_cents > 0)
            and not exists (select from public.provider_entitlements e
                where e.user_id = u.id and (e.expires_at is null or greatest(e.expires_at, e.grace_ends_at) > now()))
            and not exists (select from public.organization_members m where m.user_id = u.id)
        order by u.created_at, u.id limit at_most for no key update of u skip locked
    loop
        insert into public.account_deletions (user_id, deletes_at) values (guest, now());
        perform app.enqueue_erasing(guest);
        ended := ended + 1;
    end loop;
    return ended;
end;
$$;

revoke execute on function
    app.lock_for_merge(uuid, uuid), app.merge_guest(uuid, uuid), app.unsettled_merges(integer),
    app.settle_merge(uuid), app.end_idle_guests(interval, integer)
from public;
grant execute on function
    app.lock_for_merge(uuid, uuid), app.merge_guest(uuid, uuid), app.unsettled_merges(integer),
    app.settle_merge(uuid), app.end_idle_guests(interval, integer)
to service;
