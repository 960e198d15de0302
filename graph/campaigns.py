"""Campaigns in the schema: lists of contacts, how and when they are called, and how far that is."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import strawberry

from db.campaigns import operations, tables
from db.campaigns.operations import CallWindow, CampaignPlan
from db.campaigns.tables import CampaignStatus, ContactListStatus, ContactStatus
from db.core.errors import ErrorCode, Problems
from db.files.storage import contacts_path
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    connection,
    global_id,
    live,
    lookup,
    mutation,
    related_row,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.organizations import Organization
from graph.runs import WorkflowRun
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Connection, Cursor, Node, noted_uuid, uuid_from_global_id
from graph.shared.scalars import JSON
from graph.uploads import links
from graph.workflows import Workflow

state_enum(CampaignStatus)
state_enum(ContactListStatus)
state_enum(ContactStatus)


@strawberry.enum(description="A day of the week.")
class Weekday(Enum):
    """Days, as ISO 8601 orders them."""

    MONDAY = strawberry.enum_value("MONDAY", description="Monday.")
    TUESDAY = strawberry.enum_value("TUESDAY", description="Tuesday.")
    WEDNESDAY = strawberry.enum_value("WEDNESDAY", description="Wednesday.")
    THURSDAY = strawberry.enum_value("THURSDAY", description="Thursday.")
    FRIDAY = strawberry.enum_value("FRIDAY", description="Friday.")
    SATURDAY = strawberry.enum_value("SATURDAY", description="Saturday.")
    SUNDAY = strawberry.enum_value("SUNDAY", description="Sunday.")


@backed_by(tables.ContactList, prefix="contactList")
class ContactList(Node):
    """A CSV file of contacts: PUT its bytes to `url`, then use `id` in `createCampaign`."""

    id: strawberry.ID = global_id()
    status: ContactListStatus = column(description="Whether it has come.")
    size_bytes: int = column(description="Its size; as announced until it is there.")
    created_at: datetime = column(description="When it was announced.")
    expires_at: datetime = column(description="Until when the PUT is accepted.")

    @computed("id", "organization_id", "expires_at", description="Where to PUT the bytes.")
    def url(self: Any) -> str:
        """Signs the link when the row is read."""
        path = contacts_path(UUID(self.organization_id), UUID(self.id))
        expires_at = datetime.fromisoformat(self.expires_at).timestamp()
        return links().signer.sign_url("PUT", path, expires_at)


@backed_by(tables.RefusedRow, prefix="refusedRow")
class RefusedRow(Node):
    """A row of a list by which nobody is called."""

    id: strawberry.ID = global_id()
    row_number: int = column(description="Which row: 1 is the one below the header.")
    field: str | None = column(description="The column at fault, if one is.")
    message: str = column(description="What is wrong with it.")


@backed_by(tables.CampaignContact, prefix="campaignContact")
class CampaignContact(Node):
    """Somebody on a campaign's list."""

    id: strawberry.ID = global_id()
    row_number: int = column(description="Their row: 1 is the one below the header.")
    phone_number: str = column(description="Their number, in E.164.")
    variables: JSON = column(description="The other columns of their row.")
    status: ContactStatus = column(description="Where they stand.")
    calls: int = column(description="How often they were called.")
    next_call_at: datetime | None = column(description="When they are called again at the soonest.")
    last_outcome: str | None = column(description="How the last call ended.")


@backed_by(tables.Campaign, prefix="campaign")
class Campaign(Node):
    """A workflow that calls everybody on a list. Members see it; all but viewers move it."""

    id: strawberry.ID = global_id()
    name: str = column(description="1 to 255 characters.")
    status: CampaignStatus = column(description="Where it stands.")
    time_zone: str = column(description="A name of the IANA database, such as Europe/Berlin.")
    windows: JSON = column(
        description="The hours in which it calls, each with `days`, `begins` and `ends`; always, "
        "when there are none."
    )
    starts_at: datetime | None = column(description="Before this it calls nobody.")
    calls_per_second: float = column(description="How many calls begin in a second at most.")
    concurrency: int = column(
        description="How many of its calls are under way at once at most, of those that the "
        "organization may have."
    )
    max_retries: int = column(description="How often somebody is called again at most.")
    retry_delay_seconds: int = column(description="How long it waits before it calls again.")
    retry_on_busy: bool = column(description="Whether it calls again where it was busy.")
    retry_on_no_answer: bool = column(description="Whether it calls again where nobody answered.")
    retry_on_voicemail: bool = column(
        description="Whether it calls again where a machine answered."
    )
    contact_count: int = column(description="How many are on its list; 0 until that was read.")
    refused_row_count: int = column(description="How many rows of its list name nobody to call.")
    call_count: int = column(description="How many calls were dialled, retries among them.")
    processed_count: int = column(description="How many contacts were reached.")
    failed_count: int = column(description="How many contacts were not, and are not called again.")
    retry_count: int = column(description="How many calls were or are to be made again.")
    pause_reason: str | None = column(description="Why the server paused it; null when it did not.")
    error: str | None = column(description="Why its contacts could not be read.")
    created_at: datetime = column(description="When it was made.")
    updated_at: datetime = column(description="When it was last moved.")
    started_at: datetime | None = column(description="When it was started.")
    synced_at: datetime | None = column(description="When all of its contacts had been read.")
    ended_at: datetime | None = column(description="When it ended.")
    workflow: Workflow | None = related_row(
        "workflow_id", description="What it calls with; null only while that is being deleted."
    )
    contacts: Connection[CampaignContact] = connection(
        CampaignContact, ("row_number",), key="campaign_id", description="Whom it calls."
    )
    refused_rows: Connection[RefusedRow] = connection(
        RefusedRow,
        ("row_number",),
        key="campaign_id",
        description="Rows of its list by which nobody is called, the first 1,000.",
    )
    runs: Connection[WorkflowRun] = connection(
        WorkflowRun, NEWEST_FIRST, key="campaign_id", description="Its calls, newest first."
    )


