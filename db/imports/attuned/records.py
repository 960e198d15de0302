"""Rows of the prototype as the statements take them, or why one is not taken: pure, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from db.activities.rules import MOST_CHARACTERS
from db.core.texts import as_name
from db.imports.attuned import rules
from db.imports.rules import Refused
from db.surveys.operations import stored_profile
from db.surveys.rules import ScoredItem, profile_of, unanswered

FORM = "FULL"
PROFILE, PROGRESS = "profile", "progress"
# What is older would go the next night (`expiries` of the tables).
SESSIONS_KEPT, HISTORY_KEPT = timedelta(days=90), timedelta(days=365)
# When nobody does anything any more in one that has not ended.
SESSIONS_PLAYED = timedelta(days=7)
LIKINGS = {"like": 0.1, "dislike": -0.15}
DONE, NOT_DONE = 0.02, -0.05


@dataclass(frozen=True, slots=True)
class SurveyRecord:
    """A run with its answers, and the profile they make unless some are still missing."""

    owner: rules.SourceOwner
    row: dict[str, Any]
    key: str
    asked_again: tuple[str, ...] = ()
    is_same_power: bool | None = None


def run_id(owner: rules.SourceOwner, kind: str, number: object) -> UUID:
    """The run here of a profile, or of a survey in progress."""
    return rules.made_id("run", f"{owner.user_id}:{kind}:{number}")


def profile_record(
    items: Sequence[ScoredItem], profile: Mapping[str, Any]
) -> SurveyRecord | Refused:
    """A row of `profiles` with its `submission`."""
    key = f"profile {profile['id']}"
    version = str(profile.get("survey_version") or rules.SURVEY_VERSION)
    owner = rules.owner_of(profile, profile_id=profile["id"])
    assert owner
    if version != rules.SURVEY_VERSION:
        return Refused(key, f"its survey is of version {version}, and here is 0.4 alone")
    submission = profile.get("submission") or {}
    taken = rules.answers_of(items, submission.get("payload_json"), profile.get("boundaries"))
    if not taken.values:
        return Refused(key, "nothing was submitted for it")
    made = {
        **_run(items, owner, taken, run_id(owner, PROFILE, profile["id"])),
        "created_at": _time(submission.get("created_at")) or _time(profile.get("created_at")),
        "demographics": rules.demographics_of_profile(profile, submission),
    }
    # Of a limit that is not known here no profile is made: it must not be forgotten.
    missing = (*unanswered(items, FORM, taken.values), *taken.unknown_limits)
    if missing:
        return SurveyRecord(owner, made, key, asked_again=missing)
    scores = profile_of(items, FORM, taken.values)
    made["scores"] = stored_profile(scores)
    stored = str(rules.object_of(profile.get("power_dynamic")).get("orientation") or "")
    same = stored.partition("/")[0].upper() == scores.power.orientation if stored else None
    return SurveyRecord(owner, made, key, is_same_power=same)


def progress_record(
    items: Sequence[ScoredItem], progress: Mapping[str, Any]
) -> SurveyRecord | Refused:
    """A row of `survey_progress` that is in progress."""
    key = f"survey progress {progress['id']}"
    version = str(progress.get("survey_version") or rules.SURVEY_VERSION)
    owner = rules.owner_of(progress)
    if owner is None:
        return Refused(key, "it is nobody's")
    if version != rules.SURVEY_VERSION:
        return Refused(key, f"its survey is of version {version}, and here is 0.4 alone")
    taken = rules.answers_of(items, progress.get("answers"))
    made = _run(items, owner, taken, run_id(owner, PROGRESS, progress["id"])) | {
        "created_at": _time(progress.get("started_at")),
        "saved_at": _time(progress.get("last_saved_at")),
    }
    return SurveyRecord(owner, made, key, asked_again=taken.unknown_limits)


def _run(
    items: Sequence[ScoredItem], owner: rules.SourceOwner, taken: rules.TakenAnswers, made_id: UUID
) -> dict[str, Any]:
    return {
        "id": made_id,
        "profile_id": rules.made_id("survey profile", made_id),
        "user_id": owner.user_id,
        "known": owner.known,
        "item_count": len(items),
        "answered_count": len(taken.values),
        "answers": taken.rows(),
    }


def partner_rows(pair: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Both sides of two people who remember each other."""
    sharing = {
        side: rules.SHARING.get(str(pair.get(f"{side}_shares")), "OVERLAPPING")
        for side in ("one", "other")
    }
    return [
        {
            "user_id": pair[mine],
            "partner_id": pair[theirs],
            "sharing": sharing[mine],
            "shared": sharing[theirs],
            "connected_at": _time(pair.get("connected_at")),
            "last_played_at": _time(pair.get("last_played_at")),
        }
        for mine, theirs in (("one", "other"), ("other", "one"))
    ]


