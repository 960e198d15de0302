"""What users say of themselves: everything is judged, told at once, and kept as the rules write it."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from graph.engine.execution.engine import Engine
from server.services import Services

from .asking import PASSWORD, Client, an_address

VIEWER = "{ viewer { username displayName locale timeZone notificationPreferences } }"


@pytest.fixture
async def ana(engine: Engine, services: Services) -> Client:
    return await Client(engine, services).signed_in(
        "signUp", email=an_address(), password=PASSWORD, locale="PT_br"
    )


async def test_who_says_nothing_has_a_name_all_the_same(ana: Client) -> None:
    guest = await ana.elsewhere().signed_in("signInAnonymously")
    names = set()
    for client, locale in ((ana, "pt-BR"), (guest, None)):
        viewer = (await client.ask(VIEWER))["data"]["viewer"]
        names.add(viewer.pop("username"))
        assert viewer == {
            "displayName": None,
            "locale": locale,
            "timeZone": None,
            "notificationPreferences": {},
        }
    assert len(names) == 2
    assert all(len(name) == 21 and name.startswith("user_") for name in names)


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("username", " Ana.B-c_9 ", "Ana.B-c_9"),
        ("displayName", " Ana\u0301 Müller 👩‍🚀 ", "An\u00e1 Müller 👩‍🚀"),
        ("displayName", None, None),
        ("locale", "zh_hant-hk", "zh-Hant-HK"),
        ("locale", "es-419", "es-419"),
        ("locale", "DE-ch-1901", "de-CH-1901"),
        ("locale", None, None),
        ("timeZone", "Europe/Berlin", "Europe/Berlin"),
        ("timeZone", "UTC", "UTC"),
        ("timeZone", None, None),
        ("notificationPreferences", {"promotions": False, "a.b-c_1": True}, ...),
        ("notificationPreferences", {}, {}),
    ],
)
async def test_what_is_kept(ana: Client, field: str, given: Any, kept: Any) -> None:
    assert await ana.code("updateUser", displayName="Before", timeZone="Asia/Tokyo") is None
    answer = await ana("updateUser", **{field: given})
    assert answer["errors"] == []
    assert answer["user"][field] == (given if kept is ... else kept)
    assert (await ana.ask(VIEWER))["data"]["viewer"] == answer["user"]
    others = {"displayName": "Before", "timeZone": "Asia/Tokyo", "locale": "pt-BR"}
    assert all(answer["user"][name] == value for name, value in others.items() if name != field)


REFUSED: dict[str, list[Any]] = {
    "username": [
        *(None, "", "ab", "a" * 31, "ана_б", "a b c", "_abc", "abc_", "a__b", "a..b", "a@b.c"),
        *("a\nbc", "Support", "ａｂｃ"),
    ],
    "displayName": ["", "  ", "x" * 101, "a\nb", "a\u202eb", "\u200b\u200b", "\u3164"],
    "locale": ["", "english", "e", "en-", "en-USA", "en-US-x-private", f"en{'-variant' * 5}", "*"],
    "timeZone": [
        "",
        "localtime",
        "Factory",
        "Berlin",
        "europe/berlin",
        "+02:00",
        "EST5EDT4",
        "../etc/passwd",
    ],
    "notificationPreferences": [
        *(None, [], "on", {"promotions": 1}, {"promotions": None}, {"": True}, {"a b": True}),
        *({"a": {"email": True}}, {f"name{n:060}": True for n in range(80)}),
    ],
}


@pytest.mark.parametrize("field", REFUSED)
async def test_what_is_refused(ana: Client, field: str) -> None:
    before = await ana.ask(VIEWER)
    for given in REFUSED[field]:
        answer = await ana("updateUser", **{field: given})
        assert answer["errors"] == [{"code": "BAD_USER_INPUT", "path": ["input", field]}], given
    assert await ana.ask(VIEWER) == before


async def test_all_that_is_wrong_is_told_at_once(ana: Client) -> None:
    wrong = {field: values[1] for field, values in REFUSED.items()}
    answer = await ana("updateUser", **wrong)
    assert sorted(error["path"][1] for error in answer["errors"]) == sorted(REFUSED)
    assert answer["user"] is None
    nobody = await ana.elsewhere().code("updateUser", displayName="Eve")
    assert nobody == "UNAUTHENTICATED"


async def test_of_two_who_want_a_name_one_gets_it(ana: Client, owner: asyncpg.Connection) -> None:
    clients = [ana] + [await ana.elsewhere().signed_in("signInAnonymously") for _ in range(3)]
    name = f"N{an_address()[4:20]}"
    spellings = [name, name.lower(), name.upper(), name]
    answers = await asyncio.gather(
        *(c.code("updateUser", username=s) for c, s in zip(clients, spellings, strict=True))
    )
    assert sorted(answers, key=str) == [None, *["USERNAME_IN_USE"] * 3]
    count = "select count(*) from users where lower(username) = $1"
    assert await owner.fetchval(count, name.lower()) == 1
    # Its owner may write it in another case.
    winner = clients[answers.index(None)]
    assert await winner.code("updateUser", username=name.swapcase()) is None
