"""What provokes each error of servers at Discord, for the tests of all errors."""

from __future__ import annotations

import atexit
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from tests.fakes.http_stub import stub_server

from .asking import Client

Provocation = str | Callable[[Any], Awaitable[str]]

_open = ExitStack()
atexit.register(_open.close)
_ids = count(400_000_000_000_000_000)
_MISSING = "00000000-0000-7000-8000-000000000000"
_GUILD = "123456789012345678"
_SERVER, _PRODUCT = f"discordServer_{_MISSING}", f"botProduct_{_MISSING}"
_SAVED = f'serverId: "{_SERVER}", idempotencyKey: "k"'
_LIMIT = 100


async def bot(stage: Any) -> None:
    """Has the user be a bot."""
    await stage.owner.execute(
        "insert into api_keys (user_id, name, prefix, secret_hash, scopes)"
        " values ($1::uuid, 'A bot', $2::text, sha256(convert_to($2, 'UTF8')), '{READ,WRITE,BOT}')",
        stage.actor.user_id,
        uuid4().hex,
    )


async def server(stage: Any, *, is_claimed: bool = True) -> tuple[str, str]:
    """A server of which the user is the bot, and the owner where it `is_claimed`: its ids."""
    guild = str(next(_ids))
    made = await stage.owner.fetchval(
        "insert into discord_servers (guild_id, name, owner_discord_id, bot_id, user_id, claimed_at)"
        " values ($1, 'S', '123456789012345678', $2, $3, case when $3::uuid is not null then now() end)"
        " returning id",
        guild,
        stage.actor.user_id,
        stage.actor.user_id if is_claimed else None,
    )
    return guild, f"discordServer_{made}"


async def product(stage: Any) -> tuple[str, str]:
    """A server of the user's with a product: their ids."""
    _, server_id = await server(stage)
    made = await stage.owner.fetchval(
        "insert into bot_products (server_id, name) values ($1::uuid, 'VIP') returning id",
        server_id.removeprefix("discordServer_"),
    )
    return server_id, f"botProduct_{made}"


def of_bot(given: str) -> Provocation:
    """An input of a bot (`%g`, `%s`: the ids of a server of its own)."""

    async def provoke(stage: Any) -> str:
        await bot(stage)
        guild, server_id = await server(stage, is_claimed=False)
        return given.replace("%g", guild).replace("%s", server_id)

    return provoke


def of_product(given: str) -> Provocation:
    """An input of whose server is claimed (`%s`, `%p`: the ids of it and of its product)."""

    async def provoke(stage: Any) -> str:
        server_id, product_id = await product(stage)
        return given.replace("%s", server_id).replace("%p", product_id)

    return provoke


async def in_anothers_care(stage: Any) -> str:
    """A server that another bot takes care of."""
    guild, _ = await server(stage)
    await bot(stage)
    other = await stage.owner.fetchval("insert into users default values returning id")
    await stage.owner.execute(
        "update discord_servers set bot_id = $1 where guild_id = $2", other, guild
    )
    await stage.owner.execute(
        "update api_keys set user_id = $1 where user_id = $2 and 'BOT' = any (scopes)",
        other,
        stage.actor.user_id,
    )
    await bot(stage)
    return _registered(guild)


async def in_many(stage: Any) -> str:
    """A bot that is in as many servers as it may be."""
    await bot(stage)
    await _insert(
        stage,
        "discord_servers (guild_id, name, owner_discord_id, bot_id)",
        "select (900000000000000000 + n)::text, 'S', '123456789012345678', $1"
        " from generate_series(1, 10000) n",
        stage.actor.user_id,
    )
    return _registered(str(next(_ids)))


async def _insert(stage: Any, columns: str, rows: str, parameter: Any) -> None:
    """Makes very many rows, of which nobody is told."""
    table = columns.partition(" ")[0]
    async with stage.owner.transaction():
        await stage.owner.execute(f"alter table {table} disable trigger user")
        await stage.owner.execute(f"insert into {columns} {rows}", parameter)
        await stage.owner.execute(f"alter table {table} enable trigger user")


def _registered(guild: str) -> str:
    return f'{{servers: [{{guildId: "{guild}", name: "S", ownerDiscordId: "{_GUILD}", memberCount: 1}}]}}'


def asking_discord(
    *, token: str = "t", is_there: bool = True, is_linked: bool = True
) -> Provocation:
    """A claim for which a Discord is asked that knows no server, or that is not there."""

    async def provoke(stage: Any) -> str:
        guild, _ = await server(stage)
        if is_linked:
            await stage.owner.execute(
                "insert into user_identities (user_id, provider, subject) values ($1, 'discord', $2)",
                stage.actor.user_id,
                str(next(_ids)),
            )
        url = _open.enter_context(stub_server()).url if is_there else "http://127.0.0.1:9"
        told = {"discord_api_url": url, "discord_token": SecretStr(token)}
        settings = stage.services.settings.model_copy(update=told)
        services = replace(stage.services, settings=settings)
        client = Client(stage.engine, services, actor=stage.actor)
        stage.ask = lambda text, actor: client.ask(text)
        return f'{{guildId: "{guild}"}}'

    return provoke


async def linked_elsewhere(stage: Any) -> str:
    """A code for a server that another has claimed."""
    await bot(stage)
    guild, _ = await server(stage, is_claimed=False)
    answer = await stage.ask("mutation { createDiscordLinkCode { code } }", actor=stage.actor)
    other = await stage.owner.fetchval("insert into users default values returning id")
    await stage.owner.execute(
        "update discord_servers set user_id = $1, claimed_at = now() where guild_id = $2",
        other,
        guild,
    )
    return f'{{guildId: "{guild}", code: "{answer["data"]["createDiscordLinkCode"]["code"]}"}}'


