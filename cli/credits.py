"""`tallygraph credits …`: read a wallet, give, refund and move credits, verify the ledger."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID, uuid4

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.core.terminal import (
    console,
    fail,
    id_of,
    operator,
    owner_url,
    result_console,
    run,
    serving_url,
)
from settings import get_settings

if TYPE_CHECKING:
    from asyncpg import Record

    from db.credits.administration import OperatorAction, WalletStatement
    from db.credits.proof import Proof

commands = typer.Typer(no_args_is_help=True, help="Credits of users.")

Reason = Annotated[str, typer.Option(help="Why; it stands in the history and the audit log.")]
Key = Annotated[str | None, typer.Option(help="The same key does it once, however often it runs.")]
Amount = Annotated[int, typer.Argument(min=1, max=1_000_000, help="How many credits.")]
Who = Annotated[str, typer.Argument(help="Whose wallet: an e-mail, or an id as the API gives it.")]


def operator_action(reason: str, key: str | None) -> OperatorAction:
    """A change of a wallet, with a key of its own unless one was given."""
    from db.credits.administration import OperatorAction

    if not reason.strip():
        fail("--reason needs a text.")
    return OperatorAction(operator(), reason.strip(), key or str(uuid4()))


@commands.command("show")
def show(
    who: Who,
    movements: Annotated[int, typer.Option(min=1, max=1000, help="How many movements.")] = 15,
) -> None:
    """Prints a wallet as a statement: balance, grants, holds and the last movements."""
    from db.credits.administration import read_statement

    statement = run(read_statement(owner_url(get_settings()), who, movements))
    print_statement(statement, result_console())


@commands.command("grant")
def grant(
    who: Who,
    amount: Amount,
    reason: Reason,
    expires: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The last day on which they can be used (UTC)."),
    ] = None,
    key: Key = None,
) -> None:
    """Gives credits to a user, noted in the audit log."""
    from db.credits.administration import give_credits, read_statement

    url, last_day = owner_url(get_settings()), expires.date() if expires else None
    transaction = run(give_credits(url, who, amount, operator_action(reason, key), last_day))
    balance = run(read_statement(url, who, 1)).wallet["balance"]
    console.print(
        f"Given. {who.strip()} has {balance} credits. Transaction {transaction}", soft_wrap=True
    )


@commands.command("refund")
def refund(
    transaction: Annotated[
        UUID,
        typer.Argument(
            help="The spend's id, as `show` or the API gives it.",
            parser=id_of("transaction", "tallygraph credits show"),
            metavar="TRANSACTION",
        ),
    ],
    reason: Reason,
    amount: Annotated[
        int | None, typer.Option(min=1, help="How many credits; all that are left if unsaid.")
    ] = None,
    key: Key = None,
) -> None:
    """Gives a spend's credits back to the grants they came from."""
    from db.credits.administration import refund_spend

    made = run(
        refund_spend(owner_url(get_settings()), transaction, amount, operator_action(reason, key))
    )
    console.print(f"Refunded. Transaction {made}", soft_wrap=True)


@commands.command("transfer")
def transfer(
    sender: Annotated[str, typer.Argument(help="From whom: an e-mail or an id.")],
    receiver: Annotated[str, typer.Argument(help="To whom: an e-mail or an id.")],
    amount: Amount,
    reason: Reason,
    key: Key = None,
) -> None:
    """Moves credits from one user to another; they keep their source and expiry."""
    from db.credits.administration import transfer_credits

    url = owner_url(get_settings())
    sent = run(transfer_credits(url, sender, receiver, amount, operator_action(reason, key)))
    console.print(f"Moved. Transaction {sent}", soft_wrap=True)


@commands.command("unlimited")
def unlimited(
    reason: Reason,
    who: Annotated[
        str | None,
        typer.Argument(help="Whose wallet: an e-mail, or an id as the API gives it."),
    ] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="All users.")] = False,
    off: Annotated[bool, typer.Option("--off", help="Debit their spends again.")] = False,
) -> None:
    """Lets a user spend without debit, still logged; for a fault in payments, everybody."""
    from db.credits.administration import set_unlimited

    if (who is None) is not everybody:
        fail("Name one account, or say --everybody.")
    action, url = operator_action(reason, None), owner_url(get_settings())
    changed = run(set_unlimited(url, who, unlimited=not off, by=action.by, reason=action.reason))
    console.print(f"Changed {changed} wallet{'' if changed == 1 else 's'}.")


@commands.command("prove")
def prove() -> None:
    """Proves that all balances equal the sums of their entries; ends with 1 when one does not."""
    proof = asyncio.run(proven())
    for found in proof.discrepancies:
        console.print(f"{found.user_id}  {found.discrepancy}", style="red")
    if proof.discrepancies:
        fail(f"{len(proof.discrepancies)} discrepancies in {proof.wallets} wallets.")
    console.print(f"{proof.wallets} wallets are sound.")


