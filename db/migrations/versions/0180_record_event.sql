-- Trigger: records the changed row as an event. Arguments: the topic, the column naming the row,
-- and two lists of columns: those that no client may read, and those too large to be copied. A write
-- that changes nothing but hidden ones is no event, nor is what goes with its owner's account: nobody
-- is left to see it.
create or replace function app.record_event() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hidden text[] := tg_argv[2]::text[];
    deferred text[] := tg_argv[3]::text[];
    row_image jsonb := case tg_op when 'DELETE' then to_jsonb(old) else to_jsonb(new) end - hidden;
    owner_id uuid;
begin
    if tg_op = 'UPDATE' and row_image = to_jsonb(old) - hidden then
        return null;
    end if;
    owner_id := (row_image ->> 'user_id')::uuid;
    if tg_op = 'DELETE' and owner_id is not null
        and not exists (select from public.users where id = owner_id) then
        return null;
    end if;
    insert into public.events (topic, change, user_id, entity_id, snapshot)
    values (tg_argv[0], tg_op, owner_id, row_image ->> tg_argv[1], row_image - deferred);
    return null;
end;
$$;
