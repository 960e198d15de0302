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

-- Notes that an admin tries a dead job again; false when one has before.
create or replace function app.take_dead_job(wanted uuid, admin_id uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    taken public.dead_jobs;
begin
    update public.dead_jobs d set retried_at = clock_timestamp() where d.id = wanted and d.retried_at is null
    returning * into taken;
    if not found then
        return false;
    end if;
    insert into public.audit_log (user_id, action, detail)
    values (admin_id, 'retry_job', jsonb_build_object('jobId', wanted, 'generationId', taken.generation_id));
    return true;
end;
$$;

-- Queues a job within the caller's transaction, unless one with this key is queued or running: that is enough.
-- Of a higher priority is what people wait for.
create or replace function app.enqueue_once(
    job_entrypoint text, job_payload jsonb, job_key text, job_priority integer default 0
) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into queue.pgqueuer (priority, entrypoint, payload, dedupe_key, status)
    values (job_priority, job_entrypoint, convert_to(job_payload::text, 'UTF8'), job_key, 'queued')
    on conflict do nothing;
$$;

-- Puts a dead job in line as it was.
create or replace function app.enqueue_dead_job(job public.dead_jobs) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into queue.pgqueuer (priority, entrypoint, payload, dedupe_key, status)
    values (0, job.entrypoint, job.payload, 'dead:' || job.id, 'queued');
end;
$$;

-- Tries a dead job again, once; a second call changes nothing. Returns the job. A slice whose jobs
-- need more than to be put in line has a function `app.retry_<entrypoint>(job, admin_id)`, which
-- calls `app.take_dead_job()` when it has locked what it must lock before.
create or replace function app.requeue_dead_job(wanted uuid, admin_id uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    job public.dead_jobs;
    retry text;
begin
    select * into job from public.dead_jobs d where d.id = wanted;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such dead job.', '{"path": ["input", "id"]}');
    end if;
    retry := format('app.%I', 'retry_' || job.entrypoint);
    if to_regprocedure(retry || '(public.dead_jobs, uuid)') is not null then
        execute format('select %s($1, $2)', retry) using job, admin_id;
    elsif app.take_dead_job(wanted, admin_id) then
        perform app.enqueue_dead_job(job);
    end if;
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
    app.enqueue_once(text, jsonb, text, integer),
    app.move_to_dead_letters(text, bytea, uuid, integer, text), app.take_dead_job(uuid, uuid),
    app.enqueue_dead_job(public.dead_jobs), app.requeue_dead_job(uuid, uuid), app.retry_dead_job(uuid)
from public;
grant execute on function app.retry_dead_job(uuid) to authenticated;
grant execute on function app.move_to_dead_letters(text, bytea, uuid, integer, text) to service;
