"""A change of address can be taken back; archives end with the right to sign in."""

from __future__ import annotations

from alembic import op

revision = "0456"
down_revision = "0455"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_check("ck_one_time_codes_purpose", "one_time_codes")
    op.add_check(
        "ck_one_time_codes_purpose",
        "one_time_codes",
        "(purpose in ('CONFIRM_EMAIL', 'RESET_PASSWORD', 'SIGN_IN', 'CHANGE_EMAIL', 'UNDO_EMAIL_CHANGE'))",
    )
    op.create_function(
        "app.end_exports_of_account()",
        "create or replace function app.end_exports_of_account() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    perform app.end_exports(new.id);\n    return null;\nend;\n$$",
    )
    op.create_trigger(
        "end_exports",
        "users",
        "after update",
        "for each row when (new.status <> 'active' and old.status = 'active') execute function app.end_exports_of_account()",
    )


def downgrade() -> None:
    op.drop_trigger("end_exports", "users")
    op.drop_function("app.end_exports_of_account()")
    op.execute("delete from one_time_codes where purpose = 'UNDO_EMAIL_CHANGE'")
    op.drop_check("ck_one_time_codes_purpose", "one_time_codes")
    op.add_check(
        "ck_one_time_codes_purpose",
        "one_time_codes",
        "((purpose = ANY (ARRAY['CONFIRM_EMAIL'::text, 'RESET_PASSWORD'::text, 'SIGN_IN'::text, 'CHANGE_EMAIL'::text])))",
    )
