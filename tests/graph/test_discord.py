"""Servers at Discord: who claims and configures them, and keys that are redeemed there once (6.1–6.4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from db.core.pool import Database
from db.discord import operations
from db.discord.rules import may_administer
from settings import Settings
from tests.conftest import MakeUser
from tests.fakes.discord import ADMINISTRATOR
from tests.graph.live.websocket_server import hear, say

from .developing import Developer
from .discord_town import (
    CLAIM,
    CODE,
    CONFIGURE,
    GUILD,
    LEAVE,
    LINK,
    OWN,
    REDEEM,
    REGISTER,
    RELEASE,
    REMOVE,
    REMOVE_PERMISSION,
    SYNC,
    Town,
    discord_town,
    do,
    refused,
    snowflake,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MISSING = ("NOT_FOUND", ["input", "guildId"])


@pytest.fixture
async def town(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[Town]:
    async with discord_town(database, settings, make_user, owner) as town:
        yield town


async def seen(somebody: Developer, guild: str) -> Any:
    """A server as somebody sees it; nothing for whom it is not there."""
    return (await somebody.ask(GUILD, g=guild))["guild"]


async def test_6_1_an_unclaimed_server_is_nobodys_but_the_bots(town: Town) -> None:
    guild, stranger, other_bot = await town.registered(), await town.person(), await town.new_bot()
    assert await seen(stranger, guild) is None
    assert await seen(other_bot, guild) is None
    found = await seen(town.bot, guild)
    assert (found["claimedAt"], found["memberCount"]) == (None, 7)
    unclaimed = {
        "serverId": found["id"],
        "idempotencyKey": uuid4().hex,
        "products": [{"name": "VIP"}],
    }
    assert await refused(town.bot, CONFIGURE, **unclaimed) == (
        "INVALID_STATE",
        ["input", "serverId"],
    )
    assert await refused(stranger, CONFIGURE, **unclaimed) == ("NOT_FOUND", ["input", "serverId"])
    await do(town.bot, LEAVE, guildIds=[guild])
    left = await seen(town.bot, guild)
    assert left["memberCount"] == 0
    assert left["leftAt"]
    # It is back: all is as it was.
    assert await town.registered(guild=guild) == guild
    assert (await seen(town.bot, guild))["leftAt"] is None


async def test_6_1_a_server_is_claimed_by_whom_discord_calls_an_administrator(town: Town) -> None:
    owner_id, admin_id, member_id = snowflake(), snowflake(), snowflake()
    guild = await town.registered(owner_id)
    town.discord.guild(guild, owner_id, {admin_id: ADMINISTRATOR, member_id: 0x400})
    nobody, member, admin = (
        await town.person(),
        await town.person(member_id),
        await town.person(admin_id),
    )
    assert await refused(nobody, CLAIM, guildId=guild) == ("INVALID_STATE", ["input", "guildId"])
    assert await refused(member, CLAIM, guildId=guild) == MISSING
    assert await refused(admin, CLAIM, guildId=snowflake()) == MISSING
    assert await refused(admin, CLAIM, guildId="7") == ("BAD_USER_INPUT", ["input", "guildId"])
    town.discord.is_down = True
    assert (await refused(admin, CLAIM, guildId=guild))[0] == "PROVIDER_FAILED"
    town.discord.is_down = False
    claimed = await do(admin, CLAIM, guildId=guild)
    assert claimed["server"]["isConfigured"] is True
    assert await do(admin, CLAIM, guildId=guild) == claimed
    owner = await town.person(owner_id)
    assert await refused(owner, CLAIM, guildId=guild) == ("INVALID_STATE", ["input", "guildId"])
    assert await seen(owner, guild) is None
    assert (await admin.ask(OWN))["viewer"]["discordServers"]["nodes"] == [{"guildId": guild}]
    await do(admin, RELEASE, id=claimed["server"]["id"])
    assert await seen(admin, guild) is None
    assert await do(owner, CLAIM, guildId=guild)
    log = await town.node.owner.fetch(
        "select action from audit_log where user_id = $1 order by created_at, id",
        admin.actor.user_id,
    )
    assert [row["action"] for row in log] == ["discord_server_claimed", "discord_server_released"]


@pytest.mark.parametrize(
    ("member", "own", "bits", "allowed"),
    [
        ("1", [], {}, True),
        ("2", ["5"], {"5": "8"}, True),
        ("2", ["5"], {"5": str(0x8 | 1 << 40)}, True),
        ("2", ["5"], {"5": str(1 << 40), "6": "8"}, False),
        ("2", [], {"9": "8"}, True),
        ("2", ["5"], {"5": "none"}, False),
    ],
)
def test_6_1_the_owner_and_roles_with_the_bit_administer(
    member: str, own: list[str], bits: dict[str, str], allowed: bool
) -> None:
    roles = [{"id": role, "permissions": told} for role, told in bits.items()]
    assert may_administer(member, "1", "9", own, roles) is allowed
    assert may_administer("2", "1", "9", own, None) is False


async def test_6_1_a_link_code_gives_a_server_once(town: Town) -> None:
    somebody, other = await town.person(), await town.person()
    guild, second = await town.registered(), await town.registered()
    first = await do(somebody, CODE)
    code = (await do(somebody, CODE))["code"]
    wrong = ("CODE_INVALID", ["input", "code"])
    assert await refused(town.bot, LINK, guildId=guild, code=first["code"]) == wrong
    # Of all the bots, it is entered to the one in that server.
    assert await refused(await town.new_bot(), LINK, guildId=guild, code=code) == MISSING
    answers = await asyncio.gather(
        *(
            town.bot.ask(LINK, i={"guildId": one, "code": code.lower()})
            for one in (guild, second) * 3
        )
    )
    assert sum(not answer["a"]["errors"] for answer in answers) == 1
    found = [one for one in (guild, second) if await seen(somebody, one)]
    assert len(found) == 1
    assert (await refused(town.bot, LINK, guildId=second, code="x"))[0] == "CODE_INVALID"
    late = (await do(other, CODE))["code"]
    await town.node.owner.execute(
        "update discord_link_codes set expires_at = now() where user_id = $1", other.actor.user_id
    )
    assert await refused(town.bot, LINK, guildId=second, code=late) == wrong
    stored = await town.node.owner.fetchval(
        "select count(*) from discord_link_codes where code_hash = $1", code.encode()
    )
    assert stored == 0


async def test_6_1_a_bots_key_does_what_is_for_bots_and_nothing_else(town: Town) -> None:
    owner, _, _ = await town.owned()
    told = {"guildId": snowflake(), "name": "A", "ownerDiscordId": snowflake(), "memberCount": 1}
    own = {"query": REGISTER, "variables": {"i": {"servers": [told]}}}
    headers = {"authorization": f"Bearer {owner.token}"}
    response = await town.node.http.post("/graphql", json=own, headers=headers)
    assert response.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    response = await town.node.http.post(
        "/graphql",
        json={
            "query": 'mutation { createWhitelistSystem(input: {name: "x"}) { errors { code } } }'
        },
        headers={"authorization": f"Bearer {town.bot.token}"},
    )
    assert response.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    guild = await town.registered()
    other = await town.new_bot()
    assert (await refused(other, REGISTER, servers=[told | {"guildId": guild}]))[
        0
    ] == "INVALID_STATE"
    # Once the first one's key has ended, another takes care of the server.
    await town.node.owner.execute(
        "update api_keys set revoked_at = now() where user_id = $1::uuid", town.bot.key
    )
    assert await do(other, REGISTER, servers=[told | {"guildId": guild}])
    assert await seen(other, guild)


async def test_6_1_saving_a_configuration_deletes_nothing(town: Town) -> None:
    owner, guild, server = await town.owned()
    key = uuid4().hex
    saved = {
        "serverId": server,
        "products": [
            {"name": "VIP", "payhipKey": "prod_sk_0123456789abcdef", "roleId": snowflake()},
            {"name": "Basic", "robloxGroupId": "77"},
        ],
        "permissions": [
            {"commandName": "redeem", "requireAdmin": False, "allowedRoleIds": [guild]}
        ],
    }
    first = await do(owner, CONFIGURE, **saved, idempotencyKey=key)
    assert await do(owner, CONFIGURE, **saved, idempotencyKey=key) == first
    assert (await refused(owner, CONFIGURE, serverId=server, idempotencyKey=key))[
        0
    ] == "IDEMPOTENCY_CONFLICT"
    vip = next(one for one in first["server"]["products"]["nodes"] if one["name"] == "VIP")
    assert vip["payhipKey"] == "prod_sk_0123456789abcdef"
    assert vip["payhipKeyPreview"] == "prod_sk_01…cdef"
    somebody = snowflake()
    await do(town.bot, REDEEM, productId=vip["id"], key="KEY-00001", discordId=somebody)
    # By its bot, one product alone, and what is not given of it stays.
    renamed = await do(
        town.bot,
        CONFIGURE,
        serverId=server,
        idempotencyKey=uuid4().hex,
        products=[{"id": vip["id"], "name": "Gold"}],
    )
    products = {one["id"]: one for one in renamed["server"]["products"]["nodes"]}
    assert {one["name"] for one in products.values()} == {"Gold", "Basic"}
    assert products[vip["id"]]["payhipKey"] == "prod_sk_0123456789abcdef"
    assert len(renamed["server"]["permissions"]["nodes"]) == 1
    again = await do(town.bot, REDEEM, productId=vip["id"], key="KEY-00001", discordId=somebody)
    assert again["user"]["discordId"] == somebody
    taken = {"serverId": server, "idempotencyKey": uuid4().hex}
    assert await refused(owner, CONFIGURE, **taken, products=[{"name": "Gold"}]) == (
        "INVALID_STATE",
        ["input", "products", "0", "name"],
    )
    stranger, _, other_server = await town.owned()
    elsewhere = {
        "serverId": other_server,
        "idempotencyKey": uuid4().hex,
        "products": [{"id": vip["id"], "name": "Mine"}],
    }
    assert await refused(stranger, CONFIGURE, **elsewhere) == (
        "NOT_FOUND",
        ["input", "products", "0", "id"],
    )
    assert (await refused(stranger, REMOVE, id=vip["id"]))[0] == "NOT_FOUND"
    assert (await refused(owner, RELEASE, id=server))[0] == "INVALID_STATE"
    permission = renamed["server"]["permissions"]["nodes"][0]["id"]
    assert (await refused(stranger, REMOVE_PERMISSION, id=permission))[0] == "NOT_FOUND"
    await do(town.bot, REMOVE_PERMISSION, id=permission)
    for one in products:
        await do(owner, REMOVE, id=one)
    await do(owner, RELEASE, id=server)


async def test_6_3_of_those_who_redeem_a_key_at_once_one_has_it(town: Town) -> None:
    _, _, product = await town.product()
    people, key = [snowflake() for _ in range(8)], f"KEY-{uuid4().hex}"
    answers = await asyncio.gather(
        *(
            town.bot.ask(REDEEM, i={"productId": product, "key": key, "discordId": one})
            for one in people * 2
        )
    )
    given = {answer["a"]["user"]["discordId"] for answer in answers if not answer["a"]["errors"]}
    assert len(given) == 1
    lost = [answer["a"]["errors"] for answer in answers if answer["a"]["errors"]]
    assert len(lost) == 14
    assert {(one[0]["code"], one[0]["path"][1]) for one in lost} == {("INVALID_STATE", "key")}
    rows = await town.node.owner.fetch(
        "select key_sealed, key_hash from bot_whitelisted_users where product_id = $1",
        product.removeprefix("botProduct_"),
    )
    assert len(rows) == 1
    assert key.encode() not in rows[0]["key_sealed"]
    assert len(rows[0]["key_hash"]) == 32
    # Who has it does not burn another key; another product has keys of its own.
    (has_it,) = given
    burn = {"productId": product, "key": f"KEY-{uuid4().hex}", "discordId": has_it}
    assert await refused(town.bot, REDEEM, **burn) == ("INVALID_STATE", ["input", "discordId"])
    _, _, elsewhere = await town.product()
    await do(town.bot, REDEEM, productId=elsewhere, key=key, discordId=snowflake())
    stranger = await town.person()
    foreign = {"productId": product, "key": "KEY-00002", "discordId": snowflake()}
    assert await refused(stranger, REDEEM, **foreign) == ("NOT_FOUND", ["input", "productId"])


async def test_6_3_licences_of_the_owners_product_are_its_keys(town: Town) -> None:
    owner, guild, server = await town.owned()
    developer = await town.node.developer()
    await town.node.owner.execute(
        "update discord_servers set user_id = $2 where guild_id = $1",
        guild,
        developer.actor.user_id,
    )
    game = await developer.product(proven=False)
    (first, second) = await developer.licences(game, 2)
    saved = {"serverId": server, "idempotencyKey": uuid4().hex}
    licensed = [{"name": "Game", "licensedProductId": game["id"]}]
    made = await do(developer, CONFIGURE, **saved, products=licensed)
    (product,) = made["server"]["products"]["nodes"]
    assert product["licensedProductId"] == game["id"]
    somebody = snowflake()
    unknown = {"productId": product["id"], "key": "AAAA-BBBB-CCCC-DDDD", "discordId": somebody}
    assert await refused(town.bot, REDEEM, **unknown) == ("NOT_FOUND", ["input", "key"])
    typed = first["key"].lower()
    told = {"productId": product["id"], "discordId": somebody, "robloxId": "42"}
    await do(town.bot, REDEEM, **told, key=typed)
    await do(town.bot, REDEEM, **told, key=first["key"])
    licence = await town.node.owner.fetchrow(
        "select status, discord_id, roblox_id from licences where id = $1",
        first["id"].removeprefix("licence_"),
    )
    assert tuple(licence) == ("REDEEMED", somebody, 42)
    await town.node.owner.execute(
        "update licences set status = 'BANNED', banned_at = now(), banned_from = status where id = $1",
        second["id"].removeprefix("licence_"),
    )
    banned = {"productId": product["id"], "key": second["key"], "discordId": snowflake()}
    assert await refused(town.bot, REDEEM, **banned) == ("INVALID_STATE", ["input", "key"])
    # Nobody names a product that is another's.
    stranger, _, other = await town.owned()
    foreign = {"serverId": other, "idempotencyKey": uuid4().hex, "products": licensed}
    assert (await refused(stranger, CONFIGURE, **foreign))[0] == "NOT_FOUND"
    assert owner.actor.user_id


class Side:
    """One side of a server's whitelists: what it knows, what it must still send, and its cursor."""

    def __init__(self, somebody: Developer, server: str) -> None:
        self.somebody, self.server = somebody, server
        self.known: dict[tuple[str, str], str] = {}
        self.unsent: list[dict[str, Any]] = []
        self.cursor: str | None = None

    def write(self, product: str, discord_id: str, minute: float, **fields: Any) -> None:
        moment = (NOW + timedelta(minutes=minute)).isoformat()
        self.unsent.append(
            {"productId": product, "discordId": discord_id, "changedAt": moment, **fields}
        )
        self.known[product, discord_id] = fields.get("status", "ACTIVE")

    async def sync(self) -> list[str]:
        """Sends and hears until there is no more; gives the outcomes of what it sent."""
        outcomes = []
        while True:
            given = {"serverId": self.server, "since": self.cursor, "changes": self.unsent}
            done = await do(self.somebody, SYNC, **given)
            self.unsent = []
            outcomes += [one["outcome"] for one in done["accepted"]]
            for one in done["changes"]:
                self.known[one["productId"], one["discordId"]] = one["status"]
            self.cursor = done["cursor"]
            if not done["hasMore"]:
                return outcomes


