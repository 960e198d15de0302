-- Analyses of profiles: asking for one, what it is made of, and what becomes of the profile.

-- Has a profile of the actor's analysed and returns the analysis, which waits for a worker. The same key
-- returns the same analysis.
create or replace function app.analyze_profile(profile_id uuid, idempotency_key text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    fingerprint bytea := sha256(convert_to(profile_id::text, 'UTF8'));
    analysis uuid;
begin
    perform app.check_idempotency_key(idempotency_key);
    perform app.lock_wallet(actor_id);
    analysis := app.remembered_result(actor_id, 'analyze_profile', idempotency_key, fingerprint);
    if analysis is not null then
        return analysis;
    end if;
    -- Locked, so that it is not deleted before the analysis is there.
    perform from public.profiles p
    where p.id = analyze_profile.profile_id and p.user_id = actor_id for key share;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such profile.', '{"path": ["input", "profileId"]}');
    elsif exists (select from public.profile_analyses a
        where a.profile_id = analyze_profile.profile_id and a.status in ('QUEUED', 'RUNNING')) then
        perform app.refuse('INVALID_STATE', 'This profile is being analysed. Wait until that has ended.');
    end if;
    analysis := app.uuid_v7();
    insert into public.profile_analyses (id, user_id, profile_id, created_at)
    values (analysis, actor_id, analyze_profile.profile_id, clock_timestamp());
    perform app.open_ai_run(actor_id, analysis, 'ANALYSIS');
    perform app.remember_result(actor_id, 'analyze_profile', idempotency_key, fingerprint, analysis);
    return analysis;
end;
$$;

-- Shows how an analysis's run stands; what one found takes the place of the same parts of the profile's, which are
-- kept among what lost. False when the profile was deleted.
create or replace function app.show_analysis(
    run public.ai_runs, made jsonb, offline boolean, code text, message text
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    shown public.profile_analyses;
begin
    update public.profile_analyses a
    set status = run.status, result = made, credits_charged = run.credits_charged, made_offline = offline,
        error_code = code, error_message = message, finished_at = run.finished_at
    where a.id = run.id returning * into shown;
    if shown.status = 'SUCCEEDED' then
        perform app.keep_replaced_analysis(shown.user_id, shown.profile_id, made);
        update public.profiles p
        set analysis = case jsonb_typeof(p.analysis) when 'object' then p.analysis || made else made end,
            updated_at = clock_timestamp(), synced_at = clock_timestamp()
        where p.id = shown.profile_id;
    end if;
    return shown.id is not null or run.finished_at is not null;
end;
$$;

-- What an analysis is made of: the profile with its small picture, and the newest messages of its chat, oldest
-- first. Nothing when the profile is gone.
create or replace function app.analysis_context(
    wanted uuid, at_most integer, out profile jsonb, out locale text, out messages jsonb
)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object('name', p.name, 'analysis', p.analysis, 'thumbnail', p.thumbnail,
                              'thumbnail_path', p.thumbnail_path), u.locale, (
        select coalesce(jsonb_agg(jsonb_build_object('role', h.role, 'text', h.text)
            order by h.created_at, h.id), '[]')
        from (
            select e.role, e.text, e.created_at, e.id from public.chat_messages e
            where e.profile_id = a.profile_id and e.status = 'SUCCEEDED' and e.text <> ''
            order by e.created_at desc, e.id desc limit at_most) h)
    from public.profile_analyses a
    join public.profiles p on p.id = a.profile_id
    join public.users u on u.id = a.user_id
    where a.id = wanted;
$$;

revoke execute on function
    app.analyze_profile(uuid, text), app.show_analysis(public.ai_runs, jsonb, boolean, text, text),
    app.analysis_context(uuid, integer)
from public;
grant execute on function app.analyze_profile(uuid, text) to authenticated;
grant execute on function app.analysis_context(uuid, integer) to service;
