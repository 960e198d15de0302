"""`tallygraph secrets …`: settings that are secrets, in a file that the master key seals."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Annotated

import typer
from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import TypeAdapter, ValidationError

from cli.core.terminal import console, fail, operator, owner_url
from settings import LISTS, Settings, SettingsError, get_settings
from settings_checks import split_list
from settings_sealed import problem_of_name, write_secrets
from settings_secrets import sealed_secrets, secrets_file, secrets_ring

commands = typer.Typer(no_args_is_help=True, help="Secrets: settings in a sealed file.")

# Of what is imported: many times what an .env file has.
MOST_CHARACTERS = 1_000_000

Name = Annotated[str, typer.Argument(help="The variable, such as DISCORD_TOKEN.")]


@commands.command("list")
def list_command() -> None:
    """Lists the names, and which of them the environment overrides. Shows no value."""
    for name in sorted(sealed_secrets()):
        overridden = " (the environment says otherwise)" if os.environ.get(name) else ""
        typer.echo(f"{name}{overridden}")


@commands.command("get")
def get_command(name: Name) -> None:
    """Prints one secret. The audit log tells who read it and when."""
    values = sealed_secrets()
    if name not in values:
        fail(f"{name} is not in {secrets_file()}. `tallygraph secrets list` lists what is.")
    _note("read_secrets", [name])
    typer.echo(values[name])


@commands.command("set")
def set_command(name: Name) -> None:
    """Sets one secret, which is asked for or read from a pipe. Servers have it when they start."""
    given = typer.prompt(name, hide_input=True) if sys.stdin.isatty() else sys.stdin.read()
    _save({**sealed_secrets(), name: given.rstrip("\r\n")}, [name])


@commands.command("remove")
def remove_command(name: Name) -> None:
    """Removes one secret."""
    values = dict(sealed_secrets())
    if values.pop(name, None) is None:
        fail(f"{name} is not in {secrets_file()}. `tallygraph secrets list` lists what is.")
    _save(values, [name])


@commands.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="A file of NAME=value lines, such as .env.")],
) -> None:
    """Takes the variables of an .env file over. Delete the file afterwards."""
    try:
        with file.open() as opened:
            text = opened.read(MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError):
        fail(f"{file} can't be read.")
    if len(text) > MOST_CHARACTERS:
        fail(f"{file} has more than {MOST_CHARACTERS:,} characters: it is no file of variables.")
    added = _parsed(text)
    if not added:
        fail(f"{file} has no variable with a value.")
    _save({**sealed_secrets(), **added}, sorted(added))


@commands.command("edit")
def edit_command() -> None:
    """Opens the secrets in $EDITOR, as NAME=value lines, and seals what is saved."""
    before = sealed_secrets()
    if before:
        _note("read_secrets", sorted(before))
    lines = (f"{name}={_quoted(value)}\n" for name, value in before.items())
    after = _parsed(_edited("".join(lines)))
    names = before.keys() | after.keys()
    changed = sorted(name for name in names if before.get(name) != after.get(name))
    if changed:
        _save(after, changed)
    else:
        console.print("Nothing was changed.")


def _edited(text: str) -> str:
    """What an editor makes of a text, which is on no disk where memory can hold it."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        file = Path(folder) / "secrets.env"
        file.touch(mode=0o600)
        file.write_text(text)
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        try:
            done = subprocess.run([*shlex.split(editor), str(file)], check=False)  # noqa: S603
        except (OSError, ValueError):
            fail("The editor can't be run: nothing was changed. Name another in EDITOR.")
        if done.returncode != 0:
            fail(f"The editor ended with status {done.returncode}: nothing was changed.")
        return file.read_text()


def _parsed(text: str) -> dict[str, str]:
    """The variables of a text of NAME=value lines."""
    for line in parse_stream(StringIO(text)):
        if line.error or (line.key is not None and line.value is None):
            fail(f"Line {line.original.line} is not NAME=value: nothing was changed.")
    found = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value for name, value in found.items() if value}


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _save(values: Mapping[str, str], changed: list[str]) -> None:
    for name in changed:
        if problem := problem_of_name(name):
            fail(f"{name}: {problem}.")
        if name in values and not values[name]:
            fail(f"{name}: there is no value.")
        if name in values and (problem := _problem_of_value(name, values[name])):
            fail(f"{name}: {problem}. Nothing was changed.")
    write_secrets(secrets_file(), secrets_ring(), values)
    _note("set_secrets", changed)
    console.print(f"{', '.join(changed)}: saved. Servers read it when they start.", markup=False)


def _problem_of_value(name: str, value: str) -> str | None:
    """Why no server could start with a value; nothing for a good one. It never holds the value."""
    if "\0" in value:
        return "it holds the character 0, which no variable can"
    field = Settings.model_fields.get(name.lower())
    if field is None:
        return None
    read = split_list(value) if name.lower() in LISTS else value
    adapter: TypeAdapter[object] = TypeAdapter(field.rebuild_annotation())
    try:
        adapter.validate_python(read)
    except ValidationError as refused:
        try:
            # What is no text, number or list of texts is written as JSON.
            adapter.validate_json(value)
        except ValidationError:
            first = refused.errors(include_input=False, include_url=False, include_context=False)[0]
            return "no server takes it" if first["type"] == "value_error" else first["msg"]
    return None


def _note(action: str, names: list[str]) -> None:
    """Writes into the audit log; where no database runs yet, it says so."""
    from db.vault.rotating import note_secrets

    try:
        url = owner_url(get_settings())
    except SettingsError:
        console.print("No database runs, so that the audit log does not tell of it.")
        return
    except ValidationError:
        console.print(
            "Other settings can't be read, so that the audit log does not tell of it; mend those "
            f"in the environment, in .env or in {secrets_file()}.",
            markup=False,
        )
        return
    asyncio.run(note_secrets(url, action, names, operator()))