async def test_6_4_either_side_offline_for_an_hour_loses_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, server, product = await town.product()
    bot, platform = Side(town.bot, server), Side(owner, server)
    people = [snowflake() for _ in range(4)]
    for n, one in enumerate(people):
        bot.write(product, one, n, key=f"KEY-{uuid4().hex}")
    await bot.sync()
    await platform.sync()
    assert platform.known == bot.known
    # For an hour neither hears of the other, and both write.
    contested = f"KEY-{uuid4().hex}"
    bot.write(product, people[0], 70, status="REMOVED")
    platform.write(product, people[0], 75, robloxId="5")
    platform.write(product, people[1], 76, status="REMOVED")
    bot.write(product, people[1], 71, robloxUsername="Ana")
    gift, winner, loser = snowflake(), snowflake(), snowflake()
    platform.write(product, gift, 77)
    platform.write(product, winner, 78, key=contested)
    bot.write(product, loser, 90, key=contested)
    assert await platform.sync() == ["APPLIED"] * 4
    sent = list(bot.unsent)
    assert await bot.sync() == ["LOST", "LOST", "KEY_ALREADY_REDEEMED"]
    # What was cut off is sent again, and changes nothing.
    bot.unsent = sent
    assert await bot.sync() == ["LOST", "LOST", "KEY_ALREADY_REDEEMED"]
    del bot.known[product, loser]
    await platform.sync()
    assert bot.known == platform.known
    assert bot.known[product, people[0]] == "ACTIVE"
    assert bot.known[product, people[1]] == "REMOVED"
    # A new side hears of those who have it, its own too, page by page, and nothing of who had it.
    has_it = {one: "ACTIVE" for one, status in bot.known.items() if status == "ACTIVE"}
    assert len(has_it) > 2
    monkeypatch.setattr(operations, "PAGE_ROWS", 2)
    for somebody in (owner, town.bot):
        fresh = Side(somebody, server)
        await fresh.sync()
        assert fresh.known == has_it
    stranger = await town.person()
    assert await refused(stranger, SYNC, serverId=server) == ("NOT_FOUND", ["input", "serverId"])
    for cursor in ("x", "0123456789abcdef-5"):
        expired = ("CURSOR_EXPIRED", ["input", "since"])
        assert await refused(owner, SYNC, serverId=server, since=cursor) == expired
    _, _, elsewhere = await town.product()
    change = {"productId": elsewhere, "discordId": gift, "changedAt": NOW.isoformat()}
    done = await do(owner, SYNC, serverId=server, changes=[change])
    assert done["accepted"][0]["outcome"] == "PRODUCT_GONE"


