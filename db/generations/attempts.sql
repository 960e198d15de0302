-- A worker's functions: beginning an attempt at a generation, and every way it can end. An attempt's
-- number fences it: what an earlier attempt brings is refused once a later one has begun.

-- The generation, locked behind its user's wallet; null when there is none.
create or replace function app.lock_generation(wanted uuid) returns public.generations
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    generation public.generations;
    owner_id uuid;
begin
    select * into generation from public.generations g where g.id = wanted;
    if not found then
        return null;
    end if;
    perform app.lock_wallet(generation.user_id);
    -- While this waited, a guest may have been merged into a member, whose generation it is now.
    select g.user_id into owner_id from public.generations g where g.id = wanted;
    if owner_id <> generation.user_id then
        perform app.lock_wallet(owner_id);
    end if;
    select * into generation from public.generations g where g.id = wanted for update;
    return generation;
end;
$$;

-- Writes down how an attempt ended, once; what its worker says later replaces only that it was
-- thought to be dead.
create or replace function app.log_attempt(
    generation public.generations, ended_attempt integer, provider_name text, attempt_outcome text,
    milliseconds integer, used jsonb, cost integer, reason text
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.ai_generation_logs as l
        (generation_id, user_id, tool_id, attempt, provider, outcome, latency_milliseconds, usage,
         cost_micro_usd, error)
    values (generation.id, generation.user_id, generation.tool_id, ended_attempt, provider_name,
            attempt_outcome, milliseconds, used, cost, reason)
    on conflict (generation_id, attempt) do update
    set outcome = excluded.outcome, latency_milliseconds = excluded.latency_milliseconds,
        usage = excluded.usage, cost_micro_usd = excluded.cost_micro_usd, error = excluded.error
    where l.outcome = 'ABANDONED';
end;
$$;

-- Counts a provider's failures in a row: 5 of them, or one while it is tried again, open its
-- circuit for 30 seconds. Any answer closes it.
create or replace function app.note_provider_outcome(provider_name text, attempt_outcome text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if attempt_outcome in ('FAILED', 'TIMED_OUT') then
        insert into public.provider_circuits as c (provider, consecutive_failures) values (provider_name, 1)
        on conflict (provider) do update
        set consecutive_failures = c.consecutive_failures + 1,
            state = case when c.state <> 'CLOSED' or c.consecutive_failures >= 4 then 'OPEN' else 'CLOSED' end,
            retry_at = case when c.state <> 'CLOSED' or c.consecutive_failures >= 4
                       then clock_timestamp() + interval '30 seconds' end,
            updated_at = clock_timestamp();
    elsif attempt_outcome in ('SUCCEEDED', 'REFUSED', 'DISCARDED') then
        update public.provider_circuits c
        set state = 'CLOSED', consecutive_failures = 0, retry_at = null, updated_at = clock_timestamp()
        where c.provider = provider_name and c.consecutive_failures > 0;
    end if;
end;
$$;

-- How many seconds a generation must wait before it may ask the provider; 0 when it may now. Of
-- those that come when an open circuit's rest is over, one is let through; if it dies, another is
-- after two minutes.
create or replace function app.wait_for_circuit(provider_name text) returns double precision
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    circuit public.provider_circuits;
begin
    if not exists (select from public.provider_circuits c
                   where c.provider = provider_name and c.state <> 'CLOSED') then
        return 0;
    end if;
    select * into circuit from public.provider_circuits c where c.provider = provider_name for update;
    if circuit.state = 'CLOSED' then
        return 0;
    elsif circuit.retry_at <= clock_timestamp() then
        update public.provider_circuits c
        set state = 'HALF_OPEN', retry_at = clock_timestamp() + interval '2 minutes', updated_at = clock_timestamp()
        where c.provider = provider_name;
        return 0;
    elsif circuit.state = 'HALF_OPEN' then
        return 2;  -- the one that was let through soon knows more
    end if;
    return extract(epoch from circuit.retry_at - clock_timestamp());
end;
$$;

-- Ends an unfinished generation as failed and releases its hold; false when it has ended already,
-- or when `fenced_attempt` is given and is not the newest. `dead_error` makes a dead job of it.
create or replace function app.fail_generation(
    wanted uuid, fenced_attempt integer, code text, message text, dead_error text
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    generation public.generations := app.lock_generation(wanted);
begin
    if generation.id is null or generation.status not in ('QUEUED', 'RUNNING')
        or generation.attempts <> coalesce(fenced_attempt, generation.attempts)
    then
        return false;
    end if;
    perform app.release_open_hold(generation.hold_id);
    update public.generations g
    set status = 'FAILED', error_code = code, error_message = message, finished_at = clock_timestamp()
    where g.id = wanted returning * into generation;
    if dead_error is not null then
        perform app.move_to_dead_letters('run_generation',
            convert_to(jsonb_build_object('generation_id', wanted)::text, 'UTF8'),
            wanted, generation.attempts, dead_error);
    end if;
    perform app.settle_generation(generation);
    return true;
end;
$$;

-- What a generation is to be: its tool, and what the catalog calls those of its parameters that name a
-- row of it. Both are null when there is none.
create or replace function app.asked_for(wanted uuid, out tool_id text, out names jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select t.id, (
        select coalesce(jsonb_object_agg(p.name, n.name), '{}')
        from jsonb_each(t.parameters_schema -> 'properties') as p (name, rule)
        cross join lateral (
            select format('%s (%s, %s)', h.name, lower(h.gender::text), h.category) as name
            from public.hairstyles h
            where p.rule ->> 'x-catalog' = 'hairstyles' and h.id = g.parameters ->> p.name) n)
    from public.generations g join public.tools t on t.id = g.tool_id
    where g.id = wanted;
$$;

-- Begins an attempt. `action` says what the worker does: RUN it, WAIT `wait_seconds` because the
-- provider's circuit is open or none of its calls of this minute is left (0: as many as there are),
-- or nothing (DONE). A generation that was left RUNNING was abandoned by its worker. After
-- `attempts_allowed` attempts, or 5 minutes before an open circuit, it fails; each retry by an admin
-- allows as many attempts again.
create or replace function app.start_generation(
    wanted uuid, provider_name text, attempts_allowed integer, calls_per_minute integer,
    out action text, out wait_seconds double precision, out attempt integer, out attempts_left integer,
    out user_id uuid, out tool_id text, out parameters jsonb, out upload_path text, out upload_content_type text,
    out mask_path text
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    generation public.generations := app.lock_generation(wanted);
    caller constant bytea := sha256(convert_to(provider_name, 'UTF8'));
    given_up constant text := 'The generation could not be made. No credit was spent; try again in a moment.';
begin
    action := 'DONE';
    if generation.id is null or generation.status not in ('QUEUED', 'RUNNING')
        or generation.follows_id is not null
    then
        return;
    end if;
    if generation.status = 'RUNNING' then
        perform app.log_attempt(generation, generation.attempts, provider_name, 'ABANDONED', 0, '{}', 0, null);
    end if;
    if not app.ai_is_enabled() then
        perform app.fail_generation(wanted, null, 'AI_DISABLED', app.ai_disabled_message(), null);
        return;
    end if;
    select attempts_allowed * (1 + count(*)) - generation.attempts into attempts_left
    from public.dead_jobs d where d.generation_id = wanted and d.retried_at is not null;
    if exists (select from public.credit_holds h where h.id = generation.hold_id and h.status <> 'OPEN') then
        perform app.fail_generation(wanted, null, 'PROVIDER_FAILED',
            'The generation waited too long and was given up. No credit was spent; start it again.', null);
        return;
    elsif attempts_left <= 0 then
        perform app.fail_generation(wanted, null, 'PROVIDER_FAILED', given_up, 'its workers died');
        return;
    end if;
    -- Looked at first: the one that tries a provider again is to have a call.
    if calls_per_minute > 0 then
        wait_seconds := app.budget_wait('provider_calls', caller, calls_per_minute, interval '1 minute');
        if wait_seconds is not null then
            action := 'WAIT';
            return;
        end if;
    end if;
    wait_seconds := app.wait_for_circuit(provider_name);
    if wait_seconds > 0 and generation.enqueued_at < clock_timestamp() - interval '5 minutes' then
        perform app.fail_generation(wanted, null, 'PROVIDER_FAILED', given_up, 'the provider''s circuit is open');
        return;
    elsif wait_seconds > 0 then
        action := 'WAIT';
        return;
    end if;
    if calls_per_minute > 0 then
        perform app.take_from_budget('provider_calls', caller, calls_per_minute, interval '1 minute');
    end if;
    update public.generations g
    set status = 'RUNNING', attempts = g.attempts + 1, started_at = coalesce(g.started_at, clock_timestamp())
    where g.id = wanted returning * into generation;
    action := 'RUN';
    attempt := generation.attempts;
    attempts_left := attempts_left - 1;
    user_id := generation.user_id;
    tool_id := generation.tool_id;
    parameters := generation.parameters;
    select u.path, u.stored_content_type into upload_path, upload_content_type
    from public.uploads u where u.id = generation.upload_id;
    select u.path into mask_path from public.uploads u where u.id = generation.mask_upload_id;
end;
$$;

-- Notes an attempt that made nothing, and what it took. What becomes of the generation is another
-- function's to say.
create or replace function app.end_attempt(
    wanted uuid, ended_attempt integer, provider_name text, attempt_outcome text, milliseconds integer,
    used jsonb, cost integer, reason text
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    generation public.generations;
begin
    -- Its owner may call it off and delete it meanwhile: it is there for the log, or gone.
    select * into generation from public.generations g where g.id = wanted for key share;
    if found then
        perform app.log_attempt(
            generation, ended_attempt, provider_name, attempt_outcome, milliseconds, used, cost, reason);
        perform app.note_provider_outcome(provider_name, attempt_outcome);
    end if;
end;
$$;

-- Captures the hold, records the result and caches it for 24 hours; a preview costs nothing and is
-- not cached. False when the attempt is not the newest or the generation has ended: its result is
-- thrown away and nothing is charged.
create or replace function app.finish_generation(
    wanted uuid, fenced_attempt integer, provider_name text, milliseconds integer, used jsonb, cost integer,
    made_result jsonb, made_path text, made_content_type text, made_bytes integer, offline boolean, preview boolean
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    generation public.generations := app.lock_generation(wanted);
    hold public.credit_holds;
    is_current boolean;
begin
    if generation.id is null then
        return false;
    end if;
    select * into hold from public.credit_holds h where h.id = generation.hold_id;
    is_current := generation.status = 'RUNNING' and generation.attempts = fenced_attempt
        and coalesce(hold.status, 'OPEN') = 'OPEN';
    perform app.log_attempt(generation, fenced_attempt, provider_name,
        case when is_current then 'SUCCEEDED' else 'DISCARDED' end, milliseconds, used, cost, null);
    perform app.note_provider_outcome(provider_name, 'SUCCEEDED');
    if not is_current then
        return false;
    end if;
    if hold.id is not null and preview then
        perform app.release_hold(hold.id);
    elsif hold.id is not null then
        perform app.capture_hold(hold.id, hold.amount);
    end if;
    update public.generations g
    set status = 'SUCCEEDED', result = made_result, result_path = made_path,
        result_content_type = made_content_type, result_bytes = made_bytes, made_offline = offline,
        has_watermark = made_path is not null and app.adds_watermark(generation.user_id),
        credits_charged = case when preview then 0 else coalesce(hold.amount, 0) end, finished_at = clock_timestamp()
    where g.id = wanted returning * into generation;
    insert into public.result_cache as c
        (cache_key, user_id, result, result_path, result_content_type, result_bytes, made_offline, expires_at)
    select generation.cache_key, generation.user_id, made_result, made_path, made_content_type, made_bytes, offline,
           now() + interval '24 hours'
    where not preview
    on conflict (cache_key) do update
    set result = excluded.result, result_path = excluded.result_path,
        result_content_type = excluded.result_content_type, result_bytes = excluded.result_bytes,
        made_offline = excluded.made_offline,
        created_at = excluded.created_at, expires_at = excluded.expires_at;
    perform app.settle_generation(generation);
    return true;
end;
$$;

-- Tries a generation's dead job again. It is free: the credits went back when it failed, and nobody
-- asks its user again. A job that could not be read names no generation.
create or replace function app.retry_run_generation(job public.dead_jobs, admin_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    -- Wallets are locked before anything else.
    generation public.generations := app.lock_generation(job.generation_id);
begin
    if not app.take_dead_job(job.id, admin_id) then
        return;
    elsif job.generation_id is null then
        perform app.enqueue_dead_job(job);
    elsif generation.status = 'FAILED' then
        update public.generations g
        set status = 'QUEUED', error_code = null, error_message = null, hold_id = null, enqueued_at = null,
            started_at = null, finished_at = null,
            follows_id = (select l.id from public.generations l
                          where l.cache_key = g.cache_key and l.status in ('QUEUED', 'RUNNING')
                            and l.follows_id is null)
        where g.id = generation.id;
        perform app.enqueue_generations(generation.user_id);
    end if;
end;
$$;

-- Counts a further call of an attempt that is under way, such as a repair; false when none of this minute is left.
create or replace function app.take_provider_call(provider_name text, calls_per_minute integer) returns boolean
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select calls_per_minute = 0 or app.take_from_budget('provider_calls', sha256(convert_to(provider_name, 'UTF8')),
        calls_per_minute, interval '1 minute') is null;
$$;

revoke execute on function
    app.take_provider_call(text, integer), app.lock_generation(uuid), app.retry_run_generation(public.dead_jobs, uuid),
    app.log_attempt(public.generations, integer, text, text, integer, jsonb, integer, text),
    app.note_provider_outcome(text, text), app.wait_for_circuit(text),
    app.fail_generation(uuid, integer, text, text, text), app.start_generation(uuid, text, integer, integer),
    app.asked_for(uuid), app.end_attempt(uuid, integer, text, text, integer, jsonb, integer, text),
    app.finish_generation(uuid, integer, text, integer, jsonb, integer, jsonb, text, text, integer, boolean, boolean)
from public;
grant execute on function
    app.take_provider_call(text, integer), app.fail_generation(uuid, integer, text, text, text), app.start_generation(uuid, text, integer, integer),
    app.asked_for(uuid), app.end_attempt(uuid, integer, text, text, integer, jsonb, integer, text),
    app.finish_generation(uuid, integer, text, integer, jsonb, integer, jsonb, text, text, integer, boolean, boolean)
to service;
