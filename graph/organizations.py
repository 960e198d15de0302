"""Organizations in the schema: who works together, in which role, and who is invited."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy import ColumnElement, FromClause, and_, func, literal_column

from auth.demands import FRESH_SIGN_IN, STRONG_SIGN_IN
from auth.invitations import invitation_tokens
from db.core.errors import ErrorCode, Problems, not_found
from db.organizations import operations, tables
from db.organizations.tables import InvitationStatus
from graph.accounts import User
from graph.engine.declare import (
    backed_by,
    column,
    computed,
    connection,
    embedded,
    expression,
    global_id,
    live,
    lookup,
    mutation,
    reference,
    related_row,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Connection, Cursor, Node, noted_uuid, uuid_from_global_id


@strawberry.enum(description="What a member of an organization may do.")
class OrganizationRole(Enum):
    """Roles, the highest first."""

    OWNER = strawberry.enum_value(
        "OWNER", description="Everything: all roles, ownership, payments. At least one stays."
    )
    ADMIN = strawberry.enum_value(
        "ADMIN", description="Names the organization, invites and manages members and viewers."
    )
    MEMBER = strawberry.enum_value("MEMBER", description="Works with what the organization has.")
    VIEWER = strawberry.enum_value("VIEWER", description="Sees it, and changes nothing.")


state_enum(InvitationStatus)


def is_expired(row: FromClause) -> ColumnElement[Any]:
    """Whether nobody answered an invitation in time."""
    return and_(row.c.status == literal_column("'PENDING'"), row.c.expires_at <= func.now())


@backed_by(tables.OrganizationMember)
class OrganizationUser:
    """What members of an organization see of one another."""

    id: strawberry.ID = reference("user_id", "user", description="The user's global id.")
    email: str | None = column(description="The e-mail address.")
    display_name: str | None = column(description="The name they gave themselves.")


@backed_by(tables.OrganizationMember, prefix="organizationMember")
class OrganizationMember(Node):
    """A user's membership of an organization."""

    id: strawberry.ID = global_id()
    user: OrganizationUser = embedded(description="Who it is.")
    role: OrganizationRole = column(description="What they may do.")
    joined_at: datetime = column(description="Since when.")


@backed_by(tables.OrganizationInvitation, prefix="organizationInvitation")
class OrganizationInvitation(Node):
    """An invitation to an organization; owners and admins see it."""

    id: strawberry.ID = global_id()
    email: str = column(description="Whom it was sent to.")
    role: OrganizationRole = column(description="What they will be.")
    status: InvitationStatus = column(description="Where it stands.")
    is_expired: bool = expression(
        is_expired, description="Whether nobody answered in time. Inviting again renews it."
    )
    created_at: datetime = column(description="When it was made or renewed.")
    expires_at: datetime = column(description="Until when it can be accepted: 7 days.")

    @computed(
        "id",
        "status",
        "expires_at",
        description="What `acceptInvitation` takes; null when it can't be accepted any more. Give "
        "it to nobody but the invited person.",
    )
    def token(self: Any) -> str | None:
        """Made of the id, so that nothing secret is stored."""
        # Columns come as JSON has them.
        is_over = datetime.fromisoformat(self.expires_at) <= datetime.now(UTC)
        if is_over or self.status != InvitationStatus.PENDING:
            return None
        return invitation_tokens().token(UUID(self.id))


@backed_by(tables.Organization, prefix="organization")
class Organization(Node):
    """People who work with the same things, each in a role."""

    id: strawberry.ID = global_id()
    name: str = column(description="1 to 100 characters.")
    created_at: datetime = column(description="When it was made.")
    updated_at: datetime = column(description="When its name, members or invitations changed.")
    deletes_at: datetime | None = column(
        description="When it goes with all that it has; null while it stays."
    )
    members: Connection[OrganizationMember] = connection(
        OrganizationMember,
        ("joined_at", "id"),
        key="organization_id",
        only=lambda member: ~member.c.is_robot,
        description="Its members, those who joined first at the top.",
    )
    invitations: Connection[OrganizationInvitation] = connection(
        OrganizationInvitation,
        ("-created_at", "-id"),
        key="organization_id",
        description="Its invitations, newest first. Empty for who is neither owner nor admin.",
    )


