"""Accounts as an operator reads them: a page of users, one in figures, the devices signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from asyncpg import Record

    from db.accounts.operating import AccountOverview


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
        table.add_row(
            *((mail.append(f"\n{identifier}"),) if is_narrow else (identifier, mail)),
            ", ".join(filter(None, (user["role"], *unusual(user)))),
            user["plan_id"] or "",
            str(user["balance"]),
            f"{user['created_at']:%Y-%m-%d}",
        )
    return table


def address(user: Record) -> Text:
    """The e-mail as it is, or what stands for it."""
    return Text("a guest" if user["is_anonymous"] else user["email"] or "")


def unusual(user: Record) -> list[str]:
    """What keeps an account from being used as others are, in words."""
    found = [] if user["status"] == "active" else [user["status"]]
    if user["deletes_at"]:
        found.append(f"deleted at {user['deletes_at']:%Y-%m-%d %H:%M} UTC")
    return found


def second_factors(user: Record) -> str:
    """What the account asks for beside the first factor."""
    found = ["authenticator app"] if user["has_totp"] else []
    for name, count in (("passkey", user["passkeys"]), ("recovery code", user["recovery_codes"])):
        if count:
            found.append(f"{count} {name}{'' if count == 1 else 's'}")
    return ", ".join(found) or "none"


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
    table.add_row("Status", ", ".join(unusual(user)) or "active")
    if user["email"]:
        confirmed = user["email_confirmed_at"]
        table.add_row("Confirmed", f"{confirmed:%Y-%m-%d %H:%M} UTC" if confirmed else "no")
    table.add_row("Password", "set" if user["has_password"] else "none")
    table.add_row("Second factors", second_factors(user))
    table.add_row("Plan", user["plan"] or "")
    table.add_row("Since", f"{user['created_at']:%Y-%m-%d %H:%M} UTC")
    credits = f"{user['balance']}, of which {user['held']} held"
    table.add_row("Credits", f"{credits}, unlimited" if user["unlimited"] else credits)
    table.add_row("Generations", str(user["generations"]))
    table.add_row("Uploads", str(user["uploads"]))
    devices = len(account.sessions)
    table.add_row("Signed in", f"on {devices} device{'' if devices == 1 else 's'}")
    return table


def sessions_table(sessions: list[Record], *, with_ids: bool = False) -> Table:
    """The devices that are signed in, the last used first."""
    table = Table("Since (UTC)", "Last used (UTC)", "Until (UTC)", "Device", box=SIMPLE_HEAD)
    if with_ids:
        table.add_column("About where")
        table.add_column("Id", no_wrap=True)
    for session in sessions:
        times = (session[name] for name in ("created_at", "last_used_at", "expires_at"))
        where = (session["address"] or "", f"session_{session['id']}") if with_ids else ()
        device = Text(session["user_agent"] or "")
        table.add_row(*(f"{time:%Y-%m-%d %H:%M}" for time in times), device, *where)
    return table
