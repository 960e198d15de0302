"""The variables of one request: coerced, storable, within the limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
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
from graph.engine.documents.limits import VARIABLE_VALUE_LIMIT, check_variables
from graph.engine.documents.operation import Operation, Variables
from graph.shared.errors import RequestError
from graph.shared.unstorable import UNSTORABLE, unstorable_place

MAX_INPUT_DEPTH = 100
_STORABLE = frozenset({int, float, bool})
MAX_ERRORS = 20


class PlainVariables(dict[str, Any]):
    """Variables whose JSON text has shown that all of them are storable and within the limits."""


def is_plain(text: bytes) -> bool:
    """Whether a JSON text shows this: it saves a look at each value, and most texts are so.

    A value takes two bytes at least, and only `\\u` can spell what is not storable.
    """
    return (
        len(text) <= VARIABLE_VALUE_LIMIT
        and b"\\u" not in text
        and text.count(b"{") + text.count(b"[") <= MAX_INPUT_DEPTH
    )


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
    if given and type(given) is not PlainVariables:
        check_variables(given)
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


def refuse_unstorable(value: Any, depth: int = 0) -> None:
    """Postgres text holds neither NUL nor half of a surrogate pair; JSON can spell both."""
    if depth > MAX_INPUT_DEPTH:
        raise _bad_input(f"Variables may be nested {MAX_INPUT_DEPTH} levels deep.")
    kind = type(value)
    if kind is str:
        if ("\x00" in value or not value.isascii()) and UNSTORABLE.search(value):
            raise _bad_input("Text may not contain NUL characters or lone surrogates.")
    elif kind is dict:
        for key, item in value.items():
            refuse_unstorable(key, depth)
            if item is not None and type(item) not in _STORABLE:
                refuse_unstorable(item, depth + 1)
    elif kind is list:
        for item in value:
            refuse_unstorable(item, depth + 1)


def _bad_input(message: str) -> RequestError:
    return RequestError([GraphQLError(message)], ErrorCode.BAD_USER_INPUT)
