"""Chats about profiles and analyses of them: runs of language models, their budgets and logs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0750"
down_revision = "0745"
branch_labels = None
depends_on = None

# Functions of rows, which go before their tables.
OF_ROWS = (
    "app.check_ai_budget(uuid, ai_budgets)",
    "app.ai_budget(uuid, text)",
    "app.show_chat_reply(ai_runs, text, boolean, text, text)",
    "app.show_analysis(ai_runs, jsonb, boolean, text, text)",
    "app.show_ai_run(ai_runs, text, jsonb, boolean, text, text)",
    "app.settle_ai_hold(ai_runs, integer)",
    "app.log_ai_attempt(ai_runs, integer, text, text, integer, integer, jsonb, integer, text)",
    "app.call_off_ai_run(ai_runs, integer)",
    "app.lock_ai_run(uuid)",
)


def upgrade() -> None:
    _create_runs()
    _create_messages()
    _create_analyses()
    _protect_runs()
    _protect_messages()
    _protect_analyses()
    # What holds until an operator says otherwise.
    op.execute(
        "insert into ai_budgets"
        " (feature, max_output_tokens, context_tokens, daily_tokens, credits, tokens_per_credit)"
        " values ('CHAT', 1024, 8000, 200000, 2, 2000), ('ANALYSIS', 8000, 8000, 400000, 1, null)"
    )


def _create_runs() -> None:
    op.create_table(
        "ai_budgets",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("max_output_tokens", sa.Integer(), nullable=False),
        sa.Column("context_tokens", sa.Integer(), nullable=False),
        sa.Column("daily_tokens", sa.Integer(), nullable=False),
        sa.Column("credits", sa.Integer(), nullable=False),
        sa.Column("tokens_per_credit", sa.Integer(), nullable=True),
        sa.CheckConstraint("feature in ('CHAT', 'ANALYSIS')", name=op.f("ck_ai_budgets_feature")),
        sa.CheckConstraint(
            "model ~ '^[A-Za-z0-9][A-Za-z0-9._-]*$'", name=op.f("ck_ai_budgets_model")
        ),
        sa.CheckConstraint(
            "context_tokens between 256 and 200000", name=op.f("ck_ai_budgets_context_tokens")
        ),
        sa.CheckConstraint("credits between 0 and 1000", name=op.f("ck_ai_budgets_credits")),
        sa.CheckConstraint("daily_tokens >= 0", name=op.f("ck_ai_budgets_daily_tokens")),
        sa.CheckConstraint(
            "max_output_tokens between 16 and 32000", name=op.f("ck_ai_budgets_max_output_tokens")
        ),
        sa.CheckConstraint("tokens_per_credit > 0", name=op.f("ck_ai_budgets_tokens_per_credit")),
        sa.ForeignKeyConstraint(
            ["plan_id"], ["plans.id"], name=op.f("fk_ai_budgets_plan_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ai_budgets")),
    )
    op.create_index(op.f("ix_ai_budgets_plan_id"), "ai_budgets", ["plan_id"], unique=False)
    op.create_index(
        "uq_ai_budgets_feature_plan_id",
        "ai_budgets",
        ["feature", "plan_id"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "ai_request_logs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("latency_milliseconds", sa.Integer(), nullable=False),
        sa.Column("first_milliseconds", sa.Integer(), nullable=True),
        sa.Column(
            "usage",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("cost_micro_usd", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "feature in ('CHAT', 'ANALYSIS')", name=op.f("ck_ai_request_logs_feature")
        ),
        sa.CheckConstraint(
            "outcome in ('SUCCEEDED', 'REFUSED', 'FAILED', 'TIMED_OUT', 'CANCELLED', 'DISCARDED', 'ABANDONED')",
            name=op.f("ck_ai_request_logs_outcome"),
        ),
        sa.CheckConstraint(
            "latency_milliseconds >= 0 and cost_micro_usd >= 0",
            name=op.f("ck_ai_request_logs_figures"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_ai_request_logs_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ai_request_logs")),
    )
    op.create_index(
        "ix_ai_request_logs_created_at_id", "ai_request_logs", ["created_at", "id"], unique=False
    )
    op.create_index(
        "ix_ai_request_logs_user_id", "ai_request_logs", ["user_id", "created_at"], unique=False
    )
    op.create_index(
        "uq_ai_request_logs_attempt", "ai_request_logs", ["run_id", "attempt"], unique=True
    )
    op.create_table(
        "ai_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="QUEUED", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("hold_id", sa.Uuid(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("max_output_tokens", sa.Integer(), nullable=False),
        sa.Column("context_tokens", sa.Integer(), nullable=False),
        sa.Column("tokens_per_credit", sa.Integer(), nullable=True),
        sa.Column("tokens", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("credits_charged", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("feature in ('CHAT', 'ANALYSIS')", name=op.f("ck_ai_runs_feature")),
        sa.CheckConstraint(
            "status in ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')",
            name=op.f("ck_ai_runs_status"),
        ),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_ai_runs_attempts")),
        sa.CheckConstraint("tokens >= 0 and credits_charged >= 0", name=op.f("ck_ai_runs_figures")),
        sa.ForeignKeyConstraint(["hold_id"], ["credit_holds.id"], name=op.f("fk_ai_runs_hold_id")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_ai_runs_user_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ai_runs")),
    )
    op.create_index("ix_ai_runs_finished_at", "ai_runs", ["finished_at"], unique=False)
    op.create_index(op.f("ix_ai_runs_hold_id"), "ai_runs", ["hold_id"], unique=False)
    op.create_index(
        "ix_ai_runs_unfinished",
        "ai_runs",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status in ('QUEUED', 'RUNNING')"),
    )
    op.create_index(
        "ix_ai_runs_user_id_feature_created_at",
        "ai_runs",
        ["user_id", "feature", "created_at"],
        unique=False,
    )


def _create_messages() -> None:
    op.create_table(
        "chat_messages",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("question_id", sa.Uuid(), nullable=True),
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="SUCCEEDED", nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.Column("credits_charged", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("made_offline", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "stored_bytes",
            sa.Integer(),
            sa.Computed(
                "octet_length(text) + octet_length(coalesce(client_id, '')) + 64", persisted=True
            ),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status = 'FAILED') = (error_code is not null)", name=op.f("ck_chat_messages_error")
        ),
        sa.CheckConstraint("role in ('USER', 'ASSISTANT')", name=op.f("ck_chat_messages_role")),
        sa.CheckConstraint(
            "status = 'SUCCEEDED' or role = 'ASSISTANT'", name=op.f("ck_chat_messages_reply")
        ),
        sa.CheckConstraint(
            "status in ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')",
            name=op.f("ck_chat_messages_status"),
        ),
        sa.CheckConstraint("credits_charged >= 0", name=op.f("ck_chat_messages_credits_charged")),
        sa.CheckConstraint(
            "length(client_id) between 1 and 64", name=op.f("ck_chat_messages_client_id")
        ),
        sa.CheckConstraint("octet_length(text) <= 131072", name=op.f("ck_chat_messages_text")),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["profiles.id"],
            name=op.f("fk_chat_messages_profile_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["question_id"],
            ["chat_messages.id"],
            name=op.f("fk_chat_messages_question_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_chat_messages_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat_messages")),
    )
    op.create_index(
        "ix_chat_messages_profile_id_created_at_id",
        "chat_messages",
        ["profile_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_chat_messages_question_id"), "chat_messages", ["question_id"], unique=False
    )
    op.create_index(
        "ix_chat_messages_user_id_created_at_id",
        "chat_messages",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_chat_messages_profile_id_client_id",
        "chat_messages",
        ["profile_id", "client_id"],
        unique=True,
    )
    op.create_index(
        "uq_chat_messages_unfinished",
        "chat_messages",
        ["profile_id"],
        unique=True,
        postgresql_where=sa.text("status in ('QUEUED', 'RUNNING')"),
    )
    op.create_table(
        "chat_chunks",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["chat_messages.id"],
            name=op.f("fk_chat_chunks_message_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_chat_chunks_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("message_id", "number", name=op.f("pk_chat_chunks")),
    )
    op.create_index(op.f("ix_chat_chunks_user_id"), "chat_chunks", ["user_id"], unique=False)


def _create_analyses() -> None:
    op.create_table(
        "profile_analyses",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="QUEUED", nullable=False),
        sa.Column(
            "result", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("credits_charged", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("made_offline", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "stored_bytes",
            sa.Integer(),
            sa.Computed("64 + coalesce(octet_length(result::text), 0)", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status = 'FAILED') = (error_code is not null)", name=op.f("ck_profile_analyses_error")
        ),
        sa.CheckConstraint(
            "(status = 'SUCCEEDED') = (result is not null)", name=op.f("ck_profile_analyses_result")
        ),
        sa.CheckConstraint(
            "status in ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')",
            name=op.f("ck_profile_analyses_status"),
        ),
        sa.CheckConstraint(
            "credits_charged >= 0", name=op.f("ck_profile_analyses_credits_charged")
        ),
        sa.CheckConstraint(
            "octet_length(result::text) <= 131072", name=op.f("ck_profile_analyses_result_size")
        ),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["profiles.id"],
            name=op.f("fk_profile_analyses_profile_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_profile_analyses_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profile_analyses")),
    )
    op.create_index(
        "ix_profile_analyses_profile_id_created_at_id",
        "profile_analyses",
        ["profile_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_profile_analyses_user_id_created_at_id",
        "profile_analyses",
        ["user_id", "created_at", "id"],
        unique=False,
    )


def _protect_runs() -> None:
    op.enable_row_level_security("ai_budgets")
    op.create_policy(
        "service_all", "ai_budgets", "for all to service using (true) with check (true)"
    )
    op.grant("select", "ai_budgets", "service")
    op.enable_row_level_security("ai_request_logs")
    op.create_policy(
        "admin_select",
        "ai_request_logs",
        "for select to authenticated using (exists (select from users admins where admins.id = (select app.user_id()) and admins.role = 'admin'))",
    )
    op.create_policy(
        "service_all", "ai_request_logs", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "ai_request_logs", "service")
    op.grant(
        "select (id, run_id, user_id, feature, attempt, provider, outcome, latency_milliseconds, first_milliseconds, usage, cost_micro_usd, error, created_at)",
        "ai_request_logs",
        "authenticated",
    )
    op.enable_row_level_security("ai_runs")
    op.create_policy("service_all", "ai_runs", "for all to service using (true) with check (true)")
    op.grant("select, delete", "ai_runs", "service")
    op.create_trigger(
        "lifecycle_insert",
        "ai_runs",
        "after insert",
        "for each row when ((new.status = 'QUEUED') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "ai_runs",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'QUEUED' and (new.status in ('FAILED', 'CANCELLED') or new.status = 'RUNNING' and (new.attempts > old.attempts)) or old.status = 'RUNNING' and (new.status in ('SUCCEEDED', 'FAILED', 'CANCELLED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_attempts",
        "ai_runs",
        "after update",
        "for each row when ((new.attempts >= old.attempts) is not true) execute function app.refuse_transition('attempts')",
    )


def _protect_messages() -> None:
    op.enable_row_level_security("chat_chunks")
    op.create_policy(
        "owner_select",
        "chat_chunks",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "chat_chunks", "for all to service using (true) with check (true)"
    )
    op.grant("select", "chat_chunks", "service")
    op.grant("select (message_id, number, user_id, text)", "chat_chunks", "authenticated")
    op.enable_row_level_security("chat_messages")
    op.create_policy(
        "owner_select",
        "chat_messages",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "chat_messages", "for all to service using (true) with check (true)"
    )
    op.grant("select", "chat_messages", "service")
    op.grant(
        "select (id, user_id, profile_id, question_id, client_id, role, status, text, credits_charged, made_offline, error_code, error_message, created_at, finished_at, stored_bytes)",
        "chat_messages",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "chat_messages",
        "after update",
        "for each row execute function app.record_event('chat.reply', 'id', '{}', '{}', 'user_id')",
    )
    op.create_trigger(
        "count_insert",
        "chat_messages",
        "after insert",
        "for each row execute function app.count_use('REFUSE', 'deleteProfile')",
    )
    op.create_trigger(
        "count_update",
        "chat_messages",
        "after update",
        "for each row when (old.stored_bytes <> new.stored_bytes) execute function app.count_use('REFUSE', 'deleteProfile')",
    )
    op.create_trigger(
        "count_delete",
        "chat_messages",
        "after delete",
        "referencing old table as old_rows for each statement execute function app.count_deleted()",
    )
    op.create_trigger(
        "lifecycle_insert",
        "chat_messages",
        "after insert",
        "for each row when ((new.status in ('SUCCEEDED', 'QUEUED')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "chat_messages",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'QUEUED' and (new.status in ('RUNNING', 'FAILED', 'CANCELLED')) or old.status = 'RUNNING' and (new.status in ('SUCCEEDED', 'FAILED', 'CANCELLED'))) is not true) execute function app.refuse_transition('status')",
    )


def _protect_analyses() -> None:
    op.enable_row_level_security("profile_analyses")
    op.create_policy(
        "owner_select",
        "profile_analyses",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "profile_analyses", "for all to service using (true) with check (true)"
    )
    op.grant("select", "profile_analyses", "service")
    op.grant(
        "select (id, user_id, profile_id, status, result, credits_charged, made_offline, error_code, error_message, created_at, finished_at, stored_bytes)",
        "profile_analyses",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "profile_analyses",
        "after update",
        "for each row execute function app.record_event('profile_analysis.updated', 'id', '{}', '{result}', 'user_id')",
    )
    op.create_trigger(
        "count_insert",
        "profile_analyses",
        "after insert",
        "for each row execute function app.count_use('REFUSE', 'deleteProfile')",
    )
    op.create_trigger(
        "count_update",
        "profile_analyses",
        "after update",
        "for each row when (old.stored_bytes <> new.stored_bytes) execute function app.count_use('REFUSE', 'deleteProfile')",
    )
    op.create_trigger(
        "count_delete",
        "profile_analyses",
        "after delete",
        "referencing old table as old_rows for each statement execute function app.count_deleted()",
    )
    op.create_trigger(
        "lifecycle_insert",
        "profile_analyses",
        "after insert",
        "for each row when ((new.status = 'QUEUED') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "profile_analyses",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'QUEUED' and (new.status in ('RUNNING', 'FAILED', 'CANCELLED')) or old.status = 'RUNNING' and (new.status in ('SUCCEEDED', 'FAILED', 'CANCELLED'))) is not true) execute function app.refuse_transition('status')",
    )


def downgrade() -> None:
    for function in OF_ROWS:
        op.drop_function(function)
    op.drop_index(op.f("ix_chat_chunks_user_id"), table_name="chat_chunks")
    op.drop_table("chat_chunks")
    op.drop_index("ix_profile_analyses_user_id_created_at_id", table_name="profile_analyses")
    op.drop_index("ix_profile_analyses_profile_id_created_at_id", table_name="profile_analyses")
    op.drop_table("profile_analyses")
    op.drop_index(
        "uq_chat_messages_unfinished",
        table_name="chat_messages",
        postgresql_where=sa.text("status in ('QUEUED', 'RUNNING')"),
    )
    op.drop_index("uq_chat_messages_profile_id_client_id", table_name="chat_messages")
    op.drop_index("ix_chat_messages_user_id_created_at_id", table_name="chat_messages")
    op.drop_index(op.f("ix_chat_messages_question_id"), table_name="chat_messages")
    op.drop_index("ix_chat_messages_profile_id_created_at_id", table_name="chat_messages")
    op.drop_table("chat_messages")
    op.drop_index("ix_ai_runs_user_id_feature_created_at", table_name="ai_runs")
    op.drop_index(
        "ix_ai_runs_unfinished",
        table_name="ai_runs",
        postgresql_where=sa.text("status in ('QUEUED', 'RUNNING')"),
    )
    op.drop_index(op.f("ix_ai_runs_hold_id"), table_name="ai_runs")
    op.drop_index("ix_ai_runs_finished_at", table_name="ai_runs")
    op.drop_table("ai_runs")
    op.drop_index("uq_ai_request_logs_attempt", table_name="ai_request_logs")
    op.drop_index("ix_ai_request_logs_user_id", table_name="ai_request_logs")
    op.drop_index("ix_ai_request_logs_created_at_id", table_name="ai_request_logs")
    op.drop_table("ai_request_logs")
    op.drop_index(
        "uq_ai_budgets_feature_plan_id", table_name="ai_budgets", postgresql_nulls_not_distinct=True
    )
    op.drop_index(op.f("ix_ai_budgets_plan_id"), table_name="ai_budgets")
    op.drop_table("ai_budgets")
