-- Coaching sessions.

-- Keeps a session about a profile of the actor's and returns it; with a `client_id` that one of theirs has, that one
-- as it is. The pictures of the conversation are used from now on, so they are not swept.
create or replace function app.create_coaching_session(given jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    session uuid;
begin
    -- Locked, so that it is not deleted before the session is there.
    perform from public.profiles p
    where p.id = (given ->> 'profile_id')::uuid and p.user_id = actor_id for key share;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such profile.', '{"path": ["input", "profileId"]}');
    end if;
    insert into public.coaching_sessions (user_id, profile_id, client_id, upload_ids, match_analysis,
        suggested_responses, actual_response, response_score, score_explanation, created_at)
    values (actor_id, (given ->> 'profile_id')::uuid, given ->> 'client_id',
        array(select jsonb_array_elements_text(coalesce(given -> 'upload_ids', '[]'))::uuid),
        nullif(given -> 'match_analysis', 'null'), coalesce(given -> 'suggested_responses', '[]'),
        given ->> 'actual_response', (given ->> 'response_score')::integer, given ->> 'score_explanation',
        coalesce((given ->> 'created_at')::timestamptz, clock_timestamp()))
    on conflict (user_id, client_id) do nothing
    returning id into session;
    if session is null then
        select s.id into session from public.coaching_sessions s
        where s.user_id = actor_id and s.client_id = given ->> 'client_id';
        return session;
    end if;
    perform app.usable_upload(actor_id, u.id::uuid, 'uploadIds')
    from jsonb_array_elements_text(coalesce(given -> 'upload_ids', '[]')) as u (id);
    return session;
end;
$$;

revoke execute on function app.create_coaching_session(jsonb) from public;
grant execute on function app.create_coaching_session(jsonb) to authenticated;
