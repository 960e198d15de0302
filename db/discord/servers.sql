-- Servers at Discord: registered by bots, claimed by users, configured by either.

-- The caller, who must be the robot of a bot's key that works.
create or replace function app.enter_bot() returns uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    bot uuid := app.required_user_id();
begin
    if not app.is_working_bot(bot) then
        perform app.refuse('FORBIDDEN', 'This is for bots: send the key that `createBotKey` gave.');
    end if;
    return bot;
end;
$$;

-- Whether a user is the robot of a bot's key that works.
create or replace function app.is_working_bot(wanted uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from public.api_keys k where k.user_id = wanted and 'BOT' = any (k.scopes)
        and k.revoked_at is null and coalesce(k.expires_at > now(), true));
$$;

-- A server that the caller claimed or is the bot of, locked. NOT_FOUND for any other.
create or replace function app.enter_discord_server(wanted uuid, field text) returns public.discord_servers
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    server public.discord_servers;
begin
    select * into server from public.discord_servers s
    where s.id = wanted and (s.user_id = actor_id or s.bot_id = actor_id) for no key update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such Discord server.',
            jsonb_build_object('path', jsonb_build_array('input', field)));
    end if;
    return server;
end;
$$;

-- Notes in a user's audit log what happened to a server of theirs.
create or replace function app.note_discord_server(action text, owner_id uuid, server public.discord_servers) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into public.audit_log (user_id, action, detail)
    values (owner_id, note_discord_server.action,
        jsonb_build_object('discord_server', 'discordServer_' || server.id, 'guild', server.guild_id));
$$;

-- Registers the servers that the calling bot is in, or changes what Discord says of them, and returns them in the order
-- of their guilds. One whose owner has linked their Discord account is theirs at once. What stays as it is, is not written.
-- `given` are {guild_id, name, icon, owner_discord_id, member_count}.
create or replace function app.register_discord_servers(given jsonb) returns uuid[]
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    servers_limit constant integer := 10000;
    bot uuid := app.enter_bot();
    guild record;
    known public.discord_servers;
    claimer uuid;
begin
    for guild in select * from jsonb_to_recordset(given) as g (guild_id text, name text, icon text,
        owner_discord_id text, member_count integer) order by g.guild_id
    loop
        insert into public.discord_servers (guild_id, name, icon, owner_discord_id, member_count, bot_id)
        values (guild.guild_id, guild.name, guild.icon, guild.owner_discord_id, guild.member_count, bot)
        on conflict (guild_id) do nothing;
        select * into known from public.discord_servers s where s.guild_id = guild.guild_id for no key update;
        if known.bot_id <> bot and app.is_working_bot(known.bot_id) then
            perform app.refuse('INVALID_STATE', 'Another bot takes care of one of these servers.',
                '{"path": ["input", "servers"]}');
        end if;
        select i.user_id into claimer from public.user_identities i join public.users u on u.id = i.user_id
        where known.user_id is null and i.provider = 'discord' and i.subject = guild.owner_discord_id
            and u.status = 'active' and not u.is_anonymous;
        update public.discord_servers s
        set name = guild.name, icon = guild.icon, owner_discord_id = guild.owner_discord_id,
            member_count = guild.member_count, bot_id = bot, left_at = null, updated_at = clock_timestamp(),
            user_id = coalesce(s.user_id, claimer),
            claimed_at = case when s.user_id is null and claimer is not null then clock_timestamp() else s.claimed_at end
        where s.id = known.id and ((s.name, s.owner_discord_id, s.member_count)
                <> (guild.name, guild.owner_discord_id, guild.member_count)
            or s.icon is distinct from guild.icon or s.bot_id is distinct from bot or s.left_at is not null
            or s.user_id is null and claimer is not null);
        if claimer is not null then
            perform app.note_discord_server('discord_server_claimed', claimer, known);
        end if;
    end loop;
    if (select count(*) from public.discord_servers s where s.bot_id = bot) > servers_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('A bot takes care of at most %s servers.', servers_limit));
    end if;
    return array(select s.id from public.discord_servers s
        join jsonb_array_elements(given) g on g ->> 'guild_id' = s.guild_id order by s.guild_id);
