"""The worker's health and readiness endpoints."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from jobs.core.worker import Worker, WorkerState


def probes(worker: Worker) -> Starlette:
    """`/healthz`: the process runs; `/readyz`: it takes jobs, 503 while it does not."""

    async def healthz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> JSONResponse:
        state = worker.state
        return JSONResponse({"status": state.value}, 200 if state is WorkerState.READY else 503)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz)])
