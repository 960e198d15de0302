-- How many activities a user may draw in a day: their own day, from midnight to midnight in their time zone.

-- The first midnight in a zone after a moment: an instant, so that days with a change of clocks have 23 or 25
-- hours. A day whose midnight is left out begins at the first moment that it has, one whose midnight comes twice, as in
-- the Azores, at the first of the two. UTC for an unknown zone.
create or replace function app.next_midnight(at timestamptz, zone text) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    next_day date;
    midnight timestamptz;
    hour_before timestamptz;
begin
    next_day := (at at time zone coalesce(zone, 'UTC'))::date + 1;
    midnight := next_day::timestamp at time zone coalesce(zone, 'UTC');
    hour_before := midnight - interval '1 hour';
    return case (hour_before at time zone coalesce(zone, 'UTC'))::date when next_day then hour_before else midnight end;
exception when invalid_parameter_value then
    return ((at at time zone 'UTC')::date + 1)::timestamp at time zone 'UTC';
end;
$$;

-- When the day ends that begins for a user now; the one before ended at `earlier_end`, in `earlier_zone`. Who
-- has changed their zone since gets no day shorter than 23 hours, so that nobody wins days by travelling.
create or replace function app.end_of_day(at timestamptz, zone text, earlier_end timestamptz, earlier_zone text)
returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    midnight timestamptz := app.next_midnight(at, zone);
begin
    if zone <> earlier_zone and midnight < earlier_end + interval '23 hours' then
        return app.next_midnight(midnight, zone);
    end if;
    return midnight;
end;
$$;

-- What is used of a guest's day by the guests of their device and address: of the one that leaves them least, and until
-- when. An address has the days of several guests, and others for guests whose devices are known. Nothing for a member, or for somebody else's id.
create or replace function app.guest_allowance(owner_id uuid, out used integer, out resets_at timestamptz)
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select d.used - (h.share - 1) * app.free_daily_activities(), d.resets_at
    from public.guest_holders h join public.guest_days d using (holder) join public.users u on u.id = h.user_id
    where h.user_id = owner_id and owner_id = app.user_id() and u.is_anonymous and d.resets_at > now()
    order by 1 desc limit 1;
$$;

