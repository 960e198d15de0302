"""The command line: `tallygraph …`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel
from rich.table import Table

from cli.core.terminal import console, fail, operator, owner_url, run, say, serving_url
from server.logs import is_plain
from settings import Settings, get_settings


def command_groups() -> Iterator[tuple[str, typer.Typer]]:
    """The groups of commands: each module beside this one is one, and has its name or its own."""
    for file in sorted(Path(__file__).parent.glob("*.py")):
        if file.stem not in ("__init__", "__main__", "main"):
            group: typer.Typer = import_module(f"cli.{file.stem}").commands
            # No module can have the name `import`.
            named = group.info.name
            yield named if isinstance(named, str) else file.stem.replace("_", "-"), group


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Tallygraph: a self-hosted GraphQL backend.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None if is_plain(sys.stdout) else "rich",
)
for name, commands in command_groups():
    app.add_typer(commands, name=name)


def print_version(asked: bool) -> None:
    """Prints the version, which pyproject.toml names, and ends."""
    if asked:
        typer.echo(f"tallygraph {version('tallygraph')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Tallygraph: a self-hosted GraphQL backend."""


class Progress:
    """One line a step, with the seconds since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, line: str) -> None:
        seconds = time.monotonic() - self._started
        console.print(f"[dim]{seconds:5.1f} s[/dim]  {line}")


TrustedDocuments = Annotated[
    Path | None, typer.Option(help="JSON file of the only documents that may run.")
]


def settings_with(trusted_documents: Path | None) -> Settings:
    """The settings, with what the command line says in place of TRUSTED_DOCUMENTS."""
    from graph.engine.documents.persisted import load_trusted_documents

    settings = get_settings()
    if trusted_documents is not None:
        settings.trusted_documents = str(trusted_documents)
    if settings.trusted_documents:  # a wrong file is said before anything starts
        load_trusted_documents(Path(settings.trusted_documents))
    return settings


@app.command()
def dev(trusted_documents: TrustedDocuments = None) -> None:
    """Everything in one process: embedded database, migrations, demo catalog, API and worker."""
    from server.logs import configure_logs
    from server.serving import AlreadyRunning, DevelopmentLock, bind, run, serve, start_database
    from server.start_checks import check_start

    settings = settings_with(trusted_documents)
    configure_logs(settings)
    lock, report = DevelopmentLock(settings), Progress()
    try:
        lock.take()
    except AlreadyRunning as running:
        console.print(f"Tallygraph is already running at [bold]{running}[/bold]")
        return
    check_start(settings)
    listener = bind(settings)
    embedded = None if settings.database_url else start_database(settings, report)

    def ready() -> None:
        lock.publish(settings.base_url)
        report("Ready")
        show_urls(settings)

    try:
        url = serving_url(settings) if embedded is None else embedded.owner_url
        run(serve(settings, url, listener, with_worker=True, on_ready=ready))
    finally:
        if embedded is not None:
            embedded.stop()
    console.print("Stopped.")


def show_urls(settings: Settings) -> None:
    """Where everything is."""
    base = settings.base_url
    table = Table.grid(padding=(0, 2))
    if settings.graphiql:
        table.add_row("GraphiQL", f"[bold]{base}/graphiql[/bold]")
    table.add_row("API", f"{base}/graphql   (HTTP, WebSocket, SSE)")
    table.add_row("Health", f"{base}/healthz, {base}/readyz")
    table.add_row("psql", ".venv/bin/tallygraph db url")
    console.print(Panel(table, title="Tallygraph", title_align="left", expand=False))
    console.print("[dim]Ctrl-C stops everything.[/dim]")


@app.command()
def serve(
    trusted_documents: TrustedDocuments = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes behind one port.")] = 1,
    listener: Annotated[int | None, typer.Option(hidden=True)] = None,
    group_socket: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """The API. Needs DATABASE_URL; run `tallygraph migrate` first."""
    from server.logs import configure_logs
    from server.serving import bind, inherited, run
    from server.serving import serve as run_server
    from server.start_checks import check_start
    from server.supervising import Supervisor

    settings = settings_with(trusted_documents)
    configure_logs(settings)
    if listener is None:  # a supervisor has looked already
        check_start(settings)
    url = serving_url(settings)
    opened = bind(settings) if listener is None else inherited(listener, settings)
    if workers > 1:
        options = ["--trusted-documents", settings.trusted_documents]
        command = ["serve", *(options if settings.trusted_documents else ())]
        show_urls(settings)
        run(Supervisor(command, opened, workers).run())
        return

    def ready() -> None:
        if listener is None:
            show_urls(settings)

    supervised = listener is not None
    run(
        run_server(
            settings, url, opened, supervised=supervised, group_socket=group_socket, on_ready=ready
        )
    )


@app.command()
def worker() -> None:
    """Runs jobs. Needs DATABASE_DIRECT_URL (not through PgBouncer). See `tallygraph jobs`."""
    from server.logs import configure_logs
    from server.serving import run, work
    from server.start_checks import check_start

    settings = get_settings()
    configure_logs(settings)
    check_start(settings)
    console.print("Working. Ctrl-C finishes the jobs under way and stops.")
    run(work(settings, settings.database_direct_url or serving_url(settings)))


@app.command()
def migrate() -> None:
    """Brings the database up to date; safe to run twice, or on several nodes at once."""
    from db.migrations.migrate import migrate as run_migrations

    settings = get_settings()
    asyncio.run(run_migrations(owner_url(settings), settings))
    console.print("The database is up to date.")


@app.command()
def seed(
    name: Annotated[str, typer.Argument(help="Which seed, such as demo.")],
    demo: Annotated[
        bool,
        typer.Option(
            "--demo",
            help="Add people who show attuned, aura, vectabase or voicefx, for trying it.",
        ),
    ] = False,
) -> None:
    """Loads a product's plans, tools, choices and terms."""
    from db.core.seeding import UnknownSeedError, load_seed

    settings = get_settings()
    if demo and name not in ("attuned", "aura", "vectabase", "voicefx"):
        fail(
            f"The seed {name} has no people: `tallygraph seed attuned --demo`, aura, vectabase or"
            " voicefx."
        )
    if demo and settings.production:
        fail("This is a production deployment: everybody knows the password of these people.")
    try:
        counts = asyncio.run(load_seed(owner_url(settings), name))
    except UnknownSeedError as error:
        fail(str(error))
    if demo:
        from cli.core.passwords import hashed
        from db.demo import aura, vectabase, voicefx
        from db.demo.loading import load_people
        from db.demo.people import PASSWORD

        loads = {
            "attuned": load_people,
            "aura": aura.load_aura,
            "vectabase": vectabase.load_vectabase,
            "voicefx": voicefx.load_voicefx,
        }
        counts |= run(loads[name](owner_url(settings), hashed(PASSWORD), operator()))
        told = _load_bot(settings, counts) if name == "vectabase" else []
    for table, count in counts.items():
        console.print(f"{count:5}  {table}")
    if demo:
        who = {
            "attuned": "alice@test.com, bob, charlie, diana and eve sign",
            "aura": f"{aura.EMAIL} signs",
            "vectabase": f"{vectabase.SELLER} and {vectabase.BUYER} sign",
            "voicefx": "vera@test.com and oskar sign",
        }[name]
        console.print(f"{who} in with: {PASSWORD}")
        for line in told:
            console.print(line, soft_wrap=True)


