"""Makes letters of queued e-mails, as HTML and as plain text in the reader's language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from jobs.mailing.addresses import mail_address, needs_utf8, one_line, sender_of
from jobs.mailing.base import Letter
from jobs.mailing.texts import PARTS, Parts, Texts, texts_for
from jobs.mailing.tokens import Tokens
from jobs.mailing.values import Values

if TYPE_CHECKING:
    from db.emails.operations import BegunEmail
    from settings import Settings

SUBJECT_CHARACTERS = 200


@dataclass(frozen=True)
class Content:
    """What a layout shows of one mail. Sentences are filled with their values by the layout."""

    language: str
    direction: str
    product: str
    subject: str
    paragraphs: tuple[str, ...]
    code_label: str
    code: str
    code_rules: tuple[str, ...]
    button: str
    link: str
    link_hint: str
    details: tuple[tuple[str, str], ...]
    closing: str
    automatic: str


class LetterWriter:
    """Writes the letters of one deployment."""

    def __init__(self, settings: Settings) -> None:
        self._sender = sender_of(settings.mail_from)
        self._product = self._sender.display_name or self._sender.domain
        self._link_url = settings.link_url
        self._tokens = Tokens(settings)
        self._layouts = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "layouts"),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def write(self, email: BegunEmail) -> Letter:
        """The finished letter; ValueError for an address that no mail can be sent to."""
        recipient = mail_address(email.recipient)
        is_utf8 = needs_utf8(recipient) or needs_utf8(self._sender)
        message = EmailMessage(policy=SMTPUTF8 if is_utf8 else SMTP)
        message["From"] = self._sender
        message["To"] = recipient
        message["Date"] = format_datetime(email.queued_at.astimezone(UTC))
        # The same in every attempt: a server or a reader knows a copy by it.
        message["Message-ID"] = f"<{email.id}@{self._sender.domain}>"
        # RFC 3834: nobody on holiday answers it.
        message["Auto-Submitted"] = "auto-generated"
        self._write_content(message, email)
        return Letter(
            id=email.id,
            template=email.template,
            queued_at=email.queued_at,
            sender=self._sender.addr_spec,
            recipient=recipient.addr_spec,
            content=message.as_bytes(),
            is_utf8=is_utf8,
        )

    def _write_content(self, message: EmailMessage, email: BegunEmail) -> None:
        texts = texts_for(email.locale)
        values = Values(
            email.parameters,
            texts,
            product=self._product,
            happened_at=email.queued_at,
            time_zone=email.time_zone,
        )
        content = self._content(email, texts, values)
        message["Subject"] = content.subject
        text, html = (self._layouts.get_template(f"letter.{kind}") for kind in ("txt", "html"))
        message.set_content(
            text.render(letter=content, fill=values.in_text), cte="quoted-printable"
        )
        message.add_alternative(
            html.render(letter=content, fill=values.in_html),
            subtype="html",
            cte="quoted-printable",
        )
        # Set before, it would have gone with the content that was replaced.
        message["Content-Language"] = texts.language

    def _content(self, email: BegunEmail, texts: Texts, values: Values) -> Content:
        letter, parts, common = texts.letters[email.template], PARTS[email.template], texts.common
        given = email.parameters
        code, token = self._secrets(given, parts)
        link = self._link(parts.purpose, token)
        details = ((texts.details[name], values.get(name)) for name in parts.details)
        return Content(
            language=texts.language,
            direction=texts.direction,
            product=self._product,
            subject=one_line(values.in_text(letter.subject), SUBJECT_CHARACTERS),
            paragraphs=letter.paragraphs,
            code_label=common["code" if "code_id" in given else "invitation_code"],
            code=code,
            code_rules=tuple(common[name] for name in _code_rules(given)),
            button=letter.button,
            link=link,
            link_hint=common["link_hint"],
            details=tuple((label, value) for label, value in details if value),
            closing=common[parts.closing] if parts.closing else "",
            automatic=common["automatic"],
        )

    def _secrets(self, given: Mapping[str, Any], parts: Parts) -> tuple[str, str]:
        """What the reader may type, and what a link carries."""
        if "code_id" in given:
            token = self._tokens.code_link(given["code_id"])
            return token if parts.shows_token else self._tokens.digits(given["code_id"]), token
        if "invitation_id" in given:
            token = self._tokens.invitation(given["invitation_id"])
            return token, token
        return "", ""

    def _link(self, purpose: str, token: str) -> str:
        if not self._link_url or not token:
            return ""
        return self._link_url.replace("{purpose}", purpose).replace("{token}", quote(token, ""))


def _code_rules(given: Mapping[str, Any]) -> Iterator[str]:
    if "code_id" in given:
        yield "code_lasts" if "valid_minutes" in given else "code_works_once"
        yield "never_share"
