"""An e-mail is queued with what causes it, sent once, and forgotten when its sending has ended."""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from auth.one_time_codes import OneTimeCodes
from db.core.activity import emails_of_the_last_hour
from db.core.actor import SERVICE
from db.core.pool import Database
from db.emails.operations import (
    NotBegun,
    begin_email,
    claim_email,
    end_email,
    give_up_email,
    queue_email,
)
from db.emails.rules import TEMPLATES, retry_seconds
from db.emails.tables import EmailStatus
from db.files.storage import Storage
from jobs.core.declare import RetryLater, WorkerServices
from jobs.emails import mailer_of, send_email, sweep_outbox
from jobs.mailing import (
    Claim,
    Letter,
    LetterRefused,
    LetterUncertain,
    NotTaken,
    check_mail_settings,
)
from jobs.mailing.outbox import OutboxMailer
from jobs.providers.base import Providers
from jobs.providers.offline import OfflineProvider
from settings import Settings, SettingsError

from .helpers import Start, eventually
from .letters import CODE_ID, PARAMETERS, email_row, outbox_file, parsed, part, queued

ALL_KEPT = {"recipient", "parameters"}


@pytest.fixture
def worker(database: Database, storage: Storage, settings: Settings) -> WorkerServices:
    """What a worker sends with; its outbox is the deployment's."""
    provider = Providers(OfflineProvider())
    return WorkerServices(database, storage, provider, lambda: None, settings)


class FakeMailer:
    """Claims a letter, or not, then does what it is told to."""

    is_busy = False

    def __init__(self, error: Exception | None = None, *, claims: bool = True) -> None:
        self.letters: list[Letter] = []
        self._error, self._claims = error, claims

    async def send(self, letter: Letter, claim: Claim) -> str:
        if self._claims:
            assert await claim()
        self.letters.append(letter)
        if self._error:
            raise self._error
        return "a server"


def with_mailer(worker: WorkerServices, mailer: object) -> WorkerServices:
    worker._states[mailer_of] = mailer
    return worker


async def test_a_worker_writes_a_queued_email_into_the_outbox(
    database: Database, owner: asyncpg.Connection, settings: Settings, start: Start
) -> None:
    start(OfflineProvider())
    email_id = await queued(database, recipient="ada@example.test")

    async def is_sent() -> bool:
        return bool((await email_row(owner, email_id))["status"] == "SENT")

    await eventually(is_sent, 30)
    file = outbox_file(settings.outbox_directory, email_id)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    message = parsed(file.read_bytes())
    assert message["To"] == "ada@example.test"
    digits = OneTimeCodes(settings).digits(CODE_ID)
    assert part(message).splitlines().count(digits) == 1
    # As it lies in the file, too, for whoever looks with grep.
    assert file.read_text().splitlines().count(digits) == 1
    row = await email_row(owner, email_id)
    assert (row["recipient"], row["parameters"], row["attempts"]) == (None, "{}", 1)
    assert row["ended_at"] >= row["claimed_at"]


async def test_an_email_goes_with_the_transaction_that_causes_it(
    database: Database, owner: asyncpg.Connection
) -> None:
    recipient = f"{uuid4()}@example.test"

    async def roll_back() -> None:
        async with database.transaction(SERVICE) as transaction:
            await queue_email(transaction, template="account_deleted", recipient=recipient)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await roll_back()
    count = "select count(*) from emails where recipient = $1"
    assert await owner.fetchval(count, recipient) == 0
    await queued(database, "account_deleted", recipient=recipient)
    assert await owner.fetchval(count, recipient) == 1
    jobs = (
        "select count(*) from queue.pgqueuer q join emails e on q.dedupe_key = 'email:' || e.id"
        " where e.recipient = $1 and q.entrypoint = 'send_email'"
    )
    assert await owner.fetchval(jobs, recipient) == 1


def test_the_tests_have_what_every_template_takes() -> None:
    assert {name: one.required | one.optional for name, one in TEMPLATES.items()} == {
        name: set(given) for name, given in PARAMETERS.items()
    }


