"""Commands on broadcasts, of admins and of the workers that send them."""

from __future__ import annotations

from uuid import UUID

from db.broadcasts.rules import problems_of_segment
from db.broadcasts.segments import Segment
from db.core.commands import FunctionCall, SqlFunction, call_as_service
from db.core.errors import Problems
from db.core.pool import Database
from db.credits.rules import problems_of_key
from db.notifications.rules import problems_of_message

_BROADCAST = SqlFunction[UUID](
    "app.broadcast_notification", "uuid", given="jsonb", idempotency_key="text"
).noting_place()
_CANCEL = SqlFunction[UUID]("app.cancel_broadcast", "uuid", wanted="uuid").noting_place()
_BEGIN = SqlFunction[bool]("app.begin_broadcast", "boolean", wanted="uuid")
_SEND_BATCH = SqlFunction[bool](
    "app.send_broadcast_batch", "boolean", wanted="uuid", at_most="integer", window_size="integer"
)
_NOTE_FAILURE = SqlFunction[bool]("app.note_broadcast_failure", "boolean", wanted="uuid")
_ENQUEUE_UNFINISHED = SqlFunction[int]("app.enqueue_unfinished_broadcasts", "integer")


def broadcast(
    problems: Problems,
    segment: Segment,
    *,
    notification_type: str,
    title_key: str,
    message_key: str,
    data: object,
    idempotency_key: str,
) -> FunctionCall[UUID]:
    """Sends the users of a segment a message on behalf of an admin; gives the broadcast.

    What is wrong is told together with the `problems` found before.
    """
    problems.add(problems_of_message(data, {"titleKey": title_key, "messageKey": message_key}))
    problems.add(problems_of_segment(segment))
    problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    given = {
        "type": notification_type,
        "title_key": title_key,
        "message_key": message_key,
        "data": data,
        **segment.columns,
    }
    return _BROADCAST(given=given, idempotency_key=idempotency_key)


def cancel(broadcast_id: UUID) -> FunctionCall[UUID]:
    """Stops a broadcast on behalf of an admin; gives it."""
    return _CANCEL(wanted=broadcast_id)


async def begin(database: Database, broadcast_id: UUID) -> bool:
    """Begins a broadcast or goes on with it; false when there is nothing to do any more."""
    return await call_as_service(database, _BEGIN(wanted=broadcast_id))


async def send_batch(
    database: Database, broadcast_id: UUID, *, at_most: int, window_size: int
) -> bool:
    """Notifies the next users of a broadcast, in one transaction; whether there are more.

    It looks at no more than `window_size` accounts, however few of them are in the segment.
    """
    batch = _SEND_BATCH(wanted=broadcast_id, at_most=at_most, window_size=window_size)
    return await call_as_service(database, batch)


async def note_failure(database: Database, broadcast_id: UUID) -> bool:
    """Notes a try that failed; whether the broadcast has failed for good."""
    return await call_as_service(database, _NOTE_FAILURE(wanted=broadcast_id))


async def enqueue_unfinished(database: Database) -> int:
    """Puts every broadcast in line that has not ended; returns how many there are."""
    return await call_as_service(database, _ENQUEUE_UNFINISHED())
