"""Documents and variables made to exhaust a server; documents with the code of their refusal."""

from __future__ import annotations

from typing import Any

TOO_COMPLEX = frozenset({"QUERY_TOO_COMPLEX"})
TOO_COMPLEX_OR_INVALID = frozenset({"QUERY_TOO_COMPLEX", "BAD_USER_INPUT"})


def nested(levels: int) -> str:
    """A query whose deepest field is at that level."""
    return "{" + "viewer{" * (levels - 1) + "id" + "}" * levels


def explosion(levels: int) -> str:
    """Fragments that double with each level."""
    parts = [f"fragment F{n} on User {{ ...F{n + 1} id ...F{n + 1} }}" for n in range(levels)]
    return "{ viewer { ...F0 } } " + " ".join(parts) + f" fragment F{levels} on User {{ id }}"


def aliases(count: int) -> str:
    """A query with so many aliases."""
    return "{ viewer { " + " ".join(f"a{n}: id" for n in range(count)) + " } }"


def directives(count: int) -> str:
    """A query with so many directives at one place."""
    return "{ viewer " + "@include(if: true) " * count + "{ id } }"


def wide_introspection(count: int) -> str:
    """The list of all types, asked for many times over."""
    return (
        "{"
        + " ".join(f"a{n}: __schema {{ types {{ name fields {{ name }} }} }}" for n in range(count))
        + "}"
    )


HOSTILE: dict[str, tuple[str, frozenset[str]]] = {
    "101 aliases": (aliases(101), TOO_COMPLEX),
    "200,000 duplicate fields": ("{" + "a " * 200_000 + "}", TOO_COMPLEX),
    "10,000 duplicate fields": ("{viewer{" + "id " * 10_000 + "}}", TOO_COMPLEX),
    "490 duplicate objects": ("{" + "viewer{id}" * 490 + "}", TOO_COMPLEX),
    "51 directives": (directives(51), TOO_COMPLEX),
    "30 levels": (nested(30), TOO_COMPLEX),
    "30 levels of a cycle in the schema": (
        '{__type(name:"User"){' + "ofType{" * 28 + "name" + "}" * 30,
        TOO_COMPLEX,
    ),
    "a fragment in itself": ("{viewer{...A}} fragment A on User{id ...A}", TOO_COMPLEX_OR_INVALID),
    "fragments in a circle": (
        "{viewer{...A}} fragment A on User{...B} fragment B on User{...A}",
        TOO_COMPLEX_OR_INVALID,
    ),
    "a fragment explosion": (explosion(40), TOO_COMPLEX),
    "60 fragments": (explosion(60), TOO_COMPLEX),
    "49,990 brackets in an argument": ("{a(b:" + "[" * 49_990, TOO_COMPLEX),
    "900 brackets in an argument": ("{a(b:" + "[" * 900, TOO_COMPLEX),
    "900 objects in an argument": ("{a(b:" + "{a:" * 600, TOO_COMPLEX),
    "900 brackets in a type": ("query($a:" + "[" * 900, TOO_COMPLEX),
    "24,990 levels": ("{a" * 24_990, TOO_COMPLEX),
    "24,900 comments": ("#\n" * 24_900 + "{viewer{id}}", TOO_COMPLEX),
    "a text of a million characters": ('{a(b:"' + "x" * 1_000_000 + '")}', TOO_COMPLEX),
    "unclosed block strings": ('\\"""""' * 8_300, TOO_COMPLEX_OR_INVALID),
    "an unclosed string": ('{a(b:"' + "x" * 49_900, TOO_COMPLEX_OR_INVALID),
    "escapes": ('{a(b:"' + "\\n" * 24_900 + '")}', TOO_COMPLEX_OR_INVALID),
    "escapes that JSON has not": (
        '{a(b:"\\u{41}' + "\\n" * 24_900 + '")}',
        TOO_COMPLEX_OR_INVALID,
    ),
    "escapes, the last of them wrong": (
        '{a(b:"' + "\\n" * 24_900 + '\\q")}',
        TOO_COMPLEX_OR_INVALID,
    ),
    "200 operations": (" ".join(f"query Q{n}{{viewer{{id}}}}" for n in range(200)), TOO_COMPLEX),
    "1,000 variables nobody uses": (
        "query(" + " ".join(f"$v{n}:Int" for n in range(450)) + "){viewer{id}}",
        TOO_COMPLEX_OR_INVALID,
    ),
    "1,900 unknown fields": (
        "{" + " ".join(f"u{n}" for n in range(1_900)) + "}",
        TOO_COMPLEX_OR_INVALID,
    ),
    "999 unknown fields": (
        "{" + " ".join(f"u{n}" for n in range(999)) + "}",
        TOO_COMPLEX_OR_INVALID,
    ),
    "introspection 100 times": (wide_introspection(100), TOO_COMPLEX),
    "introspection in circles": (
        "{__schema{types{fields{type{fields{type{fields{name}}}}}}}}",
        TOO_COMPLEX_OR_INVALID,
    ),
    "100 full pages": (
        "{viewer{"
        + " ".join(f"a{n}:generations(first:100){{nodes{{id}}}}" for n in range(100))
        + "}}",
        TOO_COMPLEX,
    ),
}


