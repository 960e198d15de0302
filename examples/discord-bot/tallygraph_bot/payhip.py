"""Payhip, whose shop sold a key: whether it is good, and that it was used.

Source: https://help.payhip.com/article/317-software-license-keys-new
"""

from __future__ import annotations

import json
from typing import Any

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
        found = _key_in(answer)
        if found is None:
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


def _key_in(answer: Any) -> dict[str, Any] | None:
    """What it says of a key; nothing where it says that there is none, which it does in few words.

    A page of somebody else's, such as of a proxy in between, says nothing of any key.
    """
    try:
        said = json.loads(answer.text or "{}") if answer.is_success else {}
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or answer.is_redirect:
        raise Refused("API_ERROR", "The shop does not answer as it should. Tell its owner.")
    found = said.get("data")
    return found if isinstance(found, dict) else None


def _by(secret: str) -> dict[str, str]:
    return {"product-secret-key": secret}
