"""Brings activities from a file of an operator's: all of it, or nothing while a row is wrong."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path
from typing import Any

import asyncpg

from db.activities.rules import (
    COLUMNS,
    DEFAULTS,
    activity_uid,
    problems_of_activity,
    shown_name,
)

ROWS_AT_ONCE = 1000
FILE_LIMIT_BYTES = 100_000_000
_FIGURE = re.compile(r"[0-9]{1,9}")
# In CSV the values of a list stand in one cell.
SEPARATOR = ";"
_LISTS = ("themes", *(name for name, value in DEFAULTS.items() if value == ()))
_WRITTEN = ("id", *COLUMNS, "source")


# What an admin has set stays, and counts as what the file has.
def _kept(name: str) -> str:
    theirs = "true" if name == "is_active" else f"excluded.{name}"
    return f"case when '{name}' = any(a.edited) then {theirs} else a.{name} end"


_CHANGED = ", ".join(
    f"{name} = case when '{name}' = any(a.edited) then a.{name} else excluded.{name} end"
    for name in COLUMNS[1:]
)
_SAVE = f"""
    insert into activities as a ({", ".join(_WRITTEN)})
    select {", ".join(_WRITTEN)} from jsonb_populate_recordset(null::activities, $1::text::jsonb)
    on conflict (id) do update set {_CHANGED}, source = excluded.source, session_id = null,
        is_active = case when 'is_active' = any(a.edited) then a.is_active else true end
    where ({", ".join(_kept(name) for name in (*COLUMNS, "is_active"))})
        is distinct from ({", ".join(f"excluded.{name}" for name in COLUMNS)}, true)
    returning xmax = 0 as is_new
"""  # noqa: S608 - all of it is written here
_ARCHIVE = """
    update activities a set is_active = false
    where a.is_active and a.session_id is null
        and not exists (select from unnest($1::text[]) as kept where kept = a.id)
"""


@dataclass(frozen=True, slots=True)
class RowProblem:
    """What is wrong with a row: at which line of the file, and in which column.

    In JSON `entry` is which object of the list it is, since all may stand on one line.
    """

    line: int
    column: str
    what: str
    entry: int | None = None

    @property
    def place(self) -> str:
        """Where to look."""
        return _place(self.line, self.entry) + (f", {self.column}" if self.column else "")


@dataclass
class ActivityReport:
    """What was done with the rows of a file, or would be; with problems, nothing."""

    problems: list[RowProblem] = field(default_factory=list)
    read: int = 0
    added: int = 0
    changed: int = 0
    archived: int = 0

    @property
    def unchanged(self) -> int:
        """How many were there as they are in the file."""
        return self.read - self.added - self.changed


def read_activities(path: Path) -> tuple[list[dict[str, Any]], list[RowProblem]]:
    """The rows of a file with their ids, and everything that is wrong with it."""
    rows: list[dict[str, Any]] = []
    problems: list[RowProblem] = []
    seen: dict[str, str] = {}
    try:
        text = _text_of(path)
        entries = _json_entries(text) if path.suffix.lower() == ".json" else _csv_entries(text)
        for line, entry, given in entries:
            found = [RowProblem(line, *one, entry) for one in problems_of_activity(given)]
            if not found:
                uid = activity_uid(given["kind"], given["text"])
                if first := seen.get(uid):
                    same = f"is the same activity as in {first}"
                    found = [RowProblem(line, "text", same, entry)]
                seen.setdefault(uid, _place(line, entry))
                rows.append({**DEFAULTS, **given, "id": uid, "source": "IMPORTED"})
            problems += found
    except _UnreadableError as error:
        problems.append(RowProblem(error.line, "", str(error)))
    return rows, problems


class _UnreadableError(Exception):
    """From a line on, a file cannot be read."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


def _place(line: int, entry: int | None) -> str:
    return f"line {line}" if entry is None else f"line {line}, entry {entry}"


def _text_of(path: Path) -> str:
    if path.stat().st_size > FILE_LIMIT_BYTES:
        raise _UnreadableError(1, f"the file may have at most {FILE_LIMIT_BYTES:,} bytes")
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _UnreadableError(line, "is not in UTF-8: save the file as UTF-8") from None


def _json_entries(text: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """The objects of a JSON array, each with the line that it begins in, and its number."""
    try:
        for entry, (line, given) in enumerate(_objects(text), start=1):
            yield line, entry, given
    except json.JSONDecodeError as error:
        raise _UnreadableError(error.lineno, f"is no JSON: {error.msg}") from None


def _objects(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    decoder, at, line, counted = json.JSONDecoder(), len(text) - len(text.lstrip()), 1, 0
    if text[at : at + 1] != "[":
        raise json.JSONDecodeError("the file must be a list of objects", text, at)
    separators = "["
    while True:
        if text[at : at + 1] not in separators or at >= len(text):
            raise json.JSONDecodeError("a comma or the end of the list is missing", text, at)
        if text[at] == "]":
            return
        at += 1
        while text[at : at + 1].isspace():
            at += 1
        if separators == "[" and text[at : at + 1] == "]":
            return
        line, counted = line + text.count("\n", counted, at), at
        try:
            given, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            raise
        except (RecursionError, ValueError):
            what = "an entry is nested too deeply, or has a number that is too long"
            raise json.JSONDecodeError(what, text, at) from None
        if not isinstance(given, dict):
            raise json.JSONDecodeError("each entry must be an object", text, counted)
        yield line, given
        while text[at : at + 1].isspace():
            at += 1
        separators = ",]"


def _csv_entries(text: str) -> Iterator[tuple[int, None, dict[str, Any]]]:
    """The records of a CSV file."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        names = [*(reader.fieldnames or ())]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise _UnreadableError(line, f"names the column {shown_name(twice)} twice")
        line = 2
        for record in reader:
            yield line, None, _given(record)
            line = reader.line_num + 1
    except csv.Error as error:
        raise _UnreadableError(line, f"is no CSV: {error}") from None


def _given(record: dict[str | Any, str | Any]) -> dict[str, Any]:
    """What a record says; an empty cell is as good as none."""
    given: dict[str, Any] = {}
    for name, cell in record.items():
        if name is None:
            given["(beyond the last column)"] = cell
        elif cell and name in _LISTS:
            given[name] = [one.strip() for one in cell.split(SEPARATOR)]
        elif cell:
            is_figure = name == "intensity" and _FIGURE.fullmatch(cell)
            given[name] = int(cell) if is_figure else cell
    return given


async def import_activities(
    owner_url: str,
    path: Path,
    *,
    replaces: bool,
    is_dry_run: bool,
    tell: Callable[[int], None] = lambda _: None,
) -> ActivityReport:
    """Adds the activities of a file or brings them up to date, in one transaction.

    With `replaces` those that are not in the file are switched off; none is deleted, since what was
    played names it. `tell` is told how many are written.
    """
    rows, problems = read_activities(path)
    if not rows and not problems:
        problems = [RowProblem(1, "", "has no activities")]
    report = ActivityReport(problems, len(rows))
    if problems:
        return report
    connection = await asyncpg.connect(owner_url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        written = 0
        for batch in batched(rows, ROWS_AT_ONCE):
            done = await connection.fetch(_SAVE, json.dumps(batch))
            report.added += sum(one["is_new"] for one in done)
            report.changed += sum(not one["is_new"] for one in done)
            written += len(batch)
            tell(written)
        if replaces:
            status = await connection.execute(_ARCHIVE, [row["id"] for row in rows])
            report.archived = int(status.split()[-1])
        await (transaction.rollback() if is_dry_run else transaction.commit())
    finally:
        await connection.close()
    return report
