"""One class name has one meaning, and where a schema type shares its table's, imports tell which."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.core.registry import models

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("auth", "cli", "db", "graph", "jobs", "payments", "server")
# Migrations keep copies of what they use: an applied one may not change with the code.
FROZEN = {ROOT / "db/migrations/steps.py", *(ROOT / "db/migrations/versions").glob("*.py")}


def trees(*packages: str) -> dict[Path, ast.Module]:
    files = [file for package in packages for file in (ROOT / package).rglob("*.py")]
    return {
        file.relative_to(ROOT): ast.parse(file.read_text()) for file in files if file not in FROZEN
    }


def classes(sources: dict[Path, ast.Module]) -> dict[str, list[tuple[Path, ast.ClassDef]]]:
    found: dict[str, list[tuple[Path, ast.ClassDef]]] = defaultdict(list)
    for file, tree in sources.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found[node.name].append((file, node))
    return found


def is_backed_by_its_table(node: ast.ClassDef) -> bool:
    """Whether a schema type is declared upon the table of its own name."""
    return any(
        isinstance(decorator, ast.Call)
        and ast.unparse(decorator.func) == "backed_by"
        and ast.unparse(decorator.args[0]).endswith(f"tables.{node.name}")
        for decorator in node.decorator_list
    )


def are_type_and_table(definitions: list[tuple[Path, ast.ClassDef]]) -> bool:
    """Whether two classes of one name are a schema type and the table that it shows."""
    (table, _), *others = sorted(definitions, key=lambda definition: definition[0])
    return (
        len(others) == 1
        and table.match("db/*/tables.py")
        and others[0][0].match("graph/*.py")
        and is_backed_by_its_table(others[0][1])
    )


def names_with_two_meanings(sources: dict[Path, ast.Module]) -> Iterator[str]:
    for name, definitions in classes(sources).items():
        if len(definitions) > 1 and not are_type_and_table(definitions):
            yield f"{name}: {', '.join(str(file) for file, _ in definitions)}"


def table_classes_imported(sources: dict[Path, ast.Module]) -> Iterator[str]:
    tables = {(model.__module__, model.__name__) for model in models().values()}
    for file, tree in sources.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for name in node.names:
                    if (node.module, name.name) in tables:
                        yield f"{file}:{node.lineno}"


def test_no_name_stands_for_two_classes() -> None:
    assert list(names_with_two_meanings(trees(*PACKAGES))) == []


def test_the_schema_imports_tables_as_modules() -> None:
    assert list(table_classes_imported(trees("graph"))) == []


TABLE = "class Tool: pass"
TYPE = "@backed_by(tables.Tool, prefix='tool')\nclass Tool: pass"


@pytest.mark.parametrize(
    ("sources", "is_refused"),
    [
        ({"db/catalog/tables.py": TABLE, "graph/catalog.py": TYPE}, False),
        ({"db/catalog/tables.py": TABLE, "graph/catalog.py": "class Tool: pass"}, True),
        ({"db/catalog/rules.py": TABLE, "graph/catalog.py": TYPE}, True),
        ({"db/catalog/tables.py": TABLE, "graph/engine/tools.py": TYPE}, True),
        ({"db/a/tables.py": TABLE, "db/b/tables.py": TABLE, "graph/catalog.py": TYPE}, True),
        ({"auth/one.py": TABLE, "server/other.py": TABLE}, True),
        ({"auth/one.py": TABLE}, False),
    ],
)
def test_only_a_type_and_its_table_may_share_a_name(
    sources: dict[str, str], is_refused: bool
) -> None:
    parsed = {Path(file): ast.parse(text) for file, text in sources.items()}
    assert bool(list(names_with_two_meanings(parsed))) is is_refused


def test_a_table_imported_by_name_is_noticed() -> None:
    parsed = {Path("graph/catalog.py"): ast.parse("from db.catalog.tables import Tool")}
    assert list(table_classes_imported(parsed)) == ["graph/catalog.py:1"]
