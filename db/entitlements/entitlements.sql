-- What users may use by purchases in app stores: told of by a provider's events (`payments/events.py`), in any order.

-- The user's id in a name that an app gave a provider; null for any other name.
create or replace function app.user_id_in(named text) returns uuid
language sql immutable set search_path = pg_catalog, pg_temp
return case when regexp_replace(named, '^user_', '') ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
    then regexp_replace(named, '^user_', '')::uuid end;

-- The user whom a provider calls by one of these names: a user's id, or a name that was noted as theirs. Null when it is
-- nobody's yet.
create or replace function app.user_of_names(for_provider text, names jsonb) returns uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    named text;
    found_user uuid;
begin
    for named in select n.name from jsonb_array_elements_text(names) as n (name) loop
        if app.user_id_in(named) is not null then
            select u.id into found_user from public.users u where u.id = app.merged_into(app.user_id_in(named));
        else
            select app.merged_into(p.user_id) into found_user from public.provider_user_names p
            where p.provider = for_provider and p.name = named;
        end if;
        if found_user is not null then
            return found_user;
        end if;
    end loop;
    return null;
end;
$$;

-- The user of an event that names them in several ways; parked until one of the names is a user's.
create or replace function app.required_user_of_names(for_provider text, names jsonb) returns uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    found_user uuid := app.user_of_names(for_provider, names);
begin
    if found_user is null then
        perform app.park_event('user:' || (names ->> 0));
    end if;
    return found_user;
end;
$$;

