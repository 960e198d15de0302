"""How large a file may be is told in words that people read."""

from __future__ import annotations

import pytest

from db.uploads.receiving import too_large


@pytest.mark.parametrize(
    ("limit_bytes", "written"),
    [
        (10, "10 bytes"),
        (65_536, "65,536 bytes"),
        (10_485_760, "10 MiB"),
        (1_600_000, "1.53 MiB"),
        (2_147_483_648, "2,048 MiB"),
    ],
)
def test_a_limit_is_told_as_people_write_it(limit_bytes: int, written: str) -> None:
    assert f"at most {written} are accepted" in too_large(limit_bytes).message
