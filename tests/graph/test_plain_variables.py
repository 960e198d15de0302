"""Variables are looked at value by value, but for those whose JSON text shows that they are plain."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.engine.documents.limits import (
    MAX_INPUT_DEPTH,
    VARIABLE_VALUE_LIMIT,
    check_variables,
)
from graph.engine.documents.variables import (
    PlainVariables,
    StorableVariables,
    as_shown,
    refuse_unstorable,
)
from graph.shared.errors import RequestError

# Characters that matter here are rare among all others.
TEXTS = st.text(st.sampled_from(["\x00", "\ud800", "\udfff", "ü", "😀", "\\", '"', "u", "a"]))
VALUES = st.recursive(
    TEXTS | st.integers(-9, 9) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)
SPEND = """mutation($input: SpendCreditsInput!) {
  spendCredits(input: $input) { transaction { reason } } }"""


def is_plain(text: bytes) -> bool:
    """Whether a JSON text shows that no value in it has a fault."""
    return isinstance(as_shown({}, text), PlainVariables)


def is_storable(text: bytes) -> bool:
    """Whether it shows that each can be stored."""
    return isinstance(as_shown({}, text), StorableVariables)


def is_refused(look: Callable[[dict[str, Any]], None], variables: dict[str, Any]) -> bool:
    """Whether a look at each value finds a fault."""
    try:
        look(variables)
    except RequestError:
        return True
    return False


@given(value=VALUES, is_escaped=st.booleans())
def test_what_seems_plain_has_no_fault(value: Any, is_escaped: bool) -> None:
    text = json.dumps({"variables": {"x": value}}, ensure_ascii=is_escaped)
    with suppress(UnicodeEncodeError, orjson.JSONDecodeError):  # no JSON at all
        body = text.encode()
        variables = orjson.loads(body)["variables"]
        assert not (is_plain(body) and is_refused(check_variables, variables))
        assert not (is_storable(body) and is_refused(refuse_unstorable, variables))


@pytest.mark.parametrize(
    "value",
    ["\x00", [{"a": "\x00"}], {"\x00": 1}, "\ud800"],
    ids=["nul", "inside", "in a key", "half a pair"],
)
def test_what_is_refused_does_not_seem_storable(value: Any) -> None:
    assert not is_storable(json.dumps({"variables": {"x": value}}).encode())
    assert is_refused(refuse_unstorable, {"x": value})


def nested(levels: int) -> Any:
    """A list in a list, and so on."""
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ([0] * VARIABLE_VALUE_LIMIT, True),
        ([0] * (VARIABLE_VALUE_LIMIT - 1), False),
        ([[0] * 100] * 200, True),
        ([{"a": 0}] * (VARIABLE_VALUE_LIMIT // 2), True),
        (nested(MAX_INPUT_DEPTH), True),
        (nested(MAX_INPUT_DEPTH - 1), False),
    ],
    ids=["many", "just as many", "many lists", "many objects", "deep", "just as deep"],
)
def test_what_is_too_much_does_not_seem_plain(value: Any, refused: bool) -> None:
    assert is_refused(check_variables, {"x": value}) is refused
    assert not (refused and is_plain(json.dumps({"variables": {"x": value}}).encode()))


def test_most_texts_are_plain() -> None:
    variables = {"input": {"reason": 'Zoë\'s "new" look 😀', "ids": list(range(1000))}}
    assert is_plain(orjson.dumps({"query": SPEND, "variables": variables}))


async def test_both_kinds_of_variables_are_answered_over_http(http: httpx.AsyncClient) -> None:
    spend = {"amount": 1, "reason": "plain", "idempotencyKey": "k"}
    for reason, code in (("plain", "UNAUTHENTICATED"), ("\x00", "BAD_USER_INPUT")):
        body = {"query": SPEND, "variables": {"input": {**spend, "reason": reason}}}
        answer = (await http.post("/graphql", json=body)).json()
        assert answer["errors"][0]["extensions"]["code"] == code
