"""Runs count what is answered, and a user's current profile is found by the user."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0565"
down_revision = "0560"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("item_count", "answered_count"):
        op.add_column(
            "survey_runs",
            sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False),
        )
    op.add_check(
        "ck_survey_profiles_archetypes", "survey_profiles", "(cardinality(archetypes) >= 1)"
    )
    op.grant("select (item_count, answered_count)", "survey_runs", "authenticated")
    op.grant("select (current_of)", "survey_profiles", "authenticated")


def downgrade() -> None:
    # They take or return rows of tables that the step before drops.
    op.execute("drop function if exists app.enter_survey_run(uuid)")
    op.execute("drop function if exists app.is_answer_of(public.survey_items, jsonb)")
    op.execute("drop function if exists app.infer_boundaries(public.survey_runs, uuid, jsonb)")
    op.revoke("select (current_of)", "survey_profiles", "authenticated")
    op.drop_check("ck_survey_profiles_archetypes", "survey_profiles")
    op.drop_column("survey_runs", "answered_count")
    op.drop_column("survey_runs", "item_count")
