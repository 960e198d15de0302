"""Which activity a player is given: every rule of the choice, and what it does over many draws."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import Actor

from ..conftest import MakeUser

CHOOSE_SQL = """
select c.* from play_sessions s, play_players a, play_players p,
    lateral app.choose_activity(s, a, p, $3, false) c
where s.id = $1 and a.session_id = s.id and a.seat = $2 and p.session_id = s.id and p.seat = $4
"""


class Game:
    """A session of two users in a bank of its own, in a transaction that is rolled back."""

    def __init__(self, owner: asyncpg.Connection, one: Actor, two: Actor) -> None:
        self.owner = owner
        self.users = [one.user_id, two.user_id]
        self.session: UUID

    async def begin(self) -> None:
        """Forgets every other activity, and begins."""
        await self.owner.execute("delete from activities")
        self.session = await self.owner.fetchval(
            "insert into play_sessions (level, status, turn_player_id)"
            " values ('X', 'ACTIVE', app.uuid_v7()) returning id"
        )
        for seat, user_id in enumerate(self.users, start=1):
            await self.player(seat, user_id=user_id, status="JOINED")

    async def player(self, seat: int, **given: Any) -> None:
        """Adds a player."""
        row = {"session_id": self.session, "seat": seat, "name": f"P{seat}"} | given
        places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        await self.owner.execute(
            f"insert into play_players ({', '.join(row)}) values ({places})", *row.values()
        )

    async def activity(self, name: str, **given: Any) -> str:
        """Adds an activity to the bank; gives its id."""
        row = {
            "id": hashlib.sha256(name.encode()).hexdigest(),
            "kind": "TRUTH",
            "level": "R",
            "intensity": 2,
            "text": name,
            "themes": [name],
            "source": "BUNDLED",
        } | given
        places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        await self.owner.execute(
            f"insert into activities ({', '.join(row)}) values ({places})", *row.values()
        )
        return str(row["id"])

    async def set(self, **values: Any) -> None:
        """Changes the session."""
        for column, value in values.items():
            await self.owner.execute(
                f"update play_sessions set {column} = $2 where id = $1", self.session, value
            )

    async def boundary(self, seat: int, item: str, kind: str = "HARD") -> None:
        """A boundary of a user's."""
        await self.owner.execute(
            "insert into boundaries (user_id, item_id, kind, source) values ($1, $2, $3, 'SET')",
            self.users[seat - 1], item, kind,
        )  # fmt: skip

    async def shown(self, activity: str, *, days: int = 0, later: int = 0) -> None:
        """Says that the first user was given an activity so many days ago, and others since."""
        await self.owner.execute(
            "insert into play_history (user_id, activity_id, kind, theme, shown_at)"
            " values ($1, $2, 'TRUTH', 'past', now() - $3 * interval '1 day')",
            self.users[0], activity, days,
        )  # fmt: skip
        await self.owner.execute(
            "insert into play_history (user_id, activity_id, kind, theme, shown_at)"
            " select $1, 'other' || n, 'TRUTH', 'past', now() from generate_series(1, $2) n",
            self.users[0], later,
        )  # fmt: skip

    async def turn(self, number: int, theme: str, seat: int = 1) -> None:
        """A turn that was played."""
        await self.owner.execute(
            "insert into play_turns (session_id, number, player_id, activity_id, kind, level,"
            " intensity, text, theme, why, scores)"
            " select $1, $2, id, 'turn', 'TRUTH', 'R', 2, 't', $3, '{}', '{}'"
            " from play_players where session_id = $1 and seat = $4",
            self.session, number, theme, seat,
        )  # fmt: skip

    async def choose(self, kind: str = "TRUTH", active: int = 1, partner: int = 2) -> Any:
        """What a player is given, with another one beside them."""
        return await self.owner.fetchrow(CHOOSE_SQL, self.session, active, kind, partner)

    async def gives(self, **asked: Any) -> str | None:
        """The text of it; nothing when there is none."""
        found: str | None = (await self.choose(**asked))["text"]
        return found


@pytest.fixture
async def game(owner: asyncpg.Connection, make_user: MakeUser) -> AsyncIterator[Game]:
    """Two users who play at level X."""
    game = Game(owner, await make_user(0), await make_user(0))
    transaction = owner.transaction()
    await transaction.start()
    await game.begin()
    yield game
    await transaction.rollback()


