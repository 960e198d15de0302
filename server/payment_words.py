"""What the pages say that buyers come back to from a provider's own page."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from server.payment_pages import page


@dataclass(frozen=True, slots=True)
class Words:
    """How a payment stands, for the buyer."""

    title: str
    explanation: str
    tone: str
    is_good: bool


UNKNOWN = Words(
    "Thank you",
    "Go back to the app: it shows what became of your payment.",
    "",
    is_good=True,
)
PAID = Words("Thank you, it is paid", "What you bought is in your account.", "good", is_good=True)
CONFIRMING = Words(
    "Thank you",
    "Your payment is being confirmed. What you bought is in your account in a moment.",
    "good",
    is_good=True,
)

BEGUN = Words("Thank you, it is paid", "Your plan has begun.", "good", is_good=True)
BEGINNING = Words(
    "Thank you",
    "Your payment is being confirmed. Your plan begins in a moment.",
    "good",
    is_good=True,
)


ONBOARDED = Words(
    "Thank you",
    "Go back to your store: it shows whether it can be paid now.",
    "good",
    is_good=True,
)


def say(shop: str, words: Words, back: str | None) -> Response:
    """The page; `back` is where its link leads, if anywhere."""
    return page(
        "message.html",
        shop=shop,
        title=words.title,
        explanation=words.explanation,
        tone=words.tone,
        back=back,
        back_label="Back to the app",
    )
