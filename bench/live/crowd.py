"""Subscribers in processes of their own, and what they report."""

from __future__ import annotations

import asyncio
import sys
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.deployment import ROOT, Environment, on_core
from bench.processes import usable_cores

COLLECT_SECONDS = 30.0


class Trouble(Exception):
    """A client met something that makes its figures worthless."""


@dataclass(frozen=True)
class Received:
    """Messages as (number of the event, time of arrival), and the busiest client's share."""

    messages: list[tuple[int, float]]
    client_share: float


class Crowd:
    """All client processes of one turn."""

    def __init__(self, processes: list[asyncio.subprocess.Process], answers: list[Path]) -> None:
        self._processes = processes
        self._answers = answers
        self.last = ""

    async def connect(self) -> float:
        """Connects everybody; returns the seconds it took."""
        answers = await self._all("connect")
        return float(max(one["ended"] for one in answers) - min(one["started"] for one in answers))

    async def subscribe(self, identifier: str, document: str) -> None:
        """Everybody subscribes, and has the first item."""
        await self._all("subscribe", identifier, document)

    async def record(self, mark: str, expected: list[int]) -> None:
        """Each process awaits so many messages from now on."""
        await asyncio.gather(
            *(
                self._one(process, "record", mark, number)
                for process, number in zip(self._processes, expected, strict=True)
            )
        )

    async def collect(self) -> Received:
        """All messages, once all are there."""
        answers = await self._all("collect", COLLECT_SECONDS)
        self.last = answers[0]["last"]
        messages: list[tuple[int, float]] = []
        for answer, path in zip(answers, self._answers, strict=True):
            numbers, arrival_times = array("I"), array("d")
            with path.open("rb") as file:
                numbers.fromfile(file, answer["count"])
                arrival_times.fromfile(file, answer["count"])
            messages += zip(numbers, arrival_times, strict=True)
        return Received(messages, max(one["cpu_share"] for one in answers))

    async def leave(self) -> None:
        """Everybody goes; raises what had been noticed until then."""
        await self._all("leave")

    async def _all(self, *command: Any) -> list[dict[str, Any]]:
        return await asyncio.gather(*(self._one(process, *command) for process in self._processes))

    async def _one(self, process: asyncio.subprocess.Process, *command: Any) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(orjson.dumps(command) + b"\n")
        line = await process.stdout.readline()
        if not line:
            raise Trouble("a client process ended")
        answer: dict[str, Any] = orjson.loads(line)
        if answer.get("failure"):
            raise Trouble(answer["failure"])
        return answer


def client_cores() -> list[int]:
    """Positions of the cores for clients: the last two, if the server keeps its own then."""
    return [-1, -2] if usable_cores() > 2 else [-1]


@asynccontextmanager
async def gathered(environment: Environment, port: int, tokens: list[str]) -> AsyncIterator[Crowd]:
    """Client processes for a block, the tokens dealt out to them in turn."""
    cores = client_cores()
    processes, answers = [], []
    try:
        for position, core in enumerate(cores):
            answers.append(environment.folder / f"client-{position}.answers")
            mine = tokens[position :: len(cores)]
            config = {"port": port, "tokens": mine, "answers": str(answers[-1])}
            with on_core(core):
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "bench.live.client",
                    environment.write(f"client-{position}", config),
                    cwd=ROOT,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                )
            processes.append(process)
        yield Crowd(processes, answers)
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
