"""Rows of what accounts have in the world of both ways: sessions, keys, factors, archives, history."""

from __future__ import annotations

import asyncpg

from db.core.actor import Actor

from ...db.states import rows_with_a_past
from .people import LASTING, TEXTS, TIMESTAMPS, add, known

NAMES = [text for text in TEXTS if 1 <= len(text) <= 100]


async def add_account_rows(owner: asyncpg.Connection, user: Actor) -> None:
    """Makes a user's, none of which a sweep of old rows deletes."""
    await _sessions(owner, user)
    await _push_tokens(owner, user)
    async with rows_with_a_past(owner, "api_keys", "data_exports"):
        await _api_keys(owner, user)
        await _exports(owner, user)
    await _factors(owner, user)
    await _identities(owner, user)
    await _audit_log(owner, user)


def account_ids(user: Actor) -> dict[str, list[str]]:
    """The global ids of them, by type; the audit log's are the database's to give."""
    kinds = {"ApiKey": "apiKey", "DataExport": "dataExport", "Passkey": "passkey"}
    kinds |= {"PushToken": "pushToken"}
    ids = {
        name: [f"{prefix}_{known(user, prefix, n)}" for n in range(4)]
        for name, prefix in (kinds | {"UserIdentity": "identity"}).items()
    }
    ids["Session"] = [f"session_{session_id(user, n)}" for n in range(4)]
    return ids | {
        name: [f"{name[0].lower()}{name[1:]}_{user.user_id}"] for name in ("Totp", "RecoveryCodes")
    }


def session_id(user: Actor, number: int) -> object:
    """A session's id; the first is the one that the user asks in, if they ask in any."""
    return (not number and user.session_id) or known(user, "session", number)


async def _sessions(owner: asyncpg.Connection, user: Actor) -> None:
    for n in range(4):
        await add(
            owner,
            "sessions",
            id=session_id(user, n),
            user_id=user.user_id,
            created_at=TIMESTAMPS[n],
            last_used_at=TIMESTAMPS[-n],
            expires_at=LASTING[n],
            user_agent=(None, "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0", *TEXTS[2:])[n],
            address="203.0.113.0/24" if n % 2 else None,
        )


async def _push_tokens(owner: asyncpg.Connection, user: Actor) -> None:
    for n, platform in enumerate(("ANDROID", "IOS", "WEB", "ANDROID")):
        key = known(user, "pushToken", n)
        await add(
            owner,
            "push_tokens",
            id=key,
            user_id=user.user_id,
            session_id=session_id(user, n),
            platform=platform,
            provider="FCM",
            token_hash=key.bytes,
            sealed_token=b"x",
            created_at=TIMESTAMPS[n],
            registered_at=LASTING[n],
        )


async def _api_keys(owner: asyncpg.Connection, user: Actor) -> None:
    for n in range(4):
        key = known(user, "apiKey", n)
        await add(
            owner,
            "api_keys",
            id=key,
            user_id=user.user_id,
            name=NAMES[n],
            prefix=key.hex[:8],
            secret_hash=key.bytes * 2,
            scopes=("READ", "WRITE")[: n % 2 + 1],
            requests_per_minute=7 if n == 1 else None,
            created_at=TIMESTAMPS[n],
            previous_prefix=key.hex[8:16] if n == 2 else None,
            previous_secret_hash=key.bytes if n == 2 else None,
            previous_expires_at=LASTING[n] if n == 2 else None,
            rotated_at=TIMESTAMPS[n] if n == 2 else None,
            last_used_at=TIMESTAMPS[-n] if n else None,
            expires_at=LASTING[n] if n % 2 else None,
            revoked_at=LASTING[n] if n == 3 else None,
        )


async def _exports(owner: asyncpg.Connection, user: Actor) -> None:
    for n, status in enumerate(("QUEUED", "RUNNING", "READY", "FAILED")):
        is_ready = status == "READY"
        await add(
            owner,
            "data_exports",
            id=known(user, "dataExport", n),
            user_id=user.user_id,
            status=status,
            attempts=n,
            path=f"archives/{user.user_id}/{n}.zip" if is_ready else None,
            size_bytes=2**40 if is_ready else None,
            created_at=LASTING[n],
            finished_at=LASTING[n] if is_ready else None,
            expires_at=LASTING[n] if is_ready else None,
        )


async def _factors(owner: asyncpg.Connection, user: Actor) -> None:
    await add(
        owner,
        "totp_factors",
        user_id=user.user_id,
        sealed_secret=b"x",
        created_at=TIMESTAMPS[1],
        confirmed_at=TIMESTAMPS[2] if user.is_admin else None,
    )
    await owner.execute(
        "insert into recovery_codes (user_id, code_hashes, codes_left, created_at)"
        " values ($1, array[sha256('1'), sha256('2')], 2, $2)",
        user.user_id,
        TIMESTAMPS[2],
    )
    for n in range(4):
        key = known(user, "passkey", n)
        await add(
            owner,
            "passkeys",
            id=key,
            user_id=user.user_id,
            credential_id=key.bytes,
            public_key=b"x",
            user_handle=b"x",
            sign_count=2**40,
            name=NAMES[n],
            is_second_factor=n % 2 == 1,
            is_synced=n < 2,
            created_at=TIMESTAMPS[n],
            last_used_at=TIMESTAMPS[-n] if n else None,
        )


async def _identities(owner: asyncpg.Connection, user: Actor) -> None:
    for n, provider in enumerate(("google", "apple", "facebook", "discord")):
        await add(
            owner,
            "user_identities",
            id=known(user, "identity", n),
            user_id=user.user_id,
            provider=provider,
            subject=f"{NAMES[n]} {user.user_id}",
            email=f"{n}@example.test" if n % 2 else None,
            is_email_verified=n == 1,
            name=TEXTS[n] if n else None,
            created_at=TIMESTAMPS[n],
            last_used_at=TIMESTAMPS[-n],
        )


async def _audit_log(owner: asyncpg.Connection, user: Actor) -> None:
    for n, action in enumerate(("sign_up", "sign_in", "sign_in_failed", "create_api_key")):
        await add(
            owner,
            "audit_log",
            user_id=user.user_id,
            action=action,
            created_at=LASTING[n],
            subject=TEXTS[n] if n else None,
            network="203.0.113.0/24" if n % 2 else None,
            device=TEXTS[2] if n > 1 else None,
            times=2**31 - 1 if n == 2 else 1,
        )
