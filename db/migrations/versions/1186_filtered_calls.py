"""Calls and contacts of an organization are found by where they stand."""

from __future__ import annotations

from alembic import op

revision = "1186"
down_revision = "1185"
branch_labels = None
depends_on = None

_CONTACTS = "ix_campaign_contacts_organization_id"
_RUNS = {
    "ix_workflow_runs_organization_id_status": "organization_id",
    "ix_workflow_runs_campaign_id_status": "campaign_id",
}


def upgrade() -> None:
    for name, column in _RUNS.items():
        op.create_index(name, "workflow_runs", [column, "status", "created_at", "id"])
    op.drop_index(_CONTACTS, table_name="campaign_contacts")
    op.create_index(
        _CONTACTS,
        "campaign_contacts",
        ["organization_id", "status", "campaign_id", "row_number"],
    )


def downgrade() -> None:
    op.drop_index(_CONTACTS, table_name="campaign_contacts")
    op.create_index(_CONTACTS, "campaign_contacts", ["organization_id"])
    for name in reversed(_RUNS):
        op.drop_index(name, table_name="workflow_runs")
