"""Rules for the inputs of a movement of credits, without I/O. The ledger's SQL has the same."""

from __future__ import annotations

from collections.abc import Iterator

from db.core.errors import DomainError, bad_input

AMOUNT_LIMIT = 1_000_000
TEXT_LIMIT_CHARACTERS = 255


def problems_of_movement(
    amount: int, idempotency_key: str, **texts: str | None
) -> Iterator[DomainError]:
    """What is wrong with an amount, a key, and texts, each under its field's name."""
    if not 1 <= amount <= AMOUNT_LIMIT:
        yield bad_input(f"amount must be between 1 and {AMOUNT_LIMIT} credits.", "input", "amount")
    for field, value in texts.items():
        if value is not None and len(value) > TEXT_LIMIT_CHARACTERS:
            yield bad_input(f"{field} may have at most 255 characters.", "input", field)
    yield from problems_of_key(idempotency_key)


def problems_of_grant(amount: int, reason: str, idempotency_key: str) -> Iterator[DomainError]:
    """What is wrong with credits that somebody is about to give."""
    yield from problems_of_movement(amount, idempotency_key)
    yield from problems_of_reason(reason)


def problems_of_reason(reason: str) -> Iterator[DomainError]:
    """What is wrong with the reason that an admin gives."""
    if not 1 <= len(reason) <= TEXT_LIMIT_CHARACTERS:
        yield bad_input("reason must have 1 to 255 characters.", "input", "reason")


def problems_of_key(idempotency_key: str) -> Iterator[DomainError]:
    """What is wrong with an idempotency key: one of blanks alone is an empty field of a form."""
    if not 1 <= len(idempotency_key) <= TEXT_LIMIT_CHARACTERS:
        yield bad_input("idempotencyKey must have 1 to 255 characters.", "input", "idempotencyKey")
    elif not idempotency_key.strip():
        yield bad_input("idempotencyKey must not be blank.", "input", "idempotencyKey")
