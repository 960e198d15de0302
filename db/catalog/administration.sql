-- What admins change in the catalog while the product runs.

-- Switches a tool on or off, and notes it; doing it twice changes nothing more. Returns the tool.
create or replace function app.set_tool_active(wanted text, active boolean) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
begin
    update public.tools t set is_active = active, edited = app.with_edited(t.edited, '{is_active}')
    where t.id = wanted and t.is_active <> active;
    if found then
        insert into public.audit_log (user_id, action, detail)
        values (admin_id, 'set_tool_active', jsonb_build_object('tool', 'tool_' || wanted, 'isActive', active));
    elsif not exists (select from public.tools t where t.id = wanted) then
        perform app.refuse('NOT_FOUND', 'There is no such tool.', '{"path": ["input", "toolId"]}');
    end if;
    return wanted;
end;
$$;

revoke execute on function app.set_tool_active(text, boolean) from public;
grant execute on function app.set_tool_active(text, boolean) to authenticated;
