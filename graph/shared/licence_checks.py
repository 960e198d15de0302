"""Whether licences and whitelists hold, answered from memory until something changes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol, Self
from uuid import UUID

from auth.services import AccountServices
from auth.shared_rates import SharedRates
from db.core.errors import DomainError, ErrorCode, RateLimited, not_found
from db.core.lifecycles import State
from db.core.pool import Database
from db.licences import operations as licences
from db.licences.keys import LicenceKeys, written_key
from db.licences.operations import FoundLicence, LicensedProduct
from db.vault.watching import VaultKeys
from db.whitelists import operations as whitelists
from db.whitelists.operations import FoundEntry
from graph.shared.known_answers import KnownAnswer, KnownAnswers

KNOWN_SECONDS = 60.0
REMEMBERED = 50_000
# Who is on no whitelist is remembered apart, so that made-up ids push nobody out who is.
REMEMBERED_STRANGERS = 10_000
# Where there may be changes for so long that were not told of, nothing is answered from memory:
# with a heartbeat of the log's reader before it less than the second that is promised.
UNTOLD_SECONDS = 0.7
UNKNOWN_PER_MINUTE = 120
TOPICS = ("licence.changed", "whitelist_entry.changed", "developer_product.changed")


class LicenceCheckStatus(State):
    """What was found of a licence, or of somebody on a whitelist."""

    VALID = "VALID", "The product may be used."
    EXPIRED = "EXPIRED", "Its time is over."
    BANNED = "BANNED", "The licence is banned."
    MAX_ACTIVATIONS = "MAX_ACTIVATIONS", "As many machines use it as may."
    UNKNOWN = "UNKNOWN", "There is no such key for the product, or nobody such on the whitelist."


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer to whoever checks a licence, or a place on a whitelist.

    One from memory tells with `holds` whether it would be the same now.
    """

    status: LicenceCheckStatus
    expires_at: datetime | None = None
    activations: int | None = None
    max_activations: int | None = None
    holds: Callable[[], bool] | None = None

    @property
    def is_valid(self) -> bool:
        """Whether the product may be used."""
        return self.status is LicenceCheckStatus.VALID


class ChangeLog(Protocol):
    """What tells of changes, in this process and in others."""

    def listen(self, topic: str, listener: Callable[[str | None], None]) -> None: ...
    def untold_seconds(self, now: float) -> float | None: ...


