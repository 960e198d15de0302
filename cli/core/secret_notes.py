"""Who read or set which secret, for the audit log; kept beside the sealed file until it hears."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import orjson
from pydantic import ValidationError

from cli.core.terminal import console, fail, operator, owner_url
from settings import SettingsError, get_settings
from settings_sealed import alone_with, secrets_read
from settings_secrets import secrets_file

AUDIT_SECONDS = 10.0
_noted: set[str] = set()


def note(action: str, names: list[str]) -> None:
    """Tells the audit log before it happens: what can't be noted anywhere is not done.

    While the log can't be reached a file keeps it, which the next command hands over.
    """
    entry: dict[str, object] = {
        "action": action,
        "names": names,
        "by": operator(),
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    waiting = waiting_file()
    try:
        with alone_with(waiting):
            entries = [*_read(waiting), entry]
            reason = _hand_over(entries)
            if reason is None:
                waiting.unlink(missing_ok=True)
                return
            _append(waiting, entry)
    except OSError as error:
        fail(
            f"Neither the audit log nor {waiting} can be told ({error.strerror}): nothing was done."
        )
    console.print(
        f"{reason}, so that the audit log does not tell of it yet: {waiting} keeps it, and the next"
        " command that reads or sets a secret hands it over.",
        markup=False,
    )


def note_reads() -> None:
    """Tells the audit log of the secrets that this command reads its settings from, once."""
    if names := sorted(secrets_read() - _noted):
        _noted.update(names)
        note("read_secrets", names)


def waiting_file() -> Path:
    """What the audit log has not been told yet, a line for each: names, and no value."""
    path = secrets_file()
    return path.with_name(f"{path.name}.unnoted")


def _hand_over(entries: list[dict[str, object]]) -> str | None:
    """Writes into the audit log, all of it or nothing; why it can't, else nothing."""
    from db.core.errors import DomainError
    from db.vault.rotating import note_secrets

    try:
        url = owner_url(get_settings())
    except SettingsError:
        return "No database runs"
    except ValidationError:
        return f"Other settings can't be read, in the environment, .env or {secrets_file()}"
    try:
        asyncio.run(asyncio.wait_for(note_secrets(url, entries), AUDIT_SECONDS))
    except (
        OSError,
        TimeoutError,
        ValueError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        DomainError,
    ) as error:
        return f"The database can't be told ({type(error).__name__})"
    return None


def _read(waiting: Path) -> list[dict[str, object]]:
    """What waits; a line that a killed process did not finish says nothing."""
    found: list[dict[str, object]] = []
    for line in waiting.read_bytes().splitlines() if waiting.exists() else ():
        try:
            found.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            continue
    return found


def _append(waiting: Path, entry: dict[str, object]) -> None:
    descriptor = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        # Behind a line that a killed process did not finish.
        file.write(b"\n" + orjson.dumps(entry) + b"\n")
        file.flush()
        os.fsync(file.fileno())
