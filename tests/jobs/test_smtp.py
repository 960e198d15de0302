"""Letters reach a real mail server once, encrypted, and what it answers decides what follows."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from db.core.pool import Database
from db.emails import rules
from db.embedded.database import EmbeddedDatabase
from db.files.storage import Storage
from jobs import emails as emails_job
from jobs.core.declare import WorkerServices
from jobs.emails import send_email
from jobs.mailing import LetterRefused, LetterUncertain, NotClaimed, NotTaken
from jobs.mailing import smtp as smtp_module
from jobs.mailing.rendering import LetterWriter
from jobs.mailing.smtp import SmtpMailer, SmtpServer
from jobs.providers.base import Providers
from jobs.providers.offline import OfflineProvider
from settings import Settings, SettingsError

from ..mail_server import MailServer, certificate, mail_server
from .helpers import Start, eventually, queue_is_empty
from .letters import begun, email_row, parsed, part, queued

ROOT = Path(__file__).parents[2]
MakeMailServices = Callable[[str], WorkerServices]


class Claims:
    """Counts how often a letter was claimed, and answers."""

    def __init__(self, answer: bool = True) -> None:
        self.count, self._answer = 0, answer

    async def __call__(self) -> bool:
        self.count += 1
        return self._answer


@pytest.fixture
def writer(settings: Settings) -> LetterWriter:
    """Writes letters from a sender with a name."""
    return LetterWriter(settings.model_copy(update={"mail_from": "Aura <no-reply@aura.test>"}))


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    """A server without encryption."""
    async with mail_server() as running:
        yield running


def plain(server: MailServer) -> SmtpMailer:
    return SmtpMailer(SmtpServer.of(f"smtp://127.0.0.1:{server.port}?tls=off"))


@pytest.mark.parametrize("is_implicit", [True, False])
async def test_a_letter_goes_encrypted_to_a_server_that_is_who_it_says(
    writer: LetterWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_implicit: bool
) -> None:
    tls, trusted = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with mail_server(tls=tls, implicit=is_implicit, auth=True) as server:
        scheme = "smtps" if is_implicit else "smtp"
        url = f"{scheme}://ada:right%20%2F%40%3A@127.0.0.1:{server.port}"
        letter, claims = writer.write(begun("sign_in_code")), Claims()
        assert await SmtpMailer(SmtpServer.of(url)).send(letter, claims) == "127.0.0.1"
    (taken,) = server.letters
    assert (taken.mail_from, taken.rcpt_tos) == ("no-reply@aura.test", ["ada@example.test"])
    assert isinstance(taken.content, bytes)
    assert part(parsed(taken.content)) == part(parsed(letter.content))
    assert (server.logins, claims.count) == ([(b"ada", b"right /@:")], 1)


@pytest.mark.parametrize("is_implicit", [True, False])
@pytest.mark.parametrize("fault", ["untrusted", "other name", "over"])
async def test_a_server_with_a_bad_certificate_learns_nothing(
    writer: LetterWriter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_implicit: bool,
    fault: str,
) -> None:
    name = "mail.test" if fault == "other name" else "127.0.0.1"
    tls, trusted = certificate(tmp_path, name, is_over=fault == "over")
    if fault != "untrusted":
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with mail_server(tls=tls, implicit=is_implicit, auth=True) as server:
        scheme = "smtps" if is_implicit else "smtp"
        url = f"{scheme}://ada:secret@127.0.0.1:{server.port}"
        claims = Claims()
        with pytest.raises(NotTaken, match="certificate is not valid") as refused:
            await SmtpMailer(SmtpServer.of(url)).send(writer.write(begun("sign_in_code")), claims)
    assert "secret" not in str(refused.value)
    assert (server.logins, server.steps, claims.count) == ([], [], 0)


async def test_a_server_without_starttls_gets_neither_password_nor_letter(
    writer: LetterWriter,
) -> None:
    async with mail_server(auth=True) as server:
        url = f"smtp://ada:secret@127.0.0.1:{server.port}"
        with pytest.raises(NotTaken, match="STARTTLS"):
            await SmtpMailer(SmtpServer.of(url)).send(writer.write(begun("sign_in_code")), Claims())
    assert (server.logins, server.steps) == ([], [])


async def test_a_refused_password_is_no_fault_of_the_letter(
    writer: LetterWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, trusted = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with mail_server(tls=tls, auth=True) as server:
        url = f"smtp://ada:wrong-canary@127.0.0.1:{server.port}"
        with pytest.raises(NotTaken, match="535") as refused:
            await SmtpMailer(SmtpServer.of(url)).send(writer.write(begun("sign_in_code")), Claims())
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("step", "answer", "error", "said", "claimed"),
    [
        ("MAIL", "451 4.3.0 busy", NotTaken, "451 4.3.0", 0),
        ("MAIL", "550 5.7.1 not you", NotTaken, "550 5.7.1", 0),
        ("RCPT", "450 4.2.1 <ada@example.test> later", NotTaken, "450 4.2.1", 0),
        ("RCPT", "550 5.1.1 <ada@example.test> unknown", LetterRefused, "550 5.1.1", 0),
        ("DATA", "451 4.7.1 greylisted", NotTaken, "451 4.7.1", 1),
        ("DATA", "554 5.7.1 looks like spam", LetterRefused, "554 5.7.1", 1),
        ("DATA", "299 what", LetterUncertain, "299", 1),
    ],
)
async def test_what_the_server_answers_decides(
    writer: LetterWriter,
    server: MailServer,
    step: str,
    answer: str,
    error: type[Exception],
    said: str,
    claimed: int,
) -> None:
    server.will_answer(step, answer)
    claims = Claims()
    with pytest.raises(error, match=said) as refused:
        await plain(server).send(writer.write(begun("sign_in_code")), claims)
    assert "example.test" not in str(refused.value)
    assert (claims.count, server.letters) == (claimed, [])


@pytest.mark.parametrize(
    ("step", "error", "claimed"),
    [("MAIL", NotTaken, 0), ("RCPT", NotTaken, 0), ("DATA", LetterUncertain, 1)],
)
@pytest.mark.parametrize("fault", ["drops", "hangs"])
async def test_silence_is_harmless_until_the_letter_was_handed_over(
    writer: LetterWriter,
    server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    error: type[Exception],
    claimed: int,
    fault: str,
) -> None:
    monkeypatch.setattr(smtp_module, "COMMAND_SECONDS", 0.2)
    monkeypatch.setattr(smtp_module, "DATA_SECONDS", 0.2)
    getattr(server, fault).add(step)
    claims = Claims()
    with pytest.raises(error):
        await plain(server).send(writer.write(begun("sign_in_code")), claims)
    assert claims.count == claimed


async def test_what_may_not_be_claimed_is_not_handed_over(
    writer: LetterWriter, server: MailServer
) -> None:
    with pytest.raises(NotClaimed):
        await plain(server).send(writer.write(begun("sign_in_code")), Claims(False))
    assert (server.steps, server.letters) == (["MAIL", "RCPT"], [])


async def test_nobody_listens(writer: LetterWriter, server: MailServer) -> None:
    mailer = SmtpMailer(SmtpServer.of("smtp://127.0.0.1:1?tls=off"))
    with pytest.raises(NotTaken, match="no session with 127"):
        await mailer.send(writer.write(begun("sign_in_code")), Claims())


async def test_a_slow_server_holds_few_places(writer: LetterWriter, server: MailServer) -> None:
    mailer, letter = plain(server), writer.write(begun("sign_in_code"))
    server.hangs.add("RCPT")
    async with asyncio.TaskGroup() as group:
        held = [
            group.create_task(mailer.send(letter, Claims()))
            for _ in range(smtp_module.CONVERSATIONS + smtp_module.WAITING)
        ]
        await eventually(_steps(server, "RCPT", smtp_module.CONVERSATIONS), 30)
        assert mailer.is_busy
        with pytest.raises(NotTaken, match="slow"):
            await mailer.send(letter, Claims())
        for task in held:
            task.cancel()
    server.hangs.clear()
    assert not mailer.is_busy
    await mailer.send(letter, Claims())
    assert len(server.letters) == 1


def _steps(server: MailServer, step: str, count: int) -> Callable[[], Any]:
    async def check() -> bool:
        return server.steps.count(step) == count

    return check


@pytest.mark.parametrize(
    ("recipient", "envelope"),
    [
        ("ada@bücher.test", "ada@xn--bcher-kva.test"),
        ("müller@bücher.test", "müller@xn--bcher-kva.test"),
        ("آدا@xn--bcher-kva.test", "آدا@xn--bcher-kva.test"),
    ],
)
async def test_addresses_in_other_letters_arrive(
    writer: LetterWriter, server: MailServer, recipient: str, envelope: str
) -> None:
    letter = writer.write(begun("sign_in_code", recipient))
    await plain(server).send(letter, Claims())
    (taken,) = server.letters
    assert taken.rcpt_tos == [envelope]
    assert isinstance(taken.content, bytes)
    assert parsed(taken.content)["To"] == envelope


async def test_a_server_without_smtputf8_can_never_take_a_local_part_in_other_letters(
    writer: LetterWriter,
) -> None:
    async with mail_server(utf8=False) as server:
        await plain(server).send(writer.write(begun("sign_in_code", "ada@bücher.test")), Claims())
        with pytest.raises(LetterRefused, match="ASCII"):
            await plain(server).send(writer.write(begun("sign_in_code", "é@a.test")), Claims())
    assert len(server.letters) == 1


@pytest.mark.parametrize(
    "url",
    [
        "smtp://",
        "smtp://host:port",
        "smtp://host/path",
        "smtp://host?tls=maybe",
        "smtps://host?tls=off",
        "smtp://ada:secret@mail.test?tls=off",
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="SMTP_URL") as refused:
        SmtpServer.of(url)
    assert "secret" not in str(refused.value)


def test_a_url_is_read() -> None:
    assert SmtpServer.of("smtp://mail.test") == SmtpServer("mail.test", 587)
    assert SmtpServer.of("smtps://mail.test") == SmtpServer("mail.test", 465, is_tls=True)
    local = SmtpServer.of("smtp://ada:pass@localhost:25?tls=off")
    assert local == SmtpServer("localhost", 25, "ada", "pass", is_plain=True)
    assert "pass" not in repr(local)


@pytest.fixture
def services(database: Database, storage: Storage, settings: Settings) -> MakeMailServices:
    """What a worker sends with, by its SMTP_URL."""

    def make(url: str) -> WorkerServices:
        own = settings.model_copy(update={"smtp_url": url, "mail_from": "Aura <a@aura.test>"})
        provider = Providers(OfflineProvider())
        return WorkerServices(database, storage, provider, lambda: None, own)

    return make


async def test_a_worker_tries_a_greylisted_letter_again_until_it_is_taken(
    database: Database,
    owner: asyncpg.Connection,
    server: MailServer,
    start: Start,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "smtp_url", f"smtp://127.0.0.1:{server.port}?tls=off")
    monkeypatch.setattr(settings, "mail_from", "Aura <a@aura.test>")
    monkeypatch.setattr(rules, "FIRST_RETRY_SECONDS", 0.05)
    server.will_answer("RCPT", "450 4.2.0 greylisted")
    server.will_answer("DATA", "451 4.7.1 greylisted")
    start(OfflineProvider())
    email_id = await queued(database)

    async def is_over() -> bool:
        return bool((await email_row(owner, email_id))["ended_at"])

    await eventually(is_over, 30)
    row = await email_row(owner, email_id)
    assert (row["status"], row["attempts"], row["error"]) == ("SENT", 3, None)
    assert (server.steps.count("DATA"), len(server.letters)) == (2, 1)
    await eventually(lambda: queue_is_empty(owner), 30)


async def test_two_workers_send_one_letter(
    database: Database, owner: asyncpg.Connection, server: MailServer, services: MakeMailServices
) -> None:
    email_id = await queued(database)
    worker = services(f"smtp://127.0.0.1:{server.port}?tls=off")
    await asyncio.gather(
        *(send_email(worker, email_id=email_id) for _ in range(4)), return_exceptions=True
    )
    assert (await email_row(owner, email_id))["status"] == "SENT"
    assert len(server.letters) == 1


async def test_a_killed_worker_sends_nothing_twice(
    database: Database,
    owner: asyncpg.Connection,
    cluster: EmbeddedDatabase,
    server: MailServer,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> None:
    monkeypatch.setattr(settings, "smtp_url", f"smtp://127.0.0.1:{server.port}?tls=off")
    monkeypatch.setattr(settings, "mail_from", "Aura <a@aura.test>")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.jobs.worker_process", cluster.owner_url, "0"),
        cwd=ROOT,
        env={**os.environ, "SMTP_URL": settings.smtp_url, "MAIL_FROM": settings.mail_from},
    )
    first, second = (f"{uuid4()}@example.test" for _ in range(2))
    try:
        server.hangs = {"DATA"}
        handed_over = await queued(database, recipient=first)
        await eventually(_steps(server, "DATA", 1), 30)
        server.hangs = {"RCPT"}
        announced = await queued(database, recipient=second)
        await eventually(_steps(server, "RCPT", 2), 30)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    server.hangs.clear()
    start(OfflineProvider())

    async def both_were_looked_at() -> bool:
        deferred = "select execute_after > now() from queue.pgqueuer where dedupe_key = $1"
        waits = await owner.fetchval(deferred, f"email:{handed_over}")
        return bool(waits and (await email_row(owner, announced))["status"] == "SENT")

    await eventually(both_were_looked_at, 30)
    assert (await email_row(owner, handed_over))["status"] == "SENDING"
    # What else the schedule sends in the meantime is of other tests.
    reached = [to for letter in server.letters for to in letter.rcpt_tos]
    assert [to for to in reached if to in {first, second}] == [second]


async def test_a_loss_of_the_database_after_the_letter_was_taken_sends_it_once(
    database: Database,
    owner: asyncpg.Connection,
    server: MailServer,
    services: MakeMailServices,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    email_id, failures = await queued(database), [OSError(), OSError()]
    real = emails_job.end_email

    async def failing(*arguments: Any) -> bool:
        if failures:
            raise failures.pop()
        return await real(*arguments)

    monkeypatch.setattr(emails_job, "end_email", failing)
    monkeypatch.setattr(emails_job, "NOTE_DELAYS_SECONDS", (0.01, 0.01))
    await send_email(services(f"smtp://127.0.0.1:{server.port}?tls=off"), email_id=email_id)
    assert (await email_row(owner, email_id))["status"] == "SENT"
    assert len(server.letters) == 1
