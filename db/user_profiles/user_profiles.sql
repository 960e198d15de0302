-- What users say of themselves.

-- Changes what is given of the caller's own profile, and makes it the first time. Returns the caller.
create or replace function app.update_user_profile(given jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
begin
    insert into public.user_profiles as u (user_id, synthesis, zodiac_sign, location, preferences, dating_goals,
        data_exports, text_inputs, video_analysis, manual_entry, settings, insight_feedback)
    values (actor_id, nullif(given -> 'synthesis', 'null'), given ->> 'zodiac_sign', given ->> 'location',
            coalesce(given -> 'preferences', '{}'), nullif(given -> 'dating_goals', 'null'),
            coalesce(given -> 'data_exports', '[]'), coalesce(given -> 'text_inputs', '[]'),
            nullif(given -> 'video_analysis', 'null'), nullif(given -> 'manual_entry', 'null'),
            coalesce(given -> 'settings', '{}'), coalesce(given -> 'insight_feedback', '[]'))
    on conflict (user_id) do update
    set synthesis = case when given ? 'synthesis' then excluded.synthesis else u.synthesis end,
        zodiac_sign = case when given ? 'zodiac_sign' then excluded.zodiac_sign else u.zodiac_sign end,
        location = case when given ? 'location' then excluded.location else u.location end,
        preferences = case when given ? 'preferences' then excluded.preferences else u.preferences end,
        dating_goals = case when given ? 'dating_goals' then excluded.dating_goals else u.dating_goals end,
        data_exports = case when given ? 'data_exports' then excluded.data_exports else u.data_exports end,
        text_inputs = case when given ? 'text_inputs' then excluded.text_inputs else u.text_inputs end,
        video_analysis = case when given ? 'video_analysis' then excluded.video_analysis else u.video_analysis end,
        manual_entry = case when given ? 'manual_entry' then excluded.manual_entry else u.manual_entry end,
        settings = case when given ? 'settings' then excluded.settings else u.settings end,
        insight_feedback = case when given ? 'insight_feedback' then excluded.insight_feedback
            else u.insight_feedback end,
        updated_at = clock_timestamp();
    return actor_id;
end;
$$;

-- A guest's becomes the member's, who may have one already: that stays. Returns how many moved.
create or replace function app.merge_user_profiles(guest uuid, member uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    moved bigint;
begin
    delete from public.user_profiles u where u.user_id = guest
        and exists (select from public.user_profiles m where m.user_id = member);
    with gone as (
        update public.user_profiles u set user_id = member where u.user_id = guest returning 1)
    select count(*) into moved from gone;
    return moved;
end;
$$;

revoke execute on function app.update_user_profile(jsonb), app.merge_user_profiles(uuid, uuid) from public;
grant execute on function app.update_user_profile(jsonb) to authenticated;
