"""Every argument and every field of an input refuses every wrong shape: coded, placed, and silent
about the value; and whatever passes for its type is answered or refused, never a fault of ours."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    OperationType,
    Undefined,
    get_named_type,
    is_required_argument,
    is_required_input_field,
    print_ast,
)
from graphql.utilities import coerce_input_value

from graph.engine.execution.engine import Engine
from graph.schema import build_schema
from graph.shared.context import Context
from graph.shared.errors import RequestError
from server.services import Services

from ..conftest import MakeUser
from .test_no_server_fault import as_node

CANARY = "canary7f3a"
SHAPES: dict[str, Any] = {
    "null": None,
    "true": True,
    "a number": 7,
    "a huge number": 2**63 - 1,
    "a fraction": 1.5,
    "a text": CANARY,
    "an empty text": "",
    "a list": [CANARY],
    "an empty list": [],
    "a list of lists": [[CANARY]],
    "an empty list in a list": [[]],
    "an object": {"field": CANARY},
    "an object in an object": {"field": {"field": [CANARY]}},
}
# One of so many shapes is written into the document of a place; all of them in the nightly profile.
LITERALS_IN = 4
# What has the right type and is hardly ever what is meant.
ODD_TEXTS = ("", " ", CANARY, "profile_" + CANARY, "profile_", "_", "ﬁ\u202e", "9" * 400)
ODD_VALUES: dict[str, tuple[Any, ...]] = {
    "ID": (*ODD_TEXTS, 7),
    "String": ODD_TEXTS,
    "Cursor": (*ODD_TEXTS, "WyIxIl0=", "e30=", "bnVsbA=="),
    "JSON": (None, True, 7, 1.5, CANARY, [], [[CANARY]], {"field": CANARY}, {"": {"": [None]}}),
    "Int": (0, -1, 2**31 - 1, -(2**31)),
    "BigInt": (0, -1, 2**63 - 1),
    "Float": (0.0, -1.5, 1e308),
}
schema = build_schema()._schema


@dataclass(frozen=True)
class Place:
    """One value that a client gives: the document around its argument, and where it stands."""

    kind: str
    path: tuple[tuple[str, str], ...]
    argument: str
    type: GraphQLInputType
    within: tuple[str, ...]
    here: GraphQLInputType

    @property
    def name(self) -> str:
        fields = ".".join(field for field, _ in self.path)
        return f"{fields}({'.'.join((self.argument, *self.within))})"

    def document(self, value: str, *, variable: bool) -> str:
        """The document with this text as the argument's value."""
        made = ""
        for depth, (field, selection) in enumerate(reversed(self.path)):
            given = required_arguments(self, field, depth)
            if depth == 0:
                given[self.argument] = value
            told = ", ".join(f"{name}: {text}" for name, text in given.items())
            below = f" {{ {made} }}" if made else selection
            made = f"{field}{f'({told})' if told else ''}{below}"
        head = f"{self.kind}($v: {self.type})" if variable else self.kind
        return f"{head} {{ {made} }}"

    def whole(self, value: Any) -> Any:
        """The argument's value with `value` at this place of it."""
        return _whole(self.type, self.within, value)


def _whole(type_: GraphQLInputType, within: tuple[str, ...], value: Any) -> Any:
    if not within:
        return value
    inner = _nullable(type_)
    if isinstance(inner, GraphQLList):
        return [_whole(inner.of_type, within[1:], value)]
    assert isinstance(inner, GraphQLInputObjectType)
    made = {
        name: usual(field.type)
        for name, field in inner.fields.items()
        if is_required_input_field(field)
    }
    made[within[0]] = _whole(inner.fields[within[0]].type, within[1:], value)
    return made


def usual(type_: GraphQLInputType) -> Any:
    """A value that a type takes."""
    type_ = _nullable(type_)
    if isinstance(type_, GraphQLList):
        return [usual(type_.of_type)]
    if isinstance(type_, GraphQLInputObjectType):
        return {n: usual(f.type) for n, f in type_.fields.items() if is_required_input_field(f)}
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values))
    plain = {"Int": 1, "Float": 1.0, "Boolean": True, "JSON": {}, "BigInt": 1}
    others = {"DateTime": "2026-01-31T12:00:00Z", "UUID": "01a1fd47-0000-7000-8000-000000000000"}
    return plain.get(type_.name, others.get(type_.name, "x"))


def _nullable(type_: GraphQLInputType) -> Any:
    return type_.of_type if isinstance(type_, GraphQLNonNull) else type_


def literal(value: Any, type_: GraphQLInputType) -> str:
    """A value as a document has it; names of enums stand without quotes."""
    text = print_ast(as_node(value))
    inner = get_named_type(type_)
    enums = [inner] if isinstance(inner, GraphQLEnumType) else []
    if isinstance(inner, GraphQLInputObjectType):
        enums += [
            found
            for field in inner.fields.values()
            if isinstance(found := get_named_type(field.type), GraphQLEnumType)
        ]
    for enum in enums:
        for name in enum.values:
            text = text.replace(f'"{name}"', name)
    return text


