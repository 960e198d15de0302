-- Drawing: which activity a player is given. What is decided of values alone is a function of its own, without
-- a fixed search path, so that Postgres writes it into the statement that calls it.

-- How likely the next kind that is left to chance is a truth: half, and less the more truths there were.
create or replace function app.truth_chance(truths integer, dares integer) returns double precision
language sql immutable
return least(0.9, greatest(0.1, 0.5 + (dares - truths) * 0.15));

-- How likely a draw looks for themes that are new to a player who was given so many activities.
create or replace function app.novelty_chance(shown bigint) returns double precision
language sql immutable
return least(0.6, 0.1 + shown * 0.005);

-- The lowest and the highest intensity at a step of 25: warm-up, build, peak and afterglow.
create or replace function app.intensity_window(level text, step integer) returns integer[]
language sql immutable
return case
    when level = 'G' then array[1, 1]
    when level = 'R' then case
        when step <= 5 then array[1, 2] when step <= 15 then array[2, 3]
        when step <= 22 then array[3, 3] else array[2, 2] end
    else case
        when step <= 5 then array[2, 3] when step <= 15 then array[3, 4]
        when step <= 22 then array[4, 5] else array[3, 3] end
    end;

-- The step of 25 at which the activity with a number comes; the 26th starts over.
create or replace function app.step_of(number integer) returns integer
language sql immutable
return (number - 1) % 25 + 1;

-- The item by which the other one of two answers to the same: of a pair, the other side.
create or replace function app.other_side(item text) returns text
language sql immutable
return case right(item, 1)
    when 'a' then left(item, -1) || 'b' when 'b' then left(item, -1) || 'a' else item end;

-- How much two want the same, from 0 to 1, each null where they did not say.
create or replace function app.mutual_interest(one double precision, other double precision)
returns double precision
language sql immutable
return case
    when one is null or other is null then 0.5
    when one >= 0.7 and other >= 0.7 then 1
    when greatest(one, other) >= 0.7 and least(one, other) >= 0.3 then 0.6
    when least(one, other) >= 0.3 then 0.4
    when greatest(one, other) >= 0.3 then 0.1
    else 0 end;

-- How well the role of who is given an activity suits the two, from 0 to 1; each null where nobody knows.
create or replace function app.power_fit(role text, own text, other text) returns double precision
language sql immutable
return case
    when role in ('NEUTRAL', 'SWITCH') then 1
    when own is null then 0.6
    when own = role and other = case role when 'TOP' then 'BOTTOM' else 'TOP' end then 1
    when own = role and other = 'SWITCH' then 0.95
    when own = role then 0.8
    when own = 'SWITCH' then 0.6
    else 0 end;

-- What an intensity is worth at a step, by how easily the two are excited (0 to 1).
create or replace function app.pacing(intensity integer, step integer, excitation double precision)
returns double precision
language sql immutable
return case ceil(2 * abs(intensity
        - case when step <= 5 then 1.5 when step <= 15 then 2.5 when step <= 22 then 3.5 else 2.5 end
        - case when excitation >= 0.65 then 0.5 when excitation < 0.35 then -0.5 else 0 end))
    when 0 then 0.05 when 1 then 0.05 when 2 then 0.02 when 3 then 0 else -0.05 end;

-- What it takes from an activity that is a performance, when one of the two feels watched (0 to 1).
create or replace function app.pressure(inhibition double precision) returns double precision
language sql immutable
return case when inhibition >= 0.65 then -0.15 when inhibition >= 0.5 then -0.05 else 0 end;

-- The boundary of somebody to whom a thing is done, as the item of who does it; a limit is the same for both.
create or replace function app.as_doer(item text) returns text
language sql immutable
return case when item ~ '^[A-Z][0-9]+[ab]$' then app.other_side(item) else item end;

-- Whether an activity suits the two: the audience, what it asks of either body, what is closed to them, and no
-- third of a theme in a row. Who plays alone (SOLO) has nobody beside them whom a text could name.
create or replace function app.suits(
    activity public.activities, audience text, active_anatomy text[], partner_anatomy text[], closed text[],
    worn_theme text
) returns boolean
language sql immutable
return activity.audience in ('ALL', audience)
    and (audience <> 'SOLO' or strpos(activity.text, '{partner}') = 0)
    and activity.needs_anatomy_active <@ active_anatomy and activity.needs_anatomy_partner <@ partner_anatomy
    and not activity.limit_keys && closed and not activity.preference_keys && closed
    and activity.themes[1] is distinct from worn_theme;

