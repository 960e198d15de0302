"""Handshakes of WebSockets as all clients send them: told from others, and made into a scope."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import unquote

from uvicorn._types import WebSocketScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# 16 bytes in base64.
_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")


def plain_handshake_key(head: HttpToolsProtocol) -> str | None:
    """The key of a handshake as all clients send it (RFC 6455, section 4.2.1); else nothing."""
    names = [name for name, _ in head.headers]
    once = (b"sec-websocket-key", b"sec-websocket-version", b"connection", b"upgrade")
    if head.scope["method"] != "GET" or head.scope["http_version"] != "1.1":
        return None
    if any(names.count(name) != 1 for name in once):
        return None
    headers = dict(head.headers)
    key = headers[b"sec-websocket-key"]
    if headers[b"sec-websocket-version"] != b"13" or not _KEY.fullmatch(key):
        return None
    return key.decode()


def socket_scope(head: HttpToolsProtocol, scheme: Literal["ws", "wss"]) -> WebSocketScope:
    """The ASGI scope of a socket, as uvicorn makes it."""
    raw_path, _, query_string = head.url.partition(b"?")
    offered = [value for name, value in head.headers if name == b"sec-websocket-protocol"]
    return {
        "type": "websocket",
        "asgi": {"version": head.asgi_version, "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": scheme,
        "server": head.server,
        "client": head.client,
        "root_path": head.root_path,
        "path": head.root_path + unquote(raw_path.decode("ascii")),
        "raw_path": head.root_path.encode("ascii") + raw_path,
        "query_string": query_string,
        "headers": head.headers,
        "subprotocols": [
            token.strip() for value in offered for token in value.decode("latin-1").split(",")
        ],
        "state": head.app_state.copy(),
        "extensions": {"websocket.http.response": {}},
    }
