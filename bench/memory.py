"""How much our server's memory grows over many different documents."""

from __future__ import annotations

from bench.deployment import Deployment, on_core
from bench.documents import OURS, never_seen_documents
from bench.load import run_load
from bench.measure import Say
from bench.processes import memory_mebibytes
from bench.workloads import COLD_CONNECTIONS, TALLYGRAPH, each_its_own

# By then the code has run, the connections are open and the first plans are made.
FIRST_DOCUMENTS = 100
STEPS = 10


async def measure_memory(deployment: Deployment, number: int, say: Say) -> tuple[float, float]:
    """Sends so many documents that were never seen before; resident MiB before and after."""
    server = deployment.servers[TALLYGRAPH]
    source = each_its_own(never_seen_documents)(OURS)

    async def send(documents: int) -> float:
        await run_load(
            server.port, deployment.people, source, 0, COLD_CONNECTIONS, at_least=documents
        )
        return memory_mebibytes(server)

    with on_core(-1):
        before = after = await send(FIRST_DOCUMENTS)
        for step in range(1, STEPS + 1):
            after = await send(number // STEPS)
            say(f"{step * number // STEPS:,} different documents: {after - before:+.1f} MiB")
    return before, after
