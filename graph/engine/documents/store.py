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
    parse,
    specified_rules,
    visit,
)
from graphql.validation import NoSchemaIntrospectionCustomRule, ValuesOfCorrectTypeRule

from db.core.errors import ErrorCode
from graph.engine.documents import lifting
from graph.engine.documents.cache import ByteBoundedCache
from graph.engine.documents.coercion import Coercions
from graph.engine.documents.costs import Pricing
from graph.engine.documents.input_faults import ValuesOfTheirTypes
from graph.engine.documents.lifting import Lifted, Reading
from graph.engine.documents.limits import Limits, check_text
from graph.engine.documents.operation import Operation, Skeleton, Tree, Variables
from graph.engine.documents.parsing import Strings
from graph.engine.documents.probes import probes_of
from graph.engine.documents.validation import Rule, valid_document
from graph.engine.documents.variables import coerce_variables, refuse_unstorable
from graph.shared.errors import RequestError

SKELETON_BYTES = 32 * 1024 * 1024
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
    settled: dict[Hashable, Any] = field(default_factory=dict)

    def operation(self, skeleton: Skeleton) -> Operation:
        return Operation(skeleton, self.literals, self.variables, self.settled)


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
    """The documents this process has read: texts, and the skeletons that they share."""

    def __init__(
        self, schema: GraphQLSchema, *, introspection: bool, limits: Limits | None = None
    ) -> None:
        self._schema = schema
        self._limits = limits or Limits()
        self._pricing = Pricing(schema)
        self._coercions = Coercions(schema)
        rules: list[Rule] = [
            ValuesOfTheirTypes if rule is ValuesOfCorrectTypeRule else rule
            for rule in specified_rules
        ]
        if not introspection:
            rules.append(NoSchemaIntrospectionCustomRule)
        self._rules = rules
        self._texts: ByteBoundedCache[Key, _Text] = ByteBoundedCache(TEXT_BYTES)
        self._skeletons: ByteBoundedCache[Key, Skeleton] = ByteBoundedCache(SKELETON_BYTES)

    def known(self, text: str, name: str | None) -> Operation | None:
        """The operation of a text that is remembered."""
        known = self._texts.get((text, name))
        if known is None:
            return None
        skeleton = self._skeletons.get(known.key)
        return None if skeleton is None else known.operation(skeleton)

    def operation(self, text: str, name: str | None) -> Operation:
        """The operation to run; `RequestError` when the document is not valid."""
        return self.known(text, name) or self._read(text, name)

    def with_cost(
        self, answer: bytes, text: str, name: str | None, given: Mapping[str, Any]
    ) -> bytes:
        """An answer with the estimated cost of its request in `extensions`."""
        operation = self.operation(text, name)
        variables = coerce_variables(self._schema, operation, given)
        shown = operation.skeleton.formula.estimate(variables.coerced).shown(self._limits)
        return answer[:-1] + b',"extensions":{"cost":' + orjson.dumps(shown) + b"}}"

    def _read(self, text: str, name: str | None) -> Operation:
        """The operation of a text that is not remembered, by its skeleton if that is known."""
        tokens, strings = check_text(text, self._limits), Strings()
        reading = None if INTROSPECTION.intersection(tokens) else lifting.read(tokens, strings)
        if reading is not None:
            key = (reading.skeleton, name)
            skeleton = self._skeletons.get(key)
            if skeleton is not None and skeleton.slots is not None:
                literals = lifting.values(skeleton.slots, reading.literals)
                if literals is not None:
                    for literal in lifting.strings_in(reading.literals):
                        refuse_unstorable(literal)
                    return self._remember(text, name, key, skeleton, literals)
        document = valid_document(self._schema, self._rules, text, tokens, strings, self._limits)
        visit(document, _StringChecker())
        return self._load(text, name, document, reading, len(tokens))

    def _load(
        self,
        text: str,
        name: str | None,
        document: DocumentNode,
        reading: Reading | None,
        token_count: int,
    ) -> Operation:
        lifted = None if reading is None else self._lifted(document, reading)
        key: Key = (text, name)
        literals: dict[str, Any] = {}
        if reading is not None and lifted is not None:
            key = (reading.skeleton, name)
            values = lifting.values(lifted.slots, reading.literals)
            assert values is not None, "the document is valid"
            literals = values
        read_tree = partial(self._read_tree, text, name, lifted is not None)
        skeleton = self._skeleton(document, name, key, lifted, token_count, read_tree)
        self._skeletons.put(key, skeleton, skeleton.size_bytes)
        return self._remember(text, name, key, skeleton, literals)

    def _lifted(self, document: DocumentNode, reading: Reading) -> Lifted | None:
        """The document lifted; nothing when a literal stands where none can be lifted."""
        if not reading.literals:
            return Lifted(document, ())
        lifted = lifting.lift(self._schema, document)
        whole = lifted is not None and lifted.literal_count == len(reading.literals)
        return lifted if whole else None

    def _skeleton(
        self,
        document: DocumentNode,
        name: str | None,
        key: Key,
        lifted: Lifted | None,
        token_count: int,
        read_tree: Callable[[], Tree],
    ) -> Skeleton:
        whole = document if lifted is None else lifted.document
        tree = _tree(whole, name)
        return Skeleton(
            kind=tree.node.operation,
            variable_definitions=tree.node.variable_definitions or (),
            slots=None if lifted is None else lifted.slots,
            tree=tree,
            read_tree=read_tree,
            probes=probes_of(whole),
            readers=self._coercions.readers(tree.node),
            formula=self._pricing.formula(tree.node, tree.fragments),
            limits=self._limits,
            resized=partial(self._skeletons.resize, key),
            token_count=token_count,
            name=tree.node.name.value if tree.node.name else None,
            label=(
                tree.node.operation.value,
                _first_field(tree.node.selection_set, tree.fragments),
            ),
        )

    def _read_tree(self, text: str, name: str | None, is_lifted: bool) -> Tree:
        document = parse(text, no_location=True)
        lifted = lifting.lift(self._schema, document) if is_lifted else None
        return _tree(document if lifted is None else lifted.document, name)

    def _remember(
        self,
        text: str,
        name: str | None,
        key: Key,
        skeleton: Skeleton,
        literals: dict[str, Any],
    ) -> Operation:
        variables = None
        if not skeleton.variable_definitions:
            # The same for every request of this text.
            variables = Variables(literals, room_bytes=skeleton.room_bytes(literals))
        elif not skeleton.formula.lists:
            skeleton.room_bytes({})
        entry = _Text(key, literals, variables)
        self._texts.put((text, name), entry, 2 * sys.getsizeof(text) + TEXT_ENTRY_BYTES)
        return entry.operation(skeleton)


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
