-- The switches: what an operator turns on or off for everybody. All that changes them is in the audit log.

-- Whether nobody's use of credits is charged now: it is noted as that of an `unlimited` user. In PL/pgSQL, which keeps the
-- plan for the session; every spend asks.
create or replace function app.credits_are_unlimited() returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    return coalesce((select s.credits_unlimited from public.switches s), false);
end;
$$;

-- Whether what an AI makes is made now. In PL/pgSQL for the same reason.
create or replace function app.ai_is_enabled() returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    return coalesce((select s.ai_enabled from public.switches s), true);
end;
$$;

-- What a queued run says that a worker finds while no AI is asked.
create or replace function app.ai_disabled_message() returns text
language sql immutable parallel safe
return 'What an AI makes is switched off at the moment. No credit was spent; try again when `switches` says so.';

-- Turns a switch on or off and notes who did; one that stands there already changes nothing. `by_user` is an admin, null
-- for the operator, whom `given_by` names. Returns the row's key.
create or replace function app.turn_switch(wanted text, is_on boolean, why text, by_user uuid, given_by text)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    before public.switches;
begin
    if wanted not in ('sync_enabled', 'credits_unlimited', 'ai_enabled', 'read_only') then
        perform app.refuse('NOT_FOUND', 'There is no such switch.', '{"path": ["input", "name"]}');
    end if;
    select * into before from public.switches s for update;
    if to_jsonb(before) -> wanted = to_jsonb(is_on) then
        return before.id;
    end if;
    update public.switches s set
        sync_enabled = case wanted when 'sync_enabled' then is_on else s.sync_enabled end,
        credits_unlimited = case wanted when 'credits_unlimited' then is_on else s.credits_unlimited end,
        ai_enabled = case wanted when 'ai_enabled' then is_on else s.ai_enabled end,
        read_only = case wanted when 'read_only' then is_on else s.read_only end,
        updated_at = clock_timestamp();
    insert into public.audit_log (user_id, action, detail)
    values (by_user, 'set_switch', jsonb_strip_nulls(jsonb_build_object(
        'switch', wanted, 'value', is_on, 'by', given_by, 'reason', why)));
    return before.id;
end;
$$;

-- The same, asked for by an admin.
create or replace function app.turn_switch_as_admin(wanted text, is_on boolean, why text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
begin
    return app.turn_switch(wanted, is_on, why, admin_id, 'user_' || admin_id);
end;
$$;

revoke execute on function
    app.credits_are_unlimited(), app.ai_is_enabled(), app.ai_disabled_message(), app.turn_switch(text, boolean, text, uuid, text),
    app.turn_switch_as_admin(text, boolean, text)
from public;
grant execute on function app.turn_switch_as_admin(text, boolean, text) to authenticated;
