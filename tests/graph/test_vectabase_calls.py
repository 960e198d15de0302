"""What docs/migrating names of Vectabase's functions and pages is there, and is answered (4, 5.1, 10.1)."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
import pytest

from db.core.actor import Actor
from db.core.pool import Database
from db.files.storage import open_storage
from graph.schema import build_schema
from server.developer_api.openapi import openapi_document
from settings import Settings
from tests.conftest import MakeUser
from tests.jobs.helpers import ready_upload

from .developing import LATER, Developer, DeveloperNode, developer_node

PAGE = Path(__file__).parents[2] / "docs" / "migrating" / "vectabase.md"
PASSWORD = "correct horse"
EDGE_FUNCTIONS = (
    *("api-verify", "api-whitelist", "bulk-remove", "api-products", "api-keys", "api-obfuscate"),
    *("api-credits", "api-subscription", "api-usage", "api-dashboard-checkout"),
    *("api-stripe-webhook", "stripe-webhook", "stripe-connect-onboard", "stripe-connect-account"),
    *("stripe-check-status", "stripe-check-accounts", "stripe-enable-test-account"),
    *("stripe-create-checkout", "create-payment", "license-verify", "validate-discount"),
    *("track-affiliate-click", "track-download", "discord-oauth/exchange", "/refresh"),
    *("discord-oauth/servers", "/bot-servers", "obfuscate-lua", "send-contact-email"),
    *("send-newsletter", "send-notification-email", "check-product", "fix-affiliate-rls"),
    *("paypal-callback", "paypal-create-order"),
)
# What each row of the page's table sends here; `{…}` is filled in from what came before.
MUTATIONS = (
    (
        "saveCreatorProfile",
        {"businessName": "Night Market", "websiteUrl": "https://market.example"},
        "creatorProfile { businessName }",
    ),
    (
        "createStore",
        {"name": "Night Market", "slug": "{slug}", "idempotencyKey": "{key}"},
        "store { id }",
    ),
    (
        "updateStore",
        {"id": "{store}", "description": "Open late.", "theme": {"accent": "#f2a65a"}},
        "store { theme }",
    ),
    (
        "createUpload",
        {"contentType": "image/png", "sizeBytes": 100},
        "upload { url method headers { name value } }",
    ),
    (
        "setStorePicture",
        {"storeId": "{store}", "kind": "LOGO", "uploadId": "{photo}"},
        "store { logoUrl }",
    ),
    (
        "createProduct",
        {
            "storeId": "{store}",
            "kind": "BOT",
            "name": "Lamplighter",
            "price": {"amountCents": 1_400, "currency": "GBP"},
            "idempotencyKey": "{key}",
        },
        "product { id }",
    ),
    ("publishProduct", {"id": "{product}"}, "product { status }"),
    (
        "createDiscountCode",
        {"storeId": "{store}", "code": "DUSK", "kind": "PERCENTAGE", "percent": 10},
        "discountCode { code }",
    ),
    ("createDeveloperKey", {"name": "Site"}, "secret developerKey { preview }"),
    (
        "createDeveloperProduct",
        {"name": "Tank", "robloxGroupId": "{group}"},
        "developerProduct { id }",
    ),
    (
        "setWhitelistEntry",
        {"productId": "{developerProduct}", "robloxId": "5", "expiresAt": LATER},
        "entry { id }",
    ),
    ("removeWhitelistEntries", {"ids": ["{entry}"]}, "removedIds"),
    ("createWhitelistSystem", {"name": "Site"}, "whitelistSystem { id }"),
    (
        "syncWhitelist",
        {
            "systemId": "{whitelistSystem}",
            "changes": [
                {
                    "externalId": "1",
                    "changedAt": "2026-01-01T00:00:00Z",
                    "status": "BANNED",
                    "banReason": "x",
                    "username": "Ana",
                    "discordId": "123456789012345678",
                    "robloxId": "5",
                }
            ],
        },
        "accepted { outcome }",
    ),
    (
        "createLicences",
        {"productId": "{developerProduct}", "count": 1, "idempotencyKey": "{key}"},
        "licences { id key }",
    ),
    ("banLicence", {"id": "{licences}", "reason": "x"}, "licence { status }"),
)
READS = (
    "{ viewer { id email } }",
    'query { store(slug: "{slug}") { name logoUrl bannerUrl theme products { nodes { name } } } }',
    'query { product(id: "{product}") { name rating prices { amountCents currency } } }',
    "{ viewer { purchases { nodes { status } } } }",
    "{ viewer { sales { nodes { sellerCents } } earnings { netCents } } }",
    "{ viewer { affiliateLinks { nodes { code } } } }",
    "{ viewer { discordServers { nodes { name } } } }",
    "{ developer { keys { nodes { id name preview } } } }",
    "{ developer { tier limits { requestsPerMinute } } }",
    "{ developer { obfuscation { allowance credits } } }",
    "{ developer { products { nodes { id name } } } }",
    "{ viewer { licences { nodes { key status } } } }",
)


@pytest.fixture
async def node(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[DeveloperNode]:
    async with developer_node(database, settings, make_user, owner) as node:
        yield node


def filled(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: filled(one, known) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, known) for one in value]
    return known[value[1:-1]] if isinstance(value, str) and value.startswith("{") else value


async def sign_in(node: DeveloperNode, email: str, name: str) -> str:
    given = {"email": email, "password": PASSWORD}
    selection = "session { accessToken } errors { code }"
    kind = f"{name[0].upper()}{name[1:]}Input"
    text = f"mutation($input: {kind}!) {{ answer: {name}(input: $input) {{ {selection} }} }}"
    response = await node.http.post("/graphql", json={"query": text, "variables": {"input": given}})
    answer = response.json()["data"]["answer"]
    assert answer["errors"] == []
    return str(answer["session"]["accessToken"])


async def photo_of(database: Database, settings: Settings, token: str) -> str:
    """A photo of whose token it is, as if it had been PUT."""
    claims = orjson.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    actor = Actor("authenticated", UUID(claims["sub"]))
    return f"upload_{await ready_upload(database, open_storage(settings), actor)}"


async def test_10_1_every_call_of_the_pages_is_answered(
    node: DeveloperNode, database: Database, settings: Settings
) -> None:
    email = f"{uuid4().hex}@example.test"
    await sign_in(node, email, "signUp")
    token = await sign_in(node, email, "signIn")
    page = PAGE.read_text()
    actor = await node.make_user(0)
    somebody = Developer(actor, token, node)
    known = {
        "group": str(uuid4().int % 10**9 + 1),
        "key": uuid4().hex,
        "slug": f"s-{uuid4().hex[:12]}",
        "photo": await photo_of(database, settings, token),
    }
    for name, given, selection in MUTATIONS:
        assert f"`{name}" in page, name
        kind = f"{name[0].upper()}{name[1:]}Input"
        text = (
            f"mutation($input: {kind}!) {{ answer: {name}(input: $input) {{"
            f" {selection} errors {{ code message }} }} }}"
        )
        answer = await somebody.ask(text, input=filled(given, known))
        assert answer["errors"] == [], name
        for field, value in answer.items():
            one = value[0] if isinstance(value, list) and value else value
            if isinstance(one, dict) and "id" in one:
                known[field] = one["id"]
    for text in READS:
        asked = text.replace("{slug}", known["slug"]).replace("{product}", known["product"])
        shown = await somebody.ask(asked)
        assert next(iter(shown.values())) is not None, text


def test_5_1_every_edge_function_has_its_place() -> None:
    """Each has a row, and what stands there is a field of the schema or a route."""
    schema, told = build_schema()._schema, {}
    for row in re.findall(r"(?m)^\| (.+) \| (.+) \|$", PAGE.read_text().split("## Calls")[0]):
        told |= dict.fromkeys(re.findall(r"`([^`]+)`", row[0]), row[1])
    missing = [name for name in EDGE_FUNCTIONS if name not in told]
    assert missing == []
    roots = [one for one in (schema.query_type, schema.mutation_type) if one is not None]
    fields = {name for root in roots for name in root.fields}
    routes = {path.partition("{")[0].rstrip("/") for path in openapi_document("")["paths"]}
    for there in told.values():
        for code in re.findall(r"`([^`]+)`", there):
            path = re.search(r"/v1/[a-z/-]+", code)
            called = re.fullmatch(r"([a-z][A-Za-z]+)(\(.*| \{.*)?", code)
            if path:
                assert path[0].rstrip("/") in routes, code
            elif called and (called[2] or called[1] in fields):
                assert called[1] in fields, code


async def test_4_1_4_3_4_5_to_4_7_a_session_is_begun_renewed_and_ended(
    node: DeveloperNode, settings: Settings
) -> None:
    email, sessions = f"{uuid4().hex}@example.test", "{ viewer { sessions { nodes { id } } } }"
    await sign_in(node, email, "signUp")
    token = await sign_in(node, email, "signIn")
    head, claims, _ = token.split(".")
    told = [orjson.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, claims)]
    assert told[0]["typ"] == "at+jwt"
    assert told[1]["exp"] - told[1]["iat"] == settings.access_token_seconds

    async def ask(token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return await node.http.post("/graphql", json={"query": sessions}, headers=headers)

    # One session for each time that they signed up or in.
    shown = (await ask(token)).json()["data"]["viewer"]["sessions"]["nodes"]
    assert len(shown) == 2
    for wrong in (f"{token}x", "nonsense"):
        refused = await ask(wrong)
        assert refused.status_code == 401
        assert refused.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
