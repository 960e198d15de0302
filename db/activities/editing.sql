-- What admins do to activities. What is noted, and that doing it again changes nothing, is the catalog's.

-- Adds an activity to the bank, or changes the one with the same kind and text. Returns its id.
create or replace function app.create_activity(wanted text, changes jsonb) returns text
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select app.save_in_catalog('activities', 'id', wanted,
        case when exists (select from public.activities a where a.id = wanted) then changes - '{kind,text}'::text[]
        else changes || '{"source": "ADMIN"}' end, '{}');
$$;

-- Changes an activity, whose kind and text stay, and returns it.
create or replace function app.update_activity(wanted text, changes jsonb) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.required_admin_id();
    if not exists (select from public.activities a where a.id = wanted) then
        perform app.refuse('NOT_FOUND', 'There is no such activity.', '{"path": ["input", "id"]}');
    end if;
    return app.save_in_catalog('activities', 'id', wanted, changes, '{}');
end;
$$;

-- Switches an activity off: it is drawn no more, and what was played names it.
create or replace function app.remove_activity(wanted text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.switch_off_in_catalog('activities', wanted);
    return wanted;
end;
$$;

revoke execute on function
    app.create_activity(text, jsonb), app.update_activity(text, jsonb), app.remove_activity(text)
from public;
grant execute on function
    app.create_activity(text, jsonb), app.update_activity(text, jsonb), app.remove_activity(text)
to authenticated;
