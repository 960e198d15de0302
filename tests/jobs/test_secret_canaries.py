"""No secret reaches a log or an error, though the services that we call answer with all of it."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import structlog
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from auth.discord_servers import administers
from auth.providers.base import Authorization
from auth.providers.configured import configured_providers
from db.core.pool import Database
from db.files.storage import open_storage
from db.push.tables import DevicePlatform
from graph.live.bus import WakeBus
from jobs.alerts import call_alert_webhook
from jobs.mailing.base import Letter
from jobs.mailing.smtp import SmtpMailer, SmtpServer
from jobs.pushing.base import PushMessage, PushText
from jobs.pushing.configured import choose_gateways
from jobs.telephony.base import CallRequest
from jobs.telephony.twilio import TwilioTelephony
from jobs.telephony.vonage import VonageTelephony
from server import log_errors
from settings import Settings

from ..fakes.fcm import FakeFcm, account_key
from ..fakes.http_stub import Stub, StubAnswer, StubRequest, stub_server

CANARY = "canary6b2f"
ANSWERS = (200, 401, 404, 500, 0)  # 0: it hangs up
AUTHORIZATION = Authorization("https://us.test/back", "state", "nonce", f"{CANARY}-verifier", "c")
CALL = CallRequest(uuid4(), "+15550123", {}, {})
LETTER = Letter(uuid4(), "t", datetime.now(UTC), "a@b.test", "c@d.test", b"Subject: x\r\n\r\nx")
MESSAGE = PushMessage(
    uuid4(), uuid4(), DevicePlatform.ANDROID, PushText("a"), PushText("b"), 1, "t", False,
    datetime(2099, 1, 1, tzinfo=UTC),
)  # fmt: skip
Call = Callable[[], Awaitable[Any]]


class Echo(dict[str, Any]):
    """At every path an answer that says all that was sent."""

    def __init__(self, status: int) -> None:
        self.status = status

    def get(self, _path: str, _else: Any = None) -> Callable[[StubRequest], StubAnswer]:
        return self._answer

    def _answer(self, asked: StubRequest) -> StubAnswer:
        if self.status == 0:
            raise ConnectionAbortedError
        said = f"refused: {asked.headers} {asked.body} {asked.given}"
        words = ("error", "error_description", "message", "detail", "title", "reason", "sid")
        told: dict[str, Any] = dict.fromkeys(words, said)
        return self.status, told | {"access_token": f"{CANARY}-token", "expires_in": 3_600}


def settings_of(settings: Settings, url: str) -> Settings:
    """Every service at the stub, each with a secret."""
    fcm = FakeFcm(url=url)
    pem = account_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    given = {
        "twilio_account_sid": "AC1",
        "twilio_auth_token": f"{CANARY}-twilio",
        "twilio_from_number": "+15550100",
        "twilio_voice_url": "https://v.test",
        "twilio_api_url": url,
        "fcm_api_url": url,
        "fcm_service_account": fcm.account,
        "discord_token": f"{CANARY}-bot",
        "discord_api_url": url,
        "alert_webhook_url": f"{url}/{CANARY}",
    }
    for name in ("google", "facebook", "discord"):
        given |= {f"{name}_client_id": "c", f"{name}_client_secret": f"{CANARY}-{name}"}
    given |= {"google_issuer": url, "facebook_api_url": url}
    vonage = {
        "vonage_application_id": str(uuid4()),
        "vonage_private_key": pem,
        "vonage_signature_secret": f"{CANARY}-vonage",
        "vonage_from_number": "15550100",
        "vonage_answer_url": "https://v.test",
        "vonage_api_url": url,
    }
    made = Settings.model_validate(settings.model_dump() | given)
    by_vonage = Settings.model_validate(settings.model_dump() | vonage)
    return made.model_copy(update={name: getattr(by_vonage, name) for name in vonage})


def calls_of(settings: Settings) -> Iterator[Call]:
    """All that the services are asked for, each once."""
    for telephony in (TwilioTelephony(settings), VonageTelephony(settings)):
        yield lambda t=telephony: t.place(CALL)  # type: ignore[misc]
        yield lambda t=telephony: t.find(CALL, datetime.now(UTC))  # type: ignore[misc]
        yield lambda t=telephony: t.look("call-1")  # type: ignore[misc]
        yield lambda t=telephony: t.record("call-1", 5)  # type: ignore[misc]
    for gateway in choose_gateways(settings).values():
        yield lambda g=gateway: g.send(f"{CANARY}-device", MESSAGE)  # type: ignore[misc]
    yield lambda: administers(settings, "1", "2")
    for provider in configured_providers(settings).values():
        yield lambda p=provider: p.identity_of_code(f"{CANARY}-code", AUTHORIZATION, {})  # type: ignore[misc]
    yield lambda: call_alert_webhook(
        settings, alert="ai_latency", status="FIRING", measured=1.0, threshold=0.5,
        changed_at=datetime.now(UTC),
    )  # fmt: skip


@contextmanager
def hearing(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """All that is logged, at the lowest level, as it leaves the process."""
    told: list[str] = []

    def note(_logger: Any, _method: str, event: Any) -> Any:
        told.append(repr(log_errors.exceptions_without_values(None, "", dict(event))))
        raise structlog.DropEvent

    processors = structlog.get_config()["processors"]
    before = list(processors)
    processors[:] = [note]
    root = logging.getLogger()
    level = root.level
    # As a server sets it at LOG_LEVEL=debug: libraries say what they warn of.
    root.setLevel(logging.WARNING)
    try:
        yield told
    finally:
        processors[:] = before
        root.setLevel(level)
        formatter = log_errors.WithoutValues("%(name)s %(message)s")
        told += [formatter.format(record) for record in caplog.records]


async def told_by(call: Call) -> list[str]:
    """What a call that fails tells: to whoever asked, to the log, and in the notes of a job."""
    try:
        async with asyncio.timeout(20):
            await call()
    except Exception as error:
        return [f"{error!r} {error}", log_errors.trace(error)]
    return []


def secrets_sent(stub: Stub) -> set[str]:
    """What was sent in headers that prove who asks, and in what signs for it."""
    found = {one.headers.get("authorization", "").partition(" ")[2] for one in stub.asked}
    found |= {one.given.get("assertion", "") for one in stub.asked}
    basic = set()
    for one in found:
        try:
            basic.add(base64.b64decode(one, validate=True).decode().partition(":")[2])
        except ValueError:
            continue
    return {one for one in found | basic if len(one) > 8}


async def test_requirement_9_4_services_that_repeat_what_they_were_sent(
    settings: Settings, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    with stub_server() as stub, hearing(caplog) as logged:
        given = settings_of(settings, stub.url)
        asked = 0
        for status in ANSWERS:
            stub.answers = Echo(status)
            for call in calls_of(given):
                asked += 1
                told += await told_by(call)
        secrets = secrets_sent(stub)
    captured = capfd.readouterr()
    told += [*logged, captured.out, captured.err.replace("ConnectionAbortedError", "")]
    assert asked >= 14 * len(ANSWERS)
    assert len(secrets) > 4
    assert len(told) > 30
    hidden = {CANARY, *secrets}
    assert [(secret, one) for one in told for secret in hidden if secret in one] == []


async def say_all_again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A mail server that repeats what it is told, and refuses it."""
    writer.write(b"220 here\r\n")
    while line := await reader.readline():
        if line.upper().startswith(b"EHLO"):
            writer.write(b"250-here\r\n250 AUTH PLAIN\r\n")
        else:
            decoded = base64.b64decode(line.split()[-1] + b"==").replace(b"\0", b" ")
            writer.write(b"535 5.7.8 no: " + line.strip() + b" " + decoded + b"\r\n")
    writer.close()


