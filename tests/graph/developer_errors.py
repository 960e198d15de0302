"""What provokes each error of developers, whitelists and licences, for the tests of all errors."""

from __future__ import annotations

import atexit
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from uuid import uuid4

from db.licences.keys import new_key
from tests.fakes.http_stub import stub_server

from ..db.ledger import Ledger
from .asking import Client
from .developing import LATER, add_tiers
from .store_errors import new_product

Provocation = str | Callable[[Any], Awaitable[str]]

_open = ExitStack()
atexit.register(_open.close)
NO_PRODUCT = "developerProduct_00000000-0000-7000-8000-000000000000"


async def product(stage: Any, *, name: str = "Tank") -> str:
    """A product of the user's, of a group that nobody else has."""
    await add_tiers(stage.owner)
    made = await stage.owner.fetchval(
        "insert into developer_products (user_id, name, roblox_group_id, proof_phrase)"
        " values ($1, $2, $3, 'phrase') returning id",
        stage.actor.user_id,
        name,
        uuid4().int % 10**15 + 1,
    )
    return f"developerProduct_{made}"


async def licence(stage: Any, **columns: str) -> tuple[str, str]:
    """A licence of the user's, and its key."""
    create = f"""mutation {{ createLicences(input: {{productId: "{await product(stage)}",
      idempotencyKey: "{uuid4()}"}}) {{ licences {{ id key }} }} }}"""
    answer = await stage.ask(create, actor=stage.actor)
    (made,) = answer["data"]["createLicences"]["licences"]
    return made["id"], made["key"]


def without_tiers(given: str) -> Provocation:
    """An input where there are no tiers (`%p`: a product of the user's)."""

    async def provoke(stage: Any) -> str:
        named = given.replace("%p", await product(stage)) if "%p" in given else given
        await stage.owner.execute("delete from developer_tiers")
        return named

    return provoke


def with_tiers(given: str) -> Provocation:
    """An input where there are tiers (`%p`: a product of the user's)."""

    async def provoke(stage: Any) -> str:
        await add_tiers(stage.owner)
        return given.replace("%p", await product(stage)) if "%p" in given else given

    return provoke


def many(table: str, columns: str, values: str, rows: int, given: str) -> Provocation:
    """An input of somebody who has so many rows."""

    async def provoke(stage: Any) -> str:
        await add_tiers(stage.owner)
        await stage.owner.execute(
            f"insert into {table} (user_id, {columns})"
            f" select $1::uuid, {values} from generate_series(1, {rows}) n",
            stage.actor.user_id,
        )
        return given

    return provoke


async def same_name(stage: Any) -> str:
    await add_tiers(stage.owner)
    assert await stage.codes("createDeveloperKey", "{}") == []
    return "{}"


async def other_key(stage: Any) -> str:
    await add_tiers(stage.owner)
    assert await stage.codes("createDeveloperKey", '{name: "a", idempotencyKey: "k"}') == []
    return '{name: "b", idempotencyKey: "k"}'


async def same_group(stage: Any) -> str:
    await add_tiers(stage.owner)
    given = f'{{name: "a", robloxGroupId: "{uuid4().int % 10**15 + 1}"}}'
    assert await stage.codes("createDeveloperProduct", given) == []
    return given


def asking_roblox(url: str | None) -> Provocation:
    """A proof for which a Roblox is asked that knows no group, or that is not there."""

    async def provoke(stage: Any) -> str:
        wanted = await product(stage)
        there = url or _open.enter_context(stub_server()).url
        settings = stage.services.settings.model_copy(update={"roblox_api_url": there})
        services = replace(stage.services, settings=settings)
        client = Client(stage.engine, services, actor=stage.actor)
        stage.ask = lambda text, actor: client.ask(text)
        return f'{{id: "{wanted}"}}'

    return provoke


async def full_whitelist(stage: Any) -> str:
    wanted = await product(stage)
    await stage.owner.execute("update users set plan_id = null where id = $1", stage.actor.user_id)
    await stage.owner.execute(
        "insert into whitelist_entries (user_id, product_id, roblox_id, expires_at)"
        " select $1, $2, n, '2199-01-01' from generate_series(1, 10) n",
        stage.actor.user_id,
        wanted.removeprefix("developerProduct_"),
    )
    return f'{{productId: "{wanted}", robloxId: "11", expiresAt: "{LATER}"}}'


