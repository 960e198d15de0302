"""Play sessions: players, turns, what was shown to whom, and how much of a day is used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0580"
down_revision = "0570"
branch_labels = None
depends_on = None

# Functions of rows, which go before their tables.
OF_ROWS = (
    "app.end_turn(play_sessions, text, boolean, text)",
    "app.choose_activity(play_sessions, play_players, play_players, text)",
    "app.give_activity(play_sessions, text, integer)",
    "app.close_play_session(play_sessions, text)",
    "app.settle_players(play_sessions)",
    "app.next_player(play_sessions)",
    "app.require_turn(play_sessions, integer)",
    "app.require_open_session(play_sessions)",
    "app.enter_play_session(uuid)",
)


def upgrade() -> None:
    _create_sessions()
    _create_players()
    _protect_sessions()


def _create_sessions() -> None:
    op.create_table(
        "play_rules",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("free_daily_activities", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "free_daily_activities between 0 and 1000",
            name=op.f("ck_play_rules_free_daily_activities"),
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_play_rules_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_play_rules")),
    )
    op.create_table(
        "play_sessions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="WAITING", nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("player_order", sa.Text(), server_default="SEQUENTIAL", nullable=False),
        sa.Column("turn_player_id", sa.Uuid(), nullable=False),
        sa.Column("current_turn_id", sa.Uuid(), nullable=True),
        sa.Column("turn_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("skips_in_row", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("random_truths", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("random_dares", sa.Integer(), server_default=sa.text("0"), nullable=False),
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
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status in ('WAITING', 'ACTIVE')) = (ended_at is null)",
            name=op.f("ck_play_sessions_end"),
        ),
        sa.CheckConstraint("level in ('G', 'R', 'X')", name=op.f("ck_play_sessions_level")),
        sa.CheckConstraint(
            "player_order in ('SEQUENTIAL', 'RANDOM')", name=op.f("ck_play_sessions_player_order")
        ),
        sa.CheckConstraint(
            "status in ('WAITING', 'ACTIVE', 'ENDED', 'ABANDONED', 'EXPIRED')",
            name=op.f("ck_play_sessions_status"),
        ),
        sa.CheckConstraint("skips_in_row >= 0", name=op.f("ck_play_sessions_skips_in_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_play_sessions")),
    )
    op.create_index("ix_play_sessions_ended_at", "play_sessions", ["ended_at"], unique=False)
    op.create_index(
        "ix_play_sessions_unfinished",
        "play_sessions",
        ["updated_at"],
        unique=False,
        postgresql_where=sa.text("ended_at is null"),
    )
    op.create_table(
        "play_days",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("used", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("resets_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_play_days_used")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_play_days_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_play_days")),
    )
    op.create_table(
        "play_history",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("activity_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("theme", sa.Text(), nullable=False),
        sa.Column(
            "shown_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_play_history_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_play_history")),
    )
    op.create_index("ix_play_history_shown_at", "play_history", ["shown_at"], unique=False)
    op.create_index(
        "ix_play_history_user_id_shown_at", "play_history", ["user_id", "shown_at"], unique=False
    )


def _create_players() -> None:
    op.create_table(
        "play_players",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("seat", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("anatomy", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("is_opponent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "anatomy <@ array['penis', 'vagina', 'breasts']", name=op.f("ck_play_players_anatomy")
        ),
        sa.CheckConstraint(
            "status <> 'PRESENT' or user_id is null", name=op.f("ck_play_players_present")
        ),
        sa.CheckConstraint(
            "status in ('INVITED', 'JOINED', 'PRESENT', 'LEFT')",
            name=op.f("ck_play_players_status"),
        ),
        sa.CheckConstraint("length(name) between 1 and 100", name=op.f("ck_play_players_name")),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["play_sessions.id"],
            name=op.f("fk_play_players_session_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_play_players_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_play_players")),
        sa.UniqueConstraint("session_id", "seat", name=op.f("uq_play_players_session_id_seat")),
    )
    op.create_index(
        "ix_play_players_user_id_created_at_id",
        "play_players",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "play_themes",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("theme", sa.Text(), nullable=False),
        sa.Column("weight", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("shown_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("weight between -0.3 and 0.3", name=op.f("ck_play_themes_weight")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_play_themes_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_play_themes")),
        sa.UniqueConstraint("user_id", "theme", name=op.f("uq_play_themes_user_id_theme")),
    )
    op.create_table(
        "play_turns",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("player_id", sa.Uuid(), nullable=False),
        sa.Column("partner_id", sa.Uuid(), nullable=True),
        sa.Column("activity_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("intensity", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("theme", sa.Text(), nullable=False),
        sa.Column("why", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("scores", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), server_default="DRAWN", nullable=False),
        sa.Column("done", sa.Boolean(), nullable=True),
        sa.Column("feedback", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "feedback in ('LIKE', 'DISLIKE', 'NEUTRAL')", name=op.f("ck_play_turns_feedback")
        ),
        sa.CheckConstraint("kind in ('TRUTH', 'DARE')", name=op.f("ck_play_turns_kind")),
        sa.CheckConstraint(
            "status in ('DRAWN', 'COMPLETED', 'SKIPPED')", name=op.f("ck_play_turns_status")
        ),
        sa.ForeignKeyConstraint(
            ["partner_id"],
            ["play_players.id"],
            name=op.f("fk_play_turns_partner_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["player_id"],
            ["play_players.id"],
            name=op.f("fk_play_turns_player_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["play_sessions.id"],
            name=op.f("fk_play_turns_session_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_play_turns")),
        sa.UniqueConstraint("session_id", "number", name=op.f("uq_play_turns_session_id_number")),
    )
    op.create_index(op.f("ix_play_turns_partner_id"), "play_turns", ["partner_id"], unique=False)
    op.create_index(
        "ix_play_turns_player_id_number", "play_turns", ["player_id", "number"], unique=False
    )


def _protect_sessions() -> None:
    op.create_function(
        "app.play_session_ids(text[])",
        "create or replace function app.play_session_ids(roles text[]) returns uuid[] language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$ begin return array(select g.group_id from (select m.session_id as group_id, m.user_id as user_id, null::text as role from public.play_players m where m.user_id = app.user_id() and m.status in ('INVITED', 'JOINED')) g where roles = '{}' or g.role = any (roles)); end; $$",
    )
    op.enable_row_level_security("play_days")
    op.create_policy(
        "owner_select",
        "play_days",
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "play_days", "for all to service using (true) with check (true)"
    )
    op.grant("select", "play_days", "service")
    op.grant("select (user_id, used, zone, resets_at)", "play_days", "authenticated")
    op.enable_row_level_security("play_history")
    op.create_policy(
        "owner_select",
        "play_history",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "play_history", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "play_history", "service")
    op.grant(
        "select (id, user_id, activity_id, kind, theme, shown_at)", "play_history", "authenticated"
    )
    op.enable_row_level_security("play_players")
    op.create_policy(
        "owner_select",
        "play_players",
        "for select to authenticated using (user_id = (select app.user_id()) or session_id = any ((select app.play_session_ids('{}'))::uuid[]))",
    )
    op.create_policy(
        "service_all", "play_players", "for all to service using (true) with check (true)"
    )
    op.grant("select", "play_players", "service")
    op.grant(
        "select (id, session_id, user_id, seat, name, anatomy, is_opponent, status, created_at, confirmed_at)",
        "play_players",
        "authenticated",
    )
    op.create_trigger(
        "record_membership",
        "play_players",
        "after insert or delete or update of session_id, user_id, status",
        "for each row execute function app.record_membership('play_session', 'session_id')",
    )
    op.create_trigger(
        "lifecycle_insert",
        "play_players",
        "after insert",
        "for each row when ((new.status in ('INVITED', 'JOINED', 'PRESENT')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "play_players",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'INVITED' and (new.status in ('JOINED', 'LEFT')) or old.status = 'JOINED' and (new.status = 'LEFT')) is not true) execute function app.refuse_transition('status')",
    )
    op.enable_row_level_security("play_rules")
    op.create_policy(
        "service_all", "play_rules", "for all to service using (true) with check (true)"
    )
    op.grant("select", "play_rules", "service")
    op.enable_row_level_security("play_sessions")
    op.create_policy(
        "service_all", "play_sessions", "for all to service using (true) with check (true)"
    )
    op.create_policy(
        "shared_select",
        "play_sessions",
        "for select to authenticated using (id = any ((select app.play_session_ids('{}'))::uuid[]))",
    )
    op.grant("select, delete", "play_sessions", "service")
    op.grant(
        "select (id, level, status, version, player_order, turn_player_id, current_turn_id, turn_count, skips_in_row, random_truths, random_dares, created_at, updated_at, ended_at)",
        "play_sessions",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "play_sessions",
        "after update",
        "for each row execute function app.record_shared_event('play_session.changed', 'id', '{}', '{}', 'play_session', 'id', '{}', '{}')",
    )
    op.create_trigger(
        "lifecycle_insert",
        "play_sessions",
        "after insert",
        "for each row when ((new.status in ('WAITING', 'ACTIVE')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "play_sessions",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'WAITING' and (new.status in ('ACTIVE', 'ENDED', 'ABANDONED', 'EXPIRED')) or old.status = 'ACTIVE' and (new.status in ('ENDED', 'ABANDONED', 'EXPIRED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_version",
        "play_sessions",
        "after update",
        "for each row when ((new.version >= old.version) is not true) execute function app.refuse_transition('version')",
    )
    op.create_trigger(
        "lifecycle_turn_count",
        "play_sessions",
        "after update",
        "for each row when ((new.turn_count >= old.turn_count) is not true) execute function app.refuse_transition('turn_count')",
    )
    op.enable_row_level_security("play_themes")
    op.create_policy(
        "owner_select",
        "play_themes",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "play_themes", "for all to service using (true) with check (true)"
    )
    op.grant("select", "play_themes", "service")
    op.grant("select (id, user_id, theme, weight, shown_count)", "play_themes", "authenticated")
    op.enable_row_level_security("play_turns")
    op.create_policy(
        "service_all", "play_turns", "for all to service using (true) with check (true)"
    )
    op.create_policy(
        "shared_select",
        "play_turns",
        "for select to authenticated using (session_id = any ((select app.play_session_ids('{}'))::uuid[]))",
    )
    op.grant("select", "play_turns", "service")
    op.grant(
        "select (id, session_id, number, player_id, partner_id, activity_id, kind, level, intensity, text, theme, why, status, done, feedback, created_at, ended_at)",
        "play_turns",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "play_turns",
        "after insert",
        "for each row when ((new.status = 'DRAWN') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "play_turns",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'DRAWN' and (new.status in ('COMPLETED', 'SKIPPED'))) is not true) execute function app.refuse_transition('status')",
    )


def downgrade() -> None:
    for function in OF_ROWS:
        op.drop_function(function)
    op.drop_index("ix_play_turns_player_id_number", table_name="play_turns")
    op.drop_index(op.f("ix_play_turns_partner_id"), table_name="play_turns")
    op.drop_table("play_turns")
    op.drop_table("play_themes")
    op.drop_index("ix_play_players_user_id_created_at_id", table_name="play_players")
    op.drop_table("play_players")
    op.drop_index("ix_play_history_user_id_shown_at", table_name="play_history")
    op.drop_index("ix_play_history_shown_at", table_name="play_history")
    op.drop_table("play_history")
    op.drop_table("play_days")
    op.drop_index(
        "ix_play_sessions_unfinished",
        table_name="play_sessions",
        postgresql_where=sa.text("ended_at is null"),
    )
    op.drop_index("ix_play_sessions_ended_at", table_name="play_sessions")
    op.drop_table("play_sessions")
    op.drop_table("play_rules")
    op.drop_function("app.play_session_ids(text[])")
