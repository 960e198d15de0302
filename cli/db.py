"""`tallygraph db …`: the database in use, and the embedded ones of this machine."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cli.core.terminal import UNFOLDED_COLUMNS, console, fail, owner_url, result_console
from settings import get_settings

commands = typer.Typer(no_args_is_help=True, help="The database in use.")


@commands.command("url")
def database_url() -> None:
    """Prints the URL of the database in use, as its owner; for psql and tools."""
    typer.echo(owner_url(get_settings()))


@commands.command("reset")
def database_reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Deletes the embedded database and all uploaded files. It cannot be undone."""
    import shutil

    from db.embedded.database import EmbeddedDatabaseError, destroy_embedded, find_embedded

    settings = get_settings()
    if settings.production:
        fail("This is a production deployment; drop its database by hand if you mean it.")
    if not yes and find_embedded(settings) is None:  # one that runs is refused below
        typer.confirm(f"Delete all data under {settings.data_directory}?", abort=True)
    try:
        destroy_embedded(settings)
    except EmbeddedDatabaseError as error:
        fail(str(error))
    shutil.rmtree(settings.data_directory.absolute() / "storage", ignore_errors=True)
    console.print("Gone. script/server makes a new one.")


@commands.command("list")
def database_list() -> None:
    """Lists the embedded databases of this machine's system folder, and this folder's own.

    One whose data folder was deleted is "left behind".
    """
    from db.embedded.database_folders import list_database_folders

    databases = list_database_folders(get_settings())
    if not databases:
        console.print("There are none.")
        return
    table = Table("Id", "Megabytes", "State", "Data folder", box=SIMPLE_HEAD)
    table.columns[1].justify = "right"
    for database in databases:
        origin = Text(str(database.origin) if database.origin else "not written down")
        table.add_row(database.id, f"{database.size_bytes / 1e6:.0f}", database.state, origin)
    # In a narrow window too: a folder that is cut off names nothing.
    unfolded = result_console()
    unfolded.width = UNFOLDED_COLUMNS
    unfolded.print(table)
    if any(database.state == "left behind" for database in databases):
        console.print("`tallygraph db remove ID` deletes one.")


@commands.command("remove")
def database_remove(
    name: Annotated[str, typer.Argument(metavar="ID", help="Which one, as `db list` gives it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Deletes an embedded database that nothing uses. It cannot be undone."""
    from db.embedded.database_folders import list_database_folders, remove_database_folder

    database = next((one for one in list_database_folders(get_settings()) if one.id == name), None)
    if database is None:
        fail(f"There is no database {name}. `tallygraph db list` shows those there are.")
    if database.state in ("running", "in use"):
        fail(f"The database {name} is in use: stop the server that runs on it, then try again.")
    if not yes:
        whose = database.origin or "a folder that was not written down"
        typer.confirm(f"Delete the database of {whose}?", abort=True)
    remove_database_folder(database)
    console.print("Gone.")
