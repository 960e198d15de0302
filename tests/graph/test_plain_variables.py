"""Variables are looked at value by value, but for those whose JSON text shows that they are plain."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.engine.documents.limits import VARIABLE_VALUE_LIMIT, check_variables
from graph.engine.documents.variables import MAX_INPUT_DEPTH, is_plain, refuse_unstorable
from graph.shared.errors import RequestError

# Characters that matter here are rare among all others.
TEXTS = st.text(st.sampled_from(["\x00", "\ud800", "\udfff", "ü", "😀", "\\", '"', "u", "a"]))
VALUES = st.recursive(
    TEXTS | st.integers(-9, 9) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)
SPEND = """mutation($input: SpendCreditsInput!) {
  spendCredits(input: $input) { transaction { reason } } }"""


def is_refused(variables: dict[str, Any]) -> bool:
    """Whether the look at each value finds a fault."""
    try:
        check_variables(variables)
        refuse_unstorable(variables)
    except RequestError:
        return True
    return False


@given(value=VALUES, is_escaped=st.booleans())
def test_what_seems_plain_has_no_fault(value: Any, is_escaped: bool) -> None:
    text = json.dumps({"variables": {"x": value}}, ensure_ascii=is_escaped)
    with suppress(UnicodeEncodeError, orjson.JSONDecodeError):  # no JSON at all
        body = text.encode()
        variables = orjson.loads(body)["variables"]
        assert not (is_plain(body) and is_refused(variables))


@pytest.mark.parametrize(
    "value",
    ["\x00", [{"a": "\x00"}], {"\x00": 1}, "\ud800", [0] * VARIABLE_VALUE_LIMIT],
    ids=["nul", "inside", "in a key", "half a pair", "many"],
)
def test_what_is_refused_does_not_seem_plain(value: Any) -> None:
    assert not is_plain(json.dumps({"variables": {"x": value}}).encode())
    assert is_refused({"x": value})


def test_what_is_nested_too_deeply_does_not_seem_plain() -> None:
    value: Any = 0
    for _ in range(MAX_INPUT_DEPTH + 1):
        value = [value]
    assert not is_plain(json.dumps({"variables": {"x": value}}).encode())
    assert is_refused({"x": value})


def test_most_texts_are_plain() -> None:
    variables = {"input": {"reason": 'Zoë\'s "new" look 😀', "ids": list(range(1000))}}
    assert is_plain(orjson.dumps({"query": SPEND, "variables": variables}))


async def test_both_kinds_of_variables_are_answered_over_http(http: httpx.AsyncClient) -> None:
    spend = {"amount": 1, "reason": "plain", "idempotencyKey": "k"}
    for reason, code in (("plain", "UNAUTHENTICATED"), ("\x00", "BAD_USER_INPUT")):
        body = {"query": SPEND, "variables": {"input": {**spend, "reason": reason}}}
        answer = (await http.post("/graphql", json=body)).json()
        assert answer["errors"][0]["extensions"]["code"] == code
