"""A real browser makes a passkey and signs in with it, over HTTP, as a page's script would."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import jwt
import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright

CHROMIUM = shutil.which("chromium")
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu"]
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
# What a page does; each step gives its payload.
SCRIPT = """async (credentials) => {
  let token = null;
  const ask = async (name, inputType, input, fields) => {
    const query = `mutation ($input: ${inputType}) {
      ${name}(input: $input) { ${fields} errors { code message } } }`;
    const answer = await fetch("/graphql", {
      method: "POST",
      headers: {"Content-Type": "application/json", ...(token && {Authorization: `Bearer ${token}`})},
      body: JSON.stringify({query, variables: {input}}),
    });
    const {data, errors} = await answer.json();
    if (errors || data[name].errors.length) throw new Error(JSON.stringify(errors || data[name]));
    return data[name];
  };
  const session = "session { accessToken user { id } } secondFactor { challengeId methods }";
  const signedUp = await ask("signUp", "SignUpInput!", credentials, session);
  token = signedUp.session.accessToken;
  const begun = await ask(
    "beginPasskeyRegistration", "BeginPasskeyRegistrationInput", {secondFactor: true}, "options");
  const made = await navigator.credentials.create(
    {publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(begun.options)});
  const registered = await ask(
    "finishPasskeyRegistration", "FinishPasskeyRegistrationInput!",
    {credential: made.toJSON(), name: "Chromium"},
    "passkey { name isSecondFactor } recoveryCodes");
  token = null;
  const signInWithPasskey = async (challengeId) => {
    const asked = await ask(
      "beginPasskeySignIn", "BeginPasskeySignInInput", {challengeId}, "options");
    const used = await navigator.credentials.get(
      {publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(asked.options)});
    return await ask(
      "finishPasskeySignIn", "FinishPasskeySignInInput!", {credential: used.toJSON()}, session);
  };
  const alone = await signInWithPasskey(null);
  const waiting = await ask("signIn", "SignInInput!", credentials, session);
  const second = await signInWithPasskey(waiting.secondFactor.challengeId);
  return {signedUp, registered, alone, waiting, second};
}"""


@pytest_asyncio.fixture
async def page(server_url: str) -> AsyncIterator[Page]:
    """A page of the server, in a browser with a platform authenticator."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS
        )
        page = await browser.new_page()
        # Passkeys are for names, not for addresses.
        await page.goto(server_url.replace("127.0.0.1", "localhost") + "/healthz")
        devtools = await page.context.new_cdp_session(page)
        await devtools.send("WebAuthn.enable")
        await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        yield page
        await browser.close()


def level(payload: Any) -> Any:
    token = payload["session"]["accessToken"]
    return jwt.decode(token, options={"verify_signature": False})["aal"]


async def test_a_browser_signs_in_with_a_passkey_alone_and_as_the_second_factor(
    page: Page,
) -> None:
    credentials = {"email": f"{uuid4()}@example.com", "password": "correct horse battery"}
    done = await page.evaluate(SCRIPT, credentials)
    assert done["registered"]["passkey"] == {"name": "Chromium", "isSecondFactor": True}
    assert len(done["registered"]["recoveryCodes"]) == 10
    assert done["waiting"]["session"] is None
    assert done["waiting"]["secondFactor"]["methods"] == ["RECOVERY_CODE", "PASSKEY"]
    user = done["signedUp"]["session"]["user"]
    assert done["alone"]["session"]["user"] == done["second"]["session"]["user"] == user
    assert level(done["signedUp"]) == "aal1"
    assert level(done["alone"]) == level(done["second"]) == "aal2"
