"""Documents: parsed, validated and remembered, so that each is read once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

import orjson
from graphql import (
    ArgumentNode,
    DirectiveNode,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    StringValueNode,
    ValueNode,
    VariableNode,
    Visitor,
    parse,
    specified_rules,
    validate,
    visit,
)
from graphql.execution.values import get_variable_values
from graphql.validation import NoSchemaIntrospectionCustomRule
from graphql.validation.rules import overlapping_fields_can_be_merged
from graphql.validation.validate import ValidationAbortedError

from db.errors import ErrorCode
from graph.engine.cache import ByteBoundedCache
from graph.engine.costs import Formula, Pricing
from graph.engine.limits import Limits, check_document, check_text, too_complex
from graph.errors import RequestError
from graph.relay import split_global_id

MAX_VALIDATION_ERRORS = 20
MAX_INPUT_DEPTH = 100
# Comparing fields that share a name grows with their square: this much takes about 40 ms.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 15_000
CACHE_BYTES = 16 * 1024 * 1024
# Arguments that shape a statement by being there, and by how they are built.
PLACES = frozenset({"first", "last", "after", "before"})
IDS = frozenset({"id", "ids"})
STRUCTURAL = frozenset({"where", "orderBy"})
PLANS_PER_OPERATION = 64
# A parsed document takes about this many times its text's length in memory.
PARSED_SIZE_FACTOR = 40

Probe = Callable[[Mapping[str, Any]], Hashable]


@dataclass
class Operation:
    """One operation of a valid document, with everything that its plans depend on."""

    node: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]
    probes: list[Probe]
    size_bytes: int
    formula: Formula
    limits: Limits
    plans: dict[tuple[Hashable, ...], Any] = field(default_factory=dict)

    @property
    def kind(self) -> OperationType:
        """Query, mutation or subscription."""
        return self.node.operation

    def shape(self, variables: Mapping[str, Any]) -> tuple[Hashable, ...]:
        """Those properties of the variables that change which statement is needed."""
        return tuple(probe(variables) for probe in self.probes)

    def remember(self, shape: tuple[Hashable, ...], plan: Any) -> None:
        """Keeps a plan for its shape; of too many shapes, the oldest goes."""
        if len(self.plans) >= PLANS_PER_OPERATION:
            self.plans.pop(next(iter(self.plans)))
        self.plans[shape] = plan


class _ProbeFinder(Visitor):
    """Finds the variables whose values shape a statement, and text that cannot be stored."""

    def __init__(self) -> None:
        super().__init__()
        self.probes: dict[tuple[str, str], Probe] = {}

    def enter_string_value(self, node: StringValueNode, *_: Any) -> None:
        _refuse_unstorable(node.value)

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        for argument in node.arguments or ():
            if isinstance(argument.value, VariableNode):
                name = argument.value.name.value
                self.probes["truth", name] = partial(_truth, name)

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        argument = node.name.value
        for variable in _variables_in(node.value):
            if argument in STRUCTURAL:
                probe = partial(_structure_of, variable, choices=argument == "orderBy")
                self.probes[argument, variable] = probe
            elif argument in PLACES:
                self.probes["given", variable] = partial(_given, variable)
            elif argument in IDS:
                self.probes["prefixes", variable] = partial(_prefixes, variable)


def _variables_in(value: ValueNode) -> Iterator[str]:
    if isinstance(value, VariableNode):
        yield value.name.value
    elif isinstance(value, ListValueNode):
        for item in value.values:
            yield from _variables_in(item)
    elif isinstance(value, ObjectValueNode):
        for field in value.fields:
            yield from _variables_in(field.value)


def has_variables(value: ValueNode) -> bool:
    """Whether a value of a document depends on the request's variables."""
    return next(_variables_in(value), None) is not None


def _structure_of(name: str, variables: Mapping[str, Any], *, choices: bool) -> Hashable:
    return _structure(variables[name], choices) if name in variables else "absent"


def _structure(value: Any, choices: bool) -> Hashable:
    """Everything of a filter or order that changes SQL: its keys, and an order's choices."""
    if isinstance(value, Mapping):
        return tuple((key, _structure(item, choices)) for key, item in sorted(value.items()))
    if choices and isinstance(value, Enum):
        return value
    return "null" if value is None else "value"


def _given(name: str, variables: Mapping[str, Any]) -> bool:
    return variables.get(name) is not None


def _prefixes(name: str, variables: Mapping[str, Any]) -> Hashable:
    """Which types the ids name: each type is read from a table of its own."""
    value = variables.get(name)
    ids = value if isinstance(value, list) else [value]
    return tuple(split_global_id(str(item))[0] for item in ids)


def _truth(name: str, variables: Mapping[str, Any]) -> bool | None:
    return variables.get(name)


