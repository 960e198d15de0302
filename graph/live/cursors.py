"""Cursors: how far a subscriber has come, as text that a client keeps and hands back as `after`."""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass, replace
from itertools import pairwise

from db.core.errors import DomainError, ErrorCode, bad_input

_VERSION = 1
_HEAD = struct.Struct("!BQQQ")
_LONGEST_TEXT = 32_768
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class EventCursor:
    """Everything at or before (xid, id) has been seen, and all that a snapshot showed.

    A client that starts from the current state has seen some transactions beyond the oldest open
    one: those below `xmax` that are not `in_progress`. They stay skipped until the position has
    passed `xmax`; from then on `xmax` is 0 and the position says it all.
    """

    epoch: int
    xid: int
    id: int
    xmax: int = 0
    in_progress: tuple[int, ...] = ()

    @classmethod
    def from_snapshot(cls, epoch: int, snapshot: str) -> EventCursor:
        """The cursor of a read whose `app.seen_of_events()` was `snapshot` (`xmin:xmax:xip,…`)."""
        xmin, xmax, listed = snapshot.split(":")
        in_progress = tuple(sorted(int(xid) for xid in listed.split(",") if xid))
        end = int(xmax)
        while in_progress and in_progress[-1] == end - 1:
            end -= 1
            in_progress = in_progress[:-1]
        # Ids begin at 1, so (xmin, 0) lies before every event of the oldest open transaction.
        if not in_progress:
            return cls(epoch, end, 0)
        return cls(epoch, int(xmin), 0, end, in_progress)

    def seen(self, xid: int, event_id: int) -> bool:
        """Whether a client holding this cursor already knows the event."""
        if (xid, event_id) <= (self.xid, self.id):
            return True
        return xid < self.xmax and xid not in self.in_progress

    def advance(self, xid: int, event_id: int) -> EventCursor:
        """The cursor after that event was delivered too."""
        if xid + 1 >= self.xmax:
            return EventCursor(self.epoch, xid, event_id)
        still_open = tuple(open_xid for open_xid in self.in_progress if open_xid >= xid)
        return replace(self, xid=xid, id=event_id, in_progress=still_open)

    def encode(self) -> str:
        """The text clients see; they must not look inside."""
        if not self.xmax:
            return encoded_position(self.epoch, self.xid, self.id)
        packed = _HEAD.pack(_VERSION, self.epoch, self.xid, self.id)
        rest = (self.xmax, *self.in_progress)
        packed += struct.pack(f"!{len(rest)}Q", *rest)
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def encoded_position(epoch: int, xid: int, event_id: int) -> str:
    """The text of the cursor right behind one event."""
    # The head's 25 bytes always end in two signs of padding.
    return base64.urlsafe_b64encode(_HEAD.pack(_VERSION, epoch, xid, event_id))[:-2].decode()


def malformed_cursor() -> DomainError:
    """The text is no cursor of this server."""
    return bad_input(
        "This is not a cursor that this server gave out. Pass the `cursor` of the last payload "
        "unchanged, or leave `after` out to start from the current state.",
        "after",
    )


def expired_cursor() -> DomainError:
    """Changes after this cursor may be gone, so continuing could skip some."""
    return DomainError(
        ErrorCode.CURSOR_EXPIRED,
        "The changes after this cursor are no longer kept. Subscribe again without `after` to "
        "start from the current state.",
        ("after",),
    )


def decode_cursor(text: str) -> EventCursor:
    """Read a client's cursor; anything that `encode` would not have written is refused."""
    cursor = _unpack(_bytes_of(text))
    if cursor is None or cursor.encode() != text:
        raise malformed_cursor()
    return cursor


def _bytes_of(text: str) -> bytes:
    if not 0 < len(text) <= _LONGEST_TEXT:
        raise malformed_cursor()
    try:
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise malformed_cursor() from error


def _unpack(packed: bytes) -> EventCursor | None:
    tail_bytes = len(packed) - _HEAD.size
    if tail_bytes < 0 or tail_bytes % 8:
        return None
    version, epoch, xid, event_id = _HEAD.unpack_from(packed)
    if version != _VERSION or event_id > _LARGEST_ID:
        return None
    if not tail_bytes:
        return EventCursor(epoch, xid, event_id)
    xmax, *in_progress = struct.unpack_from(f"!{tail_bytes // 8}Q", packed, _HEAD.size)
    bounds = [xid - 1, *in_progress, xmax]
    if xmax <= xid + 1 or any(low >= high for low, high in pairwise(bounds)):
        return None
    return EventCursor(epoch, xid, event_id, xmax, tuple(in_progress))
