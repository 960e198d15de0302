"""Texts: everybody reads them in their language, admins change them, SQL asks for single ones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from db.core.actor import NOBODY, Actor
from db.translations.tables import LOCALES

from ..conftest import MakeUser
from .conftest import Ask

ALL = "query($locale: String!) { translations(locale: $locale) { locale key text } }"
SET = """mutation($locale: String!, $key: String!, $text: String) {
  setTranslation(input: {locale: $locale, key: $key, text: $text}) {
    translation { locale key text } errors { code path message } } }"""
AUDIT = "select detail from audit_log where user_id = $1 and action = 'set_translation' order by id"


@pytest.fixture
async def admin(make_user: MakeUser, owner: asyncpg.Connection) -> AsyncIterator[Actor]:
    """An admin; what they add to the texts is taken away again."""
    actor = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", actor.user_id)
    yield actor
    await owner.execute("delete from translations where key like 'test.%'")


async def texts(ask: Ask, locale: str, actor: Actor = NOBODY) -> dict[str, tuple[str, str]]:
    found = (await ask(ALL, {"locale": locale}, actor=actor))["data"]["translations"]
    assert [row["key"] for row in found] == sorted({row["key"] for row in found})
    return {row["key"]: (row["locale"], row["text"]) for row in found}


@pytest.mark.parametrize("locale", LOCALES)
async def test_everybody_reads_all_texts_in_their_language(ask: Ask, locale: str) -> None:
    found = await texts(ask, locale)
    assert len(found) >= 122
    assert {of for of, _ in found.values()} == {locale}


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("de", None),
        ("", None),
        ("english", None),
        ("pt-BR", "Idade"),
        ("FR_ca", "Âge"),
        ("en", "Age"),
    ],
)
async def test_a_language_is_a_tag_and_an_unknown_one_is_told_those_there_are(
    ask: Ask, make_user: MakeUser, tag: str, text: str | None
) -> None:
    for actor in (NOBODY, await make_user()):
        if text is not None:
            assert (await texts(ask, tag, actor))["tool.age.name"][1] == text
            continue
        answer = await ask(ALL, {"locale": tag}, actor=actor)
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert error["message"].endswith(f"there are: {', '.join(LOCALES)}.")
        assert answer["data"] is None


async def test_an_admins_text_is_shown_at_once_and_noted_once(
    ask: Ask, owner: asyncpg.Connection, admin: Actor
) -> None:
    async def set_text(locale: str, text: str | None, key: str = "test.note") -> Any:
        variables = {"locale": locale, "key": key, "text": text}
        return (await ask(SET, variables, actor=admin))["data"]["setTranslation"]

    for _ in range(2):
        payload = await set_text("en", "Note")
        assert payload["translation"] == {"locale": "en", "key": "test.note", "text": "Note"}
    assert (await texts(ask, "fr"))["test.note"] == ("en", "Note")
    assert (await set_text("fr-CH", "Notice"))["translation"]["locale"] == "fr"
    assert (await texts(ask, "fr"))["test.note"] == ("fr", "Notice")
    for _ in range(2):
        assert await set_text("fr", None) == {"translation": None, "errors": []}
    assert (await texts(ask, "fr"))["test.note"] == ("en", "Note")
    noted = [json.loads(row["detail"]) for row in await owner.fetch(AUDIT, admin.user_id)]
    assert noted == [
        {"locale": locale, "key": "test.note", "text": text}
        for locale, text in (("en", "Note"), ("fr", "Notice"), ("fr", None))
    ]


@pytest.mark.parametrize(
    ("locale", "key", "text", "places"),
    [
        ("de", "test.note", "x", [["input", "locale"]]),
        ("en", "", "x", [["input", "key"]]),
        ("en", "two words", "x", [["input", "key"]]),
        ("en", "k" * 201, "x", [["input", "key"]]),
        ("en", "test.note", "", [["input", "text"]]),
        ("en", "test.note", " \n", [["input", "text"]]),
        ("en", "test.note", "x" * 2001, [["input", "text"]]),
        ("de", "", "", [["input", "key"], ["input", "text"], ["input", "locale"]]),
    ],
)
async def test_every_problem_of_a_text_is_told_at_its_place(
    ask: Ask, admin: Actor, locale: str, key: str, text: str, places: list[list[str]]
) -> None:
    variables = {"locale": locale, "key": key, "text": text}
    payload = (await ask(SET, variables, actor=admin))["data"]["setTranslation"]
    assert [error["path"] for error in payload["errors"]] == places
    assert {error["code"] for error in payload["errors"]} == {"BAD_USER_INPUT"}


@pytest.mark.parametrize(
    ("locale", "key", "text"),
    [
        ("fr", "tool.age.name", "Âge"),
        ("pt-BR", "tool.age.name", "Idade"),
        ("zh_Hans", "tool.age.name", "年龄"),
        ("de", "tool.age.name", "Age"),
        (None, "tool.age.name", "Age"),
        ("", "tool.age.name", "Age"),
        ("fr", "test.nothing", "test.nothing"),
    ],
)
async def test_sql_falls_back_to_english_and_then_to_the_key(
    owner: asyncpg.Connection, locale: str | None, key: str, text: str
) -> None:
    assert await owner.fetchval("select app.translated($1, $2)", locale, key) == text
