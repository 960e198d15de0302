"""A cursor says exactly what was seen, survives the trip to the client, and nothing else passes."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.core.errors import DomainError, ErrorCode
from graph.live.cursors import EventCursor, decode_cursor

EPOCH = 0xFEDCBA9876543210
xids = st.integers(3, 2**62)
ids = st.integers(0, 2**63 - 1)


@st.composite
def snapshots(draw: st.DrawFn) -> tuple[int, int, list[int]]:
    """xmin, xmax and the open transactions between, as Postgres prints them."""
    xmin = draw(st.integers(3, 100))
    xmax = draw(st.integers(xmin, xmin + 30))
    if xmax == xmin:
        return xmin, xmax, []
    others = draw(st.sets(st.integers(xmin, xmax - 1)))
    return xmin, xmax, sorted({xmin, *others})


def text_of(snapshot: tuple[int, int, list[int]]) -> str:
    xmin, xmax, in_progress = snapshot
    return f"{xmin}:{xmax}:{','.join(map(str, in_progress))}"


@given(st.integers(0, 2**64 - 1), xids, ids)
def test_a_position_survives_the_round_trip(epoch: int, xid: int, event_id: int) -> None:
    cursor = EventCursor(epoch, xid, event_id)
    assert decode_cursor(cursor.encode()) == cursor


@given(snapshots())
def test_a_snapshot_survives_the_round_trip(snapshot: tuple[int, int, list[int]]) -> None:
    cursor = EventCursor.from_snapshot(EPOCH, text_of(snapshot))
    assert decode_cursor(cursor.encode()) == cursor


@given(snapshots(), st.lists(st.tuples(st.integers(3, 140), st.integers(1, 50))))
def test_exactly_what_the_snapshot_showed_is_skipped_at_every_resume(
    snapshot: tuple[int, int, list[int]], events: list[tuple[int, int]]
) -> None:
    _, xmax, in_progress = snapshot
    cursor = EventCursor.from_snapshot(EPOCH, text_of(snapshot))
    delivered = []
    for xid, event_id in sorted(set(events)):
        if not cursor.seen(xid, event_id):
            delivered.append((xid, event_id))
            # The client leaves after every single event and comes back with its cursor.
            cursor = decode_cursor(cursor.advance(xid, event_id).encode())
    visible = {(xid, i) for xid, i in events if xid < xmax and xid not in in_progress}
    assert delivered == sorted(set(events) - visible)


def test_past_the_snapshot_a_cursor_is_a_plain_position() -> None:
    cursor = EventCursor.from_snapshot(EPOCH, "10:13:10,12").advance(10, 7)
    assert cursor == EventCursor(EPOCH, 10, 7, 12, (10,))
    assert cursor.seen(11, 9)
    assert not cursor.seen(10, 8)
    assert cursor.advance(12, 10) == EventCursor(EPOCH, 12, 10)


@given(st.text(max_size=120))
def test_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(DomainError) as refused:
        decode_cursor(text)
    assert refused.value.code is ErrorCode.BAD_USER_INPUT
    assert refused.value.path == ("after",)


def repacked(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


GOOD = base64.urlsafe_b64decode(EventCursor(EPOCH, 10, 7).encode() + "==")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "é",
        "a\x00b",
        EventCursor(EPOCH, 10, 7).encode() + "=",
        EventCursor(EPOCH, 10, 7).encode() + "\n",
        EventCursor(EPOCH, 10, 7).encode()[:-1],
        repacked(b"\x02" + GOOD[1:]),
        repacked(GOOD + b"\x00" * 7),
        repacked(GOOD + (10).to_bytes(8, "big")),
        repacked(GOOD + (13).to_bytes(8, "big") + (9).to_bytes(8, "big")),
        repacked(GOOD + (13).to_bytes(8, "big") + (13).to_bytes(8, "big")),
        repacked(GOOD[:17] + b"\xff" * 8),
        "A" * 100_000,
    ],
)
def test_a_damaged_cursor_is_refused(text: str) -> None:
    with pytest.raises(DomainError) as refused:
        decode_cursor(text)
    assert refused.value.code is ErrorCode.BAD_USER_INPUT
    assert refused.value.path == ("after",)
