"""Play sessions, their players and turns, and what is kept of a player for the next draw."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Group, Nobody, Owner, Shared, Watch
from db.core.base import Base, Json, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Call, Delete, GoesWith, Keep
from db.core.expiry import Expiry
from db.core.exporting import Export, NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import Join, KeepTheMembers, MergedBy, Move
from db.core.quotas import Bound

Texts = Annotated[list[str], mapped_column(ARRAY(Text), server_default=text("'{}'"))]
OwnerId = Annotated[UUID, mapped_column(ForeignKey("users.id", ondelete="CASCADE"))]


class PlaySessionStatus(State):
    """Where a play session stands."""

    WAITING = "WAITING", "Somebody who was asked to play has not confirmed yet."
    ACTIVE = "ACTIVE", "It is played."
    ENDED = "ENDED", "A player ended it."
    ABANDONED = "ABANDONED", "Too few players are left."
    EXPIRED = "EXPIRED", "Nobody did anything for 7 days."


class PlayPlayerStatus(State):
    """What a player of a session does."""

    INVITED = "INVITED", "They were asked and have not confirmed."
    JOINED = "JOINED", "They play, on a device of their own."
    PRESENT = "PRESENT", "Somebody without an account, who plays on the others' devices."
    LEFT = "LEFT", "They left, or did not want to play."
    EXPIRED = "EXPIRED", "The session was over before they confirmed."


class PlayTurnStatus(State):
    """What became of an activity that was drawn."""

    DRAWN = "DRAWN", "It is the player's to do."
    COMPLETED = "COMPLETED", "The turn went on to the next player."
    SKIPPED = "SKIPPED", "Another of the same kind was drawn in its place."


class PlaySession(Base):
    """Some players who are given truths and dares in turn.

    `version` rises with whatever happens: what a device asks for with an older one is stale.
    `turn_player_id` is whose turn it is, `current_turn_id` what they have drawn. `turn_count` are
    the activities drawn, `random_truths` and `random_dares` those whose kind was left to chance.
    `asked_count` is how many times an AI was asked to write activities for it.
    """

    __tablename__ = "play_sessions"

    id: Mapped[UuidKey]
    level: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=PlaySessionStatus.WAITING)
    version: Mapped[int] = mapped_column(server_default=text("1"))
    player_order: Mapped[str] = mapped_column(server_default="SEQUENTIAL")
    turn_player_id: Mapped[UUID]
    current_turn_id: Mapped[UUID | None]
    turn_count: Mapped[int] = mapped_column(server_default=text("0"))
    skips_in_row: Mapped[int] = mapped_column(server_default=text("0"))
    random_truths: Mapped[int] = mapped_column(server_default=text("0"))
    random_dares: Mapped[int] = mapped_column(server_default=text("0"))
    asked_count: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]
    ended_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("level in ('G', 'R', 'X')", name="level"),
        CheckConstraint("player_order in ('SEQUENTIAL', 'RANDOM')", name="player_order"),
        CheckConstraint("(status in ('WAITING', 'ACTIVE')) = (ended_at is null)", name="end"),
        CheckConstraint("skips_in_row >= 0", name="skips_in_row"),
        Index(
            "ix_play_sessions_unfinished",
            "updated_at",
            postgresql_where=text("ended_at is null"),
        ),
        Index("ix_play_sessions_ended_at", "ended_at"),
    )
    access = Access(
        read=Shared("id", "play_session"),
        hidden=("asked_count",),
        service=("SELECT", "DELETE"),
    )
    watch = Watch("play_session.changed", inserts=False)
    lifecycle = Lifecycle(
        "status",
        PlaySessionStatus,
        initial=(PlaySessionStatus.WAITING, PlaySessionStatus.ACTIVE),
        transitions={
            PlaySessionStatus.WAITING: (
                PlaySessionStatus.ACTIVE,
                PlaySessionStatus.ENDED,
                PlaySessionStatus.ABANDONED,
                PlaySessionStatus.EXPIRED,
            ),
            PlaySessionStatus.ACTIVE: (
                PlaySessionStatus.ENDED,
                PlaySessionStatus.ABANDONED,
                PlaySessionStatus.EXPIRED,
            ),
        },
        monotonic=("version", "turn_count"),
    )
    on_erase = Keep("Places and turns of its own.", ("turn_player_id", "current_turn_id"))
    export = Export(rows="t.id in (select p.session_id from play_players p where p.user_id = $1)")
    quota = Bound("A user has at most 20 that are not over; the others go after 90 days.")
    expiries = (
        Expiry(
            "play sessions that ended 90 days ago",
            "ended_at < now() - interval '90 days'",
            "ended_at",
        ),
    )


class PlayPlayer(Base):
    """A player's place in a session: a user, or somebody without an account.

    Of the latter there is no more than this row, which goes with the session; their anatomy is
    forgotten when that ends. With `is_opponent` it
    is nobody: who plays alone plays against somebody who likes what they like, and who has a name,
    no body and no turn. Name and anatomy of users are those they had when they joined.
    """

    __tablename__ = "play_players"

    id: Mapped[UuidKey]
    session_id: Mapped[UUID] = mapped_column(ForeignKey("play_sessions.id", ondelete="CASCADE"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    seat: Mapped[int]
    name: Mapped[str]
    anatomy: Mapped[Texts]
    is_opponent: Mapped[bool] = mapped_column(server_default=text("false"))
    status: Mapped[str]
    created_at: Mapped[Timestamp]
    confirmed_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        UniqueConstraint("session_id", "seat"),
        CheckConstraint("length(name) between 1 and 100", name="name"),
        CheckConstraint("anatomy <@ array['penis', 'vagina', 'breasts']", name="anatomy"),
        CheckConstraint("status <> 'PRESENT' or user_id is null", name="present"),
        Index("ix_play_players_user_id_created_at_id", "user_id", "created_at", "id"),
    )
    access = Access(read=AnyOf(Owner(), Shared("session_id", "play_session")), service=("SELECT",))
    # Who did not confirm in time sees that it is over.
    group = Group(
        "play_session", key="session_id", counts={"status": ("INVITED", "JOINED", "EXPIRED")}
    )
    lifecycle = Lifecycle(
        "status",
        PlayPlayerStatus,
        initial=(PlayPlayerStatus.INVITED, PlayPlayerStatus.JOINED, PlayPlayerStatus.PRESENT),
        transitions={
            PlayPlayerStatus.INVITED: (
                PlayPlayerStatus.JOINED,
                PlayPlayerStatus.LEFT,
                PlayPlayerStatus.EXPIRED,
            ),
            PlayPlayerStatus.JOINED: (PlayPlayerStatus.LEFT,),
            PlayPlayerStatus.EXPIRED: (PlayPlayerStatus.LEFT,),
        },
    )
    on_erase = (Call("leave_play_sessions"), Call("forget_play_sessions"), Delete())
    on_merge = Move()
    quota = Bound("At most 20 in a session.")


class PlayTurn(Base):
    """An activity as it was given to a player, who has `partner_id` beside them.

    `is_repeated` says that they were given it lately and nothing else was left that suits them.
    `why` says how it was found, without anything that one player may not know of another; what it
    was worth by what they like is in `scores`, which no client sees.
    """

    __tablename__ = "play_turns"

    id: Mapped[UuidKey]
    session_id: Mapped[UUID] = mapped_column(ForeignKey("play_sessions.id", ondelete="CASCADE"))
    number: Mapped[int]
    player_id: Mapped[UUID] = mapped_column(ForeignKey("play_players.id", ondelete="CASCADE"))
    partner_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("play_players.id", ondelete="CASCADE"), index=True
    )
    activity_id: Mapped[str]
    kind: Mapped[str]
    level: Mapped[str]
    intensity: Mapped[int]
    text: Mapped[str]
    theme: Mapped[str]
    is_repeated: Mapped[bool] = mapped_column(server_default=false())
    why: Mapped[Json]
    scores: Mapped[Json]
    status: Mapped[str] = mapped_column(server_default=PlayTurnStatus.DRAWN)
    done: Mapped[bool | None]
    feedback: Mapped[str | None]
    created_at: Mapped[Timestamp]
    ended_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        UniqueConstraint("session_id", "number"),
        CheckConstraint("kind in ('TRUTH', 'DARE')", name="kind"),
        CheckConstraint("feedback in ('LIKE', 'DISLIKE', 'NEUTRAL')", name="feedback"),
        Index("ix_play_turns_player_id_number", "player_id", "number"),
    )
    large: ClassVar = {"why": 2_048}
    access = Access(
        read=Shared("session_id", "play_session"), hidden=("scores",), service=("SELECT",)
    )
    lifecycle = Lifecycle(
        "status",
        PlayTurnStatus,
        initial=(PlayTurnStatus.DRAWN,),
        transitions={PlayTurnStatus.DRAWN: (PlayTurnStatus.COMPLETED, PlayTurnStatus.SKIPPED)},
    )
    export = Export(rows="t.player_id in (select p.id from play_players p where p.user_id = $1)")
    on_erase = (GoesWith("player_id"), GoesWith("partner_id"))
    quota = Bound("One for each activity that is drawn; they go with their session.")


class PlayHistory(Base):
    """An activity that a user was given: they are given no such again for a year or 100 others."""

    __tablename__ = "play_history"

    id: Mapped[UuidKey]
    user_id: Mapped[OwnerId]
    activity_id: Mapped[str]
    kind: Mapped[str]
    theme: Mapped[str]
    shown_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("clock_timestamp()")
    )

    __table_args__ = (
        Index("ix_play_history_user_id_shown_at", "user_id", "shown_at"),
        Index("ix_play_history_shown_at", "shown_at"),
    )
    access = Access(read=Owner(), service=("SELECT", "DELETE"))
    on_erase = Delete()
    on_merge = Move()
    quota = Bound("One for each activity that is drawn; they go after a year.")
    expiries = (
        Expiry(
            "activities shown a year ago",
            "shown_at < now() - interval '1 year'",
            "shown_at",
        ),
    )


class PlayTheme(Base):
    """What a user thinks of a theme, by their feedback: `weight` is from -0.3 to 0.3."""

    __tablename__ = "play_themes"

    id: Mapped[UuidKey]
    user_id: Mapped[OwnerId]
    theme: Mapped[str]
    weight: Mapped[float] = mapped_column(server_default=text("0"))
    shown_count: Mapped[int] = mapped_column(server_default=text("0"))

    __table_args__ = (
        UniqueConstraint("user_id", "theme"),
        CheckConstraint("weight between -0.3 and 0.3", name="weight"),
    )
    access = Access(read=Owner(), service=("SELECT",))
    on_erase = Delete()
    on_merge = Join(("theme",))
    quota = Bound("One for each theme of the activities.")


class PlayDay(Base):
    """How many activities a user has drawn on the day that ends at `resets_at`, in `zone`."""

    __tablename__ = "play_days"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    used: Mapped[int] = mapped_column(server_default=text("0"))
    zone: Mapped[str]
    resets_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    __table_args__ = (CheckConstraint("used >= 0", name="used"),)
    access = Access(read=AnyOf(Owner(), Admin()), service=("SELECT",))
    on_erase = Delete()
    on_merge = MergedBy("merge_play_days")
    quota = Bound("One for each user.")


class GuestHolder(Base):
    """The device or the address that a guest's account was opened from, as a keyed hash.

    Guests from there together draw no more in a day than `share` of them may, so that new guests
    are no new day.
    """

    __tablename__ = "guest_holders"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    holder: Mapped[bytes] = mapped_column(primary_key=True)
    share: Mapped[int]

    __table_args__ = (CheckConstraint("share > 0", name="share"),)
    access = Access(read=Nobody(), service=("SELECT", "INSERT"))
    on_erase = Delete()
    on_merge = KeepTheMembers()
    export = NotExported("A hash of the device, which is of no use without our key.")
    quota = Bound("Two for each guest, whose sign-up has a budget, by address.")


class GuestDay(Base):
    """How many activities the guests of a holder have drawn on the day that ends at `resets_at`."""

    __tablename__ = "guest_days"

    holder: Mapped[bytes] = mapped_column(primary_key=True)
    used: Mapped[int] = mapped_column(server_default=text("0"))
    zone: Mapped[str]
    resets_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    __table_args__ = (
        CheckConstraint("used >= 0", name="used"),
        Index("ix_guest_days_resets_at", "resets_at"),
    )
    access = Access(read=Nobody(), service=("SELECT", "DELETE"))
    quota = Bound("Two for each guest who plays; they go two days later.")
    expiries = (
        Expiry(
            "guests' days that are over",
            "resets_at < now() - interval '2 days'",
            "resets_at",
        ),
    )


class PlayRule(Base):
    """How many activities a day are free, and how many an AI writes for each session.

    One row, set by the workers; 0 where no AI writes any.
    """

    __tablename__ = "play_rules"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    free_daily_activities: Mapped[int]
    written_activities: Mapped[int] = mapped_column(server_default=text("0"))

    __table_args__ = (
        CheckConstraint("id = 1", name="single_row"),
        CheckConstraint("free_daily_activities between 0 and 1000", name="free_daily_activities"),
        CheckConstraint("written_activities between 0 and 20", name="written_activities"),
    )
    access = Access(read=Nobody(), service=("SELECT",))
    quota = Bound("One row.")
