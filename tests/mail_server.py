"""A real SMTP server (aiosmtpd) that takes mail, or answers and behaves as it is told."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

TAKEN = "250 2.0.0 Ok"


@dataclass
class MailServer:
    """What came, and what is answered: the next of `answers`, then that all is well.

    Answers are by the step, `MAIL`, `RCPT` or `DATA`. A step in `hangs` is never answered, one in
    `drops` ends the connection.
    """

    port: int = 0
    letters: list[Envelope] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    answers: dict[str, deque[str]] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)
    drops: set[str] = field(default_factory=set)
    handed_over: asyncio.Event = field(default_factory=asyncio.Event)

    def will_answer(self, step: str, *answers: str) -> None:
        """What it answers to a step the next times."""
        self.answers.setdefault(step, deque()).extend(answers)

    async def _answer(self, step: str, server: SMTP) -> str:
        self.steps.append(step)
        if step in self.hangs:
            await asyncio.Event().wait()
        if step in self.drops:
            server.transport.abort()
        waiting = self.answers.get(step)
        return waiting.popleft() if waiting else TAKEN

    async def handle_MAIL(  # noqa: N802 -- aiosmtpd looks for this name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = await self._answer("MAIL", server)
        if answer == TAKEN:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return answer

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        answer = await self._answer("RCPT", server)
        if answer == TAKEN:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.handed_over.set()
        answer = await self._answer("DATA", server)
        if answer == TAKEN:
            self.letters.append(envelope)
        return answer

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _kind: str, data: Any
    ) -> Any:
        """Lets in who knows the password `right /@:`."""
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right /@:", handled=False)


@asynccontextmanager
async def mail_server(
    *, tls: ssl.SSLContext | None = None, implicit: bool = False, **options: Any
) -> AsyncIterator[MailServer]:
    """A server for a block; `implicit` TLS is there from the first byte, other from STARTTLS on."""
    loop, handler = asyncio.get_running_loop(), MailServer()

    def session() -> SMTP:
        return SMTP(
            handler,
            loop=loop,
            hostname="mail.test",
            tls_context=None if implicit else tls,
            enable_SMTPUTF8=options.get("utf8", True),
            require_starttls=tls is not None and not implicit,
            authenticator=handler.authenticate if options.get("auth") else None,
            auth_required=bool(options.get("auth")) and not implicit,
            # What is encrypted from its first byte is no STARTTLS to aiosmtpd.
            auth_require_tls=not implicit,
        )

    listening = await loop.create_server(session, "127.0.0.1", 0, ssl=tls if implicit else None)
    handler.port = listening.sockets[0].getsockname()[1]
    try:
        yield handler
    finally:
        listening.close()


def certificate(folder: Path, name: str, *, is_over: bool = False) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS with a certificate of its own for a name, and the file to trust it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name[0].isdigit():
        names = [x509.IPAddress(ip_address(name))]
    begins = datetime.now(UTC) - timedelta(days=9)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=1 if is_over else 99))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / f"{name}.pem", folder / f"{name}.key"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(public, private)
    return context, public
