"""Has the benchmarks begin as other tests do: with a database that is migrated, and processes that have imported all.

What they measure is not changed, and the nightly profile starts them as a user does.
"""

from __future__ import annotations

import sys
from typing import IO, Any

import pytest

from bench import deployment
from db.embedded.database import EmbeddedDatabase, start_embedded
from settings import Settings
from tests.commands import ForkedProcess
from tests.prepared import prepare


def prepare_benches(patch: pytest.MonkeyPatch) -> None:
    """Leaves out what a benchmark does before it measures."""
    patch.setattr(deployment, "start_embedded", _start_prepared)
    patch.setattr(deployment, "start_process", _fork)


def _start_prepared(settings: Settings) -> EmbeddedDatabase:
    prepare(settings)
    return start_embedded(settings, durable=False)


_start_process = deployment.start_process


def _fork(command: list[str], variables: dict[str, str], output: IO[bytes]) -> Any:
    if command[:2] != [sys.executable, "-m"]:
        return _start_process(command, variables, output)
    module, *arguments = command[2:]
    return ForkedProcess(arguments, variables, output.fileno(), output.fileno(), module)
