-- Scheduled work on the ledger: expiry of holds and grants, and the check of its consistency.

-- Releases a user's holds whose time is over. Returns how many.
create or replace function app.expire_holds(owner_id uuid) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hold public.credit_holds;
    expired integer := 0;
begin
    perform app.lock_wallet(owner_id);
    for hold in
        select * from public.credit_holds h
        where h.user_id = owner_id and h.status = 'OPEN' and h.expires_at <= now()
        order by h.expires_at, h.id for update
    loop
        perform app.resolve_hold(hold, 0, 'EXPIRED', 'RELEASE');
        expired := expired + 1;
    end loop;
    return expired;
end;
$$;

-- Every inconsistency in the ledger of these users; none gives no row. Each is a join of
-- sums: to sum for each row anew would take hours for who has used credits for years.
create or replace function app.ledger_discrepancies(wallet_ids uuid[])
returns table (user_id uuid, discrepancy text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with wallets as (select * from public.wallets w where w.user_id = any (wallet_ids)),
    lines as (
        select t.*, sum(t.amount) over (partition by t.user_id order by t.created_at, t.id) as running
        from public.credit_transactions t where t.user_id = any (wallet_ids)),
    grants as (select * from public.credit_grants g where g.user_id = any (wallet_ids)),
    holds as (select * from public.credit_holds h where h.user_id = any (wallet_ids)),
    entries as (
        select l.user_id, e.*, coalesce(h.unlimited, false) as unlimited
        from lines l join public.credit_entries e on e.transaction_id = l.id
        left join holds h on h.id = e.hold_id),
    by_line as (
        select e.transaction_id, sum(e.amount) as total,
            coalesce(sum(e.amount) filter (where e.account in ('GRANT', 'HOLD') and not e.unlimited), 0) as own,
            coalesce(sum(e.amount) filter (where e.account = 'HOLD' and not e.unlimited), 0) as held,
            coalesce(sum(e.amount) filter (where e.account = 'SPENT'), 0) as used,
            coalesce(sum(e.amount) filter (where e.account = 'TRANSFER'), 0) as transferred
        from entries e group by e.transaction_id),
    by_grant as (select e.grant_id, sum(e.amount) as total from entries e group by e.grant_id),
    by_hold as (select e.hold_id, sum(e.amount) as total from entries e group by e.hold_id),
    by_debt as (
        select e.user_id, -sum(e.amount) as total from entries e where e.account = 'DEBT' group by e.user_id),
    by_user as (
        select w.user_id, coalesce(l.amount, 0) as amount, coalesce(l.held_change, 0) as held_change,
            coalesce(g.remaining, 0) as remaining, coalesce(h.held, 0) as held
        from wallets w
        left join (select user_id, sum(amount) as amount, sum(held_change) as held_change
                   from lines group by user_id) l using (user_id)
        left join (select user_id, sum(remaining) as remaining from grants group by user_id) g
            using (user_id)
        left join (select user_id, sum(amount) as held from holds
                   where status = 'OPEN' and not unlimited group by user_id) h using (user_id))
    select l.user_id, 'a movement has no entries' from lines l
        where not exists (select from by_line b where b.transaction_id = l.id)
    union all select l.user_id, 'the entries of a movement do not sum to zero'
        from lines l join by_line b on b.transaction_id = l.id where b.total <> 0
    union all select l.user_id, 'a movement differs from its entries'
        from lines l join by_line b on b.transaction_id = l.id
        where (l.amount, l.held_change, l.used) <> (b.own, b.held, b.used)
    union all select l.user_id, 'balance_after differs from the sum so far' from lines l
        where l.balance_after <> l.running
    union all select w.user_id, 'the wallet differs from its history'
        from wallets w join by_user u using (user_id)
        where (w.balance, w.held) <> (u.amount, u.held_change)
    union all select w.user_id, 'the wallet differs from its grants and holds'
        from wallets w join by_user u using (user_id)
        where (w.balance, w.held) <> (u.remaining + u.held, u.held)
    union all select w.user_id, 'what is owed differs from its entries'
        from wallets w left join by_debt d using (user_id) where w.debt <> coalesce(d.total, 0)
    union all select g.user_id, 'a grant differs from its entries'
        from grants g left join by_grant b on b.grant_id = g.id
        where g.remaining <> coalesce(b.total, 0)
    union all select h.user_id, 'a hold differs from its entries'
        from holds h left join by_hold b on b.hold_id = h.id
        where case h.status when 'OPEN' then h.amount else 0 end <> coalesce(b.total, 0)
    union all select h.user_id, 'a hold differs from its parts' from holds h
        where case when h.unlimited then 0 else h.amount end
            <> (select coalesce(sum(p.amount), 0) from public.credit_hold_parts p where p.hold_id = h.id)
    union all select l.user_id, 'more was refunded than spent' from lines l
        where l.used > 0 and l.used
            < (select coalesce(sum(r.amount), 0) from public.credit_refund_parts r where r.spend_id = l.id)
    union all select l.user_id, 'a refund differs from its parts' from lines l
        where l.used < 0 and -l.used
            <> (select coalesce(sum(r.amount), 0) from public.credit_refund_parts r where r.refund_id = l.id)
    union all select l.user_id, 'a transfer did not arrive as it was sent'
        from lines l join by_line b on b.transaction_id = l.id
        where b.transferred <> 0 and not exists (
            select from public.credit_transfers x
            join public.credit_entries e on e.account = 'TRANSFER' and e.transaction_id
                = case l.id when x.sent_id then x.received_id else x.sent_id end
            where l.id in (x.sent_id, x.received_id) and e.amount = -b.transferred)
    union all select h.user_id, 'a hold outlived its time by more than 15 minutes' from holds h
        where h.status = 'OPEN' and h.expires_at < now() - interval '15 minutes'
    union all select g.user_id, 'a grant outlived its time by more than an hour' from grants g
        where g.usable and g.expires_at < now() - interval '1 hour';
$$;

revoke execute on function app.expire_holds(uuid), app.ledger_discrepancies(uuid[]) from public;
grant execute on function app.expire_holds(uuid), app.ledger_discrepancies(uuid[]) to service;
