"""A process that rotates the vault by its settings: `python -m bench.rotating URL RESULT`."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import orjson

from db.vault.rotating import rotate
from db.vault.sealing import Vault
from settings import get_settings


async def main(url: str) -> dict[str, float]:
    """Rotates: how many rows there were, and the seconds it and its processor took."""
    vault = Vault(get_settings())
    # The slow part of every key is done once for a process, and is no part of what is measured.
    for master in vault.masters():
        assert master.id
    began, busy = time.perf_counter(), time.process_time()
    done = await rotate(url, vault, "bench", lambda *_: None)
    if done.broken:
        raise RuntimeError(f"no key opens {done.broken}")
    return {
        "rows": sum(done.rows.values()),
        "seconds": time.perf_counter() - began,
        "processor": time.process_time() - busy,
    }


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(orjson.dumps(asyncio.run(main(sys.argv[1]))))
