"""Products and whitelists under `/v1/`, and verifying."""

from __future__ import annotations

from typing import Any

from db.core.errors import not_found
from db.licences.operations import LicensedProduct
from db.whitelists.listing import list_entries
from graph.shared.licence_checks import LicenceChecks
from graph.shared.relay import slug_from_global_id, split_global_id, uuid_from_global_id
from graph.shared.scalars import format_date_time
from server.developer_api import documents
from server.developer_api.answers import RestAnswer, RestRefusal
from server.developer_api.asking import DeveloperApi, DeveloperRequest
from server.developer_api.reading import Fields, body_of, id_of, query_of

PAGE_LIMIT = 100
MOST_PAGES = 10_000
MOST_REMOVED = 1_000


class Whitelists:
    """The handlers of products and whitelists."""

    def __init__(self, api: DeveloperApi) -> None:
        self._api = api
        self._checks = api.services.of(LicenceChecks.of)

    async def verify(self, asking: DeveloperRequest) -> RestAnswer:
        """Whether somebody may use a product of the developer's: by Roblox id, or by a key."""
        is_get = asking.request.method in {"GET", "HEAD"}
        fields = query_of(asking.request) if is_get else await body_of(asking.request)
        if fields.has("license_key"):
            return await self._verify_key(asking, fields)
        checked = await self._checks.check_roblox_id(
            int(fields.number("roblox_user_id")),
            group_id=int(fields.number("roblox_group_id")),
            developer_id=asking.actor.user_id,
        )
        told: dict[str, Any] = {"whitelisted": checked.is_valid}
        if checked.expires_at is not None:
            told["expiry_date"] = format_date_time(checked.expires_at)
        return RestAnswer(told)

    async def _verify_key(self, asking: DeveloperRequest, fields: Fields) -> RestAnswer:
        given = fields.text("product_id")
        if split_global_id(given)[0] == "developerProduct":
            product = LicensedProduct(
                developer_product_id=uuid_from_global_id(given, "developerProduct", "productId")
            )
        else:
            product = LicensedProduct(product_id=slug_from_global_id(given, "product"))
        checked = await self._checks.check_key(
            fields.text("license_key"),
            product,
            fields.optional_text("machine_id"),
            asking.actor.user_text,
            seller_id=asking.actor.user_id,
        )
        return RestAnswer(
            {
                "valid": checked.is_valid,
                "status": checked.status.lower(),
                "product_id": given,
                "activations": checked.activations,
                "max_activations": checked.max_activations,
                "expires_at": checked.expires_at and format_date_time(checked.expires_at),
            }
        )

    async def list_entries(self, asking: DeveloperRequest) -> RestAnswer:
        """A page of a product's whitelist."""
        query = query_of(asking.request)
        given = query.text("product_id")
        page = query.bounded("page", 1, MOST_PAGES)
        limit = query.bounded("limit", 50, PAGE_LIMIT)
        roblox_id = query.optional_number("roblox_user_id")
        found = await list_entries(
            self._api.services.database,
            asking.actor,
            uuid_from_global_id(given, "developerProduct", "productId"),
            roblox_id=None if roblox_id is None else int(roblox_id),
            discord_id=query.optional_text("discord_id"),
            page=page,
            limit=limit,
        )
        if found is None:
            raise not_found("developer product", ("productId",))
        standing = await self._api.ask(asking, documents.STANDING)
        return RestAnswer(
            {
                "entries": [
                    {
                        "id": f"whitelistEntry_{one['id']}",
                        "roblox_user_id": one["roblox_id"],
                        "discord_id": one["discord_id"],
                        "expiry_date": format_date_time(one["expires_at"]),
                        "created_at": format_date_time(one["created_at"]),
                    }
                    for one in found.entries
                ],
                "total": found.total,
                "page": page,
                "limit": limit,
                "tier_limit": standing["developer"]["limits"]["whitelistEntries"],
            }
        )

    async def set_entry(self, asking: DeveloperRequest) -> RestAnswer:
        """Puts somebody on a whitelist, or changes until when."""
        body = await body_of(asking.request)
        payload = await self._api.ask(
            asking,
            documents.SET_ENTRY,
            {
                "product": body.text("product_id"),
                "roblox": body.number("roblox_user_id"),
                "discord": body.optional_text("discord_id"),
                "until": format_date_time(body.moment("expiry_date")),
            },
        )
        entry = payload["entry"]
        return RestAnswer(
            {
                "id": entry["id"],
                "product_id": entry["productId"],
                "roblox_user_id": int(entry["robloxId"]),
                "discord_id": entry["discordId"],
                "expiry_date": entry["expiresAt"],
                "created_at": entry["createdAt"],
            },
            201,
        )

    async def remove_entries(self, asking: DeveloperRequest) -> RestAnswer:
        """Takes several off whitelists."""
        body = await body_of(asking.request)
        ids = body.texts("whitelist_ids", MOST_REMOVED)
        payload = await self._api.ask(asking, documents.REMOVE_ENTRIES, {"ids": ids})
        return RestAnswer({"removed": len(payload["removedIds"]), "failed": payload["failedIds"]})

    async def remove_entry(self, asking: DeveloperRequest) -> RestAnswer:
        """Takes one off a whitelist."""
        ids = [id_of(asking.request)]
        payload = await self._api.ask(asking, documents.REMOVE_ENTRIES, {"ids": ids})
        if payload["failedIds"]:
            raise not_found("whitelist entry")
        return RestAnswer(status=204)

    async def list_products(self, asking: DeveloperRequest) -> RestAnswer:
        """The developer's products."""
        found = (await self._api.ask(asking, documents.PRODUCTS))["developer"]["products"]
        products = [_product(one) for one in found["nodes"]]
        return RestAnswer({"products": products, "total": found["totalCount"]})

    async def create_product(self, asking: DeveloperRequest) -> RestAnswer:
        """Makes a product of a group."""
        body = await body_of(asking.request)
        variables = {
            "name": body.text("product_name"),
            "group": body.number("roblox_group_id"),
            "description": body.optional_text("description"),
        }
        try:
            payload = await self._api.ask(
                asking, documents.CREATE_PRODUCT, variables, name="product_name"
            )
        except RestRefusal as refusal:
            if refusal.code != "CONFLICT":
                raise
            raise RestRefusal("DUPLICATE_GROUP", 409, refusal.message, "roblox_group_id") from None
        return RestAnswer(_product(payload["developerProduct"]), 201)

    async def get_product(self, asking: DeveloperRequest) -> RestAnswer:
        """One product."""
        variables = {"id": id_of(asking.request)}
        found = (await self._api.ask(asking, documents.PRODUCT, variables))["developerProduct"]
        if found is None:
            raise not_found("developer product")
        return RestAnswer(_product(found))

    async def prove_product(self, asking: DeveloperRequest) -> RestAnswer:
        """Proves whose group a product is of."""
        variables = {"id": id_of(asking.request)}
        payload = await self._api.ask(asking, documents.PROVE_PRODUCT, variables)
        return RestAnswer(_product(payload["developerProduct"]))

    async def delete_product(self, asking: DeveloperRequest) -> RestAnswer:
        """Deletes a product."""
        variables = {"id": id_of(asking.request)}
        await self._api.ask(asking, documents.DELETE_PRODUCT, variables)
        return RestAnswer(status=204)


def _product(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": found["id"],
        "product_name": found["name"],
        "roblox_group_id": int(found["robloxGroupId"]),
        "description": found["description"],
        "proof_phrase": found["proofPhrase"],
        "proven_at": found["provenAt"],
        "created_at": found["createdAt"],
    }
