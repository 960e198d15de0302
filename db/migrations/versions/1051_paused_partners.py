"""Connections pause while an account is to be deleted, invitations end with their session, blocks are listed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1051"
down_revision = "1050"
branch_labels = None
depends_on = None

# Functions of tables' rows, which go before the tables can.
OF_ROWS = (
    "app.invite_player(play_players, uuid, integer)",
    "app.documents_in_force()",
)
# Who had asked for the deletion of their account before.
PAUSED = """
update partners p set status = 'DISCONNECTED', is_paused = true where p.status = 'CONNECTED' and exists (
    select from account_deletions d where d.user_id in (p.user_id, p.partner_id))
"""
EXPIRED = """
update play_players p set status = 'EXPIRED' from play_sessions s
where s.id = p.session_id and s.ended_at is not null and p.status = 'INVITED'
"""
UNANSWERED = """
update survey_runs r set answered_count = 0 where r.status = 'ABANDONED'
    and not exists (select from survey_answers a where a.run_id = r.id)
"""
TOLD_TO_ADMINS = """
update play_turns set scores = scores || why,
    why = why - '{candidates,outOfIntensities,isNewTheme,noveltyChance}'::text[]
where why ?| '{candidates,outOfIntensities,isNewTheme,noveltyChance}'
"""


def upgrade() -> None:
    op.drop_trigger("record_event", "partners")
    op.drop_trigger("lifecycle_update", "play_players")
    op.drop_check("ck_play_players_status", "play_players")
    op.add_column("partner_blocks", sa.Column("display_name", sa.Text(), nullable=True))
    op.create_index(
        "ix_partner_blocks_user_id_created_at_id",
        "partner_blocks",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.add_column(
        "partners", sa.Column("shared_changed_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "partners",
        sa.Column("is_paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.create_policy(
        "owner_select",
        "partner_blocks",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.grant("select (id, user_id, created_at)", "partner_blocks", "authenticated")
    op.grant("select (display_name)", "partner_blocks", "authenticated")
    op.add_check("ck_partners_is_paused", "partners", "(not is_paused or status = 'DISCONNECTED')")
    op.grant("select (shared_changed_at)", "partners", "authenticated")
    op.create_trigger(
        "record_event",
        "partners",
        "after insert or update or delete",
        "for each row execute function app.record_event('partners.changed', 'id', '{is_paused}', '{}', 'user_id')",
    )
    op.add_check(
        "ck_play_players_status",
        "play_players",
        "(status in ('INVITED', 'JOINED', 'PRESENT', 'LEFT', 'EXPIRED'))",
    )
    op.create_trigger(
        "lifecycle_update",
        "play_players",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'INVITED' and (new.status in ('JOINED', 'LEFT', 'EXPIRED')) or old.status = 'JOINED' and (new.status = 'LEFT') or old.status = 'EXPIRED' and (new.status = 'LEFT')) is not true) execute function app.refuse_transition('status')",
    )
    for statement in (PAUSED, EXPIRED, UNANSWERED, TOLD_TO_ADMINS):
        op.execute(statement)


def downgrade() -> None:
    for function in OF_ROWS:
        op.drop_function(function)
    op.execute("update play_players set status = 'LEFT' where status = 'EXPIRED'")
    op.drop_check("ck_partners_is_paused", "partners")
    op.execute("update partners set status = 'CONNECTED' where is_paused")
    op.drop_trigger("lifecycle_update", "play_players")
    op.drop_check("ck_play_players_status", "play_players")
    op.drop_trigger("record_event", "partners")
    op.revoke("select (id, user_id, created_at)", "partner_blocks", "authenticated")
    op.drop_policy("owner_select", "partner_blocks")
    op.drop_column("partners", "is_paused")
    op.drop_column("partners", "shared_changed_at")
    op.drop_index("ix_partner_blocks_user_id_created_at_id", table_name="partner_blocks")
    op.drop_column("partner_blocks", "display_name")
    op.add_check(
        "ck_play_players_status",
        "play_players",
        "((status = ANY (ARRAY['INVITED'::text, 'JOINED'::text, 'PRESENT'::text, 'LEFT'::text])))",
    )
    op.create_trigger(
        "lifecycle_update",
        "play_players",
        "AFTER UPDATE",
        "FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status AND (old.status = 'INVITED'::text AND (new.status = ANY (ARRAY['JOINED'::text, 'LEFT'::text])) OR old.status = 'JOINED'::text AND new.status = 'LEFT'::text) IS NOT TRUE) EXECUTE FUNCTION app.refuse_transition('status')",
    )
    op.create_trigger(
        "record_event",
        "partners",
        "AFTER INSERT OR DELETE OR UPDATE",
        "FOR EACH ROW EXECUTE FUNCTION app.record_event('partners.changed', 'id', '{}', '{}', 'user_id')",
    )
