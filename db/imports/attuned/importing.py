"""Brings Attuned's prototype into the database, as its owner: stage by stage, in whole batches.

What is there already stays as it is, so that an import that was interrupted is run again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from db.accounts.operating import as_owner
from db.accounts.operations import GRANT_SIGN_UP_BONUS
from db.core.errors import DomainError, ErrorCode
from db.imports.attuned import compatibility, records, rules, statements
from db.imports.attuned.source import COMPATIBILITY, STAGES, Row, prototype
from db.imports.rules import Refused
from db.partners.rules import SurveyedItem
from db.surveys.rules import ScoredItem

SURVEY = "attuned-0.4"
NOT_HERE = "its user is not here: bring users first, with `tallygraph import users`"
SURVEYED = "its user has a survey here already"
# A busy row ends the import, which is run again, rather than holding up who waits behind it.
_LOCK_TIMEOUT = "set lock_timeout = '10s'"
_ITEMS = """
select item_id, kind, measures, tags, limit_keys, options, is_required, is_short
from survey_items where survey_id = $1 order by sort_order
"""
_SURVEYED = """
select item_id, question, section, side, limit_keys from survey_items
where survey_id = $1 order by sort_order
"""
_TERMS = f"select {GRANT_SIGN_UP_BONUS.name}(id, false) from unnest($1::uuid[]) as new (id)"  # noqa: S608


@dataclass(slots=True)
class StageReport:
    """What became of the rows of one stage: each is counted once."""

    read: int = 0
    imported: int = 0
    already_there: int = 0
    refused: list[Refused] = field(default_factory=list)

    @property
    def reasons(self) -> Counter[str]:
        """How many were refused for each reason."""
        return Counter(one.reason for one in self.refused)


@dataclass(slots=True)
class AttunedReport:
    """What became of all, and what of it is to be looked at."""

    stages: dict[str, StageReport] = field(
        default_factory=lambda: {name: StageReport() for name in STAGES}
    )
    guests: int = 0
    # Profiles whose orientation of power is another one here than it was stored there.
    differing_powers: list[str] = field(default_factory=list)
    # What has to be answered again, since the survey knows no such limit or answer.
    asked_again: list[str] = field(default_factory=list)
    # Pairs of profiles whose compatibility was compared, and those who fit otherwise than before.
    compared: int = 0
    differing_fits: list[str] = field(default_factory=list)
    backup: Path | None = None


@dataclass(frozen=True, slots=True)
class AttunedOptions:
    """Who imports, whether it is only tried, and where the source's tables are kept before."""

    operator: str
    is_dry_run: bool = False
    backup: Path | None = None
    # For how long guests may come back with their anonymous session's id; not at all without.
    guest_days: int | None = None


Tell = Callable[[str], None]


async def import_attuned(
    owner_url: str, source_url: str, options: AttunedOptions, tell: Tell = lambda _: None
) -> AttunedReport:
    """Brings all of it; the report says what became of each row."""
    report = AttunedReport()
    async with prototype(source_url) as source, as_owner(owner_url) as connection:
        if options.backup is not None and not options.is_dry_run:
            await source.back_up(options.backup, lambda table: tell(f"backing up {table}"))
            report.backup = options.backup
        await connection.execute(_LOCK_TIMEOUT)
        importing = _AttunedImport(connection, options, report)
        await importing.prepare()
        # A dry run undoes everything at its end, since each stage stands on those before.
        transaction = connection.transaction()
        if options.is_dry_run:
            await transaction.start()
        for stage, take in importing.stages().items():
            done = report.stages[stage]
            async for batch in source.batches(STAGES[stage]):
                done.read += len(batch)
                async with connection.transaction():
                    await take(done, batch)
                tell(f"{stage}: {done.read:,} read, {done.imported:,} imported")
        async for batch in source.batches(COMPATIBILITY):
            importing.compare(batch)
            tell(f"compatibility: {report.compared:,} compared")
        if options.is_dry_run:
            await transaction.rollback()
    return report


