"""Commands on organizations."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select, update

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode, not_found
from db.core.pool import Transaction
from db.core.predicates import own_rows
from db.organizations.tables import Organization


async def rename(transaction: Transaction, actor: Actor, organization_id: UUID, name: str) -> None:
    """Gives an organization another name; FORBIDDEN for other members, NOT_FOUND for strangers."""
    is_wanted = Organization.id == organization_id
    renamed = (
        update(Organization)
        .where(is_wanted, own_rows(Organization, actor, "UPDATE"))
        .values(name=name, updated_at=func.clock_timestamp())
        .returning(Organization.id)
    )
    if await transaction.fetch_value(renamed) is not None:
        return
    readable = select(Organization.id).where(is_wanted, own_rows(Organization, actor))
    if await transaction.fetch_value(readable) is None:
        raise not_found("organization", ("input", "organizationId"))
    raise DomainError(ErrorCode.FORBIDDEN, "Only owners and admins name an organization.")
