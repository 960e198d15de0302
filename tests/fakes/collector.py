"""A collector of traces: takes OTLP over HTTP, as protobuf, on a thread of its own."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass
class Collected:
    """Everything that came, as it came and read; and with whose answers others were called."""

    url: str
    raw: list[bytes] = field(default_factory=list)
    calls: list[dict[str, str]] = field(default_factory=list)

    @property
    def spans(self) -> list[Any]:
        """All spans."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.raw]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> list[Any]:
        """The spans of a name."""
        return [span for span in self.spans if span.name == name]


@contextmanager
def collector() -> Iterator[Collected]:
    """A collector for a block; at other paths it is a service that is called."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.path == "/v1/traces":
                is_packed = self.headers.get("content-encoding") == "gzip"
                collected.raw.append(gzip.decompress(body) if is_packed else body)
                answer = ExportTraceServiceResponse().SerializeToString()
            else:
                collected.calls.append({n.lower(): v for n, v in self.headers.items()})
                answer = b"{}"
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collected = Collected(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collected
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
