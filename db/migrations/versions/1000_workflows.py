"""workflows"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "1000"
down_revision = "0975"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workflows",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="DRAFT", nullable=False),
        sa.Column(
            "template_variables",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status <> 'ACTIVE' or published_at is not null", name=op.f("ck_workflows_published_at")
        ),
        sa.CheckConstraint(
            "status in ('DRAFT', 'ACTIVE', 'ARCHIVED')", name=op.f("ck_workflows_status")
        ),
        sa.CheckConstraint("length(name) between 1 and 100", name=op.f("ck_workflows_name")),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_workflows_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflows")),
    )
    op.create_index(
        "ix_workflows_organization_id",
        "workflows",
        ["organization_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_workflows_organization_id_status",
        "workflows",
        ["organization_id", "status", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "workflow_versions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("is_current", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("hash ~ '^[0-9a-f]{64}$'", name=op.f("ck_workflow_versions_hash")),
        sa.CheckConstraint("number > 0", name=op.f("ck_workflow_versions_number")),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_workflow_versions_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflows.id"],
            name=op.f("fk_workflow_versions_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_versions")),
    )
    op.create_index(
        "ix_workflow_versions_organization_id",
        "workflow_versions",
        ["organization_id"],
        unique=False,
    )
    op.create_index(
        "uq_workflow_versions_current",
        "workflow_versions",
        ["workflow_id"],
        unique=True,
        postgresql_where=sa.text("is_current"),
    )
    op.create_index(
        "uq_workflow_versions_hash", "workflow_versions", ["workflow_id", "hash"], unique=True
    )
    op.create_index(
        "uq_workflow_versions_number", "workflow_versions", ["workflow_id", "number"], unique=True
    )
    op.enable_row_level_security("workflow_versions")
    op.create_policy(
        "member_select",
        "workflow_versions",
        "for select to authenticated using (organization_id = any ((select app.organization_ids('{}'))::uuid[]) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "workflow_versions", "for all to service using (true) with check (true)"
    )
    op.grant("select", "workflow_versions", "service")
    op.grant(
        "select (id, workflow_id, organization_id, number, hash, definition, is_current, created_at)",
        "workflow_versions",
        "authenticated",
    )
    op.enable_row_level_security("workflows")
    op.create_policy(
        "member_select",
        "workflows",
        "for select to authenticated using (organization_id = any ((select app.organization_ids('{}'))::uuid[]) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "workflows", "for all to service using (true) with check (true)"
    )
    op.grant("select", "workflows", "service")
    op.grant(
        "select (id, organization_id, name, status, template_variables, created_at, updated_at, published_at)",
        "workflows",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "workflows",
        "after insert",
        "for each row when ((new.status = 'DRAFT') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "workflows",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'DRAFT' and (new.status in ('ACTIVE', 'ARCHIVED')) or old.status = 'ACTIVE' and (new.status = 'ARCHIVED') or old.status = 'ARCHIVED' and (new.status in ('DRAFT', 'ACTIVE'))) is not true) execute function app.refuse_transition('status')",
    )


def downgrade() -> None:
    # Its type is the table's.
    op.execute("drop function if exists app.enter_workflow(uuid, text)")
    op.drop_index("uq_workflow_versions_number", table_name="workflow_versions")
    op.drop_index("uq_workflow_versions_hash", table_name="workflow_versions")
    op.drop_index(
        "uq_workflow_versions_current",
        table_name="workflow_versions",
        postgresql_where=sa.text("is_current"),
    )
    op.drop_index("ix_workflow_versions_organization_id", table_name="workflow_versions")
    op.drop_table("workflow_versions")
    op.drop_index("ix_workflows_organization_id_status", table_name="workflows")
    op.drop_index("ix_workflows_organization_id", table_name="workflows")
    op.drop_table("workflows")
