"""E-mails for tests: parameters for every template, and how a message is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from db.core.actor import SERVICE
from db.core.pool import Database
from db.emails.operations import BegunEmail, queue_email
from jobs.mailing.rendering import LetterWriter

CODE_ID = UUID("0191d2a4-0000-7000-8000-000000000001")
EVENT = {"device": "Firefox on Linux", "address": "203.0.113.0/24"}
CODE: dict[str, Any] = {**EVENT, "code_id": CODE_ID, "valid_minutes": 15}
# All that a template takes, required and not.
PARAMETERS: dict[str, dict[str, Any]] = {
    "confirm_email": CODE,
    "reset_password": CODE,
    "sign_in_code": CODE,
    "confirm_email_change": CODE,
    "email_changed": EVENT,
    "email_changed_undo": {**CODE, "valid_minutes": 10_080},
    "email_wanted": EVENT,
    "password_changed": EVENT,
    "password_was_reset": {**EVENT, "passkeys": "Telephone, Security key"},
    "email_in_use": EVENT,
    "organization_invitation": {
        **EVENT,
        "invitation_id": CODE_ID,
        "organization": "Straße & Söhne",
        "role": "ADMIN",
        "inviter": "ada@example.test",
        "expires_at": datetime(2031, 2, 3, 4, 5, tzinfo=UTC),
    },
    "partner_request": {
        **EVENT,
        "requester": "ada@example.test",
        "expires_at": datetime(2031, 2, 3, 4, 5, tzinfo=UTC),
    },
    "new_sign_in": EVENT,
    "second_factor_changed": {**EVENT, "change": "totp_added"},
    "factor_added_undo": {**CODE, "valid_minutes": 10_080, "change": "passkey_added"},
    "account_deletion_scheduled": {
        **EVENT,
        "delete_at": datetime(2031, 2, 3, 4, 5, tzinfo=UTC),
    },
    "account_deletion_cancelled": EVENT,
    "account_deleted": EVENT,
    "export_ready": {**EVENT, "expires_at": datetime(2031, 2, 3, 4, 5, tzinfo=UTC)},
    "identity_linked": {**EVENT, "provider": "Google"},
    "api_key_created": {**EVENT, "name": "Deploy"},
    "subscription_payment_failed": {
        **EVENT,
        "plan": "Pro",
        "name": "Straße & Söhne",
        "expires_at": datetime(2031, 2, 3, 4, 5, tzinfo=UTC),
    },
    "subscription_ended": {**EVENT, "plan": "Pro", "name": "Straße & Söhne"},
    "alert_firing": {**EVENT, "alert": "ai-latency", "measured": 6.24, "threshold": 5},
    "alert_over": {**EVENT, "alert": "sync-failures", "measured": 0.0126, "threshold": 0.05},
}


def begun(
    template: str, recipient: str = "ada@example.test", locale: str | None = None, **given: Any
) -> BegunEmail:
    """An attempt at an e-mail with all that its template takes, or what is given instead."""
    parameters = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in (PARAMETERS[template] | given).items()
    }
    parameters |= {n: str(v) for n, v in parameters.items() if isinstance(v, UUID)}
    return BegunEmail(
        uuid4(), 1, template, recipient, locale, parameters, datetime.now(UTC), timedelta(0)
    )


def parsed(content: bytes) -> EmailMessage:
    """A message as a reader's program understands it."""
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def written(writer: LetterWriter, email: BegunEmail) -> EmailMessage:
    """The letter of an e-mail."""
    return parsed(writer.write(email).content)


def part(message: EmailMessage, kind: str = "plain") -> str:
    """The text of a message: `plain`, or `html`."""
    found = message.get_body((kind,))
    assert found is not None
    text: str = found.get_content()
    return text


async def queued(database: Database, template: str = "sign_in_code", **given: Any) -> UUID:
    """An e-mail that waits with its job."""
    recipient = given.pop("recipient", f"{uuid4()}@example.test")
    async with database.transaction(SERVICE) as transaction:
        return await queue_email(
            transaction,
            template=template,
            recipient=recipient,
            locale=given.pop("locale", None),
            user_id=given.pop("user_id", None),
            parameters=PARAMETERS[template] | given,
        )


async def email_row(owner: asyncpg.Connection, email_id: UUID) -> asyncpg.Record:
    """What the database knows of an e-mail."""
    return await owner.fetchrow("select * from emails where id = $1", email_id)


def outbox_file(folder: Path, email_id: UUID) -> Path:
    """The file of an e-mail in an outbox."""
    (file,) = folder.glob(f"*-{email_id}.eml")
    return file
