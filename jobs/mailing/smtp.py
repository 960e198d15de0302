"""Hands letters to a mail server over SMTP (RFC 5321), encrypted unless SMTP_URL says no."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from jobs.mailing.base import Claim, Letter, LetterRefused, LetterUncertain, NotClaimed, NotTaken
from settings import SettingsError

SUBMISSION_PORT, TLS_PORT = 587, 465
# Conversations at once in one worker, and how many more may wait for one: together fewer than a
# worker's places, so that a slow server keeps no other job from running.
CONVERSATIONS = 4
WAITING = 4
CONNECT_SECONDS = 20.0
COMMAND_SECONDS = 30.0
# RFC 5321, 4.5.3.2.6: a server may take long to say that it has a message, and who gives up too
# soon knows nothing of it.
DATA_SECONDS = 300.0
QUIT_SECONDS = 5.0

# RFC 3463: what the server says, without its words, which often repeat the address.
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")


@dataclass(frozen=True)
class SmtpServer:
    """A server as SMTP_URL names it: `smtps://` or `smtp://user:password@host:port`.

    The first is encrypted from its first byte, the second from STARTTLS on, which the server has to
    offer. `?tls=off` is for a server on the same machine or network that does not.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    is_tls: bool = False
    is_plain: bool = False

    @classmethod
    def of(cls, url: str) -> Self:
        """What a URL says; SettingsError, without the URL, when it cannot be read."""
        try:
            parts = urlsplit(url)
            host, port, options = parts.hostname, parts.port, parse_qs(parts.query)
        except ValueError:
            host, port, options = None, None, {}
        if not host or parts.path not in ("", "/") or options not in ({}, {"tls": ["off"]}):
            raise SettingsError(
                "SMTP_URL: write smtp://user:password@host:587 or smtps://user:password@host:465"
            )
        is_tls, is_plain = parts.scheme == "smtps", bool(options)
        user, password = (unquote(one) if one else None for one in (parts.username, parts.password))
        if is_plain and (is_tls or (user and not _is_this_machine(host))):
            raise SettingsError(
                "SMTP_URL: tls=off is for smtp:// without a password, or to this machine"
            )
        return cls(host, port or (TLS_PORT if is_tls else SUBMISSION_PORT), user, password,
                   is_tls, is_plain)  # fmt: skip


class SmtpMailer:
    """Hands letters to one server, a connection for each."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        # Reading the authorities takes the event loop some milliseconds, so it is done once.
        self._tls = ssl.create_default_context()
        self._free = asyncio.Semaphore(CONVERSATIONS)
        self._waiting = 0

    @property
    def is_busy(self) -> bool:
        """Whether as many letters wait for a conversation as may."""
        return self._free.locked() and self._waiting >= WAITING

    async def send(self, letter: Letter, claim: Claim) -> str:
        """Hands a letter over; gives the server's name."""
        async with self._place(), self._connected() as client:
            await _announce(client, letter)
            if not await claim():
                raise NotClaimed
            await _hand_over(client, letter)
        return self._server.host

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self.is_busy:
            raise NotTaken("the server is slow: too many letters wait for it")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[SMTP]:
        """A connection that is signed in; nothing that goes wrong before is the letter's fault."""
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.is_tls,
            start_tls=not server.is_tls and not server.is_plain,
            tls_context=self._tls,
            timeout=COMMAND_SECONDS,
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await client.connect()
        except (SMTPException, OSError, TimeoutError) as error:
            raise NotTaken(f"no session with {server.host}: {reason_of(error)}") from error
        try:
            yield client
            with suppress(SMTPException, OSError, TimeoutError):
                await client.quit(timeout=QUIT_SECONDS)
        finally:
            client.close()


async def _announce(client: SMTP, letter: Letter) -> None:
    """Says from whom and to whom; what a server answers to that is said before it has anything."""
    options, encoding = (["SMTPUTF8"], "utf-8") if letter.is_utf8 else ([], "ascii")
    try:
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
        if letter.is_utf8 and not client.supports_extension("SMTPUTF8"):
            raise LetterRefused("the server takes only addresses in ASCII (RFC 6531)")
        # A sender that is refused is the deployment's own, so the letter may pass once it is right.
        await client.mail(letter.sender, options=options, encoding=encoding)
    except (SMTPException, OSError, TimeoutError) as error:
        raise NotTaken(f"the sender: {reason_of(error)}") from error
    try:
        await client.rcpt(letter.recipient, encoding=encoding)
    except SMTPResponseException as error:
        if 500 <= error.code < 600:
            raise LetterRefused(f"the recipient: {reason_of(error)}") from error
        raise NotTaken(f"the recipient: {reason_of(error)}") from error
    except (SMTPException, OSError, TimeoutError) as error:
        raise NotTaken(f"the recipient: {reason_of(error)}") from error


async def _hand_over(client: SMTP, letter: Letter) -> None:
    """Gives the letter away: only an answer tells whether the server has it."""
    try:
        await client.data(letter.content, timeout=DATA_SECONDS)
    except SMTPResponseException as error:
        if 400 <= error.code < 500:
            raise NotTaken(f"the letter: {reason_of(error)}") from error
        if 500 <= error.code < 600:
            raise LetterRefused(f"the letter: {reason_of(error)}") from error
        raise LetterUncertain(f"the letter: {reason_of(error)}") from error
    except (SMTPException, OSError, TimeoutError) as error:
        raise LetterUncertain(f"no answer to the letter: {reason_of(error)}") from error


def reason_of(error: BaseException) -> str:
    """An error without what may name an address: codes, and kinds of faults."""
    if isinstance(error, SMTPResponseException):
        enhanced = _ENHANCED.match(error.message)
        return f"{error.code} {enhanced[0]}" if enhanced else str(error.code)
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {cause.verify_message}"
    if "STARTTLS" in str(error):
        return "it does not offer STARTTLS"
    return type(cause).__name__


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
