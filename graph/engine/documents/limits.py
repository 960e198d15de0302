"""Limits of a document that are known before it is validated: its size, depth and repetition."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionSetNode,
)

from db.core.errors import ErrorCode
from graph.shared.errors import RequestError
from settings import Settings

# Deeper brackets than fields can need, and far from what a recursive walk can take.
BRACKET_LIMIT = 50
# Far beyond what a list of ids or a free value needs; to refuse this many takes about 40 ms.
VARIABLE_VALUE_LIMIT = 15_000
MAX_INPUT_DEPTH = 100
# Linear whatever the text: nothing is tried twice, and an unterminated string is one token.
_TOKEN = re.compile(
    r'"""(?:[^"\\]++|\\"""|\\|"(?!""))*+(?:"""|\Z)'
    r'|"(?:[^"\\\n\r]++|\\.)*+"?'
    r"|#[^\n\r]*+"
    r"|\.\.\."
    r"|[-+.\w]++"
    r"|[^ \t\r\n,\ufeff]"
)
_STEPS = {"{": 1, "(": 1, "[": 1, "}": -1, ")": -1, "]": -1}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one document may ask for, and how much one request of it."""

    characters: int = 50_000
    tokens: int = 2_000
    depth: int = 15
    aliases: int = 100
    directives: int = 50
    definitions: int = 50
    fields: int = 1_000
    cost: int = 20_000
    rows: int = 5_000
    answer_bytes: int = 8_388_608

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits of a deployment."""
        return cls(
            characters=settings.query_character_limit,
            tokens=settings.query_token_limit,
            depth=settings.query_depth_limit,
            aliases=settings.query_alias_limit,
            directives=settings.query_directive_limit,
            definitions=settings.query_definition_limit,
            fields=settings.query_field_limit,
            cost=settings.query_cost_limit,
            rows=settings.query_row_limit,
            answer_bytes=settings.answer_limit_bytes,
        )


def too_complex(message: str) -> RequestError:
    """The refusal of a document."""
    return RequestError([GraphQLError(message)], ErrorCode.QUERY_TOO_COMPLEX)


def refuse_above(limit: int, asked: int, what: str) -> None:
    """Refuses more than a limit, saying what was asked."""
    if asked > limit:
        raise too_complex(f"The document has {asked} {what}; {limit} are allowed.")


def check_text(text: str, limits: Limits) -> list[str]:
    """The tokens of a text; one that would be costly to parse is refused."""
    refuse_above(limits.characters, len(text), "characters (send long values as variables)")
    tokens = _TOKEN.findall(text)
    refuse_above(limits.tokens, len(tokens), "tokens")
    refuse_above(limits.directives, tokens.count("@"), "directives")
    depth = deepest = 0
    for token in tokens:
        if step := _STEPS.get(token):
            depth += step
            deepest = max(deepest, depth)
    refuse_above(BRACKET_LIMIT, deepest, "brackets inside one another")
    return tokens


def check_variables(given: Mapping[str, Any]) -> None:
    """Refuses variables that would be costly to coerce, or are nested too deeply."""
    level: list[Any] = [*given.values()]
    depth, count = 1, 0
    while level:
        count += len(level)
        if count > VARIABLE_VALUE_LIMIT:
            raise too_complex(f"Variables may hold {VARIABLE_VALUE_LIMIT} values in all.")
        if depth > MAX_INPUT_DEPTH:
            raise RequestError(
                [GraphQLError(f"Variables may be nested {MAX_INPUT_DEPTH} levels deep.")],
                ErrorCode.BAD_USER_INPUT,
            )
        level, depth = _inside(level, VARIABLE_VALUE_LIMIT - count), depth + 1


def _inside(values: list[Any], most: int) -> list[Any]:
    """What is in the objects and lists among values; once it is more than `most`, part of it."""
    found: list[Any] = []
    for value in values:
        kind = type(value)
        if kind is dict:
            found += value.values()
        elif kind is list:
            found += value
        else:
            continue
        if len(found) > most:
            break
    return found


def check_document(document: DocumentNode, limits: Limits) -> None:
    """Refuses a document that would be costly to validate: deep, repetitive or explosive."""
    refuse_above(limits.definitions, len(document.definitions), "definitions")
    fragments = {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    measure = _Measure(fragments)
    for name in fragments:
        measure.fragment(name)
    sizes = [*measure.sizes.values()]
    sizes += [
        measure.selections([definition.selection_set])
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
    ]
    refuse_above(limits.aliases, measure.aliases, "aliases")
    refuse_above(limits.depth, max((s.depth for s in sizes), default=0), "levels of fields")
    most = max((size.fields for size in sizes), default=0)
    refuse_above(limits.fields, most, "fields with its fragments opened")


@dataclass(frozen=True, slots=True)
class _Size:
    """Fields and their depth, with every fragment opened wherever it is spread."""

    fields: int = 0
    depth: int = 0


class _Measure:
    """Measures selections; each fragment once, so that explosions are counted, not walked."""

    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._open: set[str] = set()
        self.sizes: dict[str, _Size] = {}
        self.aliases = 0

    def fragment(self, name: str) -> _Size:
        """The size of a fragment; an unknown one has none, and validation names it."""
        size = self.sizes.get(name)
        if size is None:
            if name in self._open:
                raise too_complex(f"The fragment {name!r} spreads itself.")
            self._open.add(name)
            found = self._fragments.get(name)
            size = self.selections([found.selection_set]) if found else _Size()
            self.sizes[name] = size
        return size

    def selections(self, sets: Iterable[SelectionSetNode | None]) -> _Size:
        """The size of selection sets, its own fields at depth one."""
        fields = depth = 0
        for selection_set in sets:
            for selection in selection_set.selections if selection_set else ():
                if isinstance(selection, FieldNode):
                    self.aliases += selection.alias is not None
                    inner = self.selections([selection.selection_set])
                    inner = _Size(inner.fields + 1, inner.depth + 1)
                elif isinstance(selection, FragmentSpreadNode):
                    inner = self.fragment(selection.name.value)
                else:
                    inner = self.selections([selection.selection_set])  # type: ignore[attr-defined]
                fields += inner.fields
                depth = max(depth, inner.depth)
        return _Size(fields, depth)
