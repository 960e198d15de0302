"""Sends one e-mail: rendered, claimed right before it leaves, then noted as what came of it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from db.core.outages import passes_soon
from db.emails.operations import (
    BegunEmail,
    NotBegun,
    begin_email,
    claim_email,
    end_email,
    give_up_email,
)
from db.emails.rules import retry_seconds
from db.emails.tables import EmailStatus
from jobs.core.declare import RetryLater, WorkerServices, every, job
from jobs.mailing import (
    Letter,
    LetterRefused,
    LetterUncertain,
    Mailer,
    NotClaimed,
    NotTaken,
    choose_mailer,
)
from jobs.mailing.outbox import forget_old
from settings import Settings

if TYPE_CHECKING:
    from jobs.mailing.rendering import LetterWriter

# Tries that ended in an error of our own or the database's; those that no server took count too.
JOB_ATTEMPTS = 200
# While too many others wait for the server.
BUSY_SECONDS = 1.0
# While another worker may be handing it over.
WAIT_SECONDS = 30.0
# What was sent waits so long, in all about 15 s, to be noted in a database that restarts.
NOTE_DELAYS_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)

log = structlog.get_logger(__name__)


def mailer_of(services: WorkerServices) -> Mailer:
    """The way out of this worker's deployment."""
    return choose_mailer(services.settings)


def writer_of(services: WorkerServices) -> LetterWriter:
    """What writes this worker's letters; its libraries are loaded with the first one."""
    from jobs.mailing.rendering import LetterWriter

    return LetterWriter(services.settings)


async def give_up(services: WorkerServices, *, email_id: UUID, error: Exception) -> None:
    """No attempt could be made."""
    await give_up_email(services.database, email_id, type(error).__name__)


@job("send_email", attempts=JOB_ATTEMPTS, when_dead=give_up)
async def send_email(services: WorkerServices, *, email_id: UUID) -> None:
    """Make an attempt to send an e-mail."""
    if services.of(mailer_of).is_busy:
        raise RetryLater(BUSY_SECONDS, "too many letters wait for the server")
    begun = await begin_email(services.database, email_id)
    if begun is NotBegun.WAIT:
        raise RetryLater(WAIT_SECONDS, "another worker may be sending it")
    if begun is NotBegun.LOST:
        log.warning("email uncertain", email_id=str(email_id), reason="its worker died")
    elif isinstance(begun, BegunEmail):
        await EmailRun(services, begun).run()


@every("27 3 * * *")
async def sweep_outbox(settings: Settings) -> None:
    """Delete what has lain in the outbox for a month."""
    if deleted := await asyncio.to_thread(forget_old, settings.outbox_directory):
        log.info("old emails deleted from the outbox", emails=deleted)


class EmailRun:
    """One attempt at an e-mail."""

    def __init__(self, services: WorkerServices, email: BegunEmail) -> None:
        self._services = services
        self._email = email
        self._log = log.bind(email_id=str(email.id), template=email.template)

    async def run(self) -> None:
        """Hand it over, and note what came of it; `RetryLater` when no server took it."""
        email = self._email
        if not email.is_of_use:
            return await self._fail("no server took it in time")
        try:
            letter = self._services.of(writer_of).write(email)
        except (ValueError, KeyError) as error:
            return await self._fail(f"it cannot be written: {type(error).__name__}")
        return await self._hand_over(letter)

    async def _hand_over(self, letter: Letter) -> None:
        claim = partial(claim_email, self._services.database, self._email)
        try:
            place = await self._services.of(mailer_of).send(letter, claim)
        except NotClaimed:
            return
        except NotTaken as error:
            # Our own words for what a server said, without an address.
            reason = str(error)
            await self._note(EmailStatus.QUEUED, reason)
            self._log.warning("email not taken", reason=reason)
            raise RetryLater(retry_seconds(self._email.attempt), reason) from error
        except LetterRefused as error:
            await self._fail(str(error))
        except LetterUncertain as error:
            reason = str(error)
            await self._note(EmailStatus.UNCERTAIN, reason)
            self._log.warning("email uncertain", reason=reason)
        else:
            await self._note(EmailStatus.SENT)
            self._log.info("email sent", to=place)

    async def _fail(self, reason: str) -> None:
        await self._note(EmailStatus.FAILED, reason)
        self._log.error("email failed", reason=reason)

    async def _note(self, outcome: EmailStatus, reason: str | None = None) -> None:
        """Note how it ended; until that is done nobody hands it over again."""
        database, email = self._services.database, self._email
        for delay in NOTE_DELAYS_SECONDS:
            try:
                await end_email(database, email, outcome, reason)
                return
            except Exception as error:
                if not passes_soon(error):
                    raise
                self._log.warning("email not noted yet", error=error, retry_seconds=delay)
                await asyncio.sleep(delay)
        await end_email(database, email, outcome, reason)
