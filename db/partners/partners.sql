-- Partners: who is connected, what is shared, who is blocked. Whatever concerns two people holds a lock of the two,
-- so that requests in both directions make one connection.

-- Holds the lock of two users, whose order does not matter, until the transaction ends.
create or replace function app.lock_pair(one uuid, other uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('partners:' || least(one, other) || greatest(one, other), 0));
end;
$$;

-- The name by which somebody is called: the one of their account, else the one they go by. Null without either.
create or replace function app.person_name(person_id uuid) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(nullif(btrim(u.display_name), ''), nullif(btrim(d.name), ''))
    from public.users u left join public.demographics d on d.user_id = u.id where u.id = person_id;
$$;

-- Whether a name may stand in what is sent to somebody who has not agreed to know its owner: short, and nothing that
-- a device could make a link of, or read as said by this server.
create or replace function app.is_plain_name(name text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(length(name) <= 40 and name !~ '[]:/\\@#<>|[]' and name !~ '[.。．｡][^[:space:]]', false);
$$;

-- The level of two that shows less.
create or replace function app.narrower(one text, other text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when 'DEMOGRAPHICS' in (one, other) then 'DEMOGRAPHICS'
        when 'OVERLAPPING' in (one, other) then 'OVERLAPPING' else 'ALL' end;
$$;

-- Notes what a user shows somebody who goes off their list, so that coming back shows no more. Everything is shown to
-- nobody but by a choice made anew. The newest hundred are kept.
create or replace function app.remember_level(owner_id uuid, other uuid, shown text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    kept constant integer := 100;
begin
    insert into public.sharing_choices as c (user_id, partner_id, level)
    values (owner_id, other, app.narrower(shown, 'OVERLAPPING'))
    on conflict (user_id, partner_id) do update set level = excluded.level, chosen_at = clock_timestamp();
    delete from public.sharing_choices c where c.id in (
        select o.id from public.sharing_choices o where o.user_id = owner_id and o.partner_id is not null
        order by o.chosen_at desc, o.id desc offset kept);
end;
$$;

-- What somebody shows a partner whom they have not on their list: what new partners are shown, and no more than what
-- this one was shown before they went off it.
create or replace function app.first_level(owner_id uuid, other uuid) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select app.narrower(app.default_sharing(owner_id), coalesce((select c.level from public.sharing_choices c
        where c.user_id = owner_id and c.partner_id = other), 'ALL'));
$$;

-- What a user shows new partners. Volatile, so that a mutation's payload sees what the mutation did; with its caller's
-- rights.
create or replace function app.default_sharing(owner_id uuid) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    return coalesce((select c.level from public.sharing_choices c
        where c.user_id = owner_id and c.partner_id is null), 'OVERLAPPING');
end;
$$;

-- Sets that for the caller, and returns them. Partners that they have are shown what they were.
create or replace function app.set_default_sharing(wanted text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
begin
    if (select u.is_anonymous from public.users u where u.id = actor_id) then
        perform app.refuse('FORBIDDEN', 'Guests have no partners. Sign up with an e-mail address first.');
    end if;
    insert into public.sharing_choices as c (user_id, partner_id, level) values (actor_id, null, wanted)
    on conflict (user_id, partner_id) do update set level = excluded.level, chosen_at = clock_timestamp();
    return actor_id;
end;
$$;

-- Ends the connection of two, from the next statement on, with what they play. Their lock is held.
create or replace function app.end_connection(one uuid, other uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    update public.partners p set status = 'DISCONNECTED', is_paused = false
    where (p.status = 'CONNECTED' or p.is_paused) and (p.user_id, p.partner_id) in ((one, other), (other, one));
    if found then
        perform app.part_players(one, other);
    end if;
end;
$$;

-- Takes off a user's list whoever is beyond ten: first those who are not connected, then those used least recently,
-- whose connection ends for both. The list's lock is held. Returns those who were connected.
create or replace function app.dropped_partners(owner_id uuid) returns uuid[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    kept constant integer := 10;
    partner public.partners;
    parted uuid[] := '{}';
begin
    for partner in
        select * from public.partners p where p.user_id = owner_id
        order by p.status = 'CONNECTED' desc, p.last_used_at desc, p.id desc offset kept
    loop
        perform app.lock_pair(owner_id, partner.partner_id);
        perform app.end_connection(owner_id, partner.partner_id);
        perform app.remember_level(owner_id, partner.partner_id, partner.sharing);
        delete from public.partners p where p.id = partner.id;
        if partner.status = 'CONNECTED' then
            parted := parted || partner.partner_id;
        end if;
    end loop;
    return parted;
end;
$$;

-- Tells two that their connection was dropped.
create or replace function app.notify_of_drop(one uuid, other uuid) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select app.notify(told.id, 'GENERAL', 'notifications.partnerDropped.title', 'notifications.partnerDropped.message',
        jsonb_build_object('name', coalesce(app.person_name(u.id), u.username)))
    from (values (one, other), (other, one)) told (id, partner_id) join public.users u on u.id = told.partner_id;
$$;

-- Shows two who are connected what the other shares, as it was set while they were not.
create or replace function app.show_levels(one uuid, other uuid) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update public.partners p set shared = theirs.sharing from public.partners theirs
    where (p.user_id, p.partner_id) in ((one, other), (other, one))
        and theirs.user_id = p.partner_id and theirs.partner_id = p.user_id and p.shared <> theirs.sharing;
$$;

-- Connects two users, whose lock is held. Each shows what they have chosen for it, else what they showed before but for
-- ALL, so that nobody sees more by leaving and coming back, else what they show new partners.
create or replace function app.connect_at_levels(one uuid, other uuid, one_level text, other_level text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    owner_id uuid;
begin
    -- Of what is done to a list at once, each must see what the other did.
    perform pg_advisory_xact_lock(hashtextextended('partners_of:' || least(one, other), 0));
    perform pg_advisory_xact_lock(hashtextextended('partners_of:' || greatest(one, other), 0));
    insert into public.partners as p (user_id, partner_id, display_name, sharing)
    select chosen.mine, chosen.theirs, app.person_name(chosen.theirs),
        coalesce(chosen.level, app.first_level(chosen.mine, chosen.theirs))
    from (values (one, other, one_level), (other, one, other_level)) chosen (mine, theirs, level)
    order by chosen.mine
    on conflict (user_id, partner_id) do update
    set display_name = excluded.display_name, status = 'CONNECTED', is_paused = false,
        sharing = coalesce(case p.user_id when one then one_level else other_level end,
            app.narrower(p.sharing, 'OVERLAPPING')),
        connected_at = case p.status when 'CONNECTED' then p.connected_at else clock_timestamp() end,
        last_used_at = clock_timestamp();
    perform app.show_levels(one, other);
    delete from public.sharing_choices c where (c.user_id, c.partner_id) in ((one, other), (other, one));
    perform app.accept_pending(one, other);
    perform app.queue_comparison(one, other);
    foreach owner_id in array array[least(one, other), greatest(one, other)] loop
        perform app.notify_of_drop(owner_id, dropped.id) from unnest(app.dropped_partners(owner_id)) as dropped (id);
    end loop;
end;
$$;

-- The same, with what they showed before, or show new partners.
create or replace function app.connect_partners(one uuid, other uuid) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select app.connect_at_levels(one, other, null, null);
$$;

-- Accepts what two have asked each other and nobody has answered: they are connected.
create or replace function app.accept_pending(one uuid, other uuid) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update public.partner_requests r set status = 'ACCEPTED', ended_at = clock_timestamp()
    where r.status = 'PENDING' and (r.requester_id, r.recipient_id) in ((one, other), (other, one));
$$;

-- The caller's row of a partner, with the lock of the two; NOT_FOUND for who is none.
create or replace function app.required_partner(wanted uuid) returns public.partners
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    partner public.partners;
begin
    select * into partner from public.partners p where p.id = wanted and p.user_id = actor_id;
    if found then
        perform app.lock_pair(actor_id, partner.partner_id);
        select * into partner from public.partners p where p.id = wanted;
    end if;
    if partner.id is null then
        perform app.refuse('NOT_FOUND', 'There is no such partner.', '{"path": ["input", "partnerId"]}');
    end if;
    return partner;
end;
$$;

-- Ends a connection for both, from the next statement on, with what the two play, and returns the partner, who
-- stays remembered.
create or replace function app.disconnect_partner(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    partner public.partners := app.required_partner(wanted);
begin
    perform app.end_connection(partner.user_id, partner.partner_id);
    return wanted;
end;
$$;

-- Ends a connection and takes the partner off the caller's list. Returns the caller.
create or replace function app.remove_partner(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    partner public.partners := app.required_partner(wanted);
begin
    perform app.end_connection(partner.user_id, partner.partner_id);
    perform app.remember_level(partner.user_id, partner.partner_id, partner.sharing);
    delete from public.partners p where p.id = wanted;
    return app.user_id();
end;
$$;

-- Notes that a user does not want to be asked by another, with the name that they know them by, and parts the two in
-- what they play. Their lock is held.
create or replace function app.block_person(blocker uuid, blocked uuid, known_name text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.partner_blocks (user_id, blocked_id, display_name) values (blocker, blocked, known_name)
    on conflict do nothing;
    perform app.part_players(blocker, blocked);
end;
$$;

-- The same, and the partner cannot ask the caller again. What they ask looks to them as if nobody answered.
create or replace function app.block_partner(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    partner public.partners := app.required_partner(wanted);
begin
    perform app.block_person(partner.user_id, partner.partner_id, partner.display_name);
    update public.partner_requests r set status = 'CANCELLED', ended_at = clock_timestamp()
    where r.status = 'PENDING' and r.requester_id = partner.user_id and r.recipient_id = partner.partner_id;
    update public.partner_requests r set recipient_id = null
    where r.status = 'PENDING' and r.requester_id = partner.partner_id and r.recipient_id = partner.user_id;
    return app.remove_partner(wanted);
end;
$$;

-- Ends a block of the caller's, and returns the caller.
create or replace function app.unblock_partner(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from public.partner_blocks b where b.id = wanted and b.user_id = app.required_user_id();
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such block.', '{"path": ["input", "blockId"]}');
    end if;
    return app.user_id();
end;
$$;

-- Sets what the caller shows a partner, from the next statement on, or from when they are connected (again), and
-- returns the partner. Who was shown the score alone may have an earlier one, which what it is made of would belie.
create or replace function app.set_sharing(wanted uuid, level text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    partner public.partners := app.required_partner(wanted);
begin
    update public.partners p set sharing = level where p.id = wanted and p.sharing <> level;
    perform app.queue_comparison(p.user_id, p.partner_id) from public.partners p
    where p.user_id = partner.partner_id and p.partner_id = partner.user_id and p.shared = 'DEMOGRAPHICS'
        and level <> 'DEMOGRAPHICS' and p.status = 'CONNECTED';
    update public.partners p set shared = level
    where p.user_id = partner.partner_id and p.partner_id = partner.user_id and p.shared <> level
        and p.status = 'CONNECTED';
    return wanted;
end;
$$;

-- Has the rows of who is connected with somebody show the name that they have now. Others keep the one they knew.
create or replace function app.rename_in_lists(renamed uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.partners p set display_name = app.person_name(renamed)
    where p.partner_id = renamed and p.status = 'CONNECTED' and p.display_name is distinct from app.person_name(renamed);
$$;

-- Trigger on users: see above.
create or replace function app.rename_partner() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.rename_in_lists(new.id);
    return null;
end;
$$;

-- Tells whoever sees something of a user, at one of the levels, that it has changed.
create or replace function app.tell_partners(changed uuid, variadic levels text[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.partners p set shared_changed_at = clock_timestamp()
    where p.partner_id = changed and p.status = 'CONNECTED' and p.shared = any (levels);
$$;

-- Whoever has asked for the deletion of their account shows partners nothing from now on, plays no more and asks for
-- nothing. What ends like this goes on when they come back.
create or replace function app.pause_partners(leaving uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    other uuid;
begin
    update public.partner_requests r set status = 'CANCELLED', ended_at = clock_timestamp()
    where r.requester_id = leaving and r.status = 'PENDING';
    for other in select p.partner_id from public.partners p where p.user_id = leaving and p.status = 'CONNECTED'
        order by least(p.user_id, p.partner_id), greatest(p.user_id, p.partner_id)
    loop
        perform app.lock_pair(leaving, other);
        update public.partners p set status = 'DISCONNECTED', is_paused = true
        where p.status = 'CONNECTED' and (p.user_id, p.partner_id) in ((leaving, other), (other, leaving));
    end loop;
    while app.leave_play_sessions(leaving, 1000) > 0 loop
    end loop;
end;
$$;

-- Whoever stays after all is connected again with those who did not end it meanwhile and are not leaving themselves.
create or replace function app.resume_partners(returning_user uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    other uuid;
begin
    for other in select p.partner_id from public.partners p where p.user_id = returning_user and p.is_paused
        order by least(p.user_id, p.partner_id), greatest(p.user_id, p.partner_id)
    loop
        perform app.lock_pair(returning_user, other);
        continue when exists (select from public.account_deletions d where d.user_id = other);
        update public.partners p set status = 'CONNECTED', is_paused = false,
            display_name = app.person_name(p.partner_id)
        where p.is_paused and (p.user_id, p.partner_id) in ((returning_user, other), (other, returning_user));
        perform app.show_levels(returning_user, other);
        perform app.accept_pending(returning_user, other);
        perform app.queue_comparison(returning_user, other);
    end loop;
end;
$$;

revoke execute on function app.person_name(uuid), app.is_plain_name(text), app.narrower(text, text),
    app.remember_level(uuid, uuid, text), app.first_level(uuid, uuid), app.default_sharing(uuid),
    app.set_default_sharing(text), app.end_connection(uuid, uuid), app.accept_pending(uuid, uuid),
    app.connect_at_levels(uuid, uuid, text, text), app.rename_partner(), app.rename_in_lists(uuid), app.tell_partners(uuid, text[]), app.lock_pair(uuid, uuid),
    app.dropped_partners(uuid), app.notify_of_drop(uuid, uuid), app.show_levels(uuid, uuid), app.connect_partners(uuid, uuid),
    app.required_partner(uuid), app.disconnect_partner(uuid), app.remove_partner(uuid),
    app.block_person(uuid, uuid, text), app.block_partner(uuid), app.unblock_partner(uuid), app.set_sharing(uuid, text),
    app.pause_partners(uuid), app.resume_partners(uuid) from public;
grant execute on function app.disconnect_partner(uuid), app.remove_partner(uuid), app.block_partner(uuid),
    app.unblock_partner(uuid), app.set_sharing(uuid, text), app.set_default_sharing(text) to authenticated;
-- Documents name it whoever asks; it reads as its caller.
grant execute on function app.default_sharing(uuid) to anon, authenticated;
