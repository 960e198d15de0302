"""Workflows of organizations, and the versions of their definitions."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Member
from db.core.base import Base, Json, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Keep
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.quotas import Bound

DEFINITION_LIMIT_BYTES = 262_144
VARIABLES_LIMIT_BYTES = 16_384


class WorkflowStatus(State):
    """Where a workflow stands."""

    DRAFT = "DRAFT", "Nobody is called by it yet."
    ACTIVE = "ACTIVE", "Calls and campaigns may use it."
    ARCHIVED = "ARCHIVED", "Put away; it can be restored."


class Workflow(Base):
    """What an agent does in a call. It belongs to an organization, never to whoever made it."""

    __tablename__ = "workflows"

    id: Mapped[UuidKey]
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    name: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=WorkflowStatus.DRAFT)
    template_variables: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]
    published_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("length(name) between 1 and 100", name="name"),
        CheckConstraint("status <> 'ACTIVE' or published_at is not null", name="published_at"),
        Index("ix_workflows_organization_id", "organization_id", "created_at", "id"),
        Index(
            "ix_workflows_organization_id_status", "organization_id", "status", "created_at", "id"
        ),
    )
    large: ClassVar = {"template_variables": VARIABLES_LIMIT_BYTES}
    access = Access(read=AnyOf(Member("organization_id"), Admin()), service=("SELECT",))
    lifecycle = Lifecycle(
        "status",
        WorkflowStatus,
        initial=(WorkflowStatus.DRAFT,),
        transitions={
            WorkflowStatus.DRAFT: (WorkflowStatus.ACTIVE, WorkflowStatus.ARCHIVED),
            WorkflowStatus.ACTIVE: (WorkflowStatus.ARCHIVED,),
            WorkflowStatus.ARCHIVED: (WorkflowStatus.DRAFT, WorkflowStatus.ACTIVE),
        },
    )
    on_erase = Keep("The organization's; it goes with it.", ())
    export = NotExported("The organization's.")
    quota = Bound("An organization has at most 1,000, or what its plan allows.")


class WorkflowVersion(Base):
    """A definition of a workflow; the same definition is the same version, by its hash.

    `hash` is the SHA-256 of the definition's canonical JSON, in hexadecimal digits. One version of
    a workflow is current: the one that calls begin with.
    """

    __tablename__ = "workflow_versions"

    id: Mapped[UuidKey]
    workflow_id: Mapped[UUID] = mapped_column(ForeignKey("workflows.id", ondelete="CASCADE"))
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    number: Mapped[int]
    hash: Mapped[str]
    definition: Mapped[Json]
    is_current: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("hash ~ '^[0-9a-f]{64}$'", name="hash"),
        CheckConstraint("number > 0", name="number"),
        Index("uq_workflow_versions_hash", "workflow_id", "hash", unique=True),
        Index("uq_workflow_versions_number", "workflow_id", "number", unique=True),
        Index(
            "uq_workflow_versions_current",
            "workflow_id",
            unique=True,
            postgresql_where=text("is_current"),
        ),
        Index("ix_workflow_versions_organization_id", "organization_id"),
    )
    large: ClassVar = {"definition": DEFINITION_LIMIT_BYTES}
    access = Access(read=AnyOf(Member("organization_id"), Admin()), service=("SELECT",))
    on_erase = Keep("The organization's; it goes with it.", ())
    export = NotExported("The organization's.")
    quota = Bound("A workflow has at most 100.")
