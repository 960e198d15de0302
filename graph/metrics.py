"""What a process tells its operator at /metrics, in Prometheus's text format."""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from db.actor import SERVICE
from db.credits.proof import ledger_state
from db.event_log import event_log_size
from db.pool import Database
from graph.live.clients import Clients
from graph.live.hub import EventHub
from settings import Settings

if TYPE_CHECKING:
    from graph.app import Server

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def may_read(request: Request, settings: Settings) -> bool:
    """Who knows METRICS_TOKEN; without one, in the demo, whoever is on this machine."""
    if settings.metrics_token:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), settings.metrics_token.encode())
    if settings.production or request.client is None:
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False


class LiveMetrics:
    """Figures of the live side: the event log, the hub, and who listens."""

    def __init__(self, database: Database, hub: EventHub, clients: Clients) -> None:
        self._database = database
        self._hub = hub
        self._clients = clients
        self._log: dict[str, int] = {}
        self._ledger: dict[str, int | None] = {}

    async def look(self) -> None:
        """Ask the database for the size of the log; raises when it is away."""
        async with self._database.transaction(SERVICE) as transaction:
            self._log = await event_log_size(transaction)
            self._ledger = await ledger_state(transaction)

    def collect(self) -> Iterator[Metric]:
        """The figures as they are now."""
        figures = (
            (
                "events_bytes",
                "Size of the event log with its indexes.",
                self._log.get("size_bytes"),
            ),
            ("events_rows", "Rows of the event log, as Postgres estimates.", self._log.get("rows")),
            ("events_days", "Days the event log has partitions for.", self._log.get("days")),
            (
                "ledger_faults",
                "Most faults that a proof of the books found in the last day; 0 is sound.",
                self._ledger.get("faults"),
            ),
            (
                "ledger_proof_age_seconds",
                "Seconds since the last proof of the books; it is made every hour.",
                self._ledger.get("age_seconds"),
            ),
            ("live_connections", "Sockets and event streams open here.", len(self._clients)),
            (
                "live_subscriptions",
                "Subscriptions that run here.",
                self._hub.subscription_count(),
            ),
            (
                "live_behind_seconds",
                "How long the log has not been read to its end, or is held back by an open writer.",
                self._hub.behind_seconds(time.monotonic()),
            ),
        )
        for name, text, value in figures:
            if value is not None:
                yield GaugeMetricFamily(f"tallygraph_{name}", text, value=float(value))
        yield CounterMetricFamily(
            "tallygraph_live_delivered",
            "Results sent over sockets and event streams.",
            value=float(self._clients.delivered),
        )
        yield self._pools()

    def _pools(self) -> Metric:
        family = GaugeMetricFamily(
            "tallygraph_database_connections",
            "Connections to the database, by role and whether a request holds them.",
            labels=("role", "state"),
        )
        for role, pool in self._database.pools.items():
            opened, free = pool.usage()
            family.add_metric((role, "busy"), float(opened - free))
            family.add_metric((role, "free"), float(free))
        return family


class MetricsPage:
    """The route. Each process speaks for itself, named by its process id."""

    def __init__(self, server: Server, settings: Settings) -> None:
        self._settings = settings
        self._live = LiveMetrics(server.services.database, server.services.hub, server.clients)
        self._registry = CollectorRegistry(target_info={"process": str(os.getpid())})
        self._registry.register(self._live)

    async def __call__(self, request: Request) -> Response:
        """404 for who may not read: the page then looks like none at all."""
        if not may_read(request, self._settings):
            return PlainTextResponse("Not Found", 404)
        await self._live.look()
        return Response(generate_latest(self._registry), media_type=MEDIA_TYPE)
