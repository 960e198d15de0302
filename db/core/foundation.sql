-- What every table and function stands on: the claims, ids ordered in time, refusals, and recorded events.

-- The user a statement runs for, from its transaction's claims; null for nobody. The claim may be
-- an empty string after a transaction-local setting ends, hence nullif. Bound when it is made and
-- without settings of its own, so that it becomes a part of the policies that call it.
create or replace function app.user_id() returns uuid
language sql stable parallel safe
return nullif(current_setting('app.user_id', true), '')::uuid;

-- A UUID of version 7 (RFC 9562): 48 bits of Unix milliseconds, then the random bits of one of
-- version 4, whose version 0100 two more bits make 0111.
create or replace function app.uuid_v7() returns uuid
language sql volatile parallel safe
return encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    placing substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
    from 1 for 6), 52, 1), 53, 1), 'hex')::uuid;

-- Stops a function with a code that clients read. SQLSTATE TG000 marks it as ours; the code travels
-- in the hint and what a typed error needs (path, balance, required) in the detail.
create or replace function app.refuse(code text, message text, detail jsonb default '{}') returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    raise exception using errcode = 'TG000', message = message, hint = code, detail = detail::text;
end;
$$;

-- The actor of a function that a client may call; refuses a call without one.
create or replace function app.required_user_id() returns uuid
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if app.user_id() is null then
        perform app.refuse('UNAUTHENTICATED', 'Sign in first, then send the access token in the Authorization header.');
    end if;
    return app.user_id();
end;
$$;

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

-- Trigger: keeps history immutable, whoever asks.
create or replace function app.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception '% rows are never changed or removed', tg_table_name using errcode = 'restrict_violation';
end;
$$;

-- Trigger: a movement's entries, inserted in one statement, must sum to zero.
create or replace function app.check_entries_balance() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from new_entries group by transaction_id having sum(amount) <> 0) then
        raise exception 'the entries of a transaction must sum to zero' using errcode = 'check_violation';
    end if;
    return null;
end;
$$;

-- A large value as JSON, counted among the bytes of the transaction's answer, which has a bound: an
-- answer that would be larger stops here, before it is put together.
create or replace function app.measured(value anyelement, limit_bytes integer) returns json
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    made json := to_json(value);
    total bigint := coalesce(nullif(current_setting('app.answer_bytes', true), ''), '0')::bigint
        + coalesce(octet_length(made::text), 0);
begin
    if total > limit_bytes then
        perform app.refuse('LIMIT_EXCEEDED', format(
            'The answer would have more than %s bytes. Ask for fewer rows at once, or for fewer of the large fields.',
            limit_bytes));
    end if;
    perform set_config('app.answer_bytes', total::text, true);
    return made;
end;
$$;

-- Reads a function's payload in the function's own statement. Volatile, so that it sees the rows the function
-- has just written, and running as its caller, so that row-level security guards what it reads.
-- `selection` is made by the engine; it reads $1, the function's result, and $2, its parameters.
create or replace function app.answer(result uuid, selection text, parameters jsonb) returns json
language plpgsql volatile security invoker set search_path = public, pg_catalog, pg_temp as $$
declare
    payload json;
begin
    execute selection into payload using result, parameters;
    return payload;
end;
$$;

grant execute on function app.user_id(), app.uuid_v7() to anon, authenticated, service;
grant execute on function app.required_user_id(), app.refuse(text, text, jsonb) to authenticated, service;
grant execute on function app.answer(uuid, text, jsonb) to authenticated;
grant execute on function app.measured(anyelement, integer), app.refuse(text, text, jsonb) to anon, authenticated, service;
