"""Rows of surveys: each user has submitted one of their own, and has a profile of it."""

from uuid import UUID, uuid5

from . import Maker, Row, known_id


def _of_profile(user: UUID, key: UUID) -> Row:
    return {"id": key, "user_id": user, "profile_id": known_id(user, "public.survey_profiles")}


def _item(user: UUID) -> Row:
    """An item of the survey that the user has answered, with a number for each survey."""
    return {"survey_id": str(known_id(user, "public.surveys")), "item_id": "A1"}


def _new_number(key: UUID) -> int:
    return int(uuid5(key, "number")) % 1_000_000


ROWS: dict[str, Maker] = {
    "public.surveys": lambda _, key: {
        "id": str(key),
        "version": "0.4",
        "title_key": "survey.title",
        "description_key": "survey.description",
    },
    "public.survey_items": lambda user, key: (
        _item(user)
        | {
            "item_id": "A1"
            if key == known_id(user, "public.survey_items")
            else f"A{int(key) % 900 + 2}",
            "question": "A1",
            "section": "arousal",
            "kind": "SCALE",
            "text_key": "survey.item",
            "sort_order": 1,
        }
    ),
    "public.survey_runs": lambda user, key: {
        "id": key,
        "user_id": user,
        "survey_id": known_id(user, "public.surveys"),
        "form": "FULL",
        "status": "IN_PROGRESS",
    },
    "public.survey_answers": lambda user, key: (
        _item(user)
        | {
            "id": key,
            "user_id": user,
            "run_id": known_id(user, "public.survey_runs"),
            "value": "7",
            "score": 1,
            "is_current": True,
        }
    ),
    "public.survey_profiles": lambda user, key: {
        "id": key,
        "user_id": user,
        "run_id": known_id(user, "public.survey_runs"),
        "survey_id": known_id(user, "public.surveys"),
        "version": _new_number(key) + 1,
        "power_orientation": "SWITCH",
        "power_confidence": 0.5,
        "power_level": "MODERATE",
        "top_percent": 50,
        "archetypes": "{EXPLORER}",
        "is_balanced": False,
    },
    "public.survey_domain_scores": lambda user, key: (
        _of_profile(user, key) | {"domain": "POWER", "score": 50, "sort_order": 1}
    ),
    "public.survey_measures": lambda user, key: (
        _of_profile(user, key)
        | {"measure": "SE", "score": 50, "level": "MODERATE_LOW", "sort_order": 1}
    ),
    "public.boundaries": lambda user, key: (
        _of_profile(user, key)
        | {"item_id": f"B{int(key) % 900 + 1}a", "kind": "HARD", "source": "SET"}
    ),
    "public.demographics": lambda user, _: {
        "user_id": user,
        "name": f"Somebody {user}",
        "gender": "WOMAN",
        "orientation": "BISEXUAL",
        "relationship": "OPEN",
        "anatomy_self": "{vagina,breasts}",
        "anatomy_preference": "{penis}",
    },
    "public.legal_documents": lambda user, key: {
        "document_id": str(known_id(user, "public.legal_documents")),
        "version": "1" if key == known_id(user, "public.legal_documents") else str(key),
        "title": "Terms",
        "body": "What we agree on.",
        "effective_at": "2026-01-01",
    },
    "public.consents": lambda user, key: {
        "id": key,
        "user_id": user,
        "document_id": str(known_id(user, "public.legal_documents")),
        "version": "1",
    },
}
