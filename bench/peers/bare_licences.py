"""The bare application for licences: it verifies and redeems by the statements that ours makes.

One of its two kinds asks the database each time; the other keeps what it has read as long as our
server does. Nothing tells it of changes, so there a ban would come a minute late.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import orjson

from bench.peers.bare import Bare, Pool, reader, run
from db.licences.keys import LicenceKeys, written_key
from graph.shared.licence_checks import KNOWN_SECONDS
from settings import get_settings

REMEMBERING = "bare with memory"
FIND = "select row_to_json(l) from app.licence_of_key($1, null, null) l"


class BareLicences(Bare):
    """The application."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._keys = LicenceKeys(get_settings())
        super().__init__({**config, "statements": {}})
        self._redeem, redeeming = config["statements"].popitem()
        self._redeem_sql = redeeming["sql"]
        self._arguments = [
            self._hashes if argument == ["licence hashes"] else reader(argument)
            for argument in redeeming["arguments"]
        ]
        self._service = Pool()
        self._known_seconds = KNOWN_SECONDS if config["name"] == REMEMBERING else 0.0
        self._known: dict[str, tuple[float, dict[str, Any]]] = {}

    async def start(self) -> None:
        """Opens all connections."""
        await super().start()
        await self._service.open(self._config, "service", self._config["service_password"])

    async def answer(
        self, document: str, variables: dict[str, Any] | None, scope: dict[str, Any]
    ) -> bytes:
        """Verifies or redeems."""
        assert variables is not None
        if document != self._redeem:
            return await self._verified(variables["input"]["key"])
        user = self._users[dict(scope["headers"])[b"authorization"]]
        arguments = [read(user, variables) for read in self._arguments]
        redeemed = await self._pool.fetch_value(self._redeem_sql, arguments)
        return b'{"data":{"redeemLicence":' + redeemed + b"}}"

    def _hashes(self, _user: Any, variables: dict[str, Any]) -> list[bytes]:
        return self._keys.found_by(written_key(variables["input"]["key"]) or "")

    async def _verified(self, key: str) -> bytes:
        written = written_key(key) or ""
        now = time.monotonic()
        until, found = self._known.get(written, (0.0, {}))
        if until <= now:
            found = orjson.loads(
                await self._service.fetch_value(FIND, [self._keys.found_by(written)])
            )
            expires_at = found["expires_at"]
            found["expires_at"] = expires_at and datetime.fromisoformat(expires_at)
            self._known[written] = now + self._known_seconds, found
        status = "VALID"
        if found["status"] == "BANNED":
            status = "BANNED"
        elif found["expires_at"] is not None and found["expires_at"] <= datetime.now(UTC):
            status = "EXPIRED"
        told = {"valid": status == "VALID", "status": status, "errors": []}
        return orjson.dumps({"data": {"verifyLicence": told}})


if __name__ == "__main__":
    run(BareLicences)
