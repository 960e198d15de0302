"""Who sold a key and what it opens elsewhere: asked before it is redeemed, told after it."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from . import payhip, roblox
from .api import Refused, Sleep
from .journal import Change
from .outside import Outside
from .payhip import Payhip
from .roblox import Roblox, RobloxUser

# Payhip, Roblox's users and Roblox's groups.
USUAL = "https://payhip.com", "https://users.roblox.com", "https://apis.roblox.com"


class Shops:
    """Payhip and Roblox, for the products that name a key of theirs."""

    def __init__(
        self,
        payhip_url: str,
        users_url: str,
        groups_url: str,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        shop = Outside(payhip_url, retries=payhip.RETRIES, sleep=sleep)
        people, groups = (
            Outside(url, retries=roblox.RETRIES, a_minute=roblox.A_MINUTE, sleep=sleep)
            for url in (users_url, groups_url)
        )
        self._all = (shop, people, groups)
        self._payhip, self._roblox = Payhip(shop), Roblox(people, groups)

    @classmethod
    def of_environment(cls) -> Shops:
        """Those that PAYHIP_URL, ROBLOX_USERS_URL and ROBLOX_CLOUD_URL name; the usual ones."""
        named = zip(("PAYHIP_URL", "ROBLOX_USERS_URL", "ROBLOX_CLOUD_URL"), USUAL, strict=True)
        return cls(*(os.environ.get(name) or usual for name, usual in named))

    async def close(self) -> None:
        """Ends the connections."""
        for one in self._all:
            await one.close()

    async def check(self, product: Any, key: str | None, written: str | None) -> RobloxUser | None:
        """Refuses what cannot be redeemed; gives who it is for at Roblox, if they said so."""
        if key is not None and _is_sold_at_payhip(product):
            await self._payhip.require_good(product["payhipKey"], key)
        user = None if written is None else await self._roblox.find(written)
        if _has_group(product):
            if user is None:
                raise Refused("VALIDATION_FAILED", "Say who you are at Roblox as well.")
            await self._roblox.require_asking(product["robloxKey"], product["robloxGroupId"], user)
        return user

    async def settle(self, product: Any, change: Change) -> None:
        """Lets somebody in who has a product now, and has the shop know that the key was used.

        Both may be done again, and neither waits for the other.
        """
        try:
            if change.robloxId is not None and _has_group(product):
                group = product["robloxKey"], product["robloxGroupId"]
                await self._roblox.admit(*group, change.robloxId)
        finally:
            if change.key is not None and _is_sold_at_payhip(product):
                await self._payhip.disable(product["payhipKey"], change.key)


def is_owed(product: Any, change: Change) -> bool:
    """Whether others are to hear that somebody has a product."""
    return (change.key is not None and _is_sold_at_payhip(product)) or (
        change.robloxId is not None and _has_group(product)
    )


def _is_sold_at_payhip(product: Any) -> bool:
    """Keys that are licences need no shop."""
    return product["payhipKey"] is not None and product["licensedProductId"] is None


def _has_group(product: Any) -> bool:
    return product["robloxGroupId"] is not None and product["robloxKey"] is not None
