"""Secrets that stand elsewhere than in the environment: in a file, or in what a command prints."""

from __future__ import annotations

import shlex
import subprocess
from functools import cache
from pathlib import Path

COMMAND_SECONDS = 30


class SecretUnavailable(Exception):
    """A secret can't be read where it is said to be; the message says why, and never the secret."""


def secret_in_file(name: str) -> str:
    """What a file holds, without the white space around it."""
    try:
        found = Path(name).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise SecretUnavailable(f"FILE: {name} can't be read ({reason})") from None
    if not found:
        raise SecretUnavailable(f"FILE: {name} is empty")
    return found


@cache
def secret_of_command(command: str) -> str:
    """What a command prints; it runs once for each process, without a shell.

    What it says on standard error goes to this process's own.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the operator names it
            shlex.split(command), stdout=subprocess.PIPE, timeout=COMMAND_SECONDS, check=False
        )
        found = done.stdout.decode().strip()
    except subprocess.TimeoutExpired:
        raise SecretUnavailable(f"COMMAND took more than {COMMAND_SECONDS} seconds") from None
    except OSError as error:
        raise SecretUnavailable(f"COMMAND can't be run ({error.strerror})") from None
    except ValueError:
        raise SecretUnavailable("COMMAND is no command, or what it prints is no text") from None
    if done.returncode != 0:
        raise SecretUnavailable(f"COMMAND ended with status {done.returncode}")
    if not found:
        raise SecretUnavailable("COMMAND printed nothing")
    return found
