-- Admins: who is one is read from the database, not from the token, so that who is none any more
-- sees and does nothing.

-- Whether the actor is an admin; who came with an API key, whose claim is in braces, is none. With its
-- definer's rights, since the policy on `users` asks it. In PL/pgSQL, which keeps the plan for the
-- session: a function in SQL that is not inlined plans its query in each statement, and took a quarter
-- of a nested read.
create or replace function app.is_admin() returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    return not starts_with(coalesce(current_setting('app.user_id', true), ''), '{')
        and exists (select from public.users u where u.id = app.user_id() and u.role = 'admin');
end;
$$;

-- The actor of a command for admins; refuses everybody else.
create or replace function app.required_admin_id() returns uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
begin
    if not app.is_admin() then
        perform app.refuse('FORBIDDEN', 'This is for admins only.');
    end if;
    return actor_id;
end;
$$;

-- The user with an e-mail, by the key that all its spellings have in common; null for all but admins.
create or replace function app.user_of_email_key(key text) returns uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select u.id from public.users u where u.email_key = key and app.is_admin();
$$;

revoke execute on function app.is_admin(), app.required_admin_id(), app.user_of_email_key(text) from public;
grant execute on function app.is_admin(), app.required_admin_id(), app.user_of_email_key(text) to authenticated;
