"""SQLAlchemy Core statements as text for Postgres, each compiled once."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import LRUCache

from db.core.yield_points import yield_point

STRUCTURES = 500


class _Compiler(PGCompiler_asyncpg):
    """Compiles one select after another, and may be suspended before each."""

    def visit_select(self, *arguments: Any, **options: Any) -> str:
        """A select, which may stand inside of another."""
        yield_point()
        found: str = super().visit_select(*arguments, **options)  # type: ignore[no-untyped-call]
        return found


_dialect = asyncpg_dialect()  # type: ignore[no-untyped-call]
_dialect.statement_compiler = _Compiler
_compiled: WeakKeyDictionary[ClauseElement, tuple[str, list[str], dict[str, Any]]] = (
    WeakKeyDictionary()
)
_by_structure: LRUCache[Any, Any] = LRUCache(STRUCTURES)


def compiled_once(statement: ClauseElement) -> tuple[str, list[str]]:
    """A Core statement that nobody will compile again, and its parameters' names in order."""
    compiler = statement.compile(dialect=_dialect)
    assert isinstance(compiler, SQLCompiler), "statements are SQL"
    return str(compiler), list(compiler.positiontup or ())


def compiled(statement: ClauseElement) -> tuple[str, list[str], dict[str, Any]]:
    """A Core statement as Postgres text, its parameters' names in order, and their values.

    A statement that was made before is found again, one that is made for each call by its
    structure: to compile it takes longer than to run it.
    """
    found = _compiled.get(statement)
    if found is None:
        compiler, values, *_ = statement._compile_w_cache(
            _dialect, compiled_cache=_by_structure, column_keys=[]
        )
        assert isinstance(compiler, SQLCompiler), "statements are SQL"
        parameters = compiler.construct_params(extracted_parameters=values, _check=False)
        found = (str(compiler), list(compiler.positiontup or ()), dict(parameters))
        _compiled[statement] = found
    return found


def sql_type(type_: TypeEngine[Any]) -> str:
    """A type's name in Postgres."""
    return type_.compile(dialect=_dialect)
