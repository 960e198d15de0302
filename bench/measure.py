"""One interleaved run: each workload is put to the servers in turn, several times over."""

from __future__ import annotations

from collections.abc import Callable

from bench.answers import check_same_answers
from bench.deployment import Deployment, Server, on_core
from bench.end_to_end import measure_generations
from bench.figures import Options, Report, Result
from bench.load import run_load
from bench.processes import Postgres, memory_mebibytes
from bench.rounds import measure_round
from bench.workloads import GENERATION, TALLYGRAPH, Source, Workload, all_workloads, words_of

CHECKED_PEOPLE = 3
Say = Callable[[str], None]


class Loader:
    """Keeps one server busy with one workload; its requests go on from turn to turn."""

    def __init__(
        self, deployment: Deployment, workload: Workload, server: Server, connections: int
    ) -> None:
        self._deployment = deployment
        self._workload = workload
        self._connections = min(connections, workload.most_connections)
        self._source: Source = workload.source(words_of(server.name))
        self.server = server

    async def load(self, seconds: float, at_least: int = 0) -> list[float]:
        """The latencies in seconds."""
        return await run_load(
            self.server.port,
            self._deployment.people,
            self._source,
            seconds,
            self._connections,
            at_least=at_least,
            with_tokens=self._workload.needs_token,
        )


async def measure_workload(
    deployment: Deployment, workload: Workload, postgres: Postgres, options: Options, say: Say
) -> Result:
    """Warms all servers, then measures them in turn; who is first changes every round."""
    compared = await check_same_answers(deployment, workload, deployment.people[:CHECKED_PEOPLE])
    say(f"{workload.name}: {compared} answers of peers are equal to ours")
    loaders = [
        Loader(deployment, workload, deployment.servers[name], options.connections)
        for name in (TALLYGRAPH, *workload.peers)
        if name in deployment.servers
    ]
    result = Result(workload, {loader.server.name: [] for loader in loaders})
    for loader in loaders:
        say(f"{workload.name}: warming up {loader.server.name}")
        await loader.load(options.seconds / 2, at_least=workload.rotation)
    for number in range(options.rounds):
        first = number % len(loaders)
        for loader in loaders[first:] + loaders[:first]:
            name = loader.server.name
            say(f"{workload.name}: round {number + 1} of {options.rounds}, {name}")
            result.rounds[name].append(
                await measure_round(
                    [loader.server], loader.load(options.seconds, at_least=1), postgres
                )
            )
    return result


def memory(deployment: Deployment) -> dict[str, float]:
    """The servers' resident memory in MiB."""
    return {name: memory_mebibytes(server) for name, server in deployment.servers.items()}


async def measure(deployment: Deployment, options: Options, say: Say) -> Report:
    """Every workload that was chosen."""
    report = Report(options, idle_memory=memory(deployment))
    postgres = await Postgres.find(deployment.owner_url)
    with on_core(-1):
        for workload in all_workloads(options.different_documents):
            if workload.name in options.workloads:
                measured = await measure_workload(deployment, workload, postgres, options, say)
                report.results.append(measured)
        report.loaded_memory = memory(deployment)
        if GENERATION.name in options.workloads:
            report.results.append(await measure_generations(deployment, postgres, options, say))
    return report
