"""The seed is the product's catalog, complete in every language; loading it again keeps edits."""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain
from typing import Any

import asyncpg
import pytest

from db.core.pool import Database
from db.core.seeding import load_seed, read_seed, read_texts
from db.embedded.database import EmbeddedDatabase
from db.translations.tables import LOCALES
from server.serving import prepare_database
from settings import Settings
from tests.running import ROOT

from .rows import migrated_database

TERMS = "select plan_id, bonus_credits from sign_up_terms"
SEED = read_seed("sparky")
TEXTS = {(row["locale"], row["key"]): row["text"] for row in read_texts()}
# What of a text is a value, such as {count}.
VALUES = re.compile(r"\{(\w+)\}")


def test_the_tools_are_in_their_order_and_cost_a_credit() -> None:
    tools = sorted(SEED["tools"], key=lambda tool: tool["sort_order"])
    assert [(tool["id"], tool["type"], tool["icon_name"]) for tool in tools] == [
        ("hairstyle", "TRANSFORMATION", "SparklesIcon"),
        ("hair-color", "TRANSFORMATION", "PaintBrushIcon"),
        ("age", "FILTER", "ClockIcon"),
        ("smile", "FILTER", "HappyFaceIcon"),
        ("analysis", "ANALYSIS", "UserSearchIcon"),
        ("fat", "FILTER", "SadFaceIcon"),
        ("bald", "FILTER", "WindIcon"),
        ("beard", "TRANSFORMATION", "BeardIcon"),
        ("skin-color", "TRANSFORMATION", "SkinIcon"),
        ("halloween", "FILTER", "PumpkinIcon"),
        ("eye-color", "TRANSFORMATION", "EyeIcon"),
    ]
    assert {tool["credits_cost"] for tool in tools} == {1}
    assert all(tool["is_active"] for tool in tools)


def test_the_hairstyles_are_as_many_in_each_category_and_for_each_plan() -> None:
    styles = SEED["hairstyles"]
    found = Counter((style["gender"], style["category"], style["is_pro"]) for style in styles)
    expected = {
        ("FEMALE", "short"): (6, 6),
        ("FEMALE", "medium"): (2, 3),
        ("FEMALE", "long"): (3, 2),
        ("FEMALE", "curly"): (1, 3),
        ("FEMALE", "styled"): (0, 5),
        ("FEMALE", "protective"): (0, 2),
        ("MALE", "short"): (3, 2),
        ("MALE", "medium"): (3, 3),
        ("MALE", "long"): (1, 2),
        ("MALE", "styled"): (1, 3),
        ("MALE", "fade"): (2, 1),
    }
    counts = {key: (found[*key, False], found[*key, True]) for key in expected}
    assert counts == expected
    assert len(styles) == 54 == found.total() == sum(chain.from_iterable(expected.values()))
    for style in styles:
        assert re.fullmatch(f"{style['gender'].lower()}-{style['category']}-[0-9]+", style["id"])
    assert len({(style["gender"], style["name"]) for style in styles}) == 54


def test_the_colours_are_in_their_order() -> None:
    assert " ".join(row["hex_code"] for row in SEED["hair_colors"]) == (
        "#000000 #4e342e #6d4c41 #d7ccc8 #ffeb3b #f44336"
        " #e91e63 #9c27b0 #3f51b5 #03a9f4 #4caf50 #bcaaa4"
    )
    assert [f"{row['name']} {row['hex_code']}" for row in SEED["skin_colors"]] == [
        "Ivory #fdf4e3", "Beige #f0d6b5", "Sand #e4b88a", "Tan #d1a368", "Bronze #b88846",
        "Sienna #a06a39", "Umber #8c5a2d", "Espresso #6b4423", "Chocolate #543419", "Ebony #3e2510",
    ]  # fmt: skip


def test_the_plans_give_what_they_promise() -> None:
    columns = ("id", "monthly_credits", "max_daily_credits", "price_cents", "adds_watermark")
    assert [tuple(plan[name] for name in columns) for plan in SEED["plans"]] == [
        ("free", 10, 5, 0, True),
        ("pro", 100, 50, 1000, False),
        ("enterprise", 5000, 5000, None, False),
    ]


