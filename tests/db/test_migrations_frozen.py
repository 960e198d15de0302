"""A migration does the same for ever: it stands on nothing that changes with the product."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from pgqueuer.adapters.persistence.schema_ddl import render_install

from db.core.queue import QUEUE_SETTINGS
from db.migrations.steps import VERSIONS

MIGRATIONS = sorted(VERSIONS.glob("*.py"))
# Our one module that keeps its promises to migrations, Alembic, and what is older than any of them.
ALLOWED = {"db.migrations.steps", "alembic", "sqlalchemy", "idna", "unicodedata", "__future__"}
READING = {"open", "read_text", "read_bytes", "exec", "eval", "import_module", "__import__"}


def living(source: str, revision: str) -> Iterator[str]:
    """What in a migration's code may be something else tomorrow."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "."]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            arguments = [ast.unparse(argument).strip("'") for argument in node.args]
            if called.split(".")[-1] in READING:
                yield f"{called}()"
            elif called == "run_script" and not arguments[0].startswith(f"{revision}_"):
                yield arguments[0]
            continue
        else:
            continue
        for name in names:
            if not {name, name.split(".")[0]} & ALLOWED:
                yield name


@pytest.mark.parametrize("migration", MIGRATIONS, ids=lambda path: path.stem)
def test_a_migration_uses_nothing_that_changes(migration: Path) -> None:
    assert list(living(migration.read_text(), migration.stem.split("_")[0])) == []


@pytest.mark.parametrize(
    "line",
    [
        "from db.core.rls import access_statements",
        "import db.credits.rules",
        "from . import steps",
        "from pgqueuer.domain.settings import DBSettings",
        "run_script('../../quotas/quotas.sql')",
        "run_script('0150_quotas.sql')",
        "Path('quotas.sql').read_text()",
    ],
)
def test_what_changes_is_noticed(line: str) -> None:
    assert len(list(living(line, "0170"))) == 1


def dropped(source: str) -> bool:
    """Whether a migration's upgrade, or a text it names, drops a function."""
    body = ast.parse(source).body
    (upgrade,) = (one for one in body if isinstance(one, ast.FunctionDef) and one.name == "upgrade")
    named = {node.id for node in ast.walk(upgrade) if isinstance(node, ast.Name)}
    texts = [
        ast.unparse(one.value)
        for one in body
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) in named
    ]
    return any(
        "drop function" in text or "drop_function" in text
        for text in (ast.unparse(upgrade), *texts)
    )


@pytest.mark.parametrize("migration", MIGRATIONS, ids=lambda path: path.stem)
def test_functions_are_left_to_servers_that_may_call_them(migration: Path) -> None:
    """`migrate` drops them, a release later. Older migrations did it themselves."""
    if migration.stem > "0170":
        assert not dropped(migration.read_text())


def test_a_dropped_function_is_noticed() -> None:
    assert dropped((VERSIONS / "0120_rate_budgets.py").read_text())
    assert dropped("def upgrade():\n    op.drop_function('app.greet(text)')")
    assert not dropped((VERSIONS / "0140_admins.py").read_text())  # only when it is undone


def test_every_script_belongs_to_a_migration() -> None:
    sources = {path.stem.split("_")[0]: path.read_text() for path in MIGRATIONS}
    for script in VERSIONS.glob("*.sql"):
        assert f'run_script("{script.name}")' in sources[script.stem.split("_")[0]]


def test_the_queues_tables_are_those_that_its_library_wants() -> None:
    """Another version of pgqueuer that wants others needs a migration."""
    frozen = (VERSIONS / "0009_queue.sql").read_text()
    wanted = render_install(QUEUE_SETTINGS, create_schema=True)
    assert frozen.partition("\n")[2].strip() == wanted.partition("\n")[2].strip()