extend(
    Organization,
    campaigns=connection(
        Campaign, NEWEST_FIRST, key="organization_id", description="Its campaigns, newest first."
    ),
    contact_lists=connection(
        ContactList,
        NEWEST_FIRST,
        key="organization_id",
        description="Its lists of contacts, newest first.",
    ),
)
extend(
    WorkflowRun,
    campaign=related_row(
        "campaign_id", returns=Campaign | None, description="The campaign that calls, if one does."
    ),
    attempt=column(returns=int, description="Which call to this contact it is; 1 is the first."),
    retry_reason=column(
        returns=str | None, description="How the call before it ended; null for a first call."
    ),
)


@strawberry.input(description="A list of contacts about to be sent.")
class CreateContactListInput:
    organization_id: strawberry.ID = strawberry.field(description="The organization's global id.")
    size_bytes: int = strawberry.field(
        description="Its size, at most 10 MiB. No more bytes than this are taken."
    )


@strawberry.input(description="Hours of some weekdays, in the campaign's time zone.")
class CampaignWindowInput:
    days: list[Weekday] = strawberry.field(description="On which days.")
    begins: str = strawberry.field(description="When it begins, as in 09:00.")
    ends: str = strawberry.field(description="When it ends, as in 17:30; 24:00 is midnight.")


@strawberry.input(description="A new campaign.")
class CreateCampaignInput:
    workflow_id: strawberry.ID = strawberry.field(description="The published workflow's global id.")
    contact_list_id: strawberry.ID = strawberry.field(
        description="The global id of the organization's list, which has been sent: CSV in UTF-8 "
        "whose first row names the columns, one of them `phone_number` (E.164)."
    )
    name: str = strawberry.field(description="1 to 255 characters.")
    time_zone: str = strawberry.field(
        default="UTC", description="A name of the IANA database, such as Europe/Berlin."
    )
    windows: list[CampaignWindowInput] = strawberry.field(
        default_factory=list,
        description="The hours in which it calls, at most 21; always, when there are none.",
    )
    starts_at: datetime | None = strawberry.field(
        default=None,
        description="Before this it calls nobody. Null is as good as leaving it out.",
    )
    calls_per_second: float = strawberry.field(
        default=1.0, description="How many calls begin in a second at most: 0.01 to 100."
    )
    concurrency: int = strawberry.field(
        default=20, description="How many of its calls are under way at once at most: 1 to 1,000."
    )
    max_retries: int = strawberry.field(
        default=2, description="How often somebody is called again at most: 0 to 10."
    )
    retry_delay_seconds: int = strawberry.field(
        default=120, description="How long it waits before it calls again: 0 to 604,800."
    )
    retry_on_busy: bool = strawberry.field(
        default=True, description="Whether it calls again where it was busy."
    )
    retry_on_no_answer: bool = strawberry.field(
        default=True, description="Whether it calls again where nobody answered."
    )
    retry_on_voicemail: bool = strawberry.field(
        default=True, description="Whether it calls again where a machine answered."
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same campaign again. 1 to 255 characters, kept "
        "30 days."
    )


@strawberry.input(description="A campaign to start.")
class StartCampaignInput:
    id: strawberry.ID = strawberry.field(description="The campaign's global id.")


@strawberry.input(description="A campaign to pause.")
class PauseCampaignInput:
    id: strawberry.ID = strawberry.field(description="The campaign's global id.")


@strawberry.input(description="A campaign to resume.")
class ResumeCampaignInput:
    id: strawberry.ID = strawberry.field(description="The campaign's global id.")


@strawberry.input(description="A campaign to call off.")
class CancelCampaignInput:
    id: strawberry.ID = strawberry.field(description="The campaign's global id.")


@strawberry.type(description="Result of `createContactList`.")
class ContactListPayload(MutationPayload):
    contact_list: ContactList | None = strawberry.field(description="Where to put the list.")


@strawberry.type(description="Result of mutations that change a campaign.")
class CampaignPayload(MutationPayload):
    campaign: Campaign | None = strawberry.field(
        description="The campaign as it is now; null on errors."
    )


