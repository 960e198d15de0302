"""Coaching sessions, more of what users say of themselves, and the purchase that a referral counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import drop_table_cascade

revision = "1060"
down_revision = "1051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_trigger("lifecycle_update", "referrals")
    op.drop_check("ck_referrals_status", "referrals")
    op.create_table(
        "coaching_sessions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column(
            "upload_ids",
            postgresql.ARRAY(sa.Uuid()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("match_analysis", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "suggested_responses",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
        sa.Column("actual_response", sa.Text(), nullable=True),
        sa.Column("response_score", sa.Integer(), nullable=True),
        sa.Column("score_explanation", sa.Text(), nullable=True),
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
        sa.Column(
            "stored_bytes",
            sa.Integer(),
            sa.Computed(
                "64 + coalesce(octet_length(match_analysis::text), 0) + octet_length(suggested_responses::text) + coalesce(octet_length(actual_response), 0) + coalesce(octet_length(score_explanation), 0)",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.CheckConstraint(
            "cardinality(upload_ids) <= 10", name=op.f("ck_coaching_sessions_uploads")
        ),
        sa.CheckConstraint("isfinite(created_at)", name=op.f("ck_coaching_sessions_created_at")),
        sa.CheckConstraint(
            "length(actual_response) <= 8000 and length(score_explanation) <= 8000",
            name=op.f("ck_coaching_sessions_texts"),
        ),
        sa.CheckConstraint(
            "length(client_id) between 1 and 64", name=op.f("ck_coaching_sessions_client_id")
        ),
        sa.CheckConstraint(
            "response_score between 1 and 10", name=op.f("ck_coaching_sessions_response_score")
        ),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["profiles.id"],
            name=op.f("fk_coaching_sessions_profile_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_coaching_sessions_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coaching_sessions")),
        sa.UniqueConstraint(
            "user_id", "client_id", name=op.f("uq_coaching_sessions_user_id_client_id")
        ),
    )
    op.create_index(
        "ix_coaching_sessions_profile_id_created_at_id",
        "coaching_sessions",
        ["profile_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_coaching_sessions_user_id_created_at_id",
        "coaching_sessions",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.add_column("referrals", sa.Column("order_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_referrals_order_id",
        "referrals",
        ["order_id"],
        unique=False,
        postgresql_where=sa.text("order_id is not null"),
    )
    op.create_foreign_key(
        op.f("fk_referrals_order_id"),
        "referrals",
        "orders",
        ["order_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.add_column(
        "user_profiles",
        sa.Column("dating_goals", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    )
    op.add_column(
        "user_profiles",
        sa.Column(
            "data_exports",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
    )
    op.add_column(
        "user_profiles",
        sa.Column(
            "text_inputs",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
    )
    op.add_column(
        "user_profiles",
        sa.Column("video_analysis", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    )
    op.add_column(
        "user_profiles",
        sa.Column("manual_entry", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    )
    op.add_column(
        "user_profiles",
        sa.Column(
            "settings",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )
    op.add_column(
        "user_profiles",
        sa.Column(
            "insight_feedback",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
    )
    op.enable_row_level_security("coaching_sessions")
    op.create_policy(
        "owner_select",
        "coaching_sessions",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "owner_update",
        "coaching_sessions",
        "for update to authenticated using (user_id = (select app.user_id())) with check (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "owner_delete",
        "coaching_sessions",
        "for delete to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "coaching_sessions", "for all to service using (true) with check (true)"
    )
    # The purge of months that are over stopped here, and all that it comes to later.
    op.grant("delete", "organization_usage", "service")
    op.grant("delete", "coaching_sessions", "authenticated")
    op.grant("select", "coaching_sessions", "service")
    op.grant(
        "select (id, user_id, profile_id, client_id, upload_ids, match_analysis, suggested_responses, actual_response, response_score, score_explanation, created_at, updated_at, stored_bytes), update (match_analysis, suggested_responses, actual_response, response_score, score_explanation, updated_at)",
        "coaching_sessions",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "coaching_sessions",
        "after insert or update or delete",
        "for each row execute function app.record_event('coaching_sessions.changed', 'id', '{}', '{match_analysis,suggested_responses}', 'user_id')",
    )
    op.create_trigger(
        "count_insert",
        "coaching_sessions",
        "after insert",
        "for each row execute function app.count_use('REFUSE', 'deleteCoachingSession')",
    )
    op.create_trigger(
        "count_update",
        "coaching_sessions",
        "after update",
        "for each row when (old.stored_bytes <> new.stored_bytes) execute function app.count_use('REFUSE', 'deleteCoachingSession')",
    )
    op.create_trigger(
        "count_delete",
        "coaching_sessions",
        "after delete",
        "referencing old table as old_rows for each statement execute function app.count_deleted()",
    )
    op.add_check(
        "ck_referrals_status",
        "referrals",
        "(status in ('PENDING', 'REWARDED', 'TAKEN_BACK', 'REFUSED', 'LAPSED'))",
    )
    op.create_trigger(
        "lifecycle_update",
        "referrals",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'PENDING' and (new.status in ('REWARDED', 'REFUSED', 'LAPSED')) or old.status = 'REWARDED' and (new.status = 'TAKEN_BACK')) is not true) execute function app.refuse_transition('status')",
    )
    op.grant(
        "select (dating_goals, data_exports, text_inputs, video_analysis, manual_entry, settings, insight_feedback)",
        "user_profiles",
        "authenticated",
    )


def downgrade() -> None:
    op.revoke("delete", "organization_usage", "service")
    op.drop_trigger("lifecycle_update", "referrals")
    op.drop_check("ck_referrals_status", "referrals")
    op.drop_column("user_profiles", "insight_feedback")
    op.drop_column("user_profiles", "settings")
    op.drop_column("user_profiles", "manual_entry")
    op.drop_column("user_profiles", "video_analysis")
    op.drop_column("user_profiles", "text_inputs")
    op.drop_column("user_profiles", "data_exports")
    op.drop_column("user_profiles", "dating_goals")
    op.drop_constraint(op.f("fk_referrals_order_id"), "referrals", type_="foreignkey")
    op.drop_index(
        "ix_referrals_order_id",
        table_name="referrals",
        postgresql_where=sa.text("order_id is not null"),
    )
    op.drop_column("referrals", "order_id")
    drop_table_cascade("coaching_sessions")
    op.execute("update referrals set status = 'REWARDED' where status = 'TAKEN_BACK'")
    op.add_check(
        "ck_referrals_status",
        "referrals",
        "((status = ANY (ARRAY['PENDING'::text, 'REWARDED'::text, 'REFUSED'::text, 'LAPSED'::text])))",
    )
    op.create_trigger(
        "lifecycle_update",
        "referrals",
        "AFTER UPDATE",
        "FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status AND (old.status = 'PENDING'::text AND (new.status = ANY (ARRAY['REWARDED'::text, 'REFUSED'::text, 'LAPSED'::text]))) IS NOT TRUE) EXECUTE FUNCTION app.refuse_transition('status')",
    )
