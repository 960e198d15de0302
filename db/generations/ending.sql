-- What becomes of generations that are being made when their user's account is deleted.

-- Calls off what is unfinished of an account that is being erased, and releases its holds; then no
-- generation of theirs follows another any more, so that they can go in any order.
create or replace function app.end_generations(leaving uuid, at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    done integer := 0;
    unfinished record;
begin
    perform from public.wallets w where w.user_id = leaving for update;
    for unfinished in
        select g.id, g.hold_id from public.generations g
        where g.user_id = leaving and g.status in ('QUEUED', 'RUNNING')
        order by g.created_at, g.id limit at_most for update
    loop
        update public.generations g set status = 'CANCELLED', finished_at = clock_timestamp()
        where g.id = unfinished.id;
        perform app.release_open_hold(unfinished.hold_id);
        perform pg_notify('generation_cancelled', unfinished.id::text);
        done := done + 1;
    end loop;
    if done = 0 then
        update public.generations g set follows_id = null
        where g.id in (select f.id from public.generations f
                       where f.user_id = leaving and f.follows_id is not null limit at_most);
        get diagnostics done = row_count;
    end if;
    return done;
end;
$$;

revoke execute on function app.end_generations(uuid, integer) from public;
