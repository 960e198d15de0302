"""Texts that sellers and buyers show to others: what turns or colours a page stays out of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from db.billing.currencies import CURRENCIES, PAYPAL_TAKES, PAYPAL_WHOLE, WHOLE
from db.core.errors import DomainError
from db.licences.rules import problems_of_reason
from db.marketplace.rules import problems_of_price, problems_of_product, problems_of_version
from db.reviews.operations import problems_of_review
from db.sales.rules import problems_of_code
from db.stores.rules import problems_of_creator, problems_of_store
from db.whitelists.rules import problems_of_naming

PROSE: dict[str, Callable[[str], Iterable[DomainError]]] = {
    "product": lambda text: problems_of_product({"description": text}),
    "version": lambda text: problems_of_version("1.0", text),
    "store": lambda text: problems_of_store({"description": text}),
    "seller": lambda text: problems_of_creator({"business_description": text}),
    "whitelist": lambda text: problems_of_naming("A", text),
    "ban": problems_of_reason,
    "review": lambda text: problems_of_review(5, text),
}
GOOD = ("Two lines,\n\tone indented.\r\nÄé 日本 עברית 👍🏽 \u200d\u200e", "x")
BAD = ("\x1b[31mred", "bell\x07", "no\x00", "\x7f", "c1 \x9b", "turned \u202e", "kept \u2067apart")


@pytest.mark.parametrize("name", PROSE)
def test_prose_has_lines_and_tabs_and_no_other_control(name: str) -> None:
    assert [text for text in GOOD if list(PROSE[name](text))] == []
    assert [text for text in BAD if not list(PROSE[name](text))] == []


@pytest.mark.parametrize(
    ("email", "is_good"),
    [
        ("shop@example.com", True),
        ("läden@münchen.example", True),
        ("a@b.example\r\nBcc: victim@example.com", False),
        ("<script>@x", False),
        ("a@b", False),
        ("a\u202e@example.com", False),
    ],
)
def test_the_address_of_a_seller_is_one_that_accounts_may_have(email: str, is_good: bool) -> None:
    found = [(one.code, one.path) for one in problems_of_creator({"contact_email": email})]
    assert found == ([] if is_good else [("BAD_USER_INPUT", ("input", "contactEmail"))])


def test_a_currency_is_one_that_there_is() -> None:
    assert PAYPAL_TAKES | PAYPAL_WHOLE | WHOLE <= CURRENCIES
    for currency, is_one in (("USD", True), ("BTC", False), ("XXX", False), ("usd", False)):
        code = {"kind": "FIXED", "amount_cents": 100, "currency": currency}
        assert bool(list(problems_of_code(code))) is not is_one
        assert bool(list(problems_of_price(100, currency))) is not is_one
