"""The catalog: parameters are checked against it, its links work, its prices are in order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette

from db.catalog.operations import note_made_tools
from db.core.actor import Actor
from db.core.pool import Database
from db.core.seeding import SEEDS, seed_names
from db.files.storage import open_storage
from server.catalog_pictures import routes
from settings import Settings, get_settings

from ..conftest import MakeUser
from ..jobs.helpers import ready_upload, wallet
from .conftest import Ask

CREATE = """mutation($tool: ID!, $upload: ID!, $parameters: JSON) {
  createGeneration(input: {toolId: $tool, uploadId: $upload, parameters: $parameters,
    idempotencyKey: "k"}) {
    generation { parameters status creditsCharged } errors { code message path } } }"""
CANARY = "canary-4d2f"
HEX = "color must be a hex colour such as #8b3a62."
NO_STYLE = "There is no such hairstyle. `hairstyles` lists what there is."


@pytest.fixture
async def upload(database: Database, settings: Settings, make_user: MakeUser) -> tuple[Actor, UUID]:
    """A user with two credits, and their photo."""
    actor = await make_user(credits=2)
    return actor, await ready_upload(database, open_storage(settings), actor)


async def create(ask: Ask, upload: tuple[Actor, UUID], tool: str, parameters: Any) -> Any:
    actor, upload_id = upload
    variables = {"tool": tool, "upload": f"upload_{upload_id}", "parameters": parameters}
    return (await ask(CREATE, variables, actor=actor))["data"]["createGeneration"]


PROBLEMS: list[tuple[str, Any, dict[str, str]]] = [
    ("hairstyle", {"hairstyle": CANARY}, {"hairstyle": NO_STYLE}),
    ("hairstyle", {"hairstyle": f"hairstyle_{CANARY}"}, {"hairstyle": NO_STYLE}),
    (
        "hairstyle",
        {"hairstyle": CANARY, CANARY: 1},
        {"": "This tool takes only hairstyle.", "hairstyle": NO_STYLE},
    ),
    (
        "hairstyle",
        {"hairstyle": CANARY * 9},
        {"hairstyle": "hairstyle may have at most 64 characters."},
    ),
    ("hairstyle", {"hairstyle": [CANARY]}, {"hairstyle": "hairstyle must be text."}),
    ("hairstyle", {}, {"hairstyle": "hairstyle is missing."}),
    ("hair-color", {"color": CANARY}, {"color": HEX}),
    ("hair-color", {"color": "#12345g"}, {"color": HEX}),
    ("hair-color", {"color": "#123456\n"}, {"color": HEX}),
    ("hair-color", {"color": 7}, {"color": HEX}),
    (
        "hair-color",
        {CANARY: CANARY},
        {"": "This tool takes only color.", "color": "color is missing."},
    ),
    ("halloween", {CANARY: CANARY}, {"": "This tool takes no parameters."}),
    ("halloween", [CANARY], {"": "parameters must be an object."}),
    ("halloween", CANARY, {"": "parameters must be an object."}),
]


@pytest.mark.parametrize(("tool", "parameters", "problems"), PROBLEMS)
async def test_every_problem_of_parameters_is_told_at_its_place(
    ask: Ask,
    owner: asyncpg.Connection,
    upload: tuple[Actor, UUID],
    tool: str,
    parameters: Any,
    problems: dict[str, str],
) -> None:
    payload = await create(ask, upload, tool, parameters)
    assert payload["generation"] is None
    assert {error["code"] for error in payload["errors"]} == {"BAD_USER_INPUT"}
    found = {".".join(error["path"][2:]): error["message"] for error in payload["errors"]}
    assert found == problems
    assert all(error["path"][:2] == ["input", "parameters"] for error in payload["errors"])
    assert CANARY not in json.dumps(payload)
    assert await wallet(owner, upload[0]) == (2, 0)


@pytest.mark.parametrize(
    ("tool", "parameters", "kept"),
    [
        ("hairstyle", {"hairstyle": "bob"}, {"hairstyle": "bob"}),
        ("hairstyle", {"hairstyle": "hairstyle_bob"}, {"hairstyle": "bob"}),
        ("hair-color", {"color": "#8B3A62"}, {"color": "#8b3a62"}),
    ],
)
async def test_what_the_catalog_has_is_kept_in_one_spelling(
    ask: Ask, upload: tuple[Actor, UUID], tool: str, parameters: Any, kept: Any
) -> None:
    payload = await create(ask, upload, tool, parameters)
    assert payload["errors"] == []
    assert payload["generation"]["parameters"] == kept


async def test_every_row_that_a_schema_points_to_is_looked_up(owner: asyncpg.Connection) -> None:
    rows = await owner.fetch("select id, parameters_schema::text as schema from tools")
    rules = [
        (row["schema"], name, rule["x-catalog"])
        for row in rows
        for name, rule in json.loads(row["schema"]).get("properties", {}).items()
        if "x-catalog" in rule
    ]
    assert [name for _, name, _ in rules] == ["hairstyle"]
    for catalog, key in (("hair_colors", "hex_code"), ("skin_colors", "hex_code"), ("?", "id")):
        rules.append((json.dumps({"properties": {key: {"x-catalog": catalog}}}), key, catalog))
    for schema, name, catalog in rules:
        key = "id" if name == "hairstyle" else "hex_code"
        known = catalog != "?" and await owner.fetchval(f"select {key} from {catalog} limit 1")
        for value, unknown in ((known or "bob", [] if known else [name]), ("nope", [name])):
            found = await owner.fetchval(
                "select app.unknown_references($1::text::jsonb, $2::text::jsonb)",
                schema,
                json.dumps({name: value}),
            )
            assert found == unknown, (catalog, value)


async def test_a_preview_is_told_beforehand_and_costs_nothing(
    ask: Ask, database: Database, owner: asyncpg.Connection, upload: tuple[Actor, UUID]
) -> None:
    shown = "{ tools { id isPreview creditsCost } }"
    await note_made_tools(database, frozenset({"hair-color"}))
    try:
        tools = {tool["id"]: tool for tool in (await ask(shown))["data"]["tools"]}
        hairstyle, hair_color = tools["tool_hairstyle"], tools["tool_hair-color"]
        assert (hairstyle["isPreview"], hairstyle["creditsCost"]) == (True, 0)
        assert (hair_color["isPreview"], hair_color["creditsCost"]) == (False, 1)
        payload = await create(ask, upload, "hairstyle", {"hairstyle": "bob"})
        assert payload["errors"] == []
        assert await wallet(owner, upload[0]) == (2, 0)
    finally:
        await note_made_tools(database, None)
    assert not any(tool["isPreview"] for tool in (await ask(shown))["data"]["tools"])


async def test_the_plans_come_cheapest_first_and_a_price_on_request_is_null(ask: Ask) -> None:
    plans = (await ask("{ plans { id price { amountCents currency } } }"))["data"]["plans"]
    amounts = [plan["price"]["amountCents"] for plan in plans if plan["price"]]
    assert amounts == sorted(amounts) == [0, 1000]
    assert plans[-1] == {"id": "plan_enterprise", "price": None}


@pytest.fixture
async def pictures() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the pictures that seeds come with."""
    transport = httpx.ASGITransport(Starlette(routes=routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.parametrize("seed", seed_names())
async def test_every_link_that_a_seed_ships_answers(seed: str, pictures: httpx.AsyncClient) -> None:
    tables = json.loads((SEEDS / f"{seed}.json").read_text())
    links = [
        value
        for rows in tables.values()
        for row in rows
        for name, value in row.items()
        if name.endswith("_url") and value
    ]
    assert len(links) == len(set(links)) >= 12
    for link in links:
        answer = await pictures.get(link)
        assert answer.status_code == 200, link
        assert answer.headers["content-type"] == "image/webp"
        assert answer.headers["cache-control"] == "public, max-age=86400"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.content[8:12] == b"WEBP"
    for wrong in ("/catalog/hairstyles/nope.webp", "/catalog/../demo.json", "/catalog/"):
        assert (await pictures.get(wrong)).status_code == 404


async def test_links_are_whole_where_clients_reach_the_server(
    ask: Ask, owner: asyncpg.Connection
) -> None:
    rows = (await ask("{ hairstyles { imageUrl } }"))["data"]["hairstyles"]
    links = [row["imageUrl"] for row in rows]
    assert links
    assert all(urlsplit(link).scheme for link in links)
    assert f"{get_settings().base_url}/catalog/hairstyles/bob.webp" in links
    set_cover = "update tools set cover_image_url = $1 where id = 'age'"
    await owner.execute(set_cover, "https://cdn.test/a.jpg")
    try:
        tools = (await ask("{ tools { id coverImageUrl } }"))["data"]["tools"]
        covers = {tool["id"]: tool["coverImageUrl"] for tool in tools}
        assert covers["tool_age"] == "https://cdn.test/a.jpg"
        assert covers["tool_hair-color"] is None
    finally:
        await owner.execute(set_cover, None)
