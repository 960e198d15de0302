-- Play sessions: who plays, who confirms, whose turn it is. Whatever changes a session locks its row first, so
-- that two devices never disagree, and raises its version.

-- The session that the caller is in, its row locked; NOT_FOUND at the input's `field` for who is in no such session. The
-- caller's account comes first: a merge of it ends before anything is looked at, or waits.
create or replace function app.enter_play_session(wanted uuid, field text) returns public.play_sessions
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    session public.play_sessions;
begin
    perform from public.users u where u.id = actor_id for key share;
    perform from public.play_players p
    where p.session_id = wanted and p.user_id = actor_id and p.status in ('INVITED', 'JOINED', 'EXPIRED');
    if found then
        select * into session from public.play_sessions s where s.id = wanted for no key update;
        perform from public.play_players p
        where p.session_id = wanted and p.user_id = actor_id
            and p.status in ('INVITED', 'JOINED', 'EXPIRED');
    end if;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such play session.',
            jsonb_build_object('path', jsonb_build_array('input', field)));
    end if;
    return session;
end;
$$;

-- Refuses what a session that is over cannot do.
create or replace function app.require_open_session(session public.play_sessions) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if session.ended_at is not null or session.updated_at < now() - interval '7 days' then
        perform app.refuse('INVALID_STATE', 'This play session is over. Start another one.');
    end if;
end;
$$;

