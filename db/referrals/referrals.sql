-- Referrals: a friend signs up by a code, and both get credits once that friend has bought or used something.

-- A code as it is kept, whatever stands between its letters.
create or replace function app.clean_referral_code(given text) returns text
language sql immutable set search_path = pg_catalog, pg_temp
return upper(regexp_replace(given, '[^0-9A-Za-z]', '', 'g'));

-- Why a referral does not count though it was made: the device had one before, or the two stand in a circle. Null where it
-- counts. The device is the referee's from then on.
create or replace function app.referral_objection(referrer uuid, referee uuid, device bytea) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    known uuid;
    above uuid := referrer;
begin
    if device is not null then
        insert into public.referral_devices as d (device_hash, user_id) values (device, referee)
        on conflict (device_hash) do update set device_hash = d.device_hash
        returning d.user_id into known;
        if known is distinct from referee then
            return 'SAME_DEVICE';
        end if;
    end if;
    for step in 1 .. 100 loop
        select r.referrer_id into above from public.referrals r where r.referee_id = above;
        exit when above is null;
        if above = referee then
            return 'CIRCLE';
        end if;
    end loop;
    return null;
end;
$$;

-- Whether nothing tells two users' devices apart: no device is named, or both are signed in from the same network with the
-- same program.
create or replace function app.seem_near(referrer uuid, referee uuid, device bytea) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select device is null or exists (
        select from public.sessions a join public.sessions b
        on b.address = a.address and b.user_agent is not distinct from a.user_agent
        where a.user_id = referrer and b.user_id = referee);
$$;

-- Notes that a member came by a code. Again with the same code it is the same referral, of which a device may be told then.
create or replace function app.begin_referral(referee uuid, given_code text, device bytea) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    newcomer public.users;
    referrer uuid;
    known public.referrals;
    objection text;
    made uuid;
    signed_up_at timestamptz;
begin
    -- One at a time.
    select * into newcomer from public.users u where u.id = referee for no key update;
    -- What was bought since they signed up by the code is what the code is for.
    select c.created_at into signed_up_at from public.referral_claims c
    where c.email_key = newcomer.email_key and c.code = app.clean_referral_code(given_code);
    if newcomer.is_anonymous then
        perform app.refuse('FORBIDDEN', 'Guests redeem no codes. Sign up first.');
    end if;
    select u.id into referrer from public.users u
    where u.referral_code = app.clean_referral_code(given_code) and not u.is_anonymous and u.status = 'active';
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such code.', '{"path": ["input", "code"]}');
    elsif referrer = referee then
        perform app.refuse('BAD_USER_INPUT', 'This is your own code: give it to a friend.',
            '{"path": ["input", "code"]}');
    end if;
    select * into known from public.referrals r where r.referee_id = referee for update;
    if known.id is not null and known.referrer_id <> referrer then
        perform app.refuse('INVALID_STATE', 'You came by another code already.', '{"path": ["input", "code"]}');
    elsif known.id is null and (newcomer.created_at < now() - interval '30 days' or exists (
        select from public.orders o where o.user_id = referee and o.paid_at < coalesce(signed_up_at, 'infinity'))) then
        perform app.refuse('INVALID_STATE', 'Codes are for new members who have bought nothing yet.',
            '{"path": ["input", "code"]}');
    elsif known.id is not null and (known.status <> 'PENDING' or device is null) then
        return known.id;
    end if;
    objection := app.referral_objection(referrer, referee, device);
    -- What the friend has done by now is looked at, too.
    insert into public.referrals as r (referrer_id, referee_id, status, reason, is_near, checked_at, ended_at)
    values (referrer, referee, case when objection is null then 'PENDING' else 'REFUSED' end, objection,
        app.seem_near(referrer, referee, device), newcomer.created_at, case when objection is not null then now() end)
    on conflict (referee_id) do update
    set status = excluded.status, reason = excluded.reason, is_near = excluded.is_near, ended_at = excluded.ended_at
    returning r.id into made;
    if objection is not null then
        insert into public.audit_log (user_id, action, detail)
        values (referee, 'refuse_referral', jsonb_build_object('reason', objection, 'referrer', 'user_' || referrer));
    end if;
    return made;
end;
$$;

-- The same for the actor.
create or replace function app.redeem_referral_code(given_code text, device bytea) returns uuid
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select app.begin_referral(app.required_user_id(), given_code, device);
$$;