def test_attuneds_premium_costs_what_it_is_said_to_in_both_stores() -> None:
    prices = [
        (one["provider"], one["billing_interval"], one["amount_cents"], one["currency"])
        for one in read_seed("attuned")["product_prices"]
    ]
    assert sorted(prices) == [
        (store, interval, cents, "USD")
        for store in ("app-store", "google-play")
        for interval, cents in (("MONTH", 499), ("YEAR", 2999))
    ]


def test_voicefxs_plans_are_those_that_it_sells() -> None:
    columns = ("id", "workflows", "calls_per_month", "campaigns", "month_cents")
    plans = read_seed("voicefx")["organization_plans"]
    assert [tuple(plan[name] for name in columns) for plan in plans] == [
        ("free", 1, 50, 0, 0),
        ("starter", 5, 500, 3, 2900),
        ("pro", -1, 5000, -1, 9900),
        ("enterprise", -1, -1, -1, None),
    ]


def choices() -> dict[tuple[str, str], dict[str, str]]:
    """By tool and parameter: the labels of what can be chosen."""
    return {
        (tool["id"], name): rule.get("x-labels", {})
        for tool in SEED["tools"]
        for name, rule in tool["parameters_schema"].get("properties", {}).items()
        if "enum" in rule
    }


def test_every_choice_has_a_label() -> None:
    assert {(tool, name): [*labels] for (tool, name), labels in choices().items()} == {
        ("beard", "beardStyle"): ["Clean Shaven", "Stubble", "Goatee"],
        ("halloween", "halloweenStyle"): ["face only", "whole figure", "add objects"],
    }


def keys_in_use() -> set[str]:
    """The key of every name and description in the catalog."""
    return {
        *(tool[name] for tool in SEED["tools"] for name in ("name_key", "description_key")),
        *(f"hairstyle.{style['id']}.name" for style in SEED["hairstyles"]),
        *(f"editor.hairstyle.category.{style['category']}" for style in SEED["hairstyles"]),
        *(f"hairColor.{row['hex_code']}.name" for row in SEED["hair_colors"]),
        *(f"skinColor.{row['hex_code']}.name" for row in SEED["skin_colors"]),
        *(
            f"plan.{plan['id']}.{part}"
            for plan in SEED["plans"]
            for part in ("name", "description")
        ),
        *(label for labels in choices().values() for label in labels.values()),
        *(f"product.{product['id']}.name" for product in SEED["products"]),
        *(
            f"notifications.{told}.{part}"
            for told in ("paymentRefunded", "paymentDisputed")
            for part in ("title", "message")
        ),
        *(f"notifications.kind.{kind}" for kind in ("offer", "feature", "general")),
    }


@pytest.mark.parametrize("locale", LOCALES)
def test_every_text_is_there_in_every_language(locale: str) -> None:
    english = {key for language, key in TEXTS if language == "en"}
    assert keys_in_use() - english == set()
    missing = {key for key in english if not TEXTS.get((locale, key), "").strip()}
    assert missing == set()
    for key in english:
        said, meant = TEXTS[locale, key], TEXTS["en", key]
        assert sorted(VALUES.findall(said)) == sorted(VALUES.findall(meant)), key


def test_every_language_is_one_of_the_products() -> None:
    assert {locale for locale, _ in TEXTS} == set(LOCALES)
    # A name that is the same everywhere, such as Ombré, may be; a whole language in English may not.
    for locale in LOCALES[1:]:
        same = [key for key in keys_in_use() if TEXTS[locale, key] == TEXTS["en", key]]
        assert len(same) < 30, (locale, same)


def test_the_english_names_are_those_of_the_catalog() -> None:
    for table, prefix, key in (("hairstyles", "hairstyle", "id"), ("plans", "plan", "id"),
                               ("products", "product", "id"), ("skin_colors", "skinColor", "hex_code")):  # fmt: skip
        for row in SEED[table]:
            assert TEXTS["en", f"{prefix}.{row[key]}.name"] == row["name"]


def test_every_key_of_a_notification_in_the_code_has_a_text() -> None:
    found = {
        key
        for folder in ("db", "jobs", "graph", "payments")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".sql", ".py"} and "versions" not in path.parts
        for key in re.findall(
            r"notifications\.[A-Za-z_.]+\.(?:title|message)\b", path.read_text(encoding="utf-8")
        )
    }
    assert {"notifications.ledgerUnsound.title"} <= found
    assert {key for key in found if ("en", key) not in TEXTS} == set()


