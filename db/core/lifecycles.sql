-- Trigger of tables with a lifecycle (`lifecycle_statements()`), whose condition has decided already:
-- refuses what it is called for. No client asked for it, so it is a bug and no refusal.
create or replace function app.refuse_transition() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    after_change text := coalesce(to_jsonb(new) ->> tg_argv[0], 'null');
    complaint text := format('a row of %s does not begin with %s %s', tg_table_name, tg_argv[0], after_change);
begin
    if tg_op = 'UPDATE' then
        complaint := format('%s.%s does not go from %s to %s', tg_table_name, tg_argv[0],
                            coalesce(to_jsonb(old) ->> tg_argv[0], 'null'), after_change);
    end if;
    raise exception '%', complaint using
        errcode = 'check_violation', table = tg_table_name, column = tg_argv[0], constraint = tg_name,
        hint = 'docs/lifecycles.md has the states and transitions.';
end;
$$;

revoke execute on function app.refuse_transition() from public;
