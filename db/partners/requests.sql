-- Requests to connect: asked, delivered by a job, answered, expired.

-- Whether somebody is not to be reached by a requester, who is not told: they have blocked them, or declined another
-- request of theirs within the hour.
create or replace function app.is_quiet(recipient uuid, requester uuid) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select from public.partner_blocks b where b.user_id = recipient and b.blocked_id = requester)
        or exists (select from public.partner_requests r where r.recipient_id = recipient
            and r.requester_id = requester and r.status = 'DECLINED' and r.ended_at > now() - interval '1 hour');
$$;

-- Brings a request to the account that has the address, if there is one that is to be reached, once, and tells whoever
-- has the address: by e-mail in any case, in the app where there is an account. Who is asked again while it is pending
-- may be reached meanwhile. A job does it, so that asking takes the same for every address.
create or replace function app.deliver_partner_request(wanted uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    mails_an_hour constant integer := 5;
    -- Whoever asks again and again is on the list, and wakes nobody.
    told_of_one constant integer := 3;
    told_in_all constant integer := 20;
    request public.partner_requests;
    requester public.users;
    known public.users;
    is_silenced boolean := false;
begin
    select * into request from public.partner_requests r where r.id = wanted;
    select * into known from public.users u
    where u.email_key = request.email_key and u.status = 'active' and not u.is_anonymous and u.id <> request.requester_id;
    perform app.lock_pair(request.requester_id, coalesce(known.id, request.requester_id));
    if app.is_quiet(known.id, request.requester_id) then
        known.id := null;
        is_silenced := true;
    end if;
    update public.partner_requests r set delivered_at = clock_timestamp(), recipient_id = known.id
    where r.id = wanted and r.status = 'PENDING' and r.expires_at > clock_timestamp()
        and (r.delivered_at is null or r.recipient_id is null and known.id is not null)
    returning * into request;
    if not found or is_silenced then
        return;
    end if;
    select * into requester from public.users u where u.id = request.requester_id;
    if (select count(*) from public.partner_requests r
        where r.email_key = request.email_key and r.created_at > now() - interval '1 hour') <= mails_an_hour then
        perform app.queue_email('partner_request', coalesce(request.email, known.email), coalesce(known.locale, requester.locale), known.id,
            jsonb_build_object('requester', requester.email, 'expires_at', request.expires_at));
    end if;
    if known.id is not null and (select count(*) <= told_in_all
            and count(*) filter (where r.requester_id = request.requester_id) <= told_of_one
        from public.partner_requests r
        where r.email_key = request.email_key and r.created_at > now() - interval '1 hour') then
        perform app.notify(known.id, 'GENERAL', 'notifications.partnerRequest.title',
            'notifications.partnerRequest.message', jsonb_build_object(
                'name', case when app.is_plain_name(request.requester_name) then request.requester_name
                    else requester.email end,
                'requestId', 'partnerRequest_' || wanted));
    end if;
end;
$$;

-- Asks an e-mail address to connect and returns the request. Known and unknown addresses and those who have
-- blocked the caller have the same answer for the same work: what is different is a job's. While a request is pending
-- it stays the only one; who asks somebody that has asked them accepts. `email` is what the caller typed, and null
-- where they did not type it; `level` what they will show, null for what they showed before.
create or replace function app.request_partner(email text, email_key text, level text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    asked_limit constant integer := 20;
    lasts constant interval := '5 minutes';
    actor_id uuid := app.required_user_id();
    actor public.users;
    known_id uuid;
    made public.partner_requests;
    asked uuid;
begin
    select * into actor from public.users u where u.id = actor_id;
    if actor.is_anonymous or actor.email is null then
        perform app.refuse('FORBIDDEN', 'Guests have no partners. Sign up with an e-mail address first.');
    end if;
    if actor.email_key = request_partner.email_key then
        perform app.refuse('BAD_USER_INPUT', 'This is your own address.', '{"path": ["input", "email"]}');
    end if;
    select u.id into known_id from public.users u
    where u.email_key = request_partner.email_key and u.status = 'active' and not u.is_anonymous;
    -- For an unknown address an id that nobody has is looked for as one that somebody has.
    known_id := coalesce(known_id, gen_random_uuid());
    -- The caller's requests have one order, so that they are counted; then the two have one.
    perform pg_advisory_xact_lock(hashtextextended('partner_requests:' || actor_id, 0));
    perform app.lock_pair(actor_id, known_id);
    if exists (select from public.partners p
        where p.user_id = actor_id and p.partner_id = known_id and p.status = 'CONNECTED') then
        perform app.refuse('BAD_USER_INPUT', 'You are connected already.', '{"path": ["input", "email"]}');
    end if;
    -- Theirs may not have been delivered yet.
    select r.id into asked from public.partner_requests r
    where r.requester_id = known_id and (r.recipient_id = actor_id or r.recipient_id is null
            and r.email_key = actor.email_key
            and not exists (select from public.partner_blocks b where b.user_id = actor_id and b.blocked_id = known_id))
        and r.status = 'PENDING' and r.expires_at > clock_timestamp();
    if found then
        update public.partner_requests r set recipient_id = actor_id, delivered_at = clock_timestamp()
        where r.id = asked and r.recipient_id is null;
        return app.accept_partner(asked, level);
    end if;
    delete from public.partner_blocks b where b.user_id = actor_id and b.blocked_id = known_id;
    update public.partner_requests r set status = 'EXPIRED', ended_at = r.expires_at
    where r.requester_id = actor_id and r.email_key = request_partner.email_key and r.status = 'PENDING'
        and r.expires_at <= clock_timestamp();
    select * into made from public.partner_requests r
    where r.requester_id = actor_id and r.email_key = request_partner.email_key and r.status = 'PENDING';
    if found then
        update public.partner_requests r set sharing = level where r.id = made.id and level is not null;
        perform app.enqueue_once('deliver_partner_request', jsonb_build_object('request_id', made.id),
            'partner_request:' || made.id, 5);
        return made.id;
    end if;
    if (select count(*) from public.partner_requests r
        where r.requester_id = actor_id and r.created_at > now() - interval '1 hour') >= asked_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('You have asked %s times within an hour. Go on later.', asked_limit));
    end if;
    insert into public.partner_requests (requester_id, requester_name, email, email_key, sharing, expires_at)
    values (actor_id, app.person_name(actor_id), request_partner.email, request_partner.email_key, level,
        clock_timestamp() + lasts)
    returning * into made;
    perform app.enqueue_once('deliver_partner_request', jsonb_build_object('request_id', made.id),
        'partner_request:' || made.id, 5);
    return made.id;
end;
$$;

create or replace function app.refuse_partner_request() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform app.refuse('NOT_FOUND', 'There is no such request, or it is over. Ask for a new one.',
        '{"path": ["input", "requestId"]}');
end;
$$;

-- A request of which the caller is one side, pending or ended as they want it, with the lock of the two; NOT_FOUND for
-- what ended otherwise. Null as an end: whatever has become of it.
create or replace function app.required_partner_request(wanted uuid, as_requester boolean, wanted_end text)
returns public.partner_requests
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    request public.partner_requests;
begin
    select * into request from public.partner_requests r
    where r.id = wanted and case when as_requester then r.requester_id else r.recipient_id end = actor_id;
    if found then
        perform app.lock_pair(request.requester_id, coalesce(request.recipient_id, request.requester_id));
        select * into request from public.partner_requests r where r.id = wanted for update;
    end if;
    if request.id is null or wanted_end is not null and (request.status not in ('PENDING', wanted_end)
        or request.status = 'PENDING' and request.expires_at <= clock_timestamp()) then
        perform app.refuse_partner_request();
    end if;
    return request;
end;
$$;

-- Accepts a request and returns it: the two are connected, and the caller shows a level, or without one what they showed
-- before. A request of the caller's to the same person is accepted along. Again, it changes nothing more, as long as
-- they are connected.
create or replace function app.accept_partner(wanted uuid, level text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    request public.partner_requests := app.required_partner_request(wanted, false, 'ACCEPTED');
begin
    if request.status = 'ACCEPTED' then
        if not exists (select from public.partners p where p.user_id = request.recipient_id
            and p.partner_id = request.requester_id and p.status = 'CONNECTED') then
            perform app.refuse_partner_request();
        end if;
        return wanted;
    end if;
    perform app.connect_at_levels(request.requester_id, request.recipient_id, request.sharing,
        coalesce(level, (select r.sharing from public.partner_requests r where r.status = 'PENDING'
            and r.requester_id = request.recipient_id and r.recipient_id = request.requester_id)));
    perform app.notify(request.requester_id, 'GENERAL', 'notifications.partnerAccepted.title',
        'notifications.partnerAccepted.message', jsonb_build_object('requestId', 'partnerRequest_' || wanted, 'name',
            coalesce(app.person_name(request.recipient_id), request.email, '…')));
    return wanted;
end;
$$;

-- Blocks who made a request that the caller received, and ends what has become of it meanwhile: another device may
-- have accepted it. The lock of the two is held.
create or replace function app.block_requester(request public.partner_requests) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    connected uuid := (select p.id from public.partners p
        where p.user_id = request.recipient_id and p.partner_id = request.requester_id and p.status = 'CONNECTED');
begin
    if connected is not null then
        perform app.block_partner(connected);
    else
        perform app.block_person(request.recipient_id, request.requester_id, request.requester_name);
    end if;
end;
$$;

-- Declines a request and returns it; with a block, the requester cannot reach the caller again, whatever has become of
-- the request. Whoever asked is told once, by the address that they typed or the name that they knew: of the block
-- nothing.
create or replace function app.decline_partner(wanted uuid, with_block boolean) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    request public.partner_requests;
    known_name text;
begin
    request := app.required_partner_request(wanted, false, case when not with_block then 'DECLINED' end);
    if with_block then
        perform app.block_requester(request);
    end if;
    if request.status = 'PENDING' and request.expires_at > clock_timestamp() then
        update public.partner_requests r set status = 'DECLINED', ended_at = clock_timestamp() where r.id = wanted;
        select p.display_name into known_name from public.partners p
        where p.user_id = request.requester_id and p.partner_id = request.recipient_id
            and app.is_plain_name(p.display_name);
        perform app.notify(request.requester_id, 'GENERAL', 'notifications.partnerDeclined.title',
            'notifications.partnerDeclined.message', jsonb_build_object(
                'name', coalesce(request.email, known_name, '…'), 'requestId', 'partnerRequest_' || wanted));
    end if;
    return wanted;
end;
$$;

-- Takes a request back and returns it. Again, it changes nothing more.
create or replace function app.cancel_partner_request(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.required_partner_request(wanted, true, 'CANCELLED');
    update public.partner_requests r set status = 'CANCELLED', ended_at = clock_timestamp()
    where r.id = wanted and r.status = 'PENDING';
    return wanted;
end;
$$;

-- Asks a remembered partner to connect again, without their address, and returns the request. Asking ends a
-- block of the caller's own.
create or replace function app.reconnect_partner(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    partner public.partners;
    theirs public.users;
begin
    select * into partner from public.partners p where p.id = wanted and p.user_id = app.required_user_id();
    select * into theirs from public.users u where u.id = partner.partner_id and u.email is not null;
    if theirs.id is null then
        perform app.refuse('NOT_FOUND', 'There is no such partner.', '{"path": ["input", "partnerId"]}');
    end if;
    if partner.status = 'CONNECTED' then
        perform app.refuse('BAD_USER_INPUT', 'You are connected already.', '{"path": ["input", "partnerId"]}');
    end if;
    -- An address that they have changed meanwhile is not told.
    return app.request_partner(null, theirs.email_key, null);
end;
$$;

-- Ends some requests that nobody answered in time. Returns how many.
create or replace function app.expire_partner_requests(at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    ended integer;
begin
    with due as (
        select r.id from public.partner_requests r
        where r.status = 'PENDING' and r.expires_at <= clock_timestamp()
        order by r.expires_at limit at_most for update skip locked)
    update public.partner_requests r set status = 'EXPIRED', ended_at = r.expires_at from due where r.id = due.id;
    get diagnostics ended = row_count;
    return ended;
end;
$$;

revoke execute on function app.is_quiet(uuid, uuid), app.deliver_partner_request(uuid),
    app.request_partner(text, text, text), app.refuse_partner_request(),
    app.required_partner_request(uuid, boolean, text), app.accept_partner(uuid, text),
    app.block_requester(public.partner_requests), app.decline_partner(uuid, boolean), app.cancel_partner_request(uuid), app.reconnect_partner(uuid),
    app.expire_partner_requests(integer) from public;
grant execute on function app.request_partner(text, text, text), app.accept_partner(uuid, text),
    app.decline_partner(uuid, boolean), app.cancel_partner_request(uuid), app.reconnect_partner(uuid) to authenticated;
grant execute on function app.expire_partner_requests(integer), app.deliver_partner_request(uuid) to service;
