"""Guests in the schema: a member takes over what they had as a guest."""

from __future__ import annotations

from datetime import datetime

import strawberry

from auth.guests import Guests
from db.core.errors import DomainError, ErrorCode
from db.guests.operations import Merged
from graph.engine.declare import mutation
from graph.engine.execution.outcomes import Payload
from graph.quotas import QuotaSlice
from graph.shared.context import Context
from graph.shared.errors import user_error
from graph.shared.mutations import MutationPayload


@strawberry.input(description="Whose everything is taken over.")
class MergeAnonymousAccountInput:
    anonymous_refresh_token: str = strawberry.field(
        description="The newest refresh token of the guest: who holds it is the guest."
    )


@strawberry.type(description="How many rows of one kind became the member's.")
class MovedRows:
    """The rows of one counted slice."""

    slice: QuotaSlice = strawberry.field(description="What was moved.")
    count: int = strawberry.field(description="How many; at least 1.")


@strawberry.type(description="What a member had as a guest, and has now.")
class MergedGuest:
    """The result of a merge, the same each time it is asked for."""

    guest_id: strawberry.ID = strawberry.field(
        description="The global id of the guest, whom nobody can be any more."
    )
    credits: int = strawberry.field(
        description="Credits that moved, held ones too. Of the guest's bonus only what a member is "
        "still owed moves."
    )
    moved: list[MovedRows] = strawberry.field(
        description="Rows that moved, by kind. Their ids are what they were. A profile whose "
        "`localId` is another profile's of the member's has none now."
    )
    merged_at: datetime = strawberry.field(description="When it was done.")


@strawberry.type(description="Result of `mergeAnonymousAccount`.")
class MergeAnonymousAccountPayload(MutationPayload):
    merged: MergedGuest | None = strawberry.field(
        description="What was taken over; null on errors."
    )


async def merge_anonymous_account(context: Context, input: MergeAnonymousAccountInput) -> Payload:
    """Takes over what a guest has. A dead token is the input's fault here, so it is a UserError."""
    member = context.signed_in()
    try:
        merged = await context.services.of(Guests.of).merge(member, input.anonymous_refresh_token)
    except DomainError as error:
        if error.code is not ErrorCode.UNAUTHENTICATED or not error.path:
            raise
        return Payload({"merged": None, "errors": [user_error(error)]})
    context.services.wake()
    return Payload({"merged": _shown(merged)})


def _shown(merged: Merged) -> MergedGuest:
    slices = QuotaSlice.__members__
    counts = {name: merged.moved.get(name.lower(), 0) for name in slices}
    return MergedGuest(
        guest_id=strawberry.ID(f"user_{merged.guest_id}"),
        credits=merged.credits_moved,
        moved=[MovedRows(slice=slices[name], count=n) for name, n in counts.items() if n],
        merged_at=merged.merged_at,
    )


@strawberry.type
class GuestsMutation:
    """Mutations on guests."""

    merge_anonymous_account: MergeAnonymousAccountPayload | None = mutation(
        merge_anonymous_account,
        MergeAnonymousAccountInput,
        errors=(ErrorCode.UNAUTHENTICATED, ErrorCode.BAD_USER_INPUT, ErrorCode.LIMIT_EXCEEDED),
        description="Take over what a guest has: profiles, photos, generations, notifications and "
        "credits become the caller's, the guest's sessions end. Sent with a member's access token; "
        "safe to send again when the answer was lost.",
    )
