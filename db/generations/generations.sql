-- Starting a generation: checks, the hold, the row and its job in one transaction.

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

-- Starts a generation for the actor and returns it. A cached result costs nothing and is finished
-- at once; otherwise the tool's price is held and the work enqueued. The same key returns the same
-- generation. The cache key is Sparky's: user, tool, photo, parameters.
create or replace function app.create_generation(
    tool_id text, upload_id uuid, parameters jsonb, idempotency_key text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    fingerprint bytea := sha256(convert_to(jsonb_build_array(tool_id, upload_id, parameters)::text, 'UTF8'));
    new_generation uuid;
    tool public.tools;
    upload public.uploads;
    new_cache_key text;
    cached public.result_cache;
    new_hold uuid;
begin
    perform app.check_idempotency_key(idempotency_key);
    perform app.lock_wallet(actor_id);
    new_generation := app.remembered_result(actor_id, 'create_generation', idempotency_key, fingerprint);
    if new_generation is not null then
        return new_generation;
    end if;
    tool := app.active_tool(tool_id);
    upload := app.usable_upload(actor_id, upload_id);
    new_generation := app.uuid_v7();
    new_cache_key := encode(sha256(convert_to(
        jsonb_build_array(actor_id, tool.id, upload.original_sha256, parameters)::text, 'UTF8')), 'hex');
    select * into cached from public.result_cache c
    where c.cache_key = new_cache_key and c.expires_at > now();
    if cached.cache_key is null and tool.credits_cost > 0 then
        new_hold := app.hold_credits(actor_id, tool.credits_cost, new_generation::text, interval '1 hour');
    end if;
    insert into public.generations
        (id, user_id, tool_id, upload_id, status, parameters, cache_key, result, result_path,
         result_content_type, made_offline, from_cache, hold_id, finished_at)
    values
        (new_generation, actor_id, tool.id, upload.id,
         case when cached.cache_key is null then 'QUEUED' else 'SUCCEEDED' end,
         parameters, new_cache_key, cached.result, cached.result_path, cached.result_content_type,
         coalesce(cached.made_offline, false), cached.cache_key is not null, new_hold,
         case when cached.cache_key is not null then now() end);
    if cached.cache_key is null then
        perform app.enqueue('run_generation', jsonb_build_object('generation_id', new_generation),
                            'generation:' || new_generation);
    end if;
    perform app.remember_result(actor_id, 'create_generation', idempotency_key, fingerprint, new_generation);
    return new_generation;
end;
$$;

revoke execute on function
    app.enqueue(text, jsonb, text), app.active_tool(text),
    app.create_generation(text, uuid, jsonb, text)
from public;
grant execute on function app.create_generation(text, uuid, jsonb, text) to authenticated;
grant execute on function app.enqueue(text, jsonb, text) to service;
