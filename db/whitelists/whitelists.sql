-- Products of developers and their whitelists.

-- Makes a product of the caller's and returns it; the one that they have of the group, when it is called the same.
create or replace function app.create_developer_product(
    wanted_name text, group_id bigint, wanted_description text, phrase text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    products_limit constant integer := 100;
    actor_id uuid;
    made uuid;
begin
    perform app.enter_developer();
    actor_id := app.user_id();
    if exists (select from public.developer_products p
        where p.user_id = actor_id and p.roblox_group_id = group_id) then
        perform app.refuse('INVALID_STATE', 'You have a product of this group already.',
            '{"path": ["input", "robloxGroupId"]}');
    elsif (select count(*) from public.developer_products p where p.user_id = actor_id) >= products_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('A developer has at most %s products.', products_limit));
    end if;
    insert into public.developer_products (user_id, name, roblox_group_id, description, proof_phrase)
    values (actor_id, wanted_name, group_id, wanted_description, phrase) returning id into made;
    return made;
end;
$$;

-- Notes that the caller owns the group of a product of theirs, whose description had the phrase. Whoever proved it
-- before them does not any more.
create or replace function app.prove_developer_product(wanted uuid, phrase text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    product public.developer_products;
begin
    select * into product from public.developer_products p
    where p.id = wanted and p.user_id = app.required_user_id() and p.proof_phrase = phrase for update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such developer product.', '{"path": ["input", "id"]}');
    end if;
    if product.proven_at is null then
        -- One at a time, so that of two who prove the same group the later has it.
        perform pg_advisory_xact_lock(hashtextextended('roblox_group', product.roblox_group_id));
        update public.developer_products p set proven_at = null, updated_at = clock_timestamp()
        where p.roblox_group_id = product.roblox_group_id and p.proven_at is not null;
        update public.developer_products p set proven_at = clock_timestamp(), updated_at = clock_timestamp()
        where p.id = wanted;
    end if;
    return wanted;
end;
$$;

-- Deletes a product of the caller's with its whitelist and its licences.
create or replace function app.delete_developer_product(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from public.developer_products p where p.id = wanted and p.user_id = app.required_user_id();
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such developer product.', '{"path": ["input", "id"]}');
    end if;
    return wanted;
end;
$$;

-- Puts somebody on the whitelist of a product of the caller's, or changes until when, and returns the entry. Only
-- another one counts against the tier, and only those whose time is not over.
create or replace function app.set_whitelist_entry(
    wanted_product uuid, wanted_roblox bigint, wanted_discord text, until timestamptz
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    tier public.developer_tiers := app.enter_developer();
    actor_id uuid := app.user_id();
    used integer;
    made uuid;
begin
    perform from public.developer_products p where p.id = wanted_product and p.user_id = actor_id for no key update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such developer product.', '{"path": ["input", "productId"]}');
    end if;
    select count(*) into used from public.whitelist_entries e
    where e.product_id = wanted_product and e.expires_at > now() and e.roblox_id <> wanted_roblox;
    if tier.whitelist_entries <> -1 and used >= tier.whitelist_entries then
        perform app.refuse('PLAN_LIMIT_REACHED', format(
            'The tier %s allows %s entries for each product; %s are used. Remove some, or subscribe to a higher tier.',
            tier.id, tier.whitelist_entries, used),
            jsonb_build_object('kind', 'WHITELIST', 'limit', tier.whitelist_entries, 'used', used, 'plan_id', (
                select t.id from public.developer_tiers t
                where t.sort_order > tier.sort_order and (t.whitelist_entries = -1 or t.whitelist_entries > used)
                order by t.sort_order limit 1)));
    end if;
    insert into public.whitelist_entries as e (user_id, product_id, roblox_id, discord_id, expires_at)
    values (actor_id, wanted_product, wanted_roblox, wanted_discord, until)
    on conflict (product_id, roblox_id) do update
    set discord_id = excluded.discord_id, expires_at = excluded.expires_at, updated_at = clock_timestamp()
    returning e.id into made;
    return made;
end;
$$;

-- Takes entries off the caller's whitelists and returns those that were on one.
create or replace function app.remove_whitelist_entries(wanted uuid[]) returns uuid[]
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    removed uuid[];
begin
    if not exists (select from public.users u where u.id = actor_id) then
        perform app.refuse('UNAUTHENTICATED', 'The account of this token is gone; sign in again.');
    end if;
    with gone as (
        delete from public.whitelist_entries e
        where e.id = any (wanted) and e.user_id = actor_id returning e.id
    )
    select coalesce(array_agg(g.id), '{}') into removed from gone g;
    return removed;
end;
$$;

-- How many are on the whitelist of a product whose time is not over, as far as the caller may read.
create or replace function app.entry_count(wanted_product uuid) returns integer
language sql stable set search_path = pg_catalog, pg_temp as $$
    select count(*)::integer from public.whitelist_entries e
    where e.product_id = wanted_product and e.expires_at > now();
$$;

-- Whether somebody is on a whitelist now. `wanted_developer` restricts it to that developer's products. A product
-- whose group nobody has proven answers so. Of no product nothing is returned.
create or replace function app.whitelisted(
    wanted_product uuid, wanted_group bigint, wanted_developer uuid, wanted_roblox bigint,
    out product_id uuid, out is_proven boolean, out entry_id uuid, out expires_at timestamptz
)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select p.id, p.proven_at is not null, e.id, e.expires_at
    from public.developer_products p
    left join public.whitelist_entries e on e.product_id = p.id and e.roblox_id = wanted_roblox
    where case when wanted_product is not null then p.id = wanted_product
            else p.roblox_group_id = wanted_group and p.user_id = wanted_developer end
        and (wanted_developer is null or p.user_id = wanted_developer);
$$;

revoke execute on function
    app.create_developer_product(text, bigint, text, text), app.prove_developer_product(uuid, text),
    app.delete_developer_product(uuid), app.set_whitelist_entry(uuid, bigint, text, timestamptz),
    app.remove_whitelist_entries(uuid[]), app.entry_count(uuid), app.whitelisted(uuid, bigint, uuid, bigint)
from public;
grant execute on function
    app.create_developer_product(text, bigint, text, text), app.prove_developer_product(uuid, text),
    app.delete_developer_product(uuid), app.set_whitelist_entry(uuid, bigint, text, timestamptz),
    app.remove_whitelist_entries(uuid[]), app.entry_count(uuid)
to authenticated;
grant execute on function app.whitelisted(uuid, bigint, uuid, bigint) to service;
