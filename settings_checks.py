"""What single settings must look like; each refusal is a sentence that says what to write."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

# HS256 with less than its hash can be guessed (RFC 7518, 3.2), and so can whatever else is keyed.
DNS_PORT = 53
SECRET_MIN_CHARACTERS = 32
# Of 32 characters by chance there are 20 different ones, of hexadecimal digits 14.
SECRET_MIN_DIFFERENT = 8
# What is sent back to after signing in at a provider: `https://host`, or an app's `scheme://host`.
ORIGIN = r"[a-z][a-z0-9+.-]*://[A-Za-z0-9.:\[\]_-]+"
GOOD_SECRET = "`openssl rand -base64 32` makes a good one"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_DOMAIN = re.compile(r"localhost|(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")


def split_list(value: str) -> list[str]:
    """What is written with commas."""
    return [part.strip() for part in value.split(",") if part.strip()]


def check_proxy(proxy: str) -> str:
    """An address or a network of proxies, or `*` for whoever calls."""
    if proxy == "*":
        return proxy
    try:
        # The bits of a host are dropped: 10.0.0.7/8 means 10.0.0.0/8.
        return str(ip_network(proxy, strict=False)) if "/" in proxy else str(ip_address(proxy))
    except ValueError:
        raise ValueError(
            f"{proxy!r} is no address; write those of your proxies, such as 10.0.0.7 or "
            "10.0.0.0/8, not their names"
        ) from None


def check_dns_server(server: str) -> str:
    """The address of a name server, with or without a port, as in 9.9.9.9 or 127.0.0.1:5353."""
    try:
        address, port = split_dns_server(server)
        ip_address(address)
        is_port = 0 < port < 65_536
    except ValueError:
        is_port = False
    if not is_port:
        raise ValueError(f"{server!r} is no name server; write its address, such as 9.9.9.9:53")
    return server


def split_dns_server(server: str) -> tuple[str, int]:
    """The address and the port of a name server, as in 9.9.9.9, 127.0.0.1:5353 or ::1."""
    if server.count(":") != 1:
        return server, DNS_PORT
    address, _, port = server.partition(":")
    return address, int(port)


def check_origin(origin: str) -> str:
    """An origin as browsers send it (RFC 6454): in lower case, without the scheme's own port."""
    if not re.fullmatch(ORIGIN, origin):
        raise ValueError(
            f"{origin!r} is no origin; write scheme and host without a path, such as "
            "https://app.example.com"
        )
    scheme, _, host = origin.lower().partition("://")
    return f"{scheme}://{host.removesuffix(f':{_DEFAULT_PORTS.get(scheme)}')}"


def check_passkey_origin(origin: str) -> str:
    """An origin, or an Android app's as WebAuthn writes it."""
    return origin if origin.startswith("android:apk-key-hash:") else check_origin(origin)


def check_public_url(url: str) -> str:
    """Where clients reach the server; empty for where it listens."""
    if not url:
        return url
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or parts.query or parts.fragment or parts.username or re.search(r"\s", url):
        raise ValueError("this is no address of a server; write it like https://api.example.com")
    return url


def is_this_machine(url: str) -> bool:
    """Whether a URL leads to the machine itself, so that nobody listens on the way."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_relying_party(domain: str, origins: Iterable[str]) -> None:
    """A passkey's domain is one that the pages which use it belong to (WebAuthn, 5.1.3)."""
    if not _DOMAIN.fullmatch(domain):
        raise ValueError(
            f"PASSKEY_RP_ID: {domain!r} is no domain; write one in lower case without scheme and "
            "port, such as example.com"
        )
    pages = tuple(origins)
    hosts = [urlsplit(page).hostname or "" for page in pages if not page.startswith("android:")]
    if len(hosts) == len(pages) and not any(f".{host}".endswith(f".{domain}") for host in hosts):
        raise ValueError(
            f"PASSKEY_RP_ID: no page of {domain} is known, so no browser would use its passkeys; "
            "PUBLIC_URL, CORS_ORIGINS, REDIRECT_ORIGINS or PASSKEY_ORIGINS must name one"
        )


def problem_of_secret(secret: str) -> str | None:
    """Why a secret can be guessed; nothing for a good one."""
    if len(secret) < SECRET_MIN_CHARACTERS:
        return f"has fewer than {SECRET_MIN_CHARACTERS} characters; {GOOD_SECRET}"
    if len(set(secret)) < SECRET_MIN_DIFFERENT:
        return f"repeats a few characters; {GOOD_SECRET}"
    return None


# The types of settings. What matches no pattern is refused with the example.
Proxy = Annotated[str, AfterValidator(check_proxy)]
Origin = Annotated[str, AfterValidator(check_origin)]
DnsServer = Annotated[str, AfterValidator(check_dns_server)]
PasskeyOrigin = Annotated[str, AfterValidator(check_passkey_origin)]
PublicUrl = Annotated[str, AfterValidator(check_public_url)]
WebUrl = Annotated[str, Field(pattern=r"^https?://\S+$", examples=["https://api.example.com"])]
OptionalWebUrl = Annotated[
    str, Field(pattern=r"^(https?://\S+)?$", examples=["https://login.example.com/jwks.json"])
]
# A model's name goes into a path.
ModelName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", examples=["gemini-2.5-flash"])
]
SmtpUrl = Annotated[
    str, Field(pattern=r"^(smtps?://\S+)?$", examples=["smtp://user:password@mail.example.com:587"])
]
MailFrom = Annotated[
    str,
    Field(pattern=r"^([^\r\n]*[^\s@]@[^\s@]+)?$", examples=["Example <no-reply@example.com>"]),
]
EmailAddress = Annotated[
    str, Field(pattern=r"^([^\s@<>]+@[^\s@<>]+)?$", examples=["operations@example.com"])
]
LinkUrl = Annotated[
    str,
    Field(
        pattern=r"^([a-z][a-z0-9+.-]*://\S*\{token\}\S*)?$",
        examples=["https://app.example.com/{purpose}?token={token}"],
    ),
]
BusUrl = Annotated[
    str, Field(pattern=r"^(rediss?://.+)?$", examples=["redis://redis.example.com:6379/0"])
]
