-- Quotas: what each user has of the counted tables, and what happens beyond the limit. All of it is
-- in plpgsql, which looks tables up when it runs: a migration makes these functions, too.

-- The limit of a slice that holds for a user. No row: there is none.
create or replace function app.quota_of(owner_id uuid, wanted_slice text) returns public.quota_limits
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    found_limit public.quota_limits;
begin
    select l.* into found_limit from public.users u join public.quota_limits l
        on l.slice = wanted_slice
        and l.audience in (case when u.is_anonymous then 'GUEST' else u.plan_id end, 'MEMBER')
    where u.id = owner_id order by l.audience = 'MEMBER' limit 1;
    return found_limit;
end;
$$;

create or replace function app.refuse_quota(
    wanted_slice text, quota public.quota_limits, rows_wanted bigint, bytes_wanted bigint, more_bytes bigint,
    delete_with text
) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    advice text := case delete_with when '' then 'Ask for a larger plan.'
        else format('Delete some with %s.', delete_with) end;
begin
    if rows_wanted > quota.rows_limit then
        perform app.refuse('QUOTA_EXCEEDED', format('You may have %s %s. %s', quota.rows_limit, wanted_slice, advice),
            '{"path": ["input"]}');
    elsif bytes_wanted > quota.bytes_limit then
        perform app.refuse('QUOTA_EXCEEDED', format(
            'Your %s take %s MB of %s MB, and this needs %s MB more. %s', wanted_slice,
            round((bytes_wanted - more_bytes) / 1e6, 1), round(quota.bytes_limit / 1e6, 1),
            round(more_bytes / 1e6, 2), advice), '{"path": ["input"]}');
    end if;
end;
$$;