WATCH = {
    "server": "subscription($a: Cursor) { a: discordServersChanged(after: $a) { cursor kind server { guildId claimedAt } removedId } }",
    "product": "subscription($a: Cursor) { a: botProductsChanged(after: $a) { cursor kind product { name payhipKey } removedId } }",
    "user": "subscription($a: Cursor) { a: botWhitelistChanged(after: $a) { cursor kind user { discordId status } removedId } }",
    "permission": "subscription($a: Cursor) { a: botCommandPermissionsChanged(after: $a) { cursor kind permission { commandName enabled } removedId } }",
}


async def follow(
    town: Town, somebody: Developer, text: str, after: str | None, number: int
) -> list[Any]:
    """So many items of a subscription."""
    url = str(town.node.http.base_url).replace("http", "ws").rstrip("/") + "/graphql"
    protocol = Subprotocol("graphql-transport-ws")
    async with connect(url, subprotocols=[protocol], proxy=None) as socket:
        payload = {"Authorization": f"Bearer {somebody.token}"}
        await say(socket, type="connection_init", payload=payload)
        await hear(socket)
        await say(
            socket, type="subscribe", id="1", payload={"query": text, "variables": {"a": after}}
        )
        return [(await hear(socket))["payload"]["data"]["a"] for _ in range(number)]


