"""`tallygraph plans …`: which plan a user has and what of it is paid, and giving one."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.core.terminal import console, operator, owner_url, result_console, run
from cli.credits import Key, day, figures, in_words, operator_action
from settings import get_settings

if TYPE_CHECKING:
    from asyncpg import Record

commands = typer.Typer(no_args_is_help=True, help="Plans of users.")

Who = Annotated[str, typer.Argument(help="Whose plan: an e-mail, or an id as the API gives it.")]


@commands.command("show")
def show(who: Who) -> None:
    """Prints a user's plan, and every period of one that was paid or given."""
    from db.plans.administration import read_plan

    found = run(read_plan(owner_url(get_settings()), who))
    out = result_console()
    out.print(Text(found.plan["name"], style="bold"))
    out.print(summary(found.plan))
    out.print(periods_table(found.periods) if found.periods else "Nothing was paid for a plan yet.")


@commands.command("give")
def give(
    who: Who,
    plan: Annotated[str, typer.Argument(help="The plan's id, such as `pro`.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit log.")],
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The last day of it (UTC); it lasts without."),
    ] = None,
    key: Key = None,
) -> None:
    """Gives a user a plan in place of the one they have; that of new users ends it."""
    from db.plans.administration import give_plan, read_plan

    url, last_day = owner_url(get_settings()), until.date() if until else None
    run(give_plan(url, who, plan, operator_action(reason, key), last_day))
    now = run(read_plan(url, who)).plan
    console.print(
        f"Given by {operator()}. {now['name']} has the plan {now['plan']}.", soft_wrap=True
    )


def summary(plan: Record) -> Table:
    """What stands, for people to read."""
    table = Table.grid(padding=(0, 2))
    table.add_row("Plan", plan["plan"] or "none")
    if plan["status"]:
        table.add_row("Subscription", in_words(plan["status"]))
        table.add_row("Paid until", day(plan["current_period_end"]) or "without an end")
    if plan["scheduled"]:
        table.add_row("From then on", plan["scheduled"])
    if plan["grace_ends_at"]:
        table.add_row("To be paid by", day(plan["grace_ends_at"]))
    if plan["plan_credits_due_at"]:
        table.add_row("Next credits", day(plan["plan_credits_due_at"]))
    return table


def periods_table(periods: list[Record]) -> Table:
    """What was paid or given, newest first."""
    table = figures("Periods", "From", "To", "Plan", "What", "#Credits", "Reference")
    for period in periods:
        revoked = ", refunded" if period["revoked_at"] else ""
        table.add_row(
            day(period["starts_at"]),
            day(period["ends_at"]),
            period["plan"],
            in_words(period["kind"]) + revoked,
            str(period["credits"]),
            Text(period["reference"]),
        )
    return table
