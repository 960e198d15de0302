-- Trigger: a session that is deleted before its time, most often with its account, has tokens that are
-- still good. Every process looks here, and at what was revoked, for those to refuse.
create or replace function app.record_deleted_session() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if old.revoked_at is null and old.expires_at > now() then
        insert into public.deleted_sessions (id, deleted_at) values (old.id, clock_timestamp())
        on conflict (id) do nothing;
    end if;
    return null;
end;
$$;

revoke execute on function app.record_deleted_session() from public;
