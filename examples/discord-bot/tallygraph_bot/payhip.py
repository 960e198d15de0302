"""Payhip, whose shop sold a key: whether it is good, and that it was used.

Source: https://help.payhip.com/article/317-software-license-keys-new
"""

from __future__ import annotations

import json

from .api import Refused
from .outside import Outside

RETRIES = 5
WRONG_SECRET = frozenset({401, 403})


class Payhip:
    """Keys of a product there, by the product's secret."""

    def __init__(self, shop: Outside) -> None:
        self._shop = shop

    async def require_good(self, secret: str, key: str) -> None:
        """Refuses a key that there is not, or that was used or disabled."""
        path = "/api/v2/license/verify"
        answer = await self._shop.ask("GET", path, _by(secret), params={"license_key": key})
        if answer.status_code in WRONG_SECRET:
            raise Refused(
                "API_ERROR", "The shop does not know this server's product. Tell its owner."
            )
        try:
            found = json.loads(answer.text or "{}").get("data")
        except (AttributeError, ValueError):
            found = None
        if not isinstance(found, dict) or not answer.is_success:
            raise Refused("INVALID_PRODUCT_KEY", "There is no such key.")
        if found.get("enabled") is not True or found.get("uses"):
            raise Refused(
                "KEY_ALREADY_USED", "This key was used before, or its seller disabled it."
            )

    async def disable(self, secret: str, key: str) -> None:
        """Has a key be used; one that is, or that there is not any more, stays so."""
        await self._shop.ask(
            "PUT", "/api/v2/license/disable", _by(secret), data={"license_key": key}
        )


def _by(secret: str) -> dict[str, str]:
    return {"product-secret-key": secret}
