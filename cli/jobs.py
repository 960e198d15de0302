"""`tallygraph jobs …`: the state of schedule, queue and providers, and dead jobs."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from cli.core.terminal import fail, id_of, owner_url, result_console
from settings import get_settings

if TYPE_CHECKING:
    from asyncpg import Record

    from db.jobs.administration import Overview

commands = typer.Typer(help="Jobs: what runs when, what waits, what was given up.")


@commands.callback(invoke_without_command=True)
def jobs(context: typer.Context) -> None:
    """Shows the schedule, the queue and the providers."""
    if context.invoked_subcommand is not None:
        return
    from db.jobs.administration import read_overview

    overview = asyncio.run(read_overview(owner_url(get_settings())))
    console = result_console()
    for table in overview_tables(overview):
        console.print(table)
    if overview.dead:
        console.print(f"[red]{overview.dead} dead jobs[/red]: `tallygraph jobs dead` lists them.")


@commands.command("dead")
def dead(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
) -> None:
    """Lists the jobs that were given up and that nobody has retried."""
    from db.jobs.administration import read_dead_jobs

    found = asyncio.run(read_dead_jobs(owner_url(get_settings()), limit))
    console = result_console()
    if not found:
        console.print("No dead jobs.")
        return
    table = Table("Id", "Job", "Attempts", "Died (UTC)", "Whose", "Why")
    for row in found:
        what = " ".join(filter(None, (row["entrypoint"], row["tool_id"])))
        table.add_row(
            str(row["id"]),
            what,
            str(row["attempts"]),
            timestamp(row["died_at"]),
            row["email"] or "",
            row["error"],
        )
    console.print(table)
    console.print("`tallygraph jobs retry ID` tries one again; a generation is free then.")


@commands.command("retry")
def retry(
    job: Annotated[
        UUID,
        typer.Argument(
            help="The dead job's id, as `dead` or the API gives it.",
            parser=id_of("deadJob", "tallygraph jobs dead"),
            metavar="ID",
        ),
    ],
) -> None:
    """Tries a dead job again, once."""
    from db.jobs.administration import UnknownJobError, retry_dead_job

    try:
        asyncio.run(retry_dead_job(owner_url(get_settings()), job))
    except UnknownJobError:
        fail(f"There is no dead job {job}. `tallygraph jobs dead` lists them.")
    result_console().print("It is in line again.")


def overview_tables(overview: Overview) -> list[Table]:
    """The overview as tables."""
    # Without frames it fits a terminal of 80 columns.
    schedule = Table(
        Column("Scheduled work", no_wrap=True),
        Column("Times (UTC)", no_wrap=True),
        Column("Last run", no_wrap=True),
        Column("Took", no_wrap=True),
        Column("Result", overflow="fold"),
        Column("Next run", no_wrap=True),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        caption=None if overview.schedule else "No worker has run yet.",
    )
    for row in overview.schedule:
        schedule.add_row(
            row["name"],
            row["times"],
            short_timestamp(row["last_finished_at"]),
            duration(row["last_milliseconds"]),
            result(row),
            short_timestamp(row["next_run_at"]),
        )
    queue = Table("Queue", "Waiting", "For later", "Running", "Oldest since")
    for row in overview.queue:
        counts = [str(row[name]) for name in ("waiting", "deferred", "running")]
        queue.add_row(row["entrypoint"], *counts, timestamp(row["oldest"]))
    circuits = Table("Provider", "Circuit", "Failures in a row", "Rests until")
    for row in overview.circuits:
        failures = str(row["consecutive_failures"])
        circuits.add_row(row["provider"], row["state"], failures, timestamp(row["retry_at"]))
    return [table for table in (schedule, queue, circuits) if table.row_count or table is schedule]


def result(row: Record) -> str:
    """How a scheduled work stands."""
    if row["running"]:
        return "[yellow]running[/yellow]"
    if row["last_result"] == "FAILED":
        return f"[red]failed: {row['last_error']}[/red]"
    return "[green]succeeded[/green]" if row["last_result"] else ""


def timestamp(value: datetime | None) -> str:
    """A time in UTC, to the second."""
    return value.strftime("%Y-%m-%d %H:%M:%S") if value else ""


def short_timestamp(value: datetime | None) -> str:
    """A time in UTC of this year, to the minute."""
    return value.strftime("%m-%d %H:%M") if value else ""


def duration(milliseconds: int | None) -> str:
    """A duration, in the unit that suits it."""
    if milliseconds is None:
        return ""
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"
