"""Documents are valid, or refused with what is wrong and where; in time that is bounded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, cast

from graphql import (
    ASTValidationRule,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    KnownDirectivesRule,
    NoUndefinedVariablesRule,
    NoUnusedVariablesRule,
    UniqueDirectivesPerLocationRule,
    UniqueVariableNamesRule,
    ValidationContext,
    VariablesAreInputTypesRule,
    VariablesInAllowedPositionRule,
    validate,
)
from graphql.validation import (
    DeferStreamDirectiveLabel,
    DeferStreamDirectiveOnRootField,
    DeferStreamDirectiveOnValidOperationsRule,
    StreamDirectiveOnListField,
)
from graphql.validation.rules import overlapping_fields_can_be_merged
from graphql.validation.validate import ValidationAbortedError

from db.core.errors import ErrorCode
from db.core.yield_points import yield_point
from graph.engine.documents.limits import Limits, too_complex
from graph.engine.documents.parsing import Strings, located, parsed
from graph.shared.errors import RequestError

MAX_ERRORS = 20
# Comparing fields that share a name grows with their square: this much takes about 10 ms.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 15_000

ValidationRule = type[ASTValidationRule]
# What a document must have for a rule to find anything. Those of variables walk all of it anew.
ONLY_WITH: dict[ValidationRule, str] = {
    NoUndefinedVariablesRule: "$",
    NoUnusedVariablesRule: "$",
    UniqueVariableNamesRule: "$",
    VariablesAreInputTypesRule: "$",
    VariablesInAllowedPositionRule: "$",
    KnownDirectivesRule: "@",
    UniqueDirectivesPerLocationRule: "@",
    DeferStreamDirectiveLabel: "@",
    DeferStreamDirectiveOnRootField: "@",
    DeferStreamDirectiveOnValidOperationsRule: "@",
    StreamDirectiveOnListField: "@",
}


class _Pauses(ASTValidationRule):
    """Finds nothing: where validation may be suspended."""

    def enter_field(self, *_: Any) -> None:
        yield_point()

    enter_argument = enter_object_field = enter_field


def valid_document(
    schema: GraphQLSchema,
    rules: Sequence[ValidationRule],
    text: str,
    tokens: Collection[str],
    strings: Strings,
    limits: Limits,
) -> DocumentNode:
    """The document of a text and its tokens, small enough to validate, and valid."""
    document = parsed(text, strings, limits)
    marks = {mark for mark in "$@" if mark in tokens}
    needed = [rule for rule in rules if rule not in ONLY_WITH or ONLY_WITH[rule] in marks]
    needed.append(_Pauses)
    errors = _faults(schema, needed, document)
    if not errors:
        return document
    # Validation also aborts after too many faults; then it has shown them.
    if isinstance(errors[-1], ValidationAbortedError) and len(errors) <= MAX_ERRORS:
        raise too_complex("The document's fields repeat one another too often.")
    raise RequestError(located(errors, document, text, strings, limits), ErrorCode.BAD_USER_INPUT)


def _faults(
    schema: GraphQLSchema, rules: Sequence[ValidationRule], document: DocumentNode
) -> list[GraphQLError]:
    made: list[ASTValidationRule] = []

    def remembering(rule: ValidationRule) -> Callable[[ValidationContext], ASTValidationRule]:
        def make(context: ValidationContext) -> ASTValidationRule:
            made.append(cast("Any", rule)(context))
            return made[-1]

        return make

    try:
        return validate(
            schema,
            document,
            cast("Any", [remembering(rule) for rule in rules]),
            MAX_ERRORS,
            hide_suggestions=True,
        )
    finally:
        # Visitors keep their own methods, so only the garbage collector would find them, with the
        # document and all that was compared: up to 25,000 objects, a pause of 120 ms for seven.
        for visitor in made:
            vars(visitor).clear()