-- Keeps the code that somebody signs up with until there is an account; one that is nobody's is forgotten.
create or replace function app.claim_referral(address_key text, given_code text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into public.referral_claims as c (email_key, code)
    select address_key, u.referral_code from public.users u
    where u.referral_code = app.clean_referral_code(given_code)
    on conflict (email_key) do update set code = excluded.code, created_at = now();
$$;

-- Makes referrals of the codes of those whose accounts are there now; returns how many were looked at.
create or replace function app.begin_claimed_referrals(at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    claim record;
    looked_at integer := 0;
begin
    for claim in
        select c.email_key, c.code, u.id from public.referral_claims c join public.users u on u.email_key = c.email_key
        order by c.created_at limit at_most for update of c skip locked
    loop
        begin
            perform app.begin_referral(claim.id, claim.code, null);
        exception when sqlstate 'TG000' then
            null;  -- no code of theirs: an older account, or their own
        end;
        delete from public.referral_claims c where c.email_key = claim.email_key;
        looked_at := looked_at + 1;
    end loop;
    return looked_at;
end;
$$;

-- Referrals of which something may have come: something moved in the friend's wallet since they were looked at, or their
-- time is over.
create or replace function app.due_referrals(at_most integer) returns setof uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select r.id from public.referrals r left join public.wallets w on w.user_id = r.referee_id
    where r.status = 'PENDING' and (w.updated_at > r.checked_at or r.created_at < now() - interval '90 days')
    order by r.created_at limit at_most;
$$;

-- The first order that somebody has paid for and not had back; null without one.
create or replace function app.paid_order_of(buyer uuid) returns uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select o.id from public.orders o
    where o.user_id = buyer and o.status = 'PAID' and o.amount_cents > 0 order by o.paid_at, o.id limit 1;
$$;

-- Whether a friend has done what counts: paid for something, or, with an address that is confirmed, used a credit.
create or replace function app.is_real_friend(referral public.referrals) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from public.orders o
        where o.user_id = referral.referee_id and o.status = 'PAID' and o.amount_cents > 0)
    or not referral.is_near
    and exists (select from public.users u where u.id = referral.referee_id and u.email_confirmed_at is not null)
    and exists (
        select from public.credit_transactions t
        where t.user_id = referral.referee_id and t.type in ('SPEND', 'CAPTURE') and t.used > 0);
$$;

-- Rewards both sides of a referral, once, if the friend has done what counts; true when that has come of it.
create or replace function app.settle_referral(wanted uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    referral public.referrals;
    terms public.referral_terms;
    is_over boolean;
    reward integer;
begin
    select * into referral from public.referrals r where r.id = wanted;
    -- The wallets first, in the order of their ids.
    perform app.lock_wallet(p.id) from (
        select unnest(array[referral.referrer_id, referral.referee_id]) as id order by 1) p;
    select * into referral from public.referrals r where r.id = wanted for update;
    if referral.status is distinct from 'PENDING' then
        return false;
    elsif not app.is_real_friend(referral) then
        is_over := referral.created_at < now() - interval '90 days';
        update public.referrals r
        set checked_at = now(), status = case when is_over then 'LAPSED' else r.status end,
            ended_at = case when is_over then now() end
        where r.id = wanted;
        return false;
    end if;
    select * into terms from public.referral_terms;
    reward := case when (select count(*) from public.referrals r
        where r.referrer_id = referral.referrer_id and r.credits > 0) < terms.most_rewards
        then terms.referrer_credits else 0 end;
    update public.referrals r
    set status = 'REWARDED', credits = reward, ended_at = now(), order_id = app.paid_order_of(r.referee_id)
    where r.id = wanted;
    if reward > 0 then
        perform app.grant_credits(referral.referrer_id, 'REFERRAL', reward, wanted::text);
    end if;
    if terms.referee_credits > 0 then
        perform app.grant_credits(referral.referee_id, 'REFERRAL', terms.referee_credits, wanted::text);
    end if;
    return true;
end;
$$;

-- Rewarded referrals whose friend has had the money back for the order that counted.
create or replace function app.refunded_referrals(at_most integer) returns setof uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select r.id from public.referrals r join public.orders o on o.id = r.order_id
    where r.status = 'REWARDED' and o.status = 'REFUNDED' order by r.ended_at limit at_most;
$$;

-- Takes the credits of a referral back whose friend has had their money back, unless something else of theirs counts;
-- true when that has come of it. The friend owes what they have used of it. Of whose code it was, who has had nothing
-- back, only what is left of it is taken.
create or replace function app.take_back_referral(wanted uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    referral public.referrals;
    given public.credit_grants;
begin
    select * into referral from public.referrals r where r.id = wanted;
    -- The wallets first, in the order of their ids.
    perform app.lock_wallet(p.id) from (
        select unnest(array[referral.referrer_id, referral.referee_id]) as id order by 1) p;
    select * into referral from public.referrals r where r.id = wanted for update;
    if referral.status is distinct from 'REWARDED' or not exists (
        select from public.orders o where o.id = referral.order_id and o.status = 'REFUNDED') then
        return false;
    elsif app.is_real_friend(referral) then
        update public.referrals r set order_id = app.paid_order_of(r.referee_id) where r.id = wanted;
        return false;
    end if;
    update public.referrals r set status = 'TAKEN_BACK' where r.id = wanted;
    for given in
        select * from public.credit_grants g
        where g.source = 'REFERRAL' and g.reference_id = wanted::text
            and g.user_id in (referral.referrer_id, referral.referee_id)
        order by g.user_id
    loop
        if given.user_id = referral.referee_id then
            perform app.take_back_credits(given.user_id, given.amount, wanted::text);
        elsif given.usable and given.remaining > 0 then
            perform app.take_back_credits(given.user_id, given.remaining, wanted::text);
        end if;
    end loop;
    return true;
end;
$$;

revoke execute on function
    app.clean_referral_code(text), app.referral_objection(uuid, uuid, bytea), app.seem_near(uuid, uuid, bytea),
    app.begin_referral(uuid, text, bytea), app.redeem_referral_code(text, bytea), app.claim_referral(text, text),
    app.begin_claimed_referrals(integer), app.due_referrals(integer), app.is_real_friend(public.referrals),
    app.paid_order_of(uuid), app.settle_referral(uuid), app.refunded_referrals(integer), app.take_back_referral(uuid)
from public;
grant execute on function app.redeem_referral_code(text, bytea) to authenticated;
grant execute on function
    app.claim_referral(text, text), app.begin_claimed_referrals(integer), app.due_referrals(integer),
    app.settle_referral(uuid), app.refunded_referrals(integer), app.take_back_referral(uuid)
to service;
