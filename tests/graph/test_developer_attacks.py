"""What strangers try at the API of developers: guessing, flooding, hostile requests (5.4, 5.6)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from auth.developer_keys import UNKNOWN_PER_MINUTE, DeveloperKeys
from db.core.pool import Database
from db.licences.keys import new_key
from db.licences.operations import LicensedProduct
from graph.shared.known_answers import MACHINES_KNOWN, KnownAnswer, KnownAnswers
from graph.shared.licence_checks import LicenceChecks
from server.developer_api.request_log import RequestLog
from settings import Settings
from tests.conftest import MakeUser

from .developing import LATER, DeveloperNode, developer_node

CANARY = "canary4711"
CREATE = """mutation($input: CreateLicencesInput!) { answer: createLicences(input: $input) {
  licences { id } errors { code path } } }"""
CREATE_KEY = """mutation($input: CreateDeveloperKeyInput!) {
  answer: createDeveloperKey(input: $input) { secret errors { code path } } }"""
EXTEND = """mutation($id: ID!) { answer: extendLicence(input: {id: $id, days: 36500}) {
  licence { expiresAt } errors { code path } } }"""


@pytest.fixture
async def node(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[DeveloperNode]:
    async with developer_node(database, settings, make_user, owner) as node:
        await owner.execute(
            "insert into plans (id, name, monthly_credits, max_daily_credits, price_cents,"
            " sort_order) values ('tireless', 'Tireless', 0, 0, null, 900) on conflict do nothing"
        )
        await owner.execute(
            "insert into developer_tiers values ('tireless', 1000000, -1, -1, 'DAY', 9)"
            " on conflict do nothing"
        )
        yield node


def hostile(product: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Requests that no program of a developer sends."""
    entry = {"product_id": product, "roblox_user_id": 1, "expiry_date": LATER}
    many = "9" * 5_000
    found: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v1/verify", {"content": b"[" * 60_000}),
        ("POST", "/v1/verify", {"content": b'{"a":' * 10_000 + b"1" + b"}" * 10_000}),
        ("POST", "/v1/verify", {"content": b'{"roblox_user_id": 1' + b"0" * 5_000 + b"}"}),
        ("POST", "/v1/verify", {"content": b"\xff\xfe\x00"}),
        ("POST", "/v1/verify", {"content": b'{"license_key": "\\u0000", "product_id": "\\ud800"}'}),
        ("POST", "/v1/verify", {"content": b"null"}),
        ("GET", "/v1/whitelist", {"params": {"product_id": product, "discord_id": "\x00"}}),
        ("GET", "/v1/whitelist", {"params": {"product_id": product, "page": "9" * 30}}),
        ("GET", "/v1/whitelist", {"params": {"product_id": product, "page": "10001"}}),
        ("GET", "/v1/whitelist", {"params": {"product_id": product, "limit": "101"}}),
        ("GET", "/v1/whitelist", {"params": {"product_id": product, "limit": "0"}}),
        ("GET", "/v1/whitelist", {"params": {"product_id": "developerProduct_%"}}),
        ("GET", "/v1/whitelist", {"params": {"product_id": "' or true --"}}),
        ("GET", f"/v1/products/%25?x={CANARY}", {}),
        ("GET", "/v1/products/..%2f..%2fkeys", {}),
        ("DELETE", "/v1/whitelist/whitelistEntry_%25", {}),
        ("DELETE", f"/v1/products/user_{uuid4()}", {}),
        ("POST", "/v1/whitelist/bulk-remove", {"json": {"whitelist_ids": ["x"] * 1_001}}),
        ("POST", "/v1/whitelist/bulk-remove", {"json": {"whitelist_ids": [{}]}}),
        ("POST", "/v1/obfuscations", {"headers": {"idempotency-key": b"\xff" * 10}}),
        ("GET", "/v1/verify", {"params": {"roblox_user_id": many, "roblox_group_id": "1"}}),
        ("POST", "/v1/products", {"json": {"product_name": "\x00", "roblox_group_id": 5}}),
        (
            "POST",
            "/v1/products",
            {"json": {"product_name": "x", "roblox_group_id": 5, "description": "\x00"}},
        ),
    ]
    for value in (many, -1, 2**63, 1.5, True, [CANARY], {CANARY: CANARY}, CANARY):
        found += [("POST", "/v1/whitelist", {"json": {**entry, name: value}}) for name in entry]
    return found


