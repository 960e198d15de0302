"""`tallygraph import …`: brings what another service has."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.core.terminal import console, fail, operator, owner_url, result_console, run
from settings import get_settings

if TYPE_CHECKING:
    from db.activities.importing import ActivityReport
    from db.imports.attuned.importing import AttunedOptions, AttunedReport
    from db.imports.importing import ImportOptions, ImportReport
    from db.imports.rules import Refused

commands = typer.Typer(name="import", no_args_is_help=True, help="Moving in.")

DATABASE_SCHEMES = ("postgresql://", "postgres://")
SHOWN_REFUSALS = 10
SHOWN_PROBLEMS = 100


@commands.callback()
def imports() -> None:
    """Brings what another service has. See docs/migrating."""


@commands.command("users")
def import_users_command(
    source: Annotated[
        str, typer.Argument(help="A CSV export of auth.users, or the URL of a Supabase database.")
    ],
    identities: Annotated[
        Path | None,
        typer.Option(help="A CSV export of auth.identities.", exists=True, dir_okay=False),
    ] = None,
    bonus: Annotated[
        bool, typer.Option("--bonus", help="Give the credits of signing up, too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Where to write who was not taken, and why, as CSV.")
    ] = None,
) -> None:
    """Brings users of Supabase Auth with ids and passwords. Run it as often as needed."""
    from db.imports.importing import ImportOptions

    if not source.startswith(DATABASE_SCHEMES) and not Path(source).is_file():
        fail(f"{source} is neither a file nor a URL like postgresql://….")
    _check_folder(report)
    options = ImportOptions(operator(), with_bonus=bonus, is_dry_run=dry_run)
    done = run(_import(source, identities, options))
    if report is not None:
        _write_report(report, done.refused)
    _show(done, options)


def _check_folder(report: Path | None) -> None:
    if report is not None and not report.absolute().parent.is_dir():
        fail(f"There is no folder {report.absolute().parent} for the report.")


async def _import(source: str, identities: Path | None, options: ImportOptions) -> ImportReport:
    from db.imports.importing import import_users
    from db.imports.sources import from_database, from_files

    is_database = source.startswith(DATABASE_SCHEMES)
    batches = from_database(source) if is_database else from_files(Path(source), identities)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as shown:
        line = shown.add_task("Reading")

        def tell(report: ImportReport) -> None:
            text = f"{report.read:,} read, {report.imported:,} imported"
            shown.update(line, description=text)

        return await import_users(owner_url(get_settings()), batches, options, tell)


def _show(report: ImportReport, options: ImportOptions) -> None:
    out = result_console()
    counts = {
        "would be imported" if options.is_dry_run else "imported": report.imported,
        "already there": report.already_there,
        "of these with a newer password": report.passwords_renewed,
        "not taken": len(report.refused),
    }
    for what, count in counts.items():
        out.print(f"{count:>9,}  {what}", markup=False)
    for reason, count in report.reasons.most_common():
        out.print(f"{count:>13,}  {reason}", markup=False, soft_wrap=True)
    for one in report.refused[:SHOWN_REFUSALS]:
        console.print(f"not taken: {one.id}: {one.reason}", markup=False, soft_wrap=True)
    if len(report.refused) > SHOWN_REFUSALS:
        console.print("… and more: --report FILE.csv writes all of them.")


def _write_report(path: Path, refused: Iterable[Refused]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "reason"))
        writer.writerows((one.id, one.reason) for one in refused)


@commands.command("activities")
def import_activities_command(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A CSV or JSON file.", exists=True, dir_okay=False),
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Switch off those that are not in the file.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
) -> None:
    """Brings activities, by their kind and text. While a row is wrong, nothing is written."""
    report = run(_import_activities(source, replaces=replace, is_dry_run=dry_run))
    for problem in report.problems[:SHOWN_PROBLEMS]:
        console.print(f"{problem.place}: {problem.what}", markup=False, soft_wrap=True)
    if more := report.problems[SHOWN_PROBLEMS:]:
        console.print(f"… and {len(more):,} more.")
    if report.problems:
        count = len(report.problems)
        fail(f"Nothing was imported: {count:,} problem{'s' if count > 1 else ''}.")
    out = result_console()
    counts = {
        "would be added" if dry_run else "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "archived": report.archived,
    }
    for what, count in counts.items():
        out.print(f"{count:>9,}  {what}", markup=False)


async def _import_activities(source: Path, *, replaces: bool, is_dry_run: bool) -> ActivityReport:
    from db.activities.importing import import_activities

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as shown:
        line = shown.add_task("Reading")
        return await import_activities(
            owner_url(get_settings()),
            source,
            replaces=replaces,
            is_dry_run=is_dry_run,
            tell=lambda written: shown.update(line, description=f"{written:,} written"),
        )


@commands.command("attuned")
def import_attuned_command(
    source: Annotated[
        str,
        typer.Option("--from", metavar="URL", help="The prototype's database; it is only read."),
    ],
    backup: Annotated[
        Path | None,
        typer.Option(help="A new folder for its tables as CSV; in the data folder if unsaid."),
    ] = None,
    guest_sessions: Annotated[
        bool,
        typer.Option("--guest-sessions", help="Let guests come back with their session's id."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Where to write what was not taken, and why, as CSV.")
    ] = None,
) -> None:
    """Brings Attuned's prototype: surveys, partners, games. Run it as often as needed."""
    from db.imports.attuned.importing import AttunedOptions

    if not source.startswith(DATABASE_SCHEMES):
        fail("--from is no URL like postgresql://….")
    _check_folder(report)
    settings = get_settings()
    folder = backup or settings.data_directory / f"attuned-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    if folder.exists():
        fail(f"{folder} is there already: name a new folder with --backup.")
    guest_days = settings.guest_days if guest_sessions else None
    options = AttunedOptions(operator(), dry_run, folder, guest_days)
    done = run(_import_attuned(source, options))
    if report is not None:
        _write_report(report, (one for stage in done.stages.values() for one in stage.refused))
    _show_attuned(done, options)


