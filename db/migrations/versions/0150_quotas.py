"""Quotas: counted tables, their limits by audience, and the terms of uploads in the database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import drop_table_cascade, run_all, run_script

revision = "0150"
down_revision = "0140"
branch_labels = None
depends_on = None

STORED_BYTES = {
    "generations": "octet_length(parameters::text) + coalesce(octet_length(result::text), 0)",
    "notifications": "octet_length(data::text)",
    "profiles": "coalesce(octet_length(name::text), 0) + coalesce(octet_length(thumbnail), 0)"
    " + octet_length(analysis::text) + octet_length(chat_history::text)",
    "uploads": "case status when 'DELETED' then 0 when 'READY' then size_bytes else declared_size_bytes end",
}
ARGUMENTS = {
    "generations": "'REFUSE', 'deleteGeneration'",
    "notifications": "'FORGET', ''",
    "profiles": "'REFUSE', 'deleteProfile'",
    "uploads": "'COUNT', 'deleteUpload'",
}
OTHER_TRIGGERS = (
    "create trigger forget_allowed after update on users for each row"
    " when (old.plan_id is distinct from new.plan_id or old.is_anonymous <> new.is_anonymous)"
    " execute function app.forget_allowed()",
    "create trigger forget_allowed after insert or update or delete on quota_limits"
    " for each row execute function app.forget_allowed()",
)
LOCKS = (
    "alter table quota_limits enable row level security",
    "create policy public_select on quota_limits for select to anon, authenticated using (true)",
    "create policy service_all on quota_limits for all to service using (true) with check (true)",
    "grant select (audience, slice, rows_limit, bytes_limit, is_custom) on quota_limits to anon, authenticated",
    "grant select on quota_limits to service",
    "alter table quota_use enable row level security",
    "create policy owner_select on quota_use for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    "create policy service_all on quota_use for all to service using (true) with check (true)",
    "grant select (user_id, slice, rows_used, bytes_used, rows_allowed, bytes_allowed) on quota_use to authenticated",
    "grant select on quota_use to service",
    "alter table upload_terms enable row level security",
    "create policy service_all on upload_terms for all to service using (true) with check (true)",
    "grant select on upload_terms to service",
    *(f"grant select (stored_bytes) on {table} to authenticated" for table in STORED_BYTES),
)
# Functions whose arguments change; `migrate` makes them anew.
REPLACED = (
    "drop function if exists app.create_upload(text, bigint, interval, interval, bigint, integer)",
    "drop function if exists app.reserve_upload_bytes(uuid, bigint, interval, bigint)",
    "drop function if exists app.upload_bytes(uuid, interval, uuid)",
    "drop function if exists app.refuse_over_quota(bigint, bigint, bigint)",
    "drop function if exists app.refuse_many_waiting(uuid, interval, integer)",
)
DROPPED = (
    "drop function if exists app.create_upload(text, bigint)",
    "drop function if exists app.reserve_upload_bytes(uuid, bigint)",
    "drop function if exists app.refuse_over_quota(uuid, bigint, uuid)",
    "drop function if exists app.refuse_many_waiting(uuid)",
    "drop function if exists app.delete_generation(uuid)",
    "drop function if exists app.set_upload_terms(interval, interval, integer, bigint)",
    "drop function app.count_use()",
    "drop function app.count_deleted()",
    "drop function app.forget_allowed() cascade",
    "drop function app.quotas(uuid)",
)


def upgrade() -> None:
    op.create_table(
        "quota_limits",
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("slice", sa.Text(), nullable=False),
        sa.Column("rows_limit", sa.BigInteger(), nullable=False),
        sa.Column("bytes_limit", sa.BigInteger(), nullable=False),
        sa.Column("is_custom", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint(
            "rows_limit >= 0 and bytes_limit >= 0", name=op.f("ck_quota_limits_limits")
        ),
        sa.PrimaryKeyConstraint("audience", "slice", name=op.f("pk_quota_limits")),
    )
    op.create_table(
        "quota_use",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("slice", sa.Text(), nullable=False),
        sa.Column("rows_used", sa.BigInteger(), nullable=False),
        sa.Column("bytes_used", sa.BigInteger(), nullable=False),
        sa.Column("rows_allowed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("bytes_allowed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_quota_use_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "slice", name=op.f("pk_quota_use")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "upload_terms",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("url_lasts", sa.Interval(), nullable=False),
        sa.Column("waiting", sa.Interval(), nullable=False),
        sa.Column("waiting_limit", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_upload_terms_single_row")),
        sa.CheckConstraint(
            "waiting_limit > 0 and url_lasts > '0' and waiting > '0'",
            name=op.f("ck_upload_terms_terms"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload_terms")),
    )
    for table, size in STORED_BYTES.items():
        kind = sa.BigInteger() if table == "uploads" else sa.Integer()
        computed = sa.Computed(size, persisted=True)
        op.add_column(table, sa.Column("stored_bytes", kind, computed, nullable=False))
    op.create_index(
        "ix_uploads_waiting",
        "uploads",
        ["user_id", "created_at"],
        unique=False,
        postgresql_where=sa.text("received_at is null"),
    )
    op.create_index(op.f("ix_sessions_expires_at"), "sessions", ["expires_at"], unique=False)
    run_all([*LOCKS, *REPLACED])
    run_script("0150_quotas.sql")
    for table, arguments in ARGUMENTS.items():
        op.execute(
            "insert into quota_use (user_id, slice, rows_used, bytes_used)"
            f" select user_id, '{table}', count(*) filter (where stored_bytes > 0), sum(stored_bytes)"
            f" from {table} group by user_id"
        )
        counting = f"execute function app.count_use({arguments})"
        run_all(
            [
                f"create trigger count_insert after insert on {table} for each row {counting}",
                f"create trigger count_update after update on {table} for each row"
                f" when (old.stored_bytes <> new.stored_bytes) {counting}",
                f"create trigger count_delete after delete on {table} referencing old table as old_rows"
                " for each statement execute function app.count_deleted()",
            ]
        )
    run_all(OTHER_TRIGGERS)


def downgrade() -> None:
    for table in ARGUMENTS:
        run_all(
            [f"drop trigger count_{change} on {table}" for change in ("insert", "update", "delete")]
        )
    op.execute("drop trigger forget_allowed on users")
    run_all(DROPPED)
    op.drop_index(op.f("ix_sessions_expires_at"), table_name="sessions")
    op.drop_index("ix_uploads_waiting", table_name="uploads")
    for table in STORED_BYTES:
        op.drop_column(table, "stored_bytes")
    drop_table_cascade("upload_terms")
    drop_table_cascade("quota_use")
    drop_table_cascade("quota_limits")
