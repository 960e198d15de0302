"""Texts are parsed and refused as graphql-core does it, each string and each rule once."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from graphql import GraphQLError, Lexer, parse, specified_rules, validate
from hypothesis import given
from hypothesis import strategies as st

from graph.engine.documents import validation
from graph.engine.documents.limits import Limits
from graph.engine.documents.parsing import Strings, parsed
from graph.engine.documents.store import Documents
from graph.schema import build_schema
from graph.shared.errors import RequestError

from .hostile import HOSTILE

SCHEMA = build_schema()._schema
PARTS = [
    "a", "/", "u", "{", "}", "41", "d83d", "#", ",", "'", '"', '\\"', "\\\\", "\\/", "\\b", "\\n",
    "\\r", "\\t", "\\f", "\\v", "\\", "\\u", "\\u0041", "\\u004", "\\u{41}", "\\u{1F600}",
    "\\u{110000}", "\\u{}", "\\ud83d\\ude00", "\\ud83d", "\\ude00", "\t", "\n", "\r", "\x00",
    "\x1f", "\x7f", "\u2028", "é", "😀", "\ud800", "\ufeff",
]  # fmt: skip
TOO_LONG = '{viewer{id} a(b:"' + "\\n" * 20 + '\\u{41}") }'


def outcome(read: Callable[[str], Any], text: str) -> Any:
    """The tree of a text, or what is wrong with it."""
    try:
        return read(text).to_dict()
    except GraphQLError as error:
        return [error.formatted]
    except RequestError as error:
        return [one.formatted for one in error.errors]


def ours(text: str) -> Any:
    """What comes of a text here."""
    return outcome(lambda text: parsed(text, Strings(), Limits()), text)


def theirs(text: str) -> Any:
    """What comes of it in graphql-core, but for the values that its messages repeat."""
    made = outcome(lambda text: parse(text, no_location=True), text)
    if isinstance(made, list):
        for error in made:
            found = error["message"].find("String '")
            error["message"] = (
                error["message"][: found + 6] + "." if found > 0 else error["message"]
            )
    return made


@given(st.lists(st.sampled_from(PARTS), max_size=6).map("".join), st.booleans())
def test_a_string_says_what_it_says_to_graphql_core(string: str, closed: bool) -> None:
    text = f'{{ a(b: "{string}{'"' if closed else ""}) }}'
    assert ours(text) == theirs(text)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_of_a_string_says_what_it_says_to_graphql_core(part: str) -> None:
    for string in (part, f"{part}\\n", f"\\n{part}", f"\\u{{41}}{part}"):
        text = f'{{\n a(b: "{string}", c: """{string}""", d: "{string}") }}'
        assert ours(text) == theirs(text)


FAULTY = [
    "{ a\n  b }",
    "{ viewer { id }\n\r\n  viewer: node(id: 1) { id } }",
    '{ node(id: "\\u{41}\\n", of: {a: [1, $b]}) { id } }',
    '{ viewer { generations(first: "\\u{41}", where: {no: 1}) { nodes { id no } } } }',
    "query A($a: Int, $a: No) { viewer { id @no } } query A { viewer }",
    "{ viewer { ...A ...B } } fragment A on No { id } fragment C on User { id no }",
    "query($a: Int) { viewer { id } }",
    "{ node(id: $a) { id } }",
    "{ viewer { ...A } } fragment A on User { generations(first: $a) { totalCount } }",
    "query($a: Int, $a: Int) { viewer { generations(first: $a) { totalCount } } }",
    "query($a: User) { node(id: $a) { id } }",
    "query($a: Int) { node(id: $a) { id } }",
    "{ viewer { id @no } }",
    "query @skip(if: true) { viewer { id } }",
    "{ viewer { id @skip(if: true) @skip(if: false) } }",
    "subscription { notificationAdded { ... @defer { cursor } } }",
    'query($a: ID!) { viewer { id } node(id: "$a") { id } }',
    "type A { b: Int }\nextend type User { c: Int }",
    '"""a\nb""" query { viewer { id(a: """\n\nb""") } }',
    *(text for text, codes in HOSTILE.values() if len(text) < 20_000),
]


@pytest.mark.parametrize("text", FAULTY)
def test_faults_stand_where_graphql_core_finds_them(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        Documents(SCHEMA, introspection=True).operation(text, None)
    if caught.value.code == "QUERY_TOO_COMPLEX":
        return
    found = [error.formatted for error in caught.value.errors]
    expected = faults_to_graphql_core(text)
    places = [error.get("locations") for error in expected]
    assert [error.get("locations") for error in found] == places
    for error, theirs in zip(found, expected, strict=True):
        # Of a wrong value, graphql-core repeats the value; our sentences are tested elsewhere.
        if "represent" not in theirs["message"] and "Expected value" not in theirs["message"]:
            assert error == theirs
    assert all(error.locations for error in caught.value.errors[: validation.MAX_ERRORS])


def faults_to_graphql_core(text: str) -> list[Any]:
    """What graphql-core finds wrong with a text when it parses it with all locations."""
    try:
        tree = parse(text)
    except GraphQLError as error:
        return [error.formatted]
    errors = validate(SCHEMA, tree, specified_rules, validation.MAX_ERRORS, hide_suggestions=True)
    return [error.formatted for error in errors]


def test_a_document_at_fault_is_read_and_validated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    read, check = Lexer.read_string, validate
    monkeypatch.setattr(
        Lexer, "read_string", lambda self, start: done.append("read") or read(self, start)
    )
    monkeypatch.setattr(
        validation,
        "validate",
        lambda *given, **named: done.append("check") or check(*given, **named),
    )
    with pytest.raises(RequestError, match="Cannot query field 'a'"):
        Documents(SCHEMA, introspection=True).operation(TOO_LONG, None)
    assert done == ["read", "check"]


def test_strings_that_json_has_too_are_not_read_escape_by_escape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Lexer, "read_string", None)
    with pytest.raises(RequestError, match="Cannot query field 'a'"):
        Documents(SCHEMA, introspection=True).operation(*HOSTILE["escapes"][:1], None)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_refusal_leaves_little_that_only_the_collector_finds(name: str) -> None:
    """What it finds at once after many documents, it finds while everyone waits."""
    documents = Documents(SCHEMA, introspection=True)
    with suppress(RequestError):
        documents.operation("{ warm }", None)
    gc.disable()
    gc.freeze()  # what was there before is neither looked at nor counted
    try:
        with suppress(RequestError):
            documents.operation(HOSTILE[name][0], None)
        assert gc.collect() < 5_000
    finally:
        gc.enable()