-- Refuses who may not play now, and what was asked of an older version than the session's present one.
create or replace function app.require_turn(session public.play_sessions, known_version integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform app.require_open_session(session);
    if session.status = 'WAITING' then
        perform app.refuse('CONFIRMATION_REQUIRED',
            'Everybody who was asked to play confirms first, with `confirmPlaySession`.');
    end if;
    if session.version <> known_version then
        perform app.refuse('STALE_TURN', format('The session is at version %s. Look at it and decide anew.',
            session.version), '{"path": ["input", "version"]}');
    end if;
end;
$$;

-- Starts a session and returns it. `others` is a list of players: {"partner": id} for somebody with an account,
-- {"name", "anatomy"} for somebody without. Nobody else, or {"opponent": name}: the caller plays alone, against an
-- opponent. The same key starts the same one.
create or replace function app.start_play_session(
    wanted_level text, wanted_order text, others jsonb, idempotency_key text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    open_limit constant integer := 20;
    actor_id uuid := app.required_user_id();
    fingerprint bytea := sha256(convert_to(jsonb_build_array(wanted_level, wanted_order, others)::text, 'UTF8'));
    started uuid;
    starter constant uuid := app.uuid_v7();
    host public.play_players;
    given record;
    waits boolean := false;
begin
    perform from public.users u where u.id = actor_id for no key update;
    if idempotency_key is not null then
        perform app.check_idempotency_key(idempotency_key);
        started := app.remembered_result(actor_id, 'start_play_session', idempotency_key, fingerprint);
        if started is not null then
            return started;
        end if;
    end if;
    perform app.require_onboarding(actor_id, wanted_level);
    if app.open_sessions(actor_id) >= open_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('You are in %s play sessions. End one first.', open_limit));
    end if;
    waits := exists (select from jsonb_array_elements(others) o where o ? 'partner');
    perform app.lock_players(actor_id, others);
    insert into public.play_sessions (level, player_order, status, turn_player_id)
    values (wanted_level, wanted_order, case when waits then 'WAITING' else 'ACTIVE' end, starter)
    returning id into started;
    insert into public.play_players (id, session_id, user_id, seat, name, anatomy, status, confirmed_at)
    select starter, started, actor_id, 1, n.shown_name, n.shown_anatomy, 'JOINED', now() from app.play_name(actor_id) n
    returning * into host;
    for given in select o.value as player, o.ordinality as place
        from jsonb_array_elements(others) with ordinality o
    loop
        if given.player ? 'partner' then
            perform app.invite_player(host, (given.player ->> 'partner')::uuid, given.place::integer);
        elsif given.player ? 'opponent' then
            insert into public.play_players (session_id, seat, name, is_opponent, status)
            values (started, given.place + 1, given.player ->> 'opponent', true, 'PRESENT');
        else
            insert into public.play_players (session_id, seat, name, anatomy, status)
            values (started, given.place + 1, given.player ->> 'name',
                array(select jsonb_array_elements_text(given.player -> 'anatomy')), 'PRESENT');
        end if;
    end loop;
    perform app.require_no_blocks(started);
    if jsonb_array_length(others) = 0 then
        insert into public.play_players (session_id, seat, name, is_opponent, status)
        values (started, 2, 'Opponent', true, 'PRESENT');
    end if;
    if not waits then
        perform app.ask_for_activities(started);
    end if;
    if idempotency_key is not null then
        perform app.remember_result(actor_id, 'start_play_session', idempotency_key, fingerprint, started);
    end if;
    return started;
end;
$$;

-- The next player of a session after one: in order of their seats, or anybody by chance. Null for none.
create or replace function app.next_player(session public.play_sessions) returns uuid
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select p.id from public.play_players p
    where p.session_id = session.id and p.status in ('JOINED', 'PRESENT') and not p.is_opponent
    order by
        case when session.player_order = 'RANDOM' then random() end,
        p.seat <= coalesce((select q.seat from public.play_players q where q.id = session.turn_player_id), 0),
        p.seat
    limit 1;
$$;

-- Makes a session what it is with the players that are left: over, played, or still waiting for somebody.
create or replace function app.settle_players(session public.play_sessions) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    present integer;
    invited integer;
    joined integer;
    turn_goes_on boolean;
begin
    select count(*) filter (where p.status <> 'LEFT'), count(*) filter (where p.status = 'INVITED'),
        count(*) filter (where p.status = 'JOINED')
    into present, invited, joined
    from public.play_players p where p.session_id = session.id;
    if present < 2 or joined = 0 then
        perform app.close_play_session(session, 'ABANDONED');
        return;
    end if;
    select p.status <> 'LEFT' into turn_goes_on from public.play_players p where p.id = session.turn_player_id;
    if turn_goes_on is not true and session.current_turn_id is not null then
        update public.play_turns t set status = 'SKIPPED', ended_at = now()
        where t.id = session.current_turn_id and t.status = 'DRAWN';
    end if;
    update public.play_sessions s set
        status = case when invited = 0 then 'ACTIVE' else s.status end,
        turn_player_id = case when turn_goes_on then s.turn_player_id
            else coalesce(app.next_player(session), s.turn_player_id) end,
        current_turn_id = case when turn_goes_on then s.current_turn_id end,
        -- What somebody has skipped who left is nothing to whose turn comes.
        skips_in_row = case when turn_goes_on then s.skips_in_row else 0 end,
        version = s.version + 1, updated_at = clock_timestamp()
    where s.id = session.id;
    if session.status = 'WAITING' and invited = 0 then
        perform app.ask_for_activities(session.id);
    end if;
end;
$$;

-- Ends a session, and the invitations to it. Of who has no account the body is forgotten: it was said for this session.
create or replace function app.close_play_session(session public.play_sessions, how text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update public.play_players p set status = 'EXPIRED' where p.session_id = session.id and p.status = 'INVITED';
    update public.play_players p set anatomy = '{}' where p.session_id = session.id and p.user_id is null;
    update public.play_sessions s set status = how, version = s.version + 1, updated_at = clock_timestamp(),
        ended_at = clock_timestamp()
    where s.id = session.id;
$$;

-- The caller plays along; the session's level is the lowest that somebody wants. Again, it changes nothing more.
create or replace function app.confirm_play_session(wanted uuid, wanted_level text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    session public.play_sessions := app.enter_play_session(wanted, 'id');
begin
    perform app.require_open_session(session);
    if exists (select from public.play_players p
        where p.session_id = wanted and p.user_id = app.user_id() and p.status = 'INVITED') then
        -- G, R, X: the alphabet has them in their order.
        perform app.require_onboarding(app.user_id(), least(session.level collate "C", wanted_level collate "C"));
    end if;
    update public.play_players p set status = 'JOINED', confirmed_at = now(), name = n.shown_name,
        anatomy = n.shown_anatomy
    from app.play_name(app.user_id()) n
    where p.session_id = wanted and p.user_id = app.user_id() and p.status = 'INVITED';
    if found then
        update public.play_sessions s set level = least(s.level collate "C", wanted_level collate "C")
        where s.id = wanted;
        perform app.settle_players(session);
    end if;
    return wanted;
end;
$$;

-- Plays on at a lower level.
create or replace function app.lower_play_level(wanted uuid, wanted_level text, known_version integer) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    session public.play_sessions := app.enter_play_session(wanted, 'sessionId');
begin
    perform app.require_turn(session, known_version);
    if wanted_level collate "C" > session.level collate "C" then
        perform app.refuse('BAD_USER_INPUT', 'A session can go on at a lower level only. Start another one.',
            '{"path": ["input", "level"]}');
    end if;
    update public.play_sessions s set level = wanted_level, skips_in_row = 0, version = s.version + 1,
        updated_at = clock_timestamp()
    where s.id = wanted;
    return wanted;
end;
$$;

-- The caller leaves; the others go on if enough are left. Returns the caller.
create or replace function app.leave_play_session(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    session public.play_sessions := app.enter_play_session(wanted, 'id');
begin
    update public.play_players p set status = 'LEFT' where p.session_id = wanted and p.user_id = app.user_id();
    if session.ended_at is null then
        perform app.settle_players(session);
    end if;
    return app.user_id();
end;
$$;

-- Ends a session for all. Again, it changes nothing more.
create or replace function app.end_play_session(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    session public.play_sessions := app.enter_play_session(wanted, 'id');
begin
    perform from public.play_players p
    where p.session_id = wanted and p.user_id = app.user_id() and p.status = 'INVITED';
    if found then
        perform app.refuse('CONFIRMATION_REQUIRED',
            'Who has not confirmed may only leave: `leavePlaySession` declines.');
    end if;
    if session.ended_at is null then
        perform app.close_play_session(session, 'ENDED');
    end if;
    return wanted;
end;
$$;

-- Ends up to `at_most` sessions in which nobody did anything for 7 days. Returns how many.
create or replace function app.expire_play_sessions(at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    session public.play_sessions;
    done integer := 0;
begin
    for session in select * from public.play_sessions s
        where s.ended_at is null and s.updated_at < now() - interval '7 days'
        order by s.updated_at limit at_most for no key update skip locked
    loop
        perform app.close_play_session(session, 'EXPIRED');
        done := done + 1;
    end loop;
    return done;
end;
$$;

revoke execute on function
    app.enter_play_session(uuid, text), app.require_open_session(public.play_sessions),
    app.require_turn(public.play_sessions, integer),
    app.start_play_session(text, text, jsonb, text), app.next_player(public.play_sessions),
    app.settle_players(public.play_sessions), app.close_play_session(public.play_sessions, text),
    app.confirm_play_session(uuid, text), app.lower_play_level(uuid, text, integer),
    app.leave_play_session(uuid), app.end_play_session(uuid), app.expire_play_sessions(integer)
from public;
grant execute on function
    app.start_play_session(text, text, jsonb, text), app.confirm_play_session(uuid, text),
    app.lower_play_level(uuid, text, integer), app.leave_play_session(uuid), app.end_play_session(uuid)
to authenticated;
grant execute on function app.expire_play_sessions(integer) to service;
