"""How e-mails are made and handed over: one module per way out behind one Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.mailing.base import (
    Claim,
    Letter,
    LetterRefused,
    LetterUncertain,
    Mailer,
    NotClaimed,
    NotTaken,
)

if TYPE_CHECKING:
    from settings import Settings

__all__ = [
    "Claim",
    "Letter",
    "LetterRefused",
    "LetterUncertain",
    "Mailer",
    "NotClaimed",
    "NotTaken",
    "choose_mailer",
]


def choose_mailer(settings: Settings) -> Mailer:
    """The way out of this deployment: without SMTP_URL, a folder."""
    if settings.smtp_url:
        from jobs.mailing.smtp import SmtpMailer, SmtpServer

        return SmtpMailer(SmtpServer.of(settings.smtp_url))
    from jobs.mailing.outbox import OutboxMailer

    return OutboxMailer(settings.outbox_directory)
