"""Organizations, their members and invitations, and in which one a user works."""

from __future__ import annotations

from db.migrations.steps import run_all, run_script

revision = "0180"
down_revision = "0170"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("0180_organizations.sql")


def downgrade() -> None:
    run_all(
        [
            "drop trigger rename_member on users",
            "alter table users drop column selected_organization_id",
            "drop table organization_invitations, organization_members, organizations cascade",
        ]
    )
