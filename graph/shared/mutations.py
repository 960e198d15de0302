"""What every mutation's payload has beside its own fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import strawberry

from graph.shared.errors import UserError

if TYPE_CHECKING:
    from graph.accounts import User


@strawberry.type
class MutationPayload:
    """The base of every payload; the engine itself answers `viewer`.

    What `errors` may have is declared with each mutation.
    """

    viewer: Annotated[User, strawberry.lazy("graph.accounts")] | None = strawberry.field(
        description="Who is asking, as they are now, so that a client's cache follows what else "
        "has changed, such as `credits`; null when nobody is signed in."
    )
    errors: list[UserError] = strawberry.field(description="Why nothing was done.")
