-- A guest's plan when the guest is merged into a member's account. Guests buy no plan here; one that an
-- operator gave or an app store sold moves.

-- Makes the guest's periods the member's. Returns how many moved.
create or replace function app.merge_plan_periods(guest uuid, member uuid) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    moved integer;
begin
    update public.plan_periods p set user_id = member where p.user_id = guest;
    get diagnostics moved = row_count;
    return moved;
end;
$$;

-- Makes the guest's subscription the member's, who has from now on what the periods of both say. Returns
-- 1 when the member had none.
create or replace function app.merge_plans(guest uuid, member uuid) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    of_guest public.plan_subscriptions;
begin
    select * into of_guest from public.plan_subscriptions s where s.user_id = guest for update;
    if not found then
        return 0;
    end if;
    perform app.merge_plan_periods(guest, member);
    if of_guest.status <> 'ENDED' and not exists (
        select from public.plan_subscriptions s where s.user_id = member and s.status <> 'ENDED') then
        delete from public.plan_subscriptions s where s.user_id = member;
        update public.plan_subscriptions s set user_id = member, updated_at = clock_timestamp() where s.user_id = guest;
        update public.users u set plan_id = of_guest.plan_id where u.id = member;
        update public.wallets w set plan_credits_due_at = g.plan_credits_due_at,
            plan_credits_anchor_at = g.plan_credits_anchor_at
        from public.wallets g where w.user_id = member and g.user_id = guest;
        perform app.follow_plan_periods(member, false);
        return 1;
    end if;
    delete from public.plan_subscriptions s where s.user_id = guest;
    perform app.follow_plan_periods(member, false);
    return 0;
end;
$$;

revoke execute on function app.merge_plan_periods(uuid, uuid), app.merge_plans(uuid, uuid) from public;