async def everything(owner: asyncpg.Connection) -> dict[str, list[Any]]:
    """All rows of the catalog, and how many events there are of it."""
    tables = ("tools", "hairstyles", "hair_colors", "skin_colors", "plans", "translations")
    found = {
        table: await owner.fetch(f"select t::text, t.ctid from {table} t order by 1")
        for table in tables
    }
    events = "select count(*) from events where topic in ('catalog.changed', 'tools.changed')"
    return found | {"events": [await owner.fetchval(events)]}


async def test_loading_it_again_writes_nothing(
    owner: asyncpg.Connection, cluster: EmbeddedDatabase
) -> None:
    before = await everything(owner)
    assert len(before["hairstyles"]) >= 54
    counts = await load_seed(cluster.owner_url, "sparky")
    assert counts == await load_seed(cluster.owner_url, "demo")
    assert (counts["tools"], counts["translations"]) == (11, len(TEXTS))
    assert await everything(owner) == before


EDITS = [
    ("tools", "id = 'age'", "credits_cost", 7, 1),
    ("hairstyles", "id = 'male-fade-1'", "name", "Fade", "Low Fade"),
    ("plans", "id = 'pro'", "monthly_credits", 7, 100),
    ("hair_colors", "hex_code = '#000000'", "sort_order", 7, 0),
    ("skin_colors", "hex_code = '#3e2510'", "name", "Dark", "Ebony"),
    ("translations", "id = 'fr:tool.age.name'", "text", "Les ans", "Âge"),
]


@pytest.mark.parametrize(("table", "row", "column", "edit", "seeded"), EDITS)
async def test_what_an_admin_has_edited_stays_and_all_else_is_brought_up_to_date(
    owner: asyncpg.Connection,
    cluster: EmbeddedDatabase,
    table: str,
    row: str,
    column: str,
    edit: object,
    seeded: object,
) -> None:
    change = f"update {table} set {column} = $1, edited = $2 where {row}"
    try:
        for edited, expected in (([column], edit), (["other"], seeded)):
            await owner.execute(change, edit, edited)
            await load_seed(cluster.owner_url, "sparky")
            assert await owner.fetchval(f"select {column} from {table} where {row}") == expected
    finally:
        await owner.execute(change, seeded, [])


async def test_what_the_seed_had_before_is_taken_away(
    owner: asyncpg.Connection, cluster: EmbeddedDatabase
) -> None:
    (style, edited_style), (color, edited_color) = (
        SEED["retired"][table][:2] for table in ("hairstyles", "hair_colors")
    )
    insert = (
        "insert into hairstyles (id, name, image_url, gender, category, edited)"
        " values ($1, 'Old', '/old', 'MALE', 'short', $2)"
    )
    try:
        await owner.execute(insert, style, [])
        await owner.execute(insert, edited_style, ["is_active"])
        for key, edited in ((color, []), (edited_color, ["sort_order"])):
            add = "insert into hair_colors (hex_code, edited) values ($1, $2)"
            await owner.execute(add, key, edited)
        await load_seed(cluster.owner_url, "sparky")
        active = "select is_active from hairstyles where id = $1"
        assert await owner.fetchval(active, style) is False
        assert await owner.fetchval(active, edited_style) is True
        left = "select array_agg(hex_code) from hair_colors where hex_code = any($1)"
        assert await owner.fetchval(left, [color, edited_color]) == [edited_color]
    finally:
        await owner.execute("delete from hairstyles where id = any($1)", [style, edited_style])
        await owner.execute("delete from hair_colors where hex_code = $1", edited_color)


async def test_a_server_that_starts_again_stays_the_product_that_it_is(
    cluster: EmbeddedDatabase, database: Database, settings: Settings
) -> None:
    async with migrated_database(cluster, settings, "restarted") as owner_url:
        await prepare_database(owner_url, settings)
        connection = await asyncpg.connect(owner_url)
        try:
            assert tuple(await connection.fetchrow(TERMS)) == ("free", 10)
            await load_seed(owner_url, "attuned")
            await prepare_database(owner_url, settings)
            assert tuple(await connection.fetchrow(TERMS)) == ("attuned-free", 0)
        finally:
            await connection.close()
