"""The product VoiceFX as its clients meet it: a deployment with Stripe and simulated calls, and what they ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from db.core.queue import RUN_SCHEDULED
from tests.fakes.stripe_billing import FakeBilling, stripe_billing
from tests.running import RunningServer, run_command, running_server
from tests.workflows import DEFINITION

from .client import Client
from .devices import Device

PASSWORD = "violet lantern 7"
PRICES = {
    "STRIPE_PRICE_STARTER_MONTHLY": "price_starter",
    "STRIPE_PRICE_PRO_MONTHLY": "price_pro",
    "STRIPE_PRICE_PRO_ANNUAL": "price_pro_year",
}
CENTS = {"price_starter": 2900, "price_pro": 9900, "price_pro_year": 99000}
SIGN_UP = """mutation($email: String!, $password: String!) {
  signUp(input: {email: $email, password: $password}) {
    session { accessToken user { id } } errors { code } } }"""
FOUND = """mutation($name: String!, $key: String!) {
  createOrganization(input: {name: $name, idempotencyKey: $key}) {
    organization { id name plan { id } } viewer { selectedOrganization { id } } errors { code } } }"""
INVITE = """mutation($o: ID!, $email: String!, $role: OrganizationRole!) {
  inviteMember(input: {organizationId: $o, email: $email, role: $role}) {
    invitation { id status } errors { code path } } }"""
ACCEPT = """mutation($token: String!) { acceptInvitation(input: {token: $token}) {
  organization { id members { nodes { role user { id } } } } errors { code } } }"""
SET_ROLE = """mutation($o: ID!, $u: ID!, $role: OrganizationRole!) {
  setMemberRole(input: {organizationId: $o, userId: $u, role: $role}) {
    member { role } errors { code } } }"""
REMOVE = """mutation($o: ID!, $u: ID!) { removeMember(input: {organizationId: $o, userId: $u}) {
  organization { members { totalCount } } errors { code } } }"""
RENAME = """mutation($o: ID!, $name: String!) {
  renameOrganization(input: {organizationId: $o, name: $name}) { organization { name } errors { code } } }"""
WORKFLOW = (
    "workflow { id name status versions { nodes { number isCurrent } } } errors { code path }"
)
CREATE_WORKFLOW = """mutation($o: ID!, $name: String!, $definition: JSON!, $key: String!) {
  createWorkflow(input: {organizationId: $o, name: $name, definition: $definition,
    idempotencyKey: $key}) {
    workflow { id status versions { nodes { number isCurrent } } }
    errors { code path message ... on PlanLimitReached { limit used planId } } } }"""
UPDATE_WORKFLOW = f"""mutation($w: ID!, $definition: JSON) {{
  updateWorkflow(input: {{id: $w, definition: $definition}}) {{ {WORKFLOW} }} }}"""
PUBLISH = f"mutation($w: ID!) {{ publishWorkflow(input: {{id: $w}}) {{ {WORKFLOW} }} }}"
ARCHIVE = f"mutation($w: ID!) {{ archiveWorkflow(input: {{id: $w}}) {{ {WORKFLOW} }} }}"
CALL = """mutation($w: ID!, $to: String!, $key: String!) {
  startRun(input: {workflowId: $w, to: $to, idempotencyKey: $key}) {
    run { id status version { number } } errors { code path } } }"""
WATCH_RUN = """subscription($id: ID!) { runUpdated(id: $id) { cursor run {
  id status durationSeconds costMicroUsd transcript recordingUrl endedAt } } }"""
ANNOUNCE = """mutation($o: ID!, $size: Int!) {
  createContactList(input: {organizationId: $o, sizeBytes: $size}) {
    contactList { id url } errors { code path } } }"""
CREATE_CAMPAIGN = """mutation($input: CreateCampaignInput!) { createCampaign(input: $input) {
  campaign { id status } errors { code path ... on PlanLimitReached { limit used planId } } } }"""
START = (
    "mutation($id: ID!) { startCampaign(input: {id: $id}) { campaign { status } errors { code } } }"
)
PAUSE = (
    "mutation($id: ID!) { pauseCampaign(input: {id: $id}) { campaign { status } errors { code } } }"
)
RESUME = "mutation($id: ID!) { resumeCampaign(input: {id: $id}) { campaign { status } errors { code } } }"
CANCEL = "mutation($id: ID!) { cancelCampaign(input: {id: $id}) { campaign { status } errors { code } } }"
CAMPAIGN = """status contactCount refusedRowCount callCount processedCount failedCount"""
WATCH_CAMPAIGN = f"""subscription($id: ID!, $after: Cursor) {{ campaignUpdated(id: $id, after: $after) {{
  cursor campaign {{ {CAMPAIGN} }} }} }}"""
SEE_CAMPAIGN = f"""query($id: ID!) {{ campaign(id: $id) {{ {CAMPAIGN}
  contacts {{ nodes {{ phoneNumber status calls variables }} }} refusedRows {{ nodes {{ rowNumber field }} }}
  runs(first: 50) {{ nodes {{ phoneNumber attempt status }} }} }} }}"""
WATCH_ORGANIZATION = """subscription($id: ID!) { organizationChanged(id: $id) {
  organization { name plan { id } members { totalCount } } } }"""
STANDS = """query($o: ID!) { organization(id: $o) { name plan { id }
  limits { workflows callsPerMonth campaigns } usage { workflows callsThisMonth campaigns }
  withinLimits { workflows calls campaigns } subscription { status graceEndsAt cancelAtPeriodEnd }
  invoices { nodes { status totalCents documentUrl } } } }"""
SUBSCRIBE = """mutation($o: ID!, $plan: ID!, $key: String!) {
  createSubscription(input: {organizationId: $o, planId: $plan, idempotencyKey: $key}) {
    subscription { id status planId } checkoutUrl errors { code } } }"""
PREVIEW = """mutation($o: ID!, $plan: ID!) { previewPlanChange(input: {organizationId: $o, planId: $plan}) {
  preview { dueCents currency proratedAt } errors { code } } }"""
CHANGE = """mutation($o: ID!, $plan: ID!, $key: String!) {
  changeSubscription(input: {organizationId: $o, planId: $plan, idempotencyKey: $key}) {
    subscription { status planId } errors { code } } }"""
CANCEL_SUBSCRIPTION = """mutation($o: ID!) { cancelSubscription(input: {organizationId: $o}) {
  subscription { cancelAtPeriodEnd } errors { code } } }"""
RESUME_SUBSCRIPTION = """mutation($o: ID!) { resumeSubscription(input: {organizationId: $o}) {
  subscription { cancelAtPeriodEnd } errors { code } } }"""
PORTAL = """mutation($o: ID!) { createBillingPortal(input: {organizationId: $o}) {
  url errors { code } } }"""
CREATE_KEY = """mutation($o: ID!, $role: OrganizationRole!, $scopes: [ApiKeyScope!]!) {
  createOrganizationApiKey(input: {organizationId: $o, name: "Dialler", role: $role, scopes: $scopes}) {
    secret apiKey { id role scopes organization { id } } errors { code path } } }"""
ROTATE_KEY = """mutation($id: ID!) { rotateApiKey(input: {id: $id, overlapHours: 0}) {
  secret apiKey { id } errors { code } } }"""
REVOKE_KEY = """mutation($id: ID!) { revokeApiKey(input: {id: $id}) {
  apiKey { revokedAt } errors { code } } }"""
KEYS = "query($o: ID!) { organization(id: $o) { apiKeys { nodes { id role name } } } }"
WHERE_KEY_ACTS = """{ viewer { email memberships { nodes { role organization { id } } } } }"""
DELETE = """mutation($o: ID!) { deleteOrganization(input: {organizationId: $o}) {
  organization { deletesAt } errors { code } } }"""
KEEP = """mutation($o: ID!) { keepOrganization(input: {organizationId: $o}) {
  organization { deletesAt } errors { code } } }"""
LOG = """query($o: ID!) { organization(id: $o) { auditLog(first: 50) {
  nodes { action actor userId subject role } } } }"""
NOTICES = "{ viewer { notifications(first: 5) { nodes { titleKey } } } }"


@dataclass
class VoiceFX:
    """The product, and the bank behind it."""

    server: RunningServer
    bank: FakeBilling

    def command(self, *arguments: str) -> str:
        """What the operator's command prints."""
        done = run_command(self.server.data_directory, *arguments, COLUMNS="200")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    async def owner(self, statement: str, *values: Any) -> Any:
        """Runs a statement as the operator, who has the database."""
        connection = await asyncpg.connect(self.server.owner_url)
        try:
            return await connection.fetchval(statement, *values)
        finally:
            await connection.close()

    async def due_now(self, work: str) -> None:
        """Has a worker do what is scheduled for later, as if its time had come."""
        await self.owner(
            "insert into queue.pgqueuer (priority, entrypoint, payload, status)"
            " values (10, $1, convert_to($2, 'UTF8'), 'queued')",
            RUN_SCHEDULED,
            json.dumps({"name": work}),
        )

    async def told(self, http: httpx.AsyncClient) -> None:
        """Stripe delivers what happened there, each twice."""
        for sent in self.bank.delivered():
            for _ in range(2):
                url = f"{self.server.url}/webhooks/stripe"
                answer = await http.post(url, content=sent.body, headers=sent.headers)
                assert answer.status_code == 200, answer.text


