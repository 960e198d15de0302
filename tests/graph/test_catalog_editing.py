"""Admins add, change and remove what is in the catalog; each change is noted once and is safe to repeat."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from db.core.actor import NOBODY, Actor
from db.core.pool import Database
from db.core.seeding import load_seed
from db.embedded.database import EmbeddedDatabase
from db.files.storage import open_storage
from settings import Settings

from ..conftest import MakeUser
from ..jobs.helpers import create_generation, ready_upload
from .conftest import Ask

AUDIT = "select action, detail from audit_log where user_id = $1 order by id"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}}
# For each mutation: the payload's field, an input that adds a row with what it then is, and changes
# with what it is after them.
SAVES: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "saveTool": (
        "tool",
        {"id": "test-tool", "type": "FILTER", "iconName": "Icon", "parametersSchema": SCHEMA},
        {"id": "tool_test-tool", "nameKey": "tool.test-tool.name", "creditsCost": 1, "isActive": True,
         "descriptionKey": "tool.test-tool.description", "parametersSchema": SCHEMA,
         "coverImageUrl": None},
        {"id": "tool_test-tool", "creditsCost": 3, "coverImageUrl": "https://cdn.test/a.png"},
        {"creditsCost": 3, "coverImageUrl": "https://cdn.test/a.png"},
    ),
    "saveHairstyle": (
        "hairstyle",
        {"id": "test-style", "name": "Test", "imageUrl": "https://cdn.test/a.png",
         "gender": "MALE", "category": "short"},
        {"id": "hairstyle_test-style", "name": "Test", "imageUrl": "https://cdn.test/a.png",
         "gender": "MALE", "category": "short", "isPro": False, "isActive": True,
         "nameKey": "hairstyle.test-style.name",
         "categoryKey": "editor.hairstyle.category.short"},
        {"id": "test-style", "isPro": True, "gender": "FEMALE"},
        {"isPro": True, "gender": "FEMALE"},
    ),
    "saveHairColor": (
        "hairColor",
        {"hexCode": "#ABCDEF"},
        {"id": "hairColor_#abcdef", "hexCode": "#abcdef", "sortOrder": 0},
        {"hexCode": "#abcdef", "sortOrder": 9},
        {"sortOrder": 9},
    ),
    "saveSkinColor": (
        "skinColor",
        {"hexCode": "#ABCDEF", "name": "Test"},
        {"id": "skinColor_#abcdef", "hexCode": "#abcdef", "name": "Test", "sortOrder": 0},
        {"hexCode": "#abcdef", "name": "Other"},
        {"name": "Other"},
    ),
    "savePlan": (
        "plan",
        {"id": "test-plan", "name": "Test", "monthlyCredits": 5, "maxDailyCredits": 2},
        {"id": "plan_test-plan", "name": "Test", "monthlyCredits": 5, "maxDailyCredits": 2,
         "addsWatermark": False, "hasProHairstyles": True, "hasHighQuality": True,
         "price { amountCents currency }": None},
        {"id": "plan_test-plan", "priceCents": 250, "currency": "EUR", "addsWatermark": True},
        {"price { amountCents currency }": {"amountCents": 250, "currency": "EUR"},
         "addsWatermark": True},
    ),
}  # fmt: skip
REMOVES = {name: name.replace("save", "remove") for name in SAVES}
ROWS = {
    "tools": "id = 'test-tool'",
    "hairstyles": "id = 'test-style'",
    "hair_colors": "hex_code = '#abcdef'",
    "skin_colors": "hex_code = '#abcdef'",
    "plans": "id = 'test-plan'",
}
TABLES = dict(zip(SAVES, ROWS, strict=True))


@pytest.fixture
async def admin(make_user: MakeUser, owner: asyncpg.Connection) -> AsyncIterator[Actor]:
    """An admin; what they have added is taken away again."""
    actor = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", actor.user_id)
    yield actor
    for table, found in ROWS.items():
        await owner.execute(f"delete from {table} where {found}")


async def send(ask: Ask, admin: Actor, name: str, given: dict[str, Any], selection: str) -> Any:
    kind = f"{name[0].upper()}{name[1:]}"
    text = (
        f"mutation($input: {kind}Input!) {{ {name}(input: $input)"
        f" {{ {selection} errors {{ code message path }} }} }}"
    )
    answer = await ask(text, {"input": given}, actor=admin)
    assert "errors" not in answer, answer
    return answer["data"][name]


async def noted(owner: asyncpg.Connection, admin: Actor) -> list[tuple[str, Any]]:
    rows = await owner.fetch(AUDIT, admin.user_id)
    return [(row["action"], json.loads(row["detail"])) for row in rows]


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """What is expected, by the names of the answer."""
    return {name.partition(" ")[0]: value for name, value in row.items()}


@pytest.mark.parametrize("name", SAVES)
async def test_what_is_saved_is_added_then_changed_and_noted_once_each(
    ask: Ask, owner: asyncpg.Connection, admin: Actor, cluster: EmbeddedDatabase, name: str
) -> None:
    field, added, first, changes, second = SAVES[name]
    selection = f"{field} {{ {' '.join(first)} }}"
    for given, expected in ((added, shown(first)), (changes, shown(first | second))):
        for _ in range(2):
            payload = await send(ask, admin, name, given, selection)
            assert payload == {field: expected, "errors": []}
        key = expected["id"].partition("_")[2]
        found = await ask("query($id: ID!) { node(id: $id) { id } }", {"id": expected["id"]})
        assert found["data"]["node"] == {"id": expected["id"]}
    entries = await noted(owner, admin)
    assert [action for action, _ in entries] == ["save_in_catalog"] * 2
    assert [entry["key"] for _, entry in entries] == [key, key]
    # Loading the seed again leaves it.
    table = TABLES[name]
    before = await owner.fetchval(f"select t::text from {table} t where {ROWS[table]}")
    await load_seed(cluster.owner_url, "sparky")
    assert await owner.fetchval(f"select t::text from {table} t where {ROWS[table]}") == before


@pytest.mark.parametrize("name", SAVES)
async def test_what_is_removed_is_gone_for_everybody_and_noted_once(
    ask: Ask, owner: asyncpg.Connection, admin: Actor, name: str
) -> None:
    field, added, first, _, _ = SAVES[name]
    await send(ask, admin, name, added, f"{field} {{ id }}")
    for spelled in (first["id"], first["id"].partition("_")[2], first["id"]):
        payload = await send(ask, admin, REMOVES[name], {"id": spelled}, "deletedId")
        assert payload == {"deletedId": first["id"], "errors": []}
        found = await ask("query($id: ID!) { node(id: $id) { id } }", {"id": first["id"]})
        assert found["data"]["node"] is None
    actions = [action for action, _ in await noted(owner, admin)]
    assert actions == ["save_in_catalog", "remove_from_catalog"]


WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    ("saveTool", {"id": "Not a slug"}, ["id"]),
    ("saveTool", {"id": "x" * 65}, ["id"]),
    ("saveTool", {"id": "test-tool"}, ["iconName"]),
    ("saveTool", {"id": "age", "creditsCost": 1001, "nameKey": "", "iconName": " "},
     ["nameKey", "iconName", "creditsCost"]),
    ("saveTool", {"id": "age", "type": None, "isActive": None}, ["type", "isActive"]),
    ("saveTool", {"id": "age", "coverImageUrl": "http://cdn.test/a.png"}, ["coverImageUrl"]),
    ("saveTool", {"id": "age", "parametersSchema": {}}, ["parametersSchema"]),
    ("saveTool", {"id": "age", "parametersSchema": []}, ["parametersSchema"]),
    ("saveTool", {"id": "age", "parametersSchema": {"type": "object", "required": 1}},
     ["parametersSchema"]),
    ("saveTool", {"id": "age", "parametersSchema": SCHEMA | {"title": "x" * 16_384}},
     ["parametersSchema"]),
    ("saveTool", {"id": "age", "parametersSchema": {"type": "object", "properties": {
        "n": {"type": "integer", "default": "one"}}}}, ["parametersSchema"]),
    ("saveTool", {"id": "age", "parametersSchema": {"type": "object", "properties": {
        "n": {"x-catalog": "users"}}}}, ["parametersSchema"]),
    ("saveTool", {"id": "age", "parametersSchema": {"type": "object", "properties": {"n": True}}},
     ["parametersSchema"]),
    ("saveTool", {"id": "age", "parametersSchema": {"type": "object", "properties": {
        "n": {"type": "string", "pattern": "(?=a)a"}}}}, ["parametersSchema"]),
    ("saveHairstyle", {"id": "test-style", "name": "x"}, ["category"]),
    ("saveHairstyle", {"id": "test-style", "name": "x" * 101, "imageUrl": "a.png",
                       "gender": "MALE", "category": "Two Words"}, ["name", "imageUrl", "category"]),
    ("saveHairColor", {"hexCode": "abcdef"}, ["hexCode"]),
    ("saveHairColor", {"hexCode": "#abcdef\n"}, ["hexCode"]),
    ("saveSkinColor", {"hexCode": "#abcdef"}, ["name"]),
    ("saveSkinColor", {"hexCode": "red", "name": None}, ["name", "hexCode"]),
    ("savePlan", {"id": "test-plan", "name": "Test"}, ["maxDailyCredits"]),
    ("savePlan", {"id": "pro", "name": "Free"}, ["name"]),
    ("savePlan", {"id": "pro", "monthlyCredits": -1, "maxDailyCredits": 1_000_001,
                  "priceCents": -1, "currency": "usd"},
     ["monthlyCredits", "maxDailyCredits", "priceCents", "currency"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "fields"), WRONG)
async def test_every_problem_is_told_at_its_place_and_nothing_is_written(
    ask: Ask, owner: asyncpg.Connection, admin: Actor, name: str, given: Any, fields: list[str]
) -> None:
    payload = await send(ask, admin, name, given, f"{SAVES[name][0]} {{ id }}")
    assert payload[SAVES[name][0]] is None
    assert {error["code"] for error in payload["errors"]} == {"BAD_USER_INPUT"}
    found = [error["path"] for error in payload["errors"]]
    assert sorted(found) == sorted(["input", field] for field in fields)
    assert await noted(owner, admin) == []


async def test_a_tool_that_generations_used_is_switched_off(
    ask: Ask, owner: asyncpg.Connection, admin: Actor, database: Database, settings: Settings
) -> None:
    upload = await ready_upload(database, open_storage(settings), admin)
    await create_generation(database, admin, upload)
    try:
        for _ in range(2):
            given = {"id": "hair-color"}
            payload = await send(ask, admin, "removeTool", given, "deletedId tool { isActive }")
            assert payload["errors"] == []
            assert payload["deletedId"] == "tool_hair-color"
            assert payload["tool"] == {"isActive": False}
        asked = "{ viewer { generations { nodes { toolId tool { id } } } } tools { id } }"
        data = (await ask(asked, actor=admin))["data"]
        assert data["viewer"]["generations"]["nodes"] == [
            {"toolId": "tool_hair-color", "tool": None}
        ]
        assert "tool_hair-color" not in {tool["id"] for tool in data["tools"]}
        (entry,) = await noted(owner, admin)
        assert entry == (
            "remove_from_catalog", {"table": "tools", "key": "hair-color", "kept": True}
        )  # fmt: skip
    finally:
        restore = "update tools set is_active = true, edited = '{}' where id = 'hair-color'"
        await owner.execute(restore)


async def test_a_removed_hairstyle_keeps_its_name_in_what_was_asked_for(
    ask: Ask, owner: asyncpg.Connection, admin: Actor, database: Database, settings: Settings
) -> None:
    _, added, _, _, _ = SAVES["saveHairstyle"]
    await send(ask, admin, "saveHairstyle", added, "hairstyle { id }")
    upload = await ready_upload(database, open_storage(settings), admin)
    create = """mutation($upload: ID!, $style: String!, $key: String!) { createGeneration(input: {
      toolId: "hairstyle", uploadId: $upload, parameters: {style: $style}, idempotencyKey: $key}) {
      generation { id parameters } errors { code } } }""".replace("{style: $style}", "$parameters")
    create = create.replace("$style: String!", "$parameters: JSON!")

    async def asked_for(key: str) -> Any:
        variables = {
            "upload": f"upload_{upload}", "parameters": {"style": "test-style"}, "key": key,
        }  # fmt: skip
        return (await ask(create, variables, actor=admin))["data"]["createGeneration"]

    made = await asked_for("one")
    assert made["errors"] == []
    payload = await send(
        ask, admin, "removeHairstyle", {"id": "test-style"}, "hairstyle { name isActive }"
    )
    assert payload["hairstyle"] == {"name": "Test", "isActive": False}
    (error,) = (await asked_for("two"))["errors"]
    assert error["code"] == "BAD_USER_INPUT"
    listed = "{ hairstyles { id } viewer { generations { nodes { parameters } } } }"
    data = (await ask(listed, actor=admin))["data"]
    assert "hairstyle_test-style" not in {style["id"] for style in data["hairstyles"]}
    assert data["viewer"]["generations"]["nodes"] == [{"parameters": {"style": "test-style"}}]
    everything = (await ask("{ allHairstyles { id } }", actor=admin))["data"]["allHairstyles"]
    assert "hairstyle_test-style" in {style["id"] for style in everything}
    generation = made["generation"]["id"].removeprefix("generation_")
    named = await owner.fetchval("select names from app.asked_for($1)", generation)
    assert json.loads(named) == {"style": "Test (male, short)"}


@pytest.mark.parametrize("plan", ["free", "pro"])
async def test_a_plan_in_use_is_not_removed(
    ask: Ask, owner: asyncpg.Connection, admin: Actor, make_user: MakeUser, plan: str
) -> None:
    user = await make_user()
    await owner.execute("update users set plan_id = 'pro' where id = $1", user.user_id)
    payload = await send(ask, admin, "removePlan", {"id": plan}, "deletedId")
    (error,) = payload["errors"]
    assert (error["code"], error["path"]) == ("INVALID_STATE", ["input", "id"])
    assert payload["deletedId"] is None
    assert await owner.fetchval("select count(*) from plans where id = $1", plan) == 1
    assert await noted(owner, admin) == []


async def test_only_admins_see_all_hairstyles(ask: Ask, make_user: MakeUser) -> None:
    for actor in (NOBODY, await make_user()):
        answer = await ask("{ allHairstyles { id } }", actor=actor)
        assert answer["errors"]
        assert answer["data"]["allHairstyles"] is None
