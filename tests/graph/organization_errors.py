"""What refuses mutations on organizations by their plans."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from auth.invitations import invitation_tokens

from ..workflows import found_organization

INVITED = """
with inviter as (insert into users (email) values ($2) returning id), made as (
    insert into organizations (name, plan_id, deletes_at) values ('Full', $3, $4) returning id),
member as (insert into organization_members (organization_id, user_id, role)
    select m.id, i.id, 'OWNER' from made m, inviter i)
insert into organization_invitations (organization_id, email, email_key, role, expires_at, invited_by)
select m.id, u.email, u.email_key, 'VIEWER', now() + interval '1 day', i.id
from users u, made m, inviter i where u.id = $1 returning id
"""
KEYS = """
with robots as (insert into users (display_name) select 'r' from generate_series(1, 50) returning id)
insert into api_keys (user_id, organization_id, role, name, prefix, secret_hash, scopes)
select id, $1, 'VIEWER', 'x', id::text, sha256(id::text::bytea), '{READ}' from robots
"""


def new_key(organization: object, name: str = "A bot") -> str:
    """The input of a new key."""
    return (
        f'{{organizationId: "organization_{organization}", name: "{name}", scopes: [READ],'
        ' idempotencyKey: "k"}'
    )


async def has_many_keys(stage: Any) -> str:
    organization = await found_organization(stage.owner, stage.actor)
    await stage.owner.execute(KEYS, organization)
    return new_key(organization)


async def made_another_key(stage: Any) -> str:
    organization = await found_organization(stage.owner, stage.actor)
    assert await stage.codes("createOrganizationApiKey", new_key(organization)) == []
    return new_key(organization, "Another bot")


async def what_goes(stage: Any) -> UUID:
    """An organization of the user's that is to be deleted."""
    made = await found_organization(stage.owner, stage.actor)
    await stage.owner.execute("update organizations set deletes_at = now() where id = $1", made)
    return made


async def key_of_what_goes(stage: Any) -> str:
    return new_key(await what_goes(stage))


async def list_of_what_goes(stage: Any) -> str:
    return f'{{organizationId: "organization_{await what_goes(stage)}", sizeBytes: 10}}'


async def invites_to_what_goes(stage: Any) -> str:
    return f'{{organizationId: "organization_{await what_goes(stage)}", email: "a@b.test"}}'


async def invited_to_what_goes(stage: Any) -> str:
    return await invited(stage, "pro", datetime.now(UTC))


async def invited(stage: Any, plan: str, deletes_at: datetime | None = None) -> str:
    """The token of an invitation to an organization that has one member."""
    email = f"{uuid4()}@example.test"
    made = await stage.owner.fetchval(INVITED, stage.actor.user_id, email, plan, deletes_at)
    return f'{{token: "{invitation_tokens().token(made)}"}}'


async def invited_without_a_seat(stage: Any) -> str:
    await stage.owner.execute(
        "insert into organization_plans"
        " (id, name, workflows, calls_per_month, campaigns, seats, sort_order, is_active)"
        " values ('one-seat', 'One seat', 1, 1, 1, 1, 1, false) on conflict do nothing"
    )
    return await invited(stage, "one-seat")
