"""The SQL by which the prototype's rows become rows here: one statement for each table and batch.

`$1` is the batch as a JSON list. Ids are made of the prototype's, so that what is there already
stays as it is, and a row whose owner is not here or is leaving is passed over.
"""

from __future__ import annotations

from db.partners.operations import DROP_OLD

SOURCE = "attuned"

GUESTS = """
insert into users (id, is_anonymous, created_at)
select r.user_id, true, coalesce(r.created_at, now())
from jsonb_to_recordset($1::jsonb) r (user_id uuid, created_at timestamptz)
on conflict do nothing returning id
"""
IMPORTED = f"""
insert into imported_users (user_id, source, metadata)
select r.user_id, '{SOURCE}', r.known
from jsonb_to_recordset($1::jsonb) r (user_id uuid, known jsonb)
where r.user_id = any ($2::uuid[]) on conflict do nothing
"""  # noqa: S608 - all of it is written here
AUDIT = f"""
insert into audit_log (user_id, action, detail)
select id, 'imported', jsonb_build_object('source', '{SOURCE}', 'by', $2::text)
from unnest($1::uuid[]) as new (id)
"""  # noqa: S608
# Of guests that were made just now: `token_hash` in hexadecimal, good for `$2` days.
GUEST_SESSIONS = """
with given as (
    select r.user_id, decode(r.token_hash, 'hex') as token_hash
    from jsonb_to_recordset($1::jsonb) r (user_id uuid, token_hash text)
    where r.user_id = any ($3::uuid[])
), opened as (
    insert into sessions (user_id, expires_at)
    select g.user_id, now() + make_interval(days => $2) from given g returning id, user_id
)
insert into refresh_tokens (token_hash, session_id, expires_at)
select g.token_hash, o.id, now() + make_interval(days => $2)
from opened o join given g using (user_id)
on conflict do nothing
"""
# Of these, who may have rows, and who has a profile already.
OWNERS = """
select u.id, exists (select from survey_profiles p where p.user_id = u.id) as is_surveyed
from users u where u.id = any ($1::uuid[]) and u.status = 'active'
    and not exists (select from account_deletions d where d.user_id = u.id)
for key share of u
"""
THERE = {
    "runs": "select id from survey_runs where id = any ($1::uuid[])",
    "sessions": "select id from play_sessions where id = any ($1::uuid[])",
    "history": "select id from play_history where id = any ($1::uuid[])",
}
RUNS = """
insert into survey_runs
    (id, user_id, survey_id, form, item_count, answered_count, created_at, saved_at)
select r.id, r.user_id, $2, 'FULL', r.item_count, r.answered_count,
    coalesce(r.created_at, now()), coalesce(r.saved_at, r.created_at, now())
from jsonb_to_recordset($1::jsonb) r (id uuid, user_id uuid, item_count integer,
    answered_count integer, created_at timestamptz, saved_at timestamptz)
on conflict do nothing returning id
"""
ANSWERS = """
insert into survey_answers
    (user_id, run_id, survey_id, item_id, value, score, is_current, changed_at)
select r.user_id, r.id, $2, a.item_id, a.value, a.score, r.scores is not null,
    coalesce(r.saved_at, r.created_at, now())
from jsonb_to_recordset($1::jsonb) r (id uuid, user_id uuid, scores jsonb, answers jsonb,
        created_at timestamptz, saved_at timestamptz)
    cross join jsonb_to_recordset(r.answers) a (item_id text, value jsonb, score double precision)
where r.id = any ($3::uuid[])
"""
SUBMITTED = """
update survey_runs s set status = 'SUBMITTED', ended_at = s.saved_at
from jsonb_to_recordset($1::jsonb) r (id uuid, scores jsonb)
where s.id = r.id and r.scores is not null and r.id = any ($2::uuid[])
"""
PROFILES = """
insert into survey_profiles (id, user_id, run_id, survey_id, version, power_orientation,
    power_confidence, power_level, top_percent, archetypes, is_balanced, tags, created_at)
select r.profile_id, r.user_id, r.id, $2, 1, g.power_orientation, g.power_confidence, g.power_level,
    g.top_percent, g.archetypes, g.is_balanced, g.tags, coalesce(r.saved_at, r.created_at, now())
from jsonb_to_recordset($1::jsonb) r (id uuid, user_id uuid, profile_id uuid, scores jsonb,
        created_at timestamptz, saved_at timestamptz)
    cross join lateral jsonb_populate_record(null::survey_profiles, r.scores) g
where r.scores is not null and r.id = any ($3::uuid[])
"""
DOMAIN_SCORES = """
insert into survey_domain_scores (user_id, profile_id, domain, score, sort_order)
select r.user_id, r.profile_id, g.domain, g.score, g.sort_order
from jsonb_to_recordset($1::jsonb) r (id uuid, user_id uuid, profile_id uuid, scores jsonb)
    cross join lateral jsonb_populate_recordset(
        null::survey_domain_scores, r.scores -> 'domains') g
where r.id = any ($2::uuid[])
"""
MEASURES = """
insert into survey_measures (user_id, profile_id, measure, score, level, sort_order)
select r.user_id, r.profile_id, g.measure, g.score, g.level, g.sort_order
from jsonb_to_recordset($1::jsonb) r (id uuid, user_id uuid, profile_id uuid, scores jsonb)
    cross join lateral jsonb_populate_recordset(null::survey_measures, r.scores -> 'measures') g
where r.id = any ($2::uuid[])
"""
# What somebody has set here stays.
BOUNDARIES = """
insert into boundaries (user_id, profile_id, item_id, kind, source)
select r.user_id, r.profile_id, g.key, g.value, 'INFERRED'
from jsonb_to_recordset($1::jsonb) r (id uuid, user_id uuid, profile_id uuid, scores jsonb)
    cross join lateral jsonb_each_text(r.scores -> 'boundaries') g
where r.id = any ($2::uuid[])
on conflict (user_id, item_id) do update set profile_id = excluded.profile_id
"""
DEMOGRAPHICS = """
insert into demographics (user_id, name, gender, orientation, relationship, anatomy_self,
    anatomy_preference)
select r.user_id, g.name, g.gender, g.orientation, g.relationship, g.anatomy_self,
    g.anatomy_preference
from jsonb_to_recordset($1::jsonb) r (user_id uuid, demographics jsonb)
    cross join lateral jsonb_populate_record(null::demographics, r.demographics) g
where r.demographics is not null and r.user_id = any ($2::uuid[])
on conflict do nothing returning user_id
"""
# What somebody shows new partners, where it is not what everybody does; a choice made here stays.
SHARING = """
insert into sharing_choices (user_id, level)
select r.user_id, r.level from jsonb_to_recordset($1::jsonb) r (user_id uuid, level text)
where r.level <> 'OVERLAPPING' and r.user_id = any ($2::uuid[])
on conflict do nothing
"""
ACTIVITIES = """
insert into activities (id, kind, level, intensity, text, themes, audience, limit_keys,
    needs_anatomy_active, needs_anatomy_partner, power_role, preference_keys, domains, source)
select id, kind, level, intensity, text, themes, audience, limit_keys, needs_anatomy_active,
    needs_anatomy_partner, power_role, preference_keys, domains, source
from jsonb_populate_recordset(null::activities, $1::jsonb)
on conflict do nothing returning id
"""
# Both sides of a pair. Each shows the other what they had set for all; who is here decides anew.
PARTNERS = """
insert into partners
    (user_id, partner_id, display_name, sharing, shared, connected_at, last_used_at)
select r.user_id, r.partner_id, u.display_name, r.sharing, r.shared,
    coalesce(r.connected_at, now()), coalesce(r.last_played_at, r.connected_at, now())
from jsonb_to_recordset($1::jsonb) r (user_id uuid, partner_id uuid, sharing text, shared text,
        connected_at timestamptz, last_played_at timestamptz)
    join users u on u.id = r.partner_id
on conflict do nothing returning user_id, partner_id
"""
DROP_OLD_PARTNERS = f"select {DROP_OLD.name}(id) from unnest($1::uuid[]) as known (id)"  # noqa: S608
SESSIONS = """
insert into play_sessions (id, level, status, turn_player_id, turn_count, created_at, updated_at)
select r.id, r.level, 'ACTIVE', r.turn_player_id, r.turn_count, r.created_at, r.updated_at
from jsonb_to_recordset($1::jsonb) r (id uuid, level text, turn_player_id uuid, turn_count integer,
    created_at timestamptz, updated_at timestamptz)
on conflict do nothing returning id
"""
PLAYERS = """
insert into play_players (id, session_id, user_id, seat, name, anatomy, is_opponent, status,
    created_at, confirmed_at)
select p.id, r.id, p.user_id, p.seat,
    case when p.user_id is null then p.name else (
        select left(coalesce(nullif(btrim(d.name), ''), nullif(btrim(u.display_name), ''),
            u.username), 100)
        from users u left join demographics d on d.user_id = u.id where u.id = p.user_id) end,
    p.anatomy, p.is_opponent, p.status, r.created_at,
    case when p.user_id is not null then r.created_at end
from jsonb_to_recordset($1::jsonb) r (id uuid, created_at timestamptz, players jsonb)
    cross join jsonb_to_recordset(r.players) p (id uuid, user_id uuid, seat integer, name text,
        anatomy text[], is_opponent boolean, status text)
where r.id = any ($2::uuid[])
"""
TURNS = """
insert into play_turns (id, session_id, number, player_id, partner_id, activity_id, kind, level,
    intensity, text, theme, why, scores, created_at)
select t.id, r.id, t.number, t.player_id, t.partner_id, t.activity_id, t.kind, r.level, t.intensity,
    t.text, t.theme, '{}', '{}', r.created_at
from jsonb_to_recordset($1::jsonb) r (id uuid, level text, created_at timestamptz, turns jsonb)
    cross join jsonb_to_recordset(r.turns) t (id uuid, number integer, player_id uuid,
        partner_id uuid, activity_id text, kind text, intensity integer, text text, theme text)
where r.id = any ($2::uuid[])
"""
END_TURNS = """
update play_turns t set status = 'COMPLETED', ended_at = t.created_at
where t.session_id = any ($1::uuid[])
"""
END_SESSIONS = """
update play_sessions s set status = r.ends_as, version = s.version + 1, ended_at = s.updated_at
from jsonb_to_recordset($1::jsonb) r (id uuid, ends_as text)
where s.id = r.id and r.ends_as is not null and r.id = any ($2::uuid[])
"""
# What was thought of an activity counts as it does when a turn is completed (db/play/drawing.sql).
HISTORY = """
with shown as (
    insert into play_history (id, user_id, activity_id, kind, theme, shown_at)
    select r.id, r.user_id, r.activity_id, r.kind, r.theme, r.shown_at
    from jsonb_to_recordset($1::jsonb) r (id uuid, user_id uuid, activity_id text, kind text,
        theme text, shown_at timestamptz)
    where r.user_id = any ($2::uuid[])
    on conflict do nothing returning id, user_id, theme
), liked as (
    select s.user_id, s.theme, count(*) as times, sum(coalesce(r.liking, 0)) as liking
    from shown s join jsonb_to_recordset($1::jsonb) r (id uuid, liking double precision) using (id)
    group by s.user_id, s.theme
), themes as (
    insert into play_themes as h (user_id, theme, weight, shown_count)
    select l.user_id, l.theme, greatest(-0.3, least(0.3, l.liking)), l.times from liked l
    on conflict (user_id, theme) do update
    set weight = greatest(-0.3, least(0.3, h.weight + excluded.weight)),
        shown_count = h.shown_count + excluded.shown_count
)
select id from shown
"""
