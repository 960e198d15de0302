"""Verifying and redeeming: our server beside a bare application, and PostGraphile.

Each is asked as fast as it answers. The bare application asks the database each time, and a second
one keeps answers in memory as ours does. PostGraphile is given the key's blind index, and asks the
database each time.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from time import perf_counter

import orjson

from bench.answers import Disagreement
from bench.deployment import (
    MissingPeerError,
    Server,
    on_core,
    start_bare,
    start_postgraphile,
)
from bench.figures import Result, Round
from bench.licence_data import Licences
from bench.load import request_bytes, send, send_all
from bench.peers.bare_licences import REMEMBERING
from bench.processes import Postgres
from bench.rounds import measure_round
from bench.statements import export_statement
from bench.workloads import BARE, POSTGRAPHILE, TALLYGRAPH, Workload, same
from db.licences.keys import LicenceKeys

BARE_MODULE = "bench.peers.bare_licences"
CONNECTIONS = 32
# Keys that are verified over and over, and users who redeem.
VERIFIED_KEYS, REDEEMERS = 1_000, 200
VERIFY = (
    "mutation($input: VerifyLicenceInput!) { verifyLicence(input: $input) {"
    " valid status errors { code } } }"
)
REDEEM = (
    "mutation($input: RedeemLicenceInput!) { redeemLicence(input: $input) {"
    " licence { id status } errors { code } } }"
)
FIND = (
    "query($hash: Base64EncodedBinary!) {"
    " appLicenceOfKey(wantedHashes: [$hash]) { nodes { status } } }"
)
VERIFYING = Workload(
    "verify",
    "a licence that is verified, from memory where a server keeps it",
    VERIFY,
    same(VERIFY),
    peers=(BARE, REMEMBERING, POSTGRAPHILE),
    goals={BARE: 0.9, REMEMBERING: 0.9, POSTGRAPHILE: 5},
)
REDEEMING = Workload(
    "redeem", "a licence that is redeemed", REDEEM, same(REDEEM), peers=(BARE,), goals={BARE: 0.9}
)


@dataclass
class Comparison:
    """The rounds of both, and which peers were left out."""

    results: list[Result] = field(default_factory=list)
    missing: str = ""


def until(seconds: float, requests: Iterable[bytes]) -> Iterator[bytes]:
    """Requests for a while, and one at the least."""
    ends_at = perf_counter() + seconds
    for request in requests:
        yield request
        if perf_counter() >= ends_at:
            return


def licence_bytes(port: int, token: str | None, document: str, key: str) -> bytes:
    """A request about a key."""
    body = orjson.dumps({"query": document, "variables": {"input": {"key": key}}})
    return request_bytes(port, token, body)


class Comparing:
    """Licences, and the servers that are asked about them in turn."""

    def __init__(self, licences: Licences, postgres: Postgres, servers: Sequence[Server]) -> None:
        self._licences, self._postgres, self._servers = licences, postgres, servers
        self._keys = LicenceKeys(licences.environment.settings)
        self._people = licences.environment.people

    async def verify(self, rounds: int, seconds: float) -> Result:
        """Has every server verify the same keys, over and over."""
        keys = await self._licences.make(VERIFIED_KEYS)
        bodies = {server.name: self._verifications(server, keys) for server in self._servers}
        await self._check({name: requests[0] for name, requests in bodies.items()})

        async def load(server: Server, length: float) -> list[float]:
            requests = until(length, cycle(bodies[server.name]))
            return await send_all(server.port, lambda: next(requests, None), CONNECTIONS)

        result = Result(VERIFYING, {server.name: [] for server in self._servers})
        for server in self._servers:
            await load(server, max(seconds / 2, 0.2))
        for number in range(rounds):
            first = number % len(self._servers)
            for server in (*self._servers[first:], *self._servers[:first]):
                result.rounds[server.name].append(
                    await measure_round([server], load(server, seconds), self._postgres)
                )
        return result

    async def redeem(self, rounds: int, count: int) -> Result:
        """Has ours and the bare application redeem so many keys in each round."""
        servers = [server for server in self._servers if server.name in (TALLYGRAPH, BARE)]
        result = Result(REDEEMING, {server.name: [] for server in servers})
        for number in range(rounds + 1):
            for server in servers if number % 2 else servers[::-1]:
                one = await self._redeemed(server, count)
                # The first of each warms it up.
                if number:
                    result.rounds[server.name].append(one)
        return result

    async def _redeemed(self, server: Server, count: int) -> Round:
        keys = await self._licences.make(count)
        requests = iter(
            [
                licence_bytes(server.port, person.token, REDEEM, key)
                for person, key in zip(cycle(self._people), keys, strict=False)
            ]
        )
        load = send_all(server.port, lambda: next(requests, None), CONNECTIONS)
        return await measure_round([server], load, self._postgres)

    def _verifications(self, server: Server, keys: list[str]) -> list[bytes]:
        if server.name != POSTGRAPHILE:
            return [licence_bytes(server.port, None, VERIFY, key) for key in keys]
        token = self._people[0].token
        return [
            request_bytes(
                server.port, token, orjson.dumps({"query": FIND, "variables": {"hash": hash}})
            )
            for key in keys
            for hash in [base64.b64encode(self._keys.found_by(key)[0]).decode()]
        ]

    async def _check(self, requests: dict[str, bytes]) -> None:
        """Refuses servers that find another licence, or none."""
        expected = {"valid": True, "status": "VALID", "errors": []}
        for server in self._servers:
            data = orjson.loads(await send(server.port, requests[server.name]))["data"]
            if server.name == POSTGRAPHILE:
                is_right = data == {"appLicenceOfKey": {"nodes": [{"status": "AVAILABLE"}]}}
            else:
                is_right = data == {"verifyLicence": expected}
            if not is_right:
                raise Disagreement(f"{server.name} answers {data}")


async def compare(
    licences: Licences,
    postgres: Postgres,
    ours: Server,
    *,
    rounds: int,
    seconds: float,
    count: int,
    with_postgraphile: bool,
) -> Comparison:
    """Starts the peers beside our server, and has all of them verify, then redeem."""
    comparison = Comparison()
    environment = licences.environment
    key = (await licences.make(1))[0]
    statement = await export_statement(
        environment.owner_url,
        environment.settings,
        REDEEM,
        {"key": key},
        [(LicenceKeys(environment.settings).found_by(key), ["licence hashes"])],
    )
    with ExitStack() as stack:
        servers = [ours]
        for name in (BARE, REMEMBERING):
            bare = start_bare(environment, {REDEEM: statement}, "", BARE_MODULE, name)
            servers.append(stack.enter_context(bare))
        if with_postgraphile:
            try:
                servers.append(stack.enter_context(start_postgraphile(environment, "service")))
            except MissingPeerError as missing:
                comparison.missing = str(missing)
        stack.enter_context(on_core(-1))
        comparing = Comparing(licences, postgres, servers)
        comparison.results.append(await comparing.verify(rounds, seconds))
        comparison.results.append(await comparing.redeem(rounds, count))
    return comparison
