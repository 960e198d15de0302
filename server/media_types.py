"""Which media type a client sends, and which it wants to be answered in (RFC 9110, 12.5.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

JSON_TYPE = b"application/json"
RESPONSE_TYPE = b"application/graphql-response+json"
UTF_8 = frozenset({b"", b"utf-8", b"utf8"})


@dataclass(frozen=True, slots=True)
class _Range:
    """One choice of an Accept header, or the whole of a Content-Type."""

    media: bytes
    charset: bytes
    weight: float

    @classmethod
    def read(cls, text: bytes) -> _Range:
        media, *parts = (part.strip().lower() for part in text.split(b";"))
        parameters = dict(part.split(b"=", 1) for part in parts if b"=" in part)
        charset = parameters.get(b"charset", b"").strip(b'"')
        return cls(media, charset, _weight(parameters.get(b"q", b"1")))


def _weight(text: bytes) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0
    return min(max(weight, 0), 1) if math.isfinite(weight) else 0


@lru_cache(maxsize=256)
def is_json(content_type: bytes) -> bool:
    """Whether a body of this type is JSON in UTF-8."""
    found = _Range.read(content_type)
    return found.media == JSON_TYPE and found.charset in UTF_8


@lru_cache(maxsize=256)
def response_type(accept: bytes) -> bytes | None:
    """The media type to answer in; nothing when the client takes neither.

    The newer one is for clients that name it and do not like the older one better.
    """
    if not accept.strip():
        return JSON_TYPE
    ranges = [_Range.read(choice) for choice in accept.split(b",")]
    weights = {one.media: one.weight for one in reversed(ranges) if one.charset in UTF_8}
    others = weights.get(b"application/*", weights.get(b"*/*", 0))
    older = weights.get(JSON_TYPE, others)
    newer = weights.get(RESPONSE_TYPE, others)
    if newer and newer >= older and RESPONSE_TYPE in weights:
        return RESPONSE_TYPE
    if older:
        return JSON_TYPE
    return RESPONSE_TYPE if newer else None
