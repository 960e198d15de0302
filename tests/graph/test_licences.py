"""Licences: redeemed once, verified from memory, banned everywhere at once (6.3, 8.2)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.pool import Database
from db.files.storage import open_storage
from db.licences.keys import ALPHABET, key_of, new_key, written_key
from graph.live.bus import WakeBus
from graph.shared.licence_checks import UNKNOWN_PER_MINUTE, LicenceChecks
from server.app import Server
from server.remembered_answers import RememberedAnswers
from settings import Settings
from tests.conftest import MakeUser

from .developing import Developer, DeveloperNode, developer_node

VERIFY = """mutation($input: VerifyLicenceInput!) { answer: verifyLicence(input: $input) {
  valid status expiresAt activations maxActivations errors { code path } } }"""
REDEEM = """mutation($input: RedeemLicenceInput!) { answer: redeemLicence(input: $input) {
  licence { id status key discordId robloxId expiresAt } errors { code path } } }"""
BAN = """mutation($input: BanLicenceInput!) { answer: banLicence(input: $input) {
  licence { status banReason } errors { code } } }"""
EXTEND = """mutation($input: ExtendLicenceInput!) { answer: extendLicence(input: $input) {
  licence { expiresAt } errors { code path } } }"""
TRANSFER = """mutation($input: TransferLicenceInput!) { answer: transferLicence(input: $input) {
  licence { discordId robloxId activationCount } errors { code path } } }"""
CREATE = """mutation($input: CreateLicencesInput!) { answer: createLicences(input: $input) {
  licences { id key } errors { code path } } }"""
# Look-ups of bots and machines, and the keys that find a row (8.2); sealed ones by a blind index.
INDEXED = (
    ("licences", "discord_id"),
    ("licences", "roblox_id"),
    ("licences", "key_hash"),
    ("whitelist_entries", "discord_id"),
    ("whitelist_entries", "roblox_id"),
    ("whitelist_users", "discord_id"),
    ("whitelist_users", "roblox_id"),
    ("whitelist_users", "key_hash"),
    ("developer_keys", "secret_hash"),
    ("api_keys", "prefix"),
)


@pytest.fixture
async def node(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[DeveloperNode]:
    async with developer_node(database, settings, make_user, owner) as node:
        yield node


@pytest.fixture
async def seller(node: DeveloperNode) -> Developer:
    return await node.developer(tier="enterprise")


async def test_8_2_look_ups_have_an_index_that_begins_with_their_column(
    owner: asyncpg.Connection,
) -> None:
    rows = await owner.fetch("""
        select t.relname, a.attname from pg_index i
        join pg_class t on t.oid = i.indrelid
        join pg_attribute a on a.attrelid = t.oid and a.attnum = i.indkey[0]
        where i.indisvalid
    """)
    assert set(INDEXED) <= {(row["relname"], row["attname"]) for row in rows}


def test_keys_have_sixteen_signs_of_thirty_two() -> None:
    assert len(set(ALPHABET)) == 32
    assert not set("IO01") & set(ALPHABET)
    key = new_key()
    assert [len(group) for group in key.split("-")] == [4, 4, 4, 4]
    assert written_key(f" {key.lower().replace('-', '')} ") == key
    assert key_of(0) == "AAAA-AAAA-AAAA-AAAA"
    for wrong in ("", "ABCD", key[:-1] + "0", key + "A", "I" * 16):
        assert written_key(wrong) is None


async def test_6_3_of_fifty_who_redeem_a_key_one_does(
    node: DeveloperNode, seller: Developer
) -> None:
    product = await seller.product()
    (licence,) = await seller.licences(product, durationDays=30)
    people = [await node.make_user(0) for _ in range(50)]

    async def redeem(n: int) -> Any:
        somebody = Developer(people[n], node.token(people[n]), node)
        return await somebody.ask(REDEEM, input={"key": licence["key"].lower()})

    answers = await asyncio.gather(*(redeem(n) for n in range(50)))
    won = [one["licence"] for one in answers if not one["errors"]]
    assert len(won) == 1
    assert (won[0]["status"], won[0]["key"]) == ("REDEEMED", licence["key"])
    assert won[0]["expiresAt"] is not None
    codes = {error["code"] for one in answers for error in one["errors"]}
    assert codes <= {"INVALID_STATE", "NOT_FOUND"}


async def test_6_3_a_bot_redeems_for_somebody_and_may_ask_again(
    node: DeveloperNode, seller: Developer
) -> None:
    product = await seller.product()
    (licence,) = await seller.licences(product)
    asked = {"key": licence["key"], "discordId": "123456789012345678", "robloxId": "42"}
    first = await seller.ask(REDEEM, input=asked)
    assert first["errors"] == []
    assert (first["licence"]["discordId"], first["licence"]["robloxId"]) == (
        asked["discordId"],
        asked["robloxId"],
    )
    assert await seller.ask(REDEEM, input=asked) == first
    other = await seller.ask(REDEEM, input={**asked, "discordId": "876543210987654321"})
    assert other["errors"] == [{"code": "INVALID_STATE", "path": ["input", "key"]}]
    unknown = await seller.ask(REDEEM, input={"key": new_key()})
    assert unknown["errors"][0]["code"] == "NOT_FOUND"


async def test_4_licences_are_verified_with_their_machines(
    node: DeveloperNode, seller: Developer
) -> None:
    product = await seller.product()
    (licence,) = await seller.licences(product, maxActivations=2)
    asked = {"key": licence["key"], "productId": product["id"]}

    async def on(machine: str) -> Any:
        return await seller.ask(VERIFY, input={**asked, "machineId": machine})

    answers = await asyncio.gather(*(on(f"machine {n}") for n in range(6)))
    assert sorted(one["status"] for one in answers) == ["MAX_ACTIVATIONS"] * 4 + ["VALID"] * 2
    known = next(n for n, one in enumerate(answers) if one["valid"])
    again = await on(f"machine {known}")
    assert (again["valid"], again["maxActivations"]) == (True, 2)
    by_rest = await seller.data(
        "POST",
        "/v1/verify",
        json={"license_key": licence["key"], "product_id": product["id"], "machine_id": "new"},
    )
    assert (by_rest["valid"], by_rest["status"]) == (False, "max_activations")
    elsewhere = await seller.ask(VERIFY, input={**asked, "productId": "product_nothing"})
    assert (elsewhere["valid"], elsewhere["status"]) == (False, "UNKNOWN")
    moved = await seller.ask(TRANSFER, input={"id": licence["id"], "robloxId": "7"})
    # Nobody has redeemed it, so it is not anybody's to hand on.
    assert moved["errors"][0]["code"] == "INVALID_STATE"
    await seller.ask(REDEEM, input={"key": licence["key"], "robloxId": "6"})
    moved = await seller.ask(TRANSFER, input={"id": licence["id"], "robloxId": "7"})
    assert moved["licence"] == {"discordId": None, "robloxId": "7", "activationCount": 0}


async def test_4_a_ban_is_known_at_once_here_and_within_a_second_elsewhere(
    node: DeveloperNode, seller: Developer, database: Database, settings: Settings
) -> None:
    product = await seller.product()
    (licence,) = await seller.licences(product)
    other = Server(settings, database, open_storage(settings), WakeBus.memory())
    await other.start()
    try:
        checks = other.services.of(LicenceChecks.of)

        async def elsewhere() -> str:
            from graph.licences import LicensedProduct

            key, unknown = licence["key"], LicensedProduct()
            return str((await checks.check_key(key, unknown, None, "a network")).status)

        asked = {"key": licence["key"]}
        # The other server answers from memory, once it has read its log. Nobody wakes it.
        deadline = time.monotonic() + 5
        while not len(checks):
            assert (await seller.ask(VERIFY, input=asked))["valid"]
            assert await elsewhere() == "VALID"
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        banned = await seller.ask(BAN, input={"id": licence["id"], "reason": "A chargeback."})
        assert banned["licence"] == {"status": "BANNED", "banReason": "A chargeback."}
        began = time.monotonic()
        assert (await seller.ask(VERIFY, input=asked))["status"] == "BANNED"
        while True:
            asked_seconds = time.monotonic() - began
            if await elsewhere() == "BANNED":
                break
            assert asked_seconds < 1
            await asyncio.sleep(0.02)
        lifted = await seller.ask(BAN, input={"id": licence["id"], "banned": False})
        assert lifted["licence"]["status"] == "AVAILABLE"
        assert (await seller.ask(VERIFY, input=asked))["valid"]
    finally:
        await other.stop()


async def test_4_the_same_question_without_a_session_is_answered_from_memory_while_that_holds(
    node: DeveloperNode, seller: Developer, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = await seller.product()
    banned, expiring = await seller.licences(product, 2)
    answers: RememberedAnswers = node.server.http.remembered
    charged: list[int] = []
    charge = node.server.services.queries.charge

    def noted(actor: Actor, network: str, cost: int) -> None:
        charged.append(cost)
        charge(actor, network, cost)

    monkeypatch.setattr(node.server.services.queries, "charge", noted)

    async def asked(document: str, licence: dict[str, Any]) -> Any:
        variables = {"input": {"key": licence["key"]}}
        answer = await node.http.post("/graphql", json={"query": document, "variables": variables})
        return answer.json()

    deadline = time.monotonic() + 5
    while not answers:
        first = await asked(VERIFY, banned)
        assert first["data"]["answer"]["valid"]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    charged.clear()
    assert [await asked(VERIFY, banned) for _ in range(20)] == [first] * 20
    assert charged == [charged[0]] * 20
    assert charged[0] > 0
    await seller.ask(BAN, input={"id": banned["id"]})
    assert (await asked(VERIFY, banned))["data"]["answer"]["status"] == "BANNED"
    # What does or reads something besides is not remembered.
    again = VERIFY.replace("answer: verifyLicence", "answer").replace("answer(", "verifyLicence(")
    others = (
        VERIFY.replace("valid status", "viewer { id } status"),
        f'{VERIFY[:-1]} other: verifyLicence(input: {{key: "{expiring["key"]}"}}) {{ valid }} }}',
        again,
    )
    for document, is_remembered in zip(others, (False, False, True), strict=True):
        known = len(answers)
        await asyncio.sleep(0.3)
        told = [await asked(document, banned) for _ in range(4)]
        assert told == [told[0]] * 4
        assert (len(answers) > known) == is_remembered, document
    await node.owner.execute(
        "update licences set expires_at = clock_timestamp() + interval '1 second' where id = $1",
        expiring["id"].removeprefix("licence_"),
    )
    while (await asked(VERIFY, expiring))["data"]["answer"]["status"] == "VALID":
        assert time.monotonic() < deadline + 5
        await asyncio.sleep(0.05)
    assert (await asked(VERIFY, expiring))["data"]["answer"]["status"] == "EXPIRED"


async def test_1_5_a_process_without_a_key_in_use_says_so_and_finds_no_licence_unknown(
    node: DeveloperNode, seller: Developer
) -> None:
    product = await seller.product()
    (licence,) = await seller.licences(product)

    async def verified(key: str, document: str = VERIFY) -> str:
        answer = await node.http.post(
            "/graphql",
            json={"query": document, "variables": {"input": {"key": key}}},
            headers={"authorization": f"Bearer {seller.token}"},
        )
        told = answer.json()
        if "errors" in told:
            return str(told["errors"][0]["extensions"]["code"])
        errors = told["data"]["answer"]["errors"]
        return str(errors[0]["code"] if errors else told["data"]["answer"].get("status"))

    async def becomes(expected: tuple[str, str, int]) -> None:
        deadline = time.monotonic() + 10
        while True:
            unknown = new_key()
            ready = (await node.http.get("/readyz")).status_code
            found = await verified(unknown), await verified(unknown, REDEEM), ready
            if found == expected:
                return
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.1)

    await becomes(("UNKNOWN", "NOT_FOUND", 200))
    head = "02000927c0" + "f" * 8
    await node.owner.execute("insert into vault_keys (head, rounds) values ($1, 600000)", head)
    try:
        await becomes(("SERVICE_UNAVAILABLE", "SERVICE_UNAVAILABLE", 503))
        assert await verified(licence["key"]) == "VALID"
    finally:
        await node.owner.execute("delete from vault_keys where head = $1", head)
    await becomes(("UNKNOWN", "NOT_FOUND", 200))


async def test_4_who_guesses_keys_stops_no_developer_behind_the_same_address(
    node: DeveloperNode, seller: Developer
) -> None:
    product = await seller.product()
    licences = await seller.licences(product, 3)

    async def asked(key: str) -> Any:
        body = {"query": VERIFY, "variables": {"input": {"key": key}}}
        return (await node.http.post("/graphql", json=body)).json()

    for _ in range(UNKNOWN_PER_MINUTE + 5):
        # What cannot be a key is looked for nowhere, and not counted.
        assert (await asked("AAAA-0000"))["data"]["answer"]["status"] == "UNKNOWN"
    told = [await asked(new_key()) for _ in range(UNKNOWN_PER_MINUTE + 5)]
    assert told[0]["data"]["answer"]["status"] == "UNKNOWN"
    assert told[-1]["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    by_rest = {"license_key": licences[0]["key"], "product_id": product["id"]}
    assert (await seller.data("POST", "/v1/verify", json=by_rest))["valid"]


async def test_4_a_licence_expires_and_is_extended(node: DeveloperNode, seller: Developer) -> None:
    product = await seller.product()
    (licence,) = await seller.licences(product, expiresAt="2199-01-01T00:00:00Z")
    await node.owner.execute(
        "update licences set expires_at = now() - interval '1 second' where id = $1",
        licence["id"].removeprefix("licence_"),
    )
    asked = {"key": licence["key"]}
    assert (await seller.ask(VERIFY, input=asked))["status"] == "EXPIRED"
    extended = await seller.ask(EXTEND, input={"id": licence["id"], "days": 3})
    assert extended["licence"]["expiresAt"] > "2026"
    await asyncio.sleep(0.3)
    assert (await seller.ask(VERIFY, input=asked))["valid"]
    both = {"id": licence["id"], "days": 3, "expiresAt": "2199-01-01T00:00:00Z"}
    assert (await seller.ask(EXTEND, input=both))["errors"][0]["code"] == "BAD_USER_INPUT"
    for_ever = await seller.ask(EXTEND, input={"id": licence["id"]})
    assert for_ever["licence"]["expiresAt"] is None


async def test_4_the_same_idempotency_key_gives_the_same_keys_and_no_more(
    node: DeveloperNode, seller: Developer
) -> None:
    product, key = await seller.product(), uuid4().hex
    asked = {"productId": product["id"], "count": 20, "idempotencyKey": key}
    one, other = await asyncio.gather(
        seller.ask(CREATE, input=asked), seller.ask(CREATE, input=asked)
    )
    assert one == other
    assert len({licence["key"] for licence in one["licences"]}) == 20
    conflict = await seller.ask(CREATE, input={**asked, "count": 21})
    assert conflict["errors"][0]["code"] == "IDEMPOTENCY_CONFLICT"
    stranger = await node.developer()
    theirs = await stranger.ask(CREATE, input={**asked, "idempotencyKey": "x"})
    assert theirs["errors"] == [{"code": "NOT_FOUND", "path": ["input", "productId"]}]
    stored = await node.owner.fetchval(
        "select count(*) from licences l where l::text like '%' || $1 || '%'",
        one["licences"][0]["key"],
    )
    assert stored == 0


async def test_4_whoever_is_put_on_a_whitelist_is_known_at_once(
    node: DeveloperNode, seller: Developer
) -> None:
    product = await seller.product()
    asked = {"robloxId": "5", "productId": product["id"]}
    for _ in range(3):
        assert (await seller.ask(VERIFY, input=asked))["status"] == "UNKNOWN"
    entry = await seller.put_on_whitelist(product, 5)
    began = time.monotonic()
    while not (await seller.ask(VERIFY, input=asked))["valid"]:
        assert time.monotonic() - began < 1
        await asyncio.sleep(0.01)
    await seller.rest("DELETE", f"/v1/whitelist/{entry['id']}")
    began = time.monotonic()
    while (await seller.ask(VERIFY, input=asked))["valid"]:
        assert time.monotonic() - began < 1
        await asyncio.sleep(0.01)


async def test_4_what_cannot_be_verified_is_refused(node: DeveloperNode, seller: Developer) -> None:
    for given, path in (
        ({}, ["input", "key"]),
        ({"key": "x", "robloxId": "5"}, ["input", "key"]),
        ({"robloxId": "5"}, ["input", "productId"]),
        ({"robloxId": "-5", "productId": "developerProduct_x"}, ["input", "productId"]),
        ({"key": "x", "machineId": ""}, ["input", "machineId"]),
    ):
        answer = await seller.ask(VERIFY, input=given)
        assert answer["errors"][0]["path"] == path, given
    assert (await seller.ask(VERIFY, input={"key": "not a key"}))["status"] == "UNKNOWN"
