"""JSON that clients send, read without losing a digit."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

# Nothing shorter can be beyond 64 bits.
_MANY_DIGITS = re.compile(rb"\d{19}")
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


class InvalidJson(ValueError):
    """Text that is no JSON, or that holds a number this server cannot keep as it is."""


def parse_json(text: bytes | str) -> Any:
    """The value of a JSON text; of a key that comes twice, the last counts.

    An integer beyond 64 bits would silently become a float of fewer digits, so it is refused.
    """
    try:
        value = orjson.loads(text)
        raw = text.encode() if isinstance(text, str) else text
        if _MANY_DIGITS.search(raw):
            json.loads(text, parse_int=_refuse_beyond_64_bits)
    except InvalidJson:
        raise
    except (ValueError, RecursionError):
        raise InvalidJson("not valid JSON") from None
    return value


def _refuse_beyond_64_bits(digits: str) -> int:
    # Before int(), which takes long over very many digits.
    if len(digits) > 20 or not _SMALLEST <= int(digits) <= _LARGEST:
        raise InvalidJson("not valid here: integers have at most 64 bits; send longer ones as text")
    return 0
