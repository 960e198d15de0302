"""Brings activities from a file of an operator's: all of it, or nothing while a row is wrong."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path
from typing import Any

import asyncpg

from db.activities.rules import COLUMNS, DEFAULTS, activity_uid, problems_of_activity

ROWS_AT_ONCE = 1000
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
    """What is wrong with a row: at which line of the file, and in which column."""

    line: int
    column: str
    what: str


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
    text = path.read_text(encoding="utf-8-sig")
    entries = _json_entries(text) if path.suffix.lower() == ".json" else _csv_entries(text)
    rows: list[dict[str, Any]] = []
    problems: list[RowProblem] = []
    seen: dict[str, int] = {}
    try:
        for line, given in entries:
            found = [RowProblem(line, *one) for one in problems_of_activity(given)]
            if not found:
                uid = activity_uid(given["kind"], given["text"])
                if (first := seen.setdefault(uid, line)) != line:
                    found = [RowProblem(line, "text", f"is the same activity as in line {first}")]
                rows.append({**DEFAULTS, **given, "id": uid, "source": "IMPORTED"})
            problems += found
    except json.JSONDecodeError as error:
        problems.append(RowProblem(error.lineno, "", f"is no JSON: {error.msg}"))
    except csv.Error as error:
        problems.append(RowProblem(0, "", f"is no CSV: {error}"))
    return rows, problems


def _json_entries(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON array, each with the line that it begins in."""
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
        given, at = decoder.raw_decode(text, at)
        if not isinstance(given, dict):
            raise json.JSONDecodeError("each entry must be an object", text, counted)
        yield line, given
        while text[at : at + 1].isspace():
            at += 1
        separators = ",]"


def _csv_entries(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of a CSV file; an empty cell is as good as none."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    line = 2
    for record in reader:
        given: dict[str, Any] = {}
        for name, cell in record.items():
            if name is None:
                given["(beyond the last column)"] = cell
            elif cell and name in _LISTS:
                given[name] = [one.strip() for one in cell.split(SEPARATOR)]
            elif cell:
                is_figure = name == "intensity" and cell.isascii() and cell.isdigit()
                given[name] = int(cell) if is_figure else cell
        yield line, given
        line = reader.line_num + 1


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
