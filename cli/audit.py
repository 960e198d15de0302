"""`tallygraph audit`: what happened to accounts, to money and to the deployment."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cli.core.terminal import console, owner_url, result_console, run
from settings import get_settings

if TYPE_CHECKING:
    from db.audit.reading import AuditFilter, AuditLine

commands = typer.Typer(help="The audit log.")

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since_when(text: str) -> datetime:
    """A time in UTC: a date, a date and time, or how long ago, such as 90m, 12h or 7d."""
    if ago := re.fullmatch(r"(\d{1,6})([smhdw])", text.strip()):
        return datetime.now(UTC) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    try:
        given = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter("Write 90m, 12h, 7d, 2026-11-27 or 2026-11-27T20:15.") from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def action_named(text: str) -> str:
    """An action as its column holds it."""
    from db.audit.actions import AuditAction

    wanted = text.strip().lower().replace("-", "_")
    if wanted not in {action.value for action in AuditAction}:
        raise typer.BadParameter("`tallygraph audit actions` lists them.")
    return wanted


@commands.callback(invoke_without_command=True)
def audit(
    context: typer.Context,
    user: Annotated[
        str | None, typer.Option(help="Of whose account: an e-mail, or an id as the API gives it.")
    ] = None,
    action: Annotated[
        str | None,
        typer.Option(help="Only this; `tallygraph audit actions` lists them.", parser=action_named),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(help="90m, 12h or 7d ago, or a date (UTC).", parser=since_when),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many of the newest.")] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")
    ] = False,
) -> None:
    """Prints the audit log, a line for each entry, the newest last."""
    if context.invoked_subcommand is not None:
        return
    from db.audit.reading import AuditFilter, read_audit

    wanted, url = AuditFilter(user, action, since), owner_url(get_settings())
    if follow:
        with suppress(KeyboardInterrupt):
            run(_follow(url, wanted, limit))
        return
    lines = run(read_audit(url, wanted, limit))
    for line in lines:
        _print(line)
    if not lines:
        console.print("Nothing.")


@commands.command("actions")
def actions() -> None:
    """Lists what entries tell of."""
    from db.audit.actions import AuditAction

    for action in AuditAction:
        result_console().print(
            f"{action.value:32}{action.description}", markup=False, soft_wrap=True
        )


async def _follow(url: str, wanted: AuditFilter, limit: int) -> None:
    from db.audit.reading import follow_audit

    async for line in follow_audit(url, wanted, limit):
        _print(line)


def _print(line: AuditLine) -> None:
    result_console().print(as_text(line), markup=False, soft_wrap=True)


def as_text(line: AuditLine) -> str:
    """An entry as one line, whatever is in it."""
    times = f" ×{line.times}" if line.times > 1 else ""
    parts = [
        f"{line.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        f"{line.action + times:22}",
        f"{_account(line):32}",
        line.network or "-",
        line.subject or "",
        *(f"{name}={value}" for name, value in line.detail.items() if value != line.subject),
        f"“{line.device}”" if line.device else "",
    ]
    text = "  ".join(part for part in parts if part)
    return "".join(character if character.isprintable() else " " for character in text)


def _account(line: AuditLine) -> str:
    if line.user_id is None:
        return "-"
    if line.email:
        return line.email
    return f"user_{line.user_id}" + (" (guest)" if line.is_anonymous else "")
