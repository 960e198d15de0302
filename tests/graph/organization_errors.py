"""What refuses mutations on organizations by their plans."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from auth.invitations import invitation_tokens


async def invited_without_a_seat(stage: Any) -> str:
    await stage.owner.execute(
        "insert into organization_plans"
        " (id, name, workflows, calls_per_month, campaigns, seats, sort_order, is_active)"
        " values ('one-seat', 'One seat', 1, 1, 1, 1, 1, false) on conflict do nothing"
    )
    invited = await stage.owner.fetchval(
        "with inviter as (insert into users (email) values ($2) returning id), made as ("
        " insert into organizations (name, plan_id) values ('Full', 'one-seat') returning id),"
        " member as (insert into organization_members (organization_id, user_id, role)"
        "  select m.id, i.id, 'OWNER' from made m, inviter i)"
        " insert into organization_invitations"
        " (organization_id, email, email_key, role, expires_at, invited_by)"
        " select m.id, u.email, u.email_key, 'VIEWER', now() + interval '1 day', i.id"
        " from users u, made m, inviter i where u.id = $1 returning id",
        stage.actor.user_id, f"{uuid4()}@example.test",
    )  # fmt: skip
    return f'{{token: "{invitation_tokens().token(invited)}"}}'