async def _import_attuned(source: str, options: AttunedOptions) -> AttunedReport:
    from db.imports.attuned.importing import import_attuned

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as shown:
        line = shown.add_task("Reading")
        return await import_attuned(
            owner_url(get_settings()),
            source,
            options,
            lambda text: shown.update(line, description=text),
        )


def _show_attuned(report: AttunedReport, options: AttunedOptions) -> None:
    """Of each stage what became of its rows, then what is to be looked at."""
    table = Table("Of", "read", "imported", "already there", "not taken", box=SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, stage in report.stages.items():
        figures = (stage.read, stage.imported, stage.already_there, len(stage.refused))
        table.add_row(name, *(f"{figure:,}" for figure in figures))
    out = result_console()
    out.print(table)
    out.print(f"{report.guests:>9,}  guests made of anonymous profiles", markup=False)
    looked_at = {
        "profiles with another orientation than before": report.differing_powers,
        "surveys with something to answer again": report.asked_again,
        f"pairs of {report.compared:,} who fit otherwise than before": report.differing_fits,
    }
    for what, found in looked_at.items():
        out.print(f"{len(found):>9,}  {what}", markup=False)
    for name, stage in report.stages.items():
        for reason, count in stage.reasons.most_common():
            out.print(f"{count:>13,}  {name}: {reason}", markup=False, soft_wrap=True)
    for line in [line for found in looked_at.values() for line in found][:SHOWN_PROBLEMS]:
        console.print(f"look at {line}", markup=False, soft_wrap=True)
    if options.is_dry_run:
        console.print("Tried alone: nothing was written, and no backup made.")
    elif report.backup is not None:
        console.print(f"The prototype's tables as they were: {report.backup}", soft_wrap=True)
