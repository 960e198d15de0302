"""Passwords and refresh tokens are judged by pure rules, all cases of them."""

from __future__ import annotations

import itertools

import pytest

from auth.refresh_tokens import is_refresh_token, new_refresh_token, successor_of, token_hash
from db.accounts import rules
from db.accounts.rules import RefreshDecision, decide_refresh
from db.core import origin
from db.core.errors import DomainError, ErrorCode


@pytest.mark.parametrize(
    "chosen",
    [
        *("       a", "é" * 7 + "e", "ab" * 128, "👍👎" * 128, "correct horse", "3847 1932"),
        *("ﷺ" * 14 + "a", "password12345678x"),
    ],
)
def test_passwords(chosen: str) -> None:
    rules.check_new_password(rules.normalise_password(chosen))


@pytest.mark.parametrize(
    "chosen",
    [
        *("", "1234567", "ab" * 129, "aé" * 129, "👍👎" * 129, "nul\0nul\0", "\ud800" * 9),
        *("ﷺ" * 15, "ab" * 100_000),
    ],
)
def test_what_is_no_password(chosen: str) -> None:
    with pytest.raises(DomainError) as refused:
        rules.check_new_password(rules.normalise_password(chosen))
    assert refused.value.code is ErrorCode.BAD_USER_INPUT
    assert refused.value.path == ("input", "password")


@pytest.mark.parametrize(
    "chosen",
    [
        *("aaaaaaaa", "        ", "é" * 8, "e\u0301" * 8, "x\u0302" * 8, "a" * 256, "😀" * 8),
        *("12345678", "password", "PassWord1", "ｐａｓｓｗｏｒｄ", "ana.miller@example.com"),
        *("Ana.Miller", "ana-the-1st", "ANA-THE-1ST", "miller2026", "M1ll3r!!1234", "2026-Example"),
        *(
            "GlowUp2026",
            "GLOWUP glowup 12",
            "xGlowUp StudioX",
            "g10wup$tud10!",
            "acme+miller+1",
        ),
    ],
)
def test_what_everybody_guesses_first(chosen: str) -> None:
    about = ("Ana.Miller@example.com", "Ana-the-1st", None, "GlowUp Studio", "Acme")
    with pytest.raises(DomainError) as refused:
        rules.check_new_password(rules.normalise_password(chosen), "newPassword", about)
    assert refused.value.code is ErrorCode.PASSWORD_TOO_WEAK
    assert refused.value.path == ("input", "newPassword")


@pytest.mark.parametrize(
    "chosen", ["miller sells bread", "correct horse ana", "com.com.com", "anaanaana", "acmacmacm"]
)
def test_a_password_may_have_a_name_in_it(chosen: str) -> None:
    """NIST SP 800-63B-4, 3.1.1.2: the whole password is compared, not the words in it."""
    about = ("Ana.Miller@example.com", "ana", None, "Acme")
    rules.check_new_password(chosen, "newPassword", about)


def test_a_password_is_the_same_on_every_keyboard() -> None:
    composed = rules.normalise_password("caf\u00e9 noir 1")
    for typed in ("cafe\u0301 noir 1", "caf\u00e9 noir １", "caf\u00e9\u00a0noir 1"):
        assert rules.normalise_password(typed) == composed
        assert rules.hashed_forms(typed)[0] == composed


def test_what_was_hashed_before_there_was_a_ceiling_still_signs_in() -> None:
    assert rules.hashed_forms("é" * 512) == ("é" * 512,)
    assert rules.hashed_forms("ﬁve guys") == ("five guys", "ﬁve guys")
    assert rules.hashed_forms("cafe\u0301 noir") == ("caf\u00e9 noir", "cafe\u0301 noir")
    # Of a text that grows beyond what is hashed, only the form that was.
    assert rules.hashed_forms("ﷺ" * 300) == ("ﷺ" * 300,)
    for nobodys in ("é" * 513, "\0", "\ud800"):
        assert rules.hashed_forms(nobodys) == ()


@pytest.mark.parametrize(
    ("sent", "kept"), [(None, None), ("", None), ("\0\n", None), ("a\0b\ud800c", "abc")]
)
def test_user_agents(sent: str | None, kept: str | None) -> None:
    assert origin.clean_user_agent(sent) == kept
    assert len(origin.clean_user_agent("x" * 1000) or "") == origin.USER_AGENT_MAX_CHARACTERS


def test_every_state_of_a_refresh_token() -> None:
    for over, alive, active, used, soon, unused in itertools.product((True, False), repeat=6):
        decision = decide_refresh(
            sign_in_is_over=over,
            session_alive=alive,
            account_active=active,
            token_used=used,
            within_reuse_window=soon,
            successor_unused=unused,
        )
        if not alive:
            assert decision is RefreshDecision.REFUSE
        elif over:
            assert decision is RefreshDecision.EXPIRED
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
