"""Assembles the slices into one schema: every module beside this one is a slice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import strawberry
from strawberry.schema.config import StrawberryConfig

from graph.engine.checks import SchemaError, check_schema
from graph.engine.extending import apply_extensions
from graph.engine.payload_errors import document_errors
from graph.shared.errors import UserError
from graph.shared.scalars import SCALARS

ROOTS = {
    "Query": "What can be asked.",
    "Mutation": "What can be done. Fields run one after the other.",
    "Subscription": "What can be watched.",
}


@cache
def slices() -> tuple[ModuleType, ...]:
    """The slices, loaded, in the order of their names."""
    names = sorted(file.stem for file in Path(__file__).parent.glob("*.py"))
    loaded = tuple(
        import_module(f"graph.{name}") for name in names if name not in ("__init__", "schema")
    )
    apply_extensions()
    return loaded


def root_type(name: str) -> Any:
    """A root type, made of the slices' parts: `CreditsQuery` is what credits give to `Query`."""
    parts = tuple(_parts(name))
    fields = [
        field.python_name for part in parts for field in part.__strawberry_definition__.fields
    ]
    if twice := sorted({field for field in fields if fields.count(field) > 1}):
        raise SchemaError(f"Two slices give {name} the same field: {', '.join(twice)}")
    return strawberry.type(type(name, parts, {}), description=ROOTS[name])


def _parts(root: str) -> Iterator[Any]:
    for module in slices():
        expected = f"{module.__name__.rpartition('.')[2].title().replace('_', '')}{root}"
        for name, value in vars(module).items():
            if not name.endswith(root) or getattr(value, "__module__", "") != module.__name__:
                continue
            if name != expected:
                raise SchemaError(f"{module.__name__}.{name} is to be called {expected}")
            yield value


@cache
def build_schema() -> strawberry.Schema:
    """The whole schema, checked against the tables it reads."""
    schema = strawberry.Schema(
        query=root_type("Query"),
        mutation=root_type("Mutation"),
        subscription=root_type("Subscription"),
        types=UserError.__subclasses__(),
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    document_errors(schema._schema)
    check_schema(schema._schema)
    return schema


def schema_text() -> str:
    """The schema as it is committed in `schema.graphql`."""
    return build_schema().as_str() + "\n"
