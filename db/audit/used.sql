-- What of ordinary use the audit log notes: analyses, payments, and that credits were used. What syncs it notes, the
-- syncs themselves say (`db/sync/exchange.sql`).

-- Trigger of `profile_analyses`: one that has ended, and how.
create or replace function app.note_analysis_end() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.audit_log (user_id, action, subject, detail)
    values (new.user_id, 'analysis', lower(new.status), jsonb_strip_nulls(jsonb_build_object(
        'status', case new.status when 'SUCCEEDED' then 'success' else 'failure' end, 'analysis', new.id,
        'credits', new.credits_charged, 'code', new.error_code)));
    return null;
end;
$$;

-- Trigger of `payments`: one that has succeeded or failed.
create or replace function app.note_payment() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.audit_log (user_id, action, subject, detail)
    values (new.user_id, 'purchase', new.provider, jsonb_build_object(
        'status', case new.status when 'SUCCEEDED' then 'success' else 'failure' end, 'payment', new.id,
        'order', new.order_id, 'amount_cents', new.amount_cents, 'currency', new.currency));
    return null;
end;
$$;

-- Trigger of `credit_transactions`: the first use of an hour; each use is a line of the ledger. The wallet's lock,
-- which the movement has, keeps two from being noted.
create or replace function app.note_credit_use() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from public.audit_log l
        where l.user_id = new.user_id and l.action = 'credit_use' and l.subject is null
            and l.created_at > now() - interval '1 hour')
        and exists (select from public.users u where u.id = new.user_id) then
        insert into public.audit_log (user_id, action, detail)
        values (new.user_id, 'credit_use', jsonb_build_object('status', 'success', 'transaction', new.id));
    end if;
    return null;
end;
$$;

-- Notes that a device sent changes, for the first time in an hour; and what was refused, likewise. The lock on the
-- user's count of changes, which the sync has, keeps two from being noted.
create or replace function app.note_sync(actor_id uuid, device_id text, taken integer, refused integer) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    outcome text := case refused when 0 then 'success' else 'failure' end;
begin
    if not exists (select from public.audit_log l
        where l.user_id = actor_id and l.action = 'sync' and l.subject = device_id
            and l.detail ->> 'status' = outcome and l.created_at > now() - interval '1 hour') then
        insert into public.audit_log (user_id, action, subject, detail)
        values (actor_id, 'sync', device_id, jsonb_build_object('status', outcome, 'taken', taken,
                                                                'refused', refused));
    end if;
end;
$$;

revoke execute on function
    app.note_analysis_end(), app.note_payment(), app.note_credit_use(), app.note_sync(uuid, text, integer, integer)
from public;
