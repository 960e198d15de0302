"""`tallygraph secrets …`: settings that are secrets, in a file that the master key seals."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Annotated

import typer
from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import TypeAdapter, ValidationError

from cli.core.editing import edited
from cli.core.secret_notes import note
from cli.core.terminal import console, fail
from settings import LISTS, Settings, SettingsError
from settings_checks import split_list
from settings_sealed import SecretUnavailable, change_secrets, problem_of_name, sealed_lines
from settings_secrets import sealed_secrets, secrets_file, secrets_ring

commands = typer.Typer(no_args_is_help=True, help="Secrets: settings in a sealed file.")

# Of what is imported: many times what an .env file has.
MOST_CHARACTERS = 1_000_000

Name = Annotated[str, typer.Argument(help="The variable, such as DISCORD_TOKEN.")]


@commands.command("list")
def list_command() -> None:
    """Lists the names, and which of them the environment overrides. Shows no value."""
    for name in sorted(sealed_lines(secrets_file())):
        overridden = " (the environment says otherwise)" if os.environ.get(name) else ""
        typer.echo(f"{name}{overridden}")


@commands.command("get")
def get_command(name: Name) -> None:
    """Prints one secret. The audit log tells who read it and when."""
    values = sealed_secrets()
    if name not in values:
        fail(f"{name} is not in {secrets_file()}. `tallygraph secrets list` lists what is.")
    note("read_secrets", [name])
    typer.echo(values[name])


@commands.command("set")
def set_command(name: Name) -> None:
    """Sets one secret, which is asked for or read from a pipe. Servers have it when they start."""
    given = typer.prompt(name, hide_input=True) if sys.stdin.isatty() else sys.stdin.read()
    _save({name: given.rstrip("\r\n")})


@commands.command("remove")
def remove_command(name: Name) -> None:
    """Removes one secret."""
    if name not in sealed_lines(secrets_file()):
        fail(f"{name} is not in {secrets_file()}. `tallygraph secrets list` lists what is.")
    _save({name: None})


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
    _save(added)


@commands.command("edit")
def edit_command() -> None:
    """Opens the secrets in $EDITOR, as NAME=value lines, and seals what is saved.

    A line that is deleted removes its secret.
    """
    before = sealed_secrets()
    if before:
        note("read_secrets", sorted(before))
    lines = (f"{name}={_quoted(value)}\n" for name, value in before.items())
    written = edited("".join(lines))
    after = _parsed(written, empty_ones=False)
    if before and not after:
        # As an editor leaves it that was killed, or found no place on the disk.
        fail("The file came back empty: nothing was changed. `tallygraph secrets remove` removes.")
    names = before.keys() | after.keys()
    changed = {name: after.get(name) for name in names if before.get(name) != after.get(name)}
    if changed:
        _save(changed, before)
    else:
        console.print("Nothing was changed.")


def _parsed(text: str, *, empty_ones: bool = True) -> dict[str, str]:
    """The variables of a text of NAME=value lines; empty ones, which are none, may stand there."""
    for line in parse_stream(StringIO(text)):
        if line.error or (line.key is not None and line.value is None):
            fail(f"Line {line.original.line} is not NAME=value: nothing was changed.")
        if line.key is not None and not line.value and not empty_ones:
            fail(f"Line {line.original.line} has no value: nothing was changed. Delete it instead.")
    found = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value for name, value in found.items() if value}


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _save(changed: Mapping[str, str | None], seen: Mapping[str, str] | None = None) -> None:
    """Sets secrets, or removes them, and lets all others be as they are by now.

    Of what was `seen` before it was changed, nothing may have been changed by somebody else.
    """
    names = sorted(changed)
    for name in names:
        _check(name, changed[name])

    def change(now: dict[str, str]) -> Mapping[str, str]:
        for name in names:
            if seen is not None and now.get(name) != seen.get(name):
                fail(f"Somebody else changed {name} meanwhile: nothing was changed. Edit anew.")
        # Before it is done: what is done and not noted would be worse than the reverse.
        note("set_secrets", names)
        after = now | {name: value for name, value in changed.items() if value is not None}
        return {name: value for name, value in after.items() if changed.get(name, "") is not None}

    try:
        change_secrets(secrets_file(), secrets_ring(), change, names)
    except SecretUnavailable as reason:
        raise SettingsError(f"VAULT_MASTER_KEY{reason}") from None
    for done in ("saved", "removed"):
        told = [name for name in names if (changed[name] is None) == (done == "removed")]
        if told:
            line = f"{', '.join(told)}: {done}. Servers read it when they start."
            console.print(line, markup=False)


def _check(name: str, value: str | None) -> None:
    """Refuses what can't stand in the file; it says why, and never what it was given."""
    if problem := problem_of_name(name):
        fail(f"{name}: {problem}.")
    if value is None:
        return
    if not value:
        fail(f"{name}: there is no value.")
    if problem := _problem_of_value(name, value):
        fail(f"{name}: {problem}. Nothing was changed.")


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