async def test_requirement_9_4_connections_that_fail(
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT", f"http://{nobody}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{CANARY}-bucket")
    monkeypatch.setattr("db.files.storage.RETRY_SECONDS", 1)
    bucket = settings.model_copy(update={"storage_url": "s3://bucket"})
    url = f"postgresql://someone:{CANARY}@{nobody}/none"
    told: list[str] = []

    async def wake() -> None:
        bus = WakeBus.redis(f"redis://:{CANARY}@{nobody}/0")
        await bus.start(lambda: None)
        bus.publish()
        await asyncio.sleep(0.3)
        await bus.stop()

    async with await asyncio.start_server(say_all_again, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        mailer = SmtpMailer(SmtpServer.of(f"smtp://user:{CANARY}@127.0.0.1:{port}?tls=off"))

        async def claim() -> bool:
            return True

        calls: list[Call] = [
            lambda: mailer.send(LETTER, claim),
            lambda: Database.connect(url, settings, timeout_seconds=0.1),
            lambda: open_storage(bucket).get("uploads/x"),
            wake,
        ]
        with hearing(caplog) as logged:
            for call in calls:
                told += await told_by(call)
    told += [*logged, *capfd.readouterr()]
    assert len(told) > 8
    encoded = base64.b64encode(f"\0user\0{CANARY}".encode()).decode()
    assert [one for one in told if CANARY in one or encoded in one] == []
