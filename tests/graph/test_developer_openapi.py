"""The API of developers is what its OpenAPI document says (5.1, 5.6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from jsonschema import Draft202012Validator
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from db.core.pool import Database
from server.developer_api.answers import refusal_told
from server.developer_api.asking import DeveloperApi
from server.developer_api.routes import endpoints
from settings import Settings
from tests.conftest import MakeUser

from .developing import Developer, DeveloperNode, developer_node

SHORT, LONG = 2, 100


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


async def document_of(node: DeveloperNode) -> dict[str, Any]:
    response = await node.http.get("/v1/openapi.json")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


async def test_5_1_every_route_is_described_and_nothing_else(node: DeveloperNode) -> None:
    document = await document_of(node)
    api = DeveloperApi(node.server.services, node.server.engine)
    served = {path: {name.lower() for name in methods} for path, methods in endpoints(api).items()}
    assert {path: set(methods) for path, methods in document["paths"].items()} == served


@pytest.mark.parametrize(
    ("name", "is_good"),
    [("My Game Ü", True), ("遊戲", True), ("x", True), (" ", False), ("a\nb", False)],
)
async def test_5_1_a_name_that_the_server_takes_is_one_of_the_documents(
    node: DeveloperNode, name: str, is_good: bool
) -> None:
    document = await document_of(node)
    body = document["paths"]["/v1/products"]["post"]["requestBody"]["content"]["application/json"]
    sent = {"product_name": name, "roblox_group_id": 2**53 + 1}
    assert Draft202012Validator(body["schema"]).is_valid(sent) is is_good
    developer = await node.developer()
    answer = await developer.rest("POST", "/v1/products", json=sent)
    assert answer.status_code == (201 if is_good else 400)


async def test_5_6_a_refusal_speaks_of_fields_as_they_are_sent(node: DeveloperNode) -> None:
    developer = await node.developer()
    product = await developer.product(proven=False)
    entry = {"product_id": product["id"], "roblox_user_id": 1, "discord_id": "1" * 18}
    past = {"expiry_date": "2020-01-01T00:00:00Z"}
    answer = await developer.rest("POST", "/v1/whitelist", json=entry | past)
    assert (answer.status_code, answer.json()["error"]["details"]) == (
        400,
        {"field": "expiry_date"},
    )
    assert "expiry_date" in answer.json()["error"]["message"]
    packed = {"Content-Encoding": "gzip"}
    answer = await developer.rest("POST", "/v1/products", content=b"\x1f\x8b", headers=packed)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    unnamed = {"product_name": "a\nb", "roblox_group_id": 1}
    answer = await developer.rest("POST", "/v1/products", json=unnamed)
    error = answer.json()["error"]
    assert (error["code"], error["details"]) == ("INVALID_REQUEST", {"field": "product_name"})
    assert error["message"].startswith("product_name must be one line")


@pytest.mark.parametrize(
    "media", ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=latin1"]
)
async def test_5_6_a_body_that_is_said_to_be_no_json_is_415(
    node: DeveloperNode, media: str
) -> None:
    developer = await node.developer()
    for path in ("/v1/products", "/v1/verify", "/v1/obfuscations"):
        answer = await developer.rest("POST", path, content=b"{}", headers={"Content-Type": media})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    # What needs no body needs no type.
    assert (await developer.rest("POST", "/v1/obfuscations")).status_code < 400


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("Call `proveDeveloperProduct`.", "Call `POST /v1/products/{id}/prove`."),
        ("robloxGroupId and productId", "roblox_group_id and product_id"),
        ("Your name stays.", "Your name stays."),
    ],
)
def test_5_6_a_message_speaks_the_names_of_rest(told: str, expected: str) -> None:
    assert refusal_told("BAD_USER_INPUT", told, None).message == expected
    assert "POST /v1/credits" in refusal_told("INSUFFICIENT_CREDITS", told, None).message


SENT: list[str] = []


def checking(url: str, headers: dict[str, str]) -> Callable[[Case], None]:
    """Sends a request, and compares the answer with the document."""

    def check(case: Case) -> None:
        SENT.append(case.path)
        # No document can say that a time is in the future, or an id the developer's own.
        case.call_and_validate(
            base_url=url,
            headers=headers,
            timeout=20,
            excluded_checks=[positive_data_acceptance],
        )

    return check


def check_all(document: dict[str, Any], url: str, developer: Developer, most: int) -> int:
    """Sends generated requests to every operation; gives how many."""
    schema = schemathesis.openapi.from_dict(document)
    SENT.clear()
    for found in schema.get_all_operations():
        operation = found.ok()
        by_session = operation.path.startswith("/v1/keys")
        headers = (
            {"Authorization": f"Bearer {developer.token}"}
            if by_session
            else {"X-API-Key": developer.key}
        )

        check = checking(url, headers)
        for mode in GenerationMode:
            strategy = operation.as_strategy(generation_mode=mode)
            bounded = examples(
                max_examples=most,
                deadline=None,
                database=None,
                derandomize=True,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            )
            bounded(given(case=strategy)(check))()
    return len(SENT)


async def run(node: DeveloperNode, most: int) -> int:
    developer = await node.developer(tier="tireless")
    await developer.product()
    document = await document_of(node)
    url = str(node.http.base_url).rstrip("/")
    return await asyncio.to_thread(check_all, document, url, developer, most)


async def test_5_6_generated_requests_find_no_fault(node: DeveloperNode) -> None:
    assert await run(node, SHORT) > 40


@pytest.mark.nightly
async def test_5_6_very_many_generated_requests_find_no_fault(node: DeveloperNode) -> None:
    assert await run(node, LONG) > 1_000
