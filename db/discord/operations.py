"""Commands on servers at Discord, and on what bots hand out in them."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import orjson

from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.errors import DomainError, ErrorCode, Problems, bad_input
from db.core.pool import Database
from db.core.row_ids import new_row_id
from db.credits.rules import problems_of_key
from db.discord import rules
from db.discord.tables import BotProduct, BotWhitelistedUser, BotWhitelistStatus
from db.licences.keys import LicenceKeys, written_key
from db.vault.sealing import HasSettings, Vault
from db.whitelists.rules import roblox_number
from settings import Settings

PAGE_ROWS = 500

_REGISTER = SqlFunction[list[UUID]](
    "app.register_discord_servers", "uuid[]", given="jsonb"
).noting_place()
_LEAVE = SqlFunction[list[UUID]]("app.leave_discord_servers", "uuid[]", guilds="text[]")
_CLAIM = SqlFunction[UUID](
    "app.claim_discord_server", "uuid", claimer="uuid", guild="text", discord="text"
)
_CREATE_LINK_CODE = SqlFunction[datetime](
    "app.create_discord_link_code", "timestamp with time zone", given_hash="bytea"
)
_LINK = SqlFunction[UUID](
    "app.link_discord_server", "uuid", guild="text", given_hash="bytea"
).noting_place()
_RELEASE = SqlFunction[UUID]("app.release_discord_server", "uuid", wanted="uuid").noting_place()
_CONFIGURE = SqlFunction[UUID](
    "app.configure_discord_server",
    "uuid",
    wanted="uuid",
    products="jsonb",
    permissions="jsonb",
    idempotency_key="text",
    fingerprint="bytea",
)
_REMOVE_PRODUCT = SqlFunction[UUID]("app.remove_bot_product", "uuid", wanted="uuid")
_REMOVE_PERMISSION = SqlFunction[UUID]("app.remove_bot_command_permission", "uuid", wanted="uuid")
_REDEEM = SqlFunction[UUID]("app.redeem_bot_key", "uuid", wanted="uuid", given="jsonb")
_SYNC = SqlFunction[dict[str, Any]](
    "app.sync_bot_whitelist",
    "jsonb",
    wanted="uuid",
    since="text",
    changes="jsonb",
    page_rows="integer",
)
_DISCORD_IDS = """
select i.subject from user_identities i where i.user_id = $1 and i.provider = 'discord'
order by i.created_at, i.id
"""
FIND_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Guild:
    """What Discord says of a server."""

    guild_id: str
    name: str
    icon: str | None
    owner_discord_id: str
    member_count: int


@dataclass(frozen=True, slots=True)
class SavedProduct:
    """A product as it is to be; without an id a new one.

    `given` is what is to change, by the columns' names: `role_id`, `redemption_message`,
    `roblox_group_id`, `product_id`, `developer_product_id`, `payhip_key` and `roblox_key`.
    """

    id: UUID | None
    name: str
    given: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SavedPermission:
    """Who may use a command."""

    command_name: str
    allowed_role_ids: list[str]
    require_admin: bool
    enabled: bool


@dataclass(frozen=True, slots=True)
class BotWhitelistChange:
    """What one side wrote of somebody at Discord who has a product."""

    product_id: UUID
    discord_id: str
    changed_at: datetime
    status: BotWhitelistStatus
    discord_username: str | None
    roblox_id: str | None
    roblox_username: str | None
    key: str | None


class BotSecrets:
    """Seals and hashes what bots keep, with secrets that the database does not have."""

    def __init__(self, settings: Settings) -> None:
        self.vault = Vault(settings)
        self._licences = LicenceKeys(settings)
        self._secret = settings.secret("refresh-token-key").encode()

    @classmethod
    def of(cls, services: HasSettings) -> Self:
        """Those of a process."""
        return cls(services.settings)

    def link_hash(self, code: str) -> bytes:
        """What is stored of a code that links a server."""
        written = rules.written_link_code(code).encode(errors="surrogatepass")
        return hmac.digest(self._secret, b"discord link:" + written, "sha256")

    def fingerprint(self, told: object) -> bytes:
        """What a request is remembered by: the same for the same, and nothing of its secrets."""
        text = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
        return hmac.digest(self._secret, b"discord configuration:" + text, "sha256")

    def key(self, discord_id: str, key: str | None) -> dict[str, Any]:
        """A key as it is stored for who redeems it, and what may find it."""
        if key is None:
            return {"key_hashes": [], "licence_hashes": [], "key_sealed": None}
        licence = written_key(key)
        # A licence's key is the same whichever way it is typed.
        kept, column = licence or key, BotWhitelistedUser.key_sealed
        found_by = [] if licence is None else self._licences.found_by(licence)
        return {
            "key_hashes": [one.hex() for one in self.vault.blinds(column, kept)],
            "licence_hashes": [one.hex() for one in found_by],
            "key_sealed": self.vault.seal(column, discord_id, kept).hex(),
        }


def register_servers(guilds: Sequence[Guild]) -> FunctionCall[list[UUID]]:
    """Registers the servers that the calling bot is in; gives them by their guilds' order."""
    problems = Problems(rules.problems_of_count(len(guilds), rules.MOST_AT_ONCE, "servers"))
    for n, guild in enumerate(guilds[: rules.MOST_AT_ONCE]):
        path = ("input", "servers", str(n))
        problems.add(rules.problems_of_snowflake(guild.guild_id, *path, "guildId"))
        problems.add(rules.problems_of_snowflake(guild.owner_discord_id, *path, "ownerDiscordId"))
        problems.add(rules.problems_of_line(guild.name, *path, "name"))
        problems.add(rules.problems_of_guild(guild.icon, guild.member_count, path))
    if len({guild.guild_id for guild in guilds}) < len(guilds):
        problems.add([bad_input("Send each server once.", "input", "servers")])
    problems.refuse()
    return _REGISTER(given=[asdict(guild) | {"name": guild.name.strip()} for guild in guilds])