end;
$$;

-- Notes that the calling bot has left servers, and returns those that it was in; what is kept there stays.
create or replace function app.leave_discord_servers(guilds text[]) returns uuid[]
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    bot uuid := app.enter_bot();
    done uuid[];
begin
    update public.discord_servers s
    set member_count = 0, left_at = clock_timestamp(), updated_at = clock_timestamp()
    where s.guild_id = any (guilds) and s.bot_id = bot and s.left_at is null;
    select coalesce(array_agg(s.id order by s.guild_id), '{}') into done
    from public.discord_servers s where s.guild_id = any (guilds) and s.bot_id = bot;
    return done;
end;
$$;

-- Gives a server to a user, and returns it. INVALID_STATE where it is another's.
create or replace function app.give_discord_server(server public.discord_servers, claimer uuid) returns uuid
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if server.user_id <> claimer then
        perform app.refuse('INVALID_STATE', 'Another user has claimed this server. They can release it.',
            '{"path": ["input", "guildId"]}');
    elsif server.user_id is null then
        update public.discord_servers s
        set user_id = claimer, claimed_at = clock_timestamp(), is_configured = true, updated_at = clock_timestamp()
        where s.id = server.id;
        perform app.note_discord_server('discord_server_claimed', claimer, server);
    end if;
    return server.id;
end;
$$;

