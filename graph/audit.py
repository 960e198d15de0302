"""The audit log in the schema: what happened on the viewer's account."""

from __future__ import annotations

from datetime import datetime

import strawberry
from sqlalchemy import func

from db.accounts import tables
from db.audit.actions import AuditAction
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    described_enum,
    expression,
    global_id,
)
from graph.engine.extending import extend
from graph.shared.relay import Node

described_enum(AuditAction)


@backed_by(tables.AuditEntry, prefix="auditEntry")
class AuditEntry(Node):
    """Something that happened on an account, or was refused on it."""

    id: strawberry.ID = global_id()
    action: AuditAction = expression(
        # Columns hold names in lower case.
        lambda entry: func.upper(entry.c.action),
        description="What happened.",
    )
    created_at: datetime = column(description="When; of failures, when they were counted.")
    times: int = column(
        description="How often: more than 1 for failures from one network within a minute."
    )
    subject: str | None = column(
        description="What it concerns: how somebody signed in, or which key it was. Null where "
        "there is nothing to add."
    )
    network: str | None = column(
        description="The network it was asked for from: the first 24 bits of an IPv4 address, 48 "
        "of an IPv6 address. Null for failures from many networks, and for what no request asked "
        "for."
    )
    device: str | None = column(description="The `User-Agent` that the client sent, shortened.")


extend(
    User,
    audit_log=connection(
        AuditEntry,
        NEWEST_FIRST,
        description="What happened on the account, newest first: sign-ins, failures, changes and "
        "refusals, kept for 400 days. The viewer's alone: of others it is empty, for admins too.",
    ),
)
