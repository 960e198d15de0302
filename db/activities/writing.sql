-- Activities that an AI writes for a play session: when it is asked, what it is told of the players, and what is
-- kept of its answers. What is drawn later passes the rules of every draw once more.

-- How many activities an AI writes for a session; 0 where none does, and while AI is switched off.
create or replace function app.written_activities() returns integer
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce((select r.written_activities from public.play_rules r
        where not exists (select from public.switches s where not s.ai_enabled)), 0);
$$;

-- Whether everybody with an account in a session has agreed that an AI writes activities by what they answered.
create or replace function app.ai_is_agreed_to(wanted uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select app.have_agreed(array(select p.user_id from public.play_players p
        where p.session_id = wanted and p.user_id is not null and p.status <> 'LEFT'), 'ai-activities');
$$;

-- Has an AI asked for activities of a session, by a job, and returns whether it will be. Not for guests alone, who
-- may come back as others; three times for a session, twenty in a day of a member of it.
create or replace function app.ask_for_activities(wanted uuid) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    times_a_session constant integer := 3;
    times_a_day constant integer := 20;
    most integer;
    number integer;
begin
    if app.written_activities() = 0 or not app.ai_is_agreed_to(wanted) then
        return false;
    end if;
    select max(asked.times) into most
    from public.play_players p join public.users u on u.id = p.user_id and not u.is_anonymous,
        lateral (select sum(s.asked_count) as times
            from public.play_players q join public.play_sessions s on s.id = q.session_id
            where q.user_id = p.user_id and q.created_at > now() - interval '1 day') asked
    where p.session_id = wanted and p.status = 'JOINED';
    if most is null or most >= times_a_day then
        return false;
    end if;
    update public.play_sessions s set asked_count = s.asked_count + 1
    where s.id = wanted and s.asked_count < times_a_session returning s.asked_count into number;
    if number is null then
        return false;
    end if;
    perform app.enqueue_once('write_activities', jsonb_build_object('session_id', wanted, 'number', number),
        'activities:' || wanted || ':' || number);
    return true;
end;
$$;

-- A player wants more activities, made for their session alone. Returns the session; the same key asks once.
create or replace function app.request_activities(wanted uuid, idempotency_key text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    fingerprint bytea := sha256(convert_to(wanted::text, 'UTF8'));
    session public.play_sessions := app.enter_play_session(wanted, 'sessionId');
begin
    if idempotency_key is not null then
        perform app.check_idempotency_key(idempotency_key);
        if app.remembered_result(actor_id, 'request_activities', idempotency_key, fingerprint) is not null then
            return wanted;
        end if;
    end if;
    perform app.require_open_session(session);
    if session.status = 'WAITING' then
        perform app.refuse('CONFIRMATION_REQUIRED',
            'Everybody who was asked to play confirms first, with `confirmPlaySession`.');
    end if;
    if app.written_activities() = 0 then
        perform app.refuse('PROVIDER_NOT_CONFIGURED', 'No AI writes activities here. Those of the bank are drawn.');
    end if;
    if not app.ai_is_agreed_to(wanted) then
        perform app.refuse('ONBOARDING_REQUIRED', 'An AI writes activities where all players have agreed to the document '
            || '`ai-activities`, with `recordConsent`.', '{"next_step": "CONSENT"}');
    end if;
    if not app.ask_for_activities(wanted) then
        perform app.refuse('LIMIT_EXCEEDED',
            'No more are written for this session: three times for one, twenty in a day, and for members alone.');
    end if;
    if idempotency_key is not null then
        perform app.remember_result(actor_id, 'request_activities', idempotency_key, fingerprint, wanted);
    end if;
    return wanted;
end;
$$;

-- What an AI is told for the request with a number in a session, without a name: how many it writes, the level, the
-- audience, what is closed to some player (soft boundaries count up to R), each player's anatomy, what all who
-- answered are open to, and what the items are about, in English, with the limits that they are under. Null when it is
-- not to be asked: the session is over, somebody in it has not agreed, it has written for this request, or it was tried
-- `at_most` times for it.
create or replace function app.asked_activities(wanted uuid, number integer, at_most integer) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with players as materialized (
        select p.* from public.play_players p where p.session_id = wanted and p.status in ('JOINED', 'PRESENT')
    ), tried as (
        select count(*) as times, count(*) filter (where l.approved_count > 0) as written
        from public.activity_generation_logs l where l.session_id = wanted
    ), closed as materialized (
        select distinct b.item_id from public.boundaries b join public.play_sessions s on s.id = wanted
        where b.user_id in (select p.user_id from players p)
            and (b.kind = 'HARD' or b.kind = 'SOFT' and s.level <> 'X')
    ), items as materialized (
        select distinct on (i.item_id) i.item_id, i.text_key, i.limit_keys from public.survey_items i
        where i.kind = 'YES_MAYBE_NO' order by i.item_id, i.survey_id desc
    ), answers as (
        select a.item_id, min(a.score) as least
        from public.survey_answers a
        where a.is_current and a.item_id like 'B%' and a.user_id in (select p.user_id from players p)
        group by a.item_id
    )
    select jsonb_build_object(
        'count', case when app.ai_is_enabled() then app.written_activities() else 0 end,
        'level', s.level,
        'audience', case when exists (select from players p where p.is_opponent) then 'SOLO'
            when (select count(*) from players) > 2 then 'GROUPS' else 'COUPLES' end,
        'closed', coalesce((select jsonb_agg(c.item_id order by c.item_id) from closed c), '[]'),
        'anatomies', (select coalesce(jsonb_agg(to_jsonb(p.anatomy) order by p.seat), '[]')
            from players p where not p.is_opponent),
        'wanted', coalesce((select jsonb_agg(a.item_id order by a.item_id) from answers a
            where a.least >= 0.5 and a.item_id not in (select c.item_id from closed c)), '[]'),
        'items', coalesce((select jsonb_object_agg(i.item_id, t.text)
            from items i join public.translations t on t.locale = 'en' and t.key = i.text_key), '{}'),
        'limits', coalesce((select jsonb_object_agg(i.item_id, i.limit_keys) from items i
            where cardinality(i.limit_keys) > 0), '{}'))
    from public.play_sessions s, tried
    where s.id = wanted and s.ended_at is null and app.ai_is_agreed_to(wanted) and tried.written < number and tried.times < number * at_most;
$$;

-- Keeps what came of asking an AI: the activities that passed, for their session alone, and the log of it. One that
-- is known already is none, and none is kept where somebody has withdrawn their consent meanwhile. Returns how many there are now that were not.
create or replace function app.keep_written_activities(wanted uuid, written jsonb, attempt jsonb) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    kept integer := 0;
    tried constant public.activity_generation_logs :=
        jsonb_populate_record(null::public.activity_generation_logs, attempt);
begin
    -- Whoever takes back what was written holds the session, too.
    perform from public.play_sessions s where s.id = wanted for no key update;
    insert into public.activities (id, kind, level, intensity, text, themes, audience, limit_keys,
        needs_anatomy_active, needs_anatomy_partner, power_role, preference_keys, domains, source, session_id)
    select w.id, w.kind, w.level, w.intensity, w.text, w.themes, w.audience, w.limit_keys,
        w.needs_anatomy_active, w.needs_anatomy_partner, w.power_role, w.preference_keys, w.domains, 'AI', wanted
    from jsonb_populate_recordset(null::public.activities, written) w
    where exists (select from public.play_sessions s where s.id = wanted and s.ended_at is null)
        and app.ai_is_agreed_to(wanted)
    on conflict (id) do nothing;
    get diagnostics kept = row_count;
    insert into public.activity_generation_logs (session_id, provider, model, level, prompt, answer, outcome,
        approved_count, refused_count, reasons, duration_milliseconds, usage, cost_micro_usd)
    values (wanted, tried.provider, tried.model, tried.level, tried.prompt, tried.answer, tried.outcome,
        kept, tried.refused_count + jsonb_array_length(written) - kept, tried.reasons, tried.duration_milliseconds,
        tried.usage, tried.cost_micro_usd);
    return kept;
end;
$$;

-- Takes back what an AI wrote for the sessions that somebody plays in, and is not drawn yet.
create or replace function app.drop_written_activities(player uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Who keeps what was written locks the session first, too.
    perform from public.play_sessions s where s.ended_at is null and s.id in (
        select p.session_id from public.play_players p where p.user_id = player and p.status = 'JOINED')
    order by s.id for no key update;
    delete from public.activities a where a.session_id in (
        select p.session_id from public.play_players p where p.user_id = player and p.status = 'JOINED');
end;
$$;

revoke execute on function
    app.drop_written_activities(uuid), app.written_activities(), app.ai_is_agreed_to(uuid), app.ask_for_activities(uuid), app.request_activities(uuid, text),
    app.asked_activities(uuid, integer, integer), app.keep_written_activities(uuid, jsonb, jsonb)
from public;
grant execute on function app.request_activities(uuid, text) to authenticated;
grant execute on function
    app.asked_activities(uuid, integer, integer), app.keep_written_activities(uuid, jsonb, jsonb)
to service;
