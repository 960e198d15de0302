"""Commands on reviews."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from db.core.commands import FunctionCall, SqlFunction
from db.core.errors import DomainError, Problems, bad_input
from db.core.texts import problems_of_prose
from db.reviews.tables import TEXT_LIMIT_CHARACTERS

_SAVE = SqlFunction[UUID](
    "app.save_review", "uuid", wanted="text", given_rating="integer", given_text="text"
)
_DELETE = SqlFunction[UUID]("app.delete_review", "uuid", wanted="uuid")


def save_review(product_id: str, rating: int, text: str | None) -> FunctionCall[UUID]:
    """Writes the actor's review of a product, or writes it anew; gives it."""
    Problems(problems_of_review(rating, text)).refuse()
    return _SAVE(wanted=product_id, given_rating=rating, given_text=text)


def delete_review(review_id: UUID) -> FunctionCall[UUID]:
    """Deletes a review of the actor's; gives it."""
    return _DELETE(wanted=review_id)


def problems_of_review(rating: int, text: str | None) -> Iterator[DomainError]:
    """What is wrong with a review."""
    if not 1 <= rating <= 5:
        yield bad_input("rating must be between 1 and 5.", "input", "rating")
    yield from problems_of_prose(text, TEXT_LIMIT_CHARACTERS, "input", "text")
