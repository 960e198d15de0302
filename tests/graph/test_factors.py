"""A second factor from end to end: enrolled, asked for, given, shown, and removed."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from pyotp import TOTP

from db.core.actor import Actor
from server.services import Services

from .conftest import Ask

PASSWORD = "correct horse battery"
SESSION = """session { accessToken user { id } } secondFactor { challengeId methods expiresAt }
  viewer { id } errors { code }"""
FACTORS = "viewer { totp { createdAt confirmedAt } recoveryCodes { codesLeft createdAt } }"


async def test_a_second_factor_from_end_to_end(ask: Ask, services: Services) -> None:
    async def run(text: str, actor: Actor | None = None) -> Any:
        answer = await (ask(text, actor=actor) if actor else ask(text))
        assert "errors" not in answer, answer
        return answer["data"]

    def actor_of(payload: Any) -> Actor:
        return services.tokens.verify(payload["session"]["accessToken"])

    credentials = f'email: "{uuid4()}@example.test", password: "{PASSWORD}"'
    up = (await run(f"mutation {{ signUp(input: {{{credentials}}}) {{ {SESSION} }} }}"))["signUp"]
    assert up["secondFactor"] is None
    ana = actor_of(up)
    assert (await run(f"{{ {FACTORS} }}", ana))["viewer"] == {"totp": None, "recoveryCodes": None}
    begun = (await run("mutation { beginTotp { secret uri errors { code } } }", ana))["beginTotp"]
    app = TOTP(begun["secret"])
    assert begun["errors"] == []
    shown = (await run(f"{{ {FACTORS} }}", ana))["viewer"]
    assert shown["totp"]["confirmedAt"] is None
    assert shown["recoveryCodes"] is None
    confirm = f"""mutation {{ confirmTotp(input: {{code: "{app.now()}"}}) {{
      recoveryCodes errors {{ code }} {FACTORS} }} }}"""
    confirmed = (await run(confirm, ana))["confirmTotp"]
    assert len(confirmed["recoveryCodes"]) == 10
    assert confirmed["viewer"]["totp"]["confirmedAt"] is not None
    assert confirmed["viewer"]["recoveryCodes"]["codesLeft"] == 10

    waiting = (await run(f"mutation {{ signIn(input: {{{credentials}}}) {{ {SESSION} }} }}"))[
        "signIn"
    ]
    assert waiting["session"] is waiting["viewer"] is None
    assert waiting["errors"] == []
    assert waiting["secondFactor"]["methods"] == ["TOTP", "RECOVERY_CODE"]
    challenge = waiting["secondFactor"]["challengeId"]
    verify = f"""mutation {{ verifySecondFactor(input: {{
      challengeId: "{challenge}", code: "{confirmed["recoveryCodes"][0]}"}}) {{ {SESSION} }} }}"""
    verified = (await run(verify))["verifySecondFactor"]
    assert verified["session"]["user"]["id"] == verified["viewer"]["id"] == up["viewer"]["id"]
    assert actor_of(verified).assurance_level == 2
    assert (await run(verify))["verifySecondFactor"]["errors"] == [{"code": "CODE_INVALID"}]

    again = f"""mutation {{ reauthenticate(input: {{code: "{confirmed["recoveryCodes"][1]}"}}) {{
      accessToken expiresAt errors {{ code }} }} }}"""
    fresh = (await run(again, actor_of(verified)))["reauthenticate"]
    assert services.tokens.verify(fresh["accessToken"]).session_id == actor_of(verified).session_id
    renew = "mutation { regenerateRecoveryCodes { recoveryCodes errors { code } } }"
    codes = (await run(renew, ana))["regenerateRecoveryCodes"]["recoveryCodes"]
    remove = f"""mutation {{ removeTotp(input: {{code: "{codes[0]}"}}) {{
      removed {FACTORS} errors {{ code }} }} }}"""
    removed = (await run(remove, ana))["removeTotp"]
    assert removed == {
        "removed": True,
        "viewer": {"totp": None, "recoveryCodes": None},
        "errors": [],
    }
    signed_in = await run(f"mutation {{ signIn(input: {{{credentials}}}) {{ {SESSION} }} }}")
    assert actor_of(signed_in["signIn"]).assurance_level == 1