extend(
    OrganizationMember,
    organization=related_row(
        "organization_id",
        returns=Organization | None,
        description="The organization; null only while it is being deleted.",
    ),
)
extend(
    User,
    memberships=connection(
        OrganizationMember,
        ("joined_at", "id"),
        description="The user's memberships of organizations, the oldest first.",
    ),
    selected_organization=related_row(
        "selected_organization_id",
        returns=Organization | None,
        description="The organization that the user works in.",
    ),
)


@strawberry.input(description="A new organization.")
class CreateOrganizationInput:
    name: str = strawberry.field(description="1 to 100 characters.")
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same organization again. 1 to 255 characters, kept "
        "30 days."
    )


@strawberry.input(description="Another name for an organization.")
class RenameOrganizationInput:
    organization_id: strawberry.ID = strawberry.field(description="The organization's global id.")
    name: str = strawberry.field(description="1 to 100 characters.")


@strawberry.input(description="Whom to invite.")
class InviteMemberInput:
    organization_id: strawberry.ID = strawberry.field(description="The organization's global id.")
    email: str = strawberry.field(
        description="The address of the account that may accept. Inviting it again renews the "
        "invitation."
    )
    role: OrganizationRole = strawberry.field(
        default=OrganizationRole.MEMBER, description="What they will be."
    )


@strawberry.input(description="Which invitation to take back.")
class RevokeInvitationInput:
    id: strawberry.ID = strawberry.field(description="The invitation's global id.")


@strawberry.input(description="An invitation's token.")
class AcceptInvitationInput:
    token: str = strawberry.field(description="As it stood in the invitation.")


@strawberry.input(description="A member's role.")
class SetMemberRoleInput:
    organization_id: strawberry.ID = strawberry.field(description="The organization's global id.")
    user_id: strawberry.ID = strawberry.field(description="The member's user id, a global id.")
    role: OrganizationRole = strawberry.field(description="What they are from now on.")


@strawberry.input(description="Whose membership ends.")
class RemoveMemberInput:
    organization_id: strawberry.ID = strawberry.field(description="The organization's global id.")
    user_id: strawberry.ID = strawberry.field(description="The member's user id, a global id.")


@strawberry.input(description="The owner to be.")
class TransferOwnershipInput:
    organization_id: strawberry.ID = strawberry.field(description="The organization's global id.")
    user_id: strawberry.ID = strawberry.field(description="The member's user id, a global id.")


@strawberry.input(description="An organization.")
class LeaveOrganizationInput:
    organization_id: strawberry.ID = strawberry.field(description="The organization's global id.")


@strawberry.input(description="An organization to delete.")
class DeleteOrganizationInput:
    organization_id: strawberry.ID = strawberry.field(description="The organization's global id.")


@strawberry.input(description="An organization to keep.")
class KeepOrganizationInput:
    organization_id: strawberry.ID = strawberry.field(description="The organization's global id.")


@strawberry.input(description="The organization to work in.")
class SelectOrganizationInput:
    organization_id: strawberry.ID | None = strawberry.field(
        description="One of the caller's own, a global id. Null empties it."
    )


@strawberry.type(description="Result of mutations that change an organization.")
class OrganizationPayload(MutationPayload):
    organization: Organization | None = strawberry.field(
        description="The organization as it is now; null on errors."
    )


@strawberry.type(description="Result of `inviteMember` and `revokeInvitation`.")
class InvitationPayload(MutationPayload):
    invitation: OrganizationInvitation | None = strawberry.field(
        description="The invitation as it is now; null on errors."
    )


@strawberry.type(description="Result of `setMemberRole`.")
class MemberPayload(MutationPayload):
    member: OrganizationMember | None = strawberry.field(
        description="The membership as it is now; null on errors."
    )