async def test_5_6_hostile_requests_are_refused_in_words_and_change_nothing(
    node: DeveloperNode,
) -> None:
    developer = await node.developer(tier="tireless")
    product = await developer.product()
    params = {"product_id": product["id"]}
    for method, path, options in hostile(product["id"]):
        began = time.monotonic()
        response = await developer.rest(method, path, **options)
        told = response.json()
        sent = (method, path, str(options)[:80], told)
        assert 400 <= response.status_code < 500, sent
        assert told["success"] is False, sent
        assert told["request_id"] == response.headers["x-request-id"], sent
        assert CANARY not in response.text, sent
        assert "None" not in told["error"]["message"], sent
        assert time.monotonic() - began < 2, sent
    # A wildcard is a text like any other.
    await developer.put_on_whitelist(product, 5)
    found = await developer.data("GET", "/v1/whitelist", params={**params, "discord_id": "%"})
    assert (found["entries"], found["total"]) == ([], 0)
    last = await developer.data("GET", "/v1/whitelist", params={**params, "page": "10000"})
    assert (last["entries"], last["total"]) == ([], 1)
    # The last moment that there is can be stored, shown and verified.
    await developer.put_on_whitelist(product, 6, "9999-12-31T23:59:59.999999Z")
    asked = {"roblox_user_id": 6, "roblox_group_id": product["roblox_group_id"]}
    verified = await developer.data("POST", "/v1/verify", json=asked)
    assert verified == {"whitelisted": True, "expiry_date": "9999-12-31T23:59:59.999999Z"}
    assert (await developer.data("GET", "/v1/whitelist", params=params))["total"] == 2


async def test_5_keys_cannot_be_tried_in_any_number(node: DeveloperNode) -> None:
    developer, guesser = await node.developer(), await node.developer()
    assert (await developer.rest("GET", "/v1/usage")).status_code == 200
    statuses = []
    for _ in range(UNKNOWN_PER_MINUTE + 5):
        guesser.key = f"vb_{uuid4().hex}"
        statuses.append((await guesser.rest("GET", "/v1/usage")).status_code)
    assert set(statuses[:-10]) == {401}
    assert statuses[-1] == 429
    # What looks like no key is refused without a look at the database, and counts for nothing.
    guesser.key = "vb_' or 1=1 --"
    assert (await guesser.rest("GET", "/v1/usage")).status_code == 401
    # A key that is in use goes on.
    assert (await developer.rest("GET", "/v1/usage")).status_code == 200
    keys = node.server.services.of(DeveloperKeys.of)
    assert len(keys._known) <= 2


async def test_5_a_strangers_key_learns_nothing_of_licences_and_uses_none(
    node: DeveloperNode,
) -> None:
    developer, stranger = await node.developer(), await node.developer()
    product = await developer.product()
    (licence,) = await developer.licences(product, maxActivations=1)
    answers = []
    for key in (licence["key"], new_key()):
        body = {"license_key": key, "product_id": product["id"], "machine_id": "PC"}
        response = await stranger.rest("POST", "/v1/verify", json=body)
        answers.append((response.status_code, response.json()["error"]))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    body = {"license_key": licence["key"], "product_id": product["id"], "machine_id": "My own"}
    mine = await developer.data("POST", "/v1/verify", json=body)
    assert (mine["valid"], mine["activations"]) == (True, 1)
    unknown = await developer.data("POST", "/v1/verify", json={**body, "license_key": new_key()})
    assert (unknown["valid"], unknown["status"]) == (False, "unknown")


