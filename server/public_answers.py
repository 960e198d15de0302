"""Answers that browsers and proxies may keep: to queries by GET that come without a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

Pairs = tuple[tuple[bytes, bytes], ...]
NOT_KEPT: Pairs = ((b"cache-control", b"no-store"),)
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class PublicAnswers:
    """Says how long browsers and proxies may keep an answer that is the same for everybody."""

    seconds: int

    def may_keep(self, method: str, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a whole answer to such a request is everybody's: rows of a user need a token."""
        return self.seconds > 0 and method == "GET" and b"authorization" not in headers

    def caching(self, body: bytes) -> Pairs:
        """The headers of such an answer (RFC 9111), and its tag, by which an old one is checked."""
        return (
            (b"cache-control", b"public, max-age=%d" % self.seconds),
            (b"etag", entity_tag(body)),
            (b"vary", b"Authorization, Accept, Accept-Encoding"),
        )


def entity_tag(body: bytes) -> bytes:
    """A weak validator (RFC 9110, 8.8.3): the same for the same JSON, however it is compressed."""
    return b'W/"%s"' % blake2b(body, digest_size=_TAG_BYTES).hexdigest().encode()


def is_known(tags: bytes | None, body: bytes) -> bool:
    """Whether who asks has this answer already, by their `If-None-Match`."""
    if tags is None:
        return False
    opaque = entity_tag(body).removeprefix(b"W/")
    given = {one.strip().removeprefix(b"W/") for one in tags.split(b",")}
    return opaque in given or b"*" in given
