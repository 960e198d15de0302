"""Literals of a document replaced by variables, so that texts that differ in them share a plan.

`normalize` splits a text into its *normalized text*, in which a placeholder stands for every number
and string, and the literals themselves. It reads tokens only, so that a text whose normalized form
is known is neither parsed nor validated. That is safe because of what the normalized text keeps:
names, booleans, enum values and the kind of each literal, the values of defaults and of directives'
arguments, and which literals equal one another (fields may share a response key only if their
arguments are equal). What is left to check of a literal is whether it is a value of its type, and
`literal_values` does that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    FloatValueNode,
    GraphQLError,
    GraphQLInputType,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    NameNode,
    ObjectValueNode,
    StringValueNode,
    TypeInfo,
    TypeInfoVisitor,
    Undefined,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    get_nullable_type,
    is_leaf_type,
    parse_value,
    visit,
)
from graphql.utilities import coerce_input_literal

from db.core.yield_points import yield_point
from graph.engine.documents.parsing import Strings

# What GraphQL calls Int and Float (GraphQL specification, 2.9.1 and 2.9.2).
_INT = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_FIRST_OF_LITERAL = frozenset('-0123456789"')
# No name of a document may begin with a digit, so no variable of a client can be meant.
VARIABLE_PREFIX = "0literal"

ALIKE_KEPT = 4_096

Literal = IntValueNode | FloatValueNode | StringValueNode
LITERALS = (IntValueNode, FloatValueNode, StringValueNode)


@dataclass(frozen=True, slots=True)
class NormalizedText:
    """A text with placeholders for its literals, and the literals in their order."""

    text: str
    literals: tuple[Literal, ...]


def normalize(tokens: Sequence[str], strings: Strings) -> NormalizedText | None:
    """A document's tokens as normalized text; nothing when a literal cannot be read."""
    code = [token for token in tokens if token[0] != "#"]
    kept: list[str] = []
    literals: list[Literal] = []
    numbers: dict[tuple[str, str, bool], int] = {}
    stays_until = ""  # one of these tokens ends a part whose literals stay
    for position, token in enumerate(code):
        if stays_until and token in stays_until:
            stays_until = ""
        elif token == "=":
            stays_until = "$)"  # a variable's default, up to the next variable or the last
        elif token == "(" and code[position - 2] == "@":
            stays_until = ")"
        if stays_until or token[0] not in _FIRST_OF_LITERAL:
            kept.append(token)
            continue
        node = _literal(token, strings)
        if node is None:
            return None
        is_block = isinstance(node, StringValueNode) and bool(node.block)
        number = numbers.setdefault((node.kind, node.value, is_block), len(numbers))
        kept.append(f"<{node.kind[0]}{number}>")
        literals.append(node)
    return NormalizedText(" ".join(kept), tuple(literals))


def _literal(token: str, strings: Strings) -> Literal | None:
    if token[0] != '"':
        if _INT.fullmatch(token):
            return IntValueNode(value=token)
        return FloatValueNode(value=token) if _FLOAT.fullmatch(token) else None
    is_block = token.startswith('"""')
    if "\\" not in token and not is_block:
        is_closed = len(token) > 1 and token[-1] == '"'
        return StringValueNode(value=token[1:-1], block=False) if is_closed else None
    try:
        if not is_block:
            return StringValueNode(value=strings.value(token), block=False)
        node = parse_value(token, no_location=True)
    except GraphQLError:
        return None
    assert isinstance(node, StringValueNode)
    return node


@dataclass(frozen=True, slots=True)
class LiteralParameter:
    """A value that became a variable: its type, its syntax, and how many literals are in it."""

    variable: str
    type: GraphQLInputType
    value_node: ValueNode
    count: int

    def value(self, literals: Iterator[Literal]) -> Any:
        """The value with the next literals in it; `Undefined` when it is not of its type."""
        return coerce_input_literal(_filled(self.value_node, literals), self.type)


def _filled(node: ValueNode, literals: Iterator[Literal]) -> ValueNode:
    if isinstance(node, LITERALS):
        return next(literals)
    if isinstance(node, ListValueNode):
        return ListValueNode(values=tuple(_filled(item, literals) for item in node.values))
    if isinstance(node, ObjectValueNode):
        fields = [
            type(field)(name=field.name, value=_filled(field.value, literals))
            for field in node.fields
        ]
        return ObjectValueNode(fields=tuple(fields))
    return node


