-- Commands on profiles. They have their caller's rights: grants and row-level security say what they
-- may touch. What is given comes as one object, each value under its column's name.

-- Creates a profile of the actor's and returns it. With a `local_id` the call can be repeated: the
-- profile that already has it is returned as it is, so that a client which lost an answer does not
-- make a second one.
create or replace function app.create_profile(given jsonb) returns uuid
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    profile_id uuid;
begin
    insert into public.profiles
        (user_id, local_id, name, thumbnail, analysis, chat_history, created_at, updated_at)
    values (
        actor_id, (given ->> 'local_id')::integer, given ->> 'name', given ->> 'thumbnail',
        given -> 'analysis', coalesce(given -> 'chat_history', '[]'),
        coalesce((given ->> 'created_at')::timestamptz, now()),
        coalesce((given ->> 'updated_at')::timestamptz, now()))
    on conflict do nothing returning id into profile_id;
    if profile_id is null then
        select p.id into profile_id from public.profiles p
        where p.user_id = actor_id and p.local_id = (given ->> 'local_id')::integer;
    end if;
    return profile_id;
end;
$$;

-- Changes what is given of a profile of the actor's and returns it; NOT_FOUND for any other. Without
-- `updated_at` it was changed now.
create or replace function app.update_profile(profile_id uuid, given jsonb) returns uuid
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
begin
    update public.profiles p set
        name = case when given ? 'name' then given ->> 'name' else p.name end,
        thumbnail = case when given ? 'thumbnail' then given ->> 'thumbnail' else p.thumbnail end,
        analysis = coalesce(given -> 'analysis', p.analysis),
        chat_history = coalesce(given -> 'chat_history', p.chat_history),
        updated_at = coalesce((given ->> 'updated_at')::timestamptz, now()),
        synced_at = now()
    where p.id = profile_id and p.user_id = actor_id;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such profile.', '{"path": ["input", "id"]}');
    end if;
    return profile_id;
end;
$$;

revoke execute on function app.create_profile(jsonb), app.update_profile(uuid, jsonb) from public;
grant execute on function app.create_profile(jsonb), app.update_profile(uuid, jsonb) to authenticated;
