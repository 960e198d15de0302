"""`tallygraph quotas …`: how much guests, members and subscribers of a plan may store."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from cli.core.terminal import fail, owner_url, result_console
from settings import get_settings

BYTES_IN_MEGABYTE = 1_000_000

commands = typer.Typer(help="Quotas: how much of each slice a user may store.")

Slice = Annotated[str, typer.Argument(help="What is counted, such as profiles.")]
Audience = Annotated[str, typer.Argument(help="GUEST, MEMBER, or a plan's id.")]


@commands.callback(invoke_without_command=True)
def quotas(context: typer.Context) -> None:
    """Lists the limits. A member has their plan's where there is one, else MEMBER's."""
    if context.invoked_subcommand is not None:
        return
    from db.quotas.administration import list_limits

    table = Table(
        "Slice",
        "Audience",
        Column("Rows", justify="right"),
        Column("MB", justify="right"),
        "Set by",
        box=SIMPLE_HEAD,
    )
    for row in asyncio.run(list_limits(owner_url(get_settings()))):
        table.add_row(
            row["slice"],
            row["audience"],
            f"{row['rows_limit']:,}",
            f"{row['bytes_limit'] / BYTES_IN_MEGABYTE:,.1f}",
            "you" if row["is_custom"] else "default",
        )
    result_console().print(table)


@commands.command("set")
def set_quota(
    slice_name: Slice,
    audience: Audience,
    rows: Annotated[int | None, typer.Option(min=0, help="How many.")] = None,
    megabytes: Annotated[float | None, typer.Option(min=0, help="How much, in MB.")] = None,
) -> None:
    """Sets a limit; it holds at once, and through later migrations. What is left out stays."""
    from db.quotas.administration import UnknownQuotaError, set_limit

    if rows is None and megabytes is None:
        fail("Say what to set: --rows, --megabytes or both.")
    stored_bytes = None if megabytes is None else round(megabytes * BYTES_IN_MEGABYTE)
    url = owner_url(get_settings())
    try:
        changed = asyncio.run(set_limit(url, slice_name, audience, rows, stored_bytes))
    except UnknownQuotaError as error:
        fail(str(error))
    typer.echo(
        f"{audience}: {changed['rows_limit']} {slice_name},"
        f" {changed['bytes_limit'] / BYTES_IN_MEGABYTE:g} MB."
    )


@commands.command("reset")
def reset_quota(slice_name: Slice, audience: Audience) -> None:
    """Takes a limit of yours back: the default holds again, for a plan that of members."""
    from db.quotas.administration import reset_limit

    if not asyncio.run(reset_limit(owner_url(get_settings()), slice_name, audience)):
        fail(f"Nobody has set {slice_name} for {audience}.")
    typer.echo(f"{audience}: {slice_name} as by default.")
