"""The audit log of organizations in the schema: who did what in them."""

from __future__ import annotations

from datetime import datetime

import strawberry
from sqlalchemy import func

from db.audit.actions import AuditAction
from db.organization_audit import tables
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    expression,
    global_id,
    reference,
)
from graph.engine.extending import extend
from graph.organizations import Organization, OrganizationRole
from graph.shared.relay import Node


@backed_by(tables.OrganizationAuditEntry, prefix="organizationAuditEntry")
class OrganizationAuditEntry(Node):
    """Something that was done in an organization."""

    id: strawberry.ID = global_id()
    action: AuditAction = expression(
        # Columns hold names in lower case.
        lambda entry: func.upper(entry.c.action),
        description="What was done.",
    )
    actor: str | None = column(
        description="Who did it: the e-mail address or the API key's name, as it was then. Null "
        "for who has deleted their account, and for the operator."
    )
    user_id: strawberry.ID | None = reference(
        "user_id", "user", description="Their global id; null where `actor` is, or the key is gone."
    )
    subject: str | None = column(
        description="The global id of whom or what it concerns, such as a member, a workflow or an "
        "API key; the slug of a plan. Null for the organization itself."
    )
    role: OrganizationRole | None = column(description="The role that was given.")
    created_at: datetime = column(description="When.")


extend(
    Organization,
    audit_log=connection(
        OrganizationAuditEntry,
        NEWEST_FIRST,
        key="organization_id",
        description="What was done in it, newest first, kept for 400 days. Empty for who is "
        "neither owner nor admin.",
    ),
)