@strawberry.type(description="Result of `leaveOrganization` and `selectOrganization`.")
class MembershipPayload(MutationPayload):
    """Payload with nothing but the viewer."""


def _organization_id(value: str) -> UUID:
    return uuid_from_global_id(value, "organization", "input", "organizationId")


async def create_organization(context: Context, input: CreateOrganizationInput) -> Outcome:
    """Makes an organization that the caller owns."""
    context.signed_in()
    command = operations.create(name=input.name, idempotency_key=input.idempotency_key)
    return Outcome(command, {"organization": RESULT})


async def rename_organization(context: Context, input: RenameOrganizationInput) -> Outcome:
    """Gives an organization another name."""
    actor, problems = context.signed_in(), Problems()
    organization_id = noted_uuid(
        problems, input.organization_id, "organization", "input", "organizationId"
    )
    command = operations.rename(problems, actor, organization_id, input.name)
    return Outcome(command, {"organization": RESULT})


async def invite_member(context: Context, input: InviteMemberInput) -> Outcome:
    """Invites an address."""
    context.signed_in()
    organization_id = _organization_id(input.organization_id)
    command = operations.invite(organization_id, email=input.email, role=input.role.name)
    return Outcome(command, {"invitation": RESULT})


async def revoke_invitation(context: Context, input: RevokeInvitationInput) -> Outcome:
    """Takes an invitation back."""
    context.signed_in()
    invitation_id = uuid_from_global_id(input.id, "organizationInvitation", "input", "id")
    return Outcome(operations.revoke_invitation(invitation_id), {"invitation": RESULT})


async def accept_invitation(context: Context, input: AcceptInvitationInput) -> Outcome:
    """Makes the caller a member."""
    context.signed_in()
    invitation_id = invitation_tokens().row_id(input.token)
    if invitation_id is None:
        raise not_found("invitation", ("input", "token"))
    return Outcome(operations.accept_invitation(invitation_id), {"organization": RESULT})


async def set_member_role(context: Context, input: SetMemberRoleInput) -> Outcome:
    """Gives a member another role."""
    member = _member(context, input.organization_id, input.user_id)
    return Outcome(operations.set_member_role(*member, input.role.name), {"member": RESULT})


async def remove_member(context: Context, input: RemoveMemberInput) -> Outcome:
    """Ends somebody's membership."""
    member = _member(context, input.organization_id, input.user_id)
    return Outcome(operations.remove_member(*member), {"organization": RESULT})


async def transfer_ownership(context: Context, input: TransferOwnershipInput) -> Outcome:
    """Makes somebody the owner in the caller's place."""
    member = _member(context, input.organization_id, input.user_id)
    return Outcome(operations.transfer_ownership(*member), {"organization": RESULT})


def _member(context: Context, organization_id: str, user_id: str) -> tuple[UUID, UUID]:
    context.signed_in()
    problems = Problems()
    organization = noted_uuid(problems, organization_id, "organization", "input", "organizationId")
    user = noted_uuid(problems, user_id, "user", "input", "userId")
    problems.refuse()
    return organization, user


async def leave_organization(context: Context, input: LeaveOrganizationInput) -> Outcome:
    """Ends the caller's own membership."""
    context.signed_in()
    return Outcome(operations.leave(_organization_id(input.organization_id)))


async def delete_organization(context: Context, input: DeleteOrganizationInput) -> Outcome:
    """Has an organization deleted."""
    context.signed_in()
    command = operations.delete(_organization_id(input.organization_id))
    return Outcome(command, {"organization": RESULT})


async def keep_organization(context: Context, input: KeepOrganizationInput) -> Outcome:
    """Takes the deletion back."""
    context.signed_in()
    command = operations.keep(_organization_id(input.organization_id))
    return Outcome(command, {"organization": RESULT})


async def select_organization(context: Context, input: SelectOrganizationInput) -> Outcome:
    """Sets which organization the caller works in."""
    context.signed_in()
    wanted = None if input.organization_id is None else _organization_id(input.organization_id)
    return Outcome(operations.select_organization(wanted))