def _load_bot(settings: Settings, counts: dict[str, int]) -> list[str]:
    """A file to buy, and a bot with its server; what is told of them once, where they are made."""
    from auth.api_keys import NewSecret
    from db.demo.discord import LICENSED, load_discord
    from db.demo.vectabase import send_panel
    from db.files.storage import open_storage

    counts["files"] = run(send_panel(owner_url(settings), open_storage(settings)))
    secret = NewSecret.make()
    demo = run(load_discord(owner_url(settings), settings, secret.prefix, secret.hash))
    counts |= demo.counts
    if not demo.counts["bots"]:
        return []
    return [
        f"the bot's key, for examples/discord-bot: {secret.text}",
        f"keys of {LICENSED} to redeem there: {', '.join(demo.licence_keys)}",
    ]


@app.command()
def schema(
    check: Annotated[bool, typer.Option(help="Only say whether the file is up to date.")] = False,
) -> None:
    """Writes schema.graphql from the code."""
    from graph.schema import schema_text

    path = Path(__file__).parents[1] / "schema.graphql"
    text = schema_text()
    if check:
        if not path.exists() or path.read_text() != text:
            fail("schema.graphql is out of date: run `tallygraph schema` and commit it.")
        return
    path.write_text(text)
    console.print(f"Wrote {path.name}")


@app.command("lifecycles")
def lifecycles_command() -> None:
    """Writes docs/lifecycles.md from the code."""
    from cli.core.lifecycles import DOCUMENT, lifecycles_text

    DOCUMENT.write_text(lifecycles_text())
    console.print(f"Wrote docs/{DOCUMENT.name}")


@app.command("explain")
def explain_command(
    file: Annotated[Path, typer.Argument(help="A GraphQL document.", exists=True, dir_okay=False)],
    variables: Annotated[str, typer.Option(help="Its variables, as JSON.")] = "{}",
    email: Annotated[str | None, typer.Option("--as", help="For whom: an e-mail.")] = None,
    operation: Annotated[str | None, typer.Option(help="Which operation of several.")] = None,
    analyze: Annotated[bool, typer.Option("--analyze", help="Run it too, if it reads.")] = False,
) -> None:
    """Prints the SQL of an operation, its parameters and Postgres's plan; writes nothing."""
    from cli.core.explain import Question, explain_here
    from db.core.errors import DomainError
    from graph.shared.errors import RequestError

    try:
        given = json.loads(variables)
        if not isinstance(given, dict):
            fail("--variables must be a JSON object.")
        question = Question(file.read_text(), given, operation, email, analyze)
        settings = get_settings()
        answer = asyncio.run(explain_here(settings, serving_url(settings), question))
    except json.JSONDecodeError:
        fail("--variables is not valid JSON.")
    except (DomainError, RequestError) as error:
        fail(str(error))
    typer.echo(answer, nl=False)


def main() -> None:
    """The entry point; what an operator can mend is a sentence, not a stack trace."""
    from cli.core.faults import explained
    from server.log_errors import trace
    from server.logs import configure_logs

    # By itself the library prints local variables. Servers and workers do it again, as set.
    configure_logs(Settings.model_construct())
    try:
        app()
    except Exception as error:
        found = explained(error)
        # Of what nobody expected the calls and kinds: what it says may hold a value, even a secret.
        status, sentences = found or (1, [trace(error)])
        for sentence in sentences:
            say(sentence)
        sys.exit(status)


if __name__ == "__main__":
    main()