@contextmanager
def running_voicefx(folder: Path) -> Iterator[VoiceFX]:
    """A deployment with Stripe's prices, whose simulated calls take a tenth of a second."""
    with stripe_billing() as bank:
        bank.price_cents, bank.yearly = dict(CENTS), {"price_pro_year"}
        settings = {"TELEPHONY_SECONDS": "0.1", **PRICES, **bank.settings}
        with running_server(folder, **settings) as server:  # type: ignore[arg-type]
            yield VoiceFX(server, bank)


async def signed_up(voicefx: VoiceFX, http: httpx.AsyncClient) -> Client:
    """Somebody who has just signed up."""
    client = Client(voicefx.server.url, http)
    client.email = f"{uuid4()}@example.test"
    payload = (await client.ask(SIGN_UP, {"email": client.email, "password": PASSWORD}))["signUp"]
    assert payload["errors"] == [], payload
    client.token = payload["session"]["accessToken"]
    client.user_id = payload["session"]["user"]["id"]
    return client


async def founded(owner: Device, name: str = "Acme") -> str:
    """A new organization of somebody's; its id."""
    made = await owner.do(FOUND, name=name, key=str(uuid4()))
    organization: str = made["organization"]["id"]
    return organization


async def made_workflow(member: Device, organization: str, name: str = "Reminder") -> str:
    """A published workflow; its id."""
    given = {"o": organization, "name": name, "definition": DEFINITION, "key": str(uuid4())}
    made: str = (await member.do(CREATE_WORKFLOW, **given))["workflow"]["id"]
    assert (await member.do(PUBLISH, w=made))["workflow"]["status"] == "ACTIVE"
    return made


async def sent_list(member: Device, organization: str, file: bytes) -> str:
    """A list of contacts that was sent to its signed link; its id."""
    made = (await member.do(ANNOUNCE, o=organization, size=len(file)))["contactList"]
    answer = await member.client.http.put(made["url"], content=file)
    assert answer.status_code == 201, answer.text
    list_id: str = made["id"]
    return list_id


async def stands(member: Device, organization: str, **wanted: Any) -> dict[str, Any]:
    """The organization, once its plan or subscription is so: `plan`, `status`."""
    async with asyncio.timeout(30):
        while True:
            found: dict[str, Any] = await member.get(STANDS, "organization", o=organization)
            subscription = found["subscription"] or {}
            now = {"plan": found["plan"]["id"], "status": subscription.get("status")}
            if wanted.items() <= now.items():
                return found
            await asyncio.sleep(0.05)
