"""`tallygraph vault …`: sealing what there is by another master key, and which keys are in use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated

import typer

from cli.core.terminal import console, fail, operator, owner_url
from settings import Settings, SettingsError, get_settings

commands = typer.Typer(no_args_is_help=True, help="The vault: its keys, and what they seal.")
TOLD_EVERY_SECONDS = 2.0


class RotationProgress:
    """Says how far a rotation is, table by table, every two seconds."""

    def __init__(self) -> None:
        self._told_at = 0.0

    def __call__(self, table: str, rows: int, total: int) -> None:
        now = time.monotonic()
        if total and (rows in {0, total} or now - self._told_at >= TOLD_EVERY_SECONDS):
            self._told_at = now
            console.print(f"{table}: {rows:,} of {total:,}", markup=False)


@commands.command("status")
def status_command() -> None:
    """Says how much is sealed by another key than the first of VAULT_MASTER_KEY."""
    from db.vault.rotating import count_stale
    from db.vault.sealing import Vault

    settings = get_settings()
    stale = asyncio.run(count_stale(owner_url(settings), Vault(settings)))
    for table, rows in stale.items():
        typer.echo(f"{table}: {rows:,} to be sealed anew")


@commands.command("rotate")
def rotate_command(
    batch: Annotated[int, typer.Option(min=1, max=100_000, help="Rows at a time.")] = 2_000,
) -> None:
    """Seals everything by the first key of VAULT_MASTER_KEY, while servers run.

    Put the new key behind the old one on every process first, then before it, and rotate; take the
    old one out when this says so. If it is stopped, begin again: it goes on where it was.
    """
    from db.vault.rotating import rotate
    from db.vault.sealing import Vault

    settings: Settings = get_settings()
    vault = Vault(settings)
    work = rotate(owner_url(settings), vault, operator(), RotationProgress(), batch)
    done = asyncio.run(work)
    _rotate_file()
    if done.broken:
        listed = ", ".join(f"{rows} of {table}" for table, rows in done.broken.items())
        fail(f"No key opens {listed}: they are as they were, and no key is retired.")
    console.print(f"{sum(done.rows.values()):,} rows are sealed by the first key.", markup=False)
    if done.retired:
        console.print("Nothing needs the other keys any more: take them out.", markup=False)


def _rotate_file() -> None:
    """Seals the file of secrets anew as a whole, where there is one; others may change it."""
    from settings_sealed import SecretUnavailable, change_secrets
    from settings_secrets import sealed_secrets, secrets_file, secrets_ring

    if not sealed_secrets():
        return
    count = 0

    def unchanged(now: dict[str, str]) -> Mapping[str, str]:
        nonlocal count
        count = len(now)
        return now

    try:
        change_secrets(secrets_file(), secrets_ring(), unchanged)
    except SecretUnavailable as reason:
        raise SettingsError(f"VAULT_MASTER_KEY{reason}") from None
    console.print(f"{count} secrets of the sealed file, too.", markup=False)