async def test_5_an_idempotency_key_that_is_forgotten_makes_no_second_of_the_same(
    node: DeveloperNode,
) -> None:
    developer = await node.developer(tier="tireless")
    product, key = await developer.product(), uuid4().hex
    licences = {"productId": product["id"], "count": 2, "idempotencyKey": key}
    named = {"name": "First", "idempotencyKey": key}
    assert (await developer.ask(CREATE, input=licences))["errors"] == []
    assert (await developer.ask(CREATE_KEY, input=named))["errors"] == []
    # As after 30 days.
    await node.owner.execute(
        "delete from idempotency_keys where user_id = $1", developer.actor.user_id
    )
    conflict = [{"code": "IDEMPOTENCY_CONFLICT", "path": ["input", "idempotencyKey"]}]
    assert (await developer.ask(CREATE, input=licences))["errors"] == conflict
    again = await developer.ask(CREATE_KEY, input={**named, "name": "Second"})
    assert again["errors"] == conflict


async def test_5_a_licence_ends_in_the_year_9999_at_the_latest(node: DeveloperNode) -> None:
    developer = await node.developer(tier="tireless")
    product = await developer.product()
    (licence,) = await developer.licences(product, expiresAt="9900-01-01T00:00:00Z")
    too_late = await developer.ask(EXTEND, id=licence["id"])
    if not too_late["errors"]:
        too_late = await developer.ask(EXTEND, id=licence["id"])
    assert too_late["errors"] == [{"code": "BAD_USER_INPUT", "path": ["input", "days"]}]
    body = {"license_key": licence["key"], "product_id": product["id"]}
    assert (await developer.data("POST", "/v1/verify", json=body))["valid"]


async def test_5_5_a_flood_that_is_refused_fills_no_history(node: DeveloperNode) -> None:
    developer = await node.developer(tier="free")
    statuses = [(await developer.rest("GET", "/v1/products")).status_code for _ in range(40)]
    await node.server.services.of(RequestLog.of).write()
    kept = await node.owner.fetch(
        "select status_code from api_request_logs where user_id = $1", developer.actor.user_id
    )
    codes = [row["status_code"] for row in kept]
    assert codes.count(200) == statuses.count(200)
    assert codes.count(429) == 1


async def test_4_deleting_a_product_ends_its_licences_at_once(node: DeveloperNode) -> None:
    developer = await node.developer(tier="tireless")
    product = await developer.product()
    (licence,) = await developer.licences(product)
    checks = node.server.services.of(LicenceChecks.of)

    async def status() -> str:
        return str((await checks.check_key(licence["key"], LicensedProduct(), None, "here")).status)

    for _ in range(4):
        assert await status() == "VALID"
    assert len(checks) == 1
    assert (await developer.rest("DELETE", f"/v1/products/{product['id']}")).status_code == 204
    began = time.monotonic()
    while await status() != "UNKNOWN":
        assert time.monotonic() - began < 1
    # Unknown keys are kept by nobody.
    for n in range(20):
        await checks.check_key(new_key(), LicensedProduct(), None, f"network {n}")
    assert len(checks) == 0


def test_what_is_known_is_bounded_and_goes_by_what_it_is_about() -> None:
    answers = KnownAnswers[int](3)
    entities = [uuid4() for _ in range(5)]
    for n, entity in enumerate(entities[:3]):
        answers.keep(n, KnownAnswer(n, entity, 10.0))
    assert answers.get(0, now=9.0)
    # The one that was not asked for the longest goes.
    answers.keep(3, KnownAnswer(3, entities[3], 10.0))
    assert [bool(answers.get(n, now=9.0)) for n in range(4)] == [True, False, True, True]
    assert answers.get(0, now=10.0) is None
    answers.keep(4, KnownAnswer(4, entities[3], 10.0))
    answers.keep(4, KnownAnswer(5, entities[4], 10.0))
    answers.forget(entities[3])
    assert answers.get(4, now=0.0)
    assert answers.get(3, now=0.0) is None
    assert len(answers._by_entity) == len(answers) <= 3
    known = KnownAnswer(1, entities[0], 1.0)
    for n in range(MACHINES_KNOWN + 50):
        known.know_machine(b"%d" % n)
    assert len(known.machines) == MACHINES_KNOWN
    answers.clear()
    assert (len(answers), answers._by_entity) == (0, {})
