"""Surveys: items, runs, answers, profiles, boundaries, demographics, documents and consents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0470"
down_revision = "0456"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_surveys()
    _create_results()
    _protect_people()
    _protect_surveys()


def _create_surveys() -> None:
    op.create_table(
        "legal_documents",
        sa.Column(
            "id",
            sa.Text(),
            sa.Computed("document_id || ':' || version", persisted=True),
            nullable=False,
        ),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("is_required", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sort_order", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("length(body) <= 100000", name=op.f("ck_legal_documents_body")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_legal_documents")),
        sa.UniqueConstraint(
            "document_id", "version", name=op.f("uq_legal_documents_document_id_version")
        ),
    )
    op.create_index(
        "ix_legal_documents_document_id_effective_at",
        "legal_documents",
        ["document_id", "effective_at"],
        unique=False,
    )
    op.create_table(
        "surveys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("title_key", sa.Text(), nullable=False),
        sa.Column("description_key", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("sort_order", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("edited", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_surveys")),
    )
    op.create_table(
        "survey_items",
        sa.Column(
            "id",
            sa.Text(),
            sa.Computed("survey_id || ':' || item_id", persisted=True),
            nullable=False,
        ),
        sa.Column("survey_id", sa.Text(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), server_default="NONE", nullable=False),
        sa.Column("text_key", sa.Text(), nullable=False),
        sa.Column("options", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("measures", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "limit_keys", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("is_required", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_short", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("sort_order", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "item_id ~ '^[A-Z][0-9]{1,3}[ab]?$'", name=op.f("ck_survey_items_item_id")
        ),
        sa.CheckConstraint(
            "kind in ('SCALE', 'YES_MAYBE_NO', 'CHECKLIST')", name=op.f("ck_survey_items_kind")
        ),
        sa.CheckConstraint(
            "side in ('NONE', 'RECEIVE', 'GIVE', 'SELF', 'WATCH')",
            name=op.f("ck_survey_items_side"),
        ),
        sa.ForeignKeyConstraint(
            ["survey_id"],
            ["surveys.id"],
            name=op.f("fk_survey_items_survey_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_survey_items")),
        sa.UniqueConstraint("survey_id", "item_id", name=op.f("uq_survey_items_survey_id_item_id")),
    )
    op.create_table(
        "consents",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["document_id", "version"],
            ["legal_documents.document_id", "legal_documents.version"],
            name=op.f("fk_consents_document_id_version"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_consents_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
        sa.UniqueConstraint(
            "user_id",
            "document_id",
            "version",
            name=op.f("uq_consents_user_id_document_id_version"),
        ),
    )
    op.create_index(
        "ix_consents_document_id_version", "consents", ["document_id", "version"], unique=False
    )
    op.create_index(
        "ix_consents_user_id_created_at_id",
        "consents",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "demographics",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("gender", sa.Text(), nullable=False),
        sa.Column("orientation", sa.Text(), nullable=False),
        sa.Column("relationship", sa.Text(), nullable=False),
        sa.Column("anatomy_self", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("anatomy_preference", sa.ARRAY(sa.Text()), nullable=False),
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
        sa.CheckConstraint(
            "cardinality(anatomy_preference) between 1 and 3 and anatomy_preference <@ array['penis', 'vagina', 'breasts']",
            name=op.f("ck_demographics_anatomy_preference"),
        ),
        sa.CheckConstraint(
            "cardinality(anatomy_self) between 1 and 3 and anatomy_self <@ array['penis', 'vagina', 'breasts']",
            name=op.f("ck_demographics_anatomy_self"),
        ),
        sa.CheckConstraint(
            "gender in ('WOMAN', 'MAN', 'NON_BINARY', 'RATHER_NOT_SAY')",
            name=op.f("ck_demographics_gender"),
        ),
        sa.CheckConstraint(
            "orientation in ('STRAIGHT', 'GAY', 'BISEXUAL', 'RATHER_NOT_SAY')",
            name=op.f("ck_demographics_orientation"),
        ),
        sa.CheckConstraint(
            "relationship in ('MONOGAMOUS', 'OPEN', 'RATHER_NOT_SAY')",
            name=op.f("ck_demographics_relationship"),
        ),
        sa.CheckConstraint("length(name) between 1 and 100", name=op.f("ck_demographics_name")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_demographics_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_demographics")),
    )
    op.create_table(
        "survey_runs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("survey_id", sa.Text(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="IN_PROGRESS", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "saved_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'IN_PROGRESS') = (ended_at is null)", name=op.f("ck_survey_runs_end")
        ),
        sa.CheckConstraint("form in ('SHORT', 'FULL')", name=op.f("ck_survey_runs_form")),
        sa.CheckConstraint(
            "status in ('IN_PROGRESS', 'SUBMITTED', 'ABANDONED')",
            name=op.f("ck_survey_runs_status"),
        ),
        sa.ForeignKeyConstraint(
            ["survey_id"], ["surveys.id"], name=op.f("fk_survey_runs_survey_id")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_survey_runs_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_survey_runs")),
    )
    op.create_index(op.f("ix_survey_runs_survey_id"), "survey_runs", ["survey_id"], unique=False)
    op.create_index(
        "ix_survey_runs_abandoned",
        "survey_runs",
        ["ended_at"],
        unique=False,
        postgresql_where=sa.text("status = 'ABANDONED'"),
    )
    op.create_index(
        "ix_survey_runs_unfinished",
        "survey_runs",
        ["saved_at"],
        unique=False,
        postgresql_where=sa.text("status = 'IN_PROGRESS'"),
    )
    op.create_index(
        "ix_survey_runs_user_id_created_at_id",
        "survey_runs",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_survey_runs_in_progress",
        "survey_runs",
        ["user_id", "survey_id"],
        unique=True,
        postgresql_where=sa.text("status = 'IN_PROGRESS'"),
    )
    op.create_table(
        "survey_answers",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("survey_id", sa.Text(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("is_current", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("score between 0 and 1", name=op.f("ck_survey_answers_score")),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["survey_runs.id"],
            name=op.f("fk_survey_answers_run_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["survey_id", "item_id"],
            ["survey_items.survey_id", "survey_items.item_id"],
            name=op.f("fk_survey_answers_survey_id_item_id"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_survey_answers_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_survey_answers")),
        sa.UniqueConstraint("run_id", "item_id", name=op.f("uq_survey_answers_run_id_item_id")),
    )
    op.create_index(
        "ix_survey_answers_survey_id_item_id",
        "survey_answers",
        ["survey_id", "item_id"],
        unique=False,
    )
    op.create_index("ix_survey_answers_user_id", "survey_answers", ["user_id"], unique=False)
    op.create_index(
        "uq_survey_answers_current",
        "survey_answers",
        ["user_id", "item_id"],
        unique=True,
        postgresql_where=sa.text("is_current"),
    )


def _create_results() -> None:
    op.create_table(
        "survey_profiles",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("survey_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("is_current", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "current_of",
            sa.Uuid(),
            sa.Computed("CASE WHEN is_current THEN user_id ELSE NULL::uuid END", persisted=True),
            nullable=True,
        ),
        sa.Column("power_orientation", sa.Text(), nullable=False),
        sa.Column("power_confidence", sa.Double(), nullable=False),
        sa.Column("power_level", sa.Text(), nullable=False),
        sa.Column("top_percent", sa.Integer(), nullable=False),
        sa.Column(
            "archetypes", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("is_balanced", sa.Boolean(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "power_level in ('LOW', 'MODERATE', 'HIGH', 'VERY_HIGH')",
            name=op.f("ck_survey_profiles_power_level"),
        ),
        sa.CheckConstraint(
            "power_orientation in ('TOP', 'BOTTOM', 'SWITCH', 'VERSATILE')",
            name=op.f("ck_survey_profiles_power_orientation"),
        ),
        sa.CheckConstraint(
            "power_confidence between 0 and 1", name=op.f("ck_survey_profiles_power_confidence")
        ),
        sa.CheckConstraint(
            "top_percent between 0 and 100", name=op.f("ck_survey_profiles_top_percent")
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_survey_profiles_version")),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["survey_runs.id"],
            name=op.f("fk_survey_profiles_run_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["survey_id"], ["surveys.id"], name=op.f("fk_survey_profiles_survey_id")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_survey_profiles_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_survey_profiles")),
        sa.UniqueConstraint("current_of", name=op.f("uq_survey_profiles_current_of")),
        sa.UniqueConstraint("run_id", name=op.f("uq_survey_profiles_run_id")),
        sa.UniqueConstraint("user_id", "version", name=op.f("uq_survey_profiles_user_id_version")),
    )
    op.create_index(
        op.f("ix_survey_profiles_survey_id"), "survey_profiles", ["survey_id"], unique=False
    )
    op.create_index(
        "ix_survey_profiles_user_id_created_at_id",
        "survey_profiles",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "boundaries",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("profile_id", sa.Uuid(), nullable=True),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("kind in ('HARD', 'SOFT', 'NONE')", name=op.f("ck_boundaries_kind")),
        sa.CheckConstraint("source in ('INFERRED', 'SET')", name=op.f("ck_boundaries_source")),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["survey_profiles.id"],
            name=op.f("fk_boundaries_profile_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_boundaries_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_boundaries")),
        sa.UniqueConstraint("user_id", "item_id", name=op.f("uq_boundaries_user_id_item_id")),
    )
    op.create_index(op.f("ix_boundaries_profile_id"), "boundaries", ["profile_id"], unique=False)
    op.create_table(
        "survey_domain_scores",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("sort_order", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "domain in ('SENSATION', 'POWER', 'CONNECTION', 'EXPLORATION', 'VERBAL')",
            name=op.f("ck_survey_domain_scores_domain"),
        ),
        sa.CheckConstraint("score between 0 and 100", name=op.f("ck_survey_domain_scores_score")),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["survey_profiles.id"],
            name=op.f("fk_survey_domain_scores_profile_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_survey_domain_scores_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_survey_domain_scores")),
        sa.UniqueConstraint(
            "profile_id", "domain", name=op.f("uq_survey_domain_scores_profile_id_domain")
        ),
    )
    op.create_index(
        op.f("ix_survey_domain_scores_user_id"), "survey_domain_scores", ["user_id"], unique=False
    )
    op.create_table(
        "survey_measures",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("level", sa.Text(), nullable=True),
        sa.Column("sort_order", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "level in ('LOW', 'MODERATE_LOW', 'MODERATE_HIGH', 'HIGH')",
            name=op.f("ck_survey_measures_level"),
        ),
        sa.CheckConstraint(
            "measure in ('SE', 'SIS_P', 'SIS_C', 'POWER_TOP', 'POWER_BOTTOM', 'TRUTH')",
            name=op.f("ck_survey_measures_measure"),
        ),
        sa.CheckConstraint("score between 0 and 100", name=op.f("ck_survey_measures_score")),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["survey_profiles.id"],
            name=op.f("fk_survey_measures_profile_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_survey_measures_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_survey_measures")),
        sa.UniqueConstraint(
            "profile_id", "measure", name=op.f("uq_survey_measures_profile_id_measure")
        ),
    )
    op.create_index(
        op.f("ix_survey_measures_user_id"), "survey_measures", ["user_id"], unique=False
    )


def _protect_people() -> None:
    op.enable_row_level_security("boundaries")
    op.create_policy(
        "owner_select",
        "boundaries",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "boundaries", "for all to service using (true) with check (true)"
    )
    op.grant("select", "boundaries", "service")
    op.grant(
        "select (id, user_id, profile_id, item_id, kind, source, changed_at)",
        "boundaries",
        "authenticated",
    )
    op.enable_row_level_security("consents")
    op.create_policy(
        "owner_select",
        "consents",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy("service_all", "consents", "for all to service using (true) with check (true)")
    op.grant("select", "consents", "service")
    op.grant("select (id, user_id, document_id, version, created_at)", "consents", "authenticated")
    op.enable_row_level_security("demographics")
    op.create_policy(
        "owner_select",
        "demographics",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "demographics", "for all to service using (true) with check (true)"
    )
    op.grant("select", "demographics", "service")
    op.grant(
        "select (user_id, name, gender, orientation, relationship, anatomy_self, anatomy_preference, created_at, updated_at)",
        "demographics",
        "authenticated",
    )
    op.enable_row_level_security("legal_documents")
    op.create_policy(
        "public_select", "legal_documents", "for select to anon, authenticated using (true)"
    )
    op.create_policy(
        "service_all", "legal_documents", "for all to service using (true) with check (true)"
    )
    op.grant("select", "legal_documents", "service")
    op.grant(
        "select (id, document_id, version, title, body, is_required, effective_at, sort_order)",
        "legal_documents",
        "anon, authenticated",
    )
    op.enable_row_level_security("survey_answers")
    op.create_policy(
        "owner_select",
        "survey_answers",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "survey_answers", "for all to service using (true) with check (true)"
    )
    op.grant("select", "survey_answers", "service")
    op.grant(
        "select (id, user_id, run_id, survey_id, item_id, value, score, is_current, changed_at)",
        "survey_answers",
        "authenticated",
    )


def _protect_surveys() -> None:
    op.enable_row_level_security("survey_domain_scores")
    op.create_policy(
        "owner_select",
        "survey_domain_scores",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "survey_domain_scores", "for all to service using (true) with check (true)"
    )
    op.grant("select", "survey_domain_scores", "service")
    op.grant(
        "select (id, user_id, profile_id, domain, score, sort_order)",
        "survey_domain_scores",
        "authenticated",
    )
    op.enable_row_level_security("survey_items")
    op.create_policy(
        "public_select", "survey_items", "for select to anon, authenticated using (true)"
    )
    op.create_policy(
        "service_all", "survey_items", "for all to service using (true) with check (true)"
    )
    op.grant("select", "survey_items", "service")
    op.grant(
        "select (id, survey_id, item_id, question, section, kind, side, text_key, options, measures, tags, limit_keys, is_required, is_short, sort_order)",
        "survey_items",
        "anon, authenticated",
    )
    op.enable_row_level_security("survey_measures")
    op.create_policy(
        "owner_select",
        "survey_measures",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "survey_measures", "for all to service using (true) with check (true)"
    )
    op.grant("select", "survey_measures", "service")
    op.grant(
        "select (id, user_id, profile_id, measure, score, level, sort_order)",
        "survey_measures",
        "authenticated",
    )
    op.enable_row_level_security("survey_profiles")
    op.create_policy(
        "owner_select",
        "survey_profiles",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "survey_profiles", "for all to service using (true) with check (true)"
    )
    op.grant("select", "survey_profiles", "service")
    op.grant(
        "select (id, user_id, run_id, survey_id, version, is_current, power_orientation, power_confidence, power_level, top_percent, archetypes, is_balanced, tags, created_at)",
        "survey_profiles",
        "authenticated",
    )
    op.enable_row_level_security("survey_runs")
    op.create_policy(
        "owner_select",
        "survey_runs",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "survey_runs", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "survey_runs", "service")
    op.grant(
        "select (id, user_id, survey_id, form, status, created_at, saved_at, ended_at)",
        "survey_runs",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "survey_runs",
        "after insert",
        "for each row when ((new.status = 'IN_PROGRESS') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "survey_runs",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'IN_PROGRESS' and (new.status in ('SUBMITTED', 'ABANDONED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.enable_row_level_security("surveys")
    op.create_policy("public_select", "surveys", "for select to anon, authenticated using (true)")
    op.create_policy("service_all", "surveys", "for all to service using (true) with check (true)")
    op.grant("select", "surveys", "service")
    op.grant(
        "select (id, version, title_key, description_key, is_active, sort_order)",
        "surveys",
        "anon, authenticated",
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_survey_measures_user_id"), table_name="survey_measures")
    op.drop_table("survey_measures")
    op.drop_index(op.f("ix_survey_domain_scores_user_id"), table_name="survey_domain_scores")
    op.drop_table("survey_domain_scores")
    op.drop_index(op.f("ix_boundaries_profile_id"), table_name="boundaries")
    op.drop_table("boundaries")
    op.drop_index("ix_survey_profiles_user_id_created_at_id", table_name="survey_profiles")
    op.drop_index(op.f("ix_survey_profiles_survey_id"), table_name="survey_profiles")
    op.drop_table("survey_profiles")
    op.drop_index(
        "uq_survey_answers_current",
        table_name="survey_answers",
        postgresql_where=sa.text("is_current"),
    )
    op.drop_index("ix_survey_answers_user_id", table_name="survey_answers")
    op.drop_index("ix_survey_answers_survey_id_item_id", table_name="survey_answers")
    op.drop_table("survey_answers")
    op.drop_index(
        "uq_survey_runs_in_progress",
        table_name="survey_runs",
        postgresql_where=sa.text("status = 'IN_PROGRESS'"),
    )
    op.drop_index("ix_survey_runs_user_id_created_at_id", table_name="survey_runs")
    op.drop_index(
        "ix_survey_runs_unfinished",
        table_name="survey_runs",
        postgresql_where=sa.text("status = 'IN_PROGRESS'"),
    )
    op.drop_index(
        "ix_survey_runs_abandoned",
        table_name="survey_runs",
        postgresql_where=sa.text("status = 'ABANDONED'"),
    )
    op.drop_index(op.f("ix_survey_runs_survey_id"), table_name="survey_runs")
    op.drop_table("survey_runs")
    op.drop_table("demographics")
    op.drop_index("ix_consents_user_id_created_at_id", table_name="consents")
    op.drop_index("ix_consents_document_id_version", table_name="consents")
    op.drop_table("consents")
    op.drop_table("survey_items")
    op.drop_table("surveys")
    op.drop_index("ix_legal_documents_document_id_effective_at", table_name="legal_documents")
    op.drop_table("legal_documents")
