-- Who is asked to play along, and who plays together no more.

-- The name and anatomy that a user plays with.
create or replace function app.play_name(
    player_id uuid, out shown_name text, out shown_anatomy text[]
)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select left(coalesce(nullif(btrim(d.name), ''), nullif(btrim(u.display_name), ''), u.username), 100),
        coalesce(d.anatomy_self, '{}')
    from public.users u left join public.demographics d on d.user_id = u.id where u.id = player_id;
$$;

-- Holds the locks of all who are to play, two by two in one order, so that hosts who ask the same people at once wait
-- for each other before they hold anything else. Whoever of them is parted or blocked waits as well.
create or replace function app.lock_players(host_id uuid, others jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform app.lock_pair(pair.one, pair.other) from (
        with people as (
            select host_id as id union
            select p.partner_id from public.partners p where p.user_id = host_id
                and p.id in (select (o.value ->> 'partner')::uuid from jsonb_array_elements(others) o))
        select a.id as one, b.id as other from people a join people b on b.id > a.id order by 1, 2) pair;
end;
$$;

-- Whom a user is connected with by the id of a partner of theirs; null for nobody. Both have used the connection
-- then, so that neither forgets the other soon. The lock of the two is held.
create or replace function app.play_partner(actor_id uuid, wanted_partner uuid) returns uuid
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    other uuid;
begin
    select p.partner_id into other from public.partners p
    where p.id = wanted_partner and p.user_id = actor_id and p.status = 'CONNECTED';
    update public.partners p set last_used_at = clock_timestamp()
    where p.status = 'CONNECTED' and (p.user_id, p.partner_id) in ((actor_id, other), (other, actor_id));
    return other;
end;
$$;

-- In how many sessions that are not over a user plays.
create or replace function app.open_sessions(player uuid) returns bigint
language sql stable set search_path = pg_catalog, pg_temp as $$
    select count(*) from public.play_players p join public.play_sessions s on s.id = p.session_id
    where p.user_id = player and p.status = 'JOINED' and s.ended_at is null;
$$;

-- Refuses players for a reason that is theirs: one is asked too often or plays too much, or two of them do not want to
-- meet. The words are the same, so that none of it shows.
create or replace function app.refuse_players() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform app.refuse('LIMIT_EXCEEDED', 'These players cannot be asked to play now. Choose others, or go on later.',
        '{"path": ["input", "players"]}');
end;
$$;

-- Asks a partner of the host's to play along, whose place among those that the host named is given. Whoever is asked
-- again and again is asked on the list, and woken by nobody.
create or replace function app.invite_player(host public.play_players, wanted_partner uuid, place integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    asked_limit constant integer := 20;
    told_of_one constant integer := 3;
    told_in_all constant integer := 20;
    at constant jsonb := jsonb_build_object('path', array['input', 'players', (place - 1)::text, 'partnerId']);
    invited constant uuid := app.play_partner(host.user_id, wanted_partner);
    of_one integer;
    in_all integer;
begin
    if invited is null or exists (select from public.play_players p
        where p.session_id = host.session_id and p.user_id = invited) then
        perform app.refuse('NOT_FOUND', 'There is no such partner, or they are named twice.', at);
    end if;
    select count(*) filter (where h.user_id = host.user_id), count(*) into of_one, in_all
    from public.play_players p join public.play_players h on h.session_id = p.session_id and h.seat = 1
    where p.user_id = invited and p.seat <> 1 and p.created_at > now() - interval '1 hour';
    if of_one >= asked_limit or app.open_sessions(invited) >= 20 then
        perform app.refuse_players();
    end if;
    insert into public.play_players (session_id, user_id, seat, name, anatomy, status)
    select host.session_id, invited, place + 1, n.shown_name, n.shown_anatomy, 'INVITED' from app.play_name(invited) n;
    if of_one < told_of_one and in_all < told_in_all then
        perform app.notify(invited, 'GENERAL', 'notifications.playSession.title', 'notifications.playSession.message',
            jsonb_build_object('name', host.name, 'playSessionId', 'playSession_' || host.session_id));
    end if;
end;
$$;

-- Refuses a session of users of whom one has blocked another, without a word of who. Their locks are held.
create or replace function app.require_no_blocks(wanted uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from public.play_players p join public.play_players q on q.session_id = p.session_id
            join public.partner_blocks b on b.user_id = p.user_id and b.blocked_id = q.user_id
        where p.session_id = wanted) then
        perform app.refuse_players();
    end if;
end;
$$;

-- Two users play together no more, since one of them has ended their connection: the sessions that both are in end for
-- all, so that nobody sees which of the players wanted it. The lock of the two is held.
create or replace function app.part_players(one uuid, other uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    session public.play_sessions;
begin
    for session in select * from public.play_sessions s where s.ended_at is null and s.id in (
            select p.session_id from public.play_players p join public.play_players q using (session_id)
            where p.user_id = one and p.status in ('INVITED', 'JOINED')
                and q.user_id = other and q.status in ('INVITED', 'JOINED'))
        order by s.id for no key update
    loop
        perform app.close_play_session(session, 'ENDED');
    end loop;
end;
$$;

-- Somebody who deletes their account leaves the sessions they are in. Returns how many.
create or replace function app.leave_play_sessions(leaving uuid, at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    session public.play_sessions;
    done integer := 0;
begin
    for session in select * from public.play_sessions s where s.ended_at is null and exists (
            select from public.play_players p
            where p.session_id = s.id and p.user_id = leaving and p.status in ('INVITED', 'JOINED'))
        order by s.id limit at_most for no key update
    loop
        update public.play_players p set status = 'LEFT' where p.session_id = session.id and p.user_id = leaving;
        perform app.settle_players(session);
        done := done + 1;
    end loop;
    return done;
end;
$$;

-- Deletes the games of somebody who deletes their account in which nobody else has one: what would be left of them is
-- the names of those who played along, and what these were given. Returns how many.
create or replace function app.forget_play_sessions(leaving uuid, at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    done integer;
begin
    delete from public.play_sessions s where s.id in (
        select p.session_id from public.play_players p
        where p.user_id = leaving and not exists (select from public.play_players q
            where q.session_id = p.session_id and q.user_id <> leaving)
        limit at_most);
    get diagnostics done = row_count;
    return done;
end;
$$;

revoke execute on function app.play_name(uuid), app.lock_players(uuid, jsonb), app.play_partner(uuid, uuid),
    app.open_sessions(uuid), app.refuse_players(),
    app.invite_player(public.play_players, uuid, integer), app.require_no_blocks(uuid), app.part_players(uuid, uuid),
    app.leave_play_sessions(uuid, integer), app.forget_play_sessions(uuid, integer) from public;
