"""What is sealed opens in its own place only, with the key that sealed it."""

from __future__ import annotations

import pytest

from auth.sealing import SealBroken, Sealing
from settings import Settings

ROW, OTHER_ROW = "totp_factors.sealed_secret:a", "totp_factors.sealed_secret:b"
PLAIN = b"JBSWY3DPEHPK3PXP"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("VAULT_MASTER_KEY", "first key of all")
    return monkeypatch


def test_a_value_opens_where_it_was_sealed(keys: pytest.MonkeyPatch) -> None:
    sealing = Sealing(Settings())
    sealed = sealing.seal(PLAIN, ROW)
    assert PLAIN not in sealed
    assert sealing.open(sealed, ROW) == PLAIN
    assert sealing.seal(PLAIN, ROW) != sealed


@pytest.mark.parametrize("position", [0, 2, 6, 20, -1])
def test_a_changed_or_moved_value_opens_nowhere(keys: pytest.MonkeyPatch, position: int) -> None:
    sealing = Sealing(Settings())
    sealed = bytearray(sealing.seal(PLAIN, ROW))
    with pytest.raises(SealBroken):
        sealing.open(bytes(sealed), OTHER_ROW)
    sealed[position] ^= 1
    with pytest.raises(SealBroken):
        sealing.open(bytes(sealed), ROW)
    with pytest.raises(SealBroken):
        sealing.open(bytes(sealed[:12]), ROW)


def test_keys_rotate(keys: pytest.MonkeyPatch) -> None:
    old = Sealing(Settings())
    sealed = old.seal(PLAIN, ROW)
    assert old.is_current(sealed)
    keys.setenv("VAULT_MASTER_KEY", "second key, first key of all")
    both = Sealing(Settings())
    assert both.open(sealed, ROW) == PLAIN
    assert not both.is_current(sealed)
    assert both.is_current(both.seal(PLAIN, ROW))
    keys.setenv("VAULT_MASTER_KEY", "second key")
    with pytest.raises(SealBroken):
        Sealing(Settings()).open(sealed, ROW)