-- What happens when a user has more of a slice than was known to be allowed: their limit is looked up.
-- What it allows is remembered in the row, so that the next ones need not ask.
create or replace function app.check_use(
    used public.quota_use, more_rows bigint, more_bytes bigint, excess text, delete_with text
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    quota public.quota_limits := app.quota_of(used.user_id, used.slice);
begin
    if quota.rows_limit is null then
        return;
    elsif used.rows_used <= quota.rows_limit and used.bytes_used <= quota.bytes_limit then
        update public.quota_use q set rows_allowed = quota.rows_limit, bytes_allowed = quota.bytes_limit
        where q.user_id = used.user_id and q.slice = used.slice;
    elsif excess = 'FORGET' then
        execute format('delete from public.%I where id in (select id from public.%1$I where user_id = $1'
                       ' order by created_at, id limit $2)', used.slice)
        using used.user_id, greatest(used.rows_used - quota.rows_limit, 1);
    elsif app.user_id() is not null then
        -- Who has more than a limit that became smaller may still replace large by small.
        perform app.refuse_quota(used.slice, quota, case when more_rows > 0 then used.rows_used end,
                                 case when more_bytes > 0 then used.bytes_used end, more_bytes, delete_with);
    end if;
end;
$$;

-- Trigger of each counted table, for a row that is new or has another size. The lock on the row of
-- `quota_use` makes many at once wait for each other, so that no two of them take the same last place.
-- Arguments: what happens beyond the limit, and the mutation that makes room.
create or replace function app.count_use() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    used public.quota_use;
    more_rows bigint := sign(new.stored_bytes);
    more_bytes bigint := new.stored_bytes;
begin
    if tg_op = 'UPDATE' then
        more_rows := more_rows - sign(old.stored_bytes);
        more_bytes := more_bytes - old.stored_bytes;
    end if;
    update public.quota_use q set rows_used = q.rows_used + more_rows, bytes_used = q.bytes_used + more_bytes
    where q.user_id = new.user_id and q.slice = tg_table_name::text returning * into used;
    if not found then
        -- What is allowed is left to the next one: a plan that changes meanwhile does not see this row.
        insert into public.quota_use as q (user_id, slice, rows_used, bytes_used)
        values (new.user_id, tg_table_name, more_rows, more_bytes)
        on conflict (user_id, slice) do update
        set rows_used = q.rows_used + more_rows, bytes_used = q.bytes_used + more_bytes
        returning * into used;
    end if;
    if (used.rows_used > used.rows_allowed or used.bytes_used > used.bytes_allowed)
        and (more_rows > 0 or more_bytes > 0) and tg_argv[0] <> 'COUNT' then
        perform app.check_use(used, more_rows, more_bytes, tg_argv[0], tg_argv[1]);
    end if;
    return null;
end;
$$;

-- Trigger of counted tables into which a statement inserts many rows: counts all of them at once, in one order for all
-- users. The arguments are those of count_use.
create or replace function app.count_inserted() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    counted record;
begin
    for counted in
        with added as materialized (
            select n.user_id, sum(sign(n.stored_bytes))::bigint as more_rows, sum(n.stored_bytes)::bigint as more_bytes
            from new_rows n group by n.user_id
        ), known as (
            insert into public.quota_use as q (user_id, slice, rows_used, bytes_used)
            select a.user_id, tg_table_name, a.more_rows, a.more_bytes from added a order by a.user_id
            on conflict (user_id, slice) do update
            set rows_used = q.rows_used + excluded.rows_used, bytes_used = q.bytes_used + excluded.bytes_used
            returning q.*
        )
        select row(k.*)::public.quota_use as used, a.more_rows, a.more_bytes
        from known k join added a using (user_id)
        where (k.rows_used > k.rows_allowed or k.bytes_used > k.bytes_allowed)
            and (a.more_rows > 0 or a.more_bytes > 0) and tg_argv[0] <> 'COUNT'
    loop
        perform app.check_use(counted.used, counted.more_rows, counted.more_bytes, tg_argv[0], tg_argv[1]);
    end loop;
    return null;
end;
$$;

-- Trigger of each counted table, for all the rows that a statement deletes: an account's may be many.
-- Nothing is left to count for a user whose account is going.
create or replace function app.count_deleted() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.quota_use q set rows_used = q.rows_used - d.rows_gone, bytes_used = q.bytes_used - d.bytes_gone
    from (select o.user_id, count(*) filter (where o.stored_bytes > 0) as rows_gone, sum(o.stored_bytes) as bytes_gone
          from old_rows o group by o.user_id) d
    where q.user_id = d.user_id and q.slice = tg_table_name::text;
    return null;
end;
$$;

-- Counts rows for another user whose they are now, whatever that one may have; what they may have is
-- looked up anew when they want more.
create or replace function app.move_use(
    from_id uuid, to_id uuid, moved_slice text, rows_moved bigint, bytes_moved bigint
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.quota_use q set rows_used = q.rows_used - rows_moved, bytes_used = q.bytes_used - bytes_moved
    where q.user_id = from_id and q.slice = moved_slice;
    if rows_moved > 0 then
        insert into public.quota_use as q (user_id, slice, rows_used, bytes_used)
        values (to_id, moved_slice, rows_moved, bytes_moved)
        on conflict (user_id, slice) do update
        set rows_used = q.rows_used + excluded.rows_used, bytes_used = q.bytes_used + excluded.bytes_used,
            rows_allowed = 0, bytes_allowed = 0;
    end if;
end;
$$;

-- Trigger of `users` and of `quota_limits`: what a changed plan or limit allows is looked up anew.
create or replace function app.forget_allowed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_table_name = 'users' then
        update public.quota_use q set rows_allowed = 0, bytes_allowed = 0 where q.user_id = new.id;
    else
        update public.quota_use q set rows_allowed = 0, bytes_allowed = 0
        where q.slice = case tg_op when 'DELETE' then old.slice else new.slice end;
    end if;
    return null;
end;
$$;

-- What a user has and may have of each counted table, as data to show: nobody else sees it, since it
-- reads with its caller's rights. Volatile, so that it sees what the statement that asks has written.
create or replace function app.quotas(owner_id uuid) returns table (
    slice text, rows_used bigint, rows_limit bigint, bytes_used bigint, bytes_limit bigint
)
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp as $$
begin
    return query
        select upper(l.slice), coalesce(q.rows_used, 0), l.rows_limit, coalesce(q.bytes_used, 0), l.bytes_limit
        from public.users u
        join (select distinct d.slice from public.quota_limits d) s on true
        cross join lateral (
            select c.* from public.quota_limits c where c.slice = s.slice
            and c.audience in (case when u.is_anonymous then 'GUEST' else u.plan_id end, 'MEMBER')
            order by c.audience = 'MEMBER' limit 1) l
        left join public.quota_use q on q.user_id = u.id and q.slice = l.slice
        where u.id = owner_id order by l.slice;
end;
$$;

revoke execute on function
    app.quota_of(uuid, text), app.refuse_quota(text, public.quota_limits, bigint, bigint, bigint, text),
    app.check_use(public.quota_use, bigint, bigint, text, text), app.count_use(), app.count_inserted(),
    app.count_deleted(),
    app.move_use(uuid, uuid, text, bigint, bigint), app.forget_allowed(), app.quotas(uuid)
from public;
grant execute on function app.quotas(uuid) to authenticated;