async def test_6_4_what_happened_meanwhile_is_told_behind_a_cursor(town: Town) -> None:
    began = {
        name: (await follow(town, town.bot, text, None, 1))[0]["cursor"]
        for name, text in WATCH.items()
    }
    owner, server, product = await town.product(payhipKey="prod_sk_secret")
    permission = [{"commandName": "redeem", "enabled": False}]
    await do(owner, CONFIGURE, serverId=server, idempotencyKey=uuid4().hex, permissions=permission)
    somebody = snowflake()
    await do(town.bot, REDEEM, productId=product, key="KEY-00001", discordId=somebody)
    change = {
        "productId": product,
        "discordId": somebody,
        "status": "REMOVED",
        "changedAt": datetime.now(UTC).isoformat(),
    }
    await do(owner, SYNC, serverId=server, changes=[change])
    told = {
        name: await follow(town, town.bot, WATCH[name], began[name], number)
        for name, number in (("server", 2), ("product", 1), ("user", 2), ("permission", 1))
    }
    assert [one["kind"] for one in told["user"]] == ["ADDED", "UPDATED"]
    assert [one["user"]["status"] for one in told["user"]] == ["ACTIVE", "REMOVED"]
    assert told["product"][0]["product"] == {"name": "VIP", "payhipKey": "prod_sk_secret"}
    assert told["permission"][0]["permission"] == {"commandName": "redeem", "enabled": False}
    assert told["server"][-1]["server"]["claimedAt"]
    await do(owner, REMOVE, id=product)
    gone = await follow(town, town.bot, WATCH["product"], told["product"][0]["cursor"], 1)
    assert (gone[0]["kind"], gone[0]["removedId"]) == ("DELETED", product)
    # The other bot heard of none of it.
    other = await town.new_bot()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await follow(town, other, WATCH["user"], began["user"], 1)


