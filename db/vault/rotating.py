"""Rotation: what other keys have sealed is sealed by the first one, while the product runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import asyncpg
import orjson
from sqlalchemy import Table

from db.accounts.operating import as_owner
from db.audit.actions import AuditAction
from db.core.compiling import sql_type
from db.core.registry import metadata
from db.core.sealed import blind_indexes, row_column, sealed_columns
from db.vault.sealing import Vault
from db.vault.watching import KEYS_KNOWN_SECONDS
from vault_keys import SealBroken

BATCH_ROWS = 2_000
_NOTE_KEY = """
insert into vault_keys as k (head, rounds) values ($1, $2)
on conflict (head) do update set retired_at = null where k.retired_at is not null
returning head
"""
_RETIRE = """
update vault_keys set retired_at = clock_timestamp()
where retired_at is null and head <> $1 returning head
"""
_NOTE = "insert into audit_log (action, detail) values ($1, $2::jsonb)"

Report = Callable[[str, int, int], None]
Key = tuple[Any, ...]


@dataclass(frozen=True)
class SealedTable:
    """A table with sealed columns, and the statements that rotating it takes."""

    table: Table

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Its sealed columns."""
        return sealed_columns(self.table)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Its primary key."""
        return tuple(column.name for column in self.table.primary_key)

    @cached_property
    def indexes(self) -> dict[str, str]:
        """Its blind indexes, each with the column that it finds."""
        return blind_indexes(self.table)

    @property
    def _stale(self) -> str:
        """Whether another key sealed something of a row; `$1` is how the first key's begin."""
        return " or ".join(
            f"substring(t.{name}, 1, octet_length($1::bytea)) <> $1::bytea" for name in self.columns
        )

    @property
    def count(self) -> str:
        """How many rows are to be sealed anew."""
        return f"select count(*) from public.{self.table.name} t where {self._stale}"

    def page(self, *, is_first: bool) -> str:
        """The next of them, behind the key from `$3` on."""
        read = dict.fromkeys(
            (*self.keys, *(row_column(self.table, name) for name in self.columns), *self.columns)
        )
        keys = ", ".join(f"t.{name}" for name in self.keys)
        places = ", ".join(f"${n + 3}" for n, _ in enumerate(self.keys))
        behind = "" if is_first else f" and ({keys}) > ({places})"
        return (
            f"select {', '.join(f't.{name}' for name in read)} from public.{self.table.name} t"
            f" where ({self._stale}){behind} order by {keys} limit $2"
        )

    @cached_property
    def update(self) -> str:
        """Seals rows anew that nobody has changed since they were read; gives how many."""
        written = (*self.columns, *self.indexes)
        names = [
            *(f"key_{n}" for n, _ in enumerate(self.keys)),
            *(f"old_{c}" for c in self.columns),
        ]
        types = [sql_type(self.table.c[name].type) for name in self.keys]
        names += [f"new_{name}" for name in written]
        types += ["bytea"] * (len(self.columns) + len(written))
        arrays = ", ".join(f"${n + 1}::{one}[]" for n, one in enumerate(types))
        same = [f"t.{name} = v.key_{n}" for n, name in enumerate(self.keys)]
        same += [f"t.{name} is not distinct from v.old_{name}" for name in self.columns]
        changed = ", ".join(f"{name} = v.new_{name}" for name in written)
        return (
            f"update public.{self.table.name} t set {changed}"
            f" from unnest({arrays}) v ({', '.join(names)}) where {' and '.join(same)}"
        )


@dataclass
class Rotated:
    """What a rotation did: rows sealed anew, values that no key opens, keys that are done with."""

    rows: dict[str, int] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    retired: int = 0


def sealed_tables() -> Iterator[SealedTable]:
    """All tables that hold something sealed."""
    yield from (SealedTable(table) for table in metadata.sorted_tables if sealed_columns(table))


async def count_stale(owner_url: str, vault: Vault) -> dict[str, int]:
    """How many rows of each table another key has sealed."""
    async with as_owner(owner_url) as connection:
        return {
            one.table.name: await connection.fetchval(one.count, vault.head)
            for one in sealed_tables()
        }


async def rotate(
    owner_url: str, vault: Vault, operator: str, report: Report, batch_rows: int = BATCH_ROWS
) -> Rotated:
    """Seals everything by the first key, and notes it; each batch is a transaction.

    Whoever stops it goes on by beginning again: what is done is not done twice. A new value is
    opened before it replaces the old one. At the end nothing may be left that another key sealed;
    then the others are retired, unless something was broken.
    """
    done = Rotated()
    async with as_owner(owner_url) as connection, as_owner(owner_url) as reading:
        if await connection.fetchval(_NOTE_KEY, vault.head.hex(), vault.rounds):
            # By then every process knows that the key is in use, and whether it has it.
            await asyncio.sleep(KEYS_KNOWN_SECONDS)
        for one in sealed_tables():
            table = _Rotation(one, vault, done, connection, reading)
            await table.run(report, batch_rows)
        left = sum([await connection.fetchval(one.count, vault.head) for one in sealed_tables()])
        async with connection.transaction():
            if left == 0:
                done.retired = len(await connection.fetch(_RETIRE, vault.head.hex()))
            detail = {"rows": done.rows, "broken": done.broken, "retired": done.retired}
            noted = orjson.dumps({**detail, "by": operator}).decode()
            await connection.execute(_NOTE, AuditAction.ROTATE_VAULT.value, noted)
    return done


