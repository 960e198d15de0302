"""Commands: what a slice's operations offer to be done, each a typed value until somebody runs it.

`db/<slice>/operations.py` declares the SQL functions that Python calls, and makes commands of them;
nothing else names a function of the database. A test compares every declaration with the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self, cast

import asyncpg
from sqlalchemy import func
from sqlalchemy.types import TypeEngine

from db.core.actor import SERVICE, Actor
from db.core.origin import place_text
from db.core.pool import Database, Transaction

_declared: dict[str, SqlFunction[Any]] = {}


class SqlFunction[Result]:
    """A function of the database: its name, the type it returns, its arguments and their types.

    A function that returns columns names them, as in `table(user_id uuid, fault text)` for any
    number of rows and `record(action text)` for one. `Result` is what Python receives.
    """

    def __init__(self, name: str, returns: str, **arguments: str) -> None:
        if name in _declared:
            raise ValueError(f"{name} is declared twice")
        self.name = name
        self.returns = returns
        self.arguments = arguments
        self.casts = tuple(arguments.values())
        self.notes_place = False
        self.sql = f"select * from {self.call(1)}"
        _declared[name] = self

    def noting_place(self) -> Self:
        """The same function, whose entries in the audit log tell from where it was asked for.

        A trigger of the log reads what each call sets.
        """
        self.notes_place = True
        gives_columns = self.returns.startswith(("record(", "table("))
        self.sql = self._call_behind_place() if gives_columns else f"select {self.call(1)}"
        return self

    def _call_behind_place(self) -> str:
        """The call as a statement that gives columns; it needs the place, which is set before."""
        (first, *others) = self.casts
        arguments = [f"case when noted.place is not null then $1::{first} end"]
        arguments += [f"${n}::{cast}" for n, cast in enumerate(others, start=2)]
        place = f"set_config('app.place', ${len(self.casts) + 1}::text, true)"
        called = f"{self.name}({', '.join(arguments)})"
        return f"select called.* from (select {place} as place) noted, lateral {called} called"

    @property
    def parameter_count(self) -> int:
        """How many parameters a call takes."""
        return len(self.casts) + self.notes_place

    def __call__(self, **values: Any) -> FunctionCall[Result]:
        """A call with these values, by the arguments' names."""
        try:
            if len(values) == len(self.arguments):
                given = [values[name] for name in self.arguments]
                if self.notes_place:
                    given.append(place_text())
                return FunctionCall(self, tuple(given))
        except KeyError:
            pass
        raise TypeError(f"{self.name} takes {', '.join(self.arguments)}")

    def call(self, first: int) -> str:
        """The call as SQL, its parameters numbered from `first`."""
        arguments = (f"${n}::{cast}" for n, cast in enumerate(self.casts, start=first))
        called = f"{self.name}({', '.join(arguments)})"
        if not self.notes_place:
            return called
        # A CASE is evaluated in this order (PostgreSQL, 4.2.14).
        place = f"set_config('app.place', ${first + len(self.casts)}::text, true)"
        return f"case when {place} is not null then {called} end"

    def of(self, *arguments: Any, type_: TypeEngine[Any] | None = None) -> Any:
        """The call as an expression of a larger statement, of the type that SQLAlchemy is told."""
        schema, _, name = self.name.partition(".")
        return getattr(getattr(func, schema), name)(*arguments, type_=type_)


# Not frozen, as that doubles what it costs to make one, which every mutation does.
@dataclass(slots=True)
class FunctionCall[Result]:
    """A command that a SQL function does: with its payload it is one statement.

    `after` is what follows its commit and can be lost to a crash, such as removing files.
    """

    function: SqlFunction[Result]
    values: tuple[Any, ...]
    after: Callable[[], Awaitable[None]] | None = None

    @property
    def sql(self) -> str:
        """The call as a statement of its own."""
        return self.function.sql


@dataclass(frozen=True, slots=True)
class PythonCommand[Result]:
    """A command that Python does, in one transaction of the caller's."""

    run: Callable[[Transaction], Awaitable[Result]]


def declared_functions() -> Iterator[SqlFunction[Any]]:
    """Every function that the modules imported so far declare."""
    yield from _declared.values()


async def call[Result](transaction: Transaction, wanted: FunctionCall[Result]) -> Result:
    """Calls a function in a transaction."""
    return await call_on(transaction.connection, wanted)


async def call_rows(transaction: Transaction, wanted: FunctionCall[Any]) -> list[asyncpg.Record]:
    """Calls a function that returns rows in a transaction."""
    return list(await transaction.connection.fetch(wanted.sql, *wanted.values))


async def call_on[Result](connection: asyncpg.Connection, wanted: FunctionCall[Result]) -> Result:
    """Calls a function on a connection, such as the owner's."""
    return cast(Result, await connection.fetchval(wanted.sql, *wanted.values))


async def call_as_actor[Result](
    database: Database, actor: Actor, wanted: FunctionCall[Result]
) -> Result:
    """Calls a function as the actor, with their claims: one statement, and so one round trip."""
    function = wanted.function
    claim = f"set_config('app.user_id', ${function.parameter_count + 1}::text, true)"
    sql = f"with claims as materialized (select {claim}) select {function.call(1)} from claims"
    async with database.pools[actor.role].connection() as connection:
        answer = await connection.fetch_value(sql, (*wanted.values, actor.user_claim))
    return cast(Result, answer)


async def call_as_service[Result](database: Database, wanted: FunctionCall[Result]) -> Result:
    """Calls a function as the server, a transaction of its own in one round trip."""
    async with database.pools[SERVICE.role].connection() as connection:
        return await call_on(connection.raw, wanted)
