"""Play sessions in the schema: who plays, whose turn it is, and what they are given."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Text,
    case,
    false,
    func,
    literal_column,
    true,
)

from auth.demands import FRESH_SIGN_IN
from db.accounts import tables as account_tables
from db.core.errors import ErrorCode, Problems
from db.play import operations, tables
from db.play.tables import PlayPlayerStatus, PlaySessionStatus, PlayTurnStatus
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    connection,
    embedded,
    expression,
    global_id,
    live,
    lookup,
    mutation,
    reference,
    related_row,
    related_rows,
    state_enum,
)
from graph.engine.execution.outcomes import ACTOR, RESULT, Outcome, Ref
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor, Node, noted_uuid, uuid_from_global_id
from graph.shared.scalars import JSON

for states in (PlaySessionStatus, PlayPlayerStatus, PlayTurnStatus):
    state_enum(states)


@strawberry.enum(description="How far activities go.")
class PlayLevel(Enum):
    """Levels, the lowest first."""

    G = strawberry.enum_value("G", description="Nothing erotic.")
    R = strawberry.enum_value("R", description="Nothing behind a soft or a hard boundary.")
    X = strawberry.enum_value("X", description="Nothing behind a hard boundary.")


@strawberry.enum(description="A question or an action.")
class PlayKind(Enum):
    """Kinds, and chance."""

    TRUTH = strawberry.enum_value("TRUTH", description="A question to answer.")
    DARE = strawberry.enum_value("DARE", description="Something to do.")
    RANDOM = strawberry.enum_value("RANDOM", description="Either; over time as many of each.")


@strawberry.enum(description="Whose turn comes next.")
class PlayOrder(Enum):
    """Orders of turns."""

    SEQUENTIAL = strawberry.enum_value("SEQUENTIAL", description="One after the other.")
    RANDOM = strawberry.enum_value("RANDOM", description="Anybody, with the same chance.")


@strawberry.enum(description="What a player thinks of an activity.")
class PlayFeedback(Enum):
    """Feedback."""

    LIKE = "LIKE"
    DISLIKE = "DISLIKE"
    NEUTRAL = "NEUTRAL"


@strawberry.enum(description="What to offer after three skips in a row.")
class PlayNudgeOption(Enum):
    """Options of a nudge."""

    LOWER_LEVEL = strawberry.enum_value("LOWER_LEVEL", description="`lowerPlayLevel`.")
    REVIEW_BOUNDARIES = strawberry.enum_value(
        "REVIEW_BOUNDARIES", description="Look at one's own boundaries."
    )
    CONTINUE = strawberry.enum_value("CONTINUE", description="Go on as before.")


def _text(value: str) -> ColumnElement[str]:
    return literal_column(f"'{value}'", Text())


def _limit_reached(user: FromClause) -> ColumnElement[bool]:
    return func.coalesce(
        operations.REMAINING.of(user.c.id, type_=Integer()) <= literal_column("0"),
        literal_column("false", Boolean()),
    )


@backed_by(account_tables.User)
class DailyLimit:
    """How many activities a user may draw today, by their own midnight."""

    used: int = expression(
        lambda user: operations.USED.of(user.c.id, type_=Integer()),
        description="Activities drawn today; drawing one, and skipping one, counts.",
    )
    limit: int | None = expression(
        lambda user: operations.LIMIT.of(user.c.id, type_=Integer()),
        description="Activities that are free in a day; null when there is no limit.",
    )
    remaining: int | None = expression(
        lambda user: operations.REMAINING.of(user.c.id, type_=Integer()),
        description="What is left of them; null when there is no limit.",
    )
    resets_at: datetime = expression(
        lambda user: operations.RESETS_AT.of(user.c.id, type_=DateTime(timezone=True)),
        description="When the next day begins: midnight in the user's `timeZone`, UTC without "
        "one. Who changes it finishes the day in the zone in which it began.",
    )
    upgrade_required: bool = expression(
        _limit_reached, description="Whether nothing can be drawn until then without a plan."
    )


extend(
    User,
    daily_limit=embedded(
        returns=DailyLimit, description="How many activities the user may draw today."
    ),
)


@backed_by(tables.PlayPlayer, prefix="playPlayer")
class PlayPlayer(Node):
    """Somebody's place in a play session."""

    id: strawberry.ID = global_id()
    name: str = column(description="What they are called in it.")
    user_id: strawberry.ID | None = expression(
        lambda player: _text("user_").concat(player.c.user_id),
        description="The global id of their account; null without one.",
    )
    seat: int = column(description="Their place in the order of turns, from 1.")
    status: PlayPlayerStatus = column(description="Whether they play.")
    is_opponent: bool = column(description="Whether this is nobody: who plays alone has one.")
    created_at: datetime = column(description="When they were asked, or started the session.")
    confirmed_at: datetime | None = column(
        description="When they confirmed; null while they have not, and without an account."
    )