@dataclass(frozen=True)
class _Rotation:
    """One table's: a batch is written while the next is sealed and the one behind it read."""

    of: SealedTable
    vault: Vault
    done: Rotated
    writing: asyncpg.Connection
    reading: asyncpg.Connection

    @cached_property
    def _resealer(self) -> Resealer:
        return Resealer(self.of, self.vault)

    async def run(self, report: Report, batch_rows: int) -> None:
        """Seals what another key has sealed, until nothing of that is left that opens."""
        name, rows = str(self.of.table.name), self.done.rows
        total = await self.writing.fetchval(self.of.count, self.vault.head)
        rows[name] = 0
        report(name, 0, total)
        # A row that somebody changed meanwhile may have been sealed by a process with the keys of
        # before: it is found in the next pass, which ends when a pass finds nothing that opens.
        while True:
            sealed_before = rows[name]
            self.done.broken.pop(name, None)
            async with aclosing(self._batches(batch_rows)) as batches:
                async for columns in batches:
                    status = await self.writing.execute(self.of.update, *columns)
                    rows[name] += int(status.rpartition(" ")[2])
                    report(name, rows[name], max(total, rows[name]))
            if rows[name] == sealed_before:
                return

    async def _batches(self, batch_rows: int) -> AsyncGenerator[list[list[Any]]]:
        """What `update` takes, a batch at a time."""
        sealing: asyncio.Task[list[list[Any]]] | None = None
        async with aclosing(self._pages(batch_rows)) as pages:
            async for rows in pages:
                sealed = await sealing if sealing else None
                sealing = asyncio.create_task(asyncio.to_thread(self._sealed, rows))
                if sealed and sealed[0]:
                    yield sealed
        if sealing and (sealed := await sealing)[0]:
            yield sealed

    def _sealed(self, rows: Sequence[asyncpg.Record]) -> list[list[Any]]:
        sealed, broken = self._resealer.sealed(cast("Sequence[Mapping[str, Any]]", rows))
        if broken:
            name = str(self.of.table.name)
            self.done.broken[name] = self.done.broken.get(name, 0) + broken
        return sealed

    async def _pages(self, batch_rows: int) -> AsyncGenerator[Sequence[asyncpg.Record]]:
        """The rows to seal, by their keys; each page is read while the one before is used."""
        page = asyncio.create_task(self._page((), batch_rows))
        try:
            while rows := await page:
                key = tuple(rows[-1][name] for name in self.of.keys)
                page = asyncio.create_task(self._page(key, batch_rows))
                yield rows
        finally:
            page.cancel()
            await asyncio.wait([page])

    async def _page(self, key: Key, batch_rows: int) -> Sequence[asyncpg.Record]:
        page = self.of.page(is_first=not key)
        rows: Sequence[asyncpg.Record] = await self.reading.fetch(
            page, self.vault.head, batch_rows, *key
        )
        return rows


class Resealer:
    """Seals rows of a table anew, and makes their blind indexes.

    A column at a time, and in lists, not in a tuple for each row: so many of them would have the
    garbage collector run for every batch.
    """

    def __init__(self, one: SealedTable, vault: Vault) -> None:
        self._kept = (*one.keys, *one.columns)
        self._columns = {
            name: (row_column(one.table, name), vault.resealing(f"{one.table.name}.{name}"))
            for name in one.columns
        }
        self._indexed = [(of, f"{one.table.name}.{of}") for of in one.indexes.values()]
        self._vault = vault

    def sealed(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[list[Any]], int]:
        """What `update` takes, a list for each parameter; and how many rows do not open."""
        broken: set[int] = set()
        new = {name: self._column(rows, name, broken) for name in self._columns}
        made = [[row[name] for row in rows] for name in self._kept]
        made += [sealed for _, sealed in new.values()]
        blind = self._vault.first.blind_plain
        made += [
            [None if plain is None else blind(place, plain) for plain in new[of][0]]
            for of, place in self._indexed
        ]
        if broken:
            made = [[one for n, one in enumerate(column) if n not in broken] for column in made]
        return made, len(broken)

    def _column(
        self, rows: Sequence[Mapping[str, Any]], name: str, broken: set[int]
    ) -> tuple[list[bytes | None], list[bytes | None]]:
        """The texts of a column, and what they are sealed as; `broken` gets those that stay."""
        bound, resealing = self._columns[name]
        texts: list[bytes | None] = []
        sealed: list[bytes | None] = []
        for n, (row, nonce) in enumerate(zip(rows, resealing.nonces(len(rows)), strict=True)):
            text: bytes | None = None
            after: bytes | None = None
            if row[name] is not None:
                try:
                    text, after = resealing.reseal(row[bound], row[name], nonce)
                except SealBroken:
                    broken.add(n)
            texts.append(text)
            sealed.append(after)
        return texts, sealed


async def note_secrets(owner_url: str, entries: Sequence[Mapping[str, object]]) -> None:
    """Notes that operators read or set secrets of the sealed file; never what they are.

    Each entry has its `action`, and says `names`, `by` whom, and `at` what time.
    """
    rows = [
        (
            AuditAction[str(entry["action"]).upper()].value,
            orjson.dumps({name: entry.get(name) for name in ("names", "by", "at")}).decode(),
        )
        for entry in entries
    ]
    async with as_owner(owner_url) as connection:
        await connection.executemany(_NOTE, rows)