class LicenceChecks:
    """The licences and entries of whitelists that one process knows.

    A ban, or whatever else changes one, is an event: this process forgets what it knew when it
    reads of it, within a second of the change wherever that was made.
    """

    def __init__(
        self,
        database: Database,
        keys: LicenceKeys,
        rates: SharedRates,
        vault_keys: VaultKeys,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._keys = keys
        self._vault_keys = vault_keys
        self._clock = clock
        self._log: ChangeLog | None = None
        self._is_listening = False
        self._licences = KnownAnswers[FoundLicence](REMEMBERED)
        self._entries = KnownAnswers[FoundEntry](REMEMBERED)
        self._strangers = KnownAnswers[FoundEntry](REMEMBERED_STRANGERS)
        # How many changes were told of: what was read during one may be old.
        self._changes = 0
        self._unknown = rates.limit("unknown_licence_keys", UNKNOWN_PER_MINUTE, 60.0)

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """Those of a process."""
        keys = LicenceKeys.of(services)
        return cls(services.database, keys, services.rates, services.of(VaultKeys.of))

    def follow(self, log: ChangeLog) -> None:
        """Where changes are told of; without it, nothing is answered from memory."""
        self._log = log

    async def check_key(
        self,
        key: str,
        product: LicensedProduct,
        machine_id: str | None,
        asked_by: str,
        *,
        seller_id: UUID | None = None,
    ) -> Checked:
        """Whether the licence of a key holds, on a machine that is counted.

        With a seller, another's product is NOT_FOUND, whether or not it has such a key. Whoever it
        is asked by, an address or a user, may ask for few keys that there are not.
        """
        licences.check_machine(machine_id)
        written = written_key(key)
        asked = (written, product)
        known = remembered = self._known_licence(asked)
        found = known.found if known else None
        if known is None and written is not None:
            self._admit(asked_by)
            changes = self._changes
            hashes = self._keys.found_by(written)
            found = await licences.find_licence(self._database, hashes, product)
            if found is not None:
                known = self._remember(self._licences, asked, found, found.licence_id, changes)
            else:
                await self._vault_keys.refuse_missing()
                self._unknown.use(asked_by)
        if seller_id is not None and not await self._is_of(found, product, seller_id):
            raise not_found("product", ("input", "productId"))
        if found is None:
            return Checked(LicenceCheckStatus.UNKNOWN)
        answer = _of_licence(found)
        if remembered is not None:
            answer = replace(answer, holds=partial(self._holds, asked, remembered, answer))
        if machine_id is None or not answer.is_valid:
            return answer
        return await self._on_machine(found, known, self._keys.machine_hash(machine_id), answer)

    async def check_roblox_id(
        self,
        roblox_id: int,
        *,
        product_id: UUID | None = None,
        group_id: int | None = None,
        developer_id: UUID | None = None,
    ) -> Checked:
        """Whether somebody is on the whitelist of a product; NOT_FOUND without such a product.

        With a developer, it is only looked for among theirs.
        """
        asked = (roblox_id, product_id, group_id, developer_id)
        found = self._known_entry(asked)
        if found is None:
            changes = self._changes
            found = await whitelists.find_entry(
                self._database,
                roblox_id=roblox_id,
                product_id=product_id,
                group_id=group_id,
                developer_id=developer_id,
            )
            if found is None:
                raise not_found("developer product", ("input", "productId"))
            answers = self._strangers if found.entry_id is None else self._entries
            self._remember(answers, asked, found, found.product_id, changes)
        if not found.is_proven:
            raise DomainError(
                ErrorCode.INVALID_STATE,
                "Nobody has proven yet whose group this is; see `proveDeveloperProduct`.",
                ("input", "productId"),
            )
        if found.entry_id is None:
            return Checked(LicenceCheckStatus.UNKNOWN)
        is_over = found.expires_at is not None and found.expires_at <= datetime.now(UTC)
        status = LicenceCheckStatus.EXPIRED if is_over else LicenceCheckStatus.VALID
        return Checked(status, expires_at=found.expires_at)

    def forget(self, entity: str | None) -> None:
        """Something about a licence or a product changed; with None, anything may have."""
        self._changes += 1
        for answers in (self._licences, self._entries, self._strangers):
            if entity is None:
                answers.clear()
            else:
                answers.forget(UUID(entity))

    def __len__(self) -> int:
        return len(self._licences) + len(self._entries) + len(self._strangers)

    async def _is_of(
        self, found: FoundLicence | None, product: LicensedProduct, seller_id: UUID
    ) -> bool:
        if found is not None:
            return found.seller_id == seller_id
        return await licences.sells(self._database, seller_id, product)

    async def _on_machine(
        self,
        found: FoundLicence,
        known: KnownAnswer[FoundLicence] | None,
        machine: bytes,
        answer: Checked,
    ) -> Checked:
        if known is not None and machine in known.machines:
            return answer
        is_active, count = await licences.activate_licence(
            self._database, found.licence_id, machine
        )
        answer = replace(answer, holds=None)
        if not is_active:
            return replace(answer, status=LicenceCheckStatus.MAX_ACTIVATIONS, activations=count)
        if known is not None:
            known.know_machine(machine)
        return replace(answer, activations=count)

    def _admit(self, asked_by: str) -> None:
        if seconds := self._unknown.wait(asked_by):
            raise RateLimited(
                "Too many unknown keys were asked for from here; try again in a moment.",
                math.ceil(seconds),
            )

    def _is_told(self) -> bool:
        """Whether the log tells of changes in time."""
        if self._log is None:
            return False
        untold = self._log.untold_seconds(self._clock())
        return untold is not None and untold <= UNTOLD_SECONDS

    def _known_licence(self, asked: Hashable) -> KnownAnswer[FoundLicence] | None:
        return self._licences.get(asked, self._clock()) if self._is_told() else None

    def _holds(self, asked: Hashable, known: KnownAnswer[FoundLicence], answer: Checked) -> bool:
        """Whether what was answered from memory is still there, and has not expired since."""
        if self._known_licence(asked) is not known:
            return False
        return not answer.is_valid or _of_licence(known.found).is_valid

    def _known_entry(self, asked: Hashable) -> FoundEntry | None:
        if not self._is_told():
            return None
        now = self._clock()
        known = self._entries.get(asked, now) or self._strangers.get(asked, now)
        return known.found if known else None

    def _remember[Found](
        self,
        answers: KnownAnswers[Found],
        asked: Hashable,
        found: Found,
        entity: UUID,
        changes: int,
    ) -> KnownAnswer[Found] | None:
        """Keeps an answer, unless something has changed since it was read."""
        if self._log is None:
            return None
        if not self._is_listening:
            # The first answer is not kept: what changed while it was read, nobody has told of.
            for topic in TOPICS:
                self._log.listen(topic, self.forget)
            self._is_listening = True
            return None
        # Before the log's first read nobody tells of changes either.
        if changes != self._changes or self._log.untold_seconds(self._clock()) is None:
            return None
        known = KnownAnswer(found, entity, self._clock() + KNOWN_SECONDS)
        answers.keep(asked, known)
        return known


def _of_licence(found: FoundLicence) -> Checked:
    status = LicenceCheckStatus.VALID
    if found.status == "BANNED":
        status = LicenceCheckStatus.BANNED
    elif found.expires_at is not None and found.expires_at <= datetime.now(UTC):
        status = LicenceCheckStatus.EXPIRED
    return Checked(status, found.expires_at, found.activation_count, found.max_activations)