-- A text with the names of the two in it.
create or replace function app.with_names(text text, active text, partner text) returns text
language sql immutable
return replace(replace(text, '{active}', active), '{partner}', partner);

-- The activity that a player is given, with another one beside them; all null when there is none.
--
-- One statement: what is known of the two, then candidates from a random place in the bank on, which
-- have passed every rule, and of these the best. The rules: level and below, audience, anatomy, the boundaries
-- of who is given it, and of a dare those of the other one, to whom it may be done (soft ones count up to R; of
-- somebody without an account those of all others), nothing that they were given within a year and their last 100,
-- no third of a theme in a row, nothing of the session's last turns. When nothing is left, what suits and was given the
-- longest ago comes again: all rules hold but that one. With `any_theme` a third of a theme suits as well.
--
-- The planner takes those that pass for far fewer than they are, and would sort all of them. So it may not: it
-- reads the index in its order, and ends when there are enough. It plans once for a connection: with the values of a
-- draw it would plan the same again, which takes longer than the draw.
create or replace function app.choose_activity(
    session public.play_sessions, active public.play_players, partner public.play_players, wanted_kind text,
    any_theme boolean,
    out activity_id text, out level text, out intensity integer, out text text, out theme text,
    out is_repeated boolean, out why jsonb, out scores jsonb
)
language plpgsql volatile set search_path = pg_catalog, pg_temp set jit = off
set enable_sort = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
declare
    step constant integer := app.step_of(session.turn_count + 1);
    intensities constant integer[] := app.intensity_window(session.level, step);
    levels constant text[] := case session.level when 'G' then array['G'] when 'R' then array['R', 'G']
        else array['X', 'R', 'G'] end;
    -- What is skipped now does not come again at once.
    skipped constant text := (select t.activity_id from public.play_turns t where t.id = session.current_turn_id);
    start constant double precision := random();
    seek constant double precision := random();
    -- The mirror of the one who plays alone.
    likes_alike constant boolean := partner.is_opponent;
