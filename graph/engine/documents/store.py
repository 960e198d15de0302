"""Documents: parsed, validated and remembered, so that each is read once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    Visitor,
    specified_rules,
    visit,
)
from graphql.validation import NoSchemaIntrospectionCustomRule, ValuesOfCorrectTypeRule

from db.core.errors import ErrorCode
from db.core.yield_points import yield_point
from graph.engine.documents.cache import ByteBoundedCache
from graph.engine.documents.coercion import Coercions
from graph.engine.documents.costs import Pricing
from graph.engine.documents.input_faults import ValuesOfTheirTypes
from graph.engine.documents.limits import Limits, check_text
from graph.engine.documents.literal_parameterization import (
    NormalizedText,
    ParameterizedDocument,
    literal_values,
    normalize,
    parameterize,
    strings_in,
)
from graph.engine.documents.operation import NormalizedDocument, Operation, Tree, Variables
from graph.engine.documents.parsing import Strings, parsed
from graph.engine.documents.plan_cache_key import plan_key_parts
from graph.engine.documents.validation import ValidationRule, valid_document
from graph.engine.documents.variables import coerce_variables, refuse_unstorable
from graph.shared.errors import RequestError

NORMALIZED_BYTES = 12 * 1024 * 1024
TEXT_BYTES = 4 * 1024 * 1024
# What is kept of a text beside the text itself.
TEXT_ENTRY_BYTES = 600
INTROSPECTION = frozenset({"__schema", "__type"})

Key = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class _Text:
    """What is remembered of a text."""

    key: Key
    literals: Mapping[str, Any]
    variables: Variables | None
    memo: dict[Hashable, Any] = field(default_factory=dict)

    def operation(self, normalized: NormalizedDocument) -> Operation:
        return Operation(normalized, self.literals, self.variables, self.memo)


@dataclass(frozen=True, slots=True)
class UnreadDocument:
    """A text that is new here, and its tokens."""

    text: str
    name: str | None
    tokens: list[str]
    strings: Strings
    normalized: NormalizedText | None


def _first_field(
    selections: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> str:
    first = selections.selections[0]
    if isinstance(first, FieldNode):
        return first.name.value
    if isinstance(first, FragmentSpreadNode):
        return _first_field(fragments[first.name.value].selection_set, fragments)
    assert isinstance(first, InlineFragmentNode)
    return _first_field(first.selection_set, fragments)


class _StringChecker(Visitor):
    """Refuses text that cannot be stored."""

    def enter_string_value(self, node: StringValueNode, *_: Any) -> None:
        refuse_unstorable(node.value)


class Documents:
    """The documents this process has read: texts, and the normalized documents that they share."""

    def __init__(
        self, schema: GraphQLSchema, *, introspection: bool, limits: Limits | None = None
    ) -> None:
        self._schema = schema
        self._limits = limits or Limits()
        self._pricing = Pricing(schema)
        self._coercions = Coercions(schema)
        rules: list[ValidationRule] = [
            ValuesOfTheirTypes if rule is ValuesOfCorrectTypeRule else rule
            for rule in specified_rules
        ]
        if not introspection:
            rules.append(NoSchemaIntrospectionCustomRule)
        self._rules = rules
        self._texts: ByteBoundedCache[Key, _Text] = ByteBoundedCache(TEXT_BYTES)
        self._normalized_documents: ByteBoundedCache[Key, NormalizedDocument] = ByteBoundedCache(
            NORMALIZED_BYTES
        )

    def known(self, text: str, name: str | None) -> Operation | None:
        """The operation of a text that is remembered."""
        known = self._texts.get((text, name))
        if known is None:
            return None
        normalized = self._normalized_documents.get(known.key)
        return None if normalized is None else known.operation(normalized)

    def operation(self, text: str, name: str | None) -> Operation:
        """The operation to run; `RequestError` when the document is not valid."""
        found = self.recognized(text, name)
        return found if isinstance(found, Operation) else self.read(found)

    def with_cost(
        self, answer: bytes, text: str, name: str | None, given: Mapping[str, Any]
    ) -> bytes:
        """An answer with the estimated cost of its request in `extensions`."""
        operation = self.operation(text, name)
        variables = coerce_variables(self._schema, operation, given)
        shown = operation.normalized.formula.estimate(variables.coerced).shown(self._limits)
        return answer[:-1] + b',"extensions":{"cost":' + orjson.dumps(shown) + b"}}"

    def recognized(self, text: str, name: str | None) -> Operation | UnreadDocument:
        """The operation of a text that is remembered, or whose normalized document is."""
        known = self.known(text, name)
        if known is not None:
            return known
        tokens, strings = check_text(text, self._limits), Strings()
        found = None if INTROSPECTION.intersection(tokens) else normalize(tokens, strings)
        unread = UnreadDocument(text, name, tokens, strings, found)
        return self._with_its_literals(unread) or unread

    def _with_its_literals(self, unread: UnreadDocument) -> Operation | None:
        """The operation of a document that is remembered with other literals."""
        found = unread.normalized
        if found is None:
            return None
        key = (found.text, unread.name)
        normalized = self._normalized_documents.get(key)
        if normalized is None or normalized.literal_parameters is None:
            return None
        literals = literal_values(normalized.literal_parameters, found.literals)
        if literals is None:
            return None
        for literal in strings_in(found.literals):
            refuse_unstorable(literal)
        return self._remember(unread.text, unread.name, key, normalized, literals)

    def read(self, unread: UnreadDocument) -> Operation:
        """The operation of a document that is not remembered; a long computation."""
        # Others with the same document may have come first.
        known = self.known(unread.text, unread.name) or self._with_its_literals(unread)
        if known is not None:
            return known
        text, tokens, strings = unread.text, unread.tokens, unread.strings
        document = valid_document(self._schema, self._rules, text, tokens, strings, self._limits)
        yield_point()
        visit(document, _StringChecker())
        return self._load(text, unread.name, document, unread.normalized, len(tokens))

    def _load(
        self,
        text: str,
        name: str | None,
        document: DocumentNode,
        found: NormalizedText | None,
        token_count: int,
    ) -> Operation:
        parameterized = None if found is None else self._parameterized(document, found)
        key: Key = (text, name)
        literals: dict[str, Any] = {}
        if found is not None and parameterized is not None:
            key = (found.text, name)
            values = literal_values(parameterized.literal_parameters, found.literals)
            assert values is not None, "the document is valid"
            literals = values
        read_tree = partial(self._read_tree, text, name, parameterized is not None)
        normalized = self._normalized(document, name, key, parameterized, token_count, read_tree)
        self._normalized_documents.put(key, normalized, normalized.size_bytes)
        return self._remember(text, name, key, normalized, literals)

    def _parameterized(
        self, document: DocumentNode, found: NormalizedText
    ) -> ParameterizedDocument | None:
        """The document with its literals replaced; nothing when not all of them can be."""
        if not found.literals:
            return ParameterizedDocument(document, ())
        replaced = parameterize(self._schema, document)
        is_complete = replaced is not None and replaced.literal_count == len(found.literals)
        return replaced if is_complete else None

    def _normalized(
        self,
        document: DocumentNode,
        name: str | None,
        key: Key,
        parameterized: ParameterizedDocument | None,
        token_count: int,
        read_tree: Callable[[], Tree],
    ) -> NormalizedDocument:
        replaced = document if parameterized is None else parameterized.document
        yield_point()
        tree = _tree(replaced, name)
        return NormalizedDocument(
            kind=tree.node.operation,
            variable_definitions=tree.node.variable_definitions or (),
            literal_parameters=(
                None if parameterized is None else parameterized.literal_parameters
            ),
            tree=tree,
            read_tree=read_tree,
            plan_key_parts=plan_key_parts(replaced),
            readers=self._coercions.readers(tree.node),
            formula=self._pricing.formula(tree.node, tree.fragments),
            limits=self._limits,
            resized=partial(self._normalized_documents.resize, key),
            token_count=token_count,
            name=tree.node.name.value if tree.node.name else None,
            label=(
                tree.node.operation.value,
                _first_field(tree.node.selection_set, tree.fragments),
            ),
        )

    def _read_tree(self, text: str, name: str | None, is_parameterized: bool) -> Tree:
        document = parsed(text, Strings(), self._limits)
        replaced = parameterize(self._schema, document) if is_parameterized else None
        return _tree(document if replaced is None else replaced.document, name)

    def _remember(
        self,
        text: str,
        name: str | None,
        key: Key,
        normalized: NormalizedDocument,
        literals: dict[str, Any],
    ) -> Operation:
        variables = None
        if not normalized.variable_definitions:
            # The same for every request of this text.
            variables = Variables(literals, {}, *normalized.size(literals))
        elif not normalized.formula.lists:
            normalized.size({})
        entry = _Text(key, literals, variables)
        self._texts.put((text, name), entry, 2 * sys.getsizeof(text) + TEXT_ENTRY_BYTES)
        return entry.operation(normalized)


def _tree(document: DocumentNode, name: str | None) -> Tree:
    fragments = {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    return Tree(_named_operation(document, name), fragments)


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
        else "The document has no operation named as operationName says."
    )
    raise RequestError([GraphQLError(message)], ErrorCode.BAD_USER_INPUT)
