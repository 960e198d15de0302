"""Secrets that stand elsewhere than in the environment: the sealed file, other files, commands."""

from __future__ import annotations

import base64
import fcntl
import os
import re
import secrets
import shlex
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from vault_keys import KeyRing, SealBroken

COMMAND_SECONDS = 30
SEALED_FILE = "secrets.sealed"
PLACE = "sealed file"
# What leads to the file and to the keys that open it stands outside of it.
BOOTSTRAP = (
    "ENVIRONMENT",
    "DATA_DIRECTORY",
    "SECRETS_FILE",
    "VAULT_MASTER_KEY",
    "VAULT_MASTER_KEY_FILE",
    "VAULT_MASTER_KEY_COMMAND",
    "VAULT_KEY_ROUNDS",
)
NAME = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_HEADING = "# Sealed by the vault's master key; `tallygraph secrets edit` opens it."

_opened: dict[tuple[Path, int, int], Mapping[str, str]] = {}
_read: set[str] = set()


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


def opened_secrets(path: Path, ring: Callable[[], KeyRing]) -> Mapping[str, str]:
    """What a sealed file holds, opened once for each process and version of the file.

    SecretUnavailable, which names the secret, where one can't be opened.
    """
    found = path.stat()
    # Two changes may be of the same time, and then are two files.
    version = (path.absolute(), found.st_ino, found.st_mtime_ns)
    if version not in _opened:
        _opened[version] = open_secrets(path, ring())
        _read.update(_opened[version])
    return _opened[version]


def secrets_read() -> frozenset[str]:
    """The names of the secrets that this process has read from sealed files."""
    return frozenset(_read)


def open_secrets(path: Path, ring: KeyRing) -> dict[str, str]:
    """The same, opened now."""
    found, broken = _opened_lines(path, ring)
    for name in broken:
        raise SecretUnavailable(
            f": no key of it opens {name} in {path}; put back the key that sealed it, or set the"
            f" secret anew, or remove it: `tallygraph secrets set {name}`"
        )
    return found


def _opened_lines(path: Path, ring: KeyRing) -> tuple[dict[str, str], dict[str, str]]:
    """What a sealed file holds, and the lines of it that no key opens."""
    found, broken = {}, {}
    for name, sealed in sealed_lines(path).items():
        try:
            found[name] = ring.open_at(PLACE, name, base64.b64decode(sealed, validate=True))
        except (SealBroken, ValueError):
            broken[name] = sealed
    return found, broken


def sealed_lines(path: Path) -> dict[str, str]:
    """The names in a sealed file, each with what is sealed; nothing where there is no file."""
    if not path.exists():
        return {}
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise SecretUnavailable(f": {path} can't be read ({reason})") from None
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: sealed for name, _, sealed in pairs}


def change_secrets(
    path: Path,
    ring: KeyRing,
    change: Callable[[dict[str, str]], Mapping[str, str]],
    replaced: Collection[str] | None = None,
) -> None:
    """Replaces what a sealed file holds by what is made of it; of several changes none is lost.

    A process that is killed leaves the file as it was or as it is to be, and locks nobody out.
    Where only what is `replaced` changes, no key needs to open it, nor what stays beside it.
    """
    with alone_with(path):
        # What somebody who was killed had begun to write.
        for left in path.parent.glob(f".{path.name}.*"):
            left.unlink(missing_ok=True)
        if replaced is None:
            write_secrets(path, ring, change(open_secrets(path, ring)))
            return
        now, broken = _opened_lines(path, ring)
        kept = {name: line for name, line in broken.items() if name not in replaced}
        write_secrets(path, ring, change(now), kept)


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """For a block in which no other process changes a file; the kernel ends it with the process."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Beside it: the file itself is replaced.
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_secrets(
    path: Path, ring: KeyRing, values: Mapping[str, str], kept: Mapping[str, str] | None = None
) -> None:
    """Replaces a sealed file as a whole; it is of mode 0600. What is `kept` is sealed already."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    sealed = {
        name: base64.b64encode(ring.seal_at(PLACE, name, value)).decode()
        for name, value in values.items()
    }
    pairs = sorted((dict(kept or {}) | sealed).items())
    lines = [_HEADING, *(f"{name}={line}" for name, line in pairs)]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Has a replaced file outlast the machine's own end."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def problem_of_name(name: str) -> str | None:
    """Why a name can't stand in the sealed file; nothing for a good one."""
    if not NAME.fullmatch(name):
        return "a name is upper-case letters, digits and underscores, such as DISCORD_TOKEN"
    if name in BOOTSTRAP:
        return f"{name} leads to the sealed file, so it stands outside of it"
    return None