-- Notes names of a user's that are no ids of users, the latest word counting, and has what waited for them processed.
create or replace function app.note_user_names(for_provider text, names jsonb, wanted uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named text;
begin
    for named in select n.name from jsonb_array_elements_text(names) as n (name) order by 1 loop
        continue when app.user_id_in(named) is not null
            or app.user_of_names(for_provider, jsonb_build_array(named)) is not distinct from wanted;
        insert into public.provider_user_names as p (provider, name, user_id) values (for_provider, named, wanted)
        on conflict (provider, name) do update set user_id = excluded.user_id;
        perform app.wake_webhooks(for_provider, 'user:' || named);
    end loop;
end;
$$;

-- Does what an event says of a user rather than of an order.
create or replace function app.apply_user_event(from_provider text, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    known uuid;
begin
    case event ->> 'type'
        when 'UserNamed' then
            known := app.user_of_names(from_provider, event -> 'user_names');
            if known is not null then
                perform app.note_user_names(from_provider, event -> 'user_names', known);
            end if;
        when 'PurchasesMoved' then
            perform app.move_purchases(from_provider, event);
        else
            perform app.note_entitlements(from_provider, event);
    end case;
end;
$$;

-- Who has what `named` had at `since`, after all transfers that are known by now, and since when.
create or replace function app.holder_after_transfers(
    for_provider text, named uuid, since timestamptz, out holder uuid, out held_since timestamptz
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    moved public.provider_transfers;
begin
    holder := named;
    held_since := since;
    -- What a transfer moves was told of at its time at the latest; the next one is later, so that this ends.
    select * into moved from public.provider_transfers t
    where t.provider = for_provider and t.giver_id = named and t.told_at >= since order by t.told_at limit 1;
    while found loop
        holder := moved.receiver_id;
        held_since := moved.told_at;
        select * into moved from public.provider_transfers t
        where t.provider = for_provider and t.giver_id = holder and t.told_at > held_since order by t.told_at limit 1;
    end loop;
end;
$$;

-- A transfer and what it moves are not told of at once, so that neither misses the other.
create or replace function app.lock_entitlements(owner_id uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select pg_advisory_xact_lock(hashtextextended('entitlements of ' || owner_id, 0));
$$;

-- Notes what a purchase lets its user use, unless later word has come. Where it is not said which purchase that is, it is
-- the one of the same product. What was transferred after it was told is its receiver's.
create or replace function app.note_entitlements(from_provider text, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named uuid := app.required_user_of_names(from_provider, event -> 'user_names');
    has_it record;
begin
    perform app.lock_entitlements(named);
    has_it := app.holder_after_transfers(from_provider, named, (event ->> 'told_at')::timestamptz);
    insert into public.provider_entitlements as e
        (user_id, provider, source, name, product, store, expires_at, grace_ends_at, will_renew, told_at, held_since)
    select has_it.holder, from_provider,
        coalesce(event ->> 'source', (
            select k.source from public.provider_entitlements k
            where k.provider = from_provider and k.user_id = named and k.name = n.name
                and split_part(k.product, ':', 1) = split_part(event ->> 'product', ':', 1)
            order by k.told_at desc limit 1), (event ->> 'product') || ':' || named),
        n.name, event ->> 'product', event ->> 'store', (event ->> 'expires_at')::timestamptz,
        (event ->> 'grace_ends_at')::timestamptz, (event ->> 'will_renew')::boolean,
        (event ->> 'told_at')::timestamptz, has_it.held_since
    from jsonb_array_elements_text(event -> 'names') as n (name) order by n.name
    on conflict (provider, source, name) do update
    set user_id = excluded.user_id, product = excluded.product, store = excluded.store,
        expires_at = excluded.expires_at, grace_ends_at = excluded.grace_ends_at, will_renew = excluded.will_renew,
        told_at = excluded.told_at, held_since = excluded.held_since
    where e.told_at <= excluded.told_at;
end;
$$;

-- Gives what purchases let one user use to another, who has them on a device of theirs now: what the giver had by then,
-- also when that is told of later. What was given in the ledger stays where it is: credits are never given twice.
create or replace function app.move_purchases(from_provider text, event jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    receiver uuid := app.required_user_of_names(from_provider, event -> 'user_names');
    moved_at timestamptz := event ->> 'told_at';
    givers uuid[];
begin
    select array_agg(distinct g.giver) into givers
    from (select app.user_of_names(from_provider, jsonb_build_array(n.name)) as giver
        from jsonb_array_elements_text(event -> 'from_names') as n (name)) g
    where g.giver <> receiver;
    perform app.lock_entitlements(u.id) from (select unnest(givers || receiver) as id order by 1) u;
    insert into public.provider_transfers (provider, giver_id, receiver_id, told_at)
    select from_provider, g.giver, receiver, moved_at from unnest(givers) as g (giver);
    update public.provider_entitlements e set user_id = h.holder, held_since = h.held_since
    from public.provider_entitlements k,
        lateral app.holder_after_transfers(from_provider, k.user_id, k.held_since) h
    where e.id = k.id and k.provider = from_provider and k.user_id = any (givers) and k.held_since <= moved_at;
    perform app.note_user_names(from_provider, event -> 'user_names' || (event -> 'from_names'), receiver);
end;
$$;

-- Users of whom nothing was heard though a subscription should have been renewed or have ended within the last two hours:
-- its delivery may have been lost.
create or replace function app.users_to_ask_about(for_provider text, at_most integer) returns setof uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select distinct e.user_id from public.provider_entitlements e
    where e.provider = for_provider and e.will_renew and e.told_at < coalesce(e.grace_ends_at, e.expires_at)
        and coalesce(e.grace_ends_at, e.expires_at) between now() - interval '2 hours' and now()
    limit at_most;
$$;

-- What a user may use now or could before, by each name the one that lasts longest: of purchases in app stores, and of the
-- plan that they have.
create or replace function app.entitlements_of(owner_id uuid)
returns table (name text, is_active boolean, expires_at timestamptz, will_renew boolean, has_billing_issue boolean,
    store text, product text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select distinct on (f.name collate "C") f.name, f.until > now(), nullif(f.until, 'infinity'), f.will_renew, f.has_billing_issue,
        f.store, f.product
    from (
        select e.name, coalesce(greatest(e.expires_at, e.grace_ends_at), 'infinity') as until, e.will_renew,
            coalesce(e.grace_ends_at > now(), false) as has_billing_issue, e.store, e.product
        from public.provider_entitlements e where e.user_id = owner_id
        union all
        select s.plan_id, case when s.status = 'ENDED' then s.ended_at
                else coalesce(s.grace_ends_at, s.current_period_end, 'infinity') end,
            null, s.status = 'PAST_DUE', null, null
        from public.plan_subscriptions s where s.user_id = owner_id) f
    order by f.name collate "C", f.until desc, f.store nulls last;
$$;

revoke execute on function
    app.user_id_in(text), app.user_of_names(text, jsonb), app.required_user_of_names(text, jsonb), app.note_user_names(text, jsonb, uuid),
    app.apply_user_event(text, jsonb), app.holder_after_transfers(text, uuid, timestamptz),
    app.lock_entitlements(uuid), app.note_entitlements(text, jsonb), app.move_purchases(text, jsonb),
    app.entitlements_of(uuid), app.users_to_ask_about(text, integer)
from public;
grant execute on function app.users_to_ask_about(text, integer) to service;
grant execute on function app.entitlements_of(uuid) to authenticated, service;
