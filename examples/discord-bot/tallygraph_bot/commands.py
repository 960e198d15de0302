"""The bot's commands: who may use each, and what each says."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from .api import Away, Refused
from .documents import CONFIGURE, LINK, LIST, REMOVE
from .gateway import Member
from .service import Service

ATTEMPTS, ATTEMPTS_SECONDS = 5, 300.0
FOR_ALL = frozenset({"redeem", "update"})
# Each command, what it does, and what it takes beside that.
COMMANDS: dict[str, tuple[str, dict[str, bool]]] = {
    "redeem": ("Redeem a key", {"key": True, "product": False, "roblox": False}),
    "update": ("Get the roles that are yours", {}),
    "link-account": ("Link this server to an account", {"code": True}),
    "admin-product-add": (
        "Add a product",
        {
            "name": True,
            "roleId": False,
            "robloxGroupId": False,
            "robloxKey": False,
            "payhipKey": False,
        },
    ),
    "admin-product-edit": (
        "Change a product",
        {
            "product": True,
            "name": False,
            "roleId": False,
            "redemptionMessage": False,
            "robloxGroupId": False,
            "robloxKey": False,
            "payhipKey": False,
        },
    ),
    "admin-product-list": ("List the products", {}),
    "admin-product-remove": ("Remove a product and all who have it", {"product": True}),
    "admin-whitelist-add": (
        "Give somebody a product",
        {"user_id": True, "product": False, "roblox": False},
    ),
    "admin-whitelist-list": ("List who has a product", {"product": False, "after": False}),
    "admin-whitelist-remove": ("Take a product from somebody", {"user_id": True, "product": False}),
}
AWAY = "I cannot reach the shop now. Try again in a minute."
NOT_ALLOWED = "You may not use this command here."
UNLINKED = "This server is not linked yet. An administrator runs /link-account first."


def may_use(name: str, member: Member, permissions: list[Any]) -> bool:
    """Whether a member may use a command; without a row it is everybody's, or administrators'."""
    for one in permissions:
        if one["commandName"] == name:
            if not one["enabled"]:
                return False
            return member.is_administrator or (
                not one["requireAdmin"] and not member.role_ids.isdisjoint(one["allowedRoleIds"])
            )
    return member.is_administrator or name in FOR_ALL


class Commands:
    """Each method is a command: it takes who used it and what they gave, and gives what is said."""

    def __init__(self, service: Service, clock: Callable[[], float] = time.monotonic) -> None:
        self._service, self._clock = service, clock
        self._attempts: dict[str, deque[float]] = {}

    async def run(self, name: str, member: Member, /, **given: Any) -> str:
        """Runs a command for whoever may use it."""
        try:
            # Who links a server, its administrators, cannot be told by a server that is not linked.
            if name == "link-account":
                return await self._link(member, **given) if member.is_administrator else NOT_ALLOWED
            guild = await self._service.guild(member.guild_id)
            if guild is None or guild["claimedAt"] is None:
                return UNLINKED
            if not may_use(name, member, guild["permissions"]["nodes"]):
                return NOT_ALLOWED
            command = getattr(self, "_" + name.replace("-", "_"))
            said: str = await command(member, guild, **given)
        except Refused as refusal:
            return refusal.message
        except Away:
            return AWAY
        return said

    async def _link(self, member: Member, code: str) -> str:
        await self._service.api.do(LINK, guildId=member.guild_id, code=code)
        self._service.forget()
        return "This server is linked."

    async def _redeem(
        self, member: Member, guild: Any, key: str, product: str = "", roblox: str | None = None
    ) -> str:
        if not self._may_try(member.id):
            return "You have tried too often. Try again in five minutes."
        found = _product(guild, product)
        return await self._service.redeem(member, found, key, roblox)

    async def _update(self, member: Member, guild: Any) -> str:  # noqa: ARG002
        return await self._service.restore(member)

    async def _admin_product_add(self, member: Member, guild: Any, name: str, **given: Any) -> str:  # noqa: ARG002
        return await self._save(guild, {"name": name, **given})

    async def _admin_product_edit(
        self,
        member: Member,  # noqa: ARG002
        guild: Any,
        product: str,
        **given: Any,
    ) -> str:
        found = _product(guild, product)
        return await self._save(guild, {"id": found["id"], "name": found["name"], **given})

    async def _save(self, guild: Any, product: dict[str, Any]) -> str:
        given = {"serverId": guild["id"], "products": [product]}
        await self._service.api.do(CONFIGURE, idempotencyKey=uuid4().hex, **given)
        self._service.forget()
        return "Saved."

    async def _admin_product_list(self, member: Member, guild: Any) -> str:  # noqa: ARG002
        return "\n".join(one["name"] for one in guild["products"]["nodes"]) or "There is none."

    async def _admin_product_remove(self, member: Member, guild: Any, product: str) -> str:  # noqa: ARG002
        await self._service.api.do(REMOVE, id=_product(guild, product)["id"])
        self._service.forget()
        return "Removed."

    async def _admin_whitelist_add(
        self,
        member: Member,
        guild: Any,
        user_id: str,
        product: str = "",
        roblox: str | None = None,
    ) -> str:
        found = _product(guild, product)
        return await self._service.put(member.guild_id, found, user_id, "ACTIVE", roblox)

    async def _admin_whitelist_remove(
        self, member: Member, guild: Any, user_id: str, product: str = ""
    ) -> str:
        found = _product(guild, product)
        return await self._service.put(member.guild_id, found, user_id, "REMOVED")

    async def _admin_whitelist_list(
        self,
        member: Member,  # noqa: ARG002
        guild: Any,
        product: str = "",
        after: str | None = None,
    ) -> str:
        found = _product(guild, product)
        page = (await self._service.api.ask(LIST, id=found["id"], after=after))["node"]["whitelist"]
        lines = [
            f"{one['discordUsername'] or one['discordId']} ({one['status'].lower()})"
            for one in page["nodes"]
        ]
        if page["pageInfo"]["hasNextPage"]:
            lines.append(f"More: after {page['pageInfo']['endCursor']}")
        return "\n".join(lines) or "There is nobody."

    def _may_try(self, member_id: str) -> bool:
        """Five attempts in five minutes."""
        tried = self._attempts.setdefault(member_id, deque())
        while tried and tried[0] <= self._clock() - ATTEMPTS_SECONDS:
            tried.popleft()
        if len(tried) >= ATTEMPTS:
            return False
        tried.append(self._clock())
        return True


def _product(guild: Any, name: str) -> Any:
    """A product of this server, by its name; without one the only one there is."""
    products = guild["products"]["nodes"]
    found = [one for one in products if one["name"].casefold() == name.casefold()]
    if not name and len(products) == 1:
        found = products
    if not found:
        names = ", ".join(one["name"] for one in products) or "there is none yet"
        raise Refused("NOT_FOUND", f"Which product? Name one of this server's: {names}.")
    return found[0]