@pytest.mark.parametrize(
    ("template", "given", "said"),
    [
        ("no_such", {}, "there is no template no_such"),
        ("sign_in_code", {}, "lacks code_id"),
        ("password_changed", {"password": "x"}, "has no password"),
    ],
)
async def test_what_a_template_does_not_take_is_refused_where_it_is_queued(
    database: Database, template: str, given: dict[str, Any], said: str
) -> None:
    async with database.transaction(SERVICE) as transaction:
        with pytest.raises(ValueError, match=said):
            await queue_email(
                transaction, template=template, recipient="a@example.test", parameters=given
            )


@pytest.mark.parametrize("recipient", ["a\r\nBcc: b@example.test", "a@example.test\n", "a\x00"])
async def test_no_address_with_a_line_break_is_queued(database: Database, recipient: str) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await queued(database, "account_deleted", recipient=recipient)


REFUSED = LetterRefused("550 5.1.1")
NOT_TAKEN = NotTaken("451")
UNCERTAIN = LetterUncertain("no answer")


@pytest.mark.parametrize(
    ("mailer", "status", "error", "is_kept"),
    [
        (FakeMailer(), "SENT", None, False),
        (FakeMailer(REFUSED), "FAILED", "550 5.1.1", False),
        (FakeMailer(REFUSED, claims=False), "FAILED", "550 5.1.1", False),
        (FakeMailer(UNCERTAIN), "UNCERTAIN", "no answer", False),
        (FakeMailer(NOT_TAKEN), "QUEUED", "451", True),
        (FakeMailer(NOT_TAKEN, claims=False), "QUEUED", "451", True),
    ],
)
async def test_what_comes_of_an_attempt(
    database: Database,
    owner: asyncpg.Connection,
    worker: WorkerServices,
    mailer: FakeMailer,
    status: str,
    error: str | None,
    is_kept: bool,
) -> None:
    email_id = await queued(database)
    if is_kept:
        with pytest.raises(RetryLater) as later:
            await send_email(with_mailer(worker, mailer), email_id=email_id)
        assert later.value.seconds == retry_seconds(1)
    else:
        await send_email(with_mailer(worker, mailer), email_id=email_id)
    row = await email_row(owner, email_id)
    assert (row["status"], row["error"]) == (status, error)
    assert (row["recipient"] is not None, row["parameters"] != "{}") == (is_kept, is_kept)
    assert (row["ended_at"] is None) is is_kept
    # The job may run again: after a success, after a lost connection, after anything.
    if not is_kept:
        await send_email(with_mailer(worker, mailer), email_id=email_id)
    assert len(mailer.letters) == 1


async def test_a_busy_server_costs_a_letter_no_attempt(
    database: Database, owner: asyncpg.Connection, worker: WorkerServices
) -> None:
    email_id, mailer = await queued(database), FakeMailer()
    mailer.is_busy = True
    with pytest.raises(RetryLater) as later:
        await send_email(with_mailer(worker, mailer), email_id=email_id)
    assert (later.value.seconds, (await email_row(owner, email_id))["attempts"]) == (1, 0)
    assert mailer.letters == []


async def test_every_attempt_hands_over_the_same_message_id(
    database: Database, worker: WorkerServices
) -> None:
    email_id, mailer = await queued(database), FakeMailer(NOT_TAKEN)
    for _ in range(2):
        with pytest.raises(RetryLater):
            await send_email(with_mailer(worker, mailer), email_id=email_id)
    ids = {parsed(letter.content)["Message-ID"] for letter in mailer.letters}
    assert ids == {f"<{email_id}@localhost>"}


async def test_only_the_last_of_two_attempts_may_hand_over(
    database: Database, owner: asyncpg.Connection
) -> None:
    email_id = await queued(database)
    first, second = [await begin_email(database, email_id) for _ in range(2)]
    assert not isinstance(first, NotBegun)
    assert not isinstance(second, NotBegun)
    claims = [await claim_email(database, one) for one in (first, second, second)]
    assert claims == [False, True, False]
    assert not await end_email(database, first, EmailStatus.QUEUED, "451")
    assert await begin_email(database, email_id) is NotBegun.WAIT
    assert await end_email(database, second, EmailStatus.SENT)
    assert not await end_email(database, second, EmailStatus.FAILED)
    assert await begin_email(database, email_id) is NotBegun.DONE
    assert (await email_row(owner, email_id))["status"] == "SENT"


