-- What an account leaves in the books when it is deleted: a wallet that is empty and nobody's.

-- Empties the wallet of an account that is being erased and closes it: open holds are released, what
-- remains of the grants expires. Returns 0 when there is none that is open.
create or replace function app.close_wallet(leaving uuid, at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    done integer := 0;
    wallet public.wallets;
    hold public.credit_holds;
    rest record;
begin
    select * into wallet from public.wallets w where w.user_id = leaving and w.closed_at is null for update;
    if not found then
        return 0;
    end if;
    for hold in select * from public.credit_holds h
        where h.user_id = leaving and h.status = 'OPEN' order by h.id limit at_most for update
    loop
        perform app.resolve_hold(hold, 0, 'RELEASED', 'RELEASE');
        done := done + 1;
    end loop;
    if done > 0 then
        return done;
    end if;
    for rest in select g.id, g.remaining from public.credit_grants g
        where g.user_id = leaving and g.usable order by g.id limit at_most
    loop
        perform app.record_movement(leaving, 'EXPIRY', array[
            app.entry('GRANT', -rest.remaining, rest.id), app.entry('EXPIRED', rest.remaining)]);
        done := done + 1;
    end loop;
    if done > 0 then
        return done;
    end if;
    update public.wallets w
    set closed_at = clock_timestamp(), unlimited = false, plan_credits_due_at = null
    where w.user_id = leaving;
    return 1;
end;
$$;

-- Takes the words away that the user, or somebody about them, wrote beside the figures of their history:
-- reasons, and what a spend refers to in the user's app.
create or replace function app.forget_reasons(leaving uuid, at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    done integer;
begin
    update public.credit_transactions t
    set reason = null, reference_id = case when t.type = 'SPEND' then null else t.reference_id end
    where t.id in (
        select l.id from public.credit_transactions l where l.user_id = leaving
        and (l.reason is not null or l.type = 'SPEND' and l.reference_id is not null) limit at_most);
    get diagnostics done = row_count;
    return done;
end;
$$;

-- Trigger: keeps the users' history as it is, whoever asks. Only while an account is being erased its
-- lines may lose their words; never their figures.
create or replace function app.refuse_change_of_line() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    words constant text[] := '{reason,reference_id}';
begin
    if tg_op = 'UPDATE' and new.reason is null and to_jsonb(new) - words = to_jsonb(old) - words
        and (new.reference_id is null or new.reference_id = old.reference_id)
        and exists (select from public.account_deletions d
                    where d.user_id = old.user_id and d.began_at is not null) then
        return new;
    end if;
    raise exception '% rows are never changed or removed', tg_table_name using errcode = 'restrict_violation';
end;
$$;

-- Trigger: an account whose wallet is open is not removed, but erased.
create or replace function app.refuse_open_wallet() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from public.wallets w where w.user_id = old.id and w.closed_at is null) then
        raise exception 'this account has a wallet: erase it' using errcode = 'foreign_key_violation';
    end if;
    return old;
end;
$$;

revoke execute on function app.close_wallet(uuid, integer), app.forget_reasons(uuid, integer),
    app.refuse_change_of_line(), app.refuse_open_wallet() from public;
