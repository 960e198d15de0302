"""Whatever devices do offline, and however requests are cut, repeated and reordered: they agree.

Each sequence runs in one transaction that is rolled back. Three devices, whose clocks differ by up
to years until they are put right, make, change, delete and talk about profiles. What a device has
not yet told, it shows, whatever it is told meanwhile. Answers get lost, old requests arrive again.
Behind it, every device has what the server has, and every message is there once: in its chat, or
with what lost a conflict.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase

from .test_ledger_model import Books, profile

SEQUENCES, NIGHTLY_SEQUENCES = 10, 2_000
START_MILLISECONDS = 1_700_000_000_000
HOUR = 3_600_000
# One is right, one an hour slow, one fifty years fast.
SKEWS = (0, -HOUR, 50 * 365 * 24 * HOUR)
STRATEGIES = ("LAST_WRITE_WINS", "LAST_WRITE_WINS", "SERVER_WINS", "CLIENT_WINS", "MANUAL")
# Pages are small, so that syncs have several.
PAGE_ROWS, AHEAD = 2, 60_000 << 16
SYNC = """
select (s.done::jsonb || jsonb_build_object('changes', (
    select coalesce(jsonb_agg(c.one || jsonb_build_object('analysis', s.analyses[c.n]::jsonb)
                              order by c.n), '[]')
    from jsonb_array_elements(s.done::jsonb -> 'changes') with ordinality as c (one, n))))::text