@dataclass(frozen=True, slots=True)
class ParameterizedDocument:
    """A valid document with variables in the places of its literals."""

    document: DocumentNode
    literal_parameters: tuple[LiteralParameter, ...]

    @property
    def literal_count(self) -> int:
        """How many literals became part of a variable."""
        return sum(parameter.count for parameter in self.literal_parameters)


def literal_values(
    parameters: Sequence[LiteralParameter], literals: Sequence[Literal]
) -> dict[str, Any] | None:
    """The variables that hold a text's literals; nothing when one is no value of its type."""
    following = iter(literals)
    found = {parameter.variable: parameter.value(following) for parameter in parameters}
    return None if Undefined in found.values() else found


def parameterize(schema: GraphQLSchema, document: DocumentNode) -> ParameterizedDocument | None:
    """The document with its literals replaced; nothing when one stands where no variable may."""
    type_info = TypeInfo(schema)
    visitor = _Parameterizer(type_info)
    replaced = visit(document, TypeInfoVisitor(type_info, visitor))
    if not visitor.is_complete:
        return None
    return ParameterizedDocument(replaced, tuple(visitor.literal_parameters))


@lru_cache(ALIKE_KEPT)
def _of_one(name: str, type_: GraphQLInputType, kind: int) -> LiteralParameter:
    """The parameter in the place of one literal: documents share those of the same number."""
    return LiteralParameter(name, type_, LITERALS[kind](value=""), 1)


class _Parameterizer(Visitor):
    """Replaces literals by variables. Literals inside a custom scalar are replaced together."""

    def __init__(self, type_info: TypeInfo) -> None:
        super().__init__()
        self._type_info = type_info
        self.literal_parameters: list[LiteralParameter] = []
        self.is_complete = True

    def enter_field(self, *_: Any) -> None:
        yield_point()

    def enter_variable_definition(self, _: VariableDefinitionNode, *__: Any) -> Any:
        return self.SKIP

    def enter_directive(self, _: DirectiveNode, *__: Any) -> Any:
        return self.SKIP

    def enter_int_value(self, node: IntValueNode, *_: Any) -> Any:
        type_ = self._type_info.get_input_type()
        if type_ is None:
            self.is_complete = False
            return None
        return self._replaced(node, type_, 1)

    enter_float_value = enter_string_value = enter_int_value

    def enter_list_value(self, node: ListValueNode, *_: Any) -> Any:
        # Inside, a list's items are of this type; the value as a whole is of the one around it.
        return self._inside_scalar(node, self._type_info.get_parent_input_type())

    def enter_object_value(self, node: ObjectValueNode, *_: Any) -> Any:
        return self._inside_scalar(node, self._type_info.get_input_type())

    def _inside_scalar(self, node: ValueNode, type_: GraphQLInputType | None) -> Any:
        if type_ is None or not is_leaf_type(get_nullable_type(type_)):
            return None  # its parts have types of their own
        parts = list(_leaves(node))
        if any(isinstance(part, VariableNode) for part in parts):
            self.is_complete = False
            return self.SKIP
        count = sum(isinstance(part, LITERALS) for part in parts)
        return self._replaced(node, type_, count) if count else self.SKIP

    def _replaced(self, node: ValueNode, type_: GraphQLInputType, count: int) -> VariableNode:
        name = f"{VARIABLE_PREFIX}{len(self.literal_parameters)}"
        self.literal_parameters.append(
            _of_one(name, type_, LITERALS.index(type(node)))
            if isinstance(node, LITERALS)
            else LiteralParameter(name, type_, node, count)
        )
        return VariableNode(name=NameNode(value=name))


def _leaves(node: ValueNode) -> Iterator[ValueNode]:
    if isinstance(node, ListValueNode):
        for item in node.values:
            yield from _leaves(item)
    elif isinstance(node, ObjectValueNode):
        for field in node.fields:
            yield from _leaves(field.value)
    else:
        yield node


def stands_for_literal(variable: str) -> bool:
    """Whether a variable stands for a literal: it is always given, and never null."""
    return variable.startswith(VARIABLE_PREFIX)


def strings_in(literals: Sequence[Literal]) -> Iterator[str]:
    """The texts among literals."""
    return (node.value for node in literals if isinstance(node, StringValueNode))