async def proven() -> Proof:
    """The proof, made as the server makes it; says on a terminal how far it is."""
    from db.core.pool import Database
    from db.credits.proof import prove_ledger

    settings = get_settings()
    database = await Database.connect(serving_url(settings), settings)
    try:
        with console.status("Verifying the ledger") as status:
            return await prove_ledger(
                database, tell=lambda wallets: status.update(f"{wallets} wallets proven so far")
            )
    finally:
        await database.close()


def print_statement(statement: WalletStatement, out: Console) -> None:
    """A wallet for people to read."""
    wallet = statement.wallet
    out.print(Text(wallet["name"], style="bold"))
    out.print(summary(wallet))
    out.print(grants_table(statement.grants) if statement.grants else "No credits to use.")
    if statement.holds:
        out.print(holds_table(statement.holds))
    out.print(movements_table(statement.movements) if statement.movements else "No movements yet.")
    if spends := [movement for movement in statement.movements if movement["used"] > 0]:
        out.print(spends_table(spends))


def summary(wallet: Record) -> Table:
    """The figures of a wallet."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("Balance", str(wallet["balance"]), "unlimited" if wallet["unlimited"] else "")
    table.add_row("Held", str(wallet["held"]), "for work under way")
    table.add_row("Available", str(wallet["balance"] - wallet["held"]), "")
    if wallet["plan"]:
        due = wallet["plan_credits_due_at"]
        table.add_row("Plan", wallet["plan"], f"next credits {day(due)}" if due else "")
        used, limit = wallet["daily_used"], wallet["daily_limit"]
        table.add_row("Today", f"{used} of {limit}", "of the plan's credits, until 24:00 UTC")
    return table


def figures(title: str, *columns: str) -> Table:
    """An empty table; a column whose name begins with `#` holds figures."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for name in columns:
        table.add_column(name.lstrip("#"), justify="right" if name[0] == "#" else "left")
    return table


def grants_table(grants: list[Record]) -> Table:
    """What there is to use, in the order of use."""
    table = figures(
        "Credits, in their order of use", "Source", "#Left", "#Of", "Expires after", "For"
    )
    for grant in grants:
        table.add_row(
            in_words(grant["source"]),
            str(grant["remaining"]),
            str(grant["amount"]),
            last_day(grant["expires_at"]),
            Text(grant["reference_id"] or ""),
        )
    return table


def holds_table(holds: list[Record]) -> Table:
    """What is held."""
    table = figures("Held", "#Credits", "For", "Until")
    for hold in holds:
        table.add_row(
            str(hold["amount"]), Text(hold["reference_id"] or ""), minute(hold["expires_at"])
        )
    return table


def movements_table(movements: list[Record]) -> Table:
    """The last movements, newest first."""
    table = figures("Last movements", "When (UTC)", "What", "#Change", "#Held", "#Balance", "Why")
    for movement in movements:
        change = movement["amount"] or (-movement["used"] if movement["used"] else 0)
        why = movement["reason"] or movement["reference_id"] or ""
        table.add_row(
            minute(movement["created_at"]),
            in_words(movement["type"]),
            f"{change:+}" if movement["amount"] else f"({change:+})" if change else "",
            f"{movement['held_change']:+}" if movement["held_change"] else "",
            str(movement["balance_after"]),
            Text(why),
        )
    return table


def spends_table(spends: list[Record]) -> Table:
    """The ids of spends, whole on a narrow terminal too: a refund is asked for by one."""
    table = figures("Spends, for `credits refund TRANSACTION`", "Transaction", "#Used", "Why")
    table.columns[0].no_wrap = True
    for spend in spends:
        why = spend["reason"] or spend["reference_id"] or ""
        table.add_row(str(spend["id"]), str(spend["used"]), Text(why))
    return table


def day(timestamp: datetime | None) -> str:
    """The day of a timestamp, in UTC."""
    return f"{timestamp.astimezone(UTC):%Y-%m-%d}" if timestamp else ""


def minute(timestamp: datetime) -> str:
    """A timestamp to the minute, in UTC."""
    return f"{timestamp.astimezone(UTC):%Y-%m-%d %H:%M}"


def in_words(name: str) -> str:
    """A name of the schema's as people read it."""
    return name.replace("_", " ").lower()


def last_day(expires_at: datetime | None) -> str:
    """The last day on which credits can be used, and how far away it is."""
    if expires_at is None:
        return "never"
    last = expires_at - timedelta(microseconds=1)
    days = (last.astimezone(UTC).date() - date_today()).days
    away = "today" if days <= 0 else "tomorrow" if days == 1 else f"in {days} days"
    return f"{day(last)}, {away}"


def date_today() -> date:
    """The day it is in UTC."""
    return datetime.now(UTC).date()