NODE = "query($v: ID!) { node(id: $v) { id } }"
NODES = "query($v: [ID!]!) { nodes(ids: $v) { id } }"
LIST = "query($v: GenerationWhere) { viewer { generations(where: $v) { totalCount } } }"
PAGE = "query($v: Cursor) { viewer { generations(after: $v) { totalCount } } }"
FREE = "mutation($v: JSON!) { createProfile(input: {analysis: $v}) { errors { code } } }"
MANY = 100_000


def chain(levels: int, link: str) -> Any:
    """Objects in one another."""
    value: Any = {}
    for _ in range(levels):
        value = {link: value}
    return value


def boxed(levels: int) -> Any:
    """Lists in one another."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


# Each a document that is valid and its variable `v`. What fits the limits may be answered.
HOSTILE_VARIABLES: dict[str, tuple[str, Any]] = {
    "objects 500 deep": (FREE, chain(500, "a")),
    "lists 500 deep": (FREE, boxed(500)),
    "a list 90 deep for a list of ids": (NODES, boxed(90)),
    "an id of a million characters": (NODE, "user_" + "x" * 1_000_000),
    "a cursor of a million characters": (PAGE, "x" * 1_000_000),
    "a million characters where an object belongs": (LIST, "x" * 1_000_000),
    "14,000 ids that are objects": (NODES, [{}] * 14_000),
    "14,000 nulls among ids": (NODES, [None] * 14_000),
    "14,000 unknown keys": (LIST, {f"k{n}": n for n in range(14_000)}),
    "14,000 values in a condition": (LIST, {"status": {"in": ["QUEUED"] * 14_000}}),
    "14,000 unknown values in a condition": (LIST, {"status": {"in": ["X"] * 14_000}}),
    "100,000 ids": (NODES, ["a"] * MANY),
    "100,000 nulls among ids": (NODES, [None] * MANY),
    "100,000 free values": (FREE, list(range(MANY))),
    "50,000 free keys": (FREE, {f"k{n}": n for n in range(50_000)}),
    "100,000 values in a condition": (LIST, {"status": {"in": ["QUEUED"] * MANY}}),
    "30,000 ids in a condition": (LIST, {"id": {"in": [f"generation_{n}" for n in range(30_000)]}}),
    "conditions 80 deep": (LIST, chain(80, "tool")),
    "conditions joined 80 deep": (LIST, chain(80, "and")),
    "4,000 digits": (FREE, int("9" * 4_000)),
    "40,000 integers of 19 digits": (FREE, [10**18 + n for n in range(40_000)]),
    "60,000 timestamps that are none": (LIST, {"createdAt": {"gt": ["x"] * 60_000}}),
}
