"""Whether two servers answer the same: the same data, each in its own way of writing it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from bench.data import Person
from bench.deployment import Deployment
from bench.load import ask
from bench.workloads import TALLYGRAPH, Workload, words_of


class Disagreement(Exception):
    """Two servers answered one request with different data."""


def plain(value: Any, own: frozenset[str], balance_shift: int = 0, key: str = "") -> Any:
    """An answer without what may differ.

    Ids lose the prefix of our global ids, timestamps become one format, balances are set back by
    what was spent meanwhile, and the keys in `own` and empty lists of errors go.
    """
    if isinstance(value, dict):
        return {
            name: plain(item, own, balance_shift, name)
            for name, item in value.items()
            if name not in own and not (name == "errors" and item == [])
        }
    if isinstance(value, list):
        return [plain(item, own, balance_shift, key) for item in value]
    if key == "id":
        return value.rpartition("_")[2]
    if key in {"balance", "balanceAfter"}:
        return value + balance_shift
    if key.endswith("At") and value is not None:
        return datetime.fromisoformat(value).astimezone(UTC).isoformat()
    return value


async def check_same_answers(
    deployment: Deployment, workload: Workload, people: list[Person]
) -> int:
    """Asks every server for the same; returns how many answers were compared with ours."""
    servers = [
        deployment.servers[name]
        for name in (TALLYGRAPH, *workload.peers)
        if name in deployment.servers
    ]
    sources = {server.name: workload.source(words_of(server.name)) for server in servers}
    compared = 0
    for person in people:
        expected = None
        for position, server in enumerate(servers):
            token = person.token if workload.needs_token else None
            answer = orjson.loads(await ask(server.port, token, sources[server.name](person)))
            shift = position if workload.spends else 0
            shown = plain(answer, workload.own, shift)
            if expected is None:
                expected = shown
            elif shown != expected:
                raise Disagreement(
                    f"{workload.name}: {server.name} answers\n{shown}\nand not\n{expected}"
                )
            else:
                compared += bool(shown["data"])
    return compared
