-- The keys in use: which key a process seals with, and which it must have besides.

-- Notes that a process seals with a key, and returns the heads of all keys in use. A key that was retired and
-- comes back is in use again.
create or replace function app.use_vault_key(current_head text, current_rounds integer) returns text[]
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.vault_keys as k (head, rounds) values (current_head, current_rounds)
    on conflict (head) do update set retired_at = null where k.retired_at is not null;
    return array(select k.head from public.vault_keys k where k.retired_at is null order by k.head);
end;
$$;

-- Locks what a value may be found by for this transaction, so that of two who would store the same one waits. A
-- unique index sees one blind index of a value, and while the master key is rotated there are two.
create or replace function app.lock_blind(indexes bytea[]) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_advisory_xact_lock(hashtextextended(encode(i, 'hex'), 1110))
    from (select i from unnest(indexes) i order by i) ordered
    where cardinality(indexes) > 1;
end;
$$;

revoke execute on function app.use_vault_key(text, integer), app.lock_blind(bytea[]) from public;
grant execute on function app.use_vault_key(text, integer) to service;