def leave_servers(guild_ids: Sequence[str]) -> FunctionCall[list[UUID]]:
    """Notes that the calling bot left servers; gives those that it was in."""
    problems = Problems(rules.problems_of_count(len(guild_ids), rules.MOST_AT_ONCE, "guildIds"))
    for one in guild_ids[: rules.MOST_AT_ONCE]:
        problems.add(rules.problems_of_snowflake(one, "input", "guildIds"))
    problems.refuse()
    return _LEAVE(guilds=list(guild_ids))


async def discord_ids(database: Database, user_id: UUID) -> list[str]:
    """Who a user is at Discord, by the identities that they have linked."""
    async with database.pools[SERVICE.role].connection() as connection:
        rows = await connection.fetch_rows(_DISCORD_IDS, (user_id,), FIND_TIMEOUT_SECONDS)
    return [row["subject"] for row in rows]


async def claim_server(database: Database, user_id: UUID, guild_id: str, discord_id: str) -> UUID:
    """Gives a server to a user who administers it at Discord; gives the server."""
    wanted = _CLAIM(claimer=user_id, guild=guild_id, discord=discord_id)
    return await call_as_service(database, wanted)


def check_guild_id(guild_id: str) -> None:
    """Refuses what is no id at Discord."""
    Problems(rules.problems_of_snowflake(guild_id, "input", "guildId")).refuse()


def new_link_code() -> str:
    """A code that nobody has, to link a server with."""
    return rules.new_link_code()


def create_link_code(code_hash: bytes) -> FunctionCall[datetime]:
    """Keeps the hash of a code of the caller's; gives until when it is good."""
    return _CREATE_LINK_CODE(given_hash=code_hash)


def link_server(guild_id: str, code_hash: bytes) -> FunctionCall[UUID]:
    """Gives a server to whose code this is; gives the server."""
    check_guild_id(guild_id)
    return _LINK(guild=guild_id, given_hash=code_hash)


def release_server(server_id: UUID) -> FunctionCall[UUID]:
    """Gives up a server of the caller's; gives it."""
    return _RELEASE(wanted=server_id)


def configure_server(
    problems: Problems,
    bot_secrets: BotSecrets,
    server_id: UUID,
    products: Sequence[SavedProduct],
    permissions: Sequence[SavedPermission],
    idempotency_key: str,
) -> FunctionCall[UUID]:
    """Saves products and permissions of a server of the caller's; gives the server."""
    problems.add(problems_of_key(idempotency_key))
    for field, given in (("products", products), ("permissions", permissions)):
        if len(given) > rules.MOST_AT_ONCE:
            message = f"Send at most {rules.MOST_AT_ONCE} {field}."
            problems.add([bad_input(message, "input", field)])
    for n, product in enumerate(products[: rules.MOST_AT_ONCE]):
        _check_product(problems, product, ("input", "products", str(n)))
    for n, permission in enumerate(permissions[: rules.MOST_AT_ONCE]):
        path = ("input", "permissions", str(n))
        problems.add(
            rules.problems_of_command(permission.command_name, permission.allowed_role_ids, path)
        )
    if len({one.command_name for one in permissions}) < len(permissions):
        problems.add([bad_input("Name each command once.", "input", "permissions")])
    problems.refuse()
    told = [[asdict(one) for one in products], [asdict(one) for one in permissions]]
    return _CONFIGURE(
        wanted=server_id,
        products=[_sealed(bot_secrets.vault, n, one) for n, one in enumerate(products)],
        permissions=[asdict(one) for one in permissions],
        idempotency_key=idempotency_key,
        fingerprint=bot_secrets.fingerprint([str(server_id), told]),
    )


def _check_product(problems: Problems, product: SavedProduct, path: tuple[str, ...]) -> None:
    given = product.given
    problems.add(rules.problems_of_line(product.name, *path, "name"))
    problems.add(rules.problems_of_snowflake(given.get("role_id"), *path, "roleId"))
    problems.add(rules.problems_of_message(given.get("redemption_message"), path))
    problems.add(rules.problems_of_secret(given.get("payhip_key"), *path, "payhipKey"))
    problems.add(rules.problems_of_secret(given.get("roblox_key"), *path, "robloxKey"))
    group = given.get("roblox_group_id")
    if group is not None and roblox_number(group) is None:
        message = "robloxGroupId must be a positive number in digits."
        problems.add([bad_input(message, *path, "robloxGroupId")])