-- Gives a server to a user of whom Discord has said that they own or administer it, as the account `discord` there.
-- It is asked only for one whom the user has linked.
create or replace function app.claim_discord_server(claimer uuid, guild text, discord text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    server public.discord_servers;
begin
    select * into server from public.discord_servers s where s.guild_id = guild for no key update;
    if not found or not exists (select from public.user_identities i join public.users u on u.id = i.user_id
        where i.user_id = claimer and i.provider = 'discord' and i.subject = discord and u.status = 'active') then
        perform app.refuse('NOT_FOUND', 'There is no such Discord server.', '{"path": ["input", "guildId"]}');
    end if;
    return app.give_discord_server(server, claimer);
end;
$$;

-- Keeps the hash of a code by which an administrator of a server gives it to the caller, in the place of the code
-- before. Returns until when.
create or replace function app.create_discord_link_code(given_hash bytea) returns timestamptz
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    until timestamptz := clock_timestamp() + interval '10 minutes';
    is_guest boolean;
begin
    select u.is_anonymous into is_guest from public.users u
    where u.id = actor_id and u.status = 'active' for no key update;
    if is_guest is null then
        perform app.refuse('UNAUTHENTICATED', 'The account of this token is gone; sign in again.');
    elsif is_guest then
        perform app.refuse('FORBIDDEN', 'Guests claim no servers. Sign up first; what you have stays yours.');
    end if;
    delete from public.discord_link_codes c where c.user_id = actor_id;
    insert into public.discord_link_codes (code_hash, user_id, expires_at) values (given_hash, actor_id, until);
    return until;
end;
$$;

-- Uses up a code which an administrator of a server has entered to the calling bot, and gives the server to the code's
-- user. CODE_INVALID for one that is wrong, used or expired, alike.
create or replace function app.link_discord_server(guild text, given_hash bytea) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    bot uuid := app.enter_bot();
    server public.discord_servers;
    claimer uuid;
begin
    select * into server from public.discord_servers s where s.guild_id = guild and s.bot_id = bot for no key update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such Discord server.', '{"path": ["input", "guildId"]}');
    end if;
    delete from public.discord_link_codes c using public.users u
    where c.code_hash = given_hash and c.expires_at > clock_timestamp() and u.id = c.user_id and u.status = 'active'
    returning c.user_id into claimer;
    if claimer is null then
        perform app.refuse('CODE_INVALID', 'This code is wrong, used or expired. Ask for another.',
            '{"path": ["input", "code"]}');
    end if;
    return app.give_discord_server(server, claimer);
end;
$$;

-- Gives a server of the caller's up, and returns it. What they kept there must have been removed: it is nobody's to read
-- then.
create or replace function app.release_discord_server(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    server public.discord_servers;
begin
    select * into server from public.discord_servers s
    where s.id = wanted and s.user_id = app.required_user_id() for no key update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such Discord server.', '{"path": ["input", "id"]}');
    elsif exists (select from public.bot_products p where p.server_id = wanted) then
        perform app.refuse('INVALID_STATE', 'The server has products. Remove them first.', '{"path": ["input", "id"]}');
    end if;
    update public.discord_servers s
    set user_id = null, claimed_at = null, is_configured = false, updated_at = clock_timestamp() where s.id = wanted;
    perform app.note_discord_server('discord_server_released', app.user_id(), server);
    return wanted;
end;
$$;

-- Saves products and permissions of a server of the caller's, and returns the server. What is not named stays as it is.
-- `products` are those of `app.save_bot_product()`; `permissions` are {command_name, allowed_role_ids, require_admin,
-- enabled}.
create or replace function app.configure_discord_server(
    wanted uuid, products jsonb, permissions jsonb, idempotency_key text, fingerprint bytea
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    server public.discord_servers := app.enter_discord_server(wanted, 'serverId');
    actor_id uuid := app.user_id();
    product jsonb;
begin
    if server.user_id is null then
        perform app.refuse('INVALID_STATE', 'Nobody has claimed this server yet. Its administrator links it first.',
            '{"path": ["input", "serverId"]}');
    end if;
    perform app.check_idempotency_key(idempotency_key);
    if app.remembered_result(actor_id, 'configure_discord_server', idempotency_key, fingerprint) is not null then
        return wanted;
    end if;
    for product in select p from jsonb_array_elements(products) with ordinality as e (p, n) order by e.n loop
        perform app.save_bot_product(server, product);
    end loop;
    insert into public.bot_command_permissions as c (server_id, command_name, allowed_role_ids, require_admin, enabled)
    select wanted, p.command_name, p.allowed_role_ids, p.require_admin, p.enabled
    from jsonb_to_recordset(permissions) as p (command_name text, allowed_role_ids text[], require_admin boolean,
        enabled boolean) order by p.command_name
    on conflict (server_id, command_name) do update
    set allowed_role_ids = excluded.allowed_role_ids, require_admin = excluded.require_admin,
        enabled = excluded.enabled, updated_at = clock_timestamp()
    where (c.allowed_role_ids, c.require_admin, c.enabled)
        <> (excluded.allowed_role_ids, excluded.require_admin, excluded.enabled);
    if (select count(*) from public.bot_products p where p.server_id = wanted) > 100
        or (select count(*) from public.bot_command_permissions p where p.server_id = wanted) > 100 then
        perform app.refuse('LIMIT_EXCEEDED', 'A server has at most 100 products, and permissions of 100 commands.');
    end if;
    update public.discord_servers s set is_configured = true, updated_at = clock_timestamp()
    where s.id = wanted and not s.is_configured;
    perform app.remember_result(actor_id, 'configure_discord_server', idempotency_key, fingerprint, wanted);
    return wanted;
end;
$$;

-- Saves one product of a server: a new one, or one that the server has, of which what is not given stays. A product of
-- which licences are the keys is the claimer's own. `given` is {n, is_new, id, name} and any of {role_id,
-- redemption_message, roblox_group_id, product_id, developer_product_id, payhip_key, roblox_key}.
create or replace function app.save_bot_product(server public.discord_servers, given jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    wanted uuid := (given ->> 'id')::uuid;
    at jsonb := jsonb_build_array('input', 'products', given ->> 'n');
    saved public.bot_products;
begin
    select * into saved from public.bot_products p where p.id = wanted and p.server_id = server.id for update;
    if not found and not (given ->> 'is_new')::boolean then
        perform app.refuse('NOT_FOUND', 'The server has no such product.', jsonb_build_object('path', at || '["id"]'));
    elsif exists (select from public.bot_products p
        where p.server_id = server.id and p.name = given ->> 'name' and p.id <> wanted) then
        perform app.refuse('INVALID_STATE', 'The server has a product of this name. Send its id to change it.',
            jsonb_build_object('path', at || '["name"]'));
    end if;
    saved := jsonb_populate_record(saved, given - array['n', 'is_new', 'payhip_key', 'roblox_key']);
    if given ? 'payhip_key' then
        saved.payhip_key_sealed := decode(given ->> 'payhip_key', 'hex');
    end if;
    if given ? 'roblox_key' then
        saved.roblox_key_sealed := decode(given ->> 'roblox_key', 'hex');
    end if;
    if saved.product_id is not null and not exists (select from public.products p
            where p.id = saved.product_id and p.seller_id = server.user_id)
        or saved.developer_product_id is not null and not exists (select from public.developer_products p
            where p.id = saved.developer_product_id and p.user_id = server.user_id) then
        perform app.refuse('NOT_FOUND', 'There is no such product.',
            jsonb_build_object('path', at || '["licensedProductId"]'));
    end if;
    insert into public.bot_products as p (id, server_id, name, role_id, redemption_message, roblox_group_id, product_id,
        developer_product_id, payhip_key_sealed, roblox_key_sealed)
    values (wanted, server.id, saved.name, saved.role_id, saved.redemption_message, saved.roblox_group_id,
        saved.product_id, saved.developer_product_id, saved.payhip_key_sealed, saved.roblox_key_sealed)
    on conflict (id) do update
    set name = excluded.name, role_id = excluded.role_id, redemption_message = excluded.redemption_message,
        roblox_group_id = excluded.roblox_group_id, product_id = excluded.product_id,
        developer_product_id = excluded.developer_product_id, payhip_key_sealed = excluded.payhip_key_sealed,
        roblox_key_sealed = excluded.roblox_key_sealed, updated_at = clock_timestamp();
end;
$$;

-- Removes a product of a server of the caller's with everybody who has it, and returns it.
create or replace function app.remove_bot_product(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
begin
    delete from public.bot_products p using public.discord_servers s
    where p.id = wanted and s.id = p.server_id and (s.user_id = actor_id or s.bot_id = actor_id);
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such product.', '{"path": ["input", "id"]}');
    end if;
    return wanted;
end;
$$;

-- Removes a permission of a server of the caller's, so that administrators alone use the command again; returns it.
create or replace function app.remove_bot_command_permission(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
begin
    delete from public.bot_command_permissions p using public.discord_servers s
    where p.id = wanted and s.id = p.server_id and (s.user_id = actor_id or s.bot_id = actor_id);
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such permission.', '{"path": ["input", "id"]}');
    end if;
    return wanted;
end;
$$;

revoke execute on function
    app.enter_bot(), app.is_working_bot(uuid), app.enter_discord_server(uuid, text),
    app.note_discord_server(text, uuid, public.discord_servers), app.register_discord_servers(jsonb),
    app.leave_discord_servers(text[]), app.give_discord_server(public.discord_servers, uuid),
    app.claim_discord_server(uuid, text, text), app.create_discord_link_code(bytea),
    app.link_discord_server(text, bytea), app.release_discord_server(uuid),
    app.configure_discord_server(uuid, jsonb, jsonb, text, bytea),
    app.save_bot_product(public.discord_servers, jsonb), app.remove_bot_product(uuid),
    app.remove_bot_command_permission(uuid)
from public;
grant execute on function
    app.register_discord_servers(jsonb), app.leave_discord_servers(text[]), app.create_discord_link_code(bytea),
    app.link_discord_server(text, bytea), app.release_discord_server(uuid),
    app.configure_discord_server(uuid, jsonb, jsonb, text, bytea), app.remove_bot_product(uuid),
    app.remove_bot_command_permission(uuid)
to authenticated;
grant execute on function app.claim_discord_server(uuid, text, text) to service;
