-- What an operator does for somebody who has lost every second factor, and asks by another way who
-- they are: the account asks for none any more. False when it asked for none before.
create or replace function app.remove_second_factors(wanted uuid, given_by text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    found_any boolean;
begin
    perform from public.users u where u.id = wanted for no key update;
    with totp as (delete from public.totp_factors t where t.user_id = wanted returning t.confirmed_at),
        passkeys as (
            delete from public.passkeys p where p.user_id = wanted and p.is_second_factor returning p.id)
    select exists (select from totp where confirmed_at is not null) or exists (select from passkeys)
    into found_any;
    delete from public.recovery_codes r where r.user_id = wanted;
    if not found_any then
        return false;
    end if;
    insert into public.audit_log (user_id, action, detail)
    values (wanted, 'second_factors_removed', jsonb_build_object('by', given_by));
    perform app.queue_email('second_factor_changed', u.email, null, u.id, '{"change": "other"}')
    from public.users u where u.id = wanted and u.email is not null;
    return true;
end;
$$;

revoke execute on function app.remove_second_factors(uuid, text) from public;
