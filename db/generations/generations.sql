-- A user's functions: starting a generation (checks, hold, row and job in one transaction), cancelling it.
-- Every function locks the wallet first and generations second, so that no two of them can deadlock.

-- Puts a job in the queue within the caller's transaction; a client's role never sees the queue.
create or replace function app.enqueue(job_entrypoint text, job_payload jsonb, job_key text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into queue.pgqueuer (priority, entrypoint, payload, dedupe_key, status)
    values (0, job_entrypoint, convert_to(job_payload::text, 'UTF8'), job_key, 'queued');
end;
$$;

create or replace function app.active_tool(wanted_tool text) returns public.tools
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    tool public.tools;
begin
    select * into tool from public.tools t where t.id = wanted_tool;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such tool.', '{"path": ["input", "toolId"]}');
    elsif not tool.is_active then
        perform app.refuse('TOOL_INACTIVE', 'This tool is switched off at the moment. Choose another.',
            '{"path": ["input", "toolId"]}');
    end if;
    return tool;
end;
$$;

-- Parameters in the one form that all their spellings share: jsonb sorts keys and drops repeated
-- ones, here 1.0 becomes 1 as well.
create or replace function app.canonical_json(value jsonb) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    case jsonb_typeof(value)
    when 'number' then
        return to_jsonb(trim_scale(value::numeric));
    when 'object' then
        return (select coalesce(jsonb_object_agg(key, app.canonical_json(item)), '{}')
                from jsonb_each(value) as part (key, item));
    when 'array' then
        return (select coalesce(jsonb_agg(app.canonical_json(item) order by place), '[]')
                from jsonb_array_elements(value) with ordinality as part (item, place));
    else
        return value;
    end case;
end;
$$;

-- The key of a result (from Sparky): SHA-256 of user, tool, photo, canonical parameters, and mask.
create or replace function app.result_cache_key(
    owner_id uuid, tool_id text, image_sha256 text, parameters jsonb, mask_sha256 text
) returns text
language sql immutable set search_path = pg_catalog, pg_temp
return encode(sha256(convert_to(jsonb_build_array(
    owner_id, tool_id, image_sha256, app.canonical_json(parameters), mask_sha256)::text, 'UTF8')), 'hex');

-- Refuses parameters that are too large for a row: pictures are sent as uploads.
create or replace function app.check_parameters_size(parameters jsonb) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if octet_length(parameters::text) > 8192 then
        perform app.refuse('BAD_USER_INPUT', format(
            'The parameters take %s bytes of JSON; at most 8192 are accepted. Send pictures as uploads.',
            octet_length(parameters::text)), '{"path": ["input", "parameters"]}');
    end if;
end;
$$;

-- The actor's upload as a mask for a tool that takes one; null when none is given.
create or replace function app.usable_mask(actor_id uuid, tool public.tools, wanted_upload uuid) returns public.uploads
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if wanted_upload is null then
        return null;
    elsif not tool.takes_mask then
        perform app.refuse('BAD_USER_INPUT', format('%s takes no mask. Leave maskUploadId out.', tool.id),
            '{"path": ["input", "maskUploadId"]}');
    end if;
    return app.usable_upload(actor_id, wanted_upload, 'maskUploadId');
end;
$$;

-- Holds a tool's price for a generation; null when it costs nothing, as every preview.
create or replace function app.hold_tool_price(owner_id uuid, wanted_tool text, generation_id uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    price integer;
begin
    select case when t.is_preview then 0 else t.credits_cost end into price
    from public.tools t where t.id = wanted_tool;
    if price = 0 then
        return null;
    end if;
    return app.hold_credits(owner_id, price, generation_id::text, interval '1 hour');
end;
$$;

-- Makes jobs of a user's oldest waiting generations while fewer than 3 of theirs are under way.
-- Whoever ends one calls it, so the next begins at once and no scheduled job looks for it.
create or replace function app.enqueue_generations(owner_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    under_way integer;
    waiting record;
begin
    select count(*) into under_way from public.generations g
    where g.user_id = owner_id and g.status in ('QUEUED', 'RUNNING') and g.enqueued_at is not null;
    for waiting in
        select g.id, g.attempts from public.generations g
        where g.user_id = owner_id and g.status = 'QUEUED' and g.enqueued_at is null and g.follows_id is null
        order by g.created_at, g.id limit greatest(3 - under_way, 0)
    loop
        update public.generations g set enqueued_at = clock_timestamp() where g.id = waiting.id;
        -- The attempts make the key of a retry another than that of the job it repeats.
        perform app.enqueue('run_generation', jsonb_build_object('generation_id', waiting.id),
                            'generation:' || waiting.id || ':' || waiting.attempts);
    end loop;
end;
$$;

-- The first success stored under a key; false when it is not there.
create or replace function app.create_cached_generation(
    new_generation uuid, owner_id uuid, tool_id text, upload_id uuid, mask_upload_id uuid, parameters jsonb,
    new_cache_key text
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.generations
        (id, user_id, tool_id, upload_id, mask_upload_id, status, parameters, cache_key, result, result_path,
         result_content_type, result_bytes, has_watermark, made_offline, from_cache, created_at, finished_at)
    select new_generation, owner_id, tool_id, upload_id, mask_upload_id, 'SUCCEEDED', parameters, new_cache_key,
           c.result, c.result_path, c.result_content_type, c.result_bytes,
           c.result_path is not null and app.adds_watermark(owner_id), c.made_offline, true, clock.now, clock.now
    from public.result_cache c, (select clock_timestamp() as now) as clock
    where c.cache_key = new_cache_key and c.expires_at > now();
    return found;
end;
$$;

-- Starts a generation for the actor and returns it. A cached result costs nothing and is finished
-- at once; one that is being made already is followed and shared, for nothing; otherwise the tool's
-- price is held and the generation takes its turn. The same key returns the same generation.
create or replace function app.create_generation(
    tool_id text, upload_id uuid, parameters jsonb, idempotency_key text, mask_upload_id uuid default null
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    fingerprint bytea := sha256(convert_to(
        jsonb_build_array(tool_id, upload_id, parameters, mask_upload_id)::text, 'UTF8'));
    new_generation uuid;
    tool public.tools;
    upload public.uploads;
    mask public.uploads;
    new_cache_key text;
    leader uuid;
    new_hold uuid;
begin
    perform app.check_idempotency_key(idempotency_key);
    perform app.check_parameters_size(parameters);
    perform app.lock_wallet(actor_id);
    new_generation := app.remembered_result(actor_id, 'create_generation', idempotency_key, fingerprint);
    if new_generation is not null then
        return new_generation;
    end if;
    tool := app.active_tool(tool_id);
    perform app.check_plan_has(actor_id, tool.parameters_schema, parameters);
    upload := app.usable_upload(actor_id, upload_id);
    mask := app.usable_mask(actor_id, tool, mask_upload_id);
    new_generation := app.uuid_v7();
    new_cache_key := app.result_cache_key(actor_id, tool.id, upload.original_sha256, parameters, mask.original_sha256);
    if not app.create_cached_generation(
        new_generation, actor_id, tool.id, upload.id, mask.id, parameters, new_cache_key)
    then
        select g.id into leader from public.generations g
        where g.cache_key = new_cache_key and g.status in ('QUEUED', 'RUNNING') and g.follows_id is null;
        if leader is null then
            new_hold := app.hold_tool_price(actor_id, tool.id, new_generation);
        end if;
        -- Not the transaction's start: who waited longer for the wallet's lock comes later in line.
        insert into public.generations
            (id, user_id, tool_id, upload_id, mask_upload_id, parameters, cache_key, hold_id, follows_id,
             result_bytes, created_at)
        -- Its picture takes about as much as the photo: who has no room for it is refused before the work.
        values (new_generation, actor_id, tool.id, upload.id, mask.id, parameters, new_cache_key, new_hold,
                leader, coalesce(upload.size_bytes, 0), clock_timestamp());
        perform app.enqueue_generations(actor_id);
    end if;
    perform app.remember_result(actor_id, 'create_generation', idempotency_key, fingerprint, new_generation);
    return new_generation;
end;
$$;

-- Calls off the actor's generation and returns it: its hold is released, what a worker still makes
-- of it is thrown away. Doing it twice changes nothing more; one that has ended stays as it is.
create or replace function app.cancel_generation(wanted uuid, idempotency_key text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    fingerprint bytea := sha256(convert_to(wanted::text, 'UTF8'));
    generation public.generations;
begin
    if idempotency_key is not null then
        perform app.check_idempotency_key(idempotency_key);
    end if;
    perform app.lock_wallet(actor_id);
    if app.remembered_result(actor_id, 'cancel_generation', idempotency_key, fingerprint) is not null then
        return wanted;
    end if;
    select * into generation from public.generations g
    where g.id = wanted and g.user_id = actor_id for update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such generation.', '{"path": ["input", "id"]}');
    elsif generation.status in ('SUCCEEDED', 'FAILED') then
        perform app.refuse('GENERATION_ENDED',
            'This generation has already ended. Read it again to see how.', '{"path": ["input", "id"]}');
    elsif generation.status <> 'CANCELLED' then
        update public.generations g set status = 'CANCELLED', finished_at = clock_timestamp()
        where g.id = wanted returning * into generation;
        perform app.release_open_hold(generation.hold_id);
        perform app.settle_generation(generation);
        -- A worker that is at it hears this when the transaction commits, and stops.
        perform pg_notify('generation_cancelled', wanted::text);
    end if;
    if idempotency_key is not null then
        perform app.remember_result(actor_id, 'cancel_generation', idempotency_key, fingerprint, wanted);
    end if;
    return wanted;
end;
$$;

-- Forgets a generation of the actor's that has ended, its stored result, and the keys that led to it.
-- What was paid for it stays in the ledger; its picture is removed by a job when no other generation shows it.
create or replace function app.delete_generation(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    generation public.generations;
begin
    perform app.lock_wallet(actor_id);
    select * into generation from public.generations g
    where g.id = wanted and g.user_id = actor_id for update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such generation.', '{"path": ["input", "id"]}');
    elsif generation.status in ('QUEUED', 'RUNNING') then
        perform app.refuse('BAD_USER_INPUT',
            'This generation is still being made. Call cancelGeneration first, or wait until it has ended.',
            '{"path": ["input", "id"]}');
    end if;
    update public.generations g set follows_id = null where g.follows_id = wanted;
    delete from public.result_cache c
    where c.user_id = actor_id and (c.cache_key = generation.cache_key or c.result_path = generation.result_path);
    delete from public.idempotency_keys k
    where k.user_id = actor_id and k.operation in ('create_generation', 'cancel_generation') and k.result_id = wanted;
    delete from public.generations g where g.id = wanted;
    if generation.result_path is not null then
        perform app.enqueue('remove_picture', jsonb_build_object('path', generation.result_path),
            'generation:' || wanted || ':removed');
    end if;
    return wanted;
end;
$$;

-- Gives a generation's hold back, if it has one that is still open.
create or replace function app.release_open_hold(wanted_hold uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from public.credit_holds h where h.id = wanted_hold and h.status = 'OPEN') then
        perform app.release_hold(wanted_hold);
    end if;
end;
$$;

-- What follows from a generation's end: those that follow it end alike (or, when it was called off,
-- the first of them takes its place), and the user's next in line begins.
create or replace function app.settle_generation(ended public.generations) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    follower public.generations;
begin
    if ended.status = 'CANCELLED' then
        perform app.promote_follower(ended.id);
    else
        perform app.notify_of_generation(ended);
        for follower in
            update public.generations g
            set status = ended.status, from_cache = ended.status = 'SUCCEEDED', result = ended.result,
                result_path = ended.result_path, result_content_type = ended.result_content_type,
                result_bytes = ended.result_bytes, has_watermark = ended.has_watermark,
                made_offline = ended.made_offline, error_code = ended.error_code,
                error_message = ended.error_message, finished_at = ended.finished_at
            where g.follows_id = ended.id and g.status = 'QUEUED' returning *
        loop
            perform app.notify_of_generation(follower);
        end loop;
    end if;
    perform app.enqueue_generations(ended.user_id);
end;
$$;

-- Tells the user how a generation ended.
create or replace function app.notify_of_generation(ended public.generations) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    key text := case ended.status when 'SUCCEEDED' then 'generationSucceeded' else 'generationFailed' end;
begin
    perform app.notify(ended.user_id, 'GENERAL', 'notifications.' || key || '.title',
        'notifications.' || key || '.message',
        jsonb_build_object('generationId', 'generation_' || ended.id, 'toolId', 'tool_' || ended.tool_id,
            'toolKey', (select t.name_key from public.tools t where t.id = ended.tool_id)));
end;
$$;

-- The first generation that followed a cancelled one runs in its place and holds its own price.
create or replace function app.promote_follower(cancelled uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    heir public.generations;
    code text;
    reason text;
begin
    select * into heir from public.generations g where g.follows_id = cancelled and g.status = 'QUEUED'
    order by g.created_at, g.id limit 1 for update;
    if not found then
        return;
    end if;
    update public.generations g set follows_id = heir.id
    where g.follows_id = cancelled and g.status = 'QUEUED' and g.id <> heir.id;
    begin
        update public.generations g
        set follows_id = null, hold_id = app.hold_tool_price(heir.user_id, heir.tool_id, heir.id)
        where g.id = heir.id;
    exception when sqlstate 'TG000' then
        get stacked diagnostics code = pg_exception_hint, reason = message_text;
        update public.generations g
        set status = 'FAILED', error_code = code, error_message = reason, finished_at = clock_timestamp()
        where g.id = heir.id returning * into heir;
        perform app.settle_generation(heir);
    end;
end;
$$;

revoke execute on function
    app.enqueue(text, jsonb, text), app.active_tool(text),
    app.canonical_json(jsonb), app.result_cache_key(uuid, text, text, jsonb, text),
    app.check_parameters_size(jsonb), app.usable_mask(uuid, public.tools, uuid),
    app.hold_tool_price(uuid, text, uuid), app.enqueue_generations(uuid),
    app.create_cached_generation(uuid, uuid, text, uuid, uuid, jsonb, text),
    app.create_generation(text, uuid, jsonb, text, uuid), app.cancel_generation(uuid, text),
    app.delete_generation(uuid), app.release_open_hold(uuid), app.settle_generation(public.generations),
    app.notify_of_generation(public.generations), app.promote_follower(uuid)
from public;
grant execute on function
    app.create_generation(text, uuid, jsonb, text, uuid), app.cancel_generation(uuid, text),
    app.delete_generation(uuid)
to authenticated;
grant execute on function app.enqueue(text, jsonb, text) to service;
