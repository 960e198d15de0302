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
from db.core.seeding import load_seed, read_seed, seed_names
from db.embedded.database import EmbeddedDatabase
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
HEX = "color must be a hex colour such as #4e342e."
NO_STYLE = "There is no such style. `hairstyles` lists what there is."
HEX_TONE = "skinTone must be a hex colour such as #d1a368."
BEARDS = "beardStyle must be one of Clean Shaven, Stubble, Goatee."
COSTUMES = "halloweenStyle must be one of face only, whole figure, add objects."
FREE, PRO = "female-short-1", "female-short-2"


@pytest.fixture
async def upload(database: Database, settings: Settings, make_user: MakeUser) -> tuple[Actor, UUID]:
    """A user with two credits, and their photo."""
    actor = await make_user(credits=2)
    return actor, await ready_upload(database, open_storage(settings), actor)


async def create(ask: Ask, upload: tuple[Actor, UUID], tool: str, parameters: Any) -> Any:
    actor, upload_id = upload
    variables = {"tool": tool, "upload": f"upload_{upload_id}", "parameters": parameters}
    return (await ask(CREATE, variables, actor=actor))["data"]["createGeneration"]


STYLE_ONLY = "This tool takes only color, style."
ANY_HEX = "#12abCD"
PROBLEMS: list[tuple[str, Any, dict[str, str]]] = [
    ("hairstyle", {"style": CANARY}, {"style": NO_STYLE}),
    ("hairstyle", {"hairstyle": CANARY}, {"hairstyle": NO_STYLE.replace("style.", "hairstyle.")}),
    ("hairstyle", {"style": f"hairstyle_{CANARY}"}, {"style": NO_STYLE}),
    ("hairstyle", {"style": CANARY, CANARY: 1}, {"": STYLE_ONLY, "style": NO_STYLE}),
    ("hairstyle", {"style": FREE, "hairstyle": FREE}, {"": STYLE_ONLY}),
    ("hairstyle", {"style": CANARY * 10}, {"style": "style may have at most 100 characters."}),
    ("hairstyle", {"style": [CANARY]}, {"style": "style must be text."}),
    ("hairstyle", {"hairstyle": 7}, {"hairstyle": "hairstyle must be text."}),
    ("hairstyle", {"color": ANY_HEX}, {"style": "style is missing."}),
    ("hairstyle", {"style": FREE, "color": CANARY}, {"color": HEX}),
    ("hair-color", {"color": CANARY}, {"color": HEX}),
    ("hair-color", {"color": "#12345g"}, {"color": HEX}),
    ("hair-color", {"color": "#123456\n"}, {"color": HEX}),
    ("hair-color", {"color": 7}, {"color": HEX}),
    ("hair-color", {"color": None}, {"color": HEX}),
    (
        "hair-color",
        {CANARY: CANARY},
        {"": "This tool takes only color.", "color": "color is missing."},
    ),
    ("age", {"age": 9}, {"age": "age must be at least 10."}),
    ("age", {"age": 91}, {"age": "age may be at most 90."}),
    ("age", {"age": "40"}, {"age": "age must be a whole number."}),
    ("age", {"age": 40.5}, {"age": "age must be a whole number."}),
    ("age", {"age": True}, {"age": "age must be a whole number."}),
    ("smile", {"intensity": -1}, {"intensity": "intensity must be at least 0."}),
    ("fat", {"intensity": 101}, {"intensity": "intensity may be at most 100."}),
    ("bald", {"intensity": None}, {"intensity": "intensity must be a whole number."}),
    ("beard", {"beardStyle": CANARY}, {"beardStyle": BEARDS}),
    ("beard", {"beardStyle": "stubble"}, {"beardStyle": BEARDS}),
    ("skin-color", {"color": "red"}, {"color": HEX_TONE.replace("skinTone", "color")}),
    ("skin-color", {"skinTone": "red"}, {"skinTone": HEX_TONE}),
    ("skin-color", {}, {"skinTone": "skinTone is missing."}),
    ("eye-color", {"eyeColor": "red"}, {"eyeColor": HEX.replace("color must", "eyeColor must")}),
    ("halloween", {"halloweenStyle": CANARY}, {"halloweenStyle": COSTUMES}),
    ("halloween", {CANARY: CANARY}, {"": "This tool takes only halloweenStyle."}),
    ("halloween", [CANARY], {"": "parameters must be an object."}),
    ("halloween", CANARY, {"": "parameters must be an object."}),
    ("analysis", {CANARY: CANARY}, {"": "This tool takes no parameters."}),
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


KEPT: list[tuple[str, Any, Any]] = [
    ("hairstyle", {"style": FREE}, {"style": FREE}),
    ("hairstyle", {"style": f"hairstyle_{FREE}"}, {"style": FREE}),
    ("hairstyle", {"style": "Pixie Cut", "color": ANY_HEX}, {"style": FREE, "color": "#12abcd"}),
    ("hairstyle", {"hairstyle": "Pixie Cut"}, {"style": FREE}),
    ("hair-color", {"color": ANY_HEX}, {"color": "#12abcd"}),
    ("age", {}, {"age": 40}),
    ("age", {"age": 10}, {"age": 10}),
    ("age", {"age": 41.0}, {"age": 41}),
    ("smile", {}, {"intensity": 50}),
    ("smile", {"intensity": 0}, {"intensity": 0}),
    ("fat", {"intensity": 0}, {"intensity": 0}),
    ("bald", {"intensity": 100}, {"intensity": 100}),
    ("beard", {}, {"beardStyle": "Stubble"}),
    ("beard", {"beardStyle": "Goatee"}, {"beardStyle": "Goatee"}),
    ("skin-color", {"color": "#D1A368"}, {"skinTone": "#d1a368"}),
    ("eye-color", {"eyeColor": "#03A9F4"}, {"color": "#03a9f4"}),
    ("halloween", {}, {"halloweenStyle": "face only"}),
    ("analysis", {}, {}),
]


@pytest.mark.parametrize(("tool", "parameters", "kept"), KEPT)
async def test_parameters_are_kept_in_one_spelling_with_their_defaults(
    ask: Ask, upload: tuple[Actor, UUID], tool: str, parameters: Any, kept: Any
) -> None:
    payload = await create(ask, upload, tool, parameters)
    assert payload["errors"] == []
    assert payload["generation"]["parameters"] == kept


async def test_a_name_that_two_hairstyles_have_is_no_name_of_one(
    ask: Ask, owner: asyncpg.Connection, upload: tuple[Actor, UUID], cluster: EmbeddedDatabase
) -> None:
    await owner.execute("update hairstyles set name = 'Lob' where id = any($1)", [FREE, PRO])
    try:
        payload = await create(ask, upload, "hairstyle", {"style": "Lob"})
        (error,) = payload["errors"]
        assert (error["code"], error["path"]) == (
            "BAD_USER_INPUT",
            ["input", "parameters", "style"],
        )
        assert error["message"] == "style could be one of 2; give the id that `hairstyles` has."
    finally:
        await load_seed(cluster.owner_url, "sparky")


REFERENCES: list[tuple[str, str, Any]] = [
    ("hairstyles", FREE, [FREE]),
    ("hairstyles", "nope", None),
    ("hair_colors", "#4E342E", ["#4e342e"]),
    ("hair_colors", "#4e342f", None),
    ("skin_colors", "#fdf4e3", ["#fdf4e3"]),
    ("skin_colors", "nope", None),
    ("?", "nope", None),
]


@pytest.mark.parametrize(("catalog", "value", "found"), REFERENCES)
async def test_every_row_that_a_schema_points_to_is_looked_up(
    owner: asyncpg.Connection, catalog: str, value: str, found: Any
) -> None:
    schema = {"properties": {"p": {"x-catalog": catalog}, "other": {"type": "string"}}}
    text = "select app.catalog_references($1::text::jsonb, $2::text::jsonb)"
    told = await owner.fetchval(text, json.dumps(schema), json.dumps({"p": value, "other": "a"}))
    assert json.loads(told) == {"p": found}


@pytest.mark.parametrize(
    ("plan", "style", "needed"),
    [
        (None, PRO, "plan_pro"),
        ("free", PRO, "plan_pro"),
        ("free", f"hairstyle_{PRO}", "plan_pro"),
        ("free", "Choppy Pixie", "plan_pro"),
        ("pro", PRO, None),
        ("enterprise", PRO, None),
        (None, FREE, None),
        ("free", FREE, None),
    ],
)
async def test_a_pro_hairstyle_needs_a_plan_that_has_them(
    ask: Ask,
    owner: asyncpg.Connection,
    upload: tuple[Actor, UUID],
    plan: str | None,
    style: str,
    needed: str | None,
) -> None:
    await owner.execute("update users set plan_id = $1 where id = $2", plan, upload[0].user_id)
    text = CREATE.replace("errors {", "errors { ... on PlanRequired { planId }")
    variables = {
        "tool": "hairstyle",
        "upload": f"upload_{upload[1]}",
        "parameters": {"style": style},
    }
    payload = (await ask(text, variables, actor=upload[0]))["data"]["createGeneration"]
    if needed is None:
        assert payload["errors"] == []
        return
    assert payload["errors"] == [
        {
            "planId": needed,
            "code": "PLAN_REQUIRED",
            "message": "This hairstyle needs the plan Pro. Change to it, then try again.",
            "path": ["input", "parameters", "style"],
        }
    ]
    assert payload["generation"] is None
    assert await wallet(owner, upload[0]) == (2, 0)


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
        payload = await create(ask, upload, "hairstyle", {"style": FREE})
        assert payload["errors"] == []
        assert await wallet(owner, upload[0]) == (2, 0)
    finally:
        await note_made_tools(database, None)
    assert not any(tool["isPreview"] for tool in (await ask(shown))["data"]["tools"])


async def test_the_plans_come_cheapest_first_and_a_price_on_request_is_null(ask: Ask) -> None:
    plans = (await ask("{ plans { id price { amountCents currency } } }"))["data"]["plans"]
    amounts = [plan["price"]["amountCents"] for plan in plans if plan["price"]]
    assert amounts == sorted(amounts)
    # Other tests add plans of their own.
    seeded = {"plan_free": 0, "plan_pro": 1000, "plan_enterprise": None}
    shown = [plan for plan in plans if plan["id"] in seeded]
    assert [plan["id"] for plan in shown] == list(seeded)
    assert [plan["price"] and plan["price"]["amountCents"] for plan in shown] == [0, 1000, None]


# How many pictures each seed ships.
PICTURES = {"attuned": 0, "aura": 0, "demo": 54, "sparky": 54, "vectabase": 0, "voicefx": 0}


@pytest.fixture
async def pictures() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the pictures that seeds come with."""
    transport = httpx.ASGITransport(Starlette(routes=routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.parametrize("seed", seed_names())
async def test_every_link_that_a_seed_ships_answers(seed: str, pictures: httpx.AsyncClient) -> None:
    links = [
        value
        for table, rows in read_seed(seed).items()
        if table != "retired"
        for row in rows
        for name, value in row.items()
        if name.endswith("_url") and value
    ]
    assert len(links) == len(set(links)) == PICTURES[seed]
    contents = set()
    for link in links:
        answer = await pictures.get(link)
        assert answer.status_code == 200, link
        assert answer.headers["content-type"] == "image/webp"
        assert answer.headers["cache-control"] == "public, max-age=86400"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.content[8:12] == b"WEBP"
        contents.add(answer.content)
    assert len(contents) == len(links)
    for wrong in ("/catalog/hairstyles/nope.webp", "/catalog/../sparky.json", "/catalog/"):
        assert (await pictures.get(wrong)).status_code == 404


async def test_links_are_whole_where_clients_reach_the_server(
    ask: Ask, owner: asyncpg.Connection
) -> None:
    rows = (await ask("{ hairstyles { imageUrl } }"))["data"]["hairstyles"]
    links = [row["imageUrl"] for row in rows]
    assert links
    assert all(urlsplit(link).scheme for link in links)
    assert f"{get_settings().base_url}/catalog/hairstyles/female-short-1.webp" in links
    set_cover = "update tools set cover_image_url = $1 where id = 'age'"
    await owner.execute(set_cover, "https://cdn.test/a.jpg")
    try:
        tools = (await ask("{ tools { id coverImageUrl } }"))["data"]["tools"]
        covers = {tool["id"]: tool["coverImageUrl"] for tool in tools}
        assert covers["tool_age"] == "https://cdn.test/a.jpg"
        assert covers["tool_hair-color"] is None
    finally:
        await owner.execute(set_cover, None)
