"""JSON that clients send, read without losing a digit."""

from __future__ import annotations

import json
from typing import Any

import orjson

from graph.shared.unstorable import Place, unstorable_place_in

_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
# An integer beyond them has so many digits at least. Looking for those takes 1 ms a megabyte, far
# less than looking at each value.
_MANY_DIGITS = b"0" * 19
_DIGITS = bytes(ord("0") if chr(byte).isdecimal() else 0 for byte in range(128)) + bytes(128)


class InvalidJson(ValueError):
    """Text that is no JSON, or that holds what this server cannot keep as it is.

    `path` leads to that, where it is known.
    """

    def __init__(self, message: str, path: Place = ()) -> None:
        super().__init__(message)
        self.path = path


def parse_json(text: bytes | str) -> Any:
    """The value of a JSON text; of a key that comes twice, the last counts.

    An integer beyond 64 bits would silently become a float of fewer digits, so it is refused.
    """
    try:
        value = orjson.loads(text)
        if _has_many_digits(text) and _holds_large_float(value):
            json.loads(text, parse_int=_refuse_beyond_64_bits)
    except InvalidJson:
        raise
    except (ValueError, RecursionError) as error:
        # The grammar allows it, and neither UTF-8 nor Postgres can hold it.
        if "surrogate in string" in str(error):
            raise InvalidJson(
                "not valid here: a text in it has half of a surrogate pair, as where an emoji was "
                "cut in two; cut texts between whole characters",
                unstorable_place_in(text) or (),
            ) from None
        raise InvalidJson("not valid JSON") from None
    return value


def _has_many_digits(text: bytes | str) -> bool:
    return isinstance(text, str) or _MANY_DIGITS in text.translate(_DIGITS)


def _holds_large_float(value: Any) -> bool:
    """Whether a number is what an integer beyond 64 bits would have become."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if kind is dict:
            waiting += value.values()
        elif kind is list:
            waiting += value
        elif kind is float and abs(value) >= _LARGEST // 2:
            return True
    return False


def _refuse_beyond_64_bits(digits: str) -> int:
    # Before int(), which takes long over very many digits.
    if len(digits) > 20 or not _SMALLEST <= int(digits) <= _LARGEST:
        raise InvalidJson("not valid here: integers have at most 64 bits; send longer ones as text")
    return 0
