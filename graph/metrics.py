"""What a process tells its operator at /metrics, in Prometheus's text format."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from db.actor import SERVICE
from db.credits.proof import ledger_state
from db.errors import DomainError
from db.event_log import event_log_size
from db.pool import Database
from graph.answer_memory import AnswerMemory
from graph.live.clients import Clients
from graph.live.hub import EventHub
from graph.siblings import Siblings
from settings import Settings

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


@dataclass(frozen=True, slots=True)
class Figure:
    """One number a process tells of itself; a count only ever grows."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    is_count: bool = False

    def family(self) -> Family:
        """It as Prometheus knows it, told apart by process."""
        kind = CounterMetricFamily if self.is_count else GaugeMetricFamily
        return kind(f"tallygraph_{self.name}", self.text, labels=("process", *self.labels))


CONNECTIONS = Figure("live_connections", "Sockets and event streams that are open.")
SUBSCRIPTIONS = Figure("live_subscriptions", "Subscriptions that run.")
BEHIND = Figure(
    "live_behind_seconds",
    "How long the log has not been read to its end, or is held back by an open writer.",
)
DELIVERED = Figure("live_delivered", "Results sent over sockets and event streams.", is_count=True)
ANSWERS = Figure("large_answers_bytes", "Bytes of large answers that were not read yet.")
DATABASE = Figure(
    "database_connections",
    "Connections to the database, by role and whether a request holds them.",
    labels=("role", "state"),
)
FIGURES = (CONNECTIONS, SUBSCRIPTIONS, BEHIND, DELIVERED, ANSWERS, DATABASE)
# A column's figure and what is said of it.
Names = dict[str, tuple[str, str]]
EVENT_LOG: Names = {
    "size_bytes": ("events_bytes", "Size of the event log with its indexes."),
    "rows": ("events_rows", "Rows of the event log, as Postgres estimates."),
    "days": ("events_days", "Days the event log has partitions for."),
}
LEDGER: Names = {
    "faults": (
        "ledger_faults",
        "Most faults that a proof of the books found in the last day; 0 is sound.",
    ),
    "age_seconds": (
        "ledger_proof_age_seconds",
        "Seconds since the last proof of the books; it is made every hour.",
    ),
}
Family = CounterMetricFamily | GaugeMetricFamily
# A figure's name, the values of its labels, and the number.
Told = list[tuple[str, list[str], float]]


class ProcessFigures:
    """What one process knows of itself."""

    def __init__(
        self, database: Database, hub: EventHub, clients: Clients, answers: AnswerMemory
    ) -> None:
        self._answers = answers
        self._database = database
        self._hub = hub
        self._clients = clients

    def now(self) -> Told:
        """The figures as they are."""
        told: Told = [
            (CONNECTIONS.name, [], len(self._clients)),
            (SUBSCRIPTIONS.name, [], self._hub.subscription_count()),
            (DELIVERED.name, [], self._clients.delivered),
            (ANSWERS.name, [], self._answers.held_bytes),
        ]
        behind = self._hub.behind_seconds(time.monotonic())
        if behind is not None:
            told.append((BEHIND.name, [], behind))
        for role, pool in self._database.pools.items():
            opened, free = pool.usage()
            told += [
                (DATABASE.name, [role, "busy"], opened - free),
                (DATABASE.name, [role, "free"], free),
            ]
        return told

    def tell(self) -> bytes:
        """The same for another process."""
        return orjson.dumps(self.now())


class _Families(Collector):
    """What was gathered for one page."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> list[Family]:
        return self._families


class MetricsPage:
    """The route. Whichever process answers, it answers for all that are behind its port."""

    def __init__(
        self, settings: Settings, database: Database, figures: ProcessFigures, siblings: Siblings
    ) -> None:
        self._settings = settings
        self._database = database
        self._figures = figures
        self._siblings = siblings

    async def __call__(self, request: Request) -> Response:
        """404 for who may not read: the page then looks like none at all."""
        if not may_read(request, self._settings):
            return PlainTextResponse("Not Found", 404)
        told: dict[str, Told | None] = {self._siblings.name: self._figures.now()}
        for name, answer in (await self._siblings.ask()).items():
            told[name] = orjson.loads(answer) if answer else None
        registry = CollectorRegistry()
        registry.register(_Families([*_of_processes(told), *await self._of_the_database()]))
        return Response(generate_latest(registry), media_type=MEDIA_TYPE)

    async def _of_the_database(self) -> list[Family]:
        """Left out while the database is away: the rest is wanted then most of all."""
        try:
            async with self._database.transaction(SERVICE) as transaction:
                found: list[tuple[Names, Mapping[str, int | None]]] = [
                    (EVENT_LOG, await event_log_size(transaction)),
                    (LEDGER, await ledger_state(transaction)),
                ]
        except DomainError:
            return []
        return [
            GaugeMetricFamily(f"tallygraph_{name}", text, value=float(value))
            for names, values in found
            for key, (name, text) in names.items()
            if (value := values[key]) is not None
        ]


def _of_processes(told: dict[str, Told | None]) -> list[Family]:
    families = {figure.name: figure.family() for figure in FIGURES}
    up = GaugeMetricFamily(
        "tallygraph_process_up", "Whether a process answered for this page.", labels=("process",)
    )
    for process, figures in sorted(told.items()):
        up.add_metric((process,), float(figures is not None))
        for name, labels, value in figures or ():
            families[name].add_metric((process, *labels), float(value))
    return [up, *families.values()]
