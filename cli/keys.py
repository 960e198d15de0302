"""`tallygraph keys …`: the keys that sign access tokens."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from cli.core.terminal import console
from settings import get_settings

commands = typer.Typer(no_args_is_help=True, help="The keys that sign access tokens.")


@commands.callback()
def keys() -> None:
    """The keys that sign access tokens."""


@commands.command("rotate")
def rotate_command() -> None:
    """Signs with a new key from now on; the one before verifies for a token's life."""
    from auth.keys import rotate

    settings = get_settings()
    rotation = rotate(settings)
    console.print(f"{rotation.new.kid} signs from now on.", markup=False, soft_wrap=True)
    for kid, until in rotation.verifying.items():
        time = f"{datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M:%S} UTC"
        console.print(f"{kid} verifies until {time}.", markup=False, soft_wrap=True)
    if rotation.since_last_seconds is not None:
        console.print(
            f"The keys were rotated {rotation.since_last_seconds} seconds before, within a token's "
            f"life of {settings.access_token_seconds}: tokens of all keys above are still good. "
            "Where others keep the key set of /.well-known/jwks.json, give them time to fetch it.",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
