"""runs_and_campaigns"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "1052"
down_revision = "1051"
branch_labels = None
depends_on = None

# Functions that take or return rows of these tables.
OF_THEIR_TYPES = (
    "app.lock_run(uuid)",
    "app.end_contact_call(workflow_runs)",
    "app.call_contact(campaign_contacts, campaigns)",
    "app.calls_to_begin(campaigns, integer)",
    "app.fill_campaign(campaigns, integer)",
)


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
        "contact_lists",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="AWAITING", nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now() + interval '15 minutes'"),
            nullable=False,
        ),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'READY') = (path is not null)", name=op.f("ck_contact_lists_path")
        ),
        sa.CheckConstraint("status in ('AWAITING', 'READY')", name=op.f("ck_contact_lists_status")),
        sa.CheckConstraint(
            "size_bytes between 1 and 10485760", name=op.f("ck_contact_lists_size_bytes")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_contact_lists_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_lists")),
    )
    op.create_index("ix_contact_lists_created_at", "contact_lists", ["created_at"], unique=False)
    op.create_index(
        "ix_contact_lists_organization_id",
        "contact_lists",
        ["organization_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_contact_lists_path",
        "contact_lists",
        ["path"],
        unique=False,
        postgresql_where=sa.text("path is not null"),
    )
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("contact_list_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="CREATED", nullable=False),
        sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column(
            "windows",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("calls_per_second", sa.Double(), server_default=sa.text("1"), nullable=False),
        sa.Column("concurrency", sa.Integer(), server_default=sa.text("20"), nullable=False),
        sa.Column("max_retries", sa.Integer(), server_default=sa.text("2"), nullable=False),
        sa.Column(
            "retry_delay_seconds", sa.Integer(), server_default=sa.text("120"), nullable=False
        ),
        sa.Column("retry_on_busy", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "retry_on_no_answer", sa.Boolean(), server_default=sa.text("true"), nullable=False
        ),
        sa.Column(
            "retry_on_voicemail", sa.Boolean(), server_default=sa.text("true"), nullable=False
        ),
        sa.Column("contact_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("refused_row_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("call_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("processed_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("retry_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("pause_reason", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
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
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("synced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status in ('CREATED', 'SYNCING', 'RUNNING', 'PAUSED', 'COMPLETED', 'FAILED', 'CANCELLED')",
            name=op.f("ck_campaigns_status"),
        ),
        sa.CheckConstraint(
            "calls_per_second > 0 and calls_per_second <= 100",
            name=op.f("ck_campaigns_calls_per_second"),
        ),
        sa.CheckConstraint("concurrency between 1 and 1000", name=op.f("ck_campaigns_concurrency")),
        sa.CheckConstraint("length(name) between 1 and 255", name=op.f("ck_campaigns_name")),
        sa.CheckConstraint("max_retries between 0 and 10", name=op.f("ck_campaigns_max_retries")),
        sa.CheckConstraint(
            "retry_delay_seconds between 0 and 604800",
            name=op.f("ck_campaigns_retry_delay_seconds"),
        ),
        sa.ForeignKeyConstraint(
            ["contact_list_id"],
            ["contact_lists.id"],
            name=op.f("fk_campaigns_contact_list_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_campaigns_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflows.id"],
            name=op.f("fk_campaigns_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
    )
    op.create_index(
        op.f("ix_campaigns_contact_list_id"), "campaigns", ["contact_list_id"], unique=False
    )
    op.create_index(
        "ix_campaigns_organization_id",
        "campaigns",
        ["organization_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_campaigns_organization_id_status",
        "campaigns",
        ["organization_id", "status", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_campaigns_running",
        "campaigns",
        ["organization_id"],
        unique=False,
        postgresql_where=sa.text("status = 'RUNNING'"),
    )
    op.create_index(op.f("ix_campaigns_workflow_id"), "campaigns", ["workflow_id"], unique=False)
    op.create_table(
        "campaign_contacts",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("row_number", sa.Integer(), nullable=False),
        sa.Column("phone_number", sa.Text(), nullable=False),
        sa.Column(
            "variables",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("status", sa.Text(), server_default="QUEUED", nullable=False),
        sa.Column("calls", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_call_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_outcome", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status in ('QUEUED', 'CALLING', 'PROCESSED', 'FAILED', 'CANCELLED')",
            name=op.f("ck_campaign_contacts_status"),
        ),
        sa.CheckConstraint("calls >= 0", name=op.f("ck_campaign_contacts_calls")),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_campaign_contacts_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_campaign_contacts_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_contacts")),
    )
    op.create_index(
        "ix_campaign_contacts_again",
        "campaign_contacts",
        ["campaign_id", "next_call_at"],
        unique=False,
        postgresql_where=sa.text("status = 'QUEUED' and calls > 0"),
    )
    op.create_index(
        "ix_campaign_contacts_new",
        "campaign_contacts",
        ["campaign_id", "row_number"],
        unique=False,
        postgresql_where=sa.text("status = 'QUEUED' and calls = 0"),
    )
    op.create_index(
        "ix_campaign_contacts_open",
        "campaign_contacts",
        ["campaign_id"],
        unique=False,
        postgresql_where=sa.text("status in ('QUEUED', 'CALLING')"),
    )
    op.create_index(
        op.f("ix_campaign_contacts_organization_id"),
        "campaign_contacts",
        ["organization_id"],
        unique=False,
    )
    op.create_index(
        "uq_campaign_contacts_phone_number",
        "campaign_contacts",
        ["campaign_id", "phone_number"],
        unique=True,
    )
    op.create_index(
        "uq_campaign_contacts_row_number",
        "campaign_contacts",
        ["campaign_id", "row_number"],
        unique=True,
    )
    op.create_table(
        "campaign_progress",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("open_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "paced_until",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("call_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("processed_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("retry_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "shown_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_campaign_progress_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("pk_campaign_progress")),
    )
    op.create_table(
        "refused_rows",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("row_number", sa.Integer(), nullable=False),
        sa.Column("field", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_refused_rows_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_refused_rows_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused_rows")),
    )
    op.create_index(
        op.f("ix_refused_rows_organization_id"), "refused_rows", ["organization_id"], unique=False
    )
    op.create_index(
        "uq_refused_rows_row_number", "refused_rows", ["campaign_id", "row_number"], unique=True
    )
    op.create_table(
        "workflow_runs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=True),
        sa.Column("contact_id", sa.Uuid(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("retry_reason", sa.Text(), nullable=True),
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
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_workflow_runs_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["contact_id"],
            ["campaign_contacts.id"],
            name=op.f("fk_workflow_runs_contact_id"),
            ondelete="CASCADE",
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
        "ix_workflow_runs_campaign_id",
        "workflow_runs",
        ["campaign_id", "created_at", "id"],
        unique=False,
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
    op.create_index(
        "uq_workflow_runs_contact_id", "workflow_runs", ["contact_id", "attempt"], unique=True
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
    declare_access()


def declare_access() -> None:
    """Who may read what, the events and the states."""
    op.enable_row_level_security("call_lines")
    op.create_policy(
        "service_all", "call_lines", "for all to service using (true) with check (true)"
    )
    op.grant("select", "call_lines", "service")
    op.enable_row_level_security("campaign_contacts")
    op.create_policy(
        "member_select",
        "campaign_contacts",
        "for select to authenticated using (organization_id = any ((select app.organization_ids('{}'))::uuid[]) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "campaign_contacts", "for all to service using (true) with check (true)"
    )
    op.grant("select", "campaign_contacts", "service")
    op.grant(
        "select (id, campaign_id, organization_id, row_number, phone_number, variables, status, calls, next_call_at, last_outcome)",
        "campaign_contacts",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "campaign_contacts",
        "after insert",
        "for each row when ((new.status = 'QUEUED') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "campaign_contacts",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'QUEUED' and (new.status in ('CALLING', 'CANCELLED')) or old.status = 'CALLING' and (new.status in ('QUEUED', 'PROCESSED', 'FAILED', 'CANCELLED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_calls",
        "campaign_contacts",
        "after update",
        "for each row when ((new.calls >= old.calls) is not true) execute function app.refuse_transition('calls')",
    )
    op.enable_row_level_security("campaign_progress")
    op.create_policy(
        "service_all", "campaign_progress", "for all to service using (true) with check (true)"
    )
    op.grant("select", "campaign_progress", "service")
    op.enable_row_level_security("campaigns")
    op.create_policy(
        "member_select",
        "campaigns",
        "for select to authenticated using (organization_id = any ((select app.organization_ids('{}'))::uuid[]) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "campaigns", "for all to service using (true) with check (true)"
    )
    op.grant("select", "campaigns", "service")
    op.grant(
        "select (id, organization_id, workflow_id, contact_list_id, name, status, time_zone, windows, starts_at, calls_per_second, concurrency, max_retries, retry_delay_seconds, retry_on_busy, retry_on_no_answer, retry_on_voicemail, contact_count, refused_row_count, call_count, processed_count, failed_count, retry_count, pause_reason, error, created_at, updated_at, started_at, synced_at, ended_at)",
        "campaigns",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "campaigns",
        "after update",
        "for each row execute function app.record_shared_event('campaign.updated', 'id', '{}', '{}', 'organization', 'organization_id', '{}', '{}')",
    )
    op.create_trigger(
        "lifecycle_insert",
        "campaigns",
        "after insert",
        "for each row when ((new.status = 'CREATED') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "campaigns",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'CREATED' and (new.status in ('SYNCING', 'CANCELLED')) or old.status = 'SYNCING' and (new.status in ('RUNNING', 'PAUSED', 'COMPLETED', 'FAILED', 'CANCELLED')) or old.status = 'RUNNING' and (new.status in ('PAUSED', 'COMPLETED', 'CANCELLED')) or old.status = 'PAUSED' and (new.status in ('RUNNING', 'SYNCING', 'FAILED', 'CANCELLED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.enable_row_level_security("contact_lists")
    op.create_policy(
        "member_select",
        "contact_lists",
        "for select to authenticated using (organization_id = any ((select app.organization_ids('{}'))::uuid[]) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "contact_lists", "for all to service using (true) with check (true)"
    )
    op.grant("select, update, delete", "contact_lists", "service")
    op.grant(
        "select (id, organization_id, status, size_bytes, path, created_at, expires_at, received_at)",
        "contact_lists",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "contact_lists",
        "after insert",
        "for each row when ((new.status = 'AWAITING') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "contact_lists",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'AWAITING' and (new.status = 'READY')) is not true) execute function app.refuse_transition('status')",
    )
    op.enable_row_level_security("refused_rows")
    op.create_policy(
        "member_select",
        "refused_rows",
        "for select to authenticated using (organization_id = any ((select app.organization_ids('{}'))::uuid[]) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "refused_rows", "for all to service using (true) with check (true)"
    )
    op.grant("select", "refused_rows", "service")
    op.grant(
        "select (id, campaign_id, organization_id, row_number, field, message)",
        "refused_rows",
        "authenticated",
    )
    op.enable_row_level_security("simulated_calls")
    op.create_policy(
        "service_all", "simulated_calls", "for all to service using (true) with check (true)"
    )
    op.grant("select", "simulated_calls", "service")
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
        "select (id, organization_id, workflow_id, version_id, campaign_id, contact_id, attempt, retry_reason, phone_number, variables, status, provider, provider_call_id, error, duration_seconds, cost_micro_usd, usage, transcript, recording_path, created_at, dialled_at, answered_at, ended_at)",
        "workflow_runs",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "workflow_runs",
        "after insert or update",
        "for each row execute function app.record_shared_event('run.updated', 'id', '{enqueued_at,collected_at,checked_at}', '{transcript,variables}', 'organization', 'organization_id', '{}', '{}')",
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
    for function in OF_THEIR_TYPES:
        op.execute(f"drop function if exists {function}")
    op.drop_table("simulated_calls")
    op.drop_index("uq_workflow_runs_contact_id", table_name="workflow_runs")
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
    op.drop_index("ix_workflow_runs_campaign_id", table_name="workflow_runs")
    op.drop_table("workflow_runs")
    op.drop_index("uq_refused_rows_row_number", table_name="refused_rows")
    op.drop_index(op.f("ix_refused_rows_organization_id"), table_name="refused_rows")
    op.drop_table("refused_rows")
    op.drop_table("campaign_progress")
    op.drop_index("uq_campaign_contacts_row_number", table_name="campaign_contacts")
    op.drop_index("uq_campaign_contacts_phone_number", table_name="campaign_contacts")
    op.drop_index(op.f("ix_campaign_contacts_organization_id"), table_name="campaign_contacts")
    op.drop_index(
        "ix_campaign_contacts_open",
        table_name="campaign_contacts",
        postgresql_where=sa.text("status in ('QUEUED', 'CALLING')"),
    )
    op.drop_index(
        "ix_campaign_contacts_new",
        table_name="campaign_contacts",
        postgresql_where=sa.text("status = 'QUEUED' and calls = 0"),
    )
    op.drop_index(
        "ix_campaign_contacts_again",
        table_name="campaign_contacts",
        postgresql_where=sa.text("status = 'QUEUED' and calls > 0"),
    )
    op.drop_table("campaign_contacts")
    op.drop_index(op.f("ix_campaigns_workflow_id"), table_name="campaigns")
    op.drop_index(
        "ix_campaigns_running",
        table_name="campaigns",
        postgresql_where=sa.text("status = 'RUNNING'"),
    )
    op.drop_index("ix_campaigns_organization_id_status", table_name="campaigns")
    op.drop_index("ix_campaigns_organization_id", table_name="campaigns")
    op.drop_index(op.f("ix_campaigns_contact_list_id"), table_name="campaigns")
    op.drop_table("campaigns")
    op.drop_index(
        "ix_contact_lists_path",
        table_name="contact_lists",
        postgresql_where=sa.text("path is not null"),
    )
    op.drop_index("ix_contact_lists_organization_id", table_name="contact_lists")
    op.drop_index("ix_contact_lists_created_at", table_name="contact_lists")
    op.drop_table("contact_lists")
    op.drop_table("call_lines")