def _sealed(vault: Vault, n: int, product: SavedProduct) -> dict[str, Any]:
    row_id, given = product.id or new_row_id(), dict(product.given)
    columns = {
        "payhip_key": BotProduct.payhip_key_sealed,
        "roblox_key": BotProduct.roblox_key_sealed,
    }
    for name, column in columns.items():
        if given.get(name) is not None:
            given[name] = vault.seal(column, row_id, given[name]).hex()
    return {
        **given,
        "n": n,
        "is_new": product.id is None,
        "id": str(row_id),
        "name": product.name.strip(),
    }


def remove_product(product_id: UUID) -> FunctionCall[UUID]:
    """Removes a product from a server of the caller's; gives it."""
    return _REMOVE_PRODUCT(wanted=product_id)


def remove_permission(permission_id: UUID) -> FunctionCall[UUID]:
    """Removes a permission from a server of the caller's; gives it."""
    return _REMOVE_PERMISSION(wanted=permission_id)


def redeem_key(
    problems: Problems,
    bot_secrets: BotSecrets,
    product_id: UUID,
    *,
    key: str,
    discord_id: str,
    discord_username: str | None,
    roblox_id: str | None,
    roblox_username: str | None,
) -> FunctionCall[UUID]:
    """Redeems a key of a product for somebody, once; gives who has the product."""
    path = ("input",)
    _check_person(problems, discord_id, discord_username, roblox_id, roblox_username, path)
    problems.add(rules.problems_of_bot_key(key, *path, "key"))
    problems.refuse()
    given = {
        "discord_id": discord_id,
        "discord_username": discord_username,
        "roblox_id": None if roblox_id is None else roblox_number(roblox_id),
        "roblox_username": roblox_username,
        **bot_secrets.key(discord_id, key),
    }
    return _REDEEM(wanted=product_id, given=given)


def sync_whitelist(
    problems: Problems,
    bot_secrets: BotSecrets,
    server_id: UUID,
    since: str | None,
    changes: Sequence[BotWhitelistChange],
) -> FunctionCall[dict[str, Any]]:
    """Takes what one side changed, and tells a page of what the other did."""
    if len(changes) > rules.MOST_CHANGES:
        message = f"Send at most {rules.MOST_CHANGES} changes at a time."
        problems.add([bad_input(message, "input", "changes")])
    for n, one in enumerate(changes[: rules.MOST_CHANGES]):
        path = ("input", "changes", str(n))
        names = one.discord_username, one.roblox_id, one.roblox_username
        _check_person(problems, one.discord_id, *names, path)
        problems.add(rules.problems_of_bot_key(one.key, *path, "key"))
    problems.refuse()
    return _SYNC(
        wanted=server_id,
        since=since,
        changes=[_packed(bot_secrets, one) for one in changes],
        page_rows=PAGE_ROWS,
    )


def _check_person(
    problems: Problems,
    discord_id: str,
    discord_username: str | None,
    roblox_id: str | None,
    roblox_username: str | None,
    path: tuple[str, ...],
) -> None:
    problems.add(rules.problems_of_snowflake(discord_id, *path, "discordId"))
    problems.add(rules.problems_of_line(discord_username, *path, "discordUsername"))
    problems.add(rules.problems_of_line(roblox_username, *path, "robloxUsername"))
    if roblox_id is not None and roblox_number(roblox_id) is None:
        message = "robloxId must be a positive number in digits."
        problems.add([bad_input(message, *path, "robloxId")])


def _packed(bot_secrets: BotSecrets, change: BotWhitelistChange) -> dict[str, Any]:
    return {
        "product_id": str(change.product_id),
        "discord_id": change.discord_id,
        "discord_username": change.discord_username,
        "roblox_id": None if change.roblox_id is None else roblox_number(change.roblox_id),
        "roblox_username": change.roblox_username,
        "status": change.status.value,
        "changed_at": change.changed_at.isoformat(),
        **bot_secrets.key(change.discord_id, change.key),
    }


def told(done: dict[str, Any]) -> dict[str, Any]:
    """What a sync answers, as the schema shows it."""
    times = ("redeemed_at", "updated_at")
    return {
        "accepted": done["accepted"],
        "changes": [
            one
            | {name: one[name] and datetime.fromisoformat(one[name]) for name in times}
            | {"id": f"botWhitelistedUser_{one['id']}"}
            for one in done["changes"]
        ],
        "cursor": done["cursor"],
        "has_more": done["has_more"],
    }


def no_identity() -> DomainError:
    """The refusal to claim a server for who is nobody at Discord."""
    return DomainError(
        ErrorCode.INVALID_STATE,
        "Link your Discord account first, or have an administrator enter a link code to the bot.",
        ("input", "guildId"),
    )
