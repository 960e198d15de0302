"""Coerced arguments as operations take them: functions made once turn mappings into inputs.

Strawberry interprets an input's declaration for every value of it. These functions do the same for
inputs whose fields are leaves, lists and further inputs; whatever else there is goes to Strawberry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from functools import partial
from typing import Any, cast

from graphql import GraphQLField
from strawberry import UNSET, Schema
from strawberry.relay.types import GlobalID
from strawberry.scalars import is_scalar
from strawberry.types.arguments import convert_argument
from strawberry.types.base import (
    StrawberryList,
    StrawberryMaybe,
    StrawberryObjectDefinition,
    StrawberryOptional,
)
from strawberry.types.enum import StrawberryEnumDefinition, has_enum_definition

Convert = Callable[[Any], Any]


class Conversions:
    """The functions of one schema's inputs."""

    def __init__(self, schema: Schema) -> None:
        self._names = schema.config.name_converter
        self._config = schema.config
        self._scalars = schema.schema_converter.scalar_registry
        self._inputs: dict[type, Convert] = {}
        # By the field, which the schema keeps.
        self._fields: dict[int, Callable[[Mapping[str, Any]], Any]] = {}

    def of_arguments(self, definition: GraphQLField) -> Callable[[Mapping[str, Any]], Any]:
        """The function from a field's coerced arguments to those of its operation."""
        known = self._fields.get(id(definition))
        if known is None:
            known = self._fields[id(definition)] = self._of_field(definition)
        return known

    def _of_field(self, definition: GraphQLField) -> Callable[[Mapping[str, Any]], Any]:
        arguments = definition.extensions["strawberry-definition"].arguments
        parts = [
            (self._names.from_argument(one), one.python_name, self.of(one.type))
            for one in arguments
        ]

        def convert(given: Mapping[str, Any]) -> dict[str, Any]:
            return {
                python_name: of(given[name]) for name, python_name, of in parts if name in given
            }

        return convert

    def of(self, type_: Any) -> Convert:
        """The function of one type."""
        if isinstance(type_, StrawberryOptional) and not isinstance(type_, StrawberryMaybe):
            return self.of(type_.of_type)
        if self._is_leaf(type_):
            return _same
        if isinstance(type_, StrawberryList):
            return partial(_each, self.of(type_.of_type))
        declared = getattr(type_, "__strawberry_definition__", None)
        if (
            isinstance(declared, StrawberryObjectDefinition)
            and declared.is_input
            and declared.from_input is None
        ):
            return self._of_input(cast(type, type_), declared)
        return lambda value: convert_argument(value, type_, self._scalars, self._config)

    def _is_leaf(self, type_: Any) -> bool:
        if type_ is GlobalID:
            return False
        is_enum = isinstance(type_, StrawberryEnumDefinition) or has_enum_definition(type_)
        return is_enum or is_scalar(type_, self._scalars)

    def _of_input(self, type_: type, declared: StrawberryObjectDefinition) -> Convert:
        if type_ not in self._inputs:
            # An input may contain itself: what is made inside finds this before it is there.
            self._inputs[type_] = partial(self._later, type_)
            self._inputs[type_] = self._make_input(type_, declared)
        return self._inputs[type_]

    def _later(self, type_: type, value: Any) -> Any:
        return self._inputs[type_](value)

    def _make_input(self, type_: type, declared: StrawberryObjectDefinition) -> Convert:
        implied = {
            field.python_name: None
            for field in declared.fields
            if field.default_value is MISSING and field.default_factory is MISSING
        }
        parts = [
            (
                self._names.from_field(field),
                field.python_name,
                self.of(field.resolve_type(type_definition=declared)),
            )
            for field in declared.fields
        ]

        def convert(value: Any) -> Any:
            if value is None or value is UNSET:
                return value
            found: dict[str, Any] = implied.copy()
            for name, python_name, of in parts:
                if name in value:
                    found[python_name] = of(value[name])
            return type_(**found)

        return convert


def _same(value: Any) -> Any:
    return value


def _each(of: Convert, value: Any) -> Any:
    return value if value is None or value is UNSET else [of(item) for item in value]
