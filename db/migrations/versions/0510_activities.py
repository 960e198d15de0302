"""Activities that players are given, and what an AI was asked for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0510"
down_revision = "0470"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "activities",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("intensity", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("themes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("audience", sa.Text(), server_default="ALL", nullable=False),
        sa.Column(
            "limit_keys", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column(
            "needs_anatomy_active",
            sa.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column(
            "needs_anatomy_partner",
            sa.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("power_role", sa.Text(), server_default="NEUTRAL", nullable=False),
        sa.Column(
            "preference_keys", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("domains", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("shuffle", sa.Double(), server_default=sa.text("random()"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("edited", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.CheckConstraint(
            "(source = 'AI') = (session_id is not null)", name=op.f("ck_activities_session")
        ),
        sa.CheckConstraint(
            "audience in ('COUPLES', 'GROUPS', 'ALL')", name=op.f("ck_activities_audience")
        ),
        sa.CheckConstraint(
            "domains <@ array['SENSATION', 'POWER', 'CONNECTION', 'EXPLORATION', 'VERBAL']",
            name=op.f("ck_activities_domains"),
        ),
        sa.CheckConstraint("id ~ '^[0-9a-f]{64}$'", name=op.f("ck_activities_id")),
        sa.CheckConstraint("kind in ('TRUTH', 'DARE')", name=op.f("ck_activities_kind")),
        sa.CheckConstraint("level in ('G', 'R', 'X')", name=op.f("ck_activities_level")),
        sa.CheckConstraint(
            "limit_keys <@ array['impact', 'restraint', 'breath', 'degradation', 'public', 'recording', 'anal', 'watersports']",
            name=op.f("ck_activities_limit_keys"),
        ),
        sa.CheckConstraint(
            "needs_anatomy_active <@ array['penis', 'vagina', 'breasts'] and needs_anatomy_partner <@ array['penis', 'vagina', 'breasts']",
            name=op.f("ck_activities_anatomy"),
        ),
        sa.CheckConstraint(
            "power_role in ('NEUTRAL', 'TOP', 'BOTTOM', 'SWITCH')",
            name=op.f("ck_activities_power_role"),
        ),
        sa.CheckConstraint(
            "source in ('BUNDLED', 'IMPORTED', 'ADMIN', 'AI')", name=op.f("ck_activities_source")
        ),
        sa.CheckConstraint(
            "cardinality(preference_keys) <= 20", name=op.f("ck_activities_preference_keys")
        ),
        sa.CheckConstraint(
            "cardinality(themes) between 1 and 10", name=op.f("ck_activities_themes")
        ),
        sa.CheckConstraint("intensity between 1 and 5", name=op.f("ck_activities_intensity")),
        sa.CheckConstraint("length(text) between 1 and 1000", name=op.f("ck_activities_text")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activities")),
    )
    op.create_index("ix_activities_created_at_id", "activities", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_activities_drawing",
        "activities",
        ["kind", "level", "shuffle"],
        unique=False,
        postgresql_where=sa.text("is_active and session_id is null"),
    )
    op.create_index(
        "ix_activities_made_at",
        "activities",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("session_id is not null"),
    )
    op.create_index(
        "ix_activities_session_id",
        "activities",
        ["session_id", "kind"],
        unique=False,
        postgresql_where=sa.text("session_id is not null"),
    )
    op.create_table(
        "activity_generation_logs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("approved_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("refused_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "reasons",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
        sa.Column("duration_milliseconds", sa.Integer(), nullable=False),
        sa.Column(
            "usage",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("cost_micro_usd", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "level in ('G', 'R', 'X')", name=op.f("ck_activity_generation_logs_level")
        ),
        sa.CheckConstraint(
            "outcome in ('ANSWERED', 'FAILED', 'REFUSED', 'TIMED_OUT')",
            name=op.f("ck_activity_generation_logs_outcome"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity_generation_logs")),
    )
    op.create_index(
        "ix_activity_generation_logs_created_at_id",
        "activity_generation_logs",
        ["created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_activity_generation_logs_session_id",
        "activity_generation_logs",
        ["session_id"],
        unique=False,
    )
    op.enable_row_level_security("activities")
    op.create_policy(
        "admin_select",
        "activities",
        "for select to authenticated using (exists (select from users admins where admins.id = (select app.user_id()) and admins.role = 'admin'))",
    )
    op.create_policy(
        "service_all", "activities", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, update, delete", "activities", "service")
    op.grant(
        "select (id, kind, level, intensity, text, themes, audience, limit_keys, needs_anatomy_active, needs_anatomy_partner, power_role, preference_keys, domains, source, is_active, created_at)",
        "activities",
        "authenticated",
    )
    op.enable_row_level_security("activity_generation_logs")
    op.create_policy(
        "admin_select",
        "activity_generation_logs",
        "for select to authenticated using (exists (select from users admins where admins.id = (select app.user_id()) and admins.role = 'admin'))",
    )
    op.create_policy(
        "service_all",
        "activity_generation_logs",
        "for all to service using (true) with check (true)",
    )
    op.grant("select, insert, delete", "activity_generation_logs", "service")
    op.grant(
        "select (id, provider, model, level, prompt, answer, outcome, approved_count, refused_count, reasons, duration_milliseconds, usage, cost_micro_usd, created_at)",
        "activity_generation_logs",
        "authenticated",
    )


def downgrade() -> None:
    op.drop_index("ix_activity_generation_logs_session_id", table_name="activity_generation_logs")
    op.drop_index(
        "ix_activity_generation_logs_created_at_id", table_name="activity_generation_logs"
    )
    op.drop_table("activity_generation_logs")
    op.drop_index(
        "ix_activities_session_id",
        table_name="activities",
        postgresql_where=sa.text("session_id is not null"),
    )
    op.drop_index(
        "ix_activities_made_at",
        table_name="activities",
        postgresql_where=sa.text("session_id is not null"),
    )
    op.drop_index(
        "ix_activities_drawing",
        table_name="activities",
        postgresql_where=sa.text("is_active and session_id is null"),
    )
    op.drop_index("ix_activities_created_at_id", table_name="activities")
    op.drop_table("activities")
