"""Activities for who plays alone, whose opponent has a name, and turns that say what came again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1030"
down_revision = "1000"
branch_labels = None
depends_on = None

# As app.play_name() makes it.
NAMES = """
update play_players p set name = case when p.user_id is null then 'Opponent' else (
    select left(coalesce(nullif(btrim(d.name), ''), nullif(btrim(u.display_name), ''), u.username), 100)
    from users u left join demographics d on d.user_id = u.id where u.id = p.user_id) end
where p.name is null
"""


def upgrade() -> None:
    op.drop_check("ck_activities_audience", "activities")
    op.execute(NAMES)
    op.alter_column("play_players", "name", existing_type=sa.TEXT(), nullable=False)
    op.add_column(
        "play_turns",
        sa.Column("is_repeated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_check(
        "ck_activities_audience", "activities", "(audience in ('SOLO', 'COUPLES', 'GROUPS', 'ALL'))"
    )
    op.grant("select (is_repeated)", "play_turns", "authenticated")


def downgrade() -> None:
    op.drop_function("app.suits(activities, text, text[], text[], text[], text)")
    op.drop_check("ck_activities_audience", "activities")
    op.drop_column("play_turns", "is_repeated")
    op.alter_column("play_players", "name", existing_type=sa.TEXT(), nullable=True)
    # Played turns keep their texts; without this audience the others have no meaning.
    op.execute("delete from activities where audience = 'SOLO'")
    op.add_check(
        "ck_activities_audience",
        "activities",
        "((audience = ANY (ARRAY['COUPLES'::text, 'GROUPS'::text, 'ALL'::text])))",
    )
