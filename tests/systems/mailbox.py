"""The mailbox of somebody who uses a product without a mail server: its outbox."""

from __future__ import annotations

import asyncio
import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

CODE = re.compile(r"^(\d{6})$", re.MULTILINE)
TOKEN = re.compile(r"^([A-Za-z0-9_-]{43})$|token=([A-Za-z0-9_-]{43})", re.MULTILINE)


class Mailbox:
    """What was mailed to one address."""

    def __init__(self, data_directory: Path, address: str) -> None:
        self._folder = data_directory / "outbox"
        self._address = address
        self._read: set[Path] = set()

    async def next(self, timeout_seconds: float = 20) -> EmailMessage:
        """The next mail, waited for."""
        async with asyncio.timeout(timeout_seconds):
            while True:
                for file in sorted(self._folder.glob("*.eml"), key=lambda f: f.stat().st_mtime_ns):
                    if file in self._read:
                        continue
                    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
                    self._read.add(file)
                    if self._address in str(mail["to"]):
                        return mail
                await asyncio.sleep(0.05)

    async def code(self) -> str:
        """The code of the next mail that has one, alone on a line."""
        while True:
            if found := CODE.search(text_of(await self.next())):
                return found[1]

    async def token(self) -> str:
        """The token of the next mail's link."""
        while True:
            if found := TOKEN.search(text_of(await self.next())):
                return found[1] or found[2]


def text_of(mail: EmailMessage) -> str:
    """The plain part."""
    part = mail.get_body(("plain",))
    assert part is not None
    text: str = part.get_content()
    return text.replace("\r\n", "\n")
