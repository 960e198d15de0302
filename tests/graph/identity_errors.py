"""What provokes each error of signing in at providers, for the tests of all errors."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from auth.browser_sign_in import BrowserSignIn
from auth.providers.discord import DiscordProvider
from auth.providers.openid import ProviderClient
from tests.fakes.providers import TokenProvider, challenge

VERIFIER = "v" * 43


def browsers(stage: Any) -> BrowserSignIn:
    """Those of the stage's process, which has a provider now."""
    found: BrowserSignIn = stage.services.of(BrowserSignIn.of)
    found.providers |= {
        "fake": TokenProvider(),
        "discord": DiscordProvider(ProviderClient("client")),
    }
    return found


def token(id_token: str, provider: str = "fake") -> Any:
    """An input with an ID token."""

    async def provoke(stage: Any) -> str:
        browsers(stage)
        return f'{{provider: "{provider}", idToken: "{id_token}", nonce: "n"}}'

    return provoke


async def code_of(stage: Any, subject: str, code_challenge: str | None = None) -> str:
    """A sign-in code that a browser brings back."""
    found = browsers(stage)
    begun = await found.begin(
        "fake",
        "http://localhost/",
        code_challenge=code_challenge,
        method=None,
        browser=None,
        network=str(uuid4()),
    )
    state = begun.url.partition("state=")[2]
    location = await found.finish("fake", {"code": subject, "state": state}, begun.browser)
    return location.partition("code=")[2]


async def _owned_by_another(stage: Any, subject: str) -> None:
    other = await stage.owner.fetchval(
        "insert into users (email) values ($1) returning id", f"{uuid4()}@example.test"
    )
    await stage.owner.execute(
        "insert into user_identities (user_id, provider, subject) values ($1, 'fake', $2)",
        other,
        subject,
    )


async def _locked(stage: Any) -> str:
    subject = str(uuid4())
    await _owned_by_another(stage, subject)
    await stage.owner.execute(
        "update users set status = 'locked' where id ="
        " (select user_id from user_identities where subject = $1)",
        subject,
    )
    return f'{{code: "{await code_of(stage, subject)}"}}'


def _with_identities(count: int, *, is_used: bool = False, by_code: bool = False) -> Any:
    """An input that links one more identity than `count`; with `is_used` it is another account's."""

    async def provoke(stage: Any) -> str:
        browsers(stage)
        await stage.owner.execute(
            "insert into user_identities (user_id, provider, subject)"
            " select $1, 'fake', gen_random_uuid()::text from generate_series(1, $2)",
            stage.actor.user_id,
            count,
        )
        wanted = str(uuid4())
        if is_used:
            await _owned_by_another(stage, wanted)
        if by_code:
            code = await code_of(stage, wanted, challenge(VERIFIER))
            return f'{{code: "{code}", codeVerifier: "{VERIFIER}"}}'
        return f'{{provider: "fake", idToken: "{wanted}", nonce: "n"}}'

    return provoke


async def _only_identity(stage: Any) -> str:
    identity = await stage.owner.fetchval(
        "insert into user_identities (user_id, provider, subject) values ($1, 'fake', $2)"
        " returning id",
        stage.actor.user_id,
        str(uuid4()),
    )
    return f'{{id: "identity_{identity}"}}'


BY_TOKEN: dict[str, Any] = {
    "BAD_USER_INPUT": token("x", "discord"),
    "INVALID_CREDENTIALS": token("forged"),
    "PROVIDER_NOT_CONFIGURED": token("x", "nobody"),
    "PROVIDER_FAILED": token("away"),
}
PROVOKED: dict[str, dict[str, Any]] = {
    "exchangeSignInCode": {"CODE_INVALID": '{code: "x"}', "INVALID_CREDENTIALS": _locked},
    "signInWithIdToken": BY_TOKEN,
    "linkIdentity": {
        **BY_TOKEN,
        "IDENTITY_IN_USE": _with_identities(0, is_used=True),
        "LIMIT_EXCEEDED": _with_identities(20),
    },
    "linkIdentityWithCode": {
        "CODE_INVALID": f'{{code: "x", codeVerifier: "{VERIFIER}"}}',
        "IDENTITY_IN_USE": _with_identities(0, is_used=True, by_code=True),
        "LIMIT_EXCEEDED": _with_identities(20, by_code=True),
    },
    "unlinkIdentity": {
        "NOT_FOUND": f'{{id: "identity_{UUID(int=1)}"}}',
        "LAST_IDENTITY": _only_identity,
    },
}