def required_arguments(place: Place, field: str, depth: int) -> dict[str, str]:
    """The arguments that a field on the way must have."""
    parent: Any = schema.get_root_type(OperationType(place.kind))
    for name, _ in place.path[: len(place.path) - 1 - depth]:
        parent = get_named_type(parent.fields[name].type)
    return {
        name: literal(usual(one.type), one.type)
        for name, one in parent.fields[field].args.items()
        if is_required_argument(one)
    }


def fields_with_arguments() -> Iterator[
    tuple[str, tuple[tuple[str, str], ...], str, GraphQLArgument]
]:
    """Each field that takes arguments, reached on the shortest way from a root."""
    for kind in ("query", "mutation"):
        root = schema.get_root_type(OperationType(kind))
        waiting: deque[tuple[GraphQLObjectType, tuple[tuple[str, str], ...]]] = deque([(root, ())])
        seen = {root.name} if kind == "query" else {root.name, "User", "Viewer"}
        while waiting:
            parent, path = waiting.popleft()
            for name, field in parent.fields.items():
                inner = get_named_type(field.type)
                selection = " { __typename }" if hasattr(inner, "fields") else ""
                here = (*path, (name, selection))
                for argument, declared in field.args.items():
                    yield kind, here, argument, declared
                if isinstance(inner, GraphQLObjectType) and inner.name not in seen:
                    seen.add(inner.name)
                    waiting.append((inner, here))


def positions(type_: GraphQLInputType, depth: int = 0) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each place within a type: itself, the fields of inputs, the items of lists."""
    yield (), type_
    inner = _nullable(type_)
    if isinstance(inner, GraphQLList):
        for within, here in positions(inner.of_type, depth):
            yield ("0", *within), here
    elif isinstance(inner, GraphQLInputObjectType) and depth < 3:
        for name, field in inner.fields.items():
            for within, here in positions(field.type, depth + 1):
                yield (name, *within), here


def places() -> list[Place]:
    """Every value that a client can give, each type of input once."""
    found: dict[Any, Place] = {}
    for kind, path, argument, declared in fields_with_arguments():
        for within, here in positions(declared.type):
            place = Place(kind, path, argument, declared.type, within, here)
            named = get_named_type(declared.type)
            # A page's arguments are alike on every list; inputs are each met where they stand.
            key = (argument, within, str(here), named.name if within or kind == "mutation" else "")
            found.setdefault(key, place)
    return list(found.values())


PLACES = places()


async def answer_of(
    engine: Engine, context: Context, text: str, variables: dict[str, Any]
) -> list[dict[str, Any]]:
    """The errors of an answer: top-level ones, and those of payloads."""
    try:
        body = orjson.loads(await engine.run(text, variables, None, context))
    except RequestError as error:
        return error.formatted()
    found = list(body.get("errors") or ())
    for value in (body.get("data") or {}).values():
        if isinstance(value, dict):
            found += value.get("errors") or ()
    return found


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_wrong_shape_is_refused_with_its_place_and_without_its_value(
    engine: Engine,
    services: Services,
    make_user: MakeUser,
    request: pytest.FixtureRequest,
    shape: str,
) -> None:
    context = Context(await make_user(credits=0), services, "test")
    value, tried = SHAPES[shape], 0
    # Each place has every shape by variable, and some by literal: each of those is a new document.
    every = 1 if request.config.getoption("--nightly") else LITERALS_IN
    turn = list(SHAPES).index(shape)
    for number, place in enumerate(PLACES):
        if coerce_input_value(value, place.here) is not Undefined:
            continue
        whole, tried = place.whole(value), tried + 1
        asked: list[tuple[str, dict[str, Any]]] = [
            (place.document("$v", variable=True), {"v": whole})
        ]
        if (number + turn) % every == 0:
            asked.append((place.document(literal(whole, place.type), variable=False), {}))
        for text, variables in asked:
            errors = await answer_of(engine, context, text, variables)
            assert errors, (place.name, text)
            for error in errors:
                assert error["extensions"]["code"] == "BAD_USER_INPUT", (place.name, error)
                assert error.get("locations") or error["extensions"].get("path"), error
                told = orjson.dumps(error).decode()
                assert CANARY not in told, (place.name, error)
                assert not {"None", "Undefined", "True", "False"} & set(told.split()), error
            if variables:
                leads_to = [str(step) for step in errors[0]["extensions"].get("path", [])]
                assert leads_to[:1] == ["v"] or "is missing" in errors[0]["message"], errors
    assert tried > 10


@pytest.mark.parametrize("type_name", ODD_VALUES)
async def test_an_odd_value_of_the_right_type_is_no_fault_of_ours(
    engine: Engine, services: Services, make_user: MakeUser, type_name: str
) -> None:
    context = Context(await make_user(credits=0), services, "test")
    tried = 0
    for place in PLACES:
        if getattr(_nullable(place.here), "name", "") != type_name:
            continue
        for value in ODD_VALUES[type_name]:
            if coerce_input_value(value, place.here) is Undefined:
                continue
            tried += 1
            text = place.document("$v", variable=True)
            for error in await answer_of(engine, context, text, {"v": place.whole(value)}):
                code = error.get("code") or error["extensions"]["code"]
                assert code != "INTERNAL", (place.name, value, error)
                assert CANARY not in orjson.dumps(error).decode(), (place.name, error)
    assert tried or type_name in {"BigInt", "Float"}
