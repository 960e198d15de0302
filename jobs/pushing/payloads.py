"""Makes payloads fit: both providers take 4 KiB, and what is too long for it is cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from jobs.pushing.base import PushMessage, PushText

LIMIT_BYTES = 4096
_ELLIPSIS = "…"


def fitted(message: PushMessage, build: Callable[[PushMessage], dict[str, Any]]) -> dict[str, Any]:
    """What `build` makes of a message, in at most 4 KiB of JSON.

    What the app can read elsewhere goes first, then the end of the body, then the title's.
    """
    payload = build(message)
    if _excess(payload) > 0:
        message = replace(message, extra={})
        payload = build(message)
    while (excess := _excess(payload)) > 0 and message.body.text:
        message = replace(message, body=_shorter(message.body, excess))
        payload = build(message)
    while (excess := _excess(payload)) > 0 and message.title.text:
        message = replace(message, title=_shorter(message.title, excess))
        payload = build(message)
    return payload


def _excess(payload: dict[str, Any]) -> int:
    return len(orjson.dumps(payload)) - LIMIT_BYTES


def _shorter(line: PushText, excess_bytes: int) -> PushText:
    """A line without its arguments or, where it has none, with less of its text."""
    if line.arguments:
        return replace(line, arguments=())
    kept = line.text.removesuffix(_ELLIPSIS).encode()
    room = max(len(kept) - excess_bytes - len(_ELLIPSIS.encode()), 0)
    text = kept[:room].decode(errors="ignore").rstrip()
    return replace(line, text=text and text + _ELLIPSIS)