async def test_what_a_dead_worker_was_handing_over_is_never_sent_again(
    database: Database, owner: asyncpg.Connection, worker: WorkerServices
) -> None:
    email_id, mailer = await queued(database), FakeMailer()
    begun = await begin_email(database, email_id)
    assert not isinstance(begun, NotBegun)
    assert await claim_email(database, begun)
    with pytest.raises(RetryLater):
        await send_email(with_mailer(worker, mailer), email_id=email_id)
    assert (await email_row(owner, email_id))["status"] == "SENDING"
    await owner.execute(
        "update emails set claimed_at = now() - interval '11 minutes' where id = $1", email_id
    )
    await send_email(with_mailer(worker, mailer), email_id=email_id)
    row = await email_row(owner, email_id)
    assert (row["status"], row["recipient"], mailer.letters) == ("UNCERTAIN", None, [])


@pytest.mark.parametrize(
    ("template", "given", "age", "status"),
    [
        ("sign_in_code", {"valid_minutes": 600}, "61 minutes", "FAILED"),
        ("sign_in_code", {"valid_minutes": 600}, "59 minutes", "SENT"),
        ("sign_in_code", {"valid_minutes": 10}, "11 minutes", "FAILED"),
        ("sign_in_code", {"valid_minutes": 10}, "9 minutes", "SENT"),
        ("password_changed", {}, "3 days", "SENT"),
        ("password_changed", {}, "97 hours", "FAILED"),
    ],
)
async def test_what_nobody_needs_any_more_is_not_sent(
    database: Database,
    owner: asyncpg.Connection,
    worker: WorkerServices,
    template: str,
    given: dict[str, Any],
    age: str,
    status: str,
) -> None:
    email_id, mailer = await queued(database, template, **given), FakeMailer()
    await owner.execute(
        f"update emails set created_at = now() - interval '{age}' where id = $1", email_id
    )
    await send_email(with_mailer(worker, mailer), email_id=email_id)
    assert (await email_row(owner, email_id))["status"] == status
    assert len(mailer.letters) == (status == "SENT")


async def test_an_email_that_waits_goes_with_its_account(
    database: Database, owner: asyncpg.Connection, worker: WorkerServices
) -> None:
    user_id, mailer = uuid4(), FakeMailer()
    await owner.execute("insert into users (id, is_anonymous) values ($1, true)", user_id)
    email_id = await queued(database, user_id=user_id)
    await owner.execute("delete from users where id = $1", user_id)
    await send_email(with_mailer(worker, mailer), email_id=email_id)
    assert mailer.letters == []


@pytest.mark.parametrize(("asked", "language"), [(None, "ar"), ("fr", "fr")])
async def test_an_email_is_in_the_language_and_zone_of_its_account(
    database: Database,
    owner: asyncpg.Connection,
    worker: WorkerServices,
    asked: str | None,
    language: str,
) -> None:
    user_id, mailer = uuid4(), FakeMailer()
    await owner.execute(
        "insert into users (id, is_anonymous, locale, time_zone)"
        " values ($1, true, 'ar', 'America/Sao_Paulo')",
        user_id,
    )
    email_id = await queued(database, "password_changed", user_id=user_id, locale=asked)
    await send_email(with_mailer(worker, mailer), email_id=email_id)
    message = parsed(mailer.letters[0].content)
    assert message["Content-Language"] == language
    assert "UTC" not in part(message)


@pytest.mark.parametrize(("is_claimed", "status"), [(False, "FAILED"), (True, "UNCERTAIN")])
async def test_an_email_that_cannot_be_tried_is_given_up(
    database: Database, owner: asyncpg.Connection, is_claimed: bool, status: str
) -> None:
    email_id = await queued(database)
    if is_claimed:
        begun = await begin_email(database, email_id)
        assert not isinstance(begun, NotBegun)
        await claim_email(database, begun)
    await give_up_email(database, email_id, "KeyError")
    row = await email_row(owner, email_id)
    assert (row["status"], row["error"], row["recipient"]) == (status, "KeyError", None)


