"""What players do in play sessions: start, confirm, draw, skip, complete, leave."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import strawberry

from auth.demands import FRESH_SIGN_IN
from db.core.errors import ErrorCode, Problems
from db.play import operations
from graph.engine.declare import mutation
from graph.engine.execution.outcomes import ACTOR, RESULT, Outcome, Ref
from graph.play import DailyLimit, PlayFeedback, PlayKind, PlayLevel, PlayOrder, PlaySession
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import noted_uuid, uuid_from_global_id


@strawberry.input(
    description="Somebody to play with: a partner, or somebody without an account, of whom nothing "
    "is kept beyond the session."
)
class PlayPlayerInput:
    partner_id: strawberry.ID | None = strawberry.field(
        default=None, description="A partner's global id; they confirm before it begins."
    )
    name: str | None = strawberry.field(
        default=None, description="1 to 100 characters, for somebody without an account."
    )
    anatomy: list[str] | None = strawberry.field(
        default=None,
        description="Theirs: some of `PENIS`, `VAGINA` and `BREASTS`, as in `Anatomy`. The same in "
        "lower case is deprecated.",
    )


@strawberry.input(description="A new play session.")
class StartPlaySessionInput:
    level: PlayLevel = strawberry.field(description="How far activities may go.")
    players: list[PlayPlayerInput] = strawberry.field(
        default_factory=list,
        description="Who plays with the caller, at most 11. Nobody: the caller plays alone, "
        "against somebody who likes what they like and is not there: nothing is drawn that "
        "takes two.",
    )
    opponent_name: str | None = strawberry.field(
        default=None,
        description="What the opponent of who plays alone is called, 1 to 100 characters; "
        "`Opponent` without one. Null is as good as leaving it out.",
    )
    order: PlayOrder = strawberry.field(
        default=PlayOrder.SEQUENTIAL, description="Whose turn comes next."
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Same key, same input: the same session again. 1 to 255 characters, kept 30 "
        "days. Null is as good as leaving it out.",
    )


@strawberry.input(description="Which session to play along in.")
class ConfirmPlaySessionInput:
    id: strawberry.ID = strawberry.field(description="The session's global id.")
    level: PlayLevel | None = strawberry.field(
        default=None,
        description="The highest that the caller wants. Null is as good as leaving it out.",
    )


@strawberry.input(description="Which session to leave.")
class LeavePlaySessionInput:
    id: strawberry.ID = strawberry.field(description="The session's global id.")


@strawberry.input(description="Which session to end.")
class EndPlaySessionInput:
    id: strawberry.ID = strawberry.field(description="The session's global id.")


@strawberry.input(description="A lower level.")
class LowerPlayLevelInput:
    session_id: strawberry.ID = strawberry.field(description="The session's global id.")
    level: PlayLevel = strawberry.field(description="The session's level, or a lower one.")
    version: int = strawberry.field(description="The session's `version` as the client knows it.")


@strawberry.input(description="What to draw.")
class DrawActivityInput:
    session_id: strawberry.ID = strawberry.field(description="The session's global id.")
    version: int = strawberry.field(description="The session's `version` as the client knows it.")
    kind: PlayKind = strawberry.field(
        default=PlayKind.RANDOM, description="Truth, dare, or either."
    )


@strawberry.input(description="What to skip: the activity that is drawn.")
class SkipActivityInput:
    session_id: strawberry.ID = strawberry.field(description="The session's global id.")
    version: int = strawberry.field(description="The session's `version` as the client knows it.")


@strawberry.input(description="What became of the activity that is drawn.")
class CompleteActivityInput:
    session_id: strawberry.ID = strawberry.field(description="The session's global id.")
    version: int = strawberry.field(description="The session's `version` as the client knows it.")
    done: bool = strawberry.field(default=True, description="Whether the player did it.")
    feedback: PlayFeedback | None = strawberry.field(
        default=None,
        description="What they thought of it; it changes what they are given later. Null is as "
        "good as leaving it out.",
    )


@strawberry.type(description="Result of mutations on a play session.")
class PlaySessionPayload(MutationPayload):
    play_session: PlaySession | None = strawberry.field(
        description="The session as it is now, on errors too; null for who is not in it."
    )
    daily_limit: DailyLimit | None = strawberry.field(
        description="How many activities the caller may draw today."
    )


@strawberry.type(description="Result of `leavePlaySession`.")
class LeavePlaySessionPayload(MutationPayload):
    """Payload with nothing but the viewer."""


def _name(value: Any) -> str | None:
    return None if value is None else str(value.name)


def _session_id(value: str, field: str = "sessionId") -> UUID:
    return uuid_from_global_id(value, "playSession", "input", field)


def _outcome(context: Context, command: Any, session_id: UUID) -> Outcome:
    actor = context.signed_in()
    return Outcome(
        command,
        {"play_session": RESULT, "daily_limit": ACTOR},
        refused_rows={"play_session": Ref(session_id), "daily_limit": Ref(actor.user_id)},
    )


async def start_play_session(context: Context, input: StartPlaySessionInput) -> Outcome:
    """Starts a session."""
    context.signed_in()
    problems, others = Problems(), []
    for place, player in enumerate(input.players):
        path = ("input", "players", str(place), "partnerId")
        partner_id = (
            None
            if player.partner_id is None
            else noted_uuid(problems, player.partner_id, "partner", *path)
        )
        if player.partner_id is None or partner_id is not None:
            anatomy = [part.lower() for part in player.anatomy or ()]
            others.append((partner_id, player.name, anatomy))
    command = operations.start(
        problems,
        level=input.level.name,
        order=input.order.name,
        others=others,
        opponent_name=input.opponent_name,
        idempotency_key=input.idempotency_key,
    )
    return Outcome(command, {"play_session": RESULT, "daily_limit": ACTOR})


async def confirm_play_session(context: Context, input: ConfirmPlaySessionInput) -> Outcome:
    """The caller plays along."""
    context.signed_in()
    session_id = _session_id(input.id, "id")
    return _outcome(context, operations.confirm(session_id, _name(input.level)), session_id)


async def lower_play_level(context: Context, input: LowerPlayLevelInput) -> Outcome:
    """Plays on at a lower level."""
    context.signed_in()
    session_id = _session_id(input.session_id)
    command = operations.lower_level(session_id, input.level.name, input.version)
    return _outcome(context, command, session_id)


async def leave_play_session(context: Context, input: LeavePlaySessionInput) -> Outcome:
    """The caller leaves, or declines."""
    context.signed_in()
    return Outcome(operations.leave(_session_id(input.id, "id")))


async def end_play_session(context: Context, input: EndPlaySessionInput) -> Outcome:
    """Ends a session for all."""
    context.signed_in()
    session_id = _session_id(input.id, "id")
    return _outcome(context, operations.end(session_id), session_id)


async def draw_activity(context: Context, input: DrawActivityInput) -> Outcome:
    """Draws an activity."""
    context.signed_in()
    session_id = _session_id(input.session_id)
    command = operations.draw(session_id, input.kind.name, input.version)
    return _outcome(context, command, session_id)


async def skip_activity(context: Context, input: SkipActivityInput) -> Outcome:
    """Draws another in its place."""
    context.signed_in()
    session_id = _session_id(input.session_id)
    return _outcome(context, operations.skip(session_id, input.version), session_id)


async def complete_activity(context: Context, input: CompleteActivityInput) -> Outcome:
    """Ends the turn."""
    context.signed_in()
    session_id = _session_id(input.session_id)
    command = operations.complete(
        session_id, input.version, done=input.done, feedback=_name(input.feedback)
    )
    return _outcome(context, command, session_id)


TURN_ERRORS = (
    ErrorCode.NOT_FOUND,
    ErrorCode.CONFIRMATION_REQUIRED,
    ErrorCode.INVALID_STATE,
    ErrorCode.STALE_TURN,
)
DRAW_ERRORS = (*TURN_ERRORS, ErrorCode.DAILY_LIMIT_REACHED, ErrorCode.NO_ACTIVITY_LEFT)


@strawberry.type
class PlayMovesMutation:
    """Mutations on play sessions."""

    start_play_session: PlaySessionPayload | None = mutation(
        start_play_session,
        StartPlaySessionInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.ONBOARDING_REQUIRED,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        description="Start to play: alone, with partners, and with people without an account. "
        "Partners are told, and it waits for them. One plays in at most 20 sessions at once, and "
        "asks a partner at most 20 times in an hour. It takes `onboarding { canPlay }`; level X a "
        "survey or a boundary of the caller's, too.",
    )
    confirm_play_session: PlaySessionPayload | None = mutation(
        confirm_play_session,
        ConfirmPlaySessionInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE, ErrorCode.ONBOARDING_REQUIRED),
        demands=FRESH_SIGN_IN,
        description="Play along; for each session anew, with a fresh sign-in. Confirming again "
        "changes nothing more. `leavePlaySession` declines. It takes of the caller what "
        "`startPlaySession` takes.",
    )
    leave_play_session: LeavePlaySessionPayload | None = mutation(
        leave_play_session,
        LeavePlaySessionInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="Leave a session, or decline to play. The others go on, if two are left.",
    )
    end_play_session: PlaySessionPayload | None = mutation(
        end_play_session,
        EndPlaySessionInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.CONFIRMATION_REQUIRED),
        description="End a session for all. Ending it again changes nothing more.",
    )
    draw_activity: PlaySessionPayload | None = mutation(
        draw_activity,
        DrawActivityInput,
        errors=DRAW_ERRORS,
        description="Give the player whose turn it is an activity: any player's device may. It "
        "counts toward the `dailyLimit` of the caller.",
    )
    skip_activity: PlaySessionPayload | None = mutation(
        skip_activity,
        SkipActivityInput,
        errors=DRAW_ERRORS,
        description="Give them another of the same kind in its place, which counts as well. After "
        "three skips in a row the session has a `nudge`.",
    )
    complete_activity: PlaySessionPayload | None = mutation(
        complete_activity,
        CompleteActivityInput,
        errors=TURN_ERRORS,
        description="End the turn: the next player's begins.",
    )
    lower_play_level: PlaySessionPayload | None = mutation(
        lower_play_level,
        LowerPlayLevelInput,
        errors=(*TURN_ERRORS, ErrorCode.BAD_USER_INPUT),
        description="Play on at a lower level. What is drawn already stays.",
    )
