"""Makes the archive of all that a user has: a ZIP of their rows as JSON, and of their files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import groupby
from typing import IO, Any
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import asyncpg
from sqlalchemy import Index, Table

from db.core.access import access_of
from db.core.actor import Actor
from db.core.exporting import Export, condition_of, export_of
from db.core.pool import Database
from db.core.registry import metadata, models
from db.core.rereading import readable_columns
from db.core.sealed import sealed_columns
from db.files.storage import EXTENSIONS, Storage

PAGE_ROWS = 500
# Of a table with large columns a page has as many rows as take so much at the most.
PAGE_BYTES = 4_000_000
ENDINGS = tuple(f".{extension}" for extension in EXTENSIONS.values())
FORMAT = "tallygraph-export/1"
README = """\
This archive holds what is stored of your account.

manifest.json   what is in here, and when it was made
*.json          your rows: a file for each part of the service, a list for each table
files/          your photos, and the pictures made of them; a row's path, and the
                type's ending, is the name of its file here

Times are in UTC. Passwords, tokens and other secrets are left out, and so is what others
share with you and is theirs. The archive was made while the account was in use: what
changed meanwhile is in it as it was before or after.
"""


@dataclass(frozen=True)
class ExportedTable:
    """A table of a slice, and what of it is exported."""

    table: Table
    slice: str
    export: Export

    @cached_property
    def condition(self) -> str:
        """Which rows are the user's, whose id is `$1`."""
        return condition_of(access_of(self.table), self.export)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Columns that put the user's rows in order, and by which an index finds them."""
        keys = [column.name for column in self.table.primary_key]
        return next(
            (rest for i in self.table.indexes if (rest := self._rest(i, keys))), tuple(keys)
        )

    def _rest(self, index: Index, keys: list[str]) -> tuple[str, ...]:
        """The columns behind the user's of an index of all rows, if the key is among them."""
        # An index of expressions alone has no columns.
        owner, *rest = [column.name for column in index.columns] or [""]
        is_whole = index.dialect_options["postgresql"]["where"] is None
        is_owners = self.condition == f"t.{owner} = $1"
        return tuple(rest) if is_whole and is_owners and set(keys) <= {owner, *rest} else ()

    @cached_property
    def page_rows(self) -> int:
        """How many rows are read at a time."""
        large = sum(models()[self.table.name].large.values())
        return max(1, min(PAGE_ROWS, PAGE_BYTES // large)) if large else PAGE_ROWS

    def page(self, *, is_first: bool) -> str:
        """The statement for a page: rows as JSON, their keys, and their files.

        What follows `$1` is the key of the last row of the page before.
        """
        readable = readable_columns(self.table, access_of(self.table))
        left_out = {
            *self.export.omit,
            *sealed_columns(self.table),
            *(c.name for c in readable if c.computed is not None),
        }
        shown = (f"'{c.name}', t.{c.name}" for c in readable if c.name not in left_out)
        keys = ", ".join(f"t.{name}" for name in self.order)
        places = ", ".join(f"${n}" for n in range(2, len(self.order) + 2))
        behind = "" if is_first else f" and ({keys}) > ({places})"
        named = [f"t.{name} as key_{n}" for n, name in enumerate(self.order)]
        for n, (path, content_type) in enumerate(self.export.files.items()):
            named += [f"t.{path} as path_{n}", f"t.{content_type} as type_{n}"]
        return (
            f"select json_build_object({', '.join(shown)})::text as row_text, {', '.join(named)}"
            f" from {self.table.name} t where ({self.condition}){behind}"
            f" order by {keys} limit {self.page_rows}"
        )


def exported_tables() -> Iterator[ExportedTable]:
    """What is exported, slice by slice."""
    for name, model in sorted(models().items(), key=lambda one: (one[1].__module__, one[0])):
        if export := export_of(model.access, model.export):
            yield ExportedTable(metadata.tables[name], model.__module__.split(".")[1], export)


@dataclass
class Archive:
    """The archive of one user, while it is written; what it holds in memory is a page."""

    database: Database
    storage: Storage
    user_id: UUID
    _rows: dict[str, int] = field(default_factory=dict)
    _files: dict[str, str] = field(default_factory=dict)
    _missing: list[str] = field(default_factory=list)

    async def write(self, file: IO[bytes]) -> None:
        """Writes all of it."""
        with ZipFile(file, "w", ZIP_DEFLATED) as archive:
            archive.writestr("README.txt", README)
            for name, tables in groupby(exported_tables(), lambda table: table.slice):
                with archive.open(f"{name}.json", "w", force_zip64=True) as entry:
                    await self._write_slice(entry, list(tables))
            for path, name in self._files.items():
                await self._write_file(archive, path, name)
            archive.writestr("manifest.json", json.dumps(self._manifest(), indent=2))

    async def _write_slice(self, entry: IO[bytes], tables: list[ExportedTable]) -> None:
        before = "{"
        for table in tables:
            await _write(entry, f'{before}\n"{table.table.name}": [')
            count = 0
            async for rows in self._pages(table):
                texts = ",\n".join(row["row_text"] for row in rows)
                await _write(entry, ("\n" if count == 0 else ",\n") + texts)
                count += len(rows)
                self._note_files(table, rows)
            await _write(entry, "]")
            self._rows[table.table.name] = count
            before = ","
        await _write(entry, "\n}\n")

    async def _pages(self, table: ExportedTable) -> AsyncIterator[list[asyncpg.Record]]:
        """The user's rows, read as by the user themselves: row-level security holds here, too."""
        actor = Actor("authenticated", self.user_id)
        key: tuple[Any, ...] = ()
        while True:
            sql = table.page(is_first=not key)
            async with self.database.transaction(actor) as transaction:
                rows = await transaction.connection.fetch(sql, self.user_id, *key)
            if rows:
                yield rows
            if len(rows) < table.page_rows:
                return
            key = tuple(rows[-1][f"key_{n}"] for n in range(len(table.order)))

    def _note_files(self, table: ExportedTable, rows: list[asyncpg.Record]) -> None:
        for n in range(len(table.export.files)):
            for row in rows:
                if path := row[f"path_{n}"]:
                    ending = f".{EXTENSIONS.get(row[f'type_{n}'], 'bin')}"
                    self._files[path] = path if path.endswith(ENDINGS) else path + ending

    async def _write_file(self, archive: ZipFile, path: str, name: str) -> None:
        try:
            stored = await self.storage.stream(path)
        except FileNotFoundError:
            self._missing.append(name)
            return
        info = ZipInfo(f"files/{name}", datetime.now(UTC).timetuple()[:6])
        info.compress_type = ZIP_STORED  # pictures are compressed already
        with archive.open(info, "w", force_zip64=True) as entry:
            async for chunk in stored:
                await asyncio.to_thread(entry.write, chunk)

    def _manifest(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "user": f"user_{self.user_id}",
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "rows": self._rows,
            "files": len(self._files) - len(self._missing),
            "missing_files": self._missing,
        }


async def _write(entry: IO[bytes], text: str) -> None:
    """Writes beside the event loop: a page is compressed for some milliseconds."""
    await asyncio.to_thread(entry.write, text.encode())