begin
    with
    people as materialized (
        select
            case when active.user_id is not null then array[active.user_id]
                else array(select p.user_id from public.play_players p
                    where p.session_id = session.id and p.status = 'JOINED') end as guarded,
            case when wanted_kind = 'TRUTH' then '{}' when active.user_id is not null then array[partner.user_id]
                else array(select p.user_id from public.play_players p
                    where p.session_id = session.id and p.status = 'JOINED') end as acted_on,
            case when likes_alike then 'SOLO' when (select count(*) from public.play_players p
                where p.session_id = session.id and p.status <> 'LEFT') > 2 then 'GROUPS' else 'COUPLES' end as audience,
            case when likes_alike then active.user_id else partner.user_id end as other_id
    ),
    known as materialized (
        select
            people.audience,
            array(select b.item_id from public.boundaries b where b.user_id = any (people.guarded)
                    and (b.kind = 'HARD' or b.kind = 'SOFT' and session.level <> 'X')
                union all
                select app.as_doer(b.item_id) from public.boundaries b where b.user_id = any (people.acted_on)
                    and (b.kind = 'HARD' or b.kind = 'SOFT' and session.level <> 'X')) as closed,
            -- The newest first.
            array(select t.activity_id from public.play_turns t
                where t.session_id = session.id order by t.number desc limit 10)
            || case when active.user_id is not null then
                array(select h.activity_id from public.play_history h
                    where h.user_id = active.user_id and h.shown_at > now() - interval '1 year'
                    order by h.shown_at desc limit 100)
            else
                array(select t.activity_id from public.play_turns t
                    where t.player_id = active.id order by t.number desc limit 100) end as shown,
            case when not any_theme then (select h.theme from (
                select t.theme from public.play_turns t where t.session_id = session.id
                order by t.number desc limit 2) h
             group by h.theme having count(*) = 2) end as worn_theme,
            (select count(*) from public.play_history h where h.user_id = active.user_id) as shown_count,
            coalesce((select jsonb_object_agg(h.theme, h.weight) from public.play_themes h
                where h.user_id = active.user_id), '{}') as themes,
            coalesce((select jsonb_object_agg(a.item_id, a.score) from public.survey_answers a
                where a.user_id = active.user_id and a.is_current), '{}') as own_answers,
            coalesce((select jsonb_object_agg(
                    case when likes_alike then app.other_side(a.item_id) else a.item_id end, a.score)
                from public.survey_answers a
                where a.user_id = people.other_id and a.is_current), '{}') as other_answers,
            mine.power_orientation as own_power,
            case when likes_alike then
                case theirs.power_orientation when 'TOP' then 'BOTTOM' when 'BOTTOM' then 'TOP'
                    else theirs.power_orientation end
                else theirs.power_orientation end as other_power,
            coalesce((select jsonb_object_agg(d.domain, d.mean) from (
                select s.domain, avg(s.score) / 100 as mean from public.survey_domain_scores s
                where s.profile_id in (mine.id, theirs.id) group by s.domain) d), '{}') as domains,
            (select avg(m.score) / 100 from public.survey_measures m
                where m.profile_id in (mine.id, theirs.id) and m.measure = 'SE') as excitation,
            (select max(m.score) / 100 from public.survey_measures m
                where m.profile_id in (mine.id, theirs.id) and m.measure = 'SIS_P') as inhibition
        from people
        left join public.survey_profiles mine on mine.current_of = active.user_id
        left join public.survey_profiles theirs on theirs.current_of = people.other_id
    ),
    candidates as materialized (
        select a.* from known,
            unnest(levels) as l (level)
        cross join lateral (
            -- The second half of the bank is read for what the first one lacks. No sort around the two: it would
            -- have both read whole, and which forty of those that pass are rated is left to chance in any case.
            (select a.*, 0 as part from public.activities a
             where a.kind = wanted_kind and a.level = l.level and a.shuffle >= start
                and a.is_active and a.session_id is null and a.id <> all (known.shown)
                and app.suits(a, known.audience, active.anatomy, partner.anatomy, known.closed, known.worn_theme)
             order by a.shuffle limit 40)
            union all
            (select a.*, 1 as part from public.activities a
             where a.kind = wanted_kind and a.level = l.level and a.shuffle < start
                and a.is_active and a.session_id is null and a.id <> all (known.shown)
                and app.suits(a, known.audience, active.anatomy, partner.anatomy, known.closed, known.worn_theme)
             order by a.shuffle limit 40)
            limit 40
        ) a
        union all
        (select a.*, 0 from known, public.activities a
         where a.session_id = session.id and a.kind = wanted_kind and a.level = any (levels) and a.is_active
            and a.id <> all (known.shown)
            and app.suits(a, known.audience, active.anatomy, partner.anatomy, known.closed, known.worn_theme))
    ),
    again as materialized (
        select a.* from known,
            lateral (select h.id, min(h.place) as place from unnest(known.shown) with ordinality as h (id, place)
                group by h.id) h
        join public.activities a on a.id = h.id
        where not exists (select from candidates) and a.kind = wanted_kind and a.level = any (levels) and a.is_active
            and (a.session_id is null or a.session_id = session.id) and a.id is distinct from skipped
            and app.suits(a, known.audience, active.anatomy, partner.anatomy, known.closed, known.worn_theme)
        order by h.place desc limit 1
    ),
    rated as (
        select c.*, known.shown_count,
            greatest(intensities[1] - c.intensity, c.intensity - intensities[2], 0) as distance,
            coalesce((select avg(app.mutual_interest((known.own_answers ->> k.item)::double precision,
                    (known.other_answers ->> app.other_side(k.item))::double precision))
                from unnest(c.preference_keys) as k (item)), 0.5) as mutual,
            app.power_fit(c.power_role, known.own_power, known.other_power) as power,
            coalesce((select avg(coalesce((known.domains ->> d.domain)::double precision, 0.5))
                from unnest(c.domains) as d (domain)), 0.5) as domain,
            app.pacing(c.intensity, step, known.excitation) as pace,
            case when c.preference_keys && array['B24a', 'B25a', 'B26', 'B27', 'B28']
                then app.pressure(known.inhibition) else 0 end as strain,
            coalesce((known.themes ->> c.themes[1])::double precision, 0) as liking,
            case when known.shown_count = 0 or known.themes ? c.themes[1] then 0
                when seek < app.novelty_chance(known.shown_count) then 0.25 else -0.25 end as novelty,
            not known.themes ? c.themes[1] as is_new_theme,
            random() * 0.1 as luck,
            count(*) over () as candidate_count
        from (select *, false as is_repeated from candidates union all select *, 0, true from again) c, known
    )
    select r.id, r.level, r.intensity, app.with_names(r.text, active.name, partner.name), r.themes[1],
        r.is_repeated,
        jsonb_build_object(
            'step', step, 'intensities', to_jsonb(intensities), 'outOfIntensities', r.distance,
            'candidates', r.candidate_count, 'isNewTheme', r.is_new_theme,
            'noveltyChance', app.novelty_chance(r.shown_count), 'source', r.source, 'repeated', r.is_repeated,
            'anyTheme', any_theme),
        jsonb_build_object(
            'mutual', r.mutual, 'power', r.power, 'domain', r.domain, 'pacing', r.pace, 'pressure', r.strain,
            'liking', r.liking, 'novelty', r.novelty, 'luck', r.luck,
            'total', 0.5 * r.mutual + 0.3 * r.power + 0.2 * r.domain + r.pace + r.strain + r.liking + r.novelty
                + r.luck)
    into activity_id, level, intensity, text, theme, is_repeated, why, scores
    from rated r
    order by r.distance, r.power < 0.3,
        0.5 * r.mutual + 0.3 * r.power + 0.2 * r.domain + r.pace + r.strain + r.liking + r.novelty + r.luck desc
    limit 1;
