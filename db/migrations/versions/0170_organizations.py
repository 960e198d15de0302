"""Organizations, their members and invitations, and in which one a user works."""

from __future__ import annotations

from db.migrations.steps import run_all, run_script

revision = "0170"
down_revision = "0160"
branch_labels = None
depends_on = None

FUNCTIONS = (
    "create_organization(text, text)",
    "invite_member(uuid, text, text, text)",
    "revoke_invitation(uuid)",
    "accept_invitation(uuid)",
    "set_member_role(uuid, uuid, text)",
    "remove_member(uuid, uuid)",
    "leave_organization(uuid)",
    "transfer_ownership(uuid, uuid)",
    "select_organization(uuid)",
    "required_member(uuid, uuid)",
    "require_other_owner(uuid, uuid)",
    "enter_organization(uuid)",
    "require_rank_above(text, text)",
    "note_organization_change(uuid, text, jsonb)",
    "organization_rank(text)",
    "reread_users(uuid)",
    "reread_organizations(uuid)",
    "reread_organization_members(uuid)",
    "reread_organization_invitations(uuid)",
)


def upgrade() -> None:
    run_script("0170_organizations.sql")


def downgrade() -> None:
    run_all(
        [
            "drop trigger rename_member on users",
            "alter table users drop column selected_organization_id",
            *(f"drop function if exists app.{function}" for function in FUNCTIONS),
            "drop table organization_invitations, organization_members, organizations cascade",
            "drop function app.name_member(), app.rename_member(), app.end_membership()",
            "drop function app.organization_ids(text[]), app.reread_organization_ids(uuid, text[])",
        ]
    )
