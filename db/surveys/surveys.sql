-- Runs of surveys: begun, saved item by item, submitted or given up.

-- A run of the caller's that is locked with their account, so that what two devices send has one
-- order; NOT_FOUND for any other.
create or replace function app.enter_survey_run(wanted uuid) returns public.survey_runs
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    run public.survey_runs;
begin
    perform from public.users u where u.id = actor_id for key share;
    select * into run from public.survey_runs r where r.id = wanted and r.user_id = actor_id for update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such survey run.', '{"path": ["input", "runId"]}');
    end if;
    return run;
end;
$$;

create or replace function app.refuse_ended_survey_run() returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    perform app.refuse('INVALID_STATE', 'This survey run has ended. Begin another with startSurvey.',
        '{"path": ["input", "runId"]}');
end;
$$;

-- Counts of how many items of a run's form are answered.
create or replace function app.count_survey_answers(wanted uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.survey_runs r set item_count = c.items, answered_count = c.answered
    from (select count(*) as items, count(a.id) as answered
        from public.survey_runs o
            join public.survey_items i on i.survey_id = o.survey_id and (o.form = 'FULL' or i.is_short)
            left join public.survey_answers a on a.run_id = o.id and a.item_id = i.item_id
        where o.id = wanted) c
    where r.id = wanted;
$$;

-- Goes on with the caller's run of a survey, in the form that is asked for now, or begins one; it
-- has the answers of the last one submitted. Returns the run.
create or replace function app.start_survey(wanted text, wanted_form text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    started uuid;
    earlier uuid;
begin
    perform from public.users u where u.id = actor_id for no key update;
    perform app.require_consents(actor_id);
    select r.id into started from public.survey_runs r
    where r.user_id = actor_id and r.survey_id = wanted and r.status = 'IN_PROGRESS' for update;
    if found then
        update public.survey_runs r set form = wanted_form where r.id = started and r.form <> wanted_form;
        perform app.count_survey_answers(started);
        return started;
    end if;
    if not exists (select from public.surveys s where s.id = wanted and s.is_active) then
        perform app.refuse('NOT_FOUND', 'There is no such survey that can be begun.',
            '{"path": ["input", "surveyId"]}');
    end if;
    delete from public.survey_runs r
    where r.user_id = actor_id and r.survey_id = wanted and r.status = 'ABANDONED';
    insert into public.survey_runs (user_id, survey_id, form) values (actor_id, wanted, wanted_form)
    returning id into started;
    select p.run_id into earlier from public.survey_profiles p
    where p.user_id = actor_id and p.survey_id = wanted order by p.version desc limit 1;
    insert into public.survey_answers (user_id, run_id, survey_id, item_id, value, score, changed_at)
    select actor_id, started, wanted, a.item_id, a.value, a.score, a.changed_at
    from public.survey_answers a where a.run_id = earlier;
    perform app.count_survey_answers(started);
    return started;
end;
$$;

-- Whether a value is an answer of an item's kind.
create or replace function app.is_answer_of(item public.survey_items, value jsonb) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case item.kind
        when 'SCALE' then jsonb_typeof(value) = 'number'
        when 'YES_MAYBE_NO' then jsonb_typeof(value) = 'string'
        else jsonb_typeof(value) = 'array' and value <@ to_jsonb(item.options) end;
$$;

-- Saves answers in a run of the caller's, each with `item_id`, `value`, `score` and its `index` in the
-- batch; a null value takes an answer back. What is saved last counts, in the order of this database.
-- The same key saves once. Returns the run.
create or replace function app.save_survey_answers(
    wanted uuid, answers jsonb, idempotency_key text, fingerprint bytea
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    run public.survey_runs := app.enter_survey_run(wanted);
    fault record;
begin
    if app.remembered_result(run.user_id, 'save_survey_answers', idempotency_key, fingerprint) is not null then
        return wanted;
    end if;
    if run.status <> 'IN_PROGRESS' then
        perform app.refuse_ended_survey_run();
    end if;
    perform app.require_consents(run.user_id);
    select a.index, i.id is null as is_foreign, i.kind, i.options into fault
    from jsonb_to_recordset(answers) a (item_id text, value jsonb, index integer)
        left join public.survey_items i on i.survey_id = run.survey_id and i.item_id = a.item_id
    where i.id is null or a.value is not null and not app.is_answer_of(i, a.value)
    order by a.index limit 1;
    if found then
        perform app.refuse('BAD_USER_INPUT', case
            when fault.is_foreign then 'The survey has no such item.'
            when fault.kind = 'SCALE' then 'value must be a whole number from 1 to 7 for this item.'
            when fault.kind = 'YES_MAYBE_NO' then 'value must be YES, MAYBE or NO for this item.'
            else 'value must be a list of the options of this item.' end,
            jsonb_build_object('path', jsonb_build_array('input', 'answers', fault.index::text,
                case when fault.is_foreign then 'itemId' else 'value' end)));
    end if;
    with given as (
        select distinct on (a.item_id) a.item_id, a.value, a.score
        from jsonb_to_recordset(answers) a (item_id text, value jsonb, score double precision, index integer)
        order by a.item_id, a.index desc
    ), taken_back as (
        delete from public.survey_answers s using given g
        where s.run_id = wanted and s.item_id = g.item_id and g.value is null
    )
    insert into public.survey_answers as s (user_id, run_id, survey_id, item_id, value, score, changed_at)
    select run.user_id, wanted, run.survey_id, g.item_id, g.value, g.score, clock_timestamp()
    from given g where g.value is not null
    on conflict (run_id, item_id) do update
    set value = excluded.value, score = excluded.score, changed_at = excluded.changed_at;
    update public.survey_runs r set saved_at = clock_timestamp() where r.id = wanted;
    perform app.count_survey_answers(wanted);
    perform app.remember_result(run.user_id, 'save_survey_answers', idempotency_key, fingerprint, wanted);
    return wanted;
end;
$$;

-- What a run is scored by, with the account and the run locked: its `status` and `form`, the
-- `profile_id` when it has been submitted, the survey's `items` and the `answers`.
create or replace function app.read_survey_run(wanted uuid) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    run public.survey_runs;
begin
    perform from public.users u where u.id = app.required_user_id() for no key update;
    run := app.enter_survey_run(wanted);
    if run.status = 'IN_PROGRESS' then
        perform app.require_consents(run.user_id);
    end if;
    return jsonb_build_object('status', run.status, 'form', run.form,
        'profile_id', (select p.id from public.survey_profiles p where p.run_id = wanted),
        'items', (select coalesce(jsonb_agg(jsonb_build_object('item_id', i.item_id, 'kind', i.kind,
                'measures', i.measures, 'tags', i.tags, 'limit_keys', i.limit_keys, 'options', i.options,
                'is_required', i.is_required, 'is_short', i.is_short) order by i.sort_order), '[]')
            from public.survey_items i where i.survey_id = run.survey_id),
        'answers', (select coalesce(jsonb_object_agg(a.item_id, a.value), '{}')
            from public.survey_answers a where a.run_id = wanted));
end;
$$;

-- Makes the next version of the caller's profile of a run that `read_survey_run` has locked. The 20
-- newest are kept, with their runs. Returns the profile.
create or replace function app.make_survey_profile(wanted uuid, scores jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    kept constant integer := 20;
    run public.survey_runs := app.enter_survey_run(wanted);
    made uuid;
begin
    if run.status <> 'IN_PROGRESS' then
        perform app.refuse_ended_survey_run();
    end if;
    update public.survey_runs r set status = 'SUBMITTED', ended_at = clock_timestamp() where r.id = wanted;
    update public.survey_profiles p set is_current = false where p.user_id = run.user_id and p.is_current;
    update public.survey_answers a set is_current = false where a.user_id = run.user_id and a.is_current;
    update public.survey_answers a set is_current = true where a.run_id = wanted;
    insert into public.survey_profiles (user_id, run_id, survey_id, version, power_orientation, power_confidence,
        power_level, top_percent, archetypes, is_balanced, tags)
    select run.user_id, wanted, run.survey_id,
        1 + coalesce((select max(p.version) from public.survey_profiles p where p.user_id = run.user_id), 0),
        g.power_orientation, g.power_confidence, g.power_level, g.top_percent, g.archetypes, g.is_balanced, g.tags
    from jsonb_populate_record(null::public.survey_profiles, scores) g
    returning id into made;
    insert into public.survey_domain_scores (user_id, profile_id, domain, score, sort_order)
    select run.user_id, made, g.domain, g.score, g.sort_order
    from jsonb_populate_recordset(null::public.survey_domain_scores, scores -> 'domains') g;
    insert into public.survey_measures (user_id, profile_id, measure, score, level, sort_order)
    select run.user_id, made, g.measure, g.score, g.level, g.sort_order
    from jsonb_populate_recordset(null::public.survey_measures, scores -> 'measures') g;
    perform app.infer_boundaries(run, made, scores -> 'boundaries');
    delete from public.survey_runs r using public.survey_profiles p
    where p.user_id = run.user_id and r.id = p.run_id
        and p.version <= (select max(n.version) from public.survey_profiles n where n.user_id = run.user_id) - kept;
    perform app.tell_partners(run.user_id, 'ALL', 'OVERLAPPING');
    perform app.compare_with_partners(run.user_id);
    return made;
end;
$$;

-- Draws the boundaries of a new profile, by item or limit. What the user has set stays, unless an answer
-- that they gave after it is stricter.
create or replace function app.infer_boundaries(run public.survey_runs, profile uuid, inferred jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from public.boundaries b
    where b.user_id = run.user_id and b.source = 'INFERRED' and not inferred ? b.item_id;
    insert into public.boundaries as b (user_id, profile_id, item_id, kind, source)
    select run.user_id, profile, g.key, g.value, 'INFERRED' from jsonb_each_text(inferred) g
    on conflict (user_id, item_id) do update set kind = excluded.kind, source = 'INFERRED',
        changed_at = case when b.kind = excluded.kind then b.changed_at else clock_timestamp() end
    where b.source = 'INFERRED' or app.boundary_rank(excluded.kind) > app.boundary_rank(b.kind)
        and exists (select from public.survey_answers a
            where a.run_id = run.id and a.changed_at > b.changed_at
                and (a.item_id = b.item_id or jsonb_typeof(a.value) = 'array' and a.value ? b.item_id));
    update public.boundaries b set profile_id = profile
    where b.user_id = run.user_id and b.profile_id is distinct from profile;
end;
$$;

-- Gives a run of the caller's up: its answers go. Doing it twice changes nothing more. Returns the run.
create or replace function app.abandon_survey(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    run public.survey_runs := app.enter_survey_run(wanted);
begin
    if run.status = 'SUBMITTED' then
        perform app.refuse_ended_survey_run();
    elsif run.status = 'IN_PROGRESS' then
        update public.survey_runs r set status = 'ABANDONED', answered_count = 0, ended_at = clock_timestamp()
        where r.id = wanted;
        delete from public.survey_answers a where a.run_id = wanted;
    end if;
    return wanted;
end;
$$;

-- Gives some runs up that nobody has gone on with for 30 days. Returns how many.
create or replace function app.abandon_stale_surveys(at_most integer) returns integer
language sql security definer set search_path = pg_catalog, pg_temp as $$
    with stale as (
        select r.id from public.survey_runs r
        where r.status = 'IN_PROGRESS' and r.saved_at < now() - interval '30 days'
        order by r.saved_at limit at_most for update skip locked
    ), ended as (
        update public.survey_runs r set status = 'ABANDONED', answered_count = 0, ended_at = clock_timestamp()
        from stale s where r.id = s.id returning r.id
    ), gone as (
        delete from public.survey_answers a using ended e where a.run_id = e.id
    )
    select count(*)::integer from ended;
$$;

revoke execute on function app.enter_survey_run(uuid), app.count_survey_answers(uuid),
    app.refuse_ended_survey_run(), app.start_survey(text, text),
    app.is_answer_of(public.survey_items, jsonb), app.save_survey_answers(uuid, jsonb, text, bytea),
    app.read_survey_run(uuid), app.make_survey_profile(uuid, jsonb),
    app.infer_boundaries(public.survey_runs, uuid, jsonb), app.abandon_survey(uuid),
    app.abandon_stale_surveys(integer) from public;
grant execute on function app.start_survey(text, text), app.save_survey_answers(uuid, jsonb, text, bytea),
    app.read_survey_run(uuid), app.make_survey_profile(uuid, jsonb), app.abandon_survey(uuid) to authenticated;
grant execute on function app.abandon_stale_surveys(integer) to service;
