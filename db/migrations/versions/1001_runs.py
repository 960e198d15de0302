"""runs"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "1001"
down_revision = "1000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "call_lines",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("at_once", sa.Integer(), server_default=sa.text("20"), nullable=False),
        sa.CheckConstraint("at_once between 1 and 1000", name=op.f("ck_call_lines_at_once")),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_call_lines_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("pk_call_lines")),
    )
    op.create_table(
        "workflow_runs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("phone_number", sa.Text(), nullable=False),
        sa.Column(
            "variables",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("status", sa.Text(), server_default="QUEUED", nullable=False),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("provider_call_id", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("duration_seconds", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cost_micro_usd", sa.BigInteger(), nullable=True),
        sa.Column(
            "usage",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("transcript", sa.Text(), nullable=True),
        sa.Column("recording_path", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("enqueued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dialled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("collected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status in ('COMPLETED', 'VOICEMAIL', 'BUSY', 'NO_ANSWER', 'FAILED', 'CANCELLED')) = (ended_at is not null)",
            name=op.f("ck_workflow_runs_ended_at"),
        ),
        sa.CheckConstraint(
            "phone_number ~ '^\\+[1-9][0-9]{6,14}$'", name=op.f("ck_workflow_runs_phone_number")
        ),
        sa.CheckConstraint(
            "status in ('QUEUED', 'DIALLING', 'RINGING', 'IN_PROGRESS', 'COMPLETED', 'VOICEMAIL', 'BUSY', 'NO_ANSWER', 'FAILED', 'CANCELLED')",
            name=op.f("ck_workflow_runs_status"),
        ),
        sa.CheckConstraint(
            "duration_seconds >= 0 and cost_micro_usd >= 0", name=op.f("ck_workflow_runs_figures")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_workflow_runs_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["workflow_versions.id"],
            name=op.f("fk_workflow_runs_version_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflows.id"],
            name=op.f("fk_workflow_runs_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_runs")),
    )
    op.create_index(
        "ix_workflow_runs_live",
        "workflow_runs",
        ["organization_id", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("status in ('QUEUED', 'DIALLING', 'RINGING', 'IN_PROGRESS')"),
    )
    op.create_index(
        "ix_workflow_runs_organization_id",
        "workflow_runs",
        ["organization_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_workflow_runs_provider_call_id", "workflow_runs", ["provider_call_id"], unique=False
    )
    op.create_index(
        "ix_workflow_runs_recording_path",
        "workflow_runs",
        ["recording_path"],
        unique=False,
        postgresql_where=sa.text("recording_path is not null"),
    )
    op.create_index(
        op.f("ix_workflow_runs_version_id"), "workflow_runs", ["version_id"], unique=False
    )
    op.create_index(
        "ix_workflow_runs_workflow_id",
        "workflow_runs",
        ["workflow_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_workflow_runs_workflow_id_status",
        "workflow_runs",
        ["workflow_id", "status", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "simulated_calls",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("dials", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("plan", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "placed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["workflow_runs.id"],
            name=op.f("fk_simulated_calls_run_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_simulated_calls")),
    )
    op.enable_row_level_security("call_lines")
    op.create_policy(
        "service_all", "call_lines", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, update", "call_lines", "service")
    op.enable_row_level_security("simulated_calls")
    op.create_policy(
        "service_all", "simulated_calls", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, update", "simulated_calls", "service")
    op.enable_row_level_security("workflow_runs")
    op.create_policy(
        "member_select",
        "workflow_runs",
        "for select to authenticated using (organization_id = any ((select app.organization_ids('{}'))::uuid[]) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "workflow_runs", "for all to service using (true) with check (true)"
    )
    op.grant("select", "workflow_runs", "service")
    op.grant(
        "select (id, organization_id, workflow_id, version_id, phone_number, variables, status, provider, provider_call_id, error, duration_seconds, cost_micro_usd, usage, transcript, recording_path, created_at, dialled_at, answered_at, ended_at)",
        "workflow_runs",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "workflow_runs",
        "after insert or update",
        "for each row execute function app.record_shared_event('run.updated', 'id', '{enqueued_at,collected_at,checked_at}', '{transcript}', 'organization', 'organization_id', '{}', '{}')",
    )
    op.create_trigger(
        "lifecycle_insert",
        "workflow_runs",
        "after insert",
        "for each row when ((new.status = 'QUEUED') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "workflow_runs",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'QUEUED' and (new.status in ('DIALLING', 'FAILED', 'CANCELLED')) or old.status = 'DIALLING' and (new.status in ('RINGING', 'IN_PROGRESS', 'COMPLETED', 'VOICEMAIL', 'BUSY', 'NO_ANSWER', 'FAILED', 'CANCELLED')) or old.status = 'RINGING' and (new.status in ('IN_PROGRESS', 'COMPLETED', 'VOICEMAIL', 'BUSY', 'NO_ANSWER', 'FAILED', 'CANCELLED')) or old.status = 'IN_PROGRESS' and (new.status in ('COMPLETED', 'VOICEMAIL', 'FAILED', 'CANCELLED'))) is not true) execute function app.refuse_transition('status')",
    )


def downgrade() -> None:
    # Its type is the table's.
    op.execute("drop function if exists app.lock_run(uuid)")
    op.drop_table("simulated_calls")
    op.drop_index("ix_workflow_runs_workflow_id_status", table_name="workflow_runs")
    op.drop_index("ix_workflow_runs_workflow_id", table_name="workflow_runs")
    op.drop_index(op.f("ix_workflow_runs_version_id"), table_name="workflow_runs")
    op.drop_index(
        "ix_workflow_runs_recording_path",
        table_name="workflow_runs",
        postgresql_where=sa.text("recording_path is not null"),
    )
    op.drop_index("ix_workflow_runs_provider_call_id", table_name="workflow_runs")
    op.drop_index("ix_workflow_runs_organization_id", table_name="workflow_runs")
    op.drop_index(
        "ix_workflow_runs_live",
        table_name="workflow_runs",
        postgresql_where=sa.text("status in ('QUEUED', 'DIALLING', 'RINGING', 'IN_PROGRESS')"),
    )
    op.drop_table("workflow_runs")
    op.drop_table("call_lines")
