"""`tallygraph outbox …`: the e-mails of a deployment without SMTP_URL."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cli.core.terminal import fail, result_console
from settings import get_settings

commands = typer.Typer(help="The outbox: e-mails of a deployment without SMTP_URL.")


@commands.callback(invoke_without_command=True)
def outbox(context: typer.Context) -> None:
    """Lists the newest e-mails in the outbox."""
    if context.invoked_subcommand is None:
        list_command(20)


@commands.command("list")
def list_command(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
) -> None:
    """Lists the e-mails in the outbox."""
    files = written()
    console = result_console()
    if not files:
        console.print(Text(f"No e-mail is in {get_settings().outbox_directory}."))
        return
    table = Table("Time (UTC)", "To", "Subject", "File", box=SIMPLE_HEAD)
    for file in files[:limit]:
        message = read(file)
        time = message["Date"].datetime
        headers = (Text(str(message[name])) for name in ("To", "Subject"))
        table.add_row(f"{time:%Y-%m-%d %H:%M:%S}", *headers, Text(file.name))
    console.print(table)
    console.print("`tallygraph outbox show` prints the newest, `show FILE` another.")


@commands.command("show")
def show(
    file: Annotated[
        str, typer.Argument(help="A file as `list` names it, or a part of its name.")
    ] = "",
    html: Annotated[bool, typer.Option("--html", help="The HTML part, not the text.")] = False,
) -> None:
    """Prints an e-mail: the newest, or the newest whose file's name has these letters."""
    found = next((one for one in written() if file in one.name), None)
    if found is None:
        fail(f"There is no such e-mail in {get_settings().outbox_directory}.")
    message = read(found)
    part = message.get_body(("html",) if html else ("plain",))
    assert part is not None
    if not html:
        for name in ("From", "To", "Subject", "Date"):
            typer.echo(f"{name}: {message[name]}")
        typer.echo(f"File: {found}\n")
    typer.echo(part.get_content(), nl=False)


def written() -> list[Path]:
    """The files of the outbox, the newest first."""
    return sorted(get_settings().outbox_directory.glob("*.eml"), reverse=True)


def read(file: Path) -> EmailMessage:
    """An e-mail of the outbox."""
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message
