"""What is told of a change to an account's factors: a note in its log, a mail to its owner."""

from __future__ import annotations

from uuid import UUID

from db.audit.operations import record_audit
from db.core.pool import Transaction
from db.emails.operations import queue_email
from db.factors.operations import find_email


async def tell_change(
    transaction: Transaction, user_id: UUID, change: str, **detail: object
) -> None:
    """Notes a change and mails it; `change` is one of the mail's sentences (`[changes]`)."""
    await record_audit(transaction, user_id, change, **detail)
    email = await find_email(transaction, user_id)
    if email is not None:
        await queue_email(
            transaction,
            template="second_factor_changed",
            recipient=email,
            user_id=user_id,
            parameters={"change": change},
        )
