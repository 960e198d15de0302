"""Reads lists of contacts: CSV (RFC 4180) in UTF-8, each row judged by itself."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass

from db.campaigns.tables import LIST_LIMIT_BYTES, VARIABLES_LIMIT_BYTES
from db.runs.rules import is_phone_number

NUMBER_COLUMN = "phone_number"
ROWS_LIMIT = 100_000
COLUMNS_LIMIT = 50
COLUMN_NAME_LIMIT_CHARACTERS = 64
VALUE_LIMIT_CHARACTERS = 1_000
REREAD_LIMIT = 20
# What the reader says when the text ends within quotes.
_UNCLOSED = "unexpected end of data"

# A value that is too long is read to its end, so that its lines are not taken for rows.
csv.field_size_limit(LIST_LIMIT_BYTES)


class ListUnreadable(Exception):
    """The whole list cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class ContactRow:
    """Somebody to call; `row_number` counts from 1 below the header."""

    row_number: int
    phone_number: str
    variables: dict[str, str]


@dataclass(frozen=True, slots=True)
class WrongRow:
    """A row that nobody is called by; `field` is the column at fault, if one is."""

    row_number: int
    field: str | None
    message: str


def read_contacts(data: bytes) -> Iterator[ContactRow | WrongRow]:
    """Each row, as a contact or with what is wrong; `ListUnreadable` for what is no list at all."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ListUnreadable("The file is not UTF-8 text.") from None
    if "\0" in text:
        raise ListUnreadable("The file is no text: it has NUL characters.")
    source = io.StringIO(text, newline="")
    header = _header(csv.reader(source, strict=True))
    number = 0
    for cells in _records(source):
        if isinstance(cells, list) and not any(cell.strip() for cell in cells):
            continue
        number += 1
        if number > ROWS_LIMIT:
            yield WrongRow(number, None, f"A list has at most {ROWS_LIMIT} rows.")
            return
        yield (
            WrongRow(number, None, cells) if isinstance(cells, str) else _row(number, header, cells)
        )


def _records(source: io.StringIO) -> Iterator[list[str] | str]:
    """The values of each row, or what is wrong with it.

    A quote that is not closed in its row takes rows below it for its value. When they turn out to
    be no CSV they are read again without the line that opened it, REREAD_LIMIT times at most, as
    each time may read the rest of the list.
    """
    rows = csv.reader(source, strict=True)
    reread = 0
    while True:
        start = source.tell()
        before = rows.line_num
        try:
            cells = next(rows, None)
        except csv.Error as error:
            unclosed = str(error) == _UNCLOSED
            if not unclosed and rows.line_num == before + 1:
                yield f"The row is no CSV: {error}."
                continue
            reread += 1
            if reread > REREAD_LIMIT:
                yield "Too many rows open a quote that is not closed: what follows is not read."
                return
            yield "A quote opens in the row and is not closed in it."
            source.seek(start)
            source.readline()
            rows = csv.reader(source, strict=True)
            continue
        if cells is None:
            return
        yield cells


def _header(rows: Iterator[list[str]]) -> list[str]:
    try:
        names = [name.strip() for name in next(rows, [])]
    except csv.Error as error:
        raise ListUnreadable(f"The first row is no CSV: {error}.") from None
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        raise ListUnreadable("Divide the columns by commas, not by semicolons or tabs.")
    if NUMBER_COLUMN not in names:
        raise ListUnreadable(f"The first row names no column {NUMBER_COLUMN}.")
    if len(names) > COLUMNS_LIMIT:
        raise ListUnreadable(f"There may be at most {COLUMNS_LIMIT} columns.")
    if not all(0 < len(name) <= COLUMN_NAME_LIMIT_CHARACTERS for name in names):
        raise ListUnreadable("Each column has a name of at most 64 characters in the first row.")
    if len(set(names)) < len(names):
        raise ListUnreadable("Two columns have the same name.")
    return names


def _row(number: int, header: list[str], cells: list[str]) -> ContactRow | WrongRow:
    if len(cells) != len(header):
        message = f"The row has {len(cells)} values, and the header {len(header)}."
        return WrongRow(number, None, message)
    values = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    to_call = values.pop(NUMBER_COLUMN)
    if not is_phone_number(to_call):
        message = "A number is written in E.164, such as +4930901820."
        return WrongRow(number, NUMBER_COLUMN, message)
    for name, value in values.items():
        if len(value) > VALUE_LIMIT_CHARACTERS:
            return WrongRow(number, name, f"At most {VALUE_LIMIT_CHARACTERS} characters.")
    if len(json.dumps(values).encode()) > VARIABLES_LIMIT_BYTES:
        return WrongRow(number, None, "The row's values may have at most 16 KiB.")
    return ContactRow(number, to_call, values)
