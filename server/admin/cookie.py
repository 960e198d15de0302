"""The cookie of the pages for admins: a session, sealed so that it is of no use anywhere else."""

from __future__ import annotations

import base64
import json
import secrets
import time
from binascii import Error as NotBase64
from dataclasses import asdict, dataclass, replace
from typing import Self

from starlette.requests import Request
from starlette.responses import Response

from db.vault.sealing import Vault
from settings import Settings
from vault_keys import SealBroken

NAME = "tallygraph_admin"
_PLACE = "cookie of /admin"
# Half of what NIST SP 800-63B-4 (2.2.3) allows with two factors: 24 hours, and one unused.
IDLE_SECONDS = 30 * 60
LONGEST_SECONDS = 12 * 3600


@dataclass(frozen=True, slots=True)
class Held:
    """What a browser holds: nothing but a key for forms, a sign-in half done, or a session.

    Every form has `form_key` in it, which pages of other sites cannot know. `notice` is shown on
    the next page, once.
    """

    form_key: str
    began_at: int
    used_at: int
    challenge_id: str = ""
    methods: tuple[str, ...] = ()
    access_token: str = ""
    refresh_token: str = ""
    notice: str = ""
    is_bad_notice: bool = False

    @classmethod
    def new(cls) -> Self:
        """A browser's that comes for the first time."""
        now = int(time.time())
        return cls(secrets.token_urlsafe(24), now, now)

    @property
    def is_over(self) -> bool:
        """Whether its time is over."""
        now = time.time()
        return now - self.used_at > IDLE_SECONDS or now - self.began_at > LONGEST_SECONDS

    def signed_in(self, access_token: str, refresh_token: str) -> Self:
        """A session just opened, with a key for forms that nobody had before."""
        return replace(self.new(), access_token=access_token, refresh_token=refresh_token)

    def waiting(self, challenge_id: str, methods: list[str]) -> Self:
        """A sign-in that waits for its second factor."""
        return replace(self.new(), challenge_id=challenge_id, methods=tuple(methods))

    def saying(self, notice: str, *, is_bad: bool = False) -> Self:
        """The same, with words for the next page."""
        return replace(self, notice=notice, is_bad_notice=is_bad)


class Cookie:
    """Reads and writes it."""

    def __init__(self, settings: Settings) -> None:
        self._vault = Vault(settings)
        self._is_secure = settings.base_url.startswith("https://")
        # `__Host-` keeps the domain's other hosts from setting it.
        self.name = f"__Host-{NAME}" if self._is_secure else NAME

    def read(self, request: Request) -> Held:
        """What the browser holds; a new one for a stranger, and when it is broken or too old."""
        sealed = request.cookies.get(self.name)
        if sealed is None:
            return Held.new()
        try:
            plain = self._vault.open_at(_PLACE, "", base64.urlsafe_b64decode(f"{sealed}=="))
        except (SealBroken, NotBase64, ValueError):
            return Held.new()
        values = json.loads(plain)
        held = Held(**{**values, "methods": tuple(values["methods"])})
        return Held.new() if held.is_over else held

    def write(self, response: Response, held: Held) -> None:
        """Gives it to the browser anew, as used now."""
        used = replace(held, used_at=int(time.time()))
        sealed = self._vault.seal_at(_PLACE, "", json.dumps(asdict(used)))
        response.set_cookie(
            self.name,
            # Without padding: with it, the value would be sent in quotes (RFC 6265, 4.1.1).
            base64.urlsafe_b64encode(sealed).decode().rstrip("="),
            max_age=IDLE_SECONDS,
            path="/",
            secure=self._is_secure,
            httponly=True,
            samesite="strict",
        )
