"""The example in React: an owner and somebody they invite work with it, each in a browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Route, expect

from jobs.telephony.simulator import plan_of
from settings import Settings

from .mailbox import Mailbox
from .react_app import Site, Visitor, running_site

# Node compiles the app: that takes long on a busy machine.
pytestmark = pytest.mark.timeout(300)
STORED = "tallygraph.session"
SPOIL = """(key) => {
  const session = JSON.parse(localStorage.getItem(key));
  const parts = session.accessToken.split(".");
  parts[2] = "AAAA";
  localStorage.setItem(key, JSON.stringify({ ...session, accessToken: parts.join(".") }));
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The app in front of a server."""
    async with running_site(tmp_path_factory.mktemp("react")) as made:
        yield made


def answering_numbers(count: int) -> list[str]:
    """Numbers whose first call ends with a conversation."""
    seed = Settings().telephony_seed
    numbers = (f"+49155501{number:05}" for number in range(1000))
    found = [one for one in numbers if plan_of(seed, one, 0).outcome == "COMPLETED"]
    return found[:count]


def an_address(name: str) -> str:
    return f"{name}-{uuid4().hex[:8]}@example.com"


async def found(visitor: Visitor, organization: str = "Acme") -> str:
    """Signs up and makes an organization; gives the address."""
    email = an_address("ada")
    await visitor.go("/")
    await visitor.sign_up(email)
    await visitor.sees("People work together in an organization")
    await visitor.fill({"Name": organization})
    await visitor.press("Create organization")
    await visitor.sees("No workflow yet")
    return email


async def make_workflow(visitor: Visitor, name: str = "Reminder") -> None:
    """A published workflow, on whose page the visitor is then."""
    await visitor.press("New workflow")
    await visitor.fill({"Name": name})
    await visitor.press("Create workflow")
    await visitor.press("Publish")
    await visitor.sees("Call a number")


async def subscribe(visitor: Visitor) -> None:
    """Pays for the plan Pro on the provider's page, and comes back."""
    site = visitor.site
    await visitor.open("Billing")
    await visitor.press("Choose Pro")
    await visitor.page.wait_for_url("https://checkout.stripe.test/**")
    session = visitor.page.url.rpartition("/")[2]
    await visitor.go("/billing?checkout=done")
    await visitor.sees("The payment is being confirmed")
    site.bank.subscribe(session)
    await site.deliver()
    await visitor.sees("Plan: Pro")


async def test_an_owner_and_whom_they_invite_see_a_call_succeed(site: Site) -> None:
    (number,) = answering_numbers(1)
    async with site.visitor() as owner, site.visitor() as member:
        await owner.go("/")
        await owner.press("Sign up")
        await owner.fill({"E-mail address": "ada", "Password": "short"})
        await owner.press("Sign up")
        await owner.is_told_at("E-mail address")
        await owner.looks_right("sign-up")
        await found(owner)

        await owner.press("New workflow")
        await owner.fill({"Name": "", "Then": ""})
        await owner.press("Create workflow")
        await owner.is_told_at("Name")
        await owner.fill({"Name": "Reminder"})
        await owner.press("Create workflow")
        # Beside the step that it is about, which the path within the definition names.
        await owner.is_told_at("Then")
        await owner.looks_right("new-workflow")
        await owner.fill({"Then": "Ask whether Tuesday is good."})
        await owner.press("Create workflow")
        await owner.press("Publish")
        await owner.sees("Active")

        await owner.fill({"Number": "12"})
        await owner.press("Call")
        await owner.is_told_at("Number")
        await owner.looks_right("workflow")
        await owner.fill({"Number": number})
        await owner.press("Call")
        await expect(owner.page.get_by_role("heading", name=f"Call to {number}")).to_be_visible()

        await owner.open("People")
        email = an_address("grace")
        await owner.fill({"E-mail address": email})
        await owner.page.get_by_label("Role", exact=True).select_option("MEMBER")
        await owner.press("Invite")
        await owner.sees(email)
        link = await the_link(owner)

        await member.page.goto(link)
        await member.sign_up(email)
        await member.press("Accept invitation")
        await member.open("Reminder")
        await member.open(number)
        await expect(member.page.locator(".page-header .status")).to_have_text("Completed")
        await member.sees("What was said")
        await member.looks_right("run")
        # What the member did is shown to the owner without a request.
        await expect(owner.page.get_by_label(f"Role of {email}")).to_have_value("MEMBER")
        await owner.looks_right("people")

        await owner.press("Remove")
        await member.open("Switchboard")
        await member.page.reload()
        await member.sees("New organization")


async def the_link(visitor: Visitor) -> str:
    """The link that is copied for the person who is invited."""
    await visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await visitor.press("Copy link")
    link: str = await visitor.page.evaluate("() => navigator.clipboard.readText()")
    return link


async def test_a_plan_is_paid_changed_and_ended_and_its_limits_are_told(site: Site) -> None:
    async with site.visitor() as owner:
        await found(owner)
        await make_workflow(owner)
        await owner.open("Workflows")
        await owner.press("New workflow")
        await owner.fill({"Name": "Another"})
        await owner.press("Create workflow")
        await owner.open("See the plans")
        await owner.sees("Plan: Free")
        await owner.looks_right("plans")
        await owner.page.get_by_label("Yearly").check()
        await owner.sees("$990.00 a year")
        await owner.page.get_by_label("Monthly").check()
        await subscribe(owner)
        await owner.sees("Any number of workflows")

        await owner.press("Change to Starter")
        await owner.sees("Nothing is paid now; $70.00 is kept for later invoices.")
        await owner.looks_right("billing")
        await owner.press("Change now")
        await owner.sees("Plan: Starter")
        await owner.press("End it with this period")
        await owner.sees("It ends on")
        await owner.press("Keep it after all")
        await owner.sees("renewed on")
        await owner.press("Cards and receipts")
        await owner.page.wait_for_url("https://billing.stripe.test/**")
        await owner.go("/billing")
        await owner.press("End it now")
        await owner.sees("Plan: Free")


async def test_a_campaign_calls_a_list_and_is_followed_live(site: Site) -> None:
    numbers = answering_numbers(6)
    contacts = "\n".join(["phone_number,name", *(f"{one},Kim" for one in numbers), "none,Sam"])
    async with site.visitor() as owner:
        await found(owner)
        await make_workflow(owner)
        await subscribe(owner)
        await owner.open("Campaigns")
        await owner.press("New campaign")
        await owner.fill({"Name": "October", "Calls a second": "2"})
        await owner.press("Create campaign")
        await owner.sees("Choose a file.")
        await owner.page.get_by_label("Contacts").set_input_files(
            {"name": "contacts.csv", "mimeType": "text/csv", "buffer": contacts.encode()}
        )
        await owner.press("Create campaign")
        await owner.press("Start")
        await owner.sees("Running")
        await owner.press("Pause")
        await owner.sees("Paused")
        await owner.press("Resume")
        await expect(owner.page.get_by_role("meter", name="Reached")).to_have_attribute(
            "aria-valuetext", "6 of 6", timeout=15_000
        )
        await owner.sees("Rows that name nobody to call: 1")
        await owner.looks_right("campaign")


async def test_tabs_share_a_session_that_is_renewed_once(site: Site) -> None:
    renewals: list[str] = []

    async def slow(route: Route) -> None:
        """Has a renewal last long enough for the other tab to want one as well."""
        if "refreshSession" in (route.request.post_data or ""):
            renewals.append(route.request.url)
            await asyncio.sleep(1)
        await route.continue_()

    async with site.visitor() as owner:
        email = await found(owner)
        context = owner.page.context
        other = Visitor(site, await context.new_page())
        await other.go("/people")
        await other.sees("Members")
        await context.route("**/graphql", slow)
        # As when the server takes the token no longer: both tabs are refused, and one renews.
        await owner.page.evaluate(SPOIL, STORED)
        owner.faults.clear()
        await asyncio.gather(owner.open("Billing"), other.open("Campaigns"))
        await owner.sees("Plan: Free")
        await other.sees("No campaign yet")
        assert len(renewals) == 1
        owner.faults = [one for one in owner.faults if "401" not in one]

        await owner.press("Sign out")
        await expect(owner.page.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(other.page.get_by_role("heading", name="Sign in")).to_be_visible()
        kept = await other.page.evaluate("(key) => localStorage.getItem(key)", STORED)
        assert kept is None
        assert re.search(r"/billing$", owner.page.url)
        await set_another_password(owner, email)
        await other.sees("No campaign yet")


async def set_another_password(visitor: Visitor, email: str) -> None:
    """Who has forgotten their password is mailed a code, and is back where they were."""
    mails = Mailbox(visitor.site.server.data_directory, email)
    await visitor.press("Forgot your password?")
    await visitor.fill({"E-mail address": email})
    await visitor.press("Mail a code")
    await visitor.fill({"Code": "000000", "New password": "copper meadow 3"})
    await visitor.press("Set password")
    await visitor.is_told_at("Code")
    await visitor.looks_right("another-password")
    await visitor.fill({"Code": await mails.code()})
    await visitor.press("Set password")
    await visitor.sees("Plan: Free")