async def saved_otherwise(stage: Any) -> str:
    server_id, _ = await product(stage)
    first = f'{{serverId: "{server_id}", idempotencyKey: "k", products: [{{name: "A"}}]}}'
    assert await stage.codes("configureDiscordServer", first) == []
    return first.replace('"A"', '"B"')


async def full_server(stage: Any) -> str:
    server_id, _ = await product(stage)
    await stage.owner.execute(
        f"insert into bot_products (server_id, name) select $1::uuid, n::text from generate_series(2, {_LIMIT}) n",
        server_id.removeprefix("discordServer_"),
    )
    return f'{{serverId: "{server_id}", idempotencyKey: "k", products: [{{name: "One more"}}]}}'


async def redeemed(stage: Any) -> str:
    """A key that somebody else redeemed."""
    _, product_id = await product(stage)
    given = f'{{productId: "{product_id}", key: "KEY-00001", discordId: "{_GUILD}"}}'
    assert await stage.codes("redeemBotKey", given) == []
    return given.replace(_GUILD, "123456789012345679")


async def sold_out(stage: Any) -> str:
    """A product that as many have as may."""
    _, product_id = await product(stage)
    await _insert(
        stage,
        "bot_whitelisted_users (product_id, discord_id, changed_by, position)",
        "select $1::uuid, (100000000000000000 + n)::text, 'BOT', n from generate_series(1, 100000) n",
        product_id.removeprefix("botProduct_"),
    )
    return f'{{productId: "{product_id}", key: "KEY-00001", discordId: "{_GUILD}"}}'


async def many_bot_keys(stage: Any) -> str:
    await stage.owner.execute(
        "insert into api_keys (user_id, maker_id, name, prefix, secret_hash, scopes)"
        " select $1::uuid, $1, 'A bot', n || $1::text, sha256((n || $1::text)::bytea), '{BOT}'"
        " from generate_series(1, 50) n",
        stage.actor.user_id,
    )
    return '{name: "A bot"}'


async def another_bot_key(stage: Any) -> str:
    assert await stage.codes("createBotKey", '{name: "A", idempotencyKey: "k"}') == []
    return '{name: "B", idempotencyKey: "k"}'


PROVOKED: dict[str, dict[str, Any]] = {
    "createBotKey": {
        "BAD_USER_INPUT": '{name: ""}',
        "LIMIT_EXCEEDED": many_bot_keys,
        "IDEMPOTENCY_CONFLICT": another_bot_key,
    },
    "registerDiscordServers": {
        "BAD_USER_INPUT": "{servers: []}",
        "INVALID_STATE": in_anothers_care,
        "LIMIT_EXCEEDED": in_many,
    },
    "leaveDiscordServers": {"BAD_USER_INPUT": "{guildIds: []}"},
    "claimDiscordServer": {
        "BAD_USER_INPUT": '{guildId: "1"}',
        "NOT_FOUND": asking_discord(),
        "INVALID_STATE": asking_discord(is_linked=False),
        "PROVIDER_NOT_CONFIGURED": asking_discord(token=""),
        "PROVIDER_FAILED": asking_discord(is_there=False),
    },
    "createDiscordLinkCode": {},
    "linkDiscordServer": {
        "BAD_USER_INPUT": '{guildId: "1", code: "x"}',
        "NOT_FOUND": of_bot(f'{{guildId: "{_GUILD}", code: "x"}}'),
        "INVALID_STATE": linked_elsewhere,
        "CODE_INVALID": of_bot('{guildId: "%g", code: "x"}'),
    },
    "releaseDiscordServer": {
        "NOT_FOUND": f'{{id: "{_SERVER}"}}',
        "INVALID_STATE": of_product('{id: "%s"}'),
    },
    "configureDiscordServer": {
        "BAD_USER_INPUT": f'{{{_SAVED}, products: [{{name: ""}}]}}',
        "NOT_FOUND": f"{{{_SAVED}}}",
        "INVALID_STATE": of_bot('{serverId: "%s", idempotencyKey: "k"}'),
        "IDEMPOTENCY_CONFLICT": saved_otherwise,
        "LIMIT_EXCEEDED": full_server,
    },
    "removeBotProduct": {"NOT_FOUND": f'{{id: "{_PRODUCT}"}}'},
    "removeBotCommandPermission": {"NOT_FOUND": f'{{id: "botCommandPermission_{_MISSING}"}}'},
    "redeemBotKey": {
        "BAD_USER_INPUT": f'{{productId: "{_PRODUCT}", key: "x", discordId: "{_GUILD}"}}',
        "NOT_FOUND": f'{{productId: "{_PRODUCT}", key: "KEY-00001", discordId: "{_GUILD}"}}',
        "INVALID_STATE": redeemed,
        "LIMIT_EXCEEDED": sold_out,
    },
    "syncBotWhitelist": {
        "BAD_USER_INPUT": of_product(
            '{serverId: "%s", changes: [{productId: "%p", discordId: "1", changedAt: "2026-01-01T00:00:00Z"}]}'
        ),
        "NOT_FOUND": f'{{serverId: "{_SERVER}"}}',
        "CURSOR_EXPIRED": of_product('{serverId: "%s", since: "x"}'),
    },
}