@backed_by(tables.PlayTurn, prefix="playTurn")
class PlayTurn(Node):
    """An activity that a player was given."""

    id: strawberry.ID = global_id()
    number: int = column(description="Its number in the session, from 1.")
    player_id: strawberry.ID = reference(
        "player_id", "playPlayer", description="Who was given it, by their place in the session."
    )
    kind: PlayKind = column(description="TRUTH or DARE.")
    level: PlayLevel = column(description="Its level: the session's, or a lower one.")
    intensity: int = column(description="1 to 5.")
    text: str = column(description="What to answer or do, with the players' names in it.")
    theme: str = column(description="What it is about.")
    is_repeated: bool = column(
        description="Whether they were given it lately, and it comes again since nothing else that "
        "suits them is left."
    )
    why: JSON = column(
        description="How it was found, for developers: step, wanted intensities, candidates, "
        "chances. It says nothing of what a player likes or refuses."
    )
    status: PlayTurnStatus = column(description="What became of it.")
    done: bool | None = column(description="Whether they did it; null until it is completed.")
    feedback: PlayFeedback | None = column(description="What they thought of it.")
    created_at: datetime = column(description="When it was drawn.")


@backed_by(tables.PlaySession)
class PlayTurnPlace:
    """Whose turn it is."""

    player_id: strawberry.ID = reference(
        "turn_player_id", "playPlayer", description="Their place in the session."
    )


@backed_by(tables.PlaySession)
class PlayNudge:
    """What to offer when the last three activities were skipped."""

    @computed("level", description="What to offer, in this order.")
    def options(self: Any) -> list[PlayNudgeOption]:
        """A lower level only where there is one."""
        return [
            option
            for option in PlayNudgeOption
            if option is not PlayNudgeOption.LOWER_LEVEL or self.level != PlayLevel.G.name
        ]


def _is_played(session: FromClause) -> ColumnElement[bool]:
    status = session.c.status
    return case(
        (status == _text("WAITING"), true()), (status == _text("ACTIVE"), true()), else_=false()
    )


def _is_nudged(session: FromClause) -> ColumnElement[bool]:
    return session.c.skips_in_row == literal_column("3")


@backed_by(tables.PlaySession, prefix="playSession")
class PlaySession(Node):
    """Some players who are given truths and dares in turn. Its players see it, nobody else."""

    id: strawberry.ID = global_id()
    status: PlaySessionStatus = column(description="Where it stands.")
    version: int = column(
        description="Rises with whatever happens. What changes the session takes it: with an older "
        "one it is STALE_TURN, and the payload has the session as it is."
    )
    level: PlayLevel = column(description="The lowest that a player wants.")
    order: PlayOrder = column("player_order", description="Whose turn comes next.")
    players: list[PlayPlayer] = related_rows(
        "session_id", ("seat", "id"), at_most=12, description="Its players, by their seats."
    )
    turn: PlayTurnPlace | None = embedded(
        _is_played, description="Whose turn it is; null once it is over."
    )
    current: PlayTurn | None = related_row(
        "current_turn_id", description="What they have drawn; null between two turns."
    )
    turn_count: int = column(description="Activities drawn so far.")
    nudge: PlayNudge | None = embedded(
        _is_nudged, description="Three skips in a row; null otherwise."
    )
    created_at: datetime = column(description="When it was started.")
    updated_at: datetime = column(description="When something last happened.")
    ended_at: datetime | None = column(description="When it was over; null while it is not.")