def full(slice_name: str, given: str) -> Provocation:
    """An input of somebody who stores as much as they may (`%p`: a product, `%w`: a whitelist)."""

    async def provoke(stage: Any) -> str:
        wanted, system = await product(stage), await whitelist(stage)
        await stage.uses(slice_name, 10**9, 0)
        return given.replace("%p", wanted).replace("%w", system)

    return provoke


async def whitelist(stage: Any) -> str:
    made = await stage.owner.fetchval(
        "insert into whitelist_systems (user_id, name) values ($1, 'w') returning id",
        stage.actor.user_id,
    )
    return f"whitelistSystem_{made}"


def of_whitelist(given: str) -> Provocation:
    """An input that names a whitelist of the user's (`%w`)."""

    async def provoke(stage: Any) -> str:
        return given.replace("%w", await whitelist(stage))

    return provoke


def of_licence(given: str) -> Provocation:
    """An input that names a licence of the user's (`%l`) or its key (`%k`)."""

    async def provoke(stage: Any) -> str:
        made, key = await licence(stage)
        return given.replace("%l", made).replace("%k", key)

    return provoke


async def redeemed(stage: Any) -> str:
    _, key = await licence(stage)
    assert await stage.codes("redeemLicence", f'{{key: "{key}", robloxId: "1"}}') == []
    return f'{{key: "{key}", robloxId: "2"}}'


async def unproven(stage: Any) -> str:
    return f'{{robloxId: "1", productId: "{await product(stage)}"}}'


async def same_batch(stage: Any) -> str:
    given = f'productId: "{await product(stage)}", idempotencyKey: "k"'
    assert await stage.codes("createLicences", f"{{{given}}}") == []
    return f"{{{given}, count: 2}}"


async def without_licences(stage: Any) -> str:
    return f'{{productId: "{await new_product(stage)}", idempotencyKey: "k"}}'


async def many_licences(stage: Any) -> str:
    wanted = await product(stage)
    async with stage.owner.transaction():
        # No trigger has anything to do for these, and 100,000 times that takes long.
        await stage.owner.execute("alter table licences disable trigger user")
        await stage.owner.execute(
            "insert into licences (developer_product_id, seller_id)"
            " select $2::uuid, $1 from generate_series(1, 100000)",
            stage.actor.user_id,
            wanted.removeprefix("developerProduct_"),
        )
        await stage.owner.execute("alter table licences enable trigger user")
    return f'{{productId: "{wanted}", idempotencyKey: "k"}}'


async def allowance_used(stage: Any) -> None:
    await add_tiers(stage.owner)
    await stage.owner.execute(
        "update users set plan_id = 'free' where id = $1", stage.actor.user_id
    )
    assert await stage.codes("recordObfuscation", '{idempotencyKey: "first"}') == []


async def no_credits(stage: Any) -> str:
    await allowance_used(stage)
    assert await stage.codes("spendCredits", '{amount: 10, idempotencyKey: "all"}') == []
    return '{idempotencyKey: "k"}'


async def day_is_used(stage: Any) -> str:
    """Nothing but the plan's credits is left, all of them used for today."""
    await allowance_used(stage)
    await stage.codes("spendCredits", '{amount: 10, idempotencyKey: "all"}')
    await Ledger(stage.database, stage.owner).grant(stage.actor, 50, "PLAN", days=30)
    daily = await stage.owner.fetchval("select max_daily_credits from plans where id = 'free'")
    spent = f'{{amount: {daily}, idempotencyKey: "day"}}'
    assert await stage.codes("spendCredits", spent) == []
    return '{idempotencyKey: "k"}'