@strawberry.type
class OrganizationsQuery:
    """Queries on organizations."""

    organization: Organization | None = lookup(
        description="An organization of the caller's; null when it is missing or not theirs."
    )


@strawberry.type
class OrganizationsMutation:
    """Mutations on organizations."""

    create_organization: OrganizationPayload | None = mutation(
        create_organization,
        CreateOrganizationInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.LIMIT_EXCEEDED, ErrorCode.IDEMPOTENCY_CONFLICT),
        description="Make an organization that the caller owns, and work in it unless they work "
        "in another. Not for guests. At most 20 are owned.",
    )
    rename_organization: OrganizationPayload | None = mutation(
        rename_organization,
        RenameOrganizationInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND),
        description="Give an organization another name. For owners and admins.",
    )
    invite_member: InvitationPayload | None = mutation(
        invite_member,
        InviteMemberInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
            ErrorCode.LIMIT_EXCEEDED,
        ),
        description="Invite somebody by e-mail; the invitation's `token`, which they are mailed, "
        "is theirs to accept. One person invites at most 200 in a day. Owners invite admins, "
        "members and viewers, admins members and viewers.",
    )
    revoke_invitation: InvitationPayload | None = mutation(
        revoke_invitation,
        RevokeInvitationInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="Take an invitation back. For owners and admins.",
    )
    accept_invitation: OrganizationPayload | None = mutation(
        accept_invitation,
        AcceptInvitationInput,
        errors=(
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.PLAN_LIMIT_REACHED,
        ),
        description="Become a member. The caller's account has the address that was invited. "
        "Accepting again changes nothing more. The organization's plan has a seat for it.",
    )
    delete_organization: OrganizationPayload | None = mutation(
        delete_organization,
        DeleteOrganizationInput,
        errors=(ErrorCode.NOT_FOUND,),
        demands=FRESH_SIGN_IN | STRONG_SIGN_IN,
        description="Have an organization deleted with all that it has, in 30 days. Until then its "
        "campaigns are paused and nothing new begins in it. Its subscription is not renewed. For "
        "owners.",
    )
    keep_organization: OrganizationPayload | None = mutation(
        keep_organization,
        KeepOrganizationInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="Keep an organization that was to be deleted; its campaigns stay paused, and "
        "its subscription ends with its period unless `resumeSubscription` is sent. For owners.",
    )
    set_member_role: MemberPayload | None = mutation(
        set_member_role,
        SetMemberRoleInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.LAST_OWNER, ErrorCode.LIMIT_EXCEEDED),
        description="Give a member another role. Owners give any, admins those below their own.",
    )
    remove_member: OrganizationPayload | None = mutation(
        remove_member,
        RemoveMemberInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.LAST_OWNER),
        description="End somebody's membership, from the next statement on. Owners remove "
        "anybody, admins members and viewers.",
    )
    leave_organization: MembershipPayload | None = mutation(
        leave_organization,
        LeaveOrganizationInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.LAST_OWNER),
        description="End the caller's own membership. The last owner stays.",
    )
    transfer_ownership: OrganizationPayload | None = mutation(
        transfer_ownership,
        TransferOwnershipInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.LIMIT_EXCEEDED),
        description="Make a member the owner in the caller's place, who is an admin then.",
    )
    select_organization: MembershipPayload | None = mutation(
        select_organization,
        SelectOrganizationInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="Set which organization the caller works in, or none.",
    )


@strawberry.type(description="An organization that changed.")
class OrganizationChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    organization: Organization | None = strawberry.field(
        description="The organization right after the change; its lists as they are when the item "
        "is sent."
    )


@strawberry.type
class OrganizationsSubscription:
    """Subscriptions on organizations."""

    organization_changed: OrganizationChanged = live(
        "organization.changed",
        "organization",
        entity=True,
        description="An organization of the caller's: as it is now, then whenever its name, "
        "members or invitations change. It ends with NOT_FOUND when the caller is no member any "
        "more.",
    )
