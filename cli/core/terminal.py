"""What all commands share: where they print, how they fail, and which database they mean."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO
from uuid import UUID

import typer
from rich.console import Console

from server.logs import is_plain
from settings import Settings, SettingsError

# A pipe has no width: what is read by programs is not folded.
UNFOLDED_COLUMNS = 1000


def _console(stream: TextIO, *, stderr: bool) -> Console:
    # Without a colour system there are neither colours nor bold or dim letters.
    return Console(
        stderr=stderr,
        highlight=False,
        color_system=None if is_plain(stream) else "auto",
        width=None if stream.isatty() or "COLUMNS" in os.environ else UNFOLDED_COLUMNS,
    )


console = _console(sys.stderr, stderr=True)


def result_console() -> Console:
    """Where a command's result goes: standard output, styled only where somebody looks at it."""
    return _console(sys.stdout, stderr=False)


def fail(message: str) -> NoReturn:
    """Prints a message and ends with status 1."""
    say(message)
    raise typer.Exit(1)


def say(message: str) -> None:
    """Prints what went wrong, on as few lines as it has."""
    console.print(message, style="red", markup=False, soft_wrap=True)


@contextmanager
def refusals() -> Iterator[None]:
    """What is refused is said, a line for each problem, and ends the command."""
    from db.core.errors import DomainError, InputRefused

    try:
        yield
    except InputRefused as refused:
        for problem in refused.problems[:-1]:
            say(problem.message)
        fail(refused.problems[-1].message)
    except DomainError as refusal:
        fail(refusal.message)


def run[T](work: Coroutine[Any, Any, T]) -> T:
    """What the work returns; a refusal is a sentence.

    Which secrets the settings came from is noted before.
    """
    from cli.core.secret_notes import note_reads

    with refusals():
        note_reads()
        return asyncio.run(work)


def operator() -> str:
    """Who runs the command, for the audit log."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def id_of(prefix: str, found_by: str) -> Callable[[str], UUID]:
    """Reads an id as the API gives it (`transaction_…`), or its UUID alone.

    `found_by` is the command that lists such ids.
    """

    def read(text: str) -> UUID:
        try:
            return UUID(text.removeprefix(f"{prefix}_"))
        except ValueError:
            fail(f"{text} is no id: write {prefix}_… or its UUID. `{found_by}` lists them.")

    return read


def owner_url(settings: Settings) -> str:
    """The owner's URL: DATABASE_OWNER_URL, else that of the embedded database if it runs."""
    from db.embedded.database import find_embedded

    if settings.database_owner_url:
        if not settings.database_owner_url.startswith(("postgresql://", "postgres://")):
            raise SettingsError("DATABASE_OWNER_URL: write postgresql://user:password@host:port/…")
        return settings.database_owner_url
    embedded = find_embedded(settings)
    if embedded is None:
        raise SettingsError(no_database(settings))
    return embedded.owner_url


def no_database(settings: Settings) -> str:
    """Where a running database was looked for, and what to do."""
    from db.embedded.database import find_embedded

    looked = settings.data_directory.absolute()
    beside = Path(__file__).resolve().parents[2] / ".tallygraph"
    said = f"No database is running for {looked}, and DATABASE_OWNER_URL is not set. "
    if looked != beside and find_embedded(settings.model_copy(update={"data_directory": beside})):
        return (
            f"{said}One runs for {beside}: go to that folder, or set DATA_DIRECTORY={beside}. "
            "script/server starts one here."
        )
    return (
        f"{said}Start one with script/server; if it runs elsewhere, run this in its folder or set "
        "DATA_DIRECTORY to its .tallygraph; or set DATABASE_OWNER_URL."
    )


def serving_url(settings: Settings) -> str:
    """The place the server's roles connect to."""
    return settings.database_url or owner_url(settings)
