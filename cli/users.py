"""`tallygraph users …`: who there is, what they have, who is an admin and who is locked."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cli.core.terminal import console, fail, operator, owner_url, result_console
from settings import get_settings

if TYPE_CHECKING:
    from asyncpg import Record

    from db.accounts.operating import AccountOverview

commands = typer.Typer(no_args_is_help=True, help="People.")

# What a page of users takes in one line each, with e-mails of usual length.
WIDE_COLUMNS = 120
Who = Annotated[str, typer.Argument(help="Whose account: an e-mail, or an id as the API gives it.")]


def run[T](work: Coroutine[Any, Any, T]) -> T:
    """What the work returns; a refusal is a sentence."""
    from db.core.errors import DomainError

    try:
        return asyncio.run(work)
    except DomainError as refusal:
        fail(refusal.message)


@commands.command("list")
def users_list(
    search: Annotated[
        str | None, typer.Option(help="Only those whose e-mail has this text in it.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    after: Annotated[
        str | None, typer.Option(help="Those behind this user: the last id of the page before.")
    ] = None,
) -> None:
    """Lists users, newest first."""
    from db.accounts.operating import list_users

    # One more than is shown tells whether there is another page.
    found = run(list_users(owner_url(get_settings()), search, after, limit + 1))
    if not found:
        console.print("Nobody.")
        return
    out = result_console()
    out.print(users_table(found[:limit], is_narrow=out.width < WIDE_COLUMNS))
    if len(found) > limit:
        console.print(f"There are more: --after user_{found[limit - 1]['id']}", soft_wrap=True)


@commands.command("show")
def users_show(who: Who) -> None:
    """Shows an account: its wallet in short and the devices that are signed in."""
    from db.accounts.operating import read_account

    account = run(read_account(owner_url(get_settings()), who))
    out = result_console()
    out.print(summary(account))
    if account.sessions:
        out.print(sessions_table(account.sessions))
    if account.user["email"]:
        console.print("The wallet in full: `tallygraph credits show E-MAIL`.")


@commands.command("promote")
def users_promote(who: Who) -> None:
    """Makes a user an admin, from their next request on."""
    from db.accounts.operating import set_role

    changed = run(set_role(owner_url(get_settings()), who, "admin", operator()))
    _tell(who, "is an admin from now on." if changed else "is an admin already.")


@commands.command("demote")
def users_demote(who: Who) -> None:
    """Takes an admin's rights away, and ends their sessions."""
    from db.accounts.operating import set_role

    changed = run(set_role(owner_url(get_settings()), who, "user", operator()))
    _tell(who, "is no admin any more." if changed else "is no admin.")


@commands.command("lock")
def users_lock(who: Who) -> None:
    """Locks an account: its sessions end within seconds, and nobody signs in."""
    from db.accounts.operating import set_locked

    work = set_locked(owner_url(get_settings()), who, is_locked=True, operator=operator())
    _tell(who, "is locked from now on." if run(work) else "is locked already.")


@commands.command("unlock")
def users_unlock(who: Who) -> None:
    """Lets the owner of a locked account sign in again."""
    from db.accounts.operating import set_locked

    work = set_locked(owner_url(get_settings()), who, is_locked=False, operator=operator())
    _tell(who, "may sign in again." if run(work) else "is not locked.")


@commands.command("delete")
def users_delete(
    who: Who,
    days: Annotated[
        int | None,
        typer.Option(min=0, max=365, help="After how many; ACCOUNT_DELETION_DAYS if unsaid."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Deletes an account and all it has, after a while in which signing in keeps it."""
    from db.accounts.operating import schedule_deletion

    settings = get_settings()
    waits = settings.account_deletion_days if days is None else days
    if not yes:
        typer.confirm(f"Delete {who.strip()} in {waits} days, for good?", abort=True, err=True)
    work = schedule_deletion(
        owner_url(settings), who, grace=timedelta(days=waits), operator=operator()
    )
    _tell(who, f"is signed out, and deleted at {run(work):%Y-%m-%d %H:%M} UTC.")


@commands.command("remove-second-factors")
def users_remove_second_factors(who: Who) -> None:
    """Has an account ask for no second factor any more. Make sure first who it is that asks."""
    from db.factors.operating import remove_second_factors

    work = remove_second_factors(owner_url(get_settings()), who, operator())
    _tell(who, "is asked for no second factor any more." if run(work) else "is asked for none.")


def _tell(who: str, what: str) -> None:
    console.print(f"{who.strip()} {what}", markup=False, soft_wrap=True)


def users_table(users: list[Record], *, is_narrow: bool) -> Table:
    """A page of users; where there is little room, ids stand below e-mails."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    if not is_narrow:
        table.add_column("Id", no_wrap=True)
    table.add_column("E-mail and id" if is_narrow else "E-mail", overflow="fold")
    for name in ("Role", "Plan", "Credits", "Since (UTC)"):
        table.add_column(name, justify="right" if name == "Credits" else "left", no_wrap=True)
    for user in users:
        identifier, mail = f"user_{user['id']}", address(user)
        role = user["role"] if user["status"] == "active" else f"{user['role']}, {user['status']}"
        table.add_row(
            *((mail.append(f"\n{identifier}"),) if is_narrow else (identifier, mail)),
            role,
            user["plan_id"] or "",
            str(user["balance"]),
            f"{user['created_at']:%Y-%m-%d}",
        )
    return table


def address(user: Record) -> Text:
    """The e-mail as it is, or what stands for it."""
    return Text("a guest" if user["is_anonymous"] else user["email"] or "")


def summary(account: AccountOverview) -> Table:
    """The figures of an account."""
    user = account.user
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("E-mail", address(user))
    table.add_row("Id", f"user_{user['id']}")
    table.add_row("Name", Text(user["display_name"] or ""))
    table.add_row("Role", user["role"])
    table.add_row("Status", user["status"])
    table.add_row("Plan", user["plan"] or "")
    table.add_row("Since", f"{user['created_at']:%Y-%m-%d %H:%M} UTC")
    credits = f"{user['balance']}, of which {user['held']} held"
    table.add_row("Credits", f"{credits}, unlimited" if user["unlimited"] else credits)
    table.add_row("Generations", str(user["generations"]))
    table.add_row("Uploads", str(user["uploads"]))
    devices = len(account.sessions)
    table.add_row("Signed in", f"on {devices} device{'' if devices == 1 else 's'}")
    return table


def sessions_table(sessions: list[Record]) -> Table:
    """The devices that are signed in, the last used first."""
    table = Table("Since (UTC)", "Last used (UTC)", "Until (UTC)", "Device", box=SIMPLE_HEAD)
    for session in sessions:
        times = (session[name] for name in ("created_at", "last_used_at", "expires_at"))
        table.add_row(
            *(f"{time:%Y-%m-%d %H:%M}" for time in times), Text(session["user_agent"] or "")
        )
    return table