from app.sync_changes($1, $2, $3, $4::jsonb, $5, 1000000, $6) s
"""
PROFILES = "select id, name, analysis from profiles where user_id = $1"
MESSAGES = "select profile_id, client_id from chat_messages where user_id = $1"
LOST = "select value from sync_conflicts where user_id = $1 and field_group in ('CHAT', 'PROFILE')"

devices = st.integers(0, len(SKEWS) - 1)
places = st.integers(0, 3)
values = st.integers(0, 3)


class OfflineDevice:
    """What a device has of the profiles, and what it has not yet told the server."""

    def __init__(self, number: int) -> None:
        self.name = f"device {number}"
        self.skew = SKEWS[number]
        self.profiles: dict[str, dict[str, Any]] = {}
        self.ids: dict[str, str] = {}
        self.chats: set[str] = set()
        self.outbox: list[dict[str, Any]] = []
        self.cursor: str | None = None
        self.clock = self.made = 0

    def change(self, key: str, time: int, **given: Any) -> None:
        """Notes a change of the profile that the device calls `key`."""
        self.clock = max(self.clock + 1, (START_MILLISECONDS + time + self.skew) << 16)
        name = {"id": self.ids[key]} if key in self.ids else {"local_id": int(key)}
        plain = {"deleted": False, "groups": {}, "messages": [], "since": self.cursor}
        self.outbox.append({**plain, **name, "clock": self.clock, **given})

    def learn(self, answer: dict[str, Any]) -> None:
        """Takes over an answer: what it sent is settled, what others did is as they did it."""
        for one in answer["accepted"]:
            if one["local_id"] is not None:
                self.ids[str(one["local_id"])] = one["id"]
        settled = {one["clock"] for one in answer["accepted"]}
        self.outbox = [one for one in self.outbox if one["clock"] not in settled]
        keys = {found: key for key, found in self.ids.items()}
        for change in answer["changes"]:
            key = keys.get(change["id"], change["id"])
            self.ids[key] = change["id"]
            waiting = [one for one in self.outbox if self.names(one, key)]
            if change["deleted"]:
                # What waits is judged by the server first: it may bring the profile back.
                if not waiting:
                    self.profiles.pop(key, None)
            elif not any(one["deleted"] for one in waiting):
                written = {group for one in waiting for group in one["groups"]}
                shown = self.profiles.setdefault(key, {})
                for group in {"NAME", "ANALYSIS"} - written:
                    shown[group] = change[group.lower()]
        self.cursor = answer["cursor"]

    def names(self, change: dict[str, Any], key: str) -> bool:
        """Whether a change is of the profile that this device calls `key`."""
        return key in {str(change.get("local_id")), change.get("id")} or (
            "id" in change and change["id"] == self.ids.get(key)
        )


class SyncMachine(RuleBasedStateMachine):
    """Steps of devices, and of what is between them and the server."""

    books: Books

    def __init__(self) -> None:
        super().__init__()
        self.books.begin()
        self.user = self.books.users[0]
        self.devices = [OfflineDevice(n) for n in range(len(SKEWS))]
        self.sent: list[tuple[Any, ...]] = []
        self.said: set[str] = set()
        self.withdrawn: set[str] = set()
        self.time = 0

    def teardown(self) -> None:
        """What holds in the end, and the end."""
        try:
            self.agree()
        finally:
            self.books.roll_back()

    def ask(self, request: tuple[Any, ...]) -> dict[str, Any]:
        """What the server answers."""
        answer = self.books.attempt(self.user, SYNC, *request, PAGE_ROWS, AHEAD)
        assert answer.startswith("{"), answer
        found: dict[str, Any] = json.loads(answer)
        return found

    def request(self, device: OfflineDevice, strategy: str) -> tuple[Any, ...]:
        """What a device sends: all that it has not yet told."""
        changes = [{"n": n, **one} for n, one in enumerate(device.outbox)]
        if device is self.devices[1]:
            # This one says once what it had seen when it made its changes.
            for one in changes:
                one["since"] = None if one["since"] == device.cursor else one["since"]
        return device.name, device.cursor, strategy, json.dumps(changes)

    def key(self, device: OfflineDevice, place: int) -> str | None:
        """One of the profiles that a device has."""
        keys = sorted(device.profiles)
        return keys[place % len(keys)] if keys else None

    @rule(number=devices, value=values)
    def makes(self, number: int, value: int) -> None:
        """A device makes a profile."""
        device = self.devices[number]
        self.time += 1
        device.made += 1
        key = str(device.made)
        device.profiles[key] = {"NAME": str(value), "ANALYSIS": {"v": value}}
        device.change(key, self.time, groups=device.profiles[key].copy())

    @rule(number=devices, place=places, value=values, group=st.sampled_from(["NAME", "ANALYSIS"]))
    def edits(self, number: int, place: int, value: int, group: str) -> None:
        """A device changes a field group of a profile."""
        device = self.devices[number]
        self.time += 1
        if (key := self.key(device, place)) is not None:
            given = str(value) if group == "NAME" else {"v": value}
            device.profiles[key][group] = given
            device.change(key, self.time, groups={group: given})

    @rule(number=devices, place=places)
    def deletes(self, number: int, place: int) -> None:
        """A device deletes a profile."""
        device = self.devices[number]
        self.time += 1
        if (key := self.key(device, place)) is not None:
            del device.profiles[key]
            # What was said of it and not told yet goes with it.
            same = [one for one in device.outbox if device.names(one, key)]
            self.withdrawn |= {m["id"] for one in same for m in one["messages"]}
            device.change(key, self.time, deleted=True)

    @rule(number=devices, place=places)
    def says(self, number: int, place: int) -> None:
        """Something is said about a profile."""
        device = self.devices[number]
        self.time += 1
        if (key := self.key(device, place)) is not None:
            message = {"id": f"m{len(self.said)}", "role": "USER", "text": "hi"}
            self.said.add(message["id"])
            device.change(key, self.time, messages=[message])

    @rule(number=devices)
    def has_its_clock_put_right(self, number: int) -> None:
        """A device's clock goes on from the time of day, also where it was ahead of that."""
        device = self.devices[number]
        self.time += 1
        device.skew = device.clock = 0

    @rule(number=devices, strategy=st.sampled_from(STRATEGIES), pages=st.integers(0, 3))
    def syncs(self, number: int, strategy: str, pages: int) -> None:
        """A device syncs, and gets so many pages of the answer before it is cut off."""
        device = self.devices[number]
        for _ in range(max(pages, 1)):
            request = self.request(device, strategy)
            self.sent.append(request)
            answer = self.ask(request)
            if pages == 0:
                return
            device.learn(answer)
            if not answer["has_more"]:
                return

    @rule(data=st.data())
    def an_old_request_arrives_again(self, data: st.DataObject) -> None:
        """What was sent at some time arrives once more, and nobody hears the answer."""
        if self.sent:
            at = data.draw(st.integers(0, len(self.sent) - 1))
            self.ask(self.sent[at])

    def agree(self) -> None:
        """Once all have synced to the end, all have the same, and nothing that was said is lost."""
        for device in [*self.devices, *self.devices]:
            while True:
                answer = self.ask(self.request(device, "LAST_WRITE_WINS"))
                device.learn(answer)
                if not answer["has_more"]:
                    break
        there = {
            str(row["id"]): {"NAME": row["name"], "ANALYSIS": json.loads(row["analysis"])}
            for row in self.books.rows(PROFILES, self.user)
        }
        for device in self.devices:
            assert device.outbox == []
            has = {device.ids[key]: found for key, found in device.profiles.items()}
            assert has == there, device.name
        written = Counter(row["client_id"] for row in self.books.rows(MESSAGES, self.user))
        assert set(written.values()) <= {1}
        found = set(written) | set(self.kept())
        assert self.said - self.withdrawn <= found <= self.said

    def kept(self) -> Iterator[str]:
        """The messages among what lost."""
        for row in self.books.rows(LOST, self.user):
            value = json.loads(row["value"])
            if isinstance(value, list):
                yield from (one["id"] for one in value)
            else:
                yield from (one["client_id"] for one in value.get("MESSAGES") or ())


@pytest.fixture
def machine(cluster: EmbeddedDatabase, database: Database) -> Iterator[type[SyncMachine]]:
    """The machine over the test database."""
    books = Books(cluster.superuser_url)
    yield type("SyncMachine", (SyncMachine,), {"books": books})
    books.close()


def test_devices_agree_in_the_end(machine: type[SyncMachine]) -> None:
    run_state_machine_as_test(machine, settings=profile(SEQUENCES))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_devices_agree_in_the_end_for_long(machine: type[SyncMachine]) -> None:
    run_state_machine_as_test(machine, settings=profile(NIGHTLY_SEQUENCES))
