-- The life of a generation, kept by the database whoever writes:
--
--   QUEUED → RUNNING → SUCCEEDED | FAILED | CANCELLED
--   QUEUED → SUCCEEDED       only from the cache, or with the generation it follows
--   QUEUED → FAILED | CANCELLED
--   FAILED → QUEUED          an admin retries it
create or replace function app.check_generation_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if new.attempts < old.attempts then
        raise exception 'the attempts at a generation are never taken back' using errcode = 'restrict_violation';
    end if;
    if new.status <> old.status
        and (old.status, new.status) not in (
            ('QUEUED', 'RUNNING'), ('QUEUED', 'SUCCEEDED'), ('QUEUED', 'FAILED'), ('QUEUED', 'CANCELLED'),
            ('RUNNING', 'SUCCEEDED'), ('RUNNING', 'FAILED'), ('RUNNING', 'CANCELLED'), ('FAILED', 'QUEUED'))
        or (old.status = 'QUEUED' and new.status = 'SUCCEEDED' and not new.from_cache)
        or (old.status = 'QUEUED' and new.status = 'RUNNING' and new.attempts = old.attempts)
    then
        raise exception 'a generation does not go from % to %', old.status, new.status
            using errcode = 'restrict_violation';
    end if;
    return new;
end;
$$;
