-- What is left of somebody whose account is erased with those who were their partners.

-- Takes an account off the lists of its partners, and its name and its address out of what these may still read of it
-- behind an old cursor; that it is gone stays there. Returns how many rows and events that were. Former partners are
-- those whom the account's own events name: what is older than these is gone from the others' as well.
create or replace function app.erase_partners(leaving uuid, at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    others constant uuid[] := array(
        select p.user_id from public.partners p where p.partner_id = leaving
        union select (e.snapshot ->> 'partner_id')::uuid from public.events e
        where e.user_id = leaving and e.topic = 'partners.changed');
    done integer;
    told integer;
begin
    delete from public.partners p where p.id in (
        select q.id from public.partners q where leaving in (q.user_id, q.partner_id) limit at_most);
    get diagnostics done = row_count;
    update public.events e set snapshot = e.snapshot || '{"display_name": null}'
    where e.user_id = any (others) and e.topic = 'partners.changed'
        and e.snapshot ->> 'partner_id' = leaving::text and e.snapshot ->> 'display_name' is not null;
    get diagnostics told = row_count;
    done := done + told;
    update public.events e set snapshot = e.snapshot || jsonb_build_object(own.column_name, null)
    from (select distinct o.entity_id,
            coalesce(nullif(o.snapshot ->> 'requester_id', leaving::text), o.snapshot ->> 'recipient_id')::uuid as other,
            case o.snapshot ->> 'requester_id' when leaving::text then 'requester_name' else 'email' end as column_name
        from public.events o where o.user_id = leaving and o.topic = 'partner_request.changed') own
    where e.user_id = own.other and e.topic = 'partner_request.changed' and e.entity_id = own.entity_id
        and e.snapshot ->> own.column_name is not null;
    get diagnostics told = row_count;
    return done + told;
end;
$$;

revoke execute on function app.erase_partners(uuid, integer) from public;
