"""Codes and tokens that are made of a row's id and a key."""

from __future__ import annotations

from uuid import UUID, uuid4

from auth.one_time_codes import OneTimeCodes
from auth.signed_ids import SignedIds
from settings import Settings


def test_a_code_is_six_digits_of_its_row_and_the_key(settings: Settings) -> None:
    codes, rows = OneTimeCodes(settings), [uuid4() for _ in range(500)]
    digits = [codes.digits(row) for row in rows]
    assert all(len(one) == 6 and one.isdecimal() for one in digits)
    assert len(set(digits)) > 450, "rows have codes of their own"
    assert digits == [OneTimeCodes(settings).digits(row) for row in rows]
    assert all(codes.is_right(row, one) for row, one in zip(rows, digits, strict=True))
    for wrong in ("", "1", digits[0][:5], digits[0] + "0", "٠" * 6):
        assert not codes.is_right(rows[0], wrong), wrong


def test_links_and_other_tokens_are_of_one_purpose(settings: Settings) -> None:
    codes, row = OneTimeCodes(settings), UUID(int=7)
    link = codes.link_token(row)
    assert codes.code_id_of_link(link) == row
    assert SignedIds(settings, "another purpose").row_id(link) is None
    assert SignedIds(settings, "another purpose").token(row) != link