-- Counts an activity for the device and the address of a guest whose allowance has been looked at.
create or replace function app.count_guest_activity(owner_id uuid, day_zone text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update public.guest_days d set used = case when d.resets_at > now() then d.used + 1 else 1 end,
        resets_at = case when d.resets_at > now() then d.resets_at
            else app.end_of_day(now(), day_zone, d.resets_at, d.zone) end,
        zone = case when d.resets_at > now() then d.zone else day_zone end
    from public.guest_holders h where h.user_id = owner_id and d.holder = h.holder;
$$;

-- Locks what guests of the same device or address count with, in one order.
create or replace function app.lock_guest_days(owner_id uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.guest_days (holder, zone, resets_at)
    select h.holder, coalesce(u.time_zone, 'UTC'), app.next_midnight(now(), u.time_zone)
    from public.guest_holders h join public.users u on u.id = h.user_id
    where h.user_id = owner_id and u.is_anonymous order by h.holder
    on conflict (holder) do nothing;
    perform from public.guest_days d join public.guest_holders h using (holder)
    where h.user_id = owner_id order by d.holder for no key update of d;
end;
$$;

-- What a user may draw: `used` of `daily_limit` until `resets_at`; no limit for who has a plan that is paid. To a
-- guest, what others of their device or address have drawn counts.
-- Volatile, so that a statement sees what it has just counted. With its caller's rights.
create or replace function app.play_allowance(
    owner_id uuid, out used integer, out daily_limit integer, out resets_at timestamptz, out zone text
)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    day public.play_days;
    shared record;
    is_paid boolean;
    is_guest boolean;
begin
    select coalesce(u.time_zone, 'UTC'), coalesce(p.price_cents, 1) > 0 and p.id is not null, u.is_anonymous
    into zone, is_paid, is_guest
    from public.users u left join public.plans p on p.id = u.plan_id where u.id = owner_id;
    select * into day from public.play_days d where d.user_id = owner_id;
    daily_limit := case when not is_paid then app.free_daily_activities() end;
    if day.resets_at > now() then
        used := day.used;
        resets_at := day.resets_at;
    else
        used := 0;
        resets_at := app.end_of_day(now(), zone, day.resets_at, day.zone);
    end if;
    if is_guest and daily_limit is not null then
        select * into shared from app.guest_allowance(owner_id);
        if shared.used > used then
            used := shared.used;
            resets_at := shared.resets_at;
        end if;
    end if;
end;
$$;

-- How many activities a day are free.
create or replace function app.free_daily_activities() returns integer
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce((select r.free_daily_activities from public.play_rules r), 25);
$$;

-- Sets that, and how many activities an AI writes for a session.
create or replace function app.set_play_rules(free integer, written integer) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into public.play_rules as r (id, free_daily_activities, written_activities) values (1, free, written)
    on conflict (id) do update set free_daily_activities = free, written_activities = written
    where (r.free_daily_activities, r.written_activities) is distinct from (free, written);
$$;

-- The same as single values, for the schema.
create or replace function app.play_used(owner_id uuid) returns integer
language sql volatile set search_path = pg_catalog, pg_temp as $$
    -- More is counted where a guest was merged, or a plan has ended: no more than the limit is shown.
    select least(a.used, a.daily_limit) from app.play_allowance(owner_id) a;
$$;
create or replace function app.play_limit(owner_id uuid) returns integer
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select a.daily_limit from app.play_allowance(owner_id) a;
$$;
create or replace function app.play_remaining(owner_id uuid) returns integer
language sql volatile set search_path = pg_catalog, pg_temp as $$
    -- Null without a limit, which greatest() would pass over.
    select case when a.daily_limit is not null then greatest(0, a.daily_limit - a.used) end from app.play_allowance(owner_id) a;
$$;
create or replace function app.play_resets_at(owner_id uuid) returns timestamptz
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select a.resets_at from app.play_allowance(owner_id) a;
$$;

-- What somebody is told at their limit: a guest whose own day is not used up, that others have used it.
create or replace function app.limit_words(owner_id uuid, daily_limit integer) returns text
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select case when u.is_anonymous and coalesce(d.used, 0) < daily_limit
        then '%s activities a day are free, and the guests of your device or network have drawn what is theirs. '
            || 'Sign up for a day of your own, or go on at %s UTC.'
        else '%s activities a day are free. Go on at %s UTC, or get a plan.' end
    from public.users u left join public.play_days d on d.user_id = u.id and d.resets_at > now()
    where u.id = owner_id;
$$;

-- Counts an activity that a user draws; DAILY_LIMIT_REACHED when they may draw none. The row of their day is
-- locked until the end of the transaction, so that devices which draw at once never pass the limit.
create or replace function app.count_activity(owner_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    allowance record;
begin
    insert into public.play_days (user_id, zone, resets_at)
    select u.id, coalesce(u.time_zone, 'UTC'), app.next_midnight(now(), u.time_zone)
    from public.users u where u.id = owner_id
    on conflict (user_id) do nothing;
    perform from public.play_days d where d.user_id = owner_id for no key update;
    perform app.lock_guest_days(owner_id);
    select * into allowance from app.play_allowance(owner_id);
    if allowance.used >= allowance.daily_limit then
        perform app.refuse('DAILY_LIMIT_REACHED',
            format(app.limit_words(owner_id, allowance.daily_limit), allowance.daily_limit,
                to_char(allowance.resets_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')),
            jsonb_build_object('limit', allowance.daily_limit, 'remaining', 0, 'told', true,
                'resets_at', to_char(allowance.resets_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')));
    end if;
    update public.play_days d
    set used = case when d.resets_at > now() then d.used + 1 else 1 end,
        resets_at = case when d.resets_at > now() then d.resets_at
            else app.end_of_day(now(), allowance.zone, d.resets_at, d.zone) end,
        -- The zone in which this day ends, kept until it is over.
        zone = case when d.resets_at > now() then d.zone else allowance.zone end
    where d.user_id = owner_id;
    perform app.count_guest_activity(owner_id, allowance.zone);
end;
$$;

-- Notes from where a guest's account was opened: hashes, and how many guests have a day of their own there.
create or replace function app.note_guest_holders(guest uuid, holders bytea[], shares integer[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into public.guest_holders (user_id, holder, share)
    select guest, h.holder, h.share from unnest(holders, shares) as h (holder, share);
$$;

-- What a guest has used of a day is the member's. Returns how many rows moved.
create or replace function app.merge_play_days(guest uuid, member uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    moved bigint;
begin
    update public.play_days m set used = m.used + g.used
    from public.play_days g
    where m.user_id = member and g.user_id = guest and m.resets_at > now() and g.resets_at > now();
    delete from public.play_days g using public.play_days m
    where g.user_id = guest and m.user_id = member and m.resets_at > now();
    delete from public.play_days m using public.play_days g
    where m.user_id = member and g.user_id = guest;
    with gone as (
        update public.play_days d set user_id = member where d.user_id = guest returning 1)
    select count(*) into moved from gone;
    return moved;
end;
$$;

revoke execute on function
    app.next_midnight(timestamptz, text), app.end_of_day(timestamptz, text, timestamptz, text),
    app.play_allowance(uuid), app.free_daily_activities(), app.set_play_rules(integer, integer),
    app.play_used(uuid), app.play_limit(uuid), app.play_remaining(uuid), app.play_resets_at(uuid),
    app.guest_allowance(uuid), app.count_guest_activity(uuid, text), app.lock_guest_days(uuid),
    app.limit_words(uuid, integer), app.count_activity(uuid), app.merge_play_days(uuid, uuid), app.note_guest_holders(uuid, bytea[], integer[])
from public;
grant execute on function
    app.next_midnight(timestamptz, text), app.end_of_day(timestamptz, text, timestamptz, text),
    app.play_allowance(uuid), app.guest_allowance(uuid), app.free_daily_activities(),
    app.play_used(uuid), app.play_limit(uuid), app.play_remaining(uuid), app.play_resets_at(uuid)
to authenticated;
grant execute on function app.set_play_rules(integer, integer), app.note_guest_holders(uuid, bytea[], integer[])
to service;
