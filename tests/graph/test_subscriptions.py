"""What an organization pays for and may have, as each of its members sees it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from server.services import Services

from ..conftest import MakeUser
from .conftest import Ask
from .subscribing import sell

SEE = """query($id: ID!) { organization(id: $id) {
  plan { id name } limits { workflows callsPerMonth campaigns seats }
  usage { workflows callsThisMonth campaigns seats } withinLimits { workflows calls campaigns seats }
  subscription { id status planId interval seats currentPeriodEnd cancelAtPeriodEnd }
  invoices { nodes { status totalCents pageUrl } } } }"""
BEGIN = """mutation($input: CreateSubscriptionInput!) { createSubscription(input: $input) {
  checkoutUrl subscription { id status planId interval } errors { code path } } }"""
INVOICE = """
insert into provider_invoices (organization_id, provider, provider_invoice_id, provider_subscription_id, payment_id,
    status, total_cents, paid_cents, currency, period_start, period_end, page_url, told_at)
values ($1::uuid, 'stripe', 'in_' || $1, 'sub_' || $1, 'in_' || $1, 'PAID', 2900, 2900, 'USD', now(), now(),
    'https://invoice.example.test/1', now())
"""


@pytest.mark.parametrize("role", ["OWNER", "ADMIN", "MEMBER", "VIEWER", None])
async def test_members_see_limits_and_managers_what_is_paid(
    ask: Ask,
    owner: asyncpg.Connection,
    make_user: MakeUser,
    services: Services,
    role: str | None,
) -> None:
    sell(services)
    boss, other = await make_user(), await make_user()
    organization: UUID = await owner.fetchval(
        "insert into organizations (name) values ('Acme') returning id"
    )
    members = [(boss, "OWNER"), *([(other, role)] if role else [])]
    for member, its_role in members:
        await owner.execute(
            "insert into organization_members (organization_id, user_id, role) values ($1, $2, $3)",
            organization,
            member.user_id,
            its_role,
        )
    await owner.execute(INVOICE, organization)
    await owner.execute("select app.enforce_plan_limit($1, 'CALLS', 50)", organization)
    global_id = f"organization_{organization}"
    given = {"organizationId": global_id, "planId": "starter", "idempotencyKey": str(uuid4())}
    begun = (await ask(BEGIN, {"input": given}, actor=boss))["data"]["createSubscription"]
    assert begun["errors"] == []
    assert begun["checkoutUrl"].startswith("https://pay.example.test/cs_")
    assert (begun["subscription"]["status"], begun["subscription"]["planId"]) == (
        "PENDING",
        "organizationPlan_starter",
    )
    seen: dict[str, Any] = (await ask(SEE, {"id": global_id}, actor=other))["data"]["organization"]
    if role is None:
        assert seen is None
        return
    assert seen["plan"] == {"id": "organizationPlan_free", "name": "Free"}
    assert seen["limits"] == {"workflows": 1, "callsPerMonth": 50, "campaigns": 0, "seats": -1}
    assert seen["usage"] == {"workflows": 0, "callsThisMonth": 50, "campaigns": 0, "seats": 2}
    assert seen["withinLimits"] == {
        "workflows": True, "calls": False, "campaigns": False, "seats": True
    }  # fmt: skip
    if role in ("OWNER", "ADMIN"):
        assert seen["subscription"]["id"] == begun["subscription"]["id"]
        assert seen["invoices"]["nodes"] == [
            {
                "status": "PAID",
                "totalCents": 2900,
                "pageUrl": "https://invoice.example.test/1",
            }
        ]
    else:
        assert seen["subscription"] is None
        assert seen["invoices"]["nodes"] == []
