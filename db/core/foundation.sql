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

-- Refuses who is nobody, or whose account is gone since their token was given.
create or replace function app.refuse_nobody() returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    perform app.refuse('UNAUTHENTICATED', 'Sign in first, then send the access token in the Authorization header.');
end;
$$;

-- The actor of a function that a client may call; refuses a call without one.
create or replace function app.required_user_id() returns uuid
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if app.user_id() is null then
        perform app.refuse_nobody();
    end if;
    return app.user_id();
end;
$$;

-- The value of a column of a row, or of what the row leads to: `path` is a foreign key of it, the table and
-- key that this leads to, a foreign key there, and so on. Null once that is gone.
create or replace function app.value_behind(row_image jsonb, path text[], named text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    found text := row_image ->> coalesce(path[1], named);
begin
    for step in 1 .. cardinality(path) by 3 loop
        exit when found is null;
        execute format('select %I::text from public.%I where %I = %L',
            coalesce(path[step + 3], named), path[step + 1], path[step + 2], found) into found;
    end loop;
    return found;
end;
$$;

-- Trigger: records the changed row as an event, for one user or for everybody. Arguments: the topic, the column
-- naming the row, two lists of columns (those that no client may read, and those too large to be copied), and
-- the column naming the user, empty for everybody. A write that changes nothing but hidden columns is no event,
-- nor is what goes with its owner's account: nobody is left to see it. A row that becomes another user's is new
-- to that user.
create or replace function app.record_event() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hidden text[] := tg_argv[2]::text[];
    deferred text[] := tg_argv[3]::text[];
    row_image jsonb := case tg_op when 'DELETE' then to_jsonb(old) else to_jsonb(new) end - hidden;
    before jsonb;
    change text := tg_op;
    owner_id uuid;
begin
    if tg_op = 'UPDATE' then
        before := to_jsonb(old) - hidden;
        if row_image = before then
            return null;
        end if;
    end if;
    if tg_argv[4] = '' then
        insert into public.events (topic, change, audience_kind, entity_id, snapshot)
        values (tg_argv[0], tg_op, 'everybody', row_image ->> tg_argv[1], row_image - deferred);
        return null;
    end if;
    owner_id := (row_image ->> tg_argv[4])::uuid;
    if owner_id is null
        or tg_op = 'DELETE' and not exists (select from public.users where id = owner_id) then
        return null;
    end if;
    if tg_op = 'UPDATE' and before ->> tg_argv[4] is distinct from row_image ->> tg_argv[4] then
        change := 'INSERT';
    end if;
    insert into public.events (topic, change, user_id, audience_kind, audience_id, entity_id, snapshot)
    values (tg_argv[0], change, owner_id, 'user', owner_id, row_image ->> tg_argv[1], row_image - deferred);
    return null;
end;
$$;

-- Trigger: the same as record_event, once for all rows that a statement inserts, in their order.
create or replace function app.record_inserted() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hidden text[] := tg_argv[2]::text[];
    deferred text[] := tg_argv[3]::text[];
    kind text := case tg_argv[4] when '' then 'everybody' else 'user' end;
begin
    insert into public.events (topic, change, user_id, audience_kind, audience_id, entity_id, snapshot)
    select tg_argv[0], tg_op, o.owner_id, kind, o.owner_id, i.row_image ->> tg_argv[1], i.row_image - deferred
    -- Nothing is pulled up: the image would be made again wherever it is named.
    from (select to_jsonb(n) - hidden as row_image from new_rows n offset 0) i
    cross join lateral (select (i.row_image ->> tg_argv[4])::uuid as owner_id) o
    where o.owner_id is not null or kind = 'everybody';
    return null;
end;
$$;

-- Trigger: records the changed row as an event for everybody, of a topic that several tables share; the snapshot
-- says under `table` which one it is. Arguments: the topic, the column naming the row, and those that no client
-- may read. A write that changes nothing else is no event.
create or replace function app.record_joint_event() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hidden text[] := tg_argv[2]::text[];
    row_image jsonb := case tg_op when 'DELETE' then to_jsonb(old) else to_jsonb(new) end - hidden;
begin
    if tg_op <> 'UPDATE' or row_image <> to_jsonb(old) - hidden then
        insert into public.events (topic, change, audience_kind, entity_id, snapshot)
        values (tg_argv[0], tg_op, 'everybody', row_image ->> tg_argv[1],
                row_image || jsonb_build_object('table', tg_table_name));
    end if;
    return null;
end;
$$;

-- Trigger: the same as record_event for rows with other audiences, with an event for each. The arguments from the fifth on are
-- four for each audience: its kind, the column naming it, the roles that may see it, and the path to the column.
-- Of what goes with its owner's account the others are told only that it is gone. Where users alone are told, a row that
-- becomes somebody's is new to them.
create or replace function app.record_shared_event() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hidden text[] := tg_argv[2]::text[];
    whole jsonb := case tg_op when 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
    row_image jsonb := whole - hidden;
    named text;
    owner_id uuid;
    kinds text[] := '{}';
    ids uuid[] := '{}';
    roles text[] := '{}';
    -- Who is told of it as new.
    newcomers uuid[] := '{}';
    shared_id bigint;
begin
    if tg_op = 'UPDATE' and row_image = to_jsonb(old) - hidden then
        return null;
    end if;
    for at in 4 .. tg_nargs - 1 by 4 loop
        named := app.value_behind(whole, tg_argv[at + 3]::text[], tg_argv[at + 1]);
        if tg_argv[at] = 'everybody' then
            -- Who can no longer see the row is told that it is gone; who never could, nothing.
            continue when tg_argv[at + 1] <> '' and named is distinct from 'true'
                and (tg_op <> 'UPDATE' or to_jsonb(old) ->> tg_argv[at + 1] is distinct from 'true');
            named := null;
        elsif named is null then
            continue;
        elsif tg_argv[at] = 'user' then
            if tg_op = 'DELETE' and not exists (select from public.users where id = named::uuid) then
                row_image := jsonb_build_object(tg_argv[1], row_image -> tg_argv[1]);
                continue;
            end if;
            owner_id := coalesce(owner_id, named::uuid);
            if tg_op = 'UPDATE' and tg_argv[at + 3] = '{}' and to_jsonb(old) ->> tg_argv[at + 1] is distinct from named then
                newcomers := newcomers || named::uuid;
            end if;
        end if;
        kinds := kinds || tg_argv[at];
        ids := ids || named::uuid;
        roles := roles || nullif(tg_argv[at + 2], '{}');
    end loop;
    if kinds <> array_fill('user'::text, array[cardinality(kinds)]) then
        newcomers := '{}';
    end if;
    if cardinality(kinds) - cardinality(newcomers) > 1 then
        shared_id := nextval('public.events_id_seq');
    end if;
    insert into public.events (topic, change, user_id, audience_kind, audience_id, audience_roles, change_id,
        entity_id, snapshot)
    select tg_argv[0], case when id = any (newcomers) then 'INSERT' else tg_op end,
        case kind when 'user' then id else owner_id end, kind, id, those::text[],
        case when id <> all (newcomers) then shared_id end, row_image ->> tg_argv[1], row_image - tg_argv[3]::text[]
    from unnest(kinds, ids, roles) as audience (kind, id, those);
    return null;
end;
$$;

-- Trigger: records that a group has other members than before. Arguments: its kind, and the column naming it.
-- No client sees such an event: it tells the servers to look at the members again. It names no member, so it
-- may outlive their accounts.
create or replace function app.record_membership() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.events (topic, change, audience_kind, audience_id, snapshot)
    select 'members.' || tg_argv[0], tg_op, tg_argv[0], changed.id, '{}'
    from (select (to_jsonb(new) ->> tg_argv[1])::uuid union select (to_jsonb(old) ->> tg_argv[1])::uuid)
        as changed (id)
    where changed.id is not null;
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

-- Whether a text is a cursor of that life of what two sides keep together: its position, and in the pages of a first sync
-- up to which position everybody is told of.
create or replace function app.is_sync_cursor(cursor_text text, life text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select cursor_text ~ '^[0-9a-f]{16}-[0-9]{1,18}(-[0-9]{1,18})?$' and split_part(cursor_text, '-', 1) = life;
$$;

-- Up to which position a side is told of everybody, and behind it of what the other side changed: what there is for who
-- has no cursor, and the same on the pages that follow.
create or replace function app.everybody_until(cursor_text text, reached bigint) returns bigint
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when cursor_text is null then reached
        else coalesce(nullif(split_part(cursor_text, '-', 3), '')::bigint, 0) end;
$$;

-- The cursor after a page that ends at a position.
create or replace function app.sync_cursor(life text, "position" bigint, everybody bigint) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select life || '-' || sync_cursor.position
        || case when sync_cursor.position < everybody then '-' || everybody else '' end;
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

revoke execute on function
    app.is_sync_cursor(text, text), app.everybody_until(text, bigint), app.sync_cursor(text, bigint, bigint)
from public;
grant execute on function app.user_id(), app.uuid_v7() to anon, authenticated, service;
grant execute on function app.required_user_id(), app.refuse_nobody(), app.refuse(text, text, jsonb) to authenticated, service;
grant execute on function app.answer(uuid, text, jsonb) to authenticated;
grant execute on function app.measured(anyelement, integer), app.refuse(text, text, jsonb) to anon, authenticated, service;
