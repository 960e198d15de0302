-- What users say of themselves.

-- Changes what is given of the caller's own row; USERNAME_IN_USE when the name is somebody else's.
-- With its caller's rights: grants and policies say which columns.
create or replace function app.change_user(given jsonb) returns uuid
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    return app.update_users(app.required_user_id(), given);
exception when unique_violation then
    perform app.refuse('USERNAME_IN_USE', 'This username is taken; choose another one.',
        '{"path": ["input", "username"]}');
end;
$$;

-- The seed that was loaded last, by which a page knows what it is for; nothing where none was.
create or replace function app.loaded_seed() returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select t.seed from public.sign_up_terms t;
$$;

revoke execute on function app.change_user(jsonb), app.loaded_seed() from public;
grant execute on function app.change_user(jsonb) to authenticated;
grant execute on function app.loaded_seed() to service;
