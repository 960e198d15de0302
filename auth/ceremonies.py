"""What browsers are asked for passkeys, and whether their answers are good (WebAuthn Level 3).

The library behind it takes a moment to import, so that is done at its first use, in a thread.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from db.core.errors import DomainError, ErrorCode
from db.factors.passkeys import NewPasskey
from settings import DEMO_ORIGINS, Settings

TIMEOUT_MILLISECONDS = 300_000
LONGEST_CREDENTIAL_CHARACTERS = 32_768


@dataclass(frozen=True, slots=True)
class UsedPasskey:
    """What a sign-in proved."""

    sign_count: int
    is_synced: bool
    is_user_verified: bool


@dataclass(frozen=True, slots=True)
class PasskeyAnswer:
    """A browser's answer before it is verified: which passkey it names, and which challenge."""

    credential: dict[str, Any]
    credential_id: bytes
    challenge: bytes
    origin: str
    user_handle: bytes | None


class Ceremonies:
    """The registrations and sign-ins of one relying party."""

    def __init__(self, settings: Settings) -> None:
        self.rp_id = settings.passkey_rp_id or _default_rp_id(settings.base_url)
        self._name = settings.product_name
        self._origins = frozenset(
            {
                settings.base_url,
                *settings.cors_origins,
                *settings.redirect_origins,
                *settings.passkey_origins,
            }
        )
        self._demo = None if settings.production else re.compile(DEMO_ORIGINS)

    async def creation_options(
        self,
        *,
        challenge: bytes,
        user_handle: bytes,
        email: str | None,
        name: str | None,
        known: Sequence[bytes],
        is_second_factor: bool,
    ) -> dict[str, Any]:
        """What `navigator.credentials.create()` is given."""
        library = await _library()
        structs = library.helpers.structs
        wanted, optional = (
            structs.ResidentKeyRequirement.REQUIRED,
            structs.ResidentKeyRequirement.PREFERRED,
        )
        return _as_json(
            library,
            library.generate_registration_options(
                rp_id=self.rp_id,
                rp_name=self._name,
                user_id=user_handle,
                # A provider may have told no address, and the library takes no empty name.
                user_name=email or name or self._name,
                user_display_name=name or email or self._name,
                challenge=challenge,
                timeout=TIMEOUT_MILLISECONDS,
                authenticator_selection=structs.AuthenticatorSelectionCriteria(
                    resident_key=optional if is_second_factor else wanted,
                    user_verification=_verification(library, required=not is_second_factor),
                ),
                exclude_credentials=[
                    structs.PublicKeyCredentialDescriptor(id=one) for one in known
                ],
            ),
        )

    async def request_options(
        self, *, challenge: bytes, known: Sequence[bytes], is_second_factor: bool
    ) -> dict[str, Any]:
        """What `navigator.credentials.get()` is given; without `known`, any passkey will do."""
        library = await _library()
        descriptor = library.helpers.structs.PublicKeyCredentialDescriptor
        return _as_json(
            library,
            library.generate_authentication_options(
                rp_id=self.rp_id,
                challenge=challenge,
                timeout=TIMEOUT_MILLISECONDS,
                allow_credentials=[descriptor(id=one) for one in known],
                user_verification=_verification(library, required=not is_second_factor),
            ),
        )

    def read(self, credential: object) -> PasskeyAnswer:
        """What an answer claims; refused when it has another form or comes from another page."""
        try:
            answer = _read(credential)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError, binascii.Error):
            raise not_accepted() from None
        is_demo = self._demo is not None and self._demo.fullmatch(answer.origin)
        if answer.origin not in self._origins and not is_demo:
            raise not_accepted()
        return answer

    async def verify_registration(
        self, answer: PasskeyAnswer, name: str, *, is_second_factor: bool
    ) -> NewPasskey:
        """The passkey of a registration's answer; refused when it proves none."""
        library = await _library()
        try:
            verified = library.verify_registration_response(
                credential=answer.credential,
                expected_challenge=answer.challenge,
                expected_rp_id=self.rp_id,
                expected_origin=answer.origin,
                require_user_verification=not is_second_factor,
            )
        # Bytes of a stranger: the parsers below the library raise whatever they come upon.
        except Exception:
            raise not_accepted() from None
        return NewPasskey(
            verified.credential_id,
            verified.credential_public_key,
            verified.sign_count,
            verified.credential_backed_up,
            verified.user_verified,
            _transports(library, answer.credential),
            is_second_factor,
            name,
        )

    async def verify_sign_in(
        self, answer: PasskeyAnswer, public_key: bytes, *, is_second_factor: bool
    ) -> UsedPasskey:
        """What the answer of a sign-in proves; refused when it proves nothing.

        Its count of signatures is the caller's to compare.
        """
        library = await _library()
        try:
            verified = library.verify_authentication_response(
                credential=answer.credential,
                expected_challenge=answer.challenge,
                expected_rp_id=self.rp_id,
                expected_origin=answer.origin,
                credential_public_key=public_key,
                credential_current_sign_count=0,
                require_user_verification=not is_second_factor,
            )
        except Exception:
            raise not_accepted() from None
        return UsedPasskey(
            verified.new_sign_count, verified.credential_backed_up, verified.user_verified
        )


def not_accepted() -> DomainError:
    """The one refusal of whatever is wrong with an answer, and of one that comes too late."""
    return DomainError(
        ErrorCode.CODE_INVALID, "This passkey was not accepted, or it took too long. Try again."
    )


async def _library() -> Any:
    return await asyncio.to_thread(import_module, "webauthn")


def _as_json(library: Any, options: Any) -> dict[str, Any]:
    made: dict[str, Any] = library.helpers.options_to_json_dict(options)
    return made


def _verification(library: Any, *, required: bool) -> Any:
    requirement = library.helpers.structs.UserVerificationRequirement
    return requirement.REQUIRED if required else requirement.PREFERRED


def _read(credential: object) -> PasskeyAnswer:
    if not isinstance(credential, dict) or not isinstance(credential["response"], dict):
        raise TypeError
    response: Mapping[str, Any] = credential["response"]
    if sum(len(value) for value in response.values() if isinstance(value, str)) > (
        LONGEST_CREDENTIAL_CHARACTERS
    ):
        raise ValueError
    client_data = json.loads(_bytes(response["clientDataJSON"]))
    if client_data.get("crossOrigin"):
        raise ValueError
    handle = response.get("userHandle")
    return PasskeyAnswer(
        credential,
        _bytes(credential["id"]),
        _bytes(client_data["challenge"]),
        str(client_data["origin"]),
        _bytes(handle) if handle else None,
    )


def _bytes(text: str) -> bytes:
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    return base64.b64decode(padded, altchars=b"-_", validate=True)


def _transports(library: Any, credential: Mapping[str, Any]) -> tuple[str, ...]:
    known = {one.value for one in library.helpers.structs.AuthenticatorTransport}
    told = credential["response"].get("transports")
    told = told if isinstance(told, list) else []
    return tuple(sorted(known.intersection(one for one in told if isinstance(one, str))))


def _default_rp_id(base_url: str) -> str:
    """The host of the server; passkeys know no addresses, so one is called localhost."""
    host = urlsplit(base_url).hostname or "localhost"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return "localhost"
