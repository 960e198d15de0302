"""Passwords and refresh tokens are judged by pure rules, all cases of them."""

from __future__ import annotations

import itertools

import pytest

from auth.refresh_tokens import is_refresh_token, new_refresh_token, successor_of, token_hash
from db.accounts import rules
from db.accounts.rules import RefreshDecision, decide_refresh
from db.core.errors import DomainError, ErrorCode


@pytest.mark.parametrize(
    "chosen", ["12345678", "       a", "é" * 7 + "e", "ab" * 512, "correct horse"]
)
def test_passwords(chosen: str) -> None:
    rules.check_new_password(rules.normalise_password(chosen))


@pytest.mark.parametrize(
    "chosen",
    [
        *("", "1234567", "ab" * 513, "aé" * 400, "nul\0nul\0", "\ud800" * 9),
        *("aaaaaaaa", "        ", "é" * 8, "e\u0301" * 8, "x\u0302" * 8, "a" * 1024, "😀" * 8),
    ],
)
def test_what_is_no_password(chosen: str) -> None:
    with pytest.raises(DomainError) as refused:
        rules.check_new_password(rules.normalise_password(chosen))
    assert refused.value.code is ErrorCode.BAD_USER_INPUT
    assert refused.value.path == ("input", "password")


def test_a_password_is_the_same_on_every_keyboard() -> None:
    assert rules.normalise_password("cafe\u0301 noir") == rules.normalise_password("caf\u00e9 noir")


@pytest.mark.parametrize(
    ("sent", "kept"), [(None, None), ("", None), ("\0\n", None), ("a\0b\ud800c", "abc")]
)
def test_user_agents(sent: str | None, kept: str | None) -> None:
    assert rules.clean_user_agent(sent) == kept
    assert len(rules.clean_user_agent("x" * 1000) or "") == rules.USER_AGENT_MAX_CHARACTERS


def test_every_state_of_a_refresh_token() -> None:
    for alive, active, used, soon, unused in itertools.product((True, False), repeat=5):
        decision = decide_refresh(
            session_alive=alive,
            account_active=active,
            token_used=used,
            within_reuse_window=soon,
            successor_unused=unused,
        )
        if not alive:
            assert decision is RefreshDecision.REFUSE
        elif active and not used:
            assert decision is RefreshDecision.ROTATE
        elif active and soon and unused:
            assert decision is RefreshDecision.REPEAT
        else:
            assert decision is RefreshDecision.END_FAMILY


def test_a_refresh_token_has_one_successor_that_only_the_server_can_tell() -> None:
    token = new_refresh_token()
    successor = successor_of(token, b"key")
    assert is_refresh_token(token)
    assert is_refresh_token(successor)
    assert len({token, successor, successor_of(successor, b"key"), new_refresh_token()}) == 4
    assert successor == successor_of(token, b"key")
    assert successor != successor_of(token, b"another key")
    assert token_hash(token) != token_hash(successor)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tgr_",
        "tgr_" + "a" * 42,
        "tgr_" + "a" * 44,
        "tgr_" + "é" * 43,
        "tgr_" + "a" * 43 + "\n",
        "eyJhbGciOiJFZERTQSJ9.e30.AAAA",
    ],
)
def test_what_is_no_refresh_token(text: str) -> None:
    assert not is_refresh_token(text)