end;
$$;

-- Gives the player whose turn it is an activity, and counts it for the caller. Of a kind that is RANDOM the other
-- one is tried too before something comes again. A third of a theme comes where nothing else does. NO_ACTIVITY_LEFT when nothing suits them.
create or replace function app.give_activity(session public.play_sessions, wanted_kind text, skipped integer)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    active public.play_players;
    partner public.play_players;
    chosen record;
    other record;
    chance constant double precision := app.truth_chance(session.random_truths, session.random_dares);
    is_random constant boolean := wanted_kind = 'RANDOM';
    any_theme boolean;
    kind text := case when not is_random then wanted_kind when random() < chance then 'TRUTH' else 'DARE' end;
    given uuid;
    -- What others answered or were given shows in these.
    told_to_admins constant text[] := '{candidates,outOfIntensities,isNewTheme,noveltyChance,anyTheme}';
begin
    perform app.count_activity(app.user_id());
    select * into active from public.play_players p where p.id = session.turn_player_id;
    select * into partner from public.play_players p
    where p.session_id = session.id and p.id <> active.id and p.status <> 'LEFT' order by random() limit 1;
    foreach any_theme in array array[false, true] loop
        select * into chosen from app.choose_activity(session, active, partner, kind, any_theme);
        if is_random and chosen.is_repeated is distinct from false then
            select * into other from app.choose_activity(session, active, partner,
                case kind when 'TRUTH' then 'DARE' else 'TRUTH' end, any_theme);
            if other.activity_id is not null and (chosen.activity_id is null or not other.is_repeated) then
                chosen := other;
                kind := case kind when 'TRUTH' then 'DARE' else 'TRUTH' end;
            end if;
        end if;
        exit when chosen.activity_id is not null;
    end loop;
    if chosen.activity_id is null then
        perform app.refuse('NO_ACTIVITY_LEFT',
            'Nothing suits this player at this level. Try the other kind, a session at another level, or `requestActivities`.');
    end if;
    insert into public.play_turns (session_id, number, player_id, partner_id, activity_id, kind, level, intensity,
        text, theme, is_repeated, why, scores)
    values (session.id, session.turn_count + 1, active.id, partner.id, chosen.activity_id, kind, chosen.level,
        chosen.intensity, chosen.text, chosen.theme, chosen.is_repeated,
        jsonb_build_object('asked', wanted_kind, 'truthChance', case when is_random then chance end)
            || (chosen.why - told_to_admins),
        chosen.scores || chosen.why)
    returning id into given;
    if active.user_id is not null then
        insert into public.play_history (user_id, activity_id, kind, theme)
        values (active.user_id, chosen.activity_id, kind, chosen.theme);
        insert into public.play_themes as h (user_id, theme, shown_count) values (active.user_id, chosen.theme, 1)
        on conflict (user_id, theme) do update set shown_count = h.shown_count + 1;
    end if;
    update public.play_sessions s set current_turn_id = given, turn_count = s.turn_count + 1,
        random_truths = s.random_truths + (is_random and kind = 'TRUTH')::integer,
        random_dares = s.random_dares + (is_random and kind = 'DARE')::integer,
        skips_in_row = s.skips_in_row + skipped, version = s.version + 1, updated_at = clock_timestamp()
    where s.id = session.id;
