"""A text in the operator's editor, which is on no disk where memory can hold it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from cli.core.terminal import fail

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
_PREFIX = "tallygraph-edit-"
_LEFT = re.compile(rf"{_PREFIX}(\d+)-.+")


def edited(text: str) -> str:
    """What an editor makes of a text."""
    place = _MEMORY if _MEMORY.is_dir() else Path(tempfile.gettempdir())
    _remove_left(place)
    prefix = f"{_PREFIX}{os.getpid()}-"
    with _ends_tidily(), tempfile.TemporaryDirectory(dir=place, prefix=prefix) as folder:
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
        try:
            return file.read_text()
        except (OSError, UnicodeDecodeError):
            fail("What the editor saved can't be read as text: nothing was changed.")


@contextmanager
def _ends_tidily() -> Iterator[None]:
    """For a block that is left in order, too, when the process is told to end."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _remove_left(place: Path) -> None:
    """Removes what processes of this user left that were killed while somebody edited."""
    for folder in place.glob(f"{_PREFIX}*"):
        match = _LEFT.fullmatch(folder.name)
        is_ours = (
            not folder.is_symlink() and folder.is_dir() and folder.stat().st_uid == os.geteuid()
        )
        if match and is_ours and not _runs(int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
