"""Begins and ends tracing in a process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import MutableMapping
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.propagate import set_global_textmap
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from server.tracing.exporting import ListedExporter
from server.tracing.spans import use_provider
from settings import Settings

_SERVICE = "OTEL_SERVICE_NAME"
# The names of today's semantic conventions, of which the list of what is told is made.
_NAMES = "OTEL_SEMCONV_STABILITY_OPT_IN"


class Tracing:
    """Sends spans to a collector until it is stopped.

    The endpoint is a setting. All else is read from the variables of OpenTelemetry by its SDK: the
    service's name, headers, the sampler, how many spans wait at most.
    """

    def __init__(self, settings: Settings) -> None:
        endpoint = settings.otel_exporter_otlp_endpoint.rstrip("/")
        given = {} if os.environ.get(_SERVICE) else {"service.name": "tallygraph"}
        self._provider = TracerProvider(resource=Resource.create(given), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(ListedExporter(exporter)))
        os.environ.setdefault(_NAMES, "http")
        # Whom we call is told nothing of our traces.
        set_global_textmap(CompositePropagator([]))
        self._calls = HTTPXClientInstrumentor()
        self._calls.instrument(tracer_provider=self._provider)
        use_provider(self._provider)
        # The list itself: loggers that were used before hold it, too.
        self._processors: list[Any] = structlog.get_config()["processors"]
        self._processors.insert(0, with_trace)

    async def stop(self) -> None:
        """Sends what is left, and ends."""
        if with_trace in self._processors:
            self._processors.remove(with_trace)
        self._calls.uninstrument()
        use_provider(None)
        await asyncio.to_thread(self._provider.shutdown)


def with_trace(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Names in a line of the log the trace and the span that it belongs to."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event
