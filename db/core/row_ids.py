"""Ids of rows that are made before the row is: what is sealed for a row names it."""

from __future__ import annotations

import secrets
import time
from uuid import UUID

_RANDOM_BITS = 74
_LATER_RANDOM_BITS = 62


def new_row_id() -> UUID:
    """A UUID of version 7 (RFC 9562, 5.7), as `app.uuid_v7()` makes them: in order of time."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(_RANDOM_BITS)
    first, later = random >> _LATER_RANDOM_BITS, random & ((1 << _LATER_RANDOM_BITS) - 1)
    return UUID(int=milliseconds << 80 | 7 << 76 | first << 64 | 2 << 62 | later)
