-- Dead letters: jobs that were given up, kept for an admin who may retry them.

-- Keeps a job that no attempt could finish. Returns it.
create or replace function app.move_to_dead_letters(
    job_entrypoint text, job_payload bytea, of_generation uuid, attempts_made integer, reason text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    dead uuid;
begin
    insert into public.dead_jobs (entrypoint, payload, generation_id, attempts, error)
    values (job_entrypoint, job_payload, of_generation, attempts_made, reason)
    returning id into dead;
    return dead;
end;
$$;

-- Puts a failed generation in line once more. It is free: the credits went back when it failed, and
-- nobody asks its user again.
create or replace function app.requeue_generation(wanted uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    generation public.generations := app.lock_generation(wanted);
begin
    if generation.status <> 'FAILED' then
        return;
    end if;
    update public.generations g
    set status = 'QUEUED', error_code = null, error_message = null, hold_id = null, enqueued_at = null,
        started_at = null, finished_at = null,
        follows_id = (select l.id from public.generations l
                      where l.cache_key = g.cache_key and l.status in ('QUEUED', 'RUNNING') and l.follows_id is null)
    where g.id = wanted;
    perform app.enqueue_generations(generation.user_id);
end;
$$;

-- Tries a dead job again, once; a second call changes nothing. Returns the job.
create or replace function app.requeue_dead_job(wanted uuid, admin_id uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    job public.dead_jobs;
begin
    select * into job from public.dead_jobs d where d.id = wanted;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such dead job.', '{"path": ["input", "id"]}');
    end if;
    perform app.lock_generation(job.generation_id);  -- wallets are locked before anything else
    update public.dead_jobs d set retried_at = clock_timestamp() where d.id = wanted and d.retried_at is null;
    if not found then
        return wanted;
    end if;
    if job.generation_id is null then
        insert into queue.pgqueuer (priority, entrypoint, payload, dedupe_key, status)
        values (0, job.entrypoint, job.payload, 'dead:' || job.id, 'queued');
    else
        perform app.requeue_generation(job.generation_id);
    end if;
    insert into public.audit_log (user_id, action, detail)
    values (admin_id, 'retry_job', jsonb_build_object('jobId', wanted, 'generationId', job.generation_id));
    return wanted;
end;
$$;

-- The same, asked for by an admin.
create or replace function app.retry_dead_job(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    return app.requeue_dead_job(wanted, app.required_admin_id());
end;
$$;

revoke execute on function
    app.move_to_dead_letters(text, bytea, uuid, integer, text), app.requeue_generation(uuid),
    app.requeue_dead_job(uuid, uuid), app.retry_dead_job(uuid)
from public;
grant execute on function app.retry_dead_job(uuid) to authenticated;
grant execute on function app.move_to_dead_letters(text, bytea, uuid, integer, text) to service;
