"""Play sessions in the schema, as players see them: who plays, whose turn it is, what is given."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

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
from sqlalchemy.dialects.postgresql import JSONB

from db.accounts import tables as account_tables
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
    reference,
    related_row,
    related_rows,
    state_enum,
)
from graph.engine.extending import extend
from graph.shared.relay import Cursor, Node
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
        description="Activities drawn today; drawing one, and skipping one, counts. For a guest "
        "also those of other guests on the same device. Never more than `limit`.",
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
        description="How it was found, for developers: what was asked for, chances, step, wanted "
        "intensities. It says nothing of what a player likes, refuses or was given."
    )
    diagnostics: JSON | None = expression(
        lambda turn: operations.DIAGNOSTICS.of(turn.c.id, type_=JSONB()),
        description="For admins who play: candidates, what they were worth, and whether the theme "
        "is new. It follows from what players answered and were given, so it is null for others.",
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
        "they were asked to play and still can; EXPIRED where it is over.",
    ),
)


@strawberry.type
class PlayQuery:
    """Queries on play sessions."""

    play_session: PlaySession | None = lookup(
        description="A session that the caller plays in, or is asked to; null when it is missing "
        "or they are not."
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