_ENTRY = f'productId: "%p", robloxId: "1", expiresAt: "{LATER}"'
_CHANGE = 'externalId: "a", changedAt: "2026-01-01T00:00:00Z"'
_MISSING = "00000000-0000-7000-8000-000000000000"
PROVOKED: dict[str, dict[str, Any]] = {
    "createDeveloperKey": {
        "BAD_USER_INPUT": with_tiers('{name: ""}'),
        "INVALID_STATE": same_name,
        "LIMIT_EXCEEDED": many(
            "developer_keys",
            "name, preview, secret_hash",
            "n::text, 'vb_', sha256((n || $1::text)::bytea)",
            5,
            "{}",
        ),
        "PLAN_REQUIRED": with_tiers('{tier: "no such tier"}'),
        "IDEMPOTENCY_CONFLICT": other_key,
    },
    "revokeDeveloperKey": {"NOT_FOUND": f'{{id: "developerKey_{_MISSING}"}}'},
    "recordObfuscation": {
        "BAD_USER_INPUT": '{idempotencyKey: ""}',
        "INSUFFICIENT_CREDITS": no_credits,
        "DAILY_LIMIT_REACHED": day_is_used,
        "PLAN_REQUIRED": without_tiers('{idempotencyKey: "k"}'),
    },
    "createDeveloperProduct": {
        "BAD_USER_INPUT": '{name: "a", robloxGroupId: "x"}',
        "INVALID_STATE": same_group,
        "LIMIT_EXCEEDED": many(
            "developer_products",
            "name, roblox_group_id, proof_phrase",
            "'p', n, 'phrase'",
            100,
            '{name: "a", robloxGroupId: "101"}',
        ),
        "PLAN_REQUIRED": without_tiers('{name: "a", robloxGroupId: "1"}'),
    },
    "proveDeveloperProduct": {
        "NOT_FOUND": f'{{id: "{NO_PRODUCT}"}}',
        "PROVIDER_REFUSED": asking_roblox(None),
        "PROVIDER_FAILED": asking_roblox("http://127.0.0.1:9"),
    },
    "deleteDeveloperProduct": {"NOT_FOUND": f'{{id: "{NO_PRODUCT}"}}'},
    "setWhitelistEntry": {
        "BAD_USER_INPUT": f'{{productId: "{NO_PRODUCT}", robloxId: "x", expiresAt: "{LATER}"}}',
        "NOT_FOUND": with_tiers(f"{{{_ENTRY.replace('%p', NO_PRODUCT)}}}"),
        "PLAN_LIMIT_REACHED": full_whitelist,
        "PLAN_REQUIRED": without_tiers(f"{{{_ENTRY}}}"),
        "QUOTA_EXCEEDED": full("whitelist_entries", f"{{{_ENTRY}}}"),
    },
    "removeWhitelistEntries": {"BAD_USER_INPUT": "{ids: []}"},
    "createWhitelistSystem": {
        "BAD_USER_INPUT": '{name: ""}',
        "NOT_FOUND": with_tiers(f'{{name: "a", developerProductId: "{NO_PRODUCT}"}}'),
        "LIMIT_EXCEEDED": many("whitelist_systems", "name", "n::text", 100, '{name: "a"}'),
        "PLAN_REQUIRED": without_tiers('{name: "a"}'),
    },
    "deleteWhitelistSystem": {"NOT_FOUND": f'{{id: "whitelistSystem_{_MISSING}"}}'},
    "syncWhitelist": {
        "BAD_USER_INPUT": '{systemId: "whitelistSystem_1", side: ""}',
        "NOT_FOUND": f'{{systemId: "whitelistSystem_{_MISSING}"}}',
        "CURSOR_EXPIRED": of_whitelist('{systemId: "%w", since: "x"}'),
        "QUOTA_EXCEEDED": full("whitelist_users", f'{{systemId: "%w", changes: [{{{_CHANGE}}}]}}'),
    },
    "createLicences": {
        "BAD_USER_INPUT": f'{{productId: "{NO_PRODUCT}", count: 0, idempotencyKey: "k"}}',
        "NOT_FOUND": f'{{productId: "{NO_PRODUCT}", idempotencyKey: "k"}}',
        "INVALID_STATE": without_licences,
        "IDEMPOTENCY_CONFLICT": same_batch,
        "LIMIT_EXCEEDED": many_licences,
    },
    "redeemLicence": {
        "BAD_USER_INPUT": f'{{key: "{new_key()}", discordId: "1"}}',
        "NOT_FOUND": f'{{key: "{new_key()}"}}',
        "INVALID_STATE": redeemed,
    },
    "verifyLicence": {
        "BAD_USER_INPUT": "{}",
        "NOT_FOUND": f'{{robloxId: "1", productId: "{NO_PRODUCT}"}}',
        "INVALID_STATE": unproven,
    },
    "banLicence": {
        "BAD_USER_INPUT": of_licence('{id: "%l", reason: ""}'),
        "NOT_FOUND": f'{{id: "licence_{_MISSING}"}}',
    },
    "extendLicence": {
        "BAD_USER_INPUT": of_licence('{id: "%l", days: 0}'),
        "NOT_FOUND": f'{{id: "licence_{_MISSING}"}}',
    },
    "transferLicence": {
        "BAD_USER_INPUT": of_licence('{id: "%l", discordId: "1"}'),
        "NOT_FOUND": of_licence('{id: "%l", username: "nobody.at.all"}'),
        "INVALID_STATE": of_licence('{id: "%l", robloxId: "1"}'),
    },
}
