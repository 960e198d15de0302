"""Compatibility of partners: scores, what they are made of, items and conflicts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0895"
down_revision = "0890"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index(
        "ix_survey_answers_current_of",
        table_name="survey_answers",
        postgresql_where=sa.text("current_of is not null"),
    )
    op.create_table(
        "compatibilities",
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("own_profile_id", sa.Uuid(), nullable=False),
        sa.Column("partner_profile_id", sa.Uuid(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "word in ('EXCEPTIONAL', 'HIGH', 'MODERATE', 'LOWER', 'CHALLENGING')",
            name=op.f("ck_compatibilities_word"),
        ),
        sa.CheckConstraint("score between 0 and 100", name=op.f("ck_compatibilities_score")),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["partners.id"],
            name=op.f("fk_compatibilities_connection_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["own_profile_id"],
            ["survey_profiles.id"],
            name=op.f("fk_compatibilities_own_profile_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["partner_id"],
            ["users.id"],
            name=op.f("fk_compatibilities_partner_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["partner_profile_id"],
            ["survey_profiles.id"],
            name=op.f("fk_compatibilities_partner_profile_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_compatibilities_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("connection_id", name=op.f("pk_compatibilities")),
    )
    op.create_index(
        op.f("ix_compatibilities_own_profile_id"),
        "compatibilities",
        ["own_profile_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_compatibilities_partner_id"), "compatibilities", ["partner_id"], unique=False
    )
    op.create_index(
        op.f("ix_compatibilities_partner_profile_id"),
        "compatibilities",
        ["partner_profile_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_compatibilities_user_id"), "compatibilities", ["user_id"], unique=False
    )
    op.create_table(
        "compatibility_conflicts",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("limit_key", sa.Text(), nullable=False),
        sa.Column("is_own", sa.Boolean(), nullable=False),
        sa.Column("item_ids", sa.ARRAY(sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["compatibilities.connection_id"],
            name=op.f("fk_compatibility_conflicts_connection_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["partner_id"],
            ["users.id"],
            name=op.f("fk_compatibility_conflicts_partner_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_compatibility_conflicts_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_compatibility_conflicts")),
    )
    op.create_index(
        op.f("ix_compatibility_conflicts_connection_id"),
        "compatibility_conflicts",
        ["connection_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_compatibility_conflicts_partner_id"),
        "compatibility_conflicts",
        ["partner_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_compatibility_conflicts_user_id"),
        "compatibility_conflicts",
        ["user_id"],
        unique=False,
    )
    op.create_table(
        "compatibility_items",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column(
            "overlap_of",
            sa.Uuid(),
            sa.Computed(
                "CASE WHEN kind = ANY (ARRAY['MUTUAL'::text, 'GROWTH'::text, 'TOPIC'::text]) THEN connection_id ELSE NULL::uuid END",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.Column(
            "overlaps_with",
            sa.Uuid(),
            sa.Computed(
                "CASE WHEN kind = ANY (ARRAY['MUTUAL'::text, 'GROWTH'::text, 'TOPIC'::text]) THEN partner_id ELSE NULL::uuid END",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.CheckConstraint(
            "kind in ('MUTUAL', 'GROWTH', 'TOPIC', 'COMPATIBLE', 'OWN_ONLY', 'PARTNER_ONLY')",
            name=op.f("ck_compatibility_items_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["compatibilities.connection_id"],
            name=op.f("fk_compatibility_items_connection_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["partner_id"],
            ["users.id"],
            name=op.f("fk_compatibility_items_partner_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_compatibility_items_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_compatibility_items")),
    )
    op.create_index(
        op.f("ix_compatibility_items_connection_id"),
        "compatibility_items",
        ["connection_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_compatibility_items_overlap_of"),
        "compatibility_items",
        ["overlap_of"],
        unique=False,
    )
    op.create_index(
        op.f("ix_compatibility_items_partner_id"),
        "compatibility_items",
        ["partner_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_compatibility_items_user_id"), "compatibility_items", ["user_id"], unique=False
    )
    op.create_table(
        "compatibility_parts",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("points", sa.Double(), nullable=True),
        sa.Column(
            "domain_of",
            sa.Uuid(),
            sa.Computed(
                "CASE WHEN kind = 'DOMAIN'::text THEN connection_id ELSE NULL::uuid END",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.Column("sort_order", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "kind in ('TOTAL', 'DOMAIN', 'SECTION')", name=op.f("ck_compatibility_parts_kind")
        ),
        sa.CheckConstraint("score between 0 and 100", name=op.f("ck_compatibility_parts_score")),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["compatibilities.connection_id"],
            name=op.f("fk_compatibility_parts_connection_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["partner_id"],
            ["users.id"],
            name=op.f("fk_compatibility_parts_partner_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_compatibility_parts_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_compatibility_parts")),
    )
    op.create_index(
        op.f("ix_compatibility_parts_connection_id"),
        "compatibility_parts",
        ["connection_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_compatibility_parts_domain_of"), "compatibility_parts", ["domain_of"], unique=False
    )
    op.create_index(
        op.f("ix_compatibility_parts_partner_id"),
        "compatibility_parts",
        ["partner_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_compatibility_parts_user_id"), "compatibility_parts", ["user_id"], unique=False
    )
    op.add_column("partners", sa.Column("compared_at", sa.DateTime(timezone=True), nullable=True))
    op.enable_row_level_security("compatibilities")
    op.create_policy(
        "owner_select",
        "compatibilities",
        "for select to authenticated using ((user_id = (select app.user_id()) and partner_id = any ((select app.sharing_ids('{ALL,OVERLAPPING,DEMOGRAPHICS}'))::uuid[])))",
    )
    op.create_policy(
        "service_all", "compatibilities", "for all to service using (true) with check (true)"
    )
    op.grant("select", "compatibilities", "service")
    op.grant(
        "select (connection_id, user_id, partner_id, own_profile_id, partner_profile_id, score, word, created_at)",
        "compatibilities",
        "authenticated",
    )
    op.enable_row_level_security("compatibility_conflicts")
    op.create_policy(
        "service_all",
        "compatibility_conflicts",
        "for all to service using (true) with check (true)",
    )
    op.create_policy(
        "owner_select",
        "compatibility_conflicts",
        "for select to authenticated using ((user_id = (select app.user_id()) and partner_id = any ((select app.sharing_ids('{ALL,OVERLAPPING}'))::uuid[])))",
    )
    op.grant("select", "compatibility_conflicts", "service")
    op.grant(
        "select (id, connection_id, user_id, partner_id, limit_key, is_own, item_ids)",
        "compatibility_conflicts",
        "authenticated",
    )
    op.enable_row_level_security("compatibility_items")
    op.create_policy(
        "owner_select",
        "compatibility_items",
        "for select to authenticated using ((user_id = (select app.user_id()) and partner_id = any ((select app.sharing_ids('{ALL}'))::uuid[])) or (user_id = (select app.user_id()) and overlaps_with = any ((select app.sharing_ids('{OVERLAPPING}'))::uuid[])))",
    )
    op.create_policy(
        "service_all", "compatibility_items", "for all to service using (true) with check (true)"
    )
    op.grant("select", "compatibility_items", "service")
    op.grant(
        "select (id, connection_id, user_id, partner_id, kind, item_id, overlap_of, overlaps_with)",
        "compatibility_items",
        "authenticated",
    )
    op.enable_row_level_security("compatibility_parts")
    op.create_policy(
        "owner_select",
        "compatibility_parts",
        "for select to authenticated using ((user_id = (select app.user_id()) and partner_id = any ((select app.sharing_ids('{ALL,OVERLAPPING}'))::uuid[])))",
    )
    op.create_policy(
        "service_all", "compatibility_parts", "for all to service using (true) with check (true)"
    )
    op.grant("select", "compatibility_parts", "service")
    op.grant(
        "select (id, connection_id, user_id, partner_id, kind, name, score, points, domain_of, sort_order)",
        "compatibility_parts",
        "authenticated",
    )
    op.grant("select (compared_at)", "partners", "authenticated")


def downgrade() -> None:
    op.create_index(
        "ix_survey_answers_current_of",
        "survey_answers",
        ["current_of"],
        unique=False,
        postgresql_where=sa.text("current_of is not null"),
    )
    op.drop_column("partners", "compared_at")
    op.drop_index(op.f("ix_compatibility_parts_user_id"), table_name="compatibility_parts")
    op.drop_index(op.f("ix_compatibility_parts_partner_id"), table_name="compatibility_parts")
    op.drop_index(op.f("ix_compatibility_parts_domain_of"), table_name="compatibility_parts")
    op.drop_index(op.f("ix_compatibility_parts_connection_id"), table_name="compatibility_parts")
    op.drop_table("compatibility_parts")
    op.drop_index(op.f("ix_compatibility_items_user_id"), table_name="compatibility_items")
    op.drop_index(op.f("ix_compatibility_items_partner_id"), table_name="compatibility_items")
    op.drop_index(op.f("ix_compatibility_items_overlap_of"), table_name="compatibility_items")
    op.drop_index(op.f("ix_compatibility_items_connection_id"), table_name="compatibility_items")
    op.drop_table("compatibility_items")
    op.drop_index(op.f("ix_compatibility_conflicts_user_id"), table_name="compatibility_conflicts")
    op.drop_index(
        op.f("ix_compatibility_conflicts_partner_id"), table_name="compatibility_conflicts"
    )
    op.drop_index(
        op.f("ix_compatibility_conflicts_connection_id"), table_name="compatibility_conflicts"
    )
    op.drop_table("compatibility_conflicts")
    op.drop_index(op.f("ix_compatibilities_user_id"), table_name="compatibilities")
    op.drop_index(op.f("ix_compatibilities_partner_profile_id"), table_name="compatibilities")
    op.drop_index(op.f("ix_compatibilities_partner_id"), table_name="compatibilities")
    op.drop_index(op.f("ix_compatibilities_own_profile_id"), table_name="compatibilities")
    op.drop_table("compatibilities")
