"""What all commands share: where they print, how they fail, and which database they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn
from uuid import UUID

import typer
from rich.console import Console

from settings import Settings, SettingsError

console = Console(stderr=True, highlight=False)


def fail(message: str) -> NoReturn:
    """Prints a message and ends with status 1."""
    say(message)
    raise typer.Exit(1)


def say(message: str) -> None:
    """Prints what went wrong, on as few lines as it has."""
    console.print(message, style="red", markup=False, soft_wrap=True)


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
    from db.embedded import find_embedded

    if settings.database_owner_url:
        return settings.database_owner_url
    embedded = find_embedded(settings)
    if embedded is None:
        raise SettingsError(
            "No database is running. Start it with script/server, or set DATABASE_OWNER_URL."
        )
    return embedded.owner_url


def serving_url(settings: Settings) -> str:
    """The place the server's roles connect to."""
    return settings.database_url or owner_url(settings)
