"""Texts in ten languages; what admins edit in the catalog stays, and everybody hears of each change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import drop_table_cascade, run_all

revision = "0380"
down_revision = "0370"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_policy("public_select", "hairstyles")
    op.drop_trigger("record_event", "tools")
    op.create_table(
        "translations",
        sa.Column(
            "id", sa.Text(), sa.Computed("locale || ':' || key", persisted=True), nullable=False
        ),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("edited", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.CheckConstraint(
            "locale in ('en', 'zh', 'hi', 'es', 'ar', 'fr', 'bn', 'pt', 'ru', 'id')",
            name=op.f("ck_translations_locale"),
        ),
        sa.CheckConstraint("length(key) between 1 and 200", name=op.f("ck_translations_key")),
        sa.CheckConstraint("length(text) between 1 and 2000", name=op.f("ck_translations_text")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_translations")),
    )
    op.add_column(
        "hair_colors",
        sa.Column("edited", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column(
        "hairstyles",
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
    )
    op.add_column(
        "hairstyles",
        sa.Column("edited", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column(
        "plans",
        sa.Column("adds_watermark", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "plans",
        sa.Column(
            "has_pro_hairstyles", sa.Boolean(), server_default=sa.text("true"), nullable=False
        ),
    )
    op.add_column(
        "plans",
        sa.Column("has_high_quality", sa.Boolean(), server_default=sa.text("true"), nullable=False),
    )
    op.add_column(
        "plans",
        sa.Column("edited", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column(
        "skin_colors",
        sa.Column("edited", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column(
        "tools",
        sa.Column("edited", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    run_all(
        (
            "update plans set adds_watermark = true, has_pro_hairstyles = false, has_high_quality = false"
            " where price_cents = 0",
            # What admins have switched since there is an audit log stays as they left it.
            "update tools set edited = '{is_active}' where 'tool_' || id in"
            " (select detail ->> 'tool' from audit_log where action = 'set_tool_active')",
        )
    )
    op.create_function(
        "app.record_joint_event()",
        "create or replace function app.record_joint_event() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\ndeclare\n    hidden text[] := tg_argv[2]::text[];\n    row_image jsonb := case tg_op when 'DELETE' then to_jsonb(old) else to_jsonb(new) end - hidden;\nbegin\n    if tg_op <> 'UPDATE' or row_image <> to_jsonb(old) - hidden then\n        insert into public.events (topic, change, audience_kind, entity_id, snapshot)\n        values (tg_argv[0], tg_op, 'everybody', row_image ->> tg_argv[1],\n                row_image || jsonb_build_object('table', tg_table_name));\n    end if;\n    return null;\nend;\n$$",
    )
    op.create_trigger(
        "record_joint_event",
        "hair_colors",
        "after insert or update or delete",
        "for each row execute function app.record_joint_event('catalog.changed', 'hex_code', '{edited}')",
    )
    op.create_policy(
        "public_select", "hairstyles", "for select to anon, authenticated using (is_active)"
    )
    op.create_policy(
        "admin_select", "hairstyles", "for select to authenticated using ((select app.is_admin()))"
    )
    op.grant("select (is_active)", "hairstyles", "anon, authenticated")
    op.create_trigger(
        "record_joint_event",
        "hairstyles",
        "after insert or update or delete",
        "for each row execute function app.record_joint_event('catalog.changed', 'id', '{edited}')",
    )
    op.grant(
        "select (adds_watermark, has_pro_hairstyles, has_high_quality)",
        "plans",
        "anon, authenticated",
    )
    op.create_trigger(
        "record_joint_event",
        "plans",
        "after insert or update or delete",
        "for each row execute function app.record_joint_event('catalog.changed', 'id', '{edited}')",
    )
    op.create_trigger(
        "record_joint_event",
        "skin_colors",
        "after insert or update or delete",
        "for each row execute function app.record_joint_event('catalog.changed', 'hex_code', '{edited}')",
    )
    op.create_trigger(
        "record_event",
        "tools",
        "after insert or update or delete",
        "for each row execute function app.record_event('tools.changed', 'id', '{edited}', '{}', '')",
    )
    op.create_trigger(
        "record_joint_event",
        "tools",
        "after insert or update or delete",
        "for each row execute function app.record_joint_event('catalog.changed', 'id', '{edited}')",
    )
    op.enable_row_level_security("translations")
    op.create_policy(
        "public_select", "translations", "for select to anon, authenticated using (true)"
    )
    op.create_policy(
        "service_all", "translations", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, update, delete", "translations", "service")
    op.grant("select (id, locale, key, text)", "translations", "anon, authenticated")


def downgrade() -> None:
    op.drop_trigger("record_joint_event", "tools")
    op.drop_trigger("record_event", "tools")
    op.drop_trigger("record_joint_event", "skin_colors")
    op.drop_trigger("record_joint_event", "plans")
    op.drop_trigger("record_joint_event", "hairstyles")
    op.drop_policy("admin_select", "hairstyles")
    op.drop_policy("public_select", "hairstyles")
    op.drop_trigger("record_joint_event", "hair_colors")
    op.drop_function("app.record_joint_event()")
    op.drop_column("tools", "edited")
    op.drop_column("skin_colors", "edited")
    op.drop_column("plans", "edited")
    op.drop_column("plans", "has_high_quality")
    op.drop_column("plans", "has_pro_hairstyles")
    op.drop_column("plans", "adds_watermark")
    op.drop_column("hairstyles", "edited")
    op.drop_column("hairstyles", "is_active")
    op.drop_column("hair_colors", "edited")
    drop_table_cascade("translations")
    op.create_trigger(
        "record_event",
        "tools",
        "AFTER INSERT OR DELETE OR UPDATE",
        "FOR EACH ROW EXECUTE FUNCTION app.record_event('tools.changed', 'id', '{}', '{}', '')",
    )
    op.create_policy(
        "public_select", "hairstyles", "for select to anon, authenticated using (true)"
    )