@pytest.mark.parametrize(
    ("session", "activity", "is_given"),
    [
        ("G", "G", True), ("G", "R", False), ("G", "X", False),
        ("R", "G", True), ("R", "R", True), ("R", "X", False),
        ("X", "G", True), ("X", "R", True), ("X", "X", True),
    ],
)  # fmt: skip
async def test_the_level_and_lower_ones(
    game: Game, session: str, activity: str, is_given: bool
) -> None:
    await game.set(level=session)
    await game.activity("one", level=activity, intensity=1)
    assert (await game.gives() is not None) is is_given
    assert await game.gives(kind="DARE") is None, "a truth is no dare"


@pytest.mark.parametrize(
    ("level", "kind", "is_given"),
    [
        ("R", "HARD", False), ("R", "SOFT", False), ("R", "NONE", True),
        ("X", "HARD", False), ("X", "SOFT", True), ("G", "SOFT", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("boundary", ["impact", "B3a"])
async def test_boundaries_of_who_is_given_it(
    game: Game, level: str, kind: str, is_given: bool, boundary: str
) -> None:
    await game.set(level=level)
    await game.activity(
        "one", level="G", intensity=1, limit_keys=["impact"], preference_keys=["B3a"]
    )
    await game.boundary(1, boundary, kind)
    assert (await game.gives() is not None) is is_given
    assert await game.gives(active=2, partner=1) == "one", "the other's do not count"


@pytest.mark.parametrize(
    ("kind", "boundary", "keys", "is_given"),
    [
        ("DARE", "impact", {"limit_keys": ["impact"]}, False),
        ("DARE", "B16a", {"preference_keys": ["B16b"]}, False),
        ("DARE", "B16b", {"preference_keys": ["B16a"]}, False),
        ("DARE", "B16a", {"preference_keys": ["B16a"]}, True),
        ("DARE", "B21", {"preference_keys": ["B21"]}, False),
        ("TRUTH", "B29", {"preference_keys": ["B29"]}, True),
    ],
)
async def test_a_dare_keeps_the_boundaries_of_the_one_to_whom_it_is_done(
    game: Game, kind: str, boundary: str, keys: dict[str, list[str]], is_given: bool
) -> None:
    await game.activity("one", kind=kind, **keys)
    assert await game.gives(kind=kind) == "one"
    await game.boundary(2, boundary)
    assert await game.gives(kind=kind) == ("one" if is_given else None)


async def test_for_somebody_without_an_account_everybodys_boundaries_count(game: Game) -> None:
    await game.player(3, status="PRESENT")
    await game.activity("one", limit_keys=["impact"])
    assert await game.gives(active=3) == "one"
    await game.boundary(2, "impact")
    assert await game.gives(active=3) is None


@pytest.mark.parametrize(
    ("needs", "is_given"),
    [
        ({"needs_anatomy_active": ["penis"]}, True),
        ({"needs_anatomy_active": ["vagina"]}, False),
        ({"needs_anatomy_partner": ["vagina", "breasts"]}, True),
        ({"needs_anatomy_partner": ["penis"]}, False),
    ],
)
async def test_anatomy_of_the_two(game: Game, needs: dict[str, Any], is_given: bool) -> None:
    await game.activity("one", **needs)
    for seat, anatomy in ((1, ["penis"]), (2, ["vagina", "breasts"])):
        await game.owner.execute(
            "update play_players set anatomy = $3 where session_id = $1 and seat = $2",
            game.session, seat, anatomy,
        )  # fmt: skip
    assert (await game.gives() is not None) is is_given


async def test_the_audience(game: Game) -> None:
    await game.activity("couple", audience="COUPLES")
    assert await game.gives() == "couple"
    await game.player(3, status="PRESENT")
    assert await game.gives() is None
    await game.activity("group", audience="GROUPS")
    assert await game.gives() == "group"


@pytest.mark.parametrize(
    ("days", "later", "is_given"),
    [(0, 0, False), (364, 99, False), (366, 0, True), (1, 99, False), (1, 100, True)],
)
async def test_nothing_again_for_a_year_or_a_hundred_others(
    game: Game, days: int, later: int, is_given: bool
) -> None:
    await game.shown(await game.activity("one"), days=days, later=later)
    assert (await game.choose())["is_repeated"] is not is_given
    assert (await game.choose(active=2, partner=1))["is_repeated"] is False, (
        "they were not given it"
    )
    await game.activity("other")
    assert (await game.gives() == "other") or is_given


async def test_when_nothing_else_is_left_the_oldest_comes_again(game: Game) -> None:
    for days, name in enumerate(("newest", "middle", "oldest"), start=1):
        await game.shown(await game.activity(name), days=days)
    assert {await game.gives() for _ in range(5)} == {"oldest"}
    found = await game.choose()
    assert (found["is_repeated"], '"repeated": true' in found["why"]) == (True, True)
    # Given again, it is the newest, although it was the oldest as well.
    await game.shown(hashlib.sha256(b"oldest").hexdigest())
    assert await game.gives() == "middle"
    await game.turn(1, "talk")
    await game.owner.execute(
        "update play_turns set activity_id = $2 where session_id = $1",
        game.session, hashlib.sha256(b"middle").hexdigest(),
    )  # fmt: skip
    await game.owner.execute(
        "update play_sessions s set current_turn_id = t.id from play_turns t"
        " where t.session_id = s.id and s.id = $1",
        game.session,
    )
    assert await game.gives() == "newest", "what is skipped now does not come at once"
    await game.activity("new")
    assert await game.gives() == "new"


@pytest.mark.parametrize(
    "activity",
    [
        {"level": "X"}, {"kind": "DARE"}, {"limit_keys": ["impact"]}, {"preference_keys": ["B3a"]},
        {"needs_anatomy_active": ["penis"]}, {"needs_anatomy_partner": ["penis"]},
        {"audience": "GROUPS"}, {"audience": "SOLO"}, {"themes": ["worn"]}, {"is_active": False},
        {"source": "AI", "session_id": UUID(int=1)},
    ],
)  # fmt: skip
async def test_what_comes_again_keeps_every_other_rule(
    game: Game, activity: dict[str, Any]
) -> None:
    await game.set(level="R")
    await game.boundary(1, "impact")
    await game.boundary(1, "B3a", "SOFT")
    await game.turn(1, "worn")
    await game.turn(2, "worn")
    await game.shown(await game.activity("one", **activity))
    assert await game.gives() is None
    await game.shown(await game.activity("two"))
    assert await game.gives() == "two"


async def test_what_comes_again_to_somebody_without_an_account(game: Game) -> None:
    await game.player(3, status="PRESENT")
    for number, name in enumerate(("first", "second"), start=1):
        made = await game.activity(name)
        await game.turn(number, f"{number}", seat=3)
        await game.owner.execute(
            "update play_turns set activity_id = $3 where session_id = $1 and number = $2",
            game.session, number, made,
        )  # fmt: skip
    assert await game.gives(active=3) == "first"


@pytest.mark.parametrize(
    ("activity", "is_given"),
    [
        ({"audience": "SOLO"}, True), ({"audience": "ALL"}, True), ({"audience": "COUPLES"}, False),
        ({"audience": "GROUPS"}, False), ({"text": "Look at {partner}."}, False),
        ({"text": "{active} looks."}, True), ({"needs_anatomy_partner": ["penis"]}, False),
    ],
)  # fmt: skip
async def test_who_plays_alone_has_nobody_beside_them(
    game: Game, activity: dict[str, Any], is_given: bool
) -> None:
    await game.activity("one", **activity)
    await game.owner.execute(
        "delete from play_players where seat = 2 and session_id = $1", game.session
    )
    await game.player(2, is_opponent=True, status="PRESENT")
    assert (await game.gives() is not None) is is_given


async def test_at_most_two_of_a_theme_in_a_row(game: Game) -> None:
    await game.activity("one", themes=["talk", "other"])
    await game.turn(1, "talk")
    assert await game.gives() == "one"
    await game.turn(2, "talk", seat=2)
    assert await game.gives() is None
    await game.turn(3, "other")
    assert await game.gives() == "one"


async def test_what_was_made_for_another_session_or_removed_is_not_drawn(game: Game) -> None:
    await game.activity("other", source="AI", session_id=uuid4())
    await game.activity("removed", is_active=False)
    assert await game.gives() is None
    await game.activity("own", source="AI", session_id=game.session)
    assert await game.gives() == "own"


async def test_the_intensity_follows_the_steps(game: Game) -> None:
    for intensity in range(1, 6):
        await game.activity(f"{intensity}", intensity=intensity, level="X")
    found = {}
    for step in (1, 10, 20, 25, 26):
        await game.set(turn_count=step - 1)
        found[step] = {await game.gives() for _ in range(150)}
    assert found == {1: {"2", "3"}, 10: {"3", "4"}, 20: {"4", "5"}, 25: {"3"}, 26: {"2", "3"}}
    await game.owner.execute("delete from activities where intensity < 5")
    assert (await game.choose())["why"].count('"outOfIntensities": 2') == 1


async def test_names_stand_in_the_text_and_nothing_of_boundaries_in_why(game: Game) -> None:
    await game.activity("{active} tells {partner}.", themes=["talk"])
    await game.boundary(1, "impact")
    found = await game.choose()
    assert found["text"] == "P1 tells P2."
    assert "impact" not in found["why"]


async def test_feedback_and_what_is_new_change_what_is_likely(game: Game) -> None:
    for n in range(10):
        await game.activity(f"liked {n}", themes=["liked"])
        await game.activity(f"disliked {n}", themes=["disliked"])
    await game.owner.execute(
        "insert into play_themes (user_id, theme, weight) values"
        " ($1, 'liked', 0.3), ($1, 'disliked', -0.3)",
        game.users[0],
    )
    found = Counter([(await game.choose())["theme"] for _ in range(50)])
    assert found == {"liked": 50}
    other = Counter([(await game.choose(active=2, partner=1))["theme"] for _ in range(100)])
    assert min(other["liked"], other["disliked"]) > 20, "of whom nothing is known"


async def test_new_themes_come_more_often_the_more_was_played(game: Game) -> None:
    for n in range(5):
        await game.activity(f"known {n}", themes=["known"])
        await game.activity(f"new {n}", themes=["new"])
    await game.owner.execute(
        "insert into play_themes (user_id, theme) values ($1, 'known')", game.users[0]
    )
    await game.shown("some")
    early = Counter([(await game.choose())["theme"] for _ in range(200)])
    await game.shown("some", later=99)
    late = Counter([(await game.choose())["theme"] for _ in range(200)])
    # 0.1 and 0.6 of them: both bounds are more than six standard deviations away.
    assert early["new"] < 50 < 75 < late["new"]


async def test_truths_and_dares_are_as_many_over_time(owner: asyncpg.Connection) -> None:
    counts = await owner.fetchrow(
        """
        with recursive drawn (n, truths, dares) as (
            select 0, 0, 0
            union all
            select n + 1, truths + is_truth::integer, dares + 1 - is_truth::integer
            from (select *, random() < app.truth_chance(truths, dares) as is_truth from drawn) d
            where n < 1000
        ) select truths, dares from drawn order by n desc limit 1
        """
    )
    assert counts["truths"] + counts["dares"] == 1000
    assert abs(counts["truths"] - 500) <= 15


async def test_everything_that_suits_is_given_at_some_time(game: Game) -> None:
    names = {f"one {n}" for n in range(8)}
    for name in names:
        await game.activity(name, themes=["talk"])
    assert {await game.gives() for _ in range(300)} == names


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("mutual_interest(1, 1)", 1), ("mutual_interest(1, 0.5)", 0.6),
        ("mutual_interest(0.5, 0.5)", 0.4), ("mutual_interest(1, 0)", 0.1),
        ("mutual_interest(0, 0)", 0), ("mutual_interest(null, 1)", 0.5),
        ("power_fit('NEUTRAL', 'TOP', 'TOP')", 1), ("power_fit('TOP', 'TOP', 'BOTTOM')", 1),
        ("power_fit('TOP', 'TOP', 'SWITCH')", 0.95), ("power_fit('TOP', 'TOP', 'TOP')", 0.8),
        ("power_fit('TOP', 'SWITCH', 'BOTTOM')", 0.6), ("power_fit('TOP', 'BOTTOM', 'TOP')", 0),
        ("power_fit('BOTTOM', 'BOTTOM', 'TOP')", 1), ("power_fit('TOP', null, null)", 0.6),
        ("pacing(2, 5, 0.5)", 0.05), ("pacing(3, 10, 0.5)", 0.05), ("pacing(5, 1, 0.5)", -0.05),
        ("pacing(3, 5, 0.7)", 0.02), ("pacing(3, 5, 0.1)", -0.05), ("pressure(0.65)", -0.15),
        ("pressure(0.5)", -0.05), ("pressure(0.2)", 0), ("pressure(null)", 0),
        ("novelty_chance(0)", 0.1), ("novelty_chance(1000)", 0.6),
        ("truth_chance(0, 0)", 0.5), ("truth_chance(9, 0)", 0.1), ("truth_chance(0, 9)", 0.9),
    ],
)  # fmt: skip
async def test_what_counts_for_how_much(
    owner: asyncpg.Connection, call: str, expected: float
) -> None:
    assert float(await owner.fetchval(f"select app.{call}")) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("item", "other"), [("B3a", "B3b"), ("B24b", "B24a"), ("B20", "B20"), ("A1", "A1")]
)
async def test_the_other_side_of_an_item(owner: asyncpg.Connection, item: str, other: str) -> None:
    assert await owner.fetchval("select app.other_side($1)", item) == other
