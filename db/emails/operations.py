"""Commands on e-mails: queue one in a transaction; begin, claim and end an attempt at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from db.core.actor import SERVICE
from db.core.commands import SqlFunction, call, call_as_service
from db.core.pool import Database, Transaction
from db.emails.rules import check_parameters, is_of_use
from db.emails.tables import EmailStatus

_QUEUE = SqlFunction[UUID | None](
    "app.queue_email",
    "uuid",
    template="text",
    recipient="text",
    locale="text",
    user_id="uuid",
    parameters="jsonb",
)
_BEGIN = SqlFunction[Any](
    "app.begin_email",
    "record(action text, attempt integer, template text, recipient text, locale text,"
    " time_zone text, parameters jsonb, queued_at timestamp with time zone, age interval)",
    wanted="uuid",
)
_CLAIM = SqlFunction[bool]("app.claim_email", "boolean", wanted="uuid", fenced_attempt="integer")
_END = SqlFunction[bool](
    "app.end_email",
    "boolean",
    wanted="uuid",
    fenced_attempt="integer",
    outcome="text",
    reason="text",
)


async def queue_email(
    transaction: Transaction,
    *,
    template: str,
    recipient: str | None,
    locale: str | None = None,
    user_id: UUID | None = None,
    parameters: Mapping[str, object] | None = None,
) -> UUID | None:
    """Queues an e-mail, sent once the server's `transaction` has committed; gives its id.

    None for an account without an address, which a provider may not have told, and where one that
    has not confirmed its address has had its notices of the day.

    `TEMPLATES` (`db/emails/rules.py`) has what each template takes; ids and times may be given as
    they are. With `user_id`, the account that it is about, it goes with that account while it
    waits. Without a `locale` it is in that account's, else in English.
    """
    given = {name: _as_json(value) for name, value in (parameters or {}).items()}
    check_parameters(template, given)
    queued = _QUEUE(
        template=template, recipient=recipient, locale=locale, user_id=user_id, parameters=given
    )
    return await call(transaction, queued)


def _as_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


@dataclass(frozen=True, slots=True)
class BegunEmail:
    """An attempt to send an e-mail; `attempt` fences it."""

    id: UUID
    attempt: int
    template: str
    recipient: str
    locale: str | None
    parameters: dict[str, Any]
    queued_at: datetime
    age: timedelta
    time_zone: str | None = None

    @property
    def is_of_use(self) -> bool:
        """Whether it still says something that its reader needs."""
        return is_of_use(self.template, self.parameters, self.age)


class NotBegun(StrEnum):
    """Why there is no attempt."""

    DONE = "DONE"
    WAIT = "WAIT"
    LOST = "LOST"


async def begin_email(database: Database, email_id: UUID) -> BegunEmail | NotBegun:
    """The next attempt at an e-mail that waits.

    WAIT is for one that another worker may be handing over. LOST is one that a worker has left in
    the middle: it has ended as UNCERTAIN just now.
    """
    async with database.pools[SERVICE.role].connection() as connection:
        row = await connection.raw.fetchrow(_BEGIN.sql, email_id)
    assert row is not None
    if row["action"] != "SEND":
        return NotBegun(row["action"])
    return BegunEmail(
        id=email_id,
        attempt=row["attempt"],
        template=row["template"],
        recipient=row["recipient"],
        locale=row["locale"],
        parameters=row["parameters"],
        queued_at=row["queued_at"],
        age=row["age"],
        time_zone=row["time_zone"],
    )


async def claim_email(database: Database, email: BegunEmail) -> bool:
    """Notes that it is handed over now; False when it may not be.

    Whatever follows, no other attempt hands it over unless this one says that nobody took it.
    """
    return await call_as_service(database, _CLAIM(wanted=email.id, fenced_attempt=email.attempt))


async def end_email(
    database: Database, email: BegunEmail, outcome: EmailStatus, reason: str | None = None
) -> bool:
    """Notes how an attempt ended; QUEUED is for one that no server took, to be tried again."""
    ended = _END(
        wanted=email.id, fenced_attempt=email.attempt, outcome=outcome.value, reason=reason
    )
    return await call_as_service(database, ended)


async def give_up_email(database: Database, email_id: UUID, reason: str) -> None:
    """Ends an e-mail that cannot even be tried."""
    given_up = _END(
        wanted=email_id, fenced_attempt=None, outcome=EmailStatus.FAILED.value, reason=reason
    )
    await call_as_service(database, given_up)
