"""Partners in the schema: requests to connect, who is connected, what each shows the other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import strawberry
from sqlalchemy import Text

from db.core.errors import ErrorCode
from db.partners import operations, tables
from db.partners.tables import PartnerRequestStatus, PartnerStatus, SharingLevel
from graph.accounts import User
from graph.demographics import Demographics
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    connection,
    expression,
    global_id,
    live,
    mutation,
    related_row,
    related_rows,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.shared.changes import ChangeKind
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor, Node, uuid_from_global_id
from graph.surveys import MOST_ITEMS, SurveyAnswer, SurveyProfile

for _states in (PartnerRequestStatus, PartnerStatus, SharingLevel):
    state_enum(_states)


@backed_by(tables.PartnerRequest, prefix="partnerRequest")
class PartnerRequest(Node):
    """Somebody asks somebody else to connect."""

    id: strawberry.ID = global_id()
    email: str | None = column(
        description="The address as it was typed; null where a remembered partner was asked."
    )
    requester_name: str | None = column(description="The name of whoever asks, as it was then.")
    status: PartnerRequestStatus = column(description="Where it stands.")

    @computed(
        "status",
        "expires_at",
        description="Whether nobody answered in time, also before `status` says EXPIRED.",
    )
    def is_expired(self: Any) -> bool:
        """Columns come as JSON has them."""
        is_late = datetime.fromisoformat(self.expires_at) <= datetime.now(UTC)
        is_open = self.status == PartnerRequestStatus.PENDING
        return self.status == PartnerRequestStatus.EXPIRED or (is_open and is_late)

    created_at: datetime = column(description="When it was made.")
    expires_at: datetime = column(description="Until when it can be accepted: 5 minutes.")
    ended_at: datetime | None = column(description="When it ended; null while it is pending.")


@backed_by(tables.Partner, prefix="partner")
class Partner(Node):
    """Somebody that the user is, or was, connected with."""

    id: strawberry.ID = global_id()
    display_name: str | None = column(
        description="The name they gave themselves; once the two are not connected, as it was then."
    )
    status: PartnerStatus = column(description="Whether the two are connected.")
    sharing: SharingLevel = column(description="What the user shows the partner.")
    shared: SharingLevel = column(description="What the partner shows the user.")
    connected_at: datetime = column(description="When they were last connected.")
    last_used_at: datetime = column(description="By this the ten that are kept are chosen.")
    compared_at: datetime | None = column(
        description="When `compatibility` was last worked out; null before. With DEMOGRAPHICS, "
        "when its score last changed."
    )
    shared_changed_at: datetime | None = column(
        description="When something that the partner shows the user was last changed; null before."
    )
    demographics: Demographics | None = related_row(
        "partner_id",
        "user_id",
        description="Who the partner says they are; null unless the two are connected.",
    )
    survey_profile: SurveyProfile | None = related_row(
        "partner_id",
        "current_of",
        description="The partner's profile, with boundaries; null unless they share ALL.",
    )
    answers: list[SurveyAnswer] = related_rows(
        "user_id",
        ("item_id",),
        at_most=MOST_ITEMS,
        local="partner_id",
        description="The partner's answers: all when they share ALL; when they share OVERLAPPING "
        "what both answered with yes or maybe; else none.",
    )


@backed_by(tables.PartnerBlock, prefix="partnerBlock")
class PartnerBlock(Node):
    """Somebody who cannot ask the user to connect."""

    id: strawberry.ID = global_id()
    display_name: str | None = column(
        description="The name that the user knew them by; null where there was none."
    )
    created_at: datetime = column(description="Since when.")


extend(
    User,
    default_sharing=expression(
        lambda user: operations.DEFAULT_SHARING.of(user.c.id, type_=Text()),
        returns=SharingLevel,
        description="What the user shows new partners at first: OVERLAPPING until they set it.",
    ),
    partners=connection(
        Partner,
        ("-last_used_at", "-id"),
        default_size=tables.PARTNERS_LIMIT,
        description="The user's partners, at most 10, the one used last at the top. One more takes "
        "the place of who is not connected, else of the one used least recently, who is told.",
    ),
    blocked_partners=connection(
        PartnerBlock, NEWEST_FIRST, description="Whom the user has blocked, newest first."
    ),
    partner_requests=connection(
        PartnerRequest,
        ("-created_at", "-id"),
        key="recipient_id",
        description="Requests to connect that the user received within a day, newest first.",
    ),
    sent_partner_requests=connection(
        PartnerRequest,
        ("-created_at", "-id"),
        key="requester_id",
        description="Requests to connect that the user made within a day, newest first.",
    ),
)


SHARING = (
    "What the caller shows once the two are connected. Without it what they showed this partner "
    "before, though no more than OVERLAPPING; of a new one `defaultSharing`. Null is as good as "
    "leaving it out."
)


@strawberry.input(description="Whom to ask.")
class RequestPartnerInput:
    email: str = strawberry.field(description="The address of the account to connect with.")
    sharing: SharingLevel | None = strawberry.field(default=None, description=SHARING)


@strawberry.input(description="A request to answer.")
class AcceptPartnerInput:
    request_id: strawberry.ID = strawberry.field(description="The request's global id.")
    sharing: SharingLevel | None = strawberry.field(default=None, description=SHARING)


@strawberry.input(description="A request to answer.")
class DeclinePartnerInput:
    request_id: strawberry.ID = strawberry.field(description="The request's global id.")
    block: bool = strawberry.field(
        default=False,
        description="Whether the requester cannot ask the caller again; they are not told.",
    )


@strawberry.input(description="A request to take back.")
class CancelPartnerRequestInput:
    request_id: strawberry.ID = strawberry.field(description="The request's global id.")


@strawberry.input(description="Whose connection ends.")
class DisconnectPartnerInput:
    partner_id: strawberry.ID = strawberry.field(description="The partner's global id.")


@strawberry.input(description="Whom to forget.")
class RemovePartnerInput:
    partner_id: strawberry.ID = strawberry.field(description="The partner's global id.")


@strawberry.input(description="Whom to block.")
class BlockPartnerInput:
    partner_id: strawberry.ID = strawberry.field(description="The partner's global id.")


@strawberry.input(description="Which block to end.")
class UnblockPartnerInput:
    block_id: strawberry.ID = strawberry.field(description="The global id of the block.")


@strawberry.input(description="Whom to ask again.")
class ReconnectPartnerInput:
    partner_id: strawberry.ID = strawberry.field(description="The partner's global id.")


@strawberry.input(description="What a partner sees.")
class SetSharingInput:
    partner_id: strawberry.ID = strawberry.field(description="The partner's global id.")
    level: SharingLevel = strawberry.field(description="What they see from now on.")


@strawberry.input(description="What new partners see.")
class SetDefaultSharingInput:
    level: SharingLevel = strawberry.field(description="What they see at first.")


@strawberry.type(description="Result of mutations that make, answer or take back a request.")
class PartnerRequestPayload(MutationPayload):
    request: PartnerRequest | None = strawberry.field(
        description="The request as it is now; null on errors."
    )


@strawberry.type(description="Result of mutations that change a partner.")
class PartnerPayload(MutationPayload):
    partner: Partner | None = strawberry.field(
        description="The partner as they are now; null on errors."
    )


@strawberry.type(description="Result of `setDefaultSharing`.")
class DefaultSharingPayload(MutationPayload):
    """Payload with nothing but the viewer, who has it."""


@strawberry.type(description="Result of `removePartner`, `blockPartner` and `unblockPartner`.")
class PartnersPayload(MutationPayload):
    """Payload with nothing but the viewer."""


def _level(given: SharingLevel | None) -> str | None:
    return None if given is None else given.name


async def request_partner(context: Context, input: RequestPartnerInput) -> Outcome:
    """Asks an address."""
    context.signed_in()
    command = operations.request(input.email, _level(input.sharing))
    return Outcome(command, {"request": RESULT})


async def accept_partner(context: Context, input: AcceptPartnerInput) -> Outcome:
    """Accepts a request."""
    context.signed_in()
    request_id = uuid_from_global_id(input.request_id, "partnerRequest", "input", "requestId")
    command = operations.accept(request_id, _level(input.sharing))
    return Outcome(command, {"request": RESULT})


async def decline_partner(context: Context, input: DeclinePartnerInput) -> Outcome:
    """Declines a request."""
    context.signed_in()
    request_id = uuid_from_global_id(input.request_id, "partnerRequest", "input", "requestId")
    return Outcome(operations.decline(request_id, with_block=input.block), {"request": RESULT})


async def cancel_partner_request(context: Context, input: CancelPartnerRequestInput) -> Outcome:
    """Takes a request back."""
    context.signed_in()
    request_id = uuid_from_global_id(input.request_id, "partnerRequest", "input", "requestId")
    return Outcome(operations.cancel(request_id), {"request": RESULT})


async def disconnect_partner(context: Context, input: DisconnectPartnerInput) -> Outcome:
    """Ends a connection."""
    context.signed_in()
    partner_id = uuid_from_global_id(input.partner_id, "partner", "input", "partnerId")
    return Outcome(operations.disconnect(partner_id), {"partner": RESULT})


async def remove_partner(context: Context, input: RemovePartnerInput) -> Outcome:
    """Forgets a partner."""
    context.signed_in()
    partner_id = uuid_from_global_id(input.partner_id, "partner", "input", "partnerId")
    return Outcome(operations.remove(partner_id))


async def block_partner(context: Context, input: BlockPartnerInput) -> Outcome:
    """Forgets a partner, who cannot ask again."""
    context.signed_in()
    partner_id = uuid_from_global_id(input.partner_id, "partner", "input", "partnerId")
    return Outcome(operations.block(partner_id))


async def unblock_partner(context: Context, input: UnblockPartnerInput) -> Outcome:
    """Ends a block."""
    context.signed_in()
    block_id = uuid_from_global_id(input.block_id, "partnerBlock", "input", "blockId")
    return Outcome(operations.unblock(block_id))


async def reconnect_partner(context: Context, input: ReconnectPartnerInput) -> Outcome:
    """Asks a partner again."""
    context.signed_in()
    partner_id = uuid_from_global_id(input.partner_id, "partner", "input", "partnerId")
    return Outcome(operations.reconnect(partner_id), {"request": RESULT})


async def set_sharing(context: Context, input: SetSharingInput) -> Outcome:
    """Sets what a partner sees."""
    context.signed_in()
    partner_id = uuid_from_global_id(input.partner_id, "partner", "input", "partnerId")
    return Outcome(operations.set_sharing(partner_id, input.level.name), {"partner": RESULT})


async def set_default_sharing(context: Context, input: SetDefaultSharingInput) -> Outcome:
    """Sets what new partners see."""
    context.signed_in()
    return Outcome(operations.set_default_sharing(input.level.name))


@strawberry.type
class PartnersMutation:
    """Mutations on partners."""

    request_partner: PartnerRequestPayload | None = mutation(
        request_partner,
        RequestPartnerInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.LIMIT_EXCEEDED),
        description="Ask an e-mail address to connect. The answer is the same whether it has an "
        "account or not; either way it is mailed. While a request is pending, asking again gives "
        "the same one; asking somebody that has asked the caller accepts. At most 20 in an hour. "
        "Not for guests.",
    )
    accept_partner: PartnerRequestPayload | None = mutation(
        accept_partner,
        AcceptPartnerInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="Accept a request that the caller received: the two are connected. Again it "
        "changes nothing more.",
    )
    decline_partner: PartnerRequestPayload | None = mutation(
        decline_partner,
        DeclinePartnerInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="Decline a request that the caller received; whoever asked is told, and "
        "reaches the caller with no other one for an hour. Again it changes nothing more. With "
        "`block` it works whatever has become of the request: a connection ends.",
    )
    cancel_partner_request: PartnerRequestPayload | None = mutation(
        cancel_partner_request,
        CancelPartnerRequestInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="Take back a request that the caller made. Again it changes nothing more.",
    )
    disconnect_partner: PartnerPayload | None = mutation(
        disconnect_partner,
        DisconnectPartnerInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="End a connection for both, from the next statement on. The partner stays on "
        "the list.",
    )
    remove_partner: PartnersPayload | None = mutation(
        remove_partner,
        RemovePartnerInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="End a connection and take the partner off the caller's list. What they were "
        "shown is remembered.",
    )
    block_partner: PartnersPayload | None = mutation(
        block_partner,
        BlockPartnerInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="The same, and the partner cannot ask the caller again; they are not told. "
        "`unblockPartner` and `requestPartner` end it.",
    )
    unblock_partner: PartnersPayload | None = mutation(
        unblock_partner,
        UnblockPartnerInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="End a block: the other one can ask the caller again. They are not told.",
    )
    reconnect_partner: PartnerRequestPayload | None = mutation(
        reconnect_partner,
        ReconnectPartnerInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND, ErrorCode.LIMIT_EXCEEDED),
        description="Ask a partner on the list to connect again; they confirm.",
    )
    set_sharing: PartnerPayload | None = mutation(
        set_sharing,
        SetSharingInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="Set what a partner sees of the caller, from the next statement on; who is not "
        "connected sees it when they are again, though no more than OVERLAPPING at first.",
    )
    set_default_sharing: DefaultSharingPayload | None = mutation(
        set_default_sharing,
        SetDefaultSharingInput,
        errors=(),
        description="Set what new partners see of the caller at first. Who is a partner already "
        "sees what they saw. Not for guests.",
    )


@strawberry.type(description="A partner that came, changed or was taken off the list.")
class PartnersChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    kind: ChangeKind | None = strawberry.field(
        description="What has happened; null in the first item, which only gives the cursor."
    )
    partner: Partner | None = strawberry.field(
        description="The partner right after the change; null when they were taken off the list, "
        "and in the first item."
    )
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of a partner who was taken off the list; null otherwise."
    )


@strawberry.type(description="A request to connect that was made or changed.")
class PartnerRequestsChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    kind: ChangeKind | None = strawberry.field(
        description="What has happened; null in the first item, which only gives the cursor."
    )
    request: PartnerRequest | None = strawberry.field(
        description="The request right after the change; null in the first item."
    )


@strawberry.type
class PartnersSubscription:
    """Subscriptions on partners."""

    partners_changed: PartnersChanged = live(
        "partners.changed",
        "partner",
        starts_empty=True,
        gone="deletedId",
        kind="kind",
        description="The caller's partners as they come, change and go, on both sides: each change "
        "once and in order, behind one null item.",
    )
    partner_requests_changed: PartnerRequestsChanged = live(
        "partner_request.changed",
        "request",
        starts_empty=True,
        kind="kind",
        description="Requests that the caller made or received, as they are made and answered, "
        "behind one null item.",
    )
