"""Reviews of what stores sell, in the schema."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.core.errors import ErrorCode
from db.reviews import operations, tables
from graph.accounts import User
from graph.billing import Product
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    global_id,
    mutation,
    related_row,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node, slug_from_global_id, uuid_from_global_id


@backed_by(tables.Review, prefix="review")
class Review(Node):
    """What a buyer thinks of a product."""

    id: strawberry.ID = global_id()
    product: Product | None = related_row(
        "product_id", description="The product; null when it is sold no more."
    )
    author_name: str | None = column(description="What the buyer was called when they wrote it.")
    rating: int = column(description="1 to 5.")
    text: str | None = column(description="What they say of it.")
    created_at: datetime = column(description="When it was first written.")
    updated_at: datetime = column(description="When it was last written.")


extend(
    Product,
    reviews=connection(
        Review,
        NEWEST_FIRST,
        key="product_id",
        description="What buyers think of it, newest first.",
    ),
)
extend(
    User,
    reviews=connection(
        Review, NEWEST_FIRST, description="What the user thinks of what they bought, newest first."
    ),
)


@strawberry.input(description="What the caller thinks of something they have bought.")
class SaveReviewInput:
    product_id: strawberry.ID = strawberry.field(description="The product's global id.")
    rating: int = strawberry.field(description="1 to 5.")
    text: str | None = strawberry.field(
        default=None,
        description="At most 2,000 characters. Null is as good as leaving it out.",
    )


@strawberry.input(description="A review to delete.")
class DeleteReviewInput:
    id: strawberry.ID = strawberry.field(description="The review's global id.")


@strawberry.type(description="Result of `saveReview`.")
class SaveReviewPayload(MutationPayload):
    review: Review | None = strawberry.field(description="The review; null on errors.")


@strawberry.type(description="Result of `deleteReview`.")
class DeleteReviewPayload(MutationPayload):
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of the review that is gone; null on errors."
    )


async def save_review(context: Context, input: SaveReviewInput) -> Outcome:
    """Writes the caller's review of a product."""
    context.signed_in()
    product_id = slug_from_global_id(input.product_id, "product")
    command = operations.save_review(product_id, input.rating, input.text)
    return Outcome(command, {"review": RESULT})


async def delete_review(context: Context, input: DeleteReviewInput) -> Outcome:
    """Deletes the caller's review."""
    context.signed_in()
    review_id = uuid_from_global_id(input.id, "review", "input", "id")
    return Outcome(operations.delete_review(review_id), fields={"deleted_id": input.id})


@strawberry.type
class ReviewsMutation:
    """Mutations on reviews."""

    save_review: SaveReviewPayload | None = mutation(
        save_review,
        SaveReviewInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND),
        description="Write what the caller thinks of a product that they have bought: one review "
        "of each, written anew the next time.",
    )
    delete_review: DeleteReviewPayload | None = mutation(
        delete_review,
        DeleteReviewInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="Delete a review of the caller's.",
    )