async def test_6_4_two_pages_of_a_sync_are_all_there_is(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.discord.operations.PAGE_ROWS", 2)
    owner, server, product = await town.product()
    bot, platform = Side(town.bot, server), Side(owner, server)
    for n in range(5):
        bot.write(product, snowflake(), n)
    await bot.sync()
    await platform.sync()
    assert platform.known == bot.known
    assert len(platform.known) == 5


async def test_what_bots_send_is_checked_as_a_whole(town: Town) -> None:
    _, server, product = await town.product()
    at = ["input", "changes", "0"]
    change = {"productId": product, "discordId": snowflake(), "changedAt": NOW.isoformat()}
    for field, value in (
        ("discordId", "1"),
        ("robloxId", "x"),
        ("robloxUsername", ""),
        ("key", "short"),
    ):
        told = await refused(town.bot, SYNC, serverId=server, changes=[{**change, field: value}])
        assert told == ("BAD_USER_INPUT", [*at, field])
    for given in (
        {"servers": []},
        {"servers": [{"guildId": "1", "name": "", "ownerDiscordId": "1", "memberCount": -1}]},
    ):
        assert (await refused(town.bot, REGISTER, **given))[0] == "BAD_USER_INPUT"
    response: httpx.Response = await town.node.http.post("/graphql", json={"query": CODE})
    assert response.json()["data"]["a"] is None or response.json()["data"]["a"]["errors"]
