"""Which heads of requests are refused before anything runs: those that can be read in two ways.

A proxy in front may have read such a head the other way, as one request more or as another user's
(RFC 9112, sections 3.2 and 6; RFC 9110, section 5.3).
"""

from __future__ import annotations

import re

VERSIONS = frozenset({"1.0", "1.1"})
# Headers that say one thing, by the name that people know.
SINGLE = {
    b"authorization": "Authorization",
    b"content-length": "Content-Length",
    b"content-type": "Content-Type",
    b"host": "Host",
    b"last-event-id": "Last-Event-ID",
    b"origin": "Origin",
    b"transfer-encoding": "Transfer-Encoding",
}
BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})
# A host, an address in brackets or nothing, and perhaps a port (RFC 3986, section 3.2.2).
_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+;=-]*(\[[0-9A-Fa-f:.]+\])?(:[0-9]*)?")


def head_fault(headers: list[tuple[bytes, bytes]], method: bytes, version: str) -> str | None:
    """What is wrong with a head, in a sentence; names are in lower case."""
    if method == b"CONNECT":
        return "This server is no proxy."
    if version not in VERSIONS:
        return "Send requests in HTTP/1.1."
    single: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in SINGLE:
            if name in single:
                return f"Send one {SINGLE[name]} header."
            single[name] = value
    host = single.get(b"host")
    if host is None:
        if version == "1.1":
            return "Send a Host header."
    elif not _HOST.fullmatch(host):
        return "Send the name of one host in the Host header."
    coding = single.get(b"transfer-encoding")
    return None if coding is None else _coding_fault(coding, single, version)


def without_upgrade(
    method: bytes, target: bytes, version: str, headers: list[tuple[bytes, bytes]]
) -> bytes:
    """The head once more, without its offer to speak another protocol (RFC 9110, section 7.8)."""
    lines = [b"%s %s HTTP/%s" % (method, target, version.encode())]
    for name, value in headers:
        if name == b"connection":
            kept = [option for option in value.split(b",") if option.strip().lower() != b"upgrade"]
            value = b",".join(kept)  # noqa: PLW2901 -- without the one word
        if name != b"upgrade":
            lines.append(b"%s: %s" % (name, value))
    return b"\r\n".join([*lines, b"", b""])


def _coding_fault(coding: bytes, single: dict[bytes, bytes], version: str) -> str | None:
    if coding.lower() != b"chunked":
        return "The only Transfer-Encoding that is read is chunked."
    if b"content-length" in single:
        return "Send either Transfer-Encoding or Content-Length."
    if version != "1.1":
        return "Transfer-Encoding needs HTTP/1.1."
    return None
