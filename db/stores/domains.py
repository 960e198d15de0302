"""Proves whose domain a store names: a record of it holds the store's id."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from db.core.dns_records import LookupFailed, texts_of
from db.core.errors import DomainError, ErrorCode

RECORD = "_tallygraph"


def record_of(domain: str) -> str:
    """The name whose TXT record proves a domain."""
    return f"{RECORD}.{domain}"


def proof_of(store_id: UUID) -> str:
    """What that record holds. It is no secret: whoever may write it has the domain."""
    return f"tallygraph-store=store_{store_id}"


async def is_proven(domain: str, store_id: UUID, servers: Sequence[str]) -> bool:
    """Whether a domain's record names a store; `LookupFailed` where nobody can say."""
    found = await texts_of(record_of(domain), servers)
    return any(text.strip() == proof_of(store_id) for text in found)


async def require_proof(domain: str, store_id: UUID, servers: Sequence[str]) -> None:
    """Refuses unless the domain's record names the store."""
    try:
        proven = await is_proven(domain, store_id, servers)
    except LookupFailed:
        raise DomainError(
            ErrorCode.PROVIDER_FAILED,
            "The domain's name servers do not answer. Try again later.",
        ) from None
    if not proven:
        raise DomainError(
            ErrorCode.PROVIDER_REFUSED,
            "The domain does not name this store yet. Add the TXT record `customDomainProof` at "
            "the domain, wait until name servers tell it, and verify it again.",
            ("input", "storeId"),
        )
