"""Sessions in the schema: where a user is signed in, and ending that."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry
from sqlalchemy import ColumnElement, FromClause, and_, false, func

from auth.services import AccountServices
from auth.sessions import Sessions
from db.accounts import own_sessions, tables
from db.accounts.devices import device_name
from db.core.errors import ErrorCode
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    connection,
    global_id,
    mutation,
    session_expression,
)
from graph.engine.execution.outcomes import RESULT, Outcome, Payload
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node, uuid_from_global_id


def is_asking(session: FromClause, asking: ColumnElement[Any]) -> ColumnElement[Any]:
    """Whether a session is the one that asks."""
    return func.coalesce(session.c.id == asking, false())


def is_open(session: FromClause) -> ColumnElement[bool]:
    """Whether a session's tokens are good."""
    return and_(session.c.revoked_at.is_(None), session.c.expires_at > func.now())


@backed_by(tables.Session, prefix="session")
class Session(Node):
    """A device that is signed in."""

    id: strawberry.ID = global_id()

    @computed("user_agent", description="What it seems to be, such as `Firefox on Linux`.")
    def device_name(self: Any) -> str | None:
        """Read anew each time, so that better rules know old sessions, too."""
        return device_name(self.user_agent)

    user_agent: str | None = column(description="What its program calls itself.")
    address: str | None = column(
        description="About where it was last seen: the network around its address, such as "
        "`203.0.113.0/24`. The address itself is not kept."
    )
    created_at: datetime = column(description="When it signed in.")
    last_seen_at: datetime = column(
        "last_used_at", description="When it was last seen, to three minutes."
    )
    expires_at: datetime = column(description="Until when it can be renewed; renewing moves this.")
    revoked_at: datetime | None = column(description="When it was ended; null while it is open.")
    is_current: bool = session_expression(is_asking, description="Whether it is the one that asks.")


extend(
    User,
    sessions=connection(
        Session,
        NEWEST_FIRST,
        only=is_open,
        description="Where the user is signed in, the last sign-in first.",
    ),
)


@strawberry.input(description="Which session to end.")
class RevokeSessionInput:
    id: strawberry.ID = strawberry.field(description="The session's global id.")


@strawberry.input(description="Which sessions to end.")
class SignOutEverywhereInput:
    keep_current: bool | None = strawberry.field(
        default=None,
        description="Whether the session that asks goes on; it ends when left out. Null is as good "
        "as leaving it out.",
    )


@strawberry.type(description="Result of `revokeSession`.")
class RevokeSessionPayload(MutationPayload):
    session: Session | None = strawberry.field(
        description="The session as it is now; null on errors."
    )


@strawberry.type(description="Result of `signOutEverywhere`.")
class SignOutEverywherePayload(MutationPayload):
    sessions_ended: int | None = strawberry.field(description="How many sessions were ended.")


def _sessions(services: AccountServices) -> Sessions:
    return services.sessions


async def revoke_session(context: Context, input: RevokeSessionInput) -> Outcome:
    """Ends a session of the caller's, here at once and on every node within seconds."""
    context.signed_in()
    session_id = uuid_from_global_id(input.id, "session", "input", "id")
    command = own_sessions.revoke(session_id)

    async def follow() -> None:
        context.services.of(_sessions).ended([session_id])

    command.after = follow
    return Outcome(command, {"session": RESULT})


async def sign_out_everywhere(
    context: Context, input: SignOutEverywhereInput | None = None
) -> Payload:
    """Ends the caller's sessions; the one that asks too, unless it is to be kept."""
    actor = context.signed_in()
    keeps_current = input is not None and bool(input.keep_current)
    kept = actor.session_id if keeps_current else None
    ended = await own_sessions.end_all(context.services.database, actor, kept=kept)
    if not ended:
        await context.services.accounts.refuse_gone(actor)
    context.services.of(_sessions).ended(ended)
    fields: dict[str, Any] = {"sessions_ended": len(ended)}
    return Payload(fields if keeps_current else {**fields, "viewer": None})


@strawberry.type
class SessionsMutation:
    """Mutations on sessions."""

    revoke_session: RevokeSessionPayload | None = mutation(
        revoke_session,
        RevokeSessionInput,
        errors=(ErrorCode.NOT_FOUND,),
        while_read_only=True,
        description="End one of the caller's sessions: its tokens die on every node, and its open "
        "subscriptions end, within 5 seconds. Ending it again changes nothing.",
    )
    sign_out_everywhere: SignOutEverywherePayload | None = mutation(
        sign_out_everywhere,
        SignOutEverywhereInput,
        errors=(),
        needs_input=False,
        while_read_only=True,
        description="End all of the caller's sessions, with `keepCurrent` all others. API keys go "
        "on: `revokeApiKey` ends them.",
    )
