"""Rows of play sessions: each user plays in one of their own."""

from . import Maker, known_id

ROWS: dict[str, Maker] = {
    "public.play_sessions": lambda user, key: {
        "id": key,
        "level": "R",
        "status": "ACTIVE",
        "turn_player_id": known_id(user, "public.play_players"),
    },
    "public.play_players": lambda user, key: {
        "id": key,
        "session_id": known_id(user, "public.play_sessions"),
        "user_id": user,
        "seat": int(key) % 1_000_000,
        "name": f"Somebody {user}",
        "status": "JOINED",
    },
    "public.play_turns": lambda user, key: {
        "id": key,
        "session_id": known_id(user, "public.play_sessions"),
        "number": int(key) % 1_000_000,
        "player_id": known_id(user, "public.play_players"),
        "activity_id": "one",
        "kind": "TRUTH",
        "level": "R",
        "intensity": 2,
        "text": "Say something.",
        "theme": "talk",
        "why": "{}",
        "scores": "{}",
    },
    "public.play_history": lambda user, key: {
        "id": key,
        "user_id": user,
        "activity_id": "one",
        "kind": "TRUTH",
        "theme": "talk",
    },
    "public.play_themes": lambda user, key: {"id": key, "user_id": user, "theme": str(key)},
    "public.play_days": lambda user, _: {
        "user_id": user,
        "used": 1,
        "zone": "UTC",
        "resets_at": "2100-01-01",
    },
    "public.guest_holders": lambda user, key: {
        "user_id": user,
        "holder": f"\\x{key.hex}",
        "share": 1,
    },
    "public.guest_days": lambda user, key: {
        "holder": f"\\x{key.hex}",
        "zone": "UTC",
        "resets_at": "2100-01-01",
    },
    "public.play_rules": lambda user, key: {"id": 1, "free_daily_activities": 25},
}
CHANGES = {"play_sessions": "turn_count = turn_count + 1"}
