"""What is told of a change to an account's factors: a note in its log, a mail to its owner."""

from __future__ import annotations

from uuid import UUID

from db.audit.operations import record_audit
from db.core.pool import Transaction
from db.emails.operations import queue_email
from db.factors.operations import find_email
from db.undoing.operations import tell_of_added_factor


async def tell_added(
    transaction: Transaction, user_id: UUID, change: str, **detail: object
) -> None:
    """Notes what was added to sign in with, and mails it with what takes it back."""
    await record_audit(transaction, user_id, change, **detail)
    await tell_of_added_factor(transaction, user_id, change)


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
