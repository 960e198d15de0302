"""Redemptions and whitelists: on the disk, then at Tallygraph, then answered; kept in step."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import httpx

from .api import Away, Refused, Sleep, Tallygraph, wait_seconds
from .cache import TtlCache
from .documents import GUILD, HELD, LEAVE, PRODUCT, REDEEM, REGISTER, SERVER, STREAMS, SYNC
from .gateway import Gateway, Guild, Member
from .journal import Change, Journal
from .shops import Shops, is_owed

AT_ONCE = 100
LATER = (
    "I have noted your key, but cannot reach the shop now. You get what is yours when it is back."
)
ROLE_LATER = "It is yours. Discord does not take your role now; you get it when it does."
CHANGED_LATER = "That is noted, but I cannot reach the shop now. It is done when it is back."
GIVEN = {"APPLIED", "KNOWN"}
WORDS = {
    "KEY_ALREADY_REDEEMED": "Somebody else had redeemed this key before you.",
    "KEY_UNKNOWN": "There is no such key.",
    "KEY_BANNED": "This key is banned.",
    "KEY_EXPIRED": "This key has expired.",
    "PRODUCT_GONE": "This server does not have that product any more.",
    "LIMIT_EXCEEDED": "This product has no place left.",
}
# Of others that do not say what they should: nothing is known of the change, so it is kept.
UNSOUND = {"API_ERROR"}
log = logging.getLogger("tallygraph_bot")


def now() -> str:
    """This moment, as the API takes it."""
    return datetime.now(UTC).isoformat()


class Service:
    """What commands do, and what goes on beside them."""

    def __init__(
        self,
        api: Tallygraph,
        journal: Journal,
        gateway: Gateway,
        shops: Shops,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.api, self.journal, self._gateway, self._sleep = api, journal, gateway, sleep
        self._shops = shops
        self._guilds: TtlCache[Any] = TtlCache()
        # One at a time, so that no change is sent by two.
        self._sending, self._paying = asyncio.Lock(), asyncio.Lock()
        # What is to be said to an admin of a change that came to nothing, by its number.
        self._in_vain: dict[int, str] = {}

    async def guild(self, guild_id: str) -> Any:
        """A server with its products and permissions, read lately."""

        async def read() -> Any:
            return (await self.api.ask(GUILD, guild=guild_id))["guild"]

        return await self._guilds.get(guild_id, read)

    async def joined(self, guilds: Sequence[Guild]) -> None:
        """Tells which servers the bot is in: all of them at the start, and each that it joins."""
        for start in range(0, len(guilds), AT_ONCE):
            told = [
                {
                    "guildId": one.id,
                    "name": one.name,
                    "icon": one.icon,
                    "ownerDiscordId": one.owner_id,
                    "memberCount": one.member_count,
                }
                for one in guilds[start : start + AT_ONCE]
            ]
            await self.api.do(REGISTER, servers=told)
        self._guilds.forget()

    async def left(self, guild_id: str) -> None:
        """Tells that the bot was removed from a server."""
        await self.api.do(LEAVE, guildIds=[guild_id])
        self._guilds.forget()

    def forget(self) -> None:
        """Reads servers anew."""
        self._guilds.forget()

    async def redeem(self, member: Member, product: Any, key: str, roblox: str | None) -> str:
        """Redeems a key, for somebody's name or number at Roblox; what is to be said of it.

        Whoever sold it is asked first. Then it is in the journal before it is sent, and leaves it
        once the server has it or refused it. The shop and the group hear of it last, so that of two
        who use a key at once one is let in.
        """
        user = await self._shops.check(product, key, roblox)
        named = (user.id, user.name) if user else (None, None)
        change = Change(product["id"], member.id, now(), "ACTIVE", key, member.name, *named)
        number = self.journal.write(member.guild_id, change)
        try:
            await self.api.do(
                REDEEM,
                productId=product["id"],
                key=key,
                discordId=member.id,
                discordUsername=member.name,
                robloxId=change.robloxId,
                robloxUsername=change.robloxUsername,
            )
        except Away:
            return LATER
        except Refused as refusal:
            self.journal.done(number)
            return refusal.message
        try:
            await self._apply(member.guild_id, product, member.id, "ACTIVE")
        except Away:
            # It stays in the journal: sent once more it changes nothing, and the role is given.
            return ROLE_LATER
        self._owe(product, change)
        self.journal.done(number)
        await self.pay()
        return product["redemptionMessage"] or f"{product['name']} is yours."

    async def restore(self, member: Member) -> str:
        """Gives somebody the roles that are theirs: who left the server had lost them."""
        await self.sync(member.guild_id)
        asked = await self.api.ask(HELD, guild=member.guild_id, who=member.id)
        names = []
        for product in asked["guild"]["products"]["nodes"]:
            for one in product["whitelist"]["nodes"]:
                await self._apply(member.guild_id, product, member.id, one["status"])
                names += [product["name"]] if one["status"] == "ACTIVE" else []
        return (
            f"Yours: {', '.join(names)}." if names else "Nothing is yours here yet: /redeem a key."
        )

    async def put(
        self,
        guild_id: str,
        product: Any,
        discord_id: str,
        status: str,
        roblox: str | None = None,
    ) -> str:
        """Puts somebody on a product's whitelist or takes them off; what is to be said of it."""
        named: tuple[str | None, str | None] = (None, None)
        if roblox is not None and (user := await self._shops.check(product, None, roblox)):
            named = (user.id, user.name)
        change = Change(product["id"], discord_id, now(), status, None, None, *named)
        number = self.journal.write(guild_id, change)
        await self.sync(guild_id)
        await self.pay()
        if number in self.journal.waiting().get(guild_id, {}):
            return CHANGED_LATER
        return self._in_vain.pop(number, "Done.")

    async def sync_all(self) -> None:
        """Sends whatever waits, of all servers, and what is owed to others.

        What is refused of one server, or fails, keeps no other waiting.
        """
        for guild_id in list(self.journal.waiting()):
            try:
                await self.sync(guild_id)
            except Refused as refusal:
                log.warning("Server %s is not in step: %s", guild_id, refusal.message)
        await self.pay()

    def _owe(self, product: Any, change: Change) -> None:
        if change.status == "ACTIVE" and is_owed(product, change):
            self.journal.owe(change)

    async def pay(self) -> None:
        """Tells shops and groups what they are to hear of; whoever is away hears of it later."""
        async with self._paying:
            for number, change in self.journal.owed().items():
                with contextlib.suppress(Away):
                    try:
                        product = await self._product(change.productId)
                        if product is not None:
                            await self._shops.settle(product, change)
                    except Refused as refusal:
                        if refusal.code in UNSOUND:
                            log.warning("Somebody is not told of a key yet: %s", refusal.message)
                            continue
                        await self._gateway.tell(change.discordId, refusal.message)
                    self.journal.paid(number)

    async def sync(self, guild_id: str) -> None:
        """Sends what waits of a server, and hears what its owner changed, if it can be reached."""
        name = f"sync {guild_id}"
        async with self._sending:
            with contextlib.suppress(Away):
                server, has_more = await self.guild(guild_id), True
                while server is not None and has_more:
                    waiting = self.journal.waiting().get(guild_id, {})
                    sent = dict(list(waiting.items())[:AT_ONCE])
                    try:
                        done = await self._synced(server["id"], name, list(sent.values()))
                    except Refused as refusal:
                        await self._give_up(sent, refusal)
                        continue
                    told = zip(sent.items(), done["accepted"], strict=True)
                    for (number, change), accepted in told:
                        await self._settle(guild_id, number, change, accepted["outcome"])
                        self.journal.done(number)
                    for one in done["changes"]:
                        await self._apply_change(one)
                    self.journal.keep_cursor(name, done["cursor"])
                    has_more = done["hasMore"] or len(waiting) > len(sent)

    async def _synced(self, server_id: str, name: str, changes: list[Change]) -> Any:
        given = {"serverId": server_id, "changes": [asdict(one) for one in changes]}
        try:
            return await self.api.do(SYNC, since=self.journal.cursor(name), **given)
        except Refused as refusal:
            if refusal.code != "CURSOR_EXPIRED":
                raise
            return await self.api.do(SYNC, since=None, **given)

    async def _give_up(self, sent: dict[int, Change], refusal: Refused) -> None:
        """Forgets the change that can never be taken, so that those behind it are.

        Raises the refusal where it is of none of them.
        """
        place = refusal.path[2:3] if refusal.path[:2] == ("input", "changes") else ()
        number = next((list(sent)[int(one)] for one in place if int(one) < len(sent)), None)
        if number is None:
            raise refusal
        await self._say(number, sent[number], refusal.message)
        self.journal.done(number)

    async def _say(self, number: int, change: Change, message: str) -> None:
        """Tells whoever redeemed a key, or the admin who waits for an answer."""
        if change.key is None:
            self._in_vain[number] = message
        else:
            await self._gateway.tell(change.discordId, message)

    async def _settle(self, guild_id: str, number: int, change: Change, outcome: str) -> None:
        if outcome in GIVEN:
            product = await self._product(change.productId)
            if product is not None:
                await self._apply(guild_id, product, change.discordId, change.status)
                self._owe(product, change)
        elif outcome in WORDS:
            await self._say(number, change, WORDS[outcome])

    async def follow(self, name: str) -> None:
        """Hears of changes for ever, from where it was: with a break, and with none, in order."""
        failures = 0
        while True:
            with contextlib.suppress(Away, httpx.TransportError):
                try:
                    async for item in self.api.watch(STREAMS[name], self.journal.cursor(name)):
                        failures = 0
                        await self._heard(name, item)
                except Refused as refusal:
                    if refusal.code == "CURSOR_EXPIRED":
                        # Away for longer than changes are kept: all is read anew.
                        self.journal.keep_cursor(name, None)
                    else:
                        log.warning("Nothing is heard of %s: %s", name, refusal.message)
            self._guilds.forget()
            failures += 1
            await self._sleep(wait_seconds(failures))

    async def _heard(self, name: str, item: Any) -> None:
        if name == "whitelist":
            if item["user"] is not None:
                await self._apply_change(item["user"])
        else:
            self._guilds.forget()
        self.journal.keep_cursor(name, item["cursor"])

    async def _apply_change(self, change: Any) -> None:
        product = await self._product(change["productId"])
        if product is None:
            return
        server = (await self.api.ask(SERVER, id=product["serverId"]))["discordServer"]
        if server is not None:
            await self._apply(server["guildId"], product, change["discordId"], change["status"])

    async def _apply(self, guild_id: str, product: Any, discord_id: str, status: str) -> None:
        if product["roleId"] is None:
            return
        change = self._gateway.give_role if status == "ACTIVE" else self._gateway.take_role
        await change(guild_id, discord_id, product["roleId"])

    async def _product(self, product_id: str) -> Any:
        return (await self.api.ask(PRODUCT, id=product_id))["node"]