class _AttunedImport:
    """One import over one connection."""

    def __init__(
        self, connection: asyncpg.Connection, options: AttunedOptions, report: AttunedReport
    ) -> None:
        self._connection = connection
        self._options = options
        self._report = report
        self._now = datetime.now(UTC)
        self._items: Sequence[ScoredItem] = ()
        self._surveyed: Sequence[SurveyedItem] = ()

    async def prepare(self) -> None:
        """Reads the survey by which all is scored."""
        found = await self._connection.fetch(_ITEMS, SURVEY)
        if not found:
            raise DomainError(
                ErrorCode.NOT_FOUND, "There is no survey of 0.4: run `tallygraph seed attuned`."
            )
        self._items = [ScoredItem(**item) for item in found]
        surveyed = await self._connection.fetch(_SURVEYED, SURVEY)
        self._surveyed = [
            SurveyedItem(**{**item, "limit_keys": tuple(item["limit_keys"])}) for item in surveyed
        ]

    def compare(self, batch: list[Row]) -> None:
        """Notes whether pairs fit here as they did there."""
        for result in batch:
            found = compatibility.compared(self._items, self._surveyed, result)
            if found is not None:
                self._report.compared += 1
                if not compatibility.is_kept(*found):
                    pair = f"profiles {result['player_a_id']} and {result['player_b_id']}"
                    self._report.differing_fits.append(
                        "{}: {} %, was {} %".format(pair, *found[::-1])
                    )

    def stages(self) -> Mapping[str, Callable[[StageReport, list[Row]], Awaitable[None]]]:
        """What takes each stage's batches, in their order."""
        return {
            "activities": self._take_activities,
            "profiles": self._take_profiles,
            "surveys in progress": self._take_progress,
            "demographics": self._take_demographics,
            "partners": self._take_partners,
            "sessions": self._take_sessions,
            "history": self._take_history,
        }

    async def _take_activities(self, done: StageReport, batch: list[Row]) -> None:
        made: dict[str, dict[str, Any]] = {}
        for row in batch:
            key = f"activity {row['activity_id']}"
            is_offered = row.get("is_active", True) and row.get("approved", True)
            activity, reason = rules.activity_of(row)
            if not is_offered or row.get("source") == "ai_generated":
                done.refused.append(Refused(key, "it is not offered there, or was made by an AI"))
            elif activity is None:
                done.refused.append(Refused(key, reason))
            elif made.setdefault(activity["id"], activity) is not activity:
                done.refused.append(Refused(key, "another one has the same text"))
        added = await self._connection.fetch(statements.ACTIVITIES, _json(made.values()))
        done.imported += len(added)
        done.already_there += len(made) - len(added)

    async def _take_profiles(self, done: StageReport, batch: list[Row]) -> None:
        new = await self._new_runs(done, records.PROFILE, batch)
        await self._take_surveys(done, (records.profile_record(self._items, row) for row in new))

    async def _take_progress(self, done: StageReport, batch: list[Row]) -> None:
        new = await self._new_runs(done, records.PROGRESS, batch)
        await self._take_surveys(done, (records.progress_record(self._items, row) for row in new))

    async def _new_runs(self, done: StageReport, kind: str, batch: list[Row]) -> list[Row]:
        """The rows that were not brought before: scoring them again would be for nothing."""
        ids: dict[int, UUID] = {}
        for place, row in enumerate(batch):
            number = row["id"] if kind == records.PROFILE else None
            if owner := rules.owner_of(row, profile_id=number):
                ids[place] = records.run_id(owner, kind, row["id"])
        there = await self._there("runs", ids.values())
        new = [row for place, row in enumerate(batch) if ids.get(place) not in there]
        done.already_there += len(batch) - len(new)
        return new

    async def _take_surveys(
        self, done: StageReport, found: Iterable[records.SurveyRecord | Refused]
    ) -> None:
        surveys = []
        for one in found:
            if isinstance(one, Refused):
                done.refused.append(one)
            else:
                surveys.append(one)
        await self._make_guests(surveys)
        owners = await self._owners(one.owner.user_id for one in surveys)
        wanted: dict[UUID, records.SurveyRecord] = {}
        for one in surveys:
            user_id = one.owner.user_id
            if user_id not in owners:
                done.refused.append(Refused(one.key, NOT_HERE))
            elif owners[user_id] or user_id in wanted:
                done.refused.append(Refused(one.key, SURVEYED))
            else:
                wanted[user_id] = one
        written = await self._write_runs([one.row for one in wanted.values()])
        for one in wanted.values():
            if one.row["id"] not in written:
                done.refused.append(Refused(one.key, SURVEYED))
                continue
            done.imported += 1
            if one.is_same_power is False:
                self._report.differing_powers.append(one.key)
            if one.asked_again:
                self._report.asked_again.append(f"{one.key}: {', '.join(one.asked_again)}")

    async def _make_guests(self, surveys: Sequence[records.SurveyRecord]) -> None:
        guests = [one.row for one in surveys if one.owner.is_guest]
        added = await self._connection.fetch(statements.GUESTS, _json(guests))
        ids = [row["id"] for row in added]
        await self._connection.execute(statements.IMPORTED, _json(guests), ids)
        await self._connection.execute(_TERMS, ids)
        await self._connection.execute(statements.AUDIT, ids, self._options.operator)
        self._report.guests += len(ids)
        if self._options.guest_days is not None:
            sessions = _json(_guest_sessions(guests))
            days = self._options.guest_days
            await self._connection.execute(statements.GUEST_SESSIONS, sessions, days, ids)

    async def _write_runs(self, rows: list[dict[str, Any]]) -> set[UUID]:
        connection, text = self._connection, _json(rows)
        written = await connection.fetch(statements.RUNS, text, SURVEY)
        ids = [row["id"] for row in written]
        owners = [row["user_id"] for row in rows if row["id"] in {*ids}]
        await connection.execute(statements.ANSWERS, text, SURVEY, ids)
        await connection.execute(statements.SUBMITTED, text, ids)
        await connection.execute(statements.PROFILES, text, SURVEY, ids)
        for statement in (statements.DOMAIN_SCORES, statements.MEASURES, statements.BOUNDARIES):
            await connection.execute(statement, text, ids)
        await connection.fetch(statements.DEMOGRAPHICS, text, owners)
        return {*ids}

    async def _take_demographics(self, done: StageReport, batch: list[Row]) -> None:
        rows = [
            {
                "user_id": user["id"],
                "demographics": rules.demographics_of_user(user),
                "level": rules.SHARING.get(str(user.get("profile_sharing_setting"))),
            }
            for user in batch
        ]
        owners = await self._owners(UUID(row["user_id"]) for row in rows)
        said = []
        for row in rows:
            key = f"user {row['user_id']}"
            if UUID(row["user_id"]) not in owners:
                done.refused.append(Refused(key, NOT_HERE))
            elif row["demographics"] is None:
                done.refused.append(Refused(key, "a name or an anatomy is missing"))
            else:
                said.append(row)
        await self._connection.execute(statements.SHARING, _json(rows), [*owners])
        added = await self._connection.fetch(statements.DEMOGRAPHICS, _json(said), [*owners])
        done.imported += len(added)
        done.already_there += len(said) - len(added)

    async def _take_partners(self, done: StageReport, batch: list[Row]) -> None:
        named = (pair[side] for pair in batch for side in ("one", "other"))
        owners = await self._owners(UUID(user_id) for user_id in named if user_id)
        pairs = []
        for pair in batch:
            key = f"partners {pair['one']}, {pair['other']}"
            if pair["one"] == pair["other"]:
                done.refused.append(Refused(key, "both are the same person"))
            elif owners.keys() >= {UUID(pair["one"]), UUID(pair["other"])}:
                pairs.append(pair)
            else:
                done.refused.append(Refused(key, NOT_HERE))
        rows = [row for pair in pairs for row in records.partner_rows(pair)]
        added = await self._connection.fetch(statements.PARTNERS, _json(rows))
        new = {frozenset(row) for row in added}
        done.imported += len(new)
        done.already_there += len(pairs) - len(new)
        people = sorted({row["user_id"] for row in added})
        await self._connection.execute(statements.DROP_OLD_PARTNERS, people)

    async def _take_sessions(self, done: StageReport, batch: list[Row]) -> None:
        found: list[dict[str, Any]] = []
        for session in batch:
            made = records.session_record(session, self._now)
            if isinstance(made, Refused):
                done.refused.append(made)
            else:
                found.append(made)
        there = await self._there("sessions", (one["id"] for one in found))
        owners = await self._owners(
            player["user_id"] for one in found for player in one["players"] if player["user_id"]
        )
        new = []
        for one in found:
            users = {player["user_id"] for player in one["players"]} - {None}
            if one["id"] in there:
                done.already_there += 1
            elif not users <= owners.keys():
                done.refused.append(Refused(one["key"], NOT_HERE))
            else:
                new.append(one)
        await self._write_sessions(new)
        done.imported += len(new)

    async def _write_sessions(self, rows: list[dict[str, Any]]) -> None:
        connection, text = self._connection, _json(rows)
        written = await connection.fetch(statements.SESSIONS, text)
        ids = [row["id"] for row in written]
        await connection.execute(statements.PLAYERS, text, ids)
        await connection.execute(statements.TURNS, text, ids)
        await connection.execute(statements.END_TURNS, ids)
        await connection.execute(statements.END_SESSIONS, text, ids)

    async def _take_history(self, done: StageReport, batch: list[Row]) -> None:
        rows: list[dict[str, Any]] = []
        for shown in batch:
            made = records.history_row(shown, self._now)
            if isinstance(made, Refused):
                done.refused.append(made)
            else:
                rows.append(made | {"key": f"history {shown['id']}"})
        owners = await self._owners(row["user_id"] for row in rows)
        there = await self._there("history", (row["id"] for row in rows))
        added = await self._connection.fetch(statements.HISTORY, _json(rows), [*owners])
        done.imported += len(added)
        done.already_there += len(there)
        done.refused += [
            Refused(row["key"], NOT_HERE)
            for row in rows
            if row["user_id"] not in owners and row["id"] not in there
        ]

    async def _owners(self, user_ids: Iterable[UUID]) -> dict[UUID, bool]:
        """Those who may have rows, locked, and whether each has a profile already."""
        found = await self._connection.fetch(statements.OWNERS, sorted({*user_ids}))
        return {row["id"]: row["is_surveyed"] for row in found}

    async def _there(self, what: str, ids: Iterable[UUID]) -> set[UUID]:
        found = await self._connection.fetch(statements.THERE[what], [*ids])
        return {row["id"] for row in found}


def _guest_sessions(guests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The hash of each guest's first token, where their anonymous session can stand for one."""
    made = {}
    for guest in guests:
        token = rules.first_token(guest["known"].get("anonymous_session_id"))
        if token is not None:
            digest = hashlib.sha256(token.encode()).hexdigest()
            made[guest["user_id"]] = {"user_id": guest["user_id"], "token_hash": digest}
    return [*made.values()]


def _json(rows: Iterable[Any]) -> str:
    return orjson.dumps([*rows]).decode()
