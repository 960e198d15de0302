"""What is looked at before a deployment's process starts: its secrets, and dangerous settings."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import structlog

from settings import Settings
from settings_checks import is_this_machine

log = structlog.get_logger(__name__)


def check_start(settings: Settings) -> None:
    """Refuses to start without good secrets; warns of settings that are lawful and dangerous."""
    settings.require_secrets()
    for setting, advice in dangers(settings):
        log.warning("dangerous setting", setting=setting, advice=advice)


def dangers(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each dangerous setting, with what it does and what to do about it."""
    if "*" in settings.trusted_proxies:
        yield (
            "TRUSTED_PROXIES",
            "whoever reaches this port can claim any address, and escapes the limits of each: name "
            "your proxies' addresses, or let nobody else reach the port",
        )
    if settings.production:
        yield from _of_production(settings)
    elif not is_this_machine(f"http://{_bracketed(settings.host)}"):
        yield (
            "ENVIRONMENT",
            f"a demo listens on {settings.host}: e-mail addresses are not confirmed, and payments "
            "are the sandbox's. Set ENVIRONMENT=production where others reach it",
        )


def _of_production(settings: Settings) -> Iterator[tuple[str, str]]:
    for name in ("DATABASE_URL", "DATABASE_DIRECT_URL"):
        if _is_open_on_the_way(getattr(settings, name.lower())):
            yield (
                name,
                "who is on the way to the database may read or answer in its place: write "
                "?sslmode=verify-full&sslrootcert=… behind it",
            )
    if not settings.smtp_url:
        yield (
            "SMTP_URL",
            f"e-mails are only written to {settings.outbox_directory}, so that nobody confirms an "
            "address or resets a password: set SMTP_URL and MAIL_FROM",
        )
    if not settings.confirms_email:
        yield (
            "CONFIRM_EMAIL",
            "anybody opens an account with anybody's address, and has it until its owner comes: "
            "set CONFIRM_EMAIL=true",
        )
    if not settings.trusted_proxies and settings.public_url.startswith("https://"):
        yield (
            "TRUSTED_PROXIES",
            "the proxy that speaks TLS for PUBLIC_URL is not named, so that all clients count as "
            "one address and share its limits: write the proxy's address",
        )
    for origin in settings.cors_origins:
        if origin.startswith("http://") and not is_this_machine(origin):
            yield (
                "CORS_ORIGINS",
                f"who is on the way to {origin} can change its pages and take its users' tokens: "
                "serve it by https",
            )


def _is_open_on_the_way(url: str) -> bool:
    """Whether a database is on another machine, and no certificate proves that it is that one."""
    parts = urlsplit(url)
    if not parts.hostname or is_this_machine(f"http://{_bracketed(parts.hostname)}"):
        return False
    return parse_qs(parts.query).get("sslmode", [""])[-1] not in ("verify-ca", "verify-full")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
