-- What bots hand out for keys: redeemed once, and kept the same at the bot and here.

-- Takes the licence behind a key for somebody at Discord and Roblox, where licences are a product's keys. Returns why it
-- cannot be taken, or null. A licence that they took before is theirs.
create or replace function app.take_bot_licence(
    product public.bot_products, seller uuid, licence_hashes bytea[], for_discord text, for_roblox bigint
) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    licence public.licences;
begin
    select * into licence from public.licences l
    where l.key_hash = any (licence_hashes) and l.seller_id = seller
        and (l.product_id = product.product_id or l.developer_product_id = product.developer_product_id) for update;
    if not found then
        return 'KEY_UNKNOWN';
    elsif licence.status = 'BANNED' then
        return 'KEY_BANNED';
    elsif licence.status = 'REDEEMED' then
        return case when licence.discord_id is distinct from for_discord then 'KEY_ALREADY_REDEEMED' end;
    elsif licence.expires_at <= now() then
        return 'KEY_EXPIRED';
    end if;
    update public.licences l
    set status = 'REDEEMED', redeemed_at = clock_timestamp(), updated_at = clock_timestamp(), discord_id = for_discord,
        roblox_id = for_roblox, expires_at = least(l.expires_at, now() + make_interval(days => l.duration_days))
    where l.id = licence.id;
    return null;
end;
$$;

-- Writes one change of who has a product, under the lock of its server's head, and returns what became of it: APPLIED,
-- KNOWN when it was written before, LOST when a later one holds, or why it is refused. `given` is {discord_id,
-- discord_username, roblox_id, roblox_username, status, key_hashes, licence_hashes, key_sealed, changed_at}. Who is
-- `redeeming` must not have the product yet.
create or replace function app.write_bot_whitelist(
    product public.bot_products, server public.discord_servers, side text, given jsonb, redeeming boolean
) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    users_limit constant integer := 100000;
    before public.bot_whitelisted_users;
    change record;
    hashes bytea[] := array(select decode(h, 'hex') from jsonb_array_elements_text(given -> 'key_hashes') h);
    made_at timestamptz := least((given ->> 'changed_at')::timestamptz, clock_timestamp());
    holder text;
    refusal text;
    next_position bigint;
begin
    select * into change from jsonb_to_record(given) as c (discord_id text, discord_username text, roblox_id bigint,
        roblox_username text, status text, key_sealed text);
    select * into before from public.bot_whitelisted_users u
    where u.product_id = product.id and u.discord_id = change.discord_id;
    select u.discord_id into holder from public.bot_whitelisted_users u
    where u.product_id = product.id and u.key_hash = any (hashes);
    -- Who redeemed a key and could not hear of it sends it again, in whichever way.
    if holder = change.discord_id and before.status = 'ACTIVE' and change.status = 'ACTIVE'
        and (redeeming or made_at <= before.updated_at) then
        return 'KNOWN';
    elsif holder <> change.discord_id or redeeming and holder is not null then
        return 'KEY_ALREADY_REDEEMED';
    elsif redeeming and before.status = 'ACTIVE' then
        return 'ALREADY_WHITELISTED';
    elsif not redeeming and made_at = before.updated_at and before.changed_by = side then
        return 'KNOWN';
    elsif not redeeming and made_at <= before.updated_at then
        return 'LOST';
    elsif before.id is null and (select count(*) from public.bot_whitelisted_users u
        where u.product_id = product.id) >= users_limit then
        return 'LIMIT_EXCEEDED';
    elsif holder is null and hashes <> '{}' and num_nonnulls(product.product_id, product.developer_product_id) = 1 then
        refusal := app.take_bot_licence(product, server.user_id,
            array(select decode(h, 'hex') from jsonb_array_elements_text(given -> 'licence_hashes') h),
            change.discord_id, change.roblox_id);
        if refusal is not null then
            return refusal;
        end if;
    end if;
    update public.bot_whitelist_heads h set position = h.position + 1 where h.server_id = server.id
    returning h.position into next_position;
    insert into public.bot_whitelisted_users as u (product_id, discord_id, discord_username, roblox_id, roblox_username,
        key_sealed, key_hash, status, changed_by, position, redeemed_at, updated_at)
    values (product.id, change.discord_id, change.discord_username, change.roblox_id, change.roblox_username,
        decode(change.key_sealed, 'hex'), hashes[1], change.status, side, next_position,
        case when hashes <> '{}' then made_at end, made_at)
    on conflict (product_id, discord_id) do update
    set discord_username = coalesce(excluded.discord_username, u.discord_username), roblox_id = excluded.roblox_id,
        roblox_username = excluded.roblox_username, key_sealed = coalesce(excluded.key_sealed, u.key_sealed),
        key_hash = coalesce(excluded.key_hash, u.key_hash), status = excluded.status, changed_by = excluded.changed_by,
        position = excluded.position, redeemed_at = coalesce(excluded.redeemed_at, u.redeemed_at),
        updated_at = excluded.updated_at;
    return 'APPLIED';
end;
$$;

-- Locks the order of the changes of a server's whitelists, and returns how many there are.
create or replace function app.enter_bot_whitelist(wanted_server uuid) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    reached bigint;
begin
    insert into public.bot_whitelist_heads (server_id) values (wanted_server) on conflict (server_id) do nothing;
    select h.position into reached from public.bot_whitelist_heads h where h.server_id = wanted_server for update;
    return reached;
end;
$$;

