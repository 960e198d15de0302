"""Coercion of well-formed variables, by functions made once for each input type.

graphql-core interprets the types anew for every request. These functions do the same for usual
values and raise `Unusual` for all others, which graphql-core then coerces or refuses in its words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    is_input_type,
    is_non_null_type,
    is_required_input_field,
    type_from_ast,
)
from graphql.execution.get_variable_signature import get_variable_signature
from graphql.utilities.coerce_input_value import coerce_default_value

MAX_INT, MIN_INT = 2**31 - 1, -(2**31)
MAX_DEPTH = 50
Coerce = Callable[[Any, int], Any]


class Unusual(Exception):
    """A value that only graphql-core's own coercion may judge."""


@dataclass(frozen=True, slots=True)
class VariableReader:
    """How one variable of an operation is read."""

    name: str
    coerce: Coerce
    is_required: bool
    default: Any


class Coercions:
    """The functions of one schema's input types."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._made: dict[GraphQLInputType, Coerce] = {}

    def readers(self, operation: OperationDefinitionNode) -> tuple[VariableReader, ...]:
        """The readers of an operation's variables."""
        return tuple(self._reader(one) for one in operation.variable_definitions or ())

    def _reader(self, definition: Any) -> VariableReader:
        signature = get_variable_signature(self._schema, definition)
        type_ = type_from_ast(self._schema, definition.type)
        assert not isinstance(signature, GraphQLError), "the document is valid"
        assert is_input_type(type_), "the document is valid"
        default = coerce_default_value(signature) if definition.default_value else Undefined
        required = is_non_null_type(type_) and default is Undefined
        return VariableReader(signature.name, self.of(type_), required, default)

    def of(self, type_: GraphQLInputType) -> Coerce:
        """The function of a type."""
        if type_ not in self._made:
            # An input may contain itself: what is made inside finds this before it is there.
            self._made[type_] = partial(self._later, type_)
            self._made[type_] = self._make(type_)
        return self._made[type_]

    def _later(self, type_: GraphQLInputType, value: Any, depth: int) -> Any:
        return self._made[type_](value, depth)

    def _make(self, type_: GraphQLInputType) -> Coerce:
        if isinstance(type_, GraphQLNonNull):
            return _non_null(self.of(type_.of_type))
        if isinstance(type_, GraphQLList):
            return _nullable(_list_of(self.of(type_.of_type)))
        if isinstance(type_, GraphQLInputObjectType):
            if type_.is_one_of:
                return _unusual
            fields = {name: self._field(name, one) for name, one in type_.fields.items()}
            return _nullable(_object_of(fields, type_.out_type))
        return _nullable(_LEAVES.get(type_.name) or _leaf(type_.coerce_input_value))

    def _field(self, name: str, field: GraphQLInputField) -> _Field:
        return _Field(
            field.out_name or name,
            self.of(field.type),
            coerce_default_value(field),
            is_required_input_field(field),
        )


@dataclass(frozen=True, slots=True)
class _Field:
    out_name: str
    coerce: Coerce
    default: Any
    is_required: bool


def read_variables(readers: Sequence[VariableReader], given: Mapping[str, Any]) -> dict[str, Any]:
    """The coerced variables; `Unusual` when graphql-core should say what is wrong with them."""
    coerced = {}
    for reader in readers:
        if reader.name in given:
            coerced[reader.name] = reader.coerce(given[reader.name], 0)
        elif reader.is_required:
            raise Unusual
        elif reader.default is not Undefined:
            coerced[reader.name] = reader.default
    return coerced


def _unusual(_value: Any, _depth: int) -> Any:
    raise Unusual


def _nullable(coerce: Coerce) -> Coerce:
    return lambda value, depth: None if value is None else coerce(value, depth)


def _non_null(coerce: Coerce) -> Coerce:
    def checked(value: Any, depth: int) -> Any:
        if value is None:
            raise Unusual
        return coerce(value, depth)

    return checked


def _list_of(item: Coerce) -> Coerce:
    def coerce(value: Any, depth: int) -> Any:
        if type(value) is not list or depth > MAX_DEPTH:
            raise Unusual
        return [item(one, depth + 1) for one in value]

    return coerce


def _object_of(fields: Mapping[str, _Field], out_type: Callable[[dict[str, Any]], Any]) -> Coerce:
    names = fields.keys()

    def coerce(value: Any, depth: int) -> Any:
        if type(value) is not dict or not value.keys() <= names or depth > MAX_DEPTH:
            raise Unusual
        made = {}
        for name, field in fields.items():
            if name in value:
                made[field.out_name] = field.coerce(value[name], depth + 1)
            elif field.is_required:
                raise Unusual
            elif field.default is not Undefined:
                made[field.out_name] = field.default
        return out_type(made)

    return coerce


def _leaf(parse: Callable[[Any], Any]) -> Coerce:
    def coerce(value: Any, _depth: int) -> Any:
        try:
            made = parse(value)
        except Exception:
            raise Unusual from None
        if made is Undefined:
            raise Unusual
        return made

    return coerce


def _int(value: Any, _depth: int) -> Any:
    if type(value) is not int or not MIN_INT <= value <= MAX_INT:
        raise Unusual
    return value


def _text(value: Any, _depth: int) -> Any:
    if type(value) is not str:
        raise Unusual
    return value


def _boolean(value: Any, _depth: int) -> Any:
    if type(value) is not bool:
        raise Unusual
    return value


_LEAVES: dict[str, Coerce] = {"Int": _int, "String": _text, "ID": _text, "Boolean": _boolean}