def session_record(session: Mapping[str, Any], now: datetime) -> dict[str, Any] | Refused:
    """A row of `sessions` with its `activities` and the `profiles` that played."""
    key = f"session {session['session_id']}"
    created = _time(session.get("created_at")) or now
    updated = max(created, _time(session.get("updated_at")) or created)
    if updated < now - SESSIONS_KEPT:
        return Refused(key, "nobody has played it for 90 days")
    level = str(session.get("intimacy_level") or session.get("rating") or "").upper()
    if level not in rules.LEVELS:
        return Refused(key, "its level is none of G, R and X")
    made_id = rules.made_id("session", session["session_id"])
    players = _players(session, made_id)
    if players is None:
        return Refused(key, "nobody of it is known")
    ends_as = rules.ENDED.get(str(session.get("status")))
    if ends_as is None and updated < now - SESSIONS_PLAYED:
        ends_as = "EXPIRED"
    turns: list[dict[str, Any]] = []
    for played in session.get("activities") or ():
        # Numbered without gaps: the next turn that is played gets the number behind the last.
        if turn := _turn(made_id, len(turns) + 1, played, players):
            turns.append(turn)
    return {
        "id": made_id,
        "key": key,
        "level": level,
        "turn_player_id": players[0]["id"],
        "turn_count": len(turns),
        "created_at": created,
        "updated_at": updated,
        "ends_as": ends_as,
        "players": players,
        "turns": turns,
    }


def _players(session: Mapping[str, Any], session_id: UUID) -> list[dict[str, Any]] | None:
    """Who started it, and beside them somebody known, somebody with a name alone, or nobody."""
    first = _user(session, "primary", "player_a")
    if first is None:
        return None
    second = _user(session, "partner", "player_b")
    second = None if second == first else second
    name = as_name(str(session.get("partner_anonymous_name") or ""))
    given = rules.object_of(session.get("partner_anonymous_anatomy"))
    other = {
        "user_id": second,
        "name": name or "Opponent",
        "anatomy": [part for part in rules.ANATOMY if part in (given.get("anatomy_self") or ())],
        "is_opponent": not second and not name,
        "status": "JOINED" if second else "PRESENT",
    }
    own: dict[str, Any] = {
        "user_id": first,
        "name": None,
        "anatomy": [],
        "is_opponent": False,
        "status": "JOINED",
    }
    return [
        {**player, "seat": seat, "id": rules.made_id("player", f"{session_id}:{seat}")}
        for seat, player in enumerate((own, other), start=1)
    ]


def _user(session: Mapping[str, Any], role: str, old_role: str) -> UUID | None:
    """Whose place it is: the user that it names, else whose profile it names."""
    if user_id := rules.uuid_of(session.get(f"{role}_user_id")):
        return user_id
    number = session.get(f"{role}_profile_id") or session.get(f"{old_role}_profile_id")
    profile = (session.get("profiles") or {}).get(str(number))
    owner = rules.owner_of(profile, profile_id=number) if profile else None
    return owner.user_id if owner else None


def _turn(
    session_id: UUID, number: int, played: Mapping[str, Any], players: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """An activity of a session; who was given it is in its roles, A being who started."""
    kind = str(played.get("type") or "").upper()
    uid, text, theme = rules.played_activity(played)
    if kind not in ("TRUTH", "DARE") or not text:
        return None
    is_second = str(rules.object_of(played.get("roles")).get("active_player") or "A").upper() == "B"
    active, partner = reversed(players) if is_second else players
    return {
        "id": rules.made_id("turn", f"{session_id}:{number}"),
        "number": number,
        "player_id": active["id"],
        "partner_id": partner["id"],
        "activity_id": uid,
        "kind": kind,
        "intensity": rules.whole(played.get("intensity")) or 1,
        "text": text.replace("{active}", active["name"] or "…").replace(
            "{partner}", partner["name"] or "…"
        )[:MOST_CHARACTERS],
        "theme": theme,
    }


def history_row(shown: Mapping[str, Any], now: datetime) -> dict[str, Any] | Refused:
    """A row of `user_activity_history` with the activity's script."""
    key = f"history {shown['id']}"
    owner, at = rules.owner_of(shown), _time(shown.get("presented_at"))
    kind = str(shown.get("activity_type") or shown.get("type") or "").upper()
    if owner is None:
        return Refused(key, "it is nobody's")
    if at is None or at < now - HISTORY_KEPT:
        return Refused(key, "it is older than a year")
    if kind not in ("TRUTH", "DARE"):
        return Refused(key, "it is neither a truth nor a dare")
    uid, _, theme = rules.played_activity(shown)
    done = shown.get("feedback_executed")
    effect = 0.0 if done is None else DONE if done else NOT_DONE
    return {
        "id": rules.made_id("history", f"{owner.user_id}:{shown['id']}"),
        "user_id": owner.user_id,
        "activity_id": uid,
        "kind": kind,
        "theme": theme,
        "shown_at": at,
        "liking": LIKINGS.get(str(shown.get("feedback_type")), 0.0) + effect,
    }


def _time(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