-- Redeems a key of a product in a server of the caller's for somebody at Discord, once, and returns who has it. Of any
-- number that redeem a key at once one does. Sent again for the same user it changes nothing.
create or replace function app.redeem_bot_key(wanted uuid, given jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    server public.discord_servers;
    product public.bot_products;
    outcome text;
begin
    select s.* into server from public.discord_servers s join public.bot_products p on p.server_id = s.id
    where p.id = wanted and (s.user_id = actor_id or s.bot_id = actor_id);
    if server.id is not null then
        perform app.enter_bot_whitelist(server.id);
        select * into product from public.bot_products p where p.id = wanted for key share;
    end if;
    if product.id is null then
        perform app.refuse('NOT_FOUND', 'There is no such product.', '{"path": ["input", "productId"]}');
    end if;
    outcome := app.write_bot_whitelist(product, server, case when server.bot_id = actor_id then 'BOT' else 'PLATFORM' end,
        given || jsonb_build_object('changed_at', clock_timestamp(), 'status', 'ACTIVE'), true);
    case outcome
        when 'APPLIED', 'KNOWN' then null;
        when 'KEY_UNKNOWN' then
            perform app.refuse('NOT_FOUND', 'There is no such key.', '{"path": ["input", "key"]}');
        when 'KEY_ALREADY_REDEEMED' then
            perform app.refuse('INVALID_STATE', 'This key was redeemed already.', '{"path": ["input", "key"]}');
        when 'KEY_BANNED' then
            perform app.refuse('INVALID_STATE', 'This key is banned.', '{"path": ["input", "key"]}');
        when 'KEY_EXPIRED' then
            perform app.refuse('INVALID_STATE', 'This key has expired.', '{"path": ["input", "key"]}');
        when 'ALREADY_WHITELISTED' then
            perform app.refuse('INVALID_STATE', 'This user has the product already.', '{"path": ["input", "discordId"]}');
        else
            perform app.refuse('LIMIT_EXCEEDED', 'A product is for at most 100000 users.');
    end case;
    return (select u.id from public.bot_whitelisted_users u
        where u.product_id = wanted and u.discord_id = given ->> 'discord_id');
end;
$$;

-- Takes what one side of a server's whitelists changed, and tells what the other did behind its cursor. Of two changes of
-- the same user the later holds, by the clocks of those who made them; what is ahead of this clock counts as made now. What
-- is sent again changes nothing more. `changes` are those of `app.write_bot_whitelist()`, with {n, product_id}.
create or replace function app.sync_bot_whitelist(wanted uuid, since text, changes jsonb, page_rows integer)
returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    server public.discord_servers := app.enter_discord_server(wanted, 'serverId');
    side text := case when server.bot_id = app.user_id() then 'BOT' else 'PLATFORM' end;
    life text;
    reached bigint := app.enter_bot_whitelist(wanted);
    seen bigint := 0;
    everybody bigint;
    product public.bot_products;
    change jsonb;
    outcome text;
    taken jsonb := '[]';
    page jsonb;
    last_position bigint;
    has_more boolean;
begin
    select left(md5(e.epoch::text || wanted::text), 16) into life from public.database_epoch e;
    if since is not null then
        seen := case when app.is_sync_cursor(since, life) then split_part(since, '-', 2)::bigint end;
        if seen is null or seen > reached then
            perform app.refuse('CURSOR_EXPIRED', 'The changes after this cursor are no longer known. Sync without `since`'
                ' to get everything.', '{"path": ["input", "since"]}');
        end if;
    end if;
    for change in select c from jsonb_array_elements(changes) with ordinality as e (c, n) order by e.n loop
        -- Within its server only: the same id or group elsewhere is another's.
        select * into product from public.bot_products p
        where p.id = (change ->> 'product_id')::uuid and p.server_id = wanted for key share;
        outcome := case when product.id is null then 'PRODUCT_GONE'
            else app.write_bot_whitelist(product, server, side, change, false) end;
        taken := taken || jsonb_build_object('product_id', 'botProduct_' || (change ->> 'product_id'),
            'discord_id', change ->> 'discord_id', 'outcome', outcome);
    end loop;
    select h.position into reached from public.bot_whitelist_heads h where h.server_id = wanted;
    everybody := app.everybody_until(since, reached);
    select coalesce(jsonb_agg(to_jsonb(p) order by p.position), '[]'), max(p.position), count(*) = page_rows
    into page, last_position, has_more
    from (
        select u.id, 'botProduct_' || u.product_id as product_id, u.discord_id, u.discord_username,
            u.roblox_id::text as roblox_id, u.roblox_username, u.status, u.changed_by, u.redeemed_at, u.updated_at,
            u.position
        from public.bot_products p join public.bot_whitelisted_users u on u.product_id = p.id
        where p.server_id = wanted and u.position > seen
            and case when u.position > everybody then u.changed_by <> side else u.status = 'ACTIVE' end
        order by u.position limit page_rows
    ) p;
    return jsonb_build_object('accepted', taken, 'changes', page, 'has_more', has_more,
        'cursor', app.sync_cursor(life, case when has_more then last_position else reached end, everybody));
end;
$$;

revoke execute on function
    app.take_bot_licence(public.bot_products, uuid, bytea[], text, bigint),
    app.write_bot_whitelist(public.bot_products, public.discord_servers, text, jsonb, boolean),
    app.enter_bot_whitelist(uuid), app.redeem_bot_key(uuid, jsonb),
    app.sync_bot_whitelist(uuid, text, jsonb, integer)
from public;
grant execute on function
    app.redeem_bot_key(uuid, jsonb), app.sync_bot_whitelist(uuid, text, jsonb, integer)
to authenticated;
