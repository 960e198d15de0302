-- The audit log: the roles of the server write it and never change it. What is old goes by a function
-- that alone says what is old.

-- Deletes the oldest entries that are past their time, so many at once, and returns how many went:
-- after 400 days, or ten years where credits were given, moved or made unlimited.
create or replace function app.forget_old_audit_entries(chunk_rows integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    gone integer;
begin
    delete from public.audit_log where id in (
        select l.id from public.audit_log l
        where l.created_at < now() - interval '400 days' and (l.created_at < now() - interval '10 years'
            or l.action not in ('grant_credits', 'refund_credits', 'transfer_credits', 'set_unlimited'))
        order by l.created_at, l.id limit chunk_rows);
    get diagnostics gone = row_count;
    return gone;
end;
$$;

-- Trigger: what of an entry its account's owner is shown beside the action; the rest of the detail is the
-- operator's. And from where it was asked for, as far as its call has said (`SqlFunction.noting_place()`).
create or replace function app.show_audit_subject() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    place jsonb;
begin
    new.subject := left(coalesce(new.detail ->> 'provider', new.detail ->> 'method', new.detail ->> 'source',
        new.detail ->> 'api_key'), 200);
    if new.network is null and new.device is null then
        place := nullif(current_setting('app.place', true), '')::jsonb;
        new.network := place ->> 'network';
        new.device := place ->> 'device';
    end if;
    return new;
end;
$$;

-- Takes an account that is being erased out of the entries of others, which name it as who did something
-- or whom it was done to. The condition on the entries is that of the index that finds them.
create or replace function app.forget_named_in_audit(leaving uuid, at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named jsonpath := format('$.** ? (@ == "user_%1$s" || @ == "%1$s")', leaving)::jsonpath;
    done integer;
begin
    update public.audit_log l set detail = replace(l.detail::text, leaving::text, 'gone')::jsonb
    where l.id in (
        select a.id from public.audit_log a
        where a.detail @? named and (strpos(a.detail::text, 'user_') > 0 or a.detail ? 'older_account')
        limit at_most);
    get diagnostics done = row_count;
    return done;
end;
$$;

-- Trigger: an entry that outlives its account says no more where its owner was, nor why.
create or replace function app.forget_audited_person() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.subject := null;
    new.network := null;
    new.device := null;
    new.detail := new.detail - 'reason';
    return new;
end;
$$;

revoke execute on function
    app.forget_old_audit_entries(integer), app.forget_audited_person(),
    app.show_audit_subject(), app.forget_named_in_audit(uuid, integer)
from public;
grant execute on function app.forget_old_audit_entries(integer) to service;
