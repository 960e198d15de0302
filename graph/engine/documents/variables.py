"""The variables of one request: coerced, storable, within the limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import NoneType
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLSchema,
    VariableDefinitionNode,
    is_input_type,
    is_non_null_type,
    type_from_ast,
)
from graphql.execution.values import get_variable_values

from db.core.errors import ErrorCode
from graph.engine.documents.coercion import Unusual, read_variables
from graph.engine.documents.input_faults import described, faults_of_value
from graph.engine.documents.limits import (
    MAX_INPUT_DEPTH,
    VARIABLE_VALUE_LIMIT,
    check_variables,
)
from graph.engine.documents.operation import Operation, Variables
from graph.shared.errors import RequestError
from graph.shared.unstorable import UNSTORABLE, unstorable_place

_NO_TEXT = frozenset({int, float, bool, NoneType})
MAX_ERRORS = 20


class StorableVariables(dict[str, Any]):
    """Variables whose JSON text has shown that all of them are storable."""


class PlainVariables(StorableVariables):
    """Variables whose JSON text has shown that they are also within the limits."""


def as_shown(variables: dict[str, Any], text: bytes) -> dict[str, Any]:
    """Variables, marked with what their JSON text shows: it saves a look at each value.

    Only `\\u` can spell what is not storable, and a value takes two bytes at least.
    """
    if b"\\u" in text:
        return variables
    if len(text) <= VARIABLE_VALUE_LIMIT and text.count(b"{") + text.count(b"[") <= MAX_INPUT_DEPTH:
        return PlainVariables(variables)
    return StorableVariables(variables)


def coerce_variables(
    schema: GraphQLSchema,
    operation: Operation,
    given: Mapping[str, Any],
    *,
    only_usual: bool = False,
) -> Variables:
    """The operation's variables by the specification's rules, within the limits.

    With `only_usual` values that take long, since they may have to be refused, raise `Unusual`.
    """
    if given and not isinstance(given, PlainVariables):
        check_variables(given)
        if not isinstance(given, StorableVariables):
            _refuse_unstorable_variables(given)
    if operation.variables is not None:
        return operation.variables
    normalized = operation.normalized
    try:
        coerced = read_variables(normalized.readers, given)
    except Unusual:
        if only_usual:
            raise
        coerced = _coerced_by_graphql_core(schema, operation, given)
    if operation.literals:
        coerced |= operation.literals
    return Variables(coerced, given, *normalized.size(coerced))


def _coerced_by_graphql_core(
    schema: GraphQLSchema, operation: Operation, given: Mapping[str, Any]
) -> dict[str, Any]:
    definitions = operation.normalized.variable_definitions
    # Without a bound, each wrong item of a long list would be told.
    result = get_variable_values(
        schema, definitions, dict(given), max_errors=MAX_ERRORS, hide_suggestions=True
    )
    if isinstance(result, list):
        found = list(islice(_refusals(schema, definitions, given), MAX_ERRORS))
        nested = GraphQLError("The variables are nested too deeply.")
        raise RequestError(found or [nested], ErrorCode.BAD_USER_INPUT)
    return dict(result.coerced)


def _refusals(
    schema: GraphQLSchema,
    definitions: Sequence[VariableDefinitionNode],
    given: Mapping[str, Any],
) -> Iterator[GraphQLError]:
    """What is wrong with the variables; `path` of the extensions leads to each place."""
    for definition in definitions:
        name, type_ = definition.variable.name.value, type_from_ast(schema, definition.type)
        assert is_input_type(type_), "the document is valid"
        if name not in given:
            if is_non_null_type(type_) and definition.default_value is None:
                message = f"The variable ${name} of type {type_} is missing."
                yield GraphQLError(message, definition, extensions={"path": [name]})
            continue
        try:
            for at, fault in faults_of_value(given[name], type_):
                message = f"In {described(name, at)}: {fault}"
                yield GraphQLError(message, definition, extensions={"path": [name, *at]})
        except RecursionError:
            return


def _refuse_unstorable_variables(given: Mapping[str, Any]) -> None:
    """The same of all variables, with the place, which is looked for only where it is needed."""
    try:
        refuse_unstorable(given)
    except RequestError as refused:
        place = unstorable_place(given)
        if not place:
            raise
        name, *at = place
        message = f"In {described(str(name), at)}: {refused.errors[0].message}"
        error = GraphQLError(message, extensions={"path": [name, *at]})
        raise RequestError([error], refused.code) from None


def refuse_unstorable(value: Any) -> None:
    """Postgres text holds neither NUL nor half of a surrogate pair; JSON can spell both."""
    kind = type(value)
    if kind is str:
        if ("\x00" in value or not value.isascii()) and UNSTORABLE.search(value):
            message = "Text may not contain NUL characters or lone surrogates."
            raise RequestError([GraphQLError(message)], ErrorCode.BAD_USER_INPUT)
    elif kind is dict:
        for key, item in value.items():
            refuse_unstorable(key)
            if type(item) not in _NO_TEXT:
                refuse_unstorable(item)
    elif kind is list:
        for item in value:
            refuse_unstorable(item)
