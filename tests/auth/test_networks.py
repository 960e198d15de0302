"""A network holds no more than its share, and whoever calls from it counts as one."""

from __future__ import annotations

from typing import Any

import pytest

from auth.networks import Shares, client_address, network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("", ""),
    ],
)
def test_an_ipv6_host_counts_by_its_network(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("scope", "address"),
    [
        ({"client": ("203.0.113.7", 1234)}, "203.0.113.7"),
        ({"client": None}, ""),
        ({}, ""),
    ],
)
def test_the_address_is_that_of_the_scope(scope: dict[str, Any], address: str) -> None:
    assert client_address(scope) == address


def test_a_share_is_given_back_and_nobody_holds_anothers() -> None:
    shares = Shares[str](2)
    assert [shares.take("a") for _ in range(3)] == [True, True, False]
    assert shares.take("b")
    shares.give_back("a")
    assert shares.take("a")
    shares.give_back("a", 2)
    shares.give_back("b")
    assert (len(shares), shares.total) == (0, 0)
