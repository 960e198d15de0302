"""A consent can be withdrawn, and given again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1071"
down_revision = "1070"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("consents", sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint(op.f("uq_consents_user_id_document_id_version"), "consents", type_="unique")
    op.create_index(
        "uq_consents_in_effect",
        "consents",
        ["user_id", "document_id", "version"],
        unique=True,
        postgresql_where=sa.text("withdrawn_at is null"),
    )
    op.add_check("ck_consents_withdrawn_at", "consents", "(withdrawn_at >= created_at)")
    op.grant("select (withdrawn_at)", "consents", "authenticated")


def downgrade() -> None:
    op.drop_check("ck_consents_withdrawn_at", "consents")
    op.drop_index(
        "uq_consents_in_effect",
        table_name="consents",
        postgresql_where=sa.text("withdrawn_at is null"),
    )
    # What is withdrawn must not count again.
    op.execute("delete from consents where withdrawn_at is not null")
    op.create_unique_constraint(
        op.f("uq_consents_user_id_document_id_version"),
        "consents",
        ["user_id", "document_id", "version"],
        postgresql_nulls_not_distinct=False,
    )
    op.drop_column("consents", "withdrawn_at")
