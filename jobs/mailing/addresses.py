"""Addresses and headers of mails: what other people wrote never makes a header or a link."""

from __future__ import annotations

import re
from email.headerregistry import Address, HeaderRegistry
from ipaddress import ip_network

import idna

from settings import SettingsError

DEFAULT_SENDER = "Tallygraph <tallygraph@localhost>"
# Control characters, line breaks and what turns the direction of the text around a name.
_NOT_IN_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
# A name such as `evil.example` would be made a link by whoever shows the mail.
_LINK_LIKE = re.compile(r"(?<=\w)([.:])(?=[\w/]{2,})")
_EMAIL = re.compile(r"[^\s@/:<>]+@[^\s@/:<>]+")
NAME_CHARACTERS = 100


def mail_address(address: str, display_name: str = "") -> Address:
    """An address as headers and envelopes have it, its domain as DNS has it (RFC 5890)."""
    local, at, domain = address.rpartition("@")
    if not at or _NOT_IN_LINE.search(address):
        raise ValueError("this is no address")
    return Address(display_name, username=local, domain=_ascii_domain(domain))


def needs_utf8(address: Address) -> bool:
    """Whether only a server that speaks SMTPUTF8 can take mail for it."""
    return not address.addr_spec.isascii()


def sender_of(mail_from: str) -> Address:
    """The one sender that MAIL_FROM names; its display name is the product's."""
    header = HeaderRegistry()("From", mail_from or DEFAULT_SENDER)
    addresses: tuple[Address, ...] = getattr(header, "addresses", ())
    if len(addresses) != 1 or not addresses[0].domain or header.defects:
        raise SettingsError("MAIL_FROM: write one sender, such as Example <no-reply@example.com>")
    found = addresses[0]
    return mail_address(f"{found.username}@{found.domain}", found.display_name)


def one_line(text: object, limit: int = NAME_CHARACTERS) -> str:
    """A text on one line, cut where it is too long."""
    line = " ".join(_NOT_IN_LINE.sub(" ", str(text)).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def unlinked(text: object) -> str:
    """What somebody else wrote, such as a name, on one line and without anything like a link.

    An address, of mail, a network or one in it, is left as it is.
    """
    line = one_line(text)
    return line if _is_address(line) else _LINK_LIKE.sub(r" \1 ", line)


def _is_address(line: str) -> bool:
    try:
        ip_network(line)
    except ValueError:
        return _EMAIL.fullmatch(line) is not None
    return True


def _ascii_domain(domain: str) -> str:
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode()
    except UnicodeError as error:
        raise ValueError("this is no domain") from error
