-- A guest's memberships when the guest is merged into a member's account. Guests have none of their
-- own making; one that an operator gave moves.

-- Makes the guest's memberships the member's. Where both belong to an organization, the member has the
-- higher of the two roles. Returns how many moved.
create or replace function app.merge_memberships(guest uuid, member uuid) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    membership public.organization_members;
    moved integer := 0;
begin
    for membership in
        select * from public.organization_members m where m.user_id = guest order by m.organization_id
    loop
        perform from public.organizations o where o.id = membership.organization_id for no key update;
        update public.organization_members m set role = membership.role
        where m.organization_id = membership.organization_id and m.user_id = member
            and app.organization_rank(membership.role) > app.organization_rank(m.role);
        if exists (select from public.organization_members m
            where m.organization_id = membership.organization_id and m.user_id = member) then
            delete from public.organization_members m where m.id = membership.id;
        else
            update public.organization_members m set user_id = member, email = u.email, display_name = u.display_name
            from public.users u where m.id = membership.id and u.id = member;
            moved := moved + 1;
        end if;
        update public.organizations o set updated_at = clock_timestamp() where o.id = membership.organization_id;
    end loop;
    return moved;
end;
$$;

revoke execute on function app.merge_memberships(uuid, uuid) from public;