@pytest.mark.parametrize(
    ("recipient", "parameters"),
    [("no address", {}), ("ada@example.test", {"valid_minutes": "soon"})],
)
async def test_what_cannot_be_written_ends_without_another_try(
    database: Database,
    owner: asyncpg.Connection,
    worker: WorkerServices,
    recipient: str,
    parameters: dict[str, Any],
) -> None:
    email_id, mailer = await queued(database, recipient=recipient, **parameters), FakeMailer()
    await send_email(with_mailer(worker, mailer), email_id=email_id)
    row = await email_row(owner, email_id)
    assert (row["status"], row["error"]) == ("FAILED", "it cannot be written: ValueError")
    assert mailer.letters == []


async def test_an_outbox_that_cannot_be_written_is_tried_again(
    database: Database, owner: asyncpg.Connection, worker: WorkerServices, tmp_path: Path
) -> None:
    (tmp_path / "in the way").write_text("")
    mailer = OutboxMailer(tmp_path / "in the way" / "outbox")
    email_id = await queued(database)
    with pytest.raises(RetryLater, match="Not a directory"):
        await send_email(with_mailer(worker, mailer), email_id=email_id)
    assert (await email_row(owner, email_id))["status"] == "QUEUED"


async def test_no_log_holds_an_address_or_a_code_and_one_names_the_file(
    database: Database, worker: WorkerServices, settings: Settings
) -> None:
    digits = OneTimeCodes(settings).digits(CODE_ID)
    with capture_logs() as logs:
        for error in (REFUSED, NOT_TAKEN, UNCERTAIN, None):
            email_id = await queued(database, recipient="canary@example.test")
            with suppress(RetryLater):
                await send_email(with_mailer(worker, FakeMailer(error)), email_id=email_id)
        email_id = await queued(database, recipient="canary@example.test")
        outbox = OutboxMailer(settings.outbox_directory)
        await send_email(with_mailer(worker, outbox), email_id=email_id)
    assert [line["event"] for line in logs] == [
        "email failed", "email not taken", "email uncertain", "email sent", "email sent",
    ]  # fmt: skip
    assert logs[-1]["to"] == str(outbox_file(settings.outbox_directory, email_id))
    assert "canary" not in repr(logs)
    assert digits not in repr(logs)


async def test_an_outbox_keeps_a_month(settings: Settings, tmp_path: Path) -> None:
    own = settings.model_copy(update={"data_directory": tmp_path})
    own.outbox_directory.mkdir()
    for name, days in (("old.eml", 31), ("new.eml", 29), ("old.txt", 31)):
        (own.outbox_directory / name).write_text("")
        then = time.time() - days * 86_400
        os.utime(own.outbox_directory / name, (then, then))
    await sweep_outbox(own)
    assert sorted(file.name for file in own.outbox_directory.iterdir()) == ["new.eml", "old.txt"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"smtp_url": "smtp://ada:secret@mail.test?tls=off", "mail_from": "a@b.test"},
        {"mail_from": "one@b.test, two@b.test"},
    ],
)
def test_a_worker_does_not_begin_with_wrong_settings(
    settings: Settings, wrong: dict[str, str]
) -> None:
    with pytest.raises(SettingsError) as refused:
        check_mail_settings(settings.model_copy(update=wrong))
    assert "secret" not in str(refused.value)


async def test_the_last_hours_emails_are_counted_by_their_status(
    database: Database, owner: asyncpg.Connection, worker: WorkerServices
) -> None:
    async def counted() -> dict[str, int]:
        async with database.transaction(SERVICE) as transaction:
            rows = await emails_of_the_last_hour(transaction)
        return {row["status"]: row["emails"] for row in rows}

    before = await counted()
    for _ in range(2):
        email_id = await queued(database)
        await send_email(with_mailer(worker, FakeMailer(REFUSED)), email_id=email_id)
    assert (await counted())["FAILED"] == before.get("FAILED", 0) + 2
    await owner.execute("update emails set created_at = now() - interval '2 hours'")
    assert await counted() == {}


def test_later_attempts_wait_longer_up_to_a_quarter_of_an_hour() -> None:
    assert [retry_seconds(n) for n in (1, 2, 3, 6, 500)] == [5, 15, 45, 900, 900]
