-- Credits that people who run the product give, each noted in the audit log.

-- Gives a user credits and notes who gave them. Returns the transaction; the same key returns the
-- same one and notes nothing more. For the owner's command line, and for admins through the next one.
create or replace function app.give_credits(
    receiver_id uuid, amount integer, expires_at timestamptz, movement_reason text, idempotency_key text,
    given_by text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    movement uuid := app.grant_credits(
        receiver_id, 'ADMIN', amount, null, expires_at, movement_reason, idempotency_key);
begin
    insert into public.audit_log (user_id, action, detail)
    select receiver_id, 'grant_credits', jsonb_build_object(
        'by', given_by, 'reason', movement_reason, 'amount', amount, 'transaction', movement)
    where not exists (
        select from public.audit_log l
        where l.user_id = receiver_id and l.action = 'grant_credits'
        and l.detail ->> 'transaction' = movement::text);
    return movement;
end;
$$;

-- The same, asked for by an admin.
create or replace function app.give_credits_as_admin(
    receiver_id uuid, amount integer, expires_at timestamptz, movement_reason text, idempotency_key text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
begin
    if not exists (select from public.users u where u.id = receiver_id) then
        perform app.refuse('NOT_FOUND', 'There is no such user.', '{"path": ["input", "userId"]}');
    end if;
    perform app.check_idempotency_key(idempotency_key);
    return app.give_credits(
        receiver_id, amount, expires_at, movement_reason, idempotency_key, 'user_' || admin_id);
end;
$$;

revoke execute on function
    app.give_credits(uuid, integer, timestamptz, text, text, text),
    app.give_credits_as_admin(uuid, integer, timestamptz, text, text)
from public;
grant execute on function app.give_credits_as_admin(uuid, integer, timestamptz, text, text) to authenticated;
