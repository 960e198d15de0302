"""`python -m bench.enumeration`: whether a known e-mail takes another time than an unknown one.

Asks the same of a known and of an unknown address in turn, each pair from an address of its own on
the loopback, so that no limit answers. The gap is that of the medians.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from bench.attacks.client import Client
from bench.deployment import (
    Environment,
    Server,
    free_port,
    open_environment,
    our_variables,
    python,
    running,
)

USERS = 2_000
GOAL_MILLISECONDS = 5.0
SETTINGS = {"CONFIRM_EMAIL": "true", "EMAIL_IN_USE_ANSWERS_PER_HOUR": "1000000"}
PASSWORD = "a lantern in the fog 41"
OPERATIONS = {
    "signIn": "mutation($email: String!, $password: String!) {"
    " signIn(input: {email: $email, password: $password}) { errors { code } } }",
    "signUp": "mutation($email: String!, $password: String!) {"
    " signUp(input: {email: $email, password: $password}) {"
    " session { accessToken } errors { code } } }",
    "requestPasswordReset": "mutation($email: String!) {"
    " requestPasswordReset(input: {email: $email}) { sent errors { code } } }",
    "requestSignInCode": "mutation($email: String!) {"
    " requestSignInCode(input: {email: $email}) { sent errors { code } } }",
}
console = Console(highlight=False)


@dataclass
class Found:
    """The milliseconds of each request about a known address, and about an unknown one."""

    operation: str
    known: list[float] = field(default_factory=list)
    unknown: list[float] = field(default_factory=list)
    answers: set[bytes] = field(default_factory=set)

    @property
    def gap(self) -> float:
        """How many milliseconds the medians differ by."""
        return abs(statistics.median(self.known) - statistics.median(self.unknown))


def loopback(number: int) -> str:
    """An address of this machine that nobody has used yet."""
    return f"127.{1 + number // 60_000}.{number // 240 % 250}.{1 + number % 240}"


async def ask(port: int, address: str, operation: str, email: str) -> tuple[float, bytes]:
    """How many milliseconds an answer took, and its body."""
    client = Client(port, address)
    await client.connect()
    variables = {"email": email}
    if "$password" in OPERATIONS[operation]:
        variables["password"] = PASSWORD
    began = perf_counter()
    answer = await client.send(OPERATIONS[operation], variables)
    milliseconds = (perf_counter() - began) * 1000
    client.close()
    return milliseconds, answer.body


async def compare(
    environment: Environment, server: Server, operation: str, pairs: int, first: int
) -> Found:
    """Asks about known and unknown addresses in turn; who comes first alternates."""
    found = Found(operation)
    people = environment.people
    for number in range(-min(20, pairs), pairs):
        known = people[number % len(people)].email
        unknown = f"nobody-{operation.lower()}-{first + number}@example.com"
        emails = [(found.known, known), (found.unknown, unknown)]
        for position, (kept, email) in enumerate(emails if number % 2 else emails[::-1]):
            address = loopback(2 * (first + 40 + number) + position)
            milliseconds, body = await ask(server.port, address, operation, email)
            if number >= 0:  # the first requests of a process plan, prepare and connect
                kept.append(milliseconds)
                found.answers.add(body)
    return found


async def measure(pairs: int, hashed_pairs: int, say: Callable[[str], None]) -> list[Found]:
    """All operations on one server, which runs nothing else."""
    say("Starting and filling a database, starting the server")
    async with open_environment(USERS, USERS) as environment:
        port = free_port()
        variables = our_variables(environment, port) | SETTINGS
        with running(
            "tallygraph", port, python("cli", "serve"), environment.folder, **variables
        ) as server:
            results, first = [], 0
            for operation, text in OPERATIONS.items():
                count = hashed_pairs if "$password" in text else pairs
                say(f"{operation}: {count} pairs")
                results.append(await compare(environment, server, operation, count, first))
                first += count + 80
            return results


def show(results: list[Found]) -> None:
    """Prints the medians and their gap."""
    table = Table("Operation", "Pairs", "Known ms", "Unknown ms", "Gap ms", "Answers")
    for one in results:
        is_met = one.gap < GOAL_MILLISECONDS
        table.add_row(
            one.operation,
            f"{len(one.known):,}",
            f"{statistics.median(one.known):.2f}",
            f"{statistics.median(one.unknown):.2f}",
            f"{one.gap:.2f} {'✓' if is_met else '✗'}",
            str(len(one.answers)),
        )
    console.print(table)


def main(
    pairs: Annotated[int, typer.Option(help="Pairs of each operation without a password.")] = 2000,
    hashed_pairs: Annotated[int, typer.Option(help="Pairs of each that hashes one.")] = 500,
) -> None:
    """Compares known with unknown addresses."""
    say = lambda line: console.print(line, style="dim")  # noqa: E731
    found = asyncio.run(measure(pairs, hashed_pairs, say), loop_factory=uvloop.new_event_loop)
    show(found)


if __name__ == "__main__":
    typer.run(main)
