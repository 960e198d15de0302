"""How e-mails are made and handed over: one module per way out behind one Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.mailing.addresses import sender_of
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
    "check_mail_settings",
    "choose_mailer",
]


def check_mail_settings(settings: Settings) -> None:
    """Raises SettingsError for a server or a sender that cannot be used, before there is a mail."""
    sender_of(settings.mail_from)
    if settings.smtp_url:
        from jobs.mailing.smtp import SmtpServer

        SmtpServer.of(settings.smtp_url)


def choose_mailer(settings: Settings) -> Mailer:
    """The way out of this deployment: without SMTP_URL, a folder."""
    if settings.smtp_url:
        from jobs.mailing.smtp import SmtpMailer, SmtpServer

        return SmtpMailer(SmtpServer.of(settings.smtp_url))
    from jobs.mailing.outbox import OutboxMailer

    return OutboxMailer(settings.outbox_directory)
