"""An HTTP server on a thread of its own, whose answers the test decides, path by path."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class StubRequest:
    """What came in: query and form together, and headers in lower case."""

    path: str
    given: dict[str, str]
    headers: dict[str, str]
    body: str = ""
    method: str = "GET"


StubAnswer = tuple[int, Any]


@dataclass
class Stub:
    """A stub's address, its answers by path, and what it was asked."""

    url: str
    answers: dict[str, Callable[[StubRequest], StubAnswer]] = field(default_factory=dict)
    asked: list[StubRequest] = field(default_factory=list)

    def count(self, path: str) -> int:
        return sum(one.path == path for one in self.asked)


@contextmanager
def stub_server() -> Iterator[Stub]:
    """A stub for a block. An answer that is bytes goes out as it is, all else as JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer("")

        def do_POST(self) -> None:
            self.answer(self.rfile.read(int(self.headers.get("content-length", 0))).decode())

        def do_DELETE(self) -> None:
            self.do_POST()

        def do_PUT(self) -> None:
            self.do_POST()

        def answer(self, form: str) -> None:
            parts = urlsplit(self.path)
            given = dict(parse_qsl(parts.query)) | dict(parse_qsl(form))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = StubRequest(parts.path, given, headers, form, self.command)
            stub.asked.append(request)
            make = stub.answers.get(parts.path, lambda _: (404, {}))
            status, body = make(request)
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub = Stub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