end;
$$;

-- What a turn was chosen by, for admins; null for others.
create or replace function app.turn_diagnostics(wanted uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select t.scores from public.play_turns t where t.id = wanted and app.is_admin();
$$;

-- Draws an activity for whose turn it is, and returns the session.
create or replace function app.draw_activity(wanted uuid, kind text, known_version integer) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    session public.play_sessions := app.enter_play_session(wanted, 'sessionId');
begin
    perform app.require_turn(session, known_version);
    if session.current_turn_id is not null then
        perform app.refuse('INVALID_STATE', 'An activity is drawn already. Complete it or skip it first.');
    end if;
    perform app.give_activity(session, kind, 0);
    return wanted;
end;
$$;

-- The activity that is drawn, which ends with a status; INVALID_STATE when there is none.
create or replace function app.end_turn(session public.play_sessions, how text, done boolean, feedback text)
returns public.play_turns
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    ended public.play_turns;
begin
    update public.play_turns t set status = how, done = end_turn.done, feedback = end_turn.feedback,
        ended_at = clock_timestamp()
    where t.id = session.current_turn_id and t.status = 'DRAWN' returning * into ended;
    if ended.id is null then
        perform app.refuse('INVALID_STATE', 'No activity is drawn. Draw one first.');
    end if;
    return ended;
end;
$$;

-- Gives another activity of the same kind to the same player, and returns the session.
create or replace function app.skip_activity(wanted uuid, known_version integer) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    session public.play_sessions := app.enter_play_session(wanted, 'sessionId');
    skipped public.play_turns;
begin
    perform app.require_turn(session, known_version);
    skipped := app.end_turn(session, 'SKIPPED', null, null);
    perform app.give_activity(session, skipped.kind, 1);
    return wanted;
end;
$$;

-- Ends the turn with what became of it: what the player says of it changes what they are given later. Returns the
-- session.
create or replace function app.complete_activity(wanted uuid, known_version integer, done boolean, feedback text)
returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    session public.play_sessions := app.enter_play_session(wanted, 'sessionId');
    ended public.play_turns;
    change constant double precision :=
        case feedback when 'LIKE' then 0.1 when 'DISLIKE' then -0.15 else 0 end
        + case when done then 0.02 else -0.05 end;
begin
    perform app.require_turn(session, known_version);
    ended := app.end_turn(session, 'COMPLETED', done, feedback);
    update public.play_themes h set weight = greatest(-0.3, least(0.3, h.weight + change))
    from public.play_players p
    where p.id = ended.player_id and h.user_id = p.user_id and h.theme = ended.theme;
    update public.play_sessions s set current_turn_id = null, turn_player_id = coalesce(app.next_player(session), s.turn_player_id),
        skips_in_row = 0, version = s.version + 1, updated_at = clock_timestamp()
    where s.id = wanted;
    return wanted;
end;
$$;

revoke execute on function
    app.truth_chance(integer, integer), app.novelty_chance(bigint), app.intensity_window(text, integer),
    app.step_of(integer), app.other_side(text), app.mutual_interest(double precision, double precision),
    app.power_fit(text, text, text), app.pacing(integer, integer, double precision),
    app.pressure(double precision), app.with_names(text, text, text),
    app.suits(public.activities, text, text[], text[], text[], text),
    app.choose_activity(public.play_sessions, public.play_players, public.play_players, text, boolean),
    app.give_activity(public.play_sessions, text, integer), app.turn_diagnostics(uuid), app.draw_activity(uuid, text, integer),
    app.end_turn(public.play_sessions, text, boolean, text), app.skip_activity(uuid, integer),
    app.complete_activity(uuid, integer, boolean, text)
from public;
grant execute on function
    app.turn_diagnostics(uuid), app.draw_activity(uuid, text, integer), app.skip_activity(uuid, integer),
    app.complete_activity(uuid, integer, boolean, text)
to authenticated;
