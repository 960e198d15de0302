-- Licences: made in batches, given, sold, redeemed once, activated, banned, extended, handed on.

-- Whose product it is, what it is called, and how many machines its licences allow; NOT_FOUND for anybody else's.
create or replace function app.licensed_product(
    wanted_product text, wanted_developer_product uuid, out seller_id uuid, out max_activations integer
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if wanted_developer_product is not null then
        select p.user_id into seller_id from public.developer_products p where p.id = wanted_developer_product;
    else
        -- What whoever runs the service sells has no seller, and no licences.
        select p.seller_id, p.max_activations into seller_id, max_activations
        from public.products p where p.id = wanted_product and p.licences_enabled;
    end if;
end;
$$;

-- Stores keys for a product of the caller's and returns the licences, in the order of the keys. The same idempotency key
-- stores nothing more, and returns what the first has stored. `given` are {id, hash, sealed, end} of each key.
create or replace function app.create_licences(
    wanted_product text, wanted_developer_product uuid, given jsonb, activations integer, until timestamptz,
    days integer, idempotency_key text
) returns uuid[]
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    licences_limit constant integer := 100000;
    actor_id uuid := app.required_user_id();
    fingerprint bytea := sha256(convert_to(jsonb_build_array(wanted_product, wanted_developer_product,
        jsonb_array_length(given), activations, until, days)::text, 'UTF8'));
    product record := app.licensed_product(wanted_product, wanted_developer_product);
    hashes bytea[] := array(select decode(g ->> 'hash', 'hex') from jsonb_array_elements(given) with ordinality as e (g, n)
        order by n);
    made uuid[];
begin
    perform app.check_idempotency_key(idempotency_key);
    perform from public.users u where u.id = actor_id and u.status = 'active' for no key update;
    if product.seller_id is null and exists (
        select from public.products p where p.id = wanted_product and p.seller_id = actor_id and not p.licences_enabled)
    then
        perform app.refuse('INVALID_STATE',
            'This product comes without licences. Switch them on with updateProduct(licencesEnabled: true).',
            '{"path": ["input", "productId"]}');
    end if;
    if product.seller_id is distinct from actor_id then
        perform app.refuse('NOT_FOUND', 'There is no such product.', '{"path": ["input", "productId"]}');
    end if;
    if app.remembered_result(actor_id, 'create_licences', idempotency_key, fingerprint) is null then
        if (select count(*) from public.licences l where l.seller_id = actor_id
                and (l.product_id = wanted_product or l.developer_product_id = wanted_developer_product))
            + jsonb_array_length(given) > licences_limit then
            perform app.refuse('LIMIT_EXCEEDED', format('A product has at most %s licences.', licences_limit));
        end if;
        -- The keys follow from the idempotency key, which is remembered for a shorter time than they are.
        if exists (select from public.licences l where l.key_hash = any (hashes)) then
            perform app.refuse('IDEMPOTENCY_CONFLICT',
                'This idempotency key made licences long ago. Use a new key for new ones.',
                '{"path": ["input", "idempotencyKey"]}');
        end if;
        insert into public.licences (id, product_id, developer_product_id, seller_id, key_hash, key_sealed, key_end,
            max_activations, expires_at, duration_days)
        select (g ->> 'id')::uuid, wanted_product, wanted_developer_product, actor_id, decode(g ->> 'hash', 'hex'),
            decode(g ->> 'sealed', 'hex'), g ->> 'end',
            coalesce(activations, product.max_activations), until, days
        from jsonb_array_elements(given) as e (g);
        perform app.remember_result(actor_id, 'create_licences', idempotency_key, fingerprint, actor_id);
    end if;
    select array_agg(l.id order by array_position(hashes, l.key_hash)) into made
    from public.licences l where l.key_hash = any (hashes);
    return made;
end;
$$;

-- Gives the buyer of a product its licence, and returns it; null where the product has none. Whoever settles a sale calls
-- it in the transaction that makes the sale, which has one licence however often. A job makes its key: that takes a
-- secret which the database does not have. Without a buyer it waits for `app.claim_licence_of_sale()`.
create or replace function app.give_licence_of_sale(wanted_sale uuid, wanted_product text, buyer_id uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    product record := app.licensed_product(wanted_product, null);
    made uuid;
begin
    if product.seller_id is null then
        return null;
    end if;
    insert into public.licences (product_id, seller_id, owner_id, sale_id, source, max_activations)
    values (wanted_product, product.seller_id, buyer_id, wanted_sale, 'SOLD', product.max_activations)
    on conflict (sale_id) where sale_id is not null do nothing returning id into made;
    if made is not null then
        perform app.enqueue('make_licence_key', jsonb_build_object('licence_id', made), made::text);
    end if;
    return coalesce(made, (select l.id from public.licences l where l.sale_id = wanted_sale));
end;
$$;

-- Keeps the key that was made for the licence of a sale; one that it has stays.
create or replace function app.set_licence_key(wanted uuid, hash bytea, sealed bytea, last_signs text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.licences l
    set key_hash = hash, key_sealed = sealed, key_end = last_signs, updated_at = clock_timestamp()
    where l.id = wanted and l.key_hash is null;
$$;

-- Gives the licence of a sale to whoever has claimed the sale.
create or replace function app.claim_licence_of_sale(wanted_sale uuid, buyer_id uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.licences l set owner_id = buyer_id, updated_at = clock_timestamp()
    where l.sale_id = wanted_sale and l.owner_id is null;
$$;

-- Why a licence is banned whose sale hands nothing out; no seller gives it, so that it tells such a ban from theirs.
create or replace function app.held_reason() returns text
language sql immutable set search_path = pg_catalog, pg_temp
return 'The sale was refunded or is disputed.';

-- Bans the licence of a sale whose money went back or is in dispute, or lifts that again. A ban of its seller's stays.
create or replace function app.hold_licence_of_sale(wanted_sale uuid, is_held boolean) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.set_ban(l.id, is_held, app.held_reason())
    from public.licences l
    where l.sale_id = wanted_sale and (l.status = 'BANNED') <> is_held
        and (is_held or l.ban_reason = app.held_reason()) for update;
end;
$$;

-- Bans a licence or lifts its ban.
create or replace function app.set_ban(wanted uuid, is_banned boolean, reason text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.licences l
    set status = case when is_banned then 'BANNED' else l.banned_from end,
        banned_from = case when is_banned then l.status end,
        banned_at = case when is_banned then clock_timestamp() end,
        ban_reason = case when is_banned then reason end, updated_at = clock_timestamp()
    where l.id = wanted and (l.status = 'BANNED') <> is_banned;
$$;

-- Redeems the licence of a key, once, and returns it. Whoever redeems it for themselves owns it from then on; its seller,
-- and a bot of theirs, redeems it for the Discord and Roblox ids of somebody. Sent again for the same ids by the
-- same caller it changes nothing. INVALID_STATE once it was redeemed for somebody else.
create or replace function app.redeem_licence(wanted_hashes bytea[], for_discord text, for_roblox bigint) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    licence public.licences;
    is_sellers boolean;
begin
    select * into licence from public.licences l where l.key_hash = any (wanted_hashes) for update;
    if not found or licence.owner_id <> actor_id and licence.seller_id is distinct from actor_id then
        perform app.refuse('NOT_FOUND', 'There is no such licence key.', '{"path": ["input", "key"]}');
    end if;
    is_sellers := coalesce(licence.seller_id = actor_id, false) and coalesce(for_discord, for_roblox::text) is not null;
    if licence.status = 'REDEEMED' and licence.discord_id is not distinct from for_discord
        and licence.roblox_id is not distinct from for_roblox and (is_sellers or licence.owner_id = actor_id) then
        return licence.id;
    elsif licence.status = 'BANNED' then
        perform app.refuse('INVALID_STATE', 'This licence is banned.', '{"path": ["input", "key"]}');
    elsif licence.status = 'REDEEMED' then
        perform app.refuse('INVALID_STATE', 'This key was redeemed already.', '{"path": ["input", "key"]}');
    elsif licence.expires_at <= now() then
        perform app.refuse('INVALID_STATE', 'This licence has expired.', '{"path": ["input", "key"]}');
    end if;
    update public.licences l
    set status = 'REDEEMED', redeemed_at = clock_timestamp(), updated_at = clock_timestamp(),
        owner_id = case when is_sellers then l.owner_id else actor_id end,
        discord_id = for_discord, roblox_id = for_roblox,
        expires_at = least(l.expires_at, now() + make_interval(days => l.duration_days))
    where l.id = licence.id;
    return licence.id;
end;
$$;

-- A licence that the caller sells, or owns where `of_owner`, locked. NOT_FOUND for any other.
create or replace function app.enter_licence(wanted uuid, of_owner boolean) returns public.licences
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    licence public.licences;
begin
    select * into licence from public.licences l where l.id = wanted
        and (l.seller_id = app.required_user_id() or of_owner and l.owner_id = app.user_id()) for update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such licence.', '{"path": ["input", "id"]}');
    end if;
    return licence;
end;
$$;

-- Bans a licence that the caller sells, or lifts its ban, and returns it. One that is held for its sale is banned by its
-- seller from then on: that ban stays when the money does.
create or replace function app.ban_licence(wanted uuid, is_banned boolean, reason text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    licence public.licences := app.enter_licence(wanted, false);
begin
    if is_banned and btrim(reason) = app.held_reason() then
        perform app.refuse('BAD_USER_INPUT', 'These words are for licences whose sale was refunded or is disputed. Use others.',
            '{"path": ["input", "reason"]}');
    elsif is_banned and licence.status = 'BANNED' and licence.ban_reason = app.held_reason() then
        update public.licences l set ban_reason = reason, updated_at = clock_timestamp() where l.id = wanted;
    else
        perform app.set_ban(wanted, is_banned, reason);
    end if;
    return wanted;
end;
$$;

-- Has a licence that the caller sells expire at another time, or never, and returns it. So many days are counted from
-- its end, or from now when that is over or there is none.
create or replace function app.extend_licence(wanted uuid, days integer, until timestamptz) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    licence public.licences := app.enter_licence(wanted, false);
    latest constant timestamptz := '9999-12-31T00:00:00Z';
    ends timestamptz := until;
begin
    if days is not null then
        ends := greatest(coalesce(licence.expires_at, now()), now()) + make_interval(days => days);
        -- Of a later time no client can make anything.
        if ends > latest then
            perform app.refuse('BAD_USER_INPUT', 'A licence ends in the year 9999 at the latest, or never.',
                '{"path": ["input", "days"]}');
        end if;
    end if;
    update public.licences l set expires_at = ends, updated_at = clock_timestamp() where l.id = wanted;
    return wanted;
end;
$$;

-- Hands a licence of the caller's on to the user of a name, or lets its seller bind it to other ids, and returns it. The
-- machines that used it are forgotten.
create or replace function app.transfer_licence(wanted uuid, to_username text, for_discord text, for_roblox bigint)
returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    licence public.licences := app.enter_licence(wanted, true);
    receiver uuid;
begin
    if to_username is not null then
        select u.id into receiver from public.users u
        where u.username_key = lower(to_username) and u.status = 'active' and not u.is_anonymous;
        if not found then
            perform app.refuse('NOT_FOUND', 'There is no such user.', '{"path": ["input", "username"]}');
        end if;
    end if;
    if licence.status <> 'REDEEMED' and licence.owner_id is null or licence.status = 'BANNED' then
        perform app.refuse('INVALID_STATE', format('The licence is %s, so it cannot be handed on.', licence.status),
            '{"path": ["input", "id"]}');
    end if;
    delete from public.licence_activations a where a.licence_id = wanted;
    update public.licences l
    set owner_id = coalesce(receiver, l.owner_id), discord_id = for_discord, roblox_id = for_roblox,
        activation_count = 0, updated_at = clock_timestamp()
    where l.id = wanted;
    return wanted;
end;
$$;

-- The licence of a key for a product of either kind, as whoever verifies it is told; no row for none.
create or replace function app.licence_of_key(
    wanted_hashes bytea[], wanted_product text, wanted_developer_product uuid,
    out licence_id uuid, out status text, out expires_at timestamptz, out activation_count integer,
    out max_activations integer, out seller_id uuid
)
returns setof record
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select l.id, l.status, l.expires_at, l.activation_count, l.max_activations, l.seller_id
    from public.licences l
    where l.key_hash = any (wanted_hashes)
        and (wanted_product is null or l.product_id = wanted_product)
        and (wanted_developer_product is null or l.developer_product_id = wanted_developer_product);
$$;

-- Counts a machine that uses a licence and returns how many there are, and whether this one may. Of many that begin at
-- once no more than the licence allows do.
create or replace function app.activate_licence(
    wanted uuid, machine bytea, out is_active boolean, out activation_count integer
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    licence public.licences;
begin
    -- Without the lock first: whoever is refused again and again holds nobody up.
    select * into licence from public.licences l where l.id = wanted;
    if licence.activation_count < coalesce(licence.max_activations, 10000) then
        select * into licence from public.licences l where l.id = wanted for no key update;
    end if;
    activation_count := coalesce(licence.activation_count, 0);
    is_active := exists (
        select from public.licence_activations a where a.licence_id = wanted and a.machine_hash = machine);
    if is_active or licence.id is null or licence.status = 'BANNED' or licence.expires_at <= now()
        or activation_count >= coalesce(licence.max_activations, 10000) then
        return;
    end if;
    insert into public.licence_activations (licence_id, machine_hash) values (wanted, machine);
    activation_count := activation_count + 1;
    is_active := true;
    update public.licences l set activation_count = activate_licence.activation_count where l.id = wanted;
end;
$$;

revoke execute on function
    app.licensed_product(text, uuid),
    app.create_licences(text, uuid, jsonb, integer, timestamptz, integer, text),
    app.give_licence_of_sale(uuid, text, uuid), app.set_licence_key(uuid, bytea, bytea, text), app.claim_licence_of_sale(uuid, uuid),
    app.held_reason(), app.hold_licence_of_sale(uuid, boolean), app.set_ban(uuid, boolean, text),
    app.redeem_licence(bytea[], text, bigint), app.enter_licence(uuid, boolean),
    app.ban_licence(uuid, boolean, text), app.extend_licence(uuid, integer, timestamptz),
    app.transfer_licence(uuid, text, text, bigint), app.licence_of_key(bytea[], text, uuid),
    app.activate_licence(uuid, bytea)
from public;
grant execute on function
    app.create_licences(text, uuid, jsonb, integer, timestamptz, integer, text),
    app.redeem_licence(bytea[], text, bigint), app.ban_licence(uuid, boolean, text),
    app.extend_licence(uuid, integer, timestamptz), app.transfer_licence(uuid, text, text, bigint)
to authenticated;
grant execute on function app.licence_of_key(bytea[], text, uuid), app.activate_licence(uuid, bytea),
    app.set_licence_key(uuid, bytea, bytea, text)
to service;
