"""Sharing: partners read what a user's level shows them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0745"
down_revision = "0740"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_policy("owner_select", "boundaries")
    op.drop_policy("owner_select", "demographics")
    op.drop_policy("owner_select", "survey_answers")
    op.drop_policy("owner_select", "survey_domain_scores")
    op.drop_policy("owner_select", "survey_measures")
    op.drop_policy("owner_select", "survey_profiles")
    op.add_column(
        "survey_answers",
        sa.Column(
            "current_of",
            sa.Uuid(),
            sa.Computed("CASE WHEN is_current THEN user_id ELSE NULL::uuid END", persisted=True),
            nullable=True,
        ),
    )
    op.add_column(
        "survey_answers",
        sa.Column(
            "open_item",
            sa.Text(),
            sa.Computed(
                "CASE WHEN is_current AND score >= 0.5::double precision AND jsonb_typeof(value) = 'string'::text THEN (survey_id || ':'::text) || item_id ELSE NULL::text END",
                persisted=True,
            ),
            nullable=True,
        ),
    )
    op.create_index(
        "ix_survey_answers_current_of",
        "survey_answers",
        ["current_of"],
        unique=False,
        postgresql_where=sa.text("current_of is not null"),
    )
    op.create_function(
        "app.sharing_ids(text[])",
        "create or replace function app.sharing_ids(roles text[]) returns uuid[] language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$ begin return array(select g.group_id from (select m.partner_id as group_id, m.user_id as user_id, m.shared::text as role from public.partners m where m.user_id = app.user_id() and m.status in ('CONNECTED')) g where roles = '{}' or g.role = any (roles)); end; $$",
    )
    op.create_function(
        "app.own_survey_answers_open_item()",
        "create or replace function app.own_survey_answers_open_item() returns TEXT[] language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$ begin return array(select o.open_item from public.survey_answers o where o.current_of = app.user_id() and o.open_item is not null); end; $$",
    )
    op.create_policy(
        "owner_select",
        "boundaries",
        "for select to authenticated using (user_id = (select app.user_id()) or user_id = any ((select app.sharing_ids('{ALL}'))::uuid[]))",
    )
    op.create_policy(
        "owner_select",
        "demographics",
        "for select to authenticated using (user_id = (select app.user_id()) or user_id = any ((select app.sharing_ids('{ALL,OVERLAPPING,DEMOGRAPHICS}'))::uuid[]))",
    )
    op.create_policy(
        "owner_select",
        "survey_answers",
        "for select to authenticated using (user_id = (select app.user_id()) or current_of = any ((select app.sharing_ids('{ALL}'))::uuid[]) or (current_of = any ((select app.sharing_ids('{OVERLAPPING}'))::uuid[]) and open_item = any ((select app.own_survey_answers_open_item())::text[])))",
    )
    op.grant("select (current_of, open_item)", "survey_answers", "authenticated")
    op.create_policy(
        "owner_select",
        "survey_domain_scores",
        "for select to authenticated using (user_id = (select app.user_id()) or exists (select from survey_profiles parent_1 where parent_1.id = survey_domain_scores.profile_id and (parent_1.current_of = any ((select app.sharing_ids('{ALL}'))::uuid[]))))",
    )
    op.create_policy(
        "owner_select",
        "survey_measures",
        "for select to authenticated using (user_id = (select app.user_id()) or exists (select from survey_profiles parent_1 where parent_1.id = survey_measures.profile_id and (parent_1.current_of = any ((select app.sharing_ids('{ALL}'))::uuid[]))))",
    )
    op.create_policy(
        "owner_select",
        "survey_profiles",
        "for select to authenticated using (user_id = (select app.user_id()) or current_of = any ((select app.sharing_ids('{ALL}'))::uuid[]))",
    )


def downgrade() -> None:
    op.drop_policy("owner_select", "survey_profiles")
    op.drop_policy("owner_select", "survey_measures")
    op.drop_policy("owner_select", "survey_domain_scores")
    op.drop_policy("owner_select", "survey_answers")
    op.drop_policy("owner_select", "demographics")
    op.drop_policy("owner_select", "boundaries")
    op.drop_function("app.own_survey_answers_open_item()")
    op.drop_function("app.sharing_ids(text[])")
    op.drop_index(
        "ix_survey_answers_current_of",
        table_name="survey_answers",
        postgresql_where=sa.text("current_of is not null"),
    )
    op.drop_column("survey_answers", "open_item")
    op.drop_column("survey_answers", "current_of")
    op.create_policy(
        "owner_select",
        "survey_profiles",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "owner_select",
        "survey_measures",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "owner_select",
        "survey_domain_scores",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "owner_select",
        "survey_answers",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "owner_select",
        "demographics",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "owner_select",
        "boundaries",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
