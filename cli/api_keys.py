"""`tallygraph api-keys …`: the API keys there are, ending one, and how much one may be used."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cli.core.terminal import console, fail, owner_url, result_console, run
from settings import get_settings

if TYPE_CHECKING:
    from asyncpg import Record

commands = typer.Typer(no_args_is_help=True, help="API keys of servers and bots.")

ID_PREFIX, SECRET_START, PREFIX_CHARACTERS = "apiKey_", "tgk_", 8
Key = Annotated[
    str,
    typer.Argument(help="The key: the 8 characters behind tgk_, or its id in the API."),
]


def named(key: str) -> str:
    """A key's UUID or prefix; a whole secret is as good, and is cut off here."""
    stripped = key.strip()
    if stripped.startswith(SECRET_START):
        return stripped.removeprefix(SECRET_START)[:PREFIX_CHARACTERS]
    return stripped.removeprefix(ID_PREFIX)


@commands.command("list")
def list_command(
    who: Annotated[
        str | None,
        typer.Argument(help="Whose: an e-mail or an id; everybody's when left out."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    revoked: Annotated[bool, typer.Option("--revoked", help="Those that were ended, too.")] = False,
) -> None:
    """Lists API keys, newest first."""
    from db.api_keys.operating import list_keys

    found = run(list_keys(owner_url(get_settings()), who, limit, with_revoked=revoked))
    if not found:
        console.print("No API keys.")
        return
    result_console().print(keys_table(found))


@commands.command("revoke")
def revoke_command(key: Key) -> None:
    """Ends an API key, on every node within 5 seconds."""
    from db.api_keys.operating import revoke_key

    if asyncio.run(revoke_key(owner_url(get_settings()), named(key))) is None:
        fail(f"There is no API key {named(key)} that works. `tallygraph api-keys list` lists them.")
    console.print(f"{named(key)} is revoked.", markup=False)


@commands.command("limit")
def limit_command(
    key: Key,
    requests_per_minute: Annotated[
        int, typer.Argument(min=0, help="Requests in a minute; 0: API_KEY_REQUESTS_PER_MINUTE.")
    ],
) -> None:
    """Sets how many requests an API key may make in a minute, on all nodes together."""
    from db.api_keys.operating import limit_key

    settings = get_settings()
    work = limit_key(owner_url(settings), named(key), requests_per_minute or None)
    if asyncio.run(work) is None:
        fail(f"There is no API key {named(key)} that works. `tallygraph api-keys list` lists them.")
    allowed = requests_per_minute or settings.api_key_requests_per_minute
    console.print(f"{named(key)} may make {allowed} requests a minute.", markup=False)


def keys_table(keys: list[Record]) -> Table:
    """The keys in one line each."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("Prefix", "Whose", "Name", "Scopes", "Made (UTC)", "Last used (UTC)", "Until"):
        table.add_column(name, no_wrap=name not in ("Whose", "Name"), overflow="fold")
    for key in keys:
        until = "revoked" if key["revoked_at"] else timestamp(key["expires_at"])
        table.add_row(
            key["prefix"],
            Text(key["email"] or ""),
            Text(key["name"]),
            " ".join(key["scopes"]),
            timestamp(key["created_at"]),
            timestamp(key["last_used_at"]),
            until,
        )
    return table


def timestamp(value: datetime | None) -> str:
    """A time in UTC, to the minute."""
    return f"{value:%Y-%m-%d %H:%M}" if value else ""
