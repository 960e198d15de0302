"""Calls to PayPal: with a token that lasts, once for each key, and on behalf of sellers."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from typing import Any

import orjson

from payments.base import provider_failed
from payments.calls import PaymentAnswer, get_json, post_form, post_json, post_raw_json
from settings import Settings

NAME = "paypal"
TOKEN_MARGIN_SECONDS = 60


class PayPalClient:
    """What a process asks PayPal with."""

    def __init__(self, settings: Settings) -> None:
        self._api = settings.paypal_api_url.rstrip("/")
        self.client_id = settings.paypal_client_id
        # PayPal's name of whoever runs the service, who is one of its merchants; empty where they
        # are in no partner program.
        self.partner_id = settings.paypal_partner_id
        pair = f"{self.client_id}:{settings.paypal_client_secret.get_secret_value()}"
        self._basic = base64.b64encode(pair.encode()).decode()
        self._token, self._token_until = "", 0.0

    async def post(
        self, path: str, body: Mapping[str, Any], key: str, seller: str | None = None
    ) -> PaymentAnswer:
        """Asks for something once for each key; of a seller's money, in their name."""
        headers = await self._headers() | {
            "paypal-request-id": key,
            "prefer": "return=representation",
        }
        if seller is not None:
            headers["paypal-auth-assertion"] = auth_assertion(self.client_id, seller)
        return await post_json(NAME, self._api + path, body, headers)

    async def post_raw(self, path: str, body: bytes) -> PaymentAnswer:
        """The same with JSON that is text already, and without a key."""
        return await post_raw_json(NAME, self._api + path, body, await self._headers())

    async def get(self, path: str) -> PaymentAnswer:
        """Asks how something stands."""
        return await get_json(NAME, self._api + path, await self._headers())

    async def _headers(self) -> dict[str, str]:
        """The token that calls are made with, a new one when the last is about to end."""
        if time.monotonic() >= self._token_until:
            url = f"{self._api}/v1/oauth2/token"
            form = {"grant_type": "client_credentials"}
            answer = await post_form(NAME, url, form, {"authorization": f"Basic {self._basic}"})
            said = answer.body if isinstance(answer.body, dict) else {}
            token, seconds = said.get("access_token"), said.get("expires_in")
            if not answer.is_success or not isinstance(token, str) or not isinstance(seconds, int):
                raise provider_failed(NAME, f"a token, status {answer.status}")
            self._token = token
            self._token_until = time.monotonic() + seconds - TOKEN_MARGIN_SECONDS
        return {"authorization": f"Bearer {self._token}"}


def auth_assertion(client_id: str, seller: str) -> str:
    """In whose name a call is made: a JWT that PayPal wants unsigned, beside our own token."""
    parts = ({"alg": "none"}, {"iss": client_id, "payer_id": seller})
    encoded = [base64.urlsafe_b64encode(orjson.dumps(one)).rstrip(b"=").decode() for one in parts]
    return ".".join((*encoded, ""))
