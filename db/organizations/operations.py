"""Commands on organizations."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select, update

from db.accounts.emails import check_new_email, email_key
from db.core.actor import Actor
from db.core.commands import FunctionCall, PythonCommand, SqlFunction, call_as_service
from db.core.errors import DomainError, ErrorCode, Problems, not_found, refuse_any
from db.core.pool import Database, Transaction
from db.core.predicates import own_rows
from db.credits.rules import problems_of_key
from db.organizations.rules import problems_of_name
from db.organizations.tables import Organization

_CREATE = SqlFunction[UUID](
    "app.create_organization", "uuid", wanted_name="text", idempotency_key="text"
).noting_place()
_INVITE = SqlFunction[UUID](
    "app.invite_member", "uuid", wanted="uuid", email="text", email_key="text", role="text"
).noting_place()
_REVOKE = SqlFunction[UUID]("app.revoke_invitation", "uuid", wanted="uuid").noting_place()
_ACCEPT = SqlFunction[UUID]("app.accept_invitation", "uuid", wanted="uuid").noting_place()
_SET_ROLE = SqlFunction[UUID](
    "app.set_member_role", "uuid", wanted="uuid", member_id="uuid", role="text"
).noting_place()
_REMOVE = SqlFunction[UUID](
    "app.remove_member", "uuid", wanted="uuid", member_id="uuid"
).noting_place()
_TRANSFER = SqlFunction[UUID](
    "app.transfer_ownership", "uuid", wanted="uuid", member_id="uuid"
).noting_place()
_LEAVE = SqlFunction[UUID]("app.leave_organization", "uuid", wanted="uuid").noting_place()
_DELETE = SqlFunction[UUID]("app.delete_organization", "uuid", wanted="uuid").noting_place()
_KEEP = SqlFunction[UUID]("app.keep_organization", "uuid", wanted="uuid").noting_place()
_ERASE = SqlFunction[int]("app.erase_organizations", "integer", at_most="integer")
_SELECT = SqlFunction[UUID]("app.select_organization", "uuid", wanted="uuid")


def create(*, name: str, idempotency_key: str) -> FunctionCall[UUID]:
    """Makes an organization that the caller owns; gives it."""
    refuse_any([*problems_of_name(name), *problems_of_key(idempotency_key)])
    return _CREATE(wanted_name=name.strip(), idempotency_key=idempotency_key)


def rename(
    problems: Problems, actor: Actor, organization_id: UUID, name: str
) -> PythonCommand[UUID]:
    """Gives an organization another name; FORBIDDEN for other members, NOT_FOUND for strangers.

    What is wrong is told together with the `problems` found before.
    """
    problems.add(problems_of_name(name))
    problems.refuse()

    async def run(transaction: Transaction) -> UUID:
        is_wanted = Organization.id == organization_id
        renamed = (
            update(Organization)
            .where(is_wanted, own_rows(Organization, actor, "UPDATE"))
            .values(name=name.strip(), updated_at=func.clock_timestamp())
            .returning(Organization.id)
        )
        if await transaction.fetch_value(renamed) is not None:
            return organization_id
        readable = select(Organization.id).where(is_wanted, own_rows(Organization, actor))
        if await transaction.fetch_value(readable) is None:
            raise not_found("organization", ("input", "organizationId"))
        raise DomainError(ErrorCode.FORBIDDEN, "Only owners and admins name an organization.")

    return PythonCommand(run)


def invite(organization_id: UUID, *, email: str, role: str) -> FunctionCall[UUID]:
    """Invites an address, or renews its invitation; gives the invitation."""
    address = check_new_email(email)
    return _INVITE(wanted=organization_id, email=address, email_key=email_key(address), role=role)


def revoke_invitation(invitation_id: UUID) -> FunctionCall[UUID]:
    """Takes an invitation back; gives it."""
    return _REVOKE(wanted=invitation_id)


def accept_invitation(invitation_id: UUID) -> FunctionCall[UUID]:
    """Makes the caller a member; gives the organization."""
    return _ACCEPT(wanted=invitation_id)


def set_member_role(organization_id: UUID, user_id: UUID, role: str) -> FunctionCall[UUID]:
    """Gives a member another role; gives the membership."""
    return _SET_ROLE(wanted=organization_id, member_id=user_id, role=role)


def remove_member(organization_id: UUID, user_id: UUID) -> FunctionCall[UUID]:
    """Ends somebody's membership; gives the organization."""
    return _REMOVE(wanted=organization_id, member_id=user_id)


def transfer_ownership(organization_id: UUID, user_id: UUID) -> FunctionCall[UUID]:
    """Makes a member the owner in the caller's place; gives the organization."""
    return _TRANSFER(wanted=organization_id, member_id=user_id)


def leave(organization_id: UUID) -> FunctionCall[UUID]:
    """Ends the caller's own membership; gives the caller."""
    return _LEAVE(wanted=organization_id)


def delete(organization_id: UUID) -> FunctionCall[UUID]:
    """Has an organization deleted after a grace; gives it."""
    return _DELETE(wanted=organization_id)


def keep(organization_id: UUID) -> FunctionCall[UUID]:
    """Keeps an organization that was to be deleted; gives it."""
    return _KEEP(wanted=organization_id)


async def erase_organizations(database: Database, at_most: int) -> int:
    """Deletes some of what organizations have whose time has come; gives how much."""
    return await call_as_service(database, _ERASE(at_most=at_most))


def select_organization(organization_id: UUID | None) -> FunctionCall[UUID]:
    """Sets which organization the caller works in; gives the caller."""
    return _SELECT(wanted=organization_id)
