"""`tallygraph organizations …`: who there is, what they use, and plans with their limits."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cli.core.terminal import console, operator, owner_url, result_console, run
from cli.credits import day
from settings import get_settings

commands = typer.Typer(no_args_is_help=True, help="Organizations, their plans and limits.")

Which = Annotated[str, typer.Argument(help="The organization's id, as the API gives it or bare.")]
Limit = typer.Option(min=-1, help="How many; -1 for any number.")


@commands.command("list")
def list_them(
    matching: Annotated[
        str | None, typer.Argument(help="A part of the name, or a member's address.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
) -> None:
    """Lists organizations, newest first."""
    from db.organizations.operating import list_organizations

    table = Table("Id", "Name", "Plan", "Members", "Owners", "Since", "Goes", box=SIMPLE_HEAD)
    for row in run(list_organizations(owner_url(get_settings()), matching, limit)):
        table.add_row(
            str(row["id"]),
            Text(row["name"]),
            row["plan_id"],
            str(row["members"]),
            Text(row["owners"] or ""),
            day(row["created_at"]),
            day(row["deletes_at"]) if row["deletes_at"] else "",
        )
    result_console().print(table)


@commands.command("show")
def show(which: Which) -> None:
    """Prints what an organization's plan allows, and what it uses."""
    from db.organizations.operating import read_usage

    table = Table("What", "Allowed", "Used", box=SIMPLE_HEAD)
    for row in run(read_usage(owner_url(get_settings()), which)):
        table.add_row(row["kind"].lower(), _number(row["allowed"]), str(row["used"]))
    result_console().print(table)


@commands.command("give-plan")
def give(
    which: Which,
    plan: Annotated[str, typer.Argument(help="The plan's id, such as `enterprise`.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit log.")],
) -> None:
    """Gives an organization a plan that was agreed on, until another is given or subscribed to."""
    from db.organizations.operating import give_plan

    run(give_plan(owner_url(get_settings()), which, plan, operator(), reason))
    console.print(f"Given by {operator()}: the plan {plan}.")


@commands.command("reset-day")
def reset_day(
    which: Which,
    on: Annotated[int, typer.Argument(min=1, max=28, help="A day of the month, 1 to 28.")],
) -> None:
    """Sets on which day of the month (UTC) an organization's calls are counted from zero."""
    from db.organizations.operating import set_reset_day

    run(set_reset_day(owner_url(get_settings()), which, on, operator()))
    console.print(f"Set by {operator()}: calls are counted from zero on day {on}.")


@commands.command("plans")
def plans() -> None:
    """Lists the plans of organizations with their limits."""
    from db.organizations.operating import list_plans

    columns = ("Id", "Name", "Workflows", "Calls a month", "Campaigns", "Seats", "Month", "Year")
    table = Table(*columns, "On sale", box=SIMPLE_HEAD)
    for row in run(list_plans(owner_url(get_settings()))):
        limits = ("workflows", "calls_per_month", "campaigns", "seats")
        table.add_row(
            row["id"],
            Text(row["name"]),
            *(_number(row[name]) for name in limits),
            *(_price(row[name], row["currency"]) for name in ("month_cents", "year_cents")),
            "yes" if row["is_active"] else "no",
        )
    result_console().print(table)


@commands.command("save-plan")
def save(
    plan: Annotated[str, typer.Argument(help="The plan's id, such as `pro`.")],
    name: Annotated[str, typer.Option(help="What people are shown.")],
    workflows: Annotated[int, Limit],
    calls: Annotated[int, Limit],
    campaigns: Annotated[int, Limit],
    seats: Annotated[int, Limit] = -1,
    month_cents: Annotated[
        int | None, typer.Option(min=0, help="Price of a month; on request without.")
    ] = None,
    year_cents: Annotated[
        int | None, typer.Option(min=0, help="Price of a year; on request without.")
    ] = None,
    rank: Annotated[
        int | None, typer.Option(min=0, help="Where it stands among plans; as before without.")
    ] = None,
    on_sale: Annotated[bool, typer.Option(help="Whether it can be subscribed to.")] = True,
) -> None:
    """Adds a plan of organizations or changes all of it, for those who have it, too."""
    from db.organizations.operating import save_plan

    saved = save_plan(
        owner_url(get_settings()),
        operator(),
        plan=plan,
        name=name,
        limits=(workflows, calls, campaigns, seats),
        prices=(month_cents, year_cents),
        sort_order=rank,
        is_active=on_sale,
    )
    run(saved)
    console.print(f"Saved by {operator()}: the plan {plan}.")


def _number(limit: int) -> str:
    return "any" if limit == -1 else str(limit)


def _price(cents: int | None, currency: str) -> str:
    return "on request" if cents is None else f"{cents / 100:.2f} {currency}"
