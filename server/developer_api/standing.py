"""Keys, credits, subscription, usage and obfuscations under `/v1/`."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Container
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from payments.inbox import inbox_of
from server.developer_api import documents
from server.developer_api.answers import RestAnswer, RestRefusal
from server.developer_api.asking import DeveloperApi, DeveloperRequest
from server.developer_api.reading import body_of, id_of, invalid, query_of

HISTORY_LIMIT = 100
# In which order a provider is chosen for who names none.
PROVIDERS = ("stripe", "paypal", "paymob", "sandbox")
IDEMPOTENCY_HEADER = "idempotency-key"
_KEY_SHAPE = re.compile(r"[!-~]{1,255}", re.ASCII)


class DeveloperStanding:
    """The handlers of what a developer has, uses and pays."""

    def __init__(self, api: DeveloperApi) -> None:
        self._api = api

    async def list_keys(self, asking: DeveloperRequest) -> RestAnswer:
        """The keys, without their secrets."""
        found = (await self._api.ask(asking, documents.KEYS))["developer"]["keys"]["nodes"]
        return RestAnswer({"keys": [_key(one) for one in found]})

    async def create_key(self, asking: DeveloperRequest) -> RestAnswer:
        """Makes a key, whose secret is shown this once."""
        body = await body_of(asking.request, needed=False)
        name = body.optional_text("name") or "Default"
        variables = {"name": name, "key": _given_key(asking)}
        try:
            payload = await self._api.ask(asking, documents.CREATE_KEY, variables)
        except RestRefusal as refusal:
            if refusal.code != "CONFLICT" or refusal.at_field != "name":
                raise
            raise RestRefusal("DUPLICATE_NAME", 409, refusal.message, "name") from None
        return RestAnswer({**_key(payload["developerKey"]), "api_key": payload["secret"]}, 201)

    async def revoke_key(self, asking: DeveloperRequest) -> RestAnswer:
        """Ends a key."""
        variables = {"id": id_of(asking.request)}
        await self._api.ask(asking, documents.REVOKE_KEY, variables)
        return RestAnswer(status=204)

    async def credits(self, asking: DeveloperRequest) -> RestAnswer:
        """How many credits there are, and what they cost."""
        developer = (await self._api.ask(asking, documents.STANDING))["developer"]
        packs = await self._packs(asking)
        return RestAnswer({"credits": developer["obfuscation"]["credits"], "packs": packs})

    async def buy_credits(self, asking: DeveloperRequest) -> RestAnswer:
        """A page on which credits are paid."""
        body = await body_of(asking.request)
        quantity = int(body.number("quantity"))
        packs = await self._packs(asking)
        pack = next((one for one in packs if one["quantity"] == quantity), None)
        if pack is None:
            sold = ", ".join(str(one["quantity"]) for one in packs)
            raise invalid(
                "quantity", f"must be one that is sold: {sold}" if sold else "is not sold"
            )
        variables = {
            "product": pack["id"],
            "provider": pack["provider"],
            "key": _idempotency_key(asking),
        }
        payload = await self._api.ask(asking, documents.CHECKOUT, variables)
        return RestAnswer(
            {
                "checkout_url": payload["url"],
                "quantity": quantity,
                "total_cents": pack["amount_cents"],
                "currency": pack["currency"],
            }
        )

    async def _packs(self, asking: DeveloperRequest) -> list[dict[str, Any]]:
        """The packs of credits that can be paid here."""
        found = await self._api.ask(asking, documents.CREDIT_PRODUCTS)
        return packs_of(found, self._api.services.of(inbox_of).providers)

    async def subscription(self, asking: DeveloperRequest) -> RestAnswer:
        """The tier, what it allows, and until when it is paid."""
        return RestAnswer(_standing(await self._api.ask(asking, documents.STANDING)))

    async def subscribe(self, asking: DeveloperRequest) -> RestAnswer:
        """A page on which a tier is paid."""
        body = await body_of(asking.request)
        variables = {"plan": body.text("tier"), "key": _idempotency_key(asking)}
        payload = await self._api.ask(asking, documents.SUBSCRIBE, variables)
        return RestAnswer({"checkout_url": payload["checkoutUrl"]})

    async def cancel(self, asking: DeveloperRequest) -> RestAnswer:
        """Ends the subscription at once."""
        await self._api.ask(asking, documents.CANCEL)
        return RestAnswer({"cancelled": True})

    async def usage(self, asking: DeveloperRequest) -> RestAnswer:
        """What is used of the tier; with `history=true`, what keys asked for."""
        query = query_of(asking.request)
        with_history = query.optional_text("history") == "true"
        first = query.bounded("limit", 50, HISTORY_LIMIT)
        standing = _standing(await self._api.ask(asking, documents.STANDING))
        found = await self._api.ask(asking, documents.USAGE, {"first": first})
        told = {
            "tier": standing["tier"],
            "obfuscation": standing["obfuscation"],
            "rate_limit": standing["rate_limit"],
            "products": [
                {
                    "id": one["id"],
                    "product_name": one["name"],
                    "roblox_group_id": int(one["robloxGroupId"]),
                    "whitelist_count": one["entryCount"],
                }
                for one in found["developer"]["products"]["nodes"]
            ],
        }
        if with_history:
            told["request_history"] = [
                {
                    "request_id": one["requestId"],
                    "method": one["method"],
                    "endpoint": one["endpoint"],
                    "status_code": one["statusCode"],
                    "created_at": one["createdAt"],
                }
                for one in found["developer"]["requests"]["nodes"]
            ]
        return RestAnswer(told)

    async def record_obfuscation(self, asking: DeveloperRequest) -> RestAnswer:
        """Counts an obfuscation that has succeeded."""
        await body_of(asking.request, needed=False)
        key = _idempotency_key(asking)
        try:
            payload = await self._api.ask(asking, documents.RECORD_OBFUSCATION, {"key": key})
        except RestRefusal as refusal:
            if refusal.code == "OBFUSCATION_LIMIT":
                raise await self._until_period_ends(asking, refusal) from None
            raise
        made = payload["obfuscationUse"]
        standing = _standing(await self._api.ask(asking, documents.STANDING))
        return RestAnswer(
            {
                "id": made["id"],
                "source": made["source"].lower(),
                "created_at": made["createdAt"],
                "usage": standing["obfuscation"],
            },
            201,
        )

    async def _until_period_ends(
        self, asking: DeveloperRequest, refusal: RestRefusal
    ) -> RestRefusal:
        """The refusal with how long it holds: until there is an allowance again."""
        standing = await self._api.ask(asking, documents.STANDING)
        resets_at = datetime.fromisoformat(standing["developer"]["obfuscation"]["resetsAt"])
        seconds = math.ceil((resets_at - datetime.now(UTC)).total_seconds())
        return replace(refusal, headers={"Retry-After": str(max(1, seconds))})


def packs_of(found: dict[str, Any], providers: Container[str]) -> list[dict[str, Any]]:
    """The packs of credits that can be paid at one of these providers, smallest first.

    Developers pay in the currency of their tiers: another product's packs, which may stand beside
    theirs, are not offered, and a quantity means one pack. Where no tier costs anything, all are.
    """
    currencies = _tier_currencies(found)
    packs = []
    for product in found["products"]:
        prices = {
            one["provider"]: one
            for one in product["prices"]
            if not currencies or one["currency"] in currencies
        }
        wanted = (name for name in PROVIDERS if name in prices and name in providers)
        provider = next(wanted, None)
        if product["credits"] is not None and provider is not None:
            packs.append(
                {
                    "id": product["id"],
                    "quantity": product["credits"],
                    "amount_cents": prices[provider]["amountCents"],
                    "currency": prices[provider]["currency"],
                    "provider": provider,
                }
            )
    return sorted(packs, key=lambda pack: (pack["quantity"], pack["id"]))


def _tier_currencies(found: dict[str, Any]) -> set[str]:
    plans = {one["planId"] for one in found["developerTiers"]}
    prices = (one["price"] for one in found["plans"] if one["id"] in plans)
    return {price["currency"] for price in prices if price and price["amountCents"] > 0}


def _given_key(asking: DeveloperRequest) -> str | None:
    """The idempotency key of a request, if it has one."""
    given = asking.request.headers.get(IDEMPOTENCY_HEADER)
    if given is not None and _KEY_SHAPE.fullmatch(given) is None:
        raise invalid("Idempotency-Key", "must have 1 to 255 characters that can be seen, of ASCII")
    return given


def _idempotency_key(asking: DeveloperRequest) -> str:
    """The header of the request; without one, every request is a new one."""
    given = _given_key(asking)
    return given or f"v1:{secrets.token_hex(16)}"


def _key(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": found["id"],
        "name": found["name"],
        "preview": f"{found['preview']}…",
        "created_at": found["createdAt"],
        "last_used_at": found["lastUsedAt"],
    }


def _standing(found: dict[str, Any]) -> dict[str, Any]:
    developer = found["developer"]
    tier, limits, now = developer["tier"], developer["limits"], developer["obfuscation"]
    plan_id = f"plan_{tier}"
    of_tier = next((one for one in found["developerTiers"] if one["planId"] == plan_id), None)
    plan = next((one for one in found["plans"] if one["id"] == plan_id), None)
    price = (plan or {}).get("price")
    renewed = (found["viewer"] or {}).get("renewedSubscription")
    return {
        "tier": tier,
        "price_cents": price and price["amountCents"],
        "currency": price and price["currency"],
        "obfuscation": {
            "used": now["used"],
            "limit": limits["obfuscations"],
            "period": of_tier and of_tier["obfuscationPeriod"].lower(),
            "period_resets": now["resetsAt"],
            "credits_remaining": now["credits"],
        },
        "whitelist_limit": limits["whitelistEntries"],
        "rate_limit": limits["requestsPerMinute"],
        "credits": now["credits"],
        "current_period_end": renewed and renewed["currentPeriodEnd"],
        "status": renewed and renewed["status"].lower(),
    }