async def create_contact_list(context: Context, input: CreateContactListInput) -> Outcome:
    """Makes a place for a list of contacts."""
    context.signed_in()
    problems = Problems()
    path = ("input", "organizationId")
    organization_id = noted_uuid(problems, input.organization_id, "organization", *path)
    command = operations.create_contact_list(problems, organization_id, input.size_bytes)
    return Outcome(command, {"contact_list": RESULT})


async def create_campaign(context: Context, input: CreateCampaignInput) -> Outcome:
    """Makes a campaign of a list that is there."""
    context.signed_in()
    problems = Problems()
    workflow_id = noted_uuid(problems, input.workflow_id, "workflow", "input", "workflowId")
    path = ("input", "contactListId")
    list_id = noted_uuid(problems, input.contact_list_id, "contactList", *path)
    plan = CampaignPlan(
        name=input.name,
        time_zone=input.time_zone,
        windows=tuple(
            CallWindow(tuple(day.name for day in one.days), one.begins, one.ends)
            for one in input.windows
        ),
        starts_at=input.starts_at,
        calls_per_second=input.calls_per_second,
        concurrency=input.concurrency,
        max_retries=input.max_retries,
        retry_delay_seconds=input.retry_delay_seconds,
        retry_on_busy=input.retry_on_busy,
        retry_on_no_answer=input.retry_on_no_answer,
        retry_on_voicemail=input.retry_on_voicemail,
    )
    command = operations.create_campaign(
        problems, workflow_id, list_id, plan, input.idempotency_key
    )
    return Outcome(command, {"campaign": RESULT})


async def start_campaign(context: Context, input: StartCampaignInput) -> Outcome:
    """Has a campaign read its contacts, then call them."""
    return _move(context, input.id, "START")


async def pause_campaign(context: Context, input: PauseCampaignInput) -> Outcome:
    """Lets no further call begin."""
    return _move(context, input.id, "PAUSE")


async def resume_campaign(context: Context, input: ResumeCampaignInput) -> Outcome:
    """Goes on with a paused campaign."""
    return _move(context, input.id, "RESUME")


async def cancel_campaign(context: Context, input: CancelCampaignInput) -> Outcome:
    """Calls a campaign off."""
    return _move(context, input.id, "CANCEL")


def _move(
    context: Context, given: str, step: Literal["START", "PAUSE", "RESUME", "CANCEL"]
) -> Outcome:
    context.signed_in()
    campaign_id = uuid_from_global_id(given, "campaign", "input", "id")
    return Outcome(operations.move_campaign(campaign_id, step), {"campaign": RESULT})


@strawberry.type
class CampaignsQuery:
    """Queries on campaigns."""

    campaign: Campaign | None = lookup(
        description="A campaign of an organization of the caller's; null when it is missing or not "
        "theirs."
    )


_MOVING = (ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE)


@strawberry.type
class CampaignsMutation:
    """Mutations on campaigns."""

    create_contact_list: ContactListPayload | None = mutation(
        create_contact_list,
        CreateContactListInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
            ErrorCode.EMPTY_FILE,
            ErrorCode.LIMIT_EXCEEDED,
        ),
        for_organization_keys=True,
        description="Announce a CSV file of contacts and get a signed URL to PUT it to. Lists are "
        "kept for 30 days.",
    )
    create_campaign: CampaignPayload | None = mutation(
        create_campaign,
        CreateCampaignInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.UPLOAD_MISSING,
            ErrorCode.INVALID_STATE,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
            ErrorCode.PLAN_LIMIT_REACHED,
        ),
        for_organization_keys=True,
        description="Make a campaign: a published workflow that calls everybody on a list. It "
        "begins with `startCampaign`. For all members but viewers, as are the steps below.",
    )
    start_campaign: CampaignPayload | None = mutation(
        start_campaign,
        StartCampaignInput,
        errors=_MOVING,
        for_organization_keys=True,
        description="Have it read its contacts, each row judged by itself, then call them.",
    )
    pause_campaign: CampaignPayload | None = mutation(
        pause_campaign,
        PauseCampaignInput,
        errors=_MOVING,
        for_organization_keys=True,
        description="Let no further call begin. Those under way go on.",
    )
    resume_campaign: CampaignPayload | None = mutation(
        resume_campaign,
        ResumeCampaignInput,
        errors=_MOVING,
        for_organization_keys=True,
        description="Go on with a paused campaign.",
    )
    cancel_campaign: CampaignPayload | None = mutation(
        cancel_campaign,
        CancelCampaignInput,
        errors=_MOVING,
        for_organization_keys=True,
        description="Call it off for good. Calls under way go on.",
    )


@strawberry.type(description="A campaign after a change.")
class CampaignUpdated:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    campaign: Campaign | None = strawberry.field(description="The campaign right after the change.")


@strawberry.type
class CampaignsSubscription:
    """Subscriptions on campaigns."""

    campaign_updated: CampaignUpdated = live(
        "campaign.updated",
        "campaign",
        entity=True,
        description="A campaign of an organization of the caller's: as it is now, then after every "
        "step, and as it goes on: its counts four times a second at most.",
    )
