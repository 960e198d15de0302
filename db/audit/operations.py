"""The only writers of the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import insert, text

from db.accounts.tables import AuditEntry
from db.audit.actions import AuditAction
from db.core.commands import SqlFunction
from db.core.origin import audited_place
from db.core.pool import Transaction

FORGET_OLD_ENTRIES = SqlFunction[int](
    "app.forget_old_audit_entries", "integer", chunk_rows="integer"
)
_INSERT_FAILURES = text("""
    insert into audit_log (user_id, action, times, network, device, subject)
    select f.user_id, f.action, f.times, f.network, f.device, f.subject
    from jsonb_to_recordset(cast(:failures as jsonb)) as f
        (user_id uuid, action text, times integer, network text, device text, subject text)
    where f.user_id is null or exists (select from users u where u.id = f.user_id)
""")


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures of one kind on one account, or on none that there is, which came close together."""

    user_id: UUID | None
    action: AuditAction
    times: int
    network: str | None = None
    device: str | None = None
    subject: str | None = None


async def record_audit(
    transaction: Transaction, user_id: UUID | None, action: str, **detail: object
) -> None:
    """Note what happened to an account, in the transaction in which it happens.

    Never a secret, and of an address the network alone; it comes from the request, as the device
    does. `detail` is the operator's, but for `method`, `provider`, `source` and `api_key`, which
    the account's owner reads as the entry's subject.
    """
    await transaction.execute(
        insert(AuditEntry).values(
            user_id=user_id,
            action=AuditAction[action.upper()].value,
            detail=detail,
            **audited_place(),
        )
    )


async def record_failures(transaction: Transaction, noted: Sequence[Failures]) -> None:
    """Write failures, a line for each; none of an account that is gone by now."""
    rows = [{**asdict(one), "user_id": one.user_id and str(one.user_id)} for one in noted]
    await transaction.execute(_INSERT_FAILURES, failures=rows)
