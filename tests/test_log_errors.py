"""No line of a log holds a value of an input, whatever a library says of what it refused."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from pydantic import BaseModel

from server import log_errors

ROOT = Path(__file__).resolve().parents[1]
CANARY = "canary7f3a"


class Model(BaseModel):
    number: int


def broken_row() -> None:
    raise asyncpg.PostgresError.new(
        {
            "S": "ERROR",
            "C": "23514",
            "M": f'new row for relation "profiles" breaks "{CANARY}"',
            "D": f"Failing row contains ({CANARY}).",
            "t": "profiles",
            "n": "short_name",
        },
        query="insert",
    )


def missing_table() -> None:
    fields = {"S": "ERROR", "C": "42P01", "M": 'relation "x" does not exist', "D": CANARY}
    raise asyncpg.PostgresError.new(fields, query="select")


def driver() -> None:
    raise asyncpg.DataError(f"invalid input for query argument $1: '{CANARY}' (expected int)")


def ours() -> None:
    raise RuntimeError("The clock went backwards.")


def made() -> None:
    raise ValueError(f"the value {CANARY} is wrong")


def led_to() -> None:
    try:
        {}[CANARY]
    except KeyError as error:
        raise ValueError(CANARY) from error


def several() -> None:
    raise ExceptionGroup(CANARY, [ValueError(CANARY), RuntimeError(CANARY)])


def with_a_note() -> None:
    error = ValueError(CANARY)
    error.add_note(CANARY)
    raise error


# What raises, and what a line tells of it.
RAISED: dict[str, tuple[Callable[[], Any], str]] = {
    "a row that breaks a constraint": (
        broken_row,
        "CheckViolationError: [23514] constraint_name=short_name table_name=profiles",
    ),
    "a missing table": (
        missing_table,
        'UndefinedTableError: [42P01] relation "x" does not exist',
    ),
    "the driver's check of arguments": (driver, "DataError: [22000]"),
    "a number": (lambda: int(CANARY), "ValueError"),
    "a key": (lambda: {}[CANARY], "KeyError"),
    "an encoding": ((CANARY + "\ud800").encode, "UnicodeEncodeError"),
    "a path": (Path(f"/{CANARY}").read_text, "FileNotFoundError: No such file or directory"),
    "a model": (lambda: Model(number=CANARY), "ValidationError"),  # type: ignore[arg-type]
    "JSON": (lambda: orjson.loads(f'{{"{CANARY}'), "JSONDecodeError"),
    "text of ours": (ours, "RuntimeError: The clock went backwards."),
    "text made of a value": (made, "ValueError"),
    "one that led to another": (led_to, "ValueError"),
    "several": (several, "ExceptionGroup"),
    "one with a note": (with_a_note, "ValueError"),
    "a type": (lambda: len(5), "TypeError: object of type 'int' has no len()"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", RAISED)
def test_an_exception_is_told_by_its_kind_and_place_without_a_value(name: str) -> None:
    raise_it, line = RAISED[name]
    with pytest.raises(Exception) as raised:  # noqa: PT011
        raise_it()
    assert log_errors.told(raised.value) == line
    event = log_errors.exceptions_without_values(
        None, "error", {"event": "x", "exc_info": raised.value, "error": raised.value}
    )
    assert "test_log_errors.py" in event["exception"], "the place is told"
    assert CANARY not in str(event)
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "failed", (), raised._excinfo)
    assert CANARY not in log_errors.WithoutValues().format(record)


LOGS = """
import asyncio, gc, logging, sys
import structlog
from server.logs import configure_logs
from settings import Settings

configure_logs(Settings(log_format=sys.argv[1]))

async def fail():
    raise ValueError(sys.argv[2])

async def main():
    forgotten = asyncio.create_task(fail())
    await asyncio.sleep(0)
    del forgotten
    gc.collect()
    asyncio.get_running_loop().call_soon(int, sys.argv[2])
    await asyncio.sleep(0.01)

asyncio.run(main())
log = structlog.get_logger()
try:
    int(sys.argv[2])
except ValueError as error:
    log.exception("failed")
    log.error("failed", exc_info=error)
    log.warning("failed", error=error)
    logging.getLogger("library").exception("failed")
"""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_process_logs_no_value(log_format: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", LOGS, log_format, CANARY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert told.count("ValueError") >= 6, told
    assert told.count("Traceback") >= 5, told
    assert "Task exception was never retrieved" in told
    # The code that failed is shown as it is written, so the value is an argument of the process.
    assert CANARY not in told


COMMAND = """
import sys
import structlog
from cli import main

def fail(secret):
    raise ValueError(secret)

def command():
    try:
        fail(sys.argv[1])
    except ValueError as error:
        structlog.get_logger().warning("job will be tried again", exc_info=error)
        structlog.get_logger().exception("failed")

main.app = command
main.main()
"""


def test_a_command_logs_no_local_variable() -> None:
    told = subprocess.run(
        [sys.executable, "-c", COMMAND, CANARY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "FORCE_COLOR": "1"},
    )
    assert told.stderr.count("Traceback") == 2, told
    assert CANARY not in told.stdout + told.stderr


def test_no_line_of_code_turns_an_exception_into_text_for_a_log() -> None:
    hidden = re.compile(r"log\.\w+\([^()]*=(repr|str)\((error|fault|exception)\)")
    for folder in ("auth", "db", "graph", "jobs", "payments", "."):
        pattern = "*.py" if folder == "." else "**/*.py"
        for path in (ROOT / folder).glob(pattern):
            assert not hidden.search(path.read_text()), path