extend(
    PlayPlayer,
    session=related_row(
        "session_id",
        returns=PlaySession | None,
        description="The session; null for who has left it.",
    ),
)
extend(
    PlaySession,
    turns=connection(
        PlayTurn,
        ("-number", "-id"),
        key="session_id",
        description="What was drawn, newest first.",
    ),
)
extend(
    User,
    play_places=connection(
        PlayPlayer,
        NEWEST_FIRST,
        description="The user's places in play sessions, newest first: where `status` is INVITED, "
        "they were asked to play.",
    ),
)


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
        default=None, description="Theirs: some of `penis`, `vagina` and `breasts`."
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
            others.append((partner_id, player.name, player.anatomy or ()))
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
    session_id = _session_id(input.id, "id")
    return _outcome(context, operations.confirm(session_id, _name(input.level)), session_id)


async def lower_play_level(context: Context, input: LowerPlayLevelInput) -> Outcome:
    """Plays on at a lower level."""
    session_id = _session_id(input.session_id)
    command = operations.lower_level(session_id, input.level.name, input.version)
    return _outcome(context, command, session_id)


async def leave_play_session(context: Context, input: LeavePlaySessionInput) -> Outcome:
    """The caller leaves, or declines."""
    context.signed_in()
    return Outcome(operations.leave(_session_id(input.id, "id")))


async def end_play_session(context: Context, input: EndPlaySessionInput) -> Outcome:
    """Ends a session for all."""
    session_id = _session_id(input.id, "id")
    return _outcome(context, operations.end(session_id), session_id)


async def draw_activity(context: Context, input: DrawActivityInput) -> Outcome:
    """Draws an activity."""
    session_id = _session_id(input.session_id)
    command = operations.draw(session_id, input.kind.name, input.version)
    return _outcome(context, command, session_id)


async def skip_activity(context: Context, input: SkipActivityInput) -> Outcome:
    """Draws another in its place."""
    session_id = _session_id(input.session_id)
    return _outcome(context, operations.skip(session_id, input.version), session_id)


async def complete_activity(context: Context, input: CompleteActivityInput) -> Outcome:
    """Ends the turn."""
    session_id = _session_id(input.session_id)
    command = operations.complete(
        session_id, input.version, done=input.done, feedback=_name(input.feedback)
    )
    return _outcome(context, command, session_id)


@strawberry.type
class PlayQuery:
    """Queries on play sessions."""

    play_session: PlaySession | None = lookup(
        description="A session that the caller plays in, or is asked to; null when it is missing "
        "or they are not."
    )


TURN_ERRORS = (
    ErrorCode.NOT_FOUND,
    ErrorCode.CONFIRMATION_REQUIRED,
    ErrorCode.INVALID_STATE,
    ErrorCode.STALE_TURN,
)
DRAW_ERRORS = (*TURN_ERRORS, ErrorCode.DAILY_LIMIT_REACHED, ErrorCode.NO_ACTIVITY_LEFT)


@strawberry.type
class PlayMutation:
    """Mutations on play sessions."""

    start_play_session: PlaySessionPayload | None = mutation(
        start_play_session,
        StartPlaySessionInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        description="Start to play: alone, with partners, and with people without an account. "
        "Partners are told, and it waits for them. One plays in at most 20 sessions at once.",
    )
    confirm_play_session: PlaySessionPayload | None = mutation(
        confirm_play_session,
        ConfirmPlaySessionInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_STATE),
        demands=FRESH_SIGN_IN,
        description="Play along; for each session anew, with a fresh sign-in. Confirming again "
        "changes nothing more. `leavePlaySession` declines.",
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


@strawberry.type(description="A play session that changed.")
class PlaySessionChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    play_session: PlaySession | None = strawberry.field(
        description="The session right after the change; its lists as they are when the item is "
        "sent."
    )


@strawberry.type
class PlaySubscription:
    """Subscriptions on play sessions."""

    play_session_changed: PlaySessionChanged = live(
        "play_session.changed",
        "playSession",
        entity=True,
        description="A session that the caller plays in: as it is now, then whenever something "
        "happens in it, on any device. It ends with NOT_FOUND when the caller has left.",
    )
