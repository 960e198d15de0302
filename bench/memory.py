"""How much our server's memory grows over many different documents."""

from __future__ import annotations

from bench.documents import OURS, never_seen_documents
from bench.figures import Options
from bench.house import on_core, open_house
from bench.load import run_load
from bench.measure import Say
from bench.processes import memory_mebibytes
from bench.workloads import TALLYGRAPH, each_its_own

# By then the code has run, the connections are open and the first plans are made.
FIRST_DOCUMENTS = 500
STEPS = 10


async def measure_memory(options: Options, number: int, say: Say) -> tuple[float, float]:
    """Sends so many documents that were never seen before; resident MiB before and after."""
    say("Starting and filling a database, starting the server")
    async with open_house(options.users, options.busy_users, ()) as house:
        server = house.servers[TALLYGRAPH]
        source = each_its_own(never_seen_documents)(OURS)

        async def send(documents: int) -> float:
            await run_load(
                server.port, house.people, source, 0, options.connections, at_least=documents
            )
            return memory_mebibytes(server)

        with on_core(-1):
            before = after = await send(FIRST_DOCUMENTS)
            for step in range(STEPS):
                after = await send(number // STEPS)
                grown = f"{after - before:+.1f} MiB since {before:.1f} MiB"
                say(f"{(step + 1) * (number // STEPS):,} different documents: {grown}")
    return before, after
