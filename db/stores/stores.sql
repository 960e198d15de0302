-- Stores, made and changed by their owners, and what becomes of them when an owner leaves.

-- The caller, who has an account: guests sell nothing. Their row is locked, so that what they may have is counted
-- exactly.
create or replace function app.required_seller_id() returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
begin
    if (select u.is_anonymous from public.users u where u.id = actor_id for no key update) then
        perform app.refuse('FORBIDDEN', 'Guests have no stores. Sign up first; what you have stays yours.');
    end if;
    return actor_id;
end;
$$;

-- A store of the caller's, locked; NOT_FOUND for any other.
create or replace function app.enter_store(wanted uuid, field text) returns public.stores
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    store public.stores;
begin
    select * into store from public.stores s
    where s.id = wanted and s.user_id = app.required_user_id() for update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such store.',
            jsonb_build_object('path', jsonb_build_array('input', field)));
    end if;
    return store;
end;
$$;

-- Says which of a store's names is another's: of two who ask at once, one gets it.
create or replace function app.refuse_taken_name(constraint_name text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if constraint_name = 'uq_stores_slug' then
        perform app.refuse('BAD_USER_INPUT', 'Another store has this slug. Choose another.',
            '{"path": ["input", "slug"]}');
    end if;
    raise unique_violation using constraint = constraint_name;
end;
$$;

-- Opens a store of the caller's and returns it; the same key the same one.
create or replace function app.create_store(given jsonb, idempotency_key text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    stores_limit constant integer := 20;
    actor_id uuid := app.required_seller_id();
    fingerprint bytea := sha256(convert_to(given::text, 'UTF8'));
    taken text;
    made uuid;
begin
    perform app.check_idempotency_key(idempotency_key);
    made := app.remembered_result(actor_id, 'create_store', idempotency_key, fingerprint);
    if made is not null then
        return made;
    elsif (select count(*) from public.stores s where s.user_id = actor_id) >= stores_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('One user has at most %s stores.', stores_limit));
    end if;
    insert into public.stores (user_id, slug, name, description, theme, layout, links, custom_domain,
        custom_domain_status, domain_due_at, is_public)
    values (actor_id, given ->> 'slug', given ->> 'name', given ->> 'description', coalesce(given -> 'theme', '{}'),
        coalesce(given -> 'layout', '{}'), coalesce(given -> 'links', '{}'), given ->> 'custom_domain',
        case when given ->> 'custom_domain' is not null then 'PENDING' end,
        case when given ->> 'custom_domain' is not null then now() end, coalesce((given ->> 'is_public')::boolean, true))
    returning id into made;
    perform app.note_store(made, 'create_store');
    perform app.remember_result(actor_id, 'create_store', idempotency_key, fingerprint, made);
    return made;
exception when unique_violation then
    get stacked diagnostics taken = constraint_name;
    perform app.refuse_taken_name(taken);
end;
$$;

-- Notes in the audit log what was done to a store.
create or replace function app.note_store(wanted uuid, action text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into public.audit_log (user_id, action, detail)
    values (app.user_id(), note_store.action, jsonb_build_object('store', 'store_' || wanted));
$$;

-- Changes what is given of a store of the caller's, and returns it. What it sells is seen by others as long as it is.
create or replace function app.update_store(wanted uuid, given jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    store public.stores := app.enter_store(wanted, 'id');
    changed public.stores := jsonb_populate_record(store, given);
    is_same_domain boolean := changed.custom_domain is not distinct from store.custom_domain;
    taken text;
begin
    if not is_same_domain then
        changed.custom_domain_status := case when changed.custom_domain is not null then 'PENDING' end;
        changed.domain_due_at := case when changed.custom_domain is not null then now() end;
        changed.custom_domain_verified_at := null;
        changed.domain_misses := 0;
    end if;
    update public.stores s
    set slug = changed.slug, name = changed.name, description = changed.description, theme = changed.theme,
        layout = changed.layout, links = changed.links, custom_domain = changed.custom_domain,
        custom_domain_status = changed.custom_domain_status, domain_due_at = changed.domain_due_at,
        custom_domain_verified_at = changed.custom_domain_verified_at, domain_misses = changed.domain_misses,
        affiliate_commission_percent = changed.affiliate_commission_percent,
        is_public = changed.is_public, updated_at = clock_timestamp()
    where s.id = wanted;
    if changed.is_public <> store.is_public then
        update public.products p set is_active = changed.is_public and p.status = 'PUBLISHED'
        where p.store_id = wanted and p.is_active <> (changed.is_public and p.status = 'PUBLISHED');
    end if;
    return wanted;
exception when unique_violation then
    get stacked diagnostics taken = constraint_name;
    perform app.refuse_taken_name(taken);
end;
$$;

-- Keeps where a store's new picture lies, or that it has none; returns where the one before lay. NOT_FOUND where the
-- store is not that user's any more.
create or replace function app.set_store_picture(owner_id uuid, wanted uuid, kind text, stored_path text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    store public.stores;
begin
    select * into store from public.stores s where s.id = wanted and s.user_id = owner_id for update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such store.', '{"path": ["input", "storeId"]}');
    end if;
    update public.stores s
    set logo_path = case kind when 'LOGO' then stored_path else s.logo_path end,
        banner_path = case kind when 'BANNER' then stored_path else s.banner_path end,
        updated_at = clock_timestamp()
    where s.id = wanted;
    return case kind when 'LOGO' then store.logo_path else store.banner_path end;
end;
$$;

-- Notes whether a store's domain names it, as its name servers said; one that the store does not name any more is
-- nobody's concern. Whoever proves a domain takes it from the store that had: the record is written by whoever has the
-- domain now. One that is not proven is looked for every hour for a week, and one that was is missed for two days.
create or replace function app.note_domain(wanted uuid, domain text, is_proven boolean) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    pending_misses constant integer := 168;
    verified_misses constant integer := 48;
    store public.stores;
    misses integer;
    is_over boolean;
begin
    -- One at a time, so that of two who prove the same domain the later has it.
    perform pg_advisory_xact_lock(hashtextextended('domain ' || domain, 0));
    select * into store from public.stores s where s.id = wanted and s.custom_domain = domain for update;
    if not found then
        return;
    elsif is_proven then
        update public.stores s
        set custom_domain_status = 'FAILED', custom_domain_verified_at = null, domain_due_at = null
        where s.custom_domain = domain and s.id <> wanted and s.custom_domain_status = 'VERIFIED';
        update public.stores s
        set custom_domain_status = 'VERIFIED', domain_due_at = now() + interval '1 day', domain_misses = 0,
            custom_domain_verified_at = coalesce(s.custom_domain_verified_at, now())
        where s.id = wanted;
        return;
    end if;
    misses := store.domain_misses + 1;
    is_over := store.custom_domain_status = 'FAILED'
        or misses >= case store.custom_domain_status when 'VERIFIED' then verified_misses else pending_misses end;
    update public.stores s
    set domain_misses = misses, domain_due_at = case when not is_over then now() + interval '1 hour' end,
        custom_domain_status = case when is_over then 'FAILED' else s.custom_domain_status end,
        custom_domain_verified_at = case when not is_over then s.custom_domain_verified_at end
    where s.id = wanted;
end;
$$;

-- Domains whose record is to be looked for now, each put off by an hour: whoever looks may be stopped.
-- Gives each store's id and domain.
create or replace function app.due_domains(at_most integer) returns jsonb
language sql security definer set search_path = pg_catalog, pg_temp as $$
    with due as (
        update public.stores s set domain_due_at = now() + interval '1 hour'
        where s.id in (select d.id from public.stores d where d.domain_due_at <= now()
            order by d.domain_due_at limit at_most for update skip locked)
        returning s.id, s.custom_domain
    )
    select coalesce(jsonb_agg(jsonb_build_array(d.id, d.custom_domain)), '[]') from due d;
$$;

-- Changes what is given of what the caller says of themselves as a seller, and makes it the first time. Returns the
-- caller.
create or replace function app.save_creator_profile(given jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_seller_id();
    saved public.creator_profiles;
begin
    insert into public.creator_profiles (user_id) values (actor_id) on conflict do nothing;
    select * into saved from public.creator_profiles c where c.user_id = actor_id for update;
    saved := jsonb_populate_record(saved, given);
    update public.creator_profiles c
    set creator_type = saved.creator_type, business_name = saved.business_name,
        business_description = saved.business_description, contact_email = saved.contact_email,
        website_url = saved.website_url, links = saved.links, updated_at = clock_timestamp()
    where c.user_id = actor_id;
    return actor_id;
end;
$$;

-- What is left of stores when their owner's account is erased: products that were sold stay, without a word beside
-- their name, and their buyers keep the files; all others go. Returns how many.
create or replace function app.close_stores(leaving uuid, at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    found_ids text[];
    sold text[];
begin
    found_ids := array(select p.id from public.products p where p.seller_id = leaving order by p.id limit at_most for update);
    sold := array(select p.id from unnest(found_ids) as p (id)
        where exists (select from public.orders o where o.product_id = p.id)
            or exists (select from public.sales s where s.product_id = p.id));
    update public.product_files f set user_id = null where f.product_id = any (sold);
    update public.products p
    set store_id = null, seller_id = null, is_active = false, description = null, category = null, tags = '{}',
        status = case when p.status = 'DRAFT' then p.status else 'ARCHIVED' end
    where p.id = any (sold);
    delete from public.product_prices p where p.product_id = any (found_ids) and p.product_id <> all (sold);
    delete from public.products p where p.id = any (found_ids) and p.id <> all (sold);
    return cardinality(found_ids);
end;
$$;

revoke execute on function
    app.required_seller_id(), app.enter_store(uuid, text), app.refuse_taken_name(text),
    app.create_store(jsonb, text), app.update_store(uuid, jsonb), app.note_store(uuid, text),
    app.save_creator_profile(jsonb), app.close_stores(uuid, integer), app.note_domain(uuid, text, boolean),
    app.due_domains(integer), app.set_store_picture(uuid, uuid, text, text)
from public;
grant execute on function
    app.note_domain(uuid, text, boolean), app.due_domains(integer), app.set_store_picture(uuid, uuid, text, text)
to service;
grant execute on function
    app.create_store(jsonb, text), app.update_store(uuid, jsonb), app.save_creator_profile(jsonb)
to authenticated;
