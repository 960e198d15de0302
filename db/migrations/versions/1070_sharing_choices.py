"""What somebody shows new partners, and those who are off their list, is remembered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1070"
down_revision = "1062"
branch_labels = None
depends_on = None


# Functions of tables' rows, which go before the tables can.
OF_ROWS = (
    "app.choose_activity(play_sessions, play_players, play_players, text, boolean)",
    "app.block_requester(partner_requests)",
)


def upgrade() -> None:
    op.drop_trigger("record_event", "partner_requests")
    op.create_table(
        "sharing_choices",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("partner_id", sa.Uuid(), nullable=True),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column(
            "chosen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint(
            "level in ('ALL', 'OVERLAPPING', 'DEMOGRAPHICS')", name=op.f("ck_sharing_choices_level")
        ),
        sa.CheckConstraint("user_id <> partner_id", name=op.f("ck_sharing_choices_partner_id")),
        sa.ForeignKeyConstraint(
            ["partner_id"],
            ["users.id"],
            name=op.f("fk_sharing_choices_partner_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sharing_choices_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sharing_choices")),
        sa.UniqueConstraint(
            "user_id",
            "partner_id",
            name=op.f("uq_sharing_choices_user_id_partner_id"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(
        "ix_sharing_choices_chosen_at",
        "sharing_choices",
        ["chosen_at"],
        unique=False,
        postgresql_where=sa.text("partner_id is not null"),
    )
    op.create_index(
        op.f("ix_sharing_choices_partner_id"), "sharing_choices", ["partner_id"], unique=False
    )
    op.add_column("partner_requests", sa.Column("sharing", sa.Text(), nullable=True))
    op.add_check(
        "ck_partner_requests_sharing",
        "partner_requests",
        "(sharing in ('ALL', 'OVERLAPPING', 'DEMOGRAPHICS'))",
    )
    op.create_trigger(
        "record_event",
        "partner_requests",
        "after insert or update",
        "for each row execute function app.record_shared_event('partner_request.changed', 'id', '{email_key,sharing}', '{}', 'user', 'requester_id', '{}', '{}', 'user', 'recipient_id', '{}', '{}')",
    )
    op.enable_row_level_security("sharing_choices")
    op.create_policy(
        "owner_select",
        "sharing_choices",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "sharing_choices", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "sharing_choices", "service")
    op.grant(
        "select (id, user_id, partner_id, level, chosen_at)", "sharing_choices", "authenticated"
    )


def downgrade() -> None:
    for function in OF_ROWS:
        op.drop_function(function)
    op.drop_trigger("record_event", "partner_requests")
    op.drop_check("ck_partner_requests_sharing", "partner_requests")
    op.drop_column("partner_requests", "sharing")
    op.drop_index(op.f("ix_sharing_choices_partner_id"), table_name="sharing_choices")
    op.drop_index(
        "ix_sharing_choices_chosen_at",
        table_name="sharing_choices",
        postgresql_where=sa.text("partner_id is not null"),
    )
    op.drop_table("sharing_choices")
    op.create_trigger(
        "record_event",
        "partner_requests",
        "AFTER INSERT OR UPDATE",
        "FOR EACH ROW EXECUTE FUNCTION app.record_shared_event('partner_request.changed', 'id', '{email_key}', '{}', 'user', 'requester_id', '{}', '{}', 'user', 'recipient_id', '{}', '{}')",
    )