def _read(text: str, limits: Limits) -> DocumentNode:
    """The document, once it is known to be small enough to validate."""
    check_text(text, limits)
    try:
        document = parse(text, max_tokens=limits.tokens)
        check_document(document, limits)
    except GraphQLError as error:
        code = ErrorCode.BAD_USER_INPUT
        if "Parsing aborted" in error.message:
            code = ErrorCode.QUERY_TOO_COMPLEX
        raise RequestError([error], code) from None
    except RecursionError:
        raise too_complex("The document is nested too deeply.") from None
    return document


class Documents:
    """The documents this process has read, by their text."""

    def __init__(
        self, schema: GraphQLSchema, *, introspection: bool, limits: Limits | None = None
    ) -> None:
        self._schema = schema
        self._limits = limits or Limits()
        self._pricing = Pricing(schema)
        rules = list(specified_rules)
        if not introspection:
            rules.append(NoSchemaIntrospectionCustomRule)
        self._rules = rules
        self._cache: ByteBoundedCache[tuple[str, str | None], Operation] = ByteBoundedCache(
            CACHE_BYTES
        )

    def operation(self, text: str, name: str | None) -> Operation:
        """The operation to run; `RequestError` when the document is not valid."""
        found = self._cache.get((text, name))
        if found is None:
            found = self._load(text, name)
            self._cache.put((text, name), found, found.size_bytes)
        return found

    def with_cost(
        self, answer: bytes, text: str, name: str | None, given: Mapping[str, Any]
    ) -> bytes:
        """An answer with the estimated cost of its request in `extensions`."""
        operation = self.operation(text, name)
        variables = coerce_variables(self._schema, operation, given)
        shown = operation.formula.estimate(variables.coerced).shown(self._limits)
        return answer[:-1] + b',"extensions":{"cost":' + orjson.dumps(shown) + b"}}"

    def _load(self, text: str, name: str | None) -> Operation:
        document = _read(text, self._limits)
        errors = validate(
            self._schema, document, self._rules, MAX_VALIDATION_ERRORS, hide_suggestions=True
        )
        if errors:
            raise _invalid(errors)
        node = _named_operation(document, name)
        finder = _ProbeFinder()
        visit(document, finder)
        fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        formula = self._pricing.formula(node, fragments)
        if not formula.lists:
            formula.estimate({}).check(self._limits)  # the same for every request
        return Operation(
            node=node,
            fragments=fragments,
            probes=list(finder.probes.values()),
            size_bytes=sys.getsizeof(text) * PARSED_SIZE_FACTOR,
            formula=formula,
            limits=self._limits,
        )


def _invalid(errors: Sequence[GraphQLError]) -> RequestError:
    # Validation also aborts after too many faults; then it has shown them.
    if isinstance(errors[-1], ValidationAbortedError) and len(errors) <= MAX_VALIDATION_ERRORS:
        return too_complex("The document's fields repeat one another too often.")
    return RequestError(errors, ErrorCode.BAD_USER_INPUT)


def _named_operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if name is None and len(operations) == 1:
        return operations[0]
    for operation in operations:
        if name is not None and operation.name is not None and operation.name.value == name:
            return operation
    message = (
        "The document has several operations: say which with operationName."
        if name is None
        else f"The document has no operation named {name!r}."
    )
    raise RequestError([GraphQLError(message)], ErrorCode.BAD_USER_INPUT)


def coerce_variables(schema: GraphQLSchema, operation: Operation, given: Mapping[str, Any]) -> Any:
    """The operation's variables by the specification's rules, within the limits."""
    _refuse_unstorable(given)
    if not operation.node.variable_definitions:
        return _NO_VARIABLES
    result = get_variable_values(
        schema, operation.node.variable_definitions, dict(given), hide_suggestions=True
    )
    if isinstance(result, list):
        raise RequestError(result, ErrorCode.BAD_USER_INPUT)
    if operation.formula.lists:
        operation.formula.estimate(result.coerced).check(operation.limits)
    return result


def _refuse_unstorable(value: Any, depth: int = 0) -> None:
    """Postgres text holds neither NUL nor half of a surrogate pair; JSON can spell both."""
    if depth > MAX_INPUT_DEPTH:
        raise _bad_input(f"Variables may be nested {MAX_INPUT_DEPTH} levels deep.")
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise _bad_input("Text may not contain NUL characters or lone surrogates.")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_unstorable(key, depth)
            _refuse_unstorable(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _refuse_unstorable(item, depth + 1)


def _bad_input(message: str) -> RequestError:
    return RequestError([GraphQLError(message)], ErrorCode.BAD_USER_INPUT)


class _NoVariables:
    """What an operation without variables has."""

    coerced: Mapping[str, Any] = {}
    sources: Mapping[str, Any] = {}


_NO_VARIABLES = _NoVariables()
