"""What of a span leaves this process: what is listed here, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

# Names by which a span is found and timed. Texts of documents and statements, variables, addresses
# with their queries, headers, users and messages of exceptions are not among them.
TOLD = frozenset(
    {
        "db.query.summary",
        "db.system.name",
        "error.type",
        "graphql.operation.name",
        "graphql.operation.type",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "server.address",
        "server.port",
        "tallygraph.codes",
        "tallygraph.field",
        "tallygraph.job",
        "tallygraph.job.attempt",
        "tallygraph.statement",
    }
)
_EXCEPTION, _EXCEPTION_TYPE = "exception", "exception.type"


class ListedExporter(SpanExporter):
    """Hands spans to another exporter, with the listed attributes alone.

    Libraries note what they like, such as the whole address of a call, in which a key may be.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Exports what may be told."""
        return self._exporter.export([reduced(span) for span in spans])

    def shutdown(self) -> None:
        """Ends it."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return self._exporter.force_flush(timeout_millis)


def reduced(span: ReadableSpan) -> ReadableSpan:
    """A span without what is not listed; of exceptions only their type, of a status its code."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_listed(span.attributes),
        events=[
            Event(event.name, {_EXCEPTION_TYPE: str(type_)}, event.timestamp)
            for event in span.events
            if event.name == _EXCEPTION and (type_ := (event.attributes or {}).get(_EXCEPTION_TYPE))
        ],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _listed(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (attributes or {}).items() if name in TOLD}
