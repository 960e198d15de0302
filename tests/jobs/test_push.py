"""A notification is handed to each of its user's devices at most once, and to nobody else's."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from db.core.activity import pushes_of_the_last_hour
from db.core.actor import SERVICE, Actor
from db.core.pool import Database
from db.files.storage import Storage
from db.push.rules import retry_seconds
from db.push.tables import PushProvider
from jobs.core.declare import WorkerServices
from jobs.providers.base import Providers
from jobs.providers.offline import OfflineProvider
from jobs.push import give_up, pushing_of
from jobs.pushing import check_push_settings
from jobs.pushing import http as push_http
from settings import Settings, SettingsError

from ..conftest import MakeUser
from ..fakes.apns import KEY_ID, TEAM_ID, TOPIC, ApnsAnswer, FakeApns, Fault, apns_pem, running_apns
from ..fakes.fcm import FakeFcm, FcmAnswer, fcm_error, running_fcm
from .helpers import Start, eventually
from .pushes import Devices, apns_token, deliver, fcm_token


@pytest.fixture
async def fcm() -> AsyncIterator[FakeFcm]:
    """Firebase."""
    async with running_fcm() as running:
        yield running


@pytest.fixture
async def apns() -> AsyncIterator[FakeApns]:
    """Apple."""
    async with running_apns() as running:
        yield running


def push_settings(settings: Settings, fcm: FakeFcm, apns: FakeApns) -> Settings:
    """The settings of a deployment that has both providers."""
    return settings.model_copy(
        update={
            "fcm_api_url": fcm.url,
            "fcm_service_account": SecretStr(fcm.account),
            "apns_api_url": apns.url,
            "apns_key_id": KEY_ID,
            "apns_team_id": TEAM_ID,
            "apns_private_key": SecretStr(apns_pem()),
            "apns_topic": TOPIC,
        }
    )


@pytest.fixture
async def worker(
    database: Database, storage: Storage, settings: Settings, fcm: FakeFcm, apns: FakeApns
) -> AsyncIterator[WorkerServices]:
    """What a worker delivers with."""
    providers = Providers(OfflineProvider())
    given = push_settings(settings, fcm, apns)
    services = WorkerServices(database, storage, providers, lambda: None, given)
    yield services
    for gateway in services.of(pushing_of).gateways.values():
        await gateway.close()


@pytest.fixture
def devices(database: Database, owner: asyncpg.Connection, settings: Settings) -> Devices:
    """Devices and notifications."""
    return Devices(database, owner, settings)


@dataclass(frozen=True)
class Told:
    """What a provider answers, and what is to come of it.

    `wait` is after how many seconds it is tried again at the earliest; nothing where it is not.
    """

    answer: FcmAnswer | ApnsAnswer | Fault
    status: str
    error: str | None
    keeps_token: bool = True
    wait: float | None = None


TOKEN = "message.token"
FIRST = retry_seconds(1)
FCM = {
    "unregistered": Told(fcm_error(404, "NOT_FOUND", "UNREGISTERED"), "FAILED", "404 UNREGISTERED", False),
    "a token that is none": Told(
        fcm_error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", field_name=TOKEN), "FAILED", "400 INVALID_ARGUMENT", False
    ),
    "another field that is wrong": Told(
        fcm_error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", field_name="message.data"), "FAILED", "400 INVALID_ARGUMENT"
    ),
    "a token of another project": Told(
        fcm_error(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), "FAILED", "403 SENDER_ID_MISMATCH"
    ),
    "too many": Told(
        fcm_error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), "QUEUED", "429 QUOTA_EXCEEDED", wait=60
    ),
    "too many for so long": Told(
        fcm_error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", retry_after="240"), "QUEUED", "429 QUOTA_EXCEEDED", wait=240
    ),
    "down": Told(fcm_error(503, "UNAVAILABLE", "UNAVAILABLE"), "QUEUED", "503 UNAVAILABLE", wait=FIRST),
    "down for so long": Told(
        fcm_error(503, "UNAVAILABLE", "UNAVAILABLE", retry_after="Fri, 31 Dec 9999 23:59:59 GMT"),
        "QUEUED", "503 UNAVAILABLE", wait=86_000,
    ),
    "a fault of theirs": Told(fcm_error(500, "INTERNAL", "INTERNAL"), "QUEUED", "500 INTERNAL", wait=FIRST),
    "a project without Apple's key": Told(
        fcm_error(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), "QUEUED", "401 THIRD_PARTY_AUTH_ERROR", wait=600
    ),
    "an account without the right": Told(fcm_error(403, "PERMISSION_DENIED"), "QUEUED", "403 PERMISSION_DENIED", wait=600),
    "no such project": Told(FcmAnswer(404, b"<html>"), "QUEUED", "404", wait=600),
    "moved": Told(FcmAnswer(302, b"", {"location": "http://127.0.0.1:1/"}), "QUEUED", "302", wait=600),
    "a gateway's": Told(FcmAnswer(504, b"<html>"), "UNCERTAIN", "504"),
    "taken, in words that are no JSON": Told(FcmAnswer(200, b"{"), "SENT", None),
    "the connection is lost": Told(Fault.DROP, "UNCERTAIN", "RemoteProtocolError"),
    "silence": Told(Fault.HANG, "UNCERTAIN", "ReadTimeout"),
}  # fmt: skip
LONG_AGO, SOON = 1_000_000_000_000, 10_000_000_000_000
APNS = {
    "unregistered": Told(ApnsAnswer(410, "Unregistered", SOON), "FAILED", "410 Unregistered", False),
    "unregistered before it was registered again": Told(
        ApnsAnswer(410, "Unregistered", LONG_AGO), "FAILED", "410 Unregistered"
    ),
    "expired": Told(ApnsAnswer(410, "ExpiredToken", SOON), "FAILED", "410 ExpiredToken", False),
    "a token that is none": Told(ApnsAnswer(400, "BadDeviceToken"), "FAILED", "400 BadDeviceToken", False),
    "a token of another app": Told(ApnsAnswer(400, "DeviceTokenNotForTopic"), "FAILED", "400 DeviceTokenNotForTopic"),
    "another field that is wrong": Told(ApnsAnswer(400, "BadPriority"), "FAILED", "400 BadPriority"),
    "too large": Told(ApnsAnswer(413, "PayloadTooLarge"), "FAILED", "413 PayloadTooLarge"),
    "too many": Told(ApnsAnswer(429, "TooManyRequests"), "QUEUED", "429 TooManyRequests", wait=60),
    "too many for so long": Told(
        ApnsAnswer(429, "TooManyRequests", headers={"retry-after": "90"}), "QUEUED", "429 TooManyRequests", wait=90
    ),
    "too many provider tokens": Told(
        ApnsAnswer(429, "TooManyProviderTokenUpdates"), "QUEUED", "429 TooManyProviderTokenUpdates", wait=600
    ),
    "a key that is no more": Told(ApnsAnswer(403, "InvalidProviderToken"), "QUEUED", "403 InvalidProviderToken", wait=600),
    "a new provider token that is too old": Told(
        ApnsAnswer(403, "ExpiredProviderToken"), "QUEUED", "403 ExpiredProviderToken", wait=600
    ),
    "a key of the other environment": Told(
        ApnsAnswer(403, "BadEnvironmentKeyInToken"), "QUEUED", "403 BadEnvironmentKeyInToken", wait=600
    ),
    "a fault of theirs": Told(ApnsAnswer(500, "InternalServerError"), "QUEUED", "500 InternalServerError", wait=FIRST),
    "down": Told(ApnsAnswer(503, "ServiceUnavailable"), "QUEUED", "503 ServiceUnavailable", wait=FIRST),
    "on its way down": Told(ApnsAnswer(503, "Shutdown"), "QUEUED", "503 Shutdown", wait=FIRST),
    "a gateway's": Told(ApnsAnswer(502), "UNCERTAIN", "502"),
    "the connection is lost": Told(Fault.DROP, "UNCERTAIN", "RemoteProtocolError"),
    "the stream is reset": Told(Fault.RESET, "UNCERTAIN", "RemoteProtocolError"),
    "silence": Told(Fault.HANG, "UNCERTAIN", "ReadTimeout"),
}  # fmt: skip


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose patience ends soon."""
    monkeypatch.setattr(push_http, "ANSWER_SECONDS", 0.3)


async def meets(
    told: Told, worker: WorkerServices, devices: Devices, actor: Actor, token_id: UUID
) -> None:
    """Delivers a notification once, and once more, and says what came of it."""
    notification = await devices.notify(actor)
    wait = await deliver(worker, notification)
    (delivery,) = await devices.deliveries(notification)
    assert (delivery["status"], delivery["error"]) == (told.status, told.error)
    assert (delivery["ended_at"] is None) is (told.status == "QUEUED")
    assert await devices.is_registered(token_id) is told.keeps_token
    if told.wait is None:
        assert wait is None
    else:
        assert wait is not None
        assert told.wait <= wait <= max(told.wait * 1.3, told.wait + 5)
    # It may run again, after anything: nothing is handed over before its time, or twice.
    await deliver(worker, notification)
    assert [row["attempts"] for row in await devices.deliveries(notification)] == [1]


@pytest.mark.parametrize("told", FCM.values(), ids=FCM)
async def test_what_comes_of_an_answer_of_fcm(
    worker: WorkerServices,
    devices: Devices,
    fcm: FakeFcm,
    make_user: MakeUser,
    impatient: None,
    told: Told,
) -> None:
    actor = await make_user()
    token_id = await devices.register(actor, fcm_token())
    fcm.answers = deque([told.answer])  # type: ignore[list-item]
    await meets(told, worker, devices, actor, token_id)
    assert fcm.asked == 1


@pytest.mark.parametrize("told", APNS.values(), ids=APNS)
async def test_what_comes_of_an_answer_of_apns(
    worker: WorkerServices,
    devices: Devices,
    apns: FakeApns,
    make_user: MakeUser,
    impatient: None,
    told: Told,
) -> None:
    actor = await make_user()
    token_id = await devices.register(actor, apns_token(), "IOS")
    apns.answers = deque([told.answer])  # type: ignore[list-item]
    await meets(told, worker, devices, actor, token_id)
    assert apns.asked == 1


@pytest.mark.parametrize("platform", ["ANDROID", "IOS"])
async def test_a_provider_that_refuses_connections_is_asked_again_later(
    worker: WorkerServices, devices: Devices, make_user: MakeUser, platform: str
) -> None:
    nowhere = {"fcm_api_url": "http://127.0.0.1:1", "apns_api_url": "http://127.0.0.1:1"}
    services = WorkerServices(
        worker.database,
        worker.storage,
        worker.providers,
        worker.wake,
        worker.settings.model_copy(update=nowhere),
    )
    actor = await make_user()
    await devices.register(actor, apns_token() if platform == "IOS" else fcm_token(), platform)
    notification = await devices.notify(actor)
    wait = await deliver(services, notification)
    assert wait is not None
    assert FIRST <= wait <= FIRST * 1.3
    (delivery,) = await devices.deliveries(notification)
    assert (delivery["status"], delivery["error"]) == ("QUEUED", "ConnectError")
    # While it is down nothing is tried, and nothing counts as a try.
    other = await devices.notify(actor)
    assert await deliver(services, other) is not None
    (waiting,) = await devices.deliveries(other)
    assert (waiting["status"], waiting["attempts"]) == ("QUEUED", 0)
    for gateway in services.of(pushing_of).gateways.values():
        await gateway.close()


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.DROP, FcmAnswer(503)])
async def test_a_provider_that_is_silent_or_down_is_left_alone_for_longer_and_longer(
    worker: WorkerServices,
    devices: Devices,
    fcm: FakeFcm,
    make_user: MakeUser,
    impatient: None,
    fault: FcmAnswer | Fault,
) -> None:
    actor = await make_user()
    await devices.register(actor, fcm_token())
    pushing, pauses = worker.of(pushing_of), []
    for _ in range(3):
        fcm.answers = deque([fault])
        await deliver(worker, await devices.notify(actor))
        pauses.append(round(pushing.pause_seconds(PushProvider.FCM) / 10))
        # What comes meanwhile costs no message.
        waiting = await devices.notify(actor)
        await deliver(worker, waiting)
        assert [row["attempts"] for row in await devices.deliveries(waiting)] == [0]
        pushing.down_until.clear()
    assert pauses == [1, 2, 4]
    await deliver(worker, await devices.notify(actor))
    assert (fcm.asked, pushing.pauses[PushProvider.FCM]) == (4, 0)


async def test_a_worker_with_many_pushes_leaves_room_for_other_jobs(
    worker: WorkerServices, devices: Devices, fcm: FakeFcm, make_user: MakeUser
) -> None:
    actor = await make_user()
    await devices.register(actor, fcm_token())
    first, second = await devices.notify(actor), await devices.notify(actor)
    pushing = worker.of(pushing_of)
    assert pushing.jobs_at_once == worker.settings.worker_jobs // 2
    pushing.jobs = pushing.jobs_at_once
    wait_of_one, wait_of_many = await deliver(worker, first), await deliver(worker, first, second)
    assert wait_of_one is not None
    assert wait_of_many is not None
    assert 0.5 <= wait_of_one <= 1 < 5 <= wait_of_many <= 10
    assert await devices.deliveries(first, second) == []
    pushing.jobs = 0
    assert await deliver(worker, first, second) is None
    assert len(fcm.messages) == 2


async def test_what_was_not_taken_is_taken_later_and_once(
    worker: WorkerServices,
    devices: Devices,
    owner: asyncpg.Connection,
    fcm: FakeFcm,
    make_user: MakeUser,
) -> None:
    actor = await make_user()
    await devices.register(actor, fcm_token())
    notification = await devices.notify(actor)
    fcm.answers = deque([fcm_error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")])
    assert await deliver(worker, notification) is not None
    await owner.execute(
        "update push_deliveries set not_before = now() where notification_id = $1", notification
    )
    for _ in range(3):
        assert await deliver(worker, notification) is None
    (delivery,) = await devices.deliveries(notification)
    assert (delivery["status"], delivery["attempts"]) == ("SENT", 2)
    assert len(fcm.messages) == 1


async def test_each_device_gets_a_notification_whatever_becomes_of_the_others(
    worker: WorkerServices, devices: Devices, fcm: FakeFcm, apns: FakeApns, make_user: MakeUser
) -> None:
    actor = await make_user()
    phone, browser, tablet = fcm_token(), fcm_token(), apns_token()
    for token, platform in ((phone, "ANDROID"), (browser, "WEB"), (tablet, "IOS")):
        await devices.register(actor, token, platform)
    notification = await devices.notify(actor)
    apns.answers = deque([Fault.DROP])
    assert await deliver(worker, notification) is None
    found = [row["status"] for row in await devices.deliveries(notification)]
    assert sorted(found) == ["SENT", "SENT", "UNCERTAIN"]
    assert sorted(one["token"] for one in fcm.messages) == sorted([phone, browser])


async def test_what_a_killed_worker_was_handing_over_is_never_handed_over_again(
    worker: WorkerServices,
    devices: Devices,
    owner: asyncpg.Connection,
    apns: FakeApns,
    make_user: MakeUser,
) -> None:
    actor = await make_user()
    await devices.register(actor, apns_token(), "IOS")
    notification = await devices.notify(actor)
    apns.answers = deque([Fault.HANG])
    killed = asyncio.create_task(deliver(worker, notification))
    await asyncio.wait_for(apns.has_read.wait(), 10)
    killed.cancel()
    with suppress(asyncio.CancelledError):
        await killed
    assert await deliver(worker, notification) == 30
    (delivery,) = await devices.deliveries(notification)
    assert delivery["status"] == "SENDING"
    await owner.execute(
        "update push_deliveries set claimed_at = now() - interval '11 minutes'"
        " where notification_id = $1",
        notification,
    )
    assert await deliver(worker, notification) is None
    (delivery,) = await devices.deliveries(notification)
    assert (delivery["status"], delivery["error"]) == ("UNCERTAIN", "the worker died")
    assert apns.asked == 1


Change = Callable[[Devices, Actor, UUID, UUID], Awaitable[Any]]


async def sign_out(devices: Devices, actor: Actor, token_id: UUID, notification: UUID) -> None:
    await devices.owner.execute(
        "update sessions set revoked_at = now() where id = $1", devices.sessions[token_id]
    )


async def expire(devices: Devices, actor: Actor, token_id: UUID, notification: UUID) -> None:
    await devices.owner.execute(
        "update sessions set expires_at = now() where id = $1", devices.sessions[token_id]
    )


async def read(devices: Devices, actor: Actor, token_id: UUID, notification: UUID) -> None:
    await devices.owner.execute("update notifications set read = true where id = $1", notification)


async def switch_off(devices: Devices, actor: Actor, token_id: UUID, notification: UUID) -> None:
    await devices.owner.execute(
        "update users set notification_preferences = '{\"generalAlerts\": false}' where id = $1",
        actor.user_id,
    )


async def lock(devices: Devices, actor: Actor, token_id: UUID, notification: UUID) -> None:
    await devices.owner.execute("update users set status = 'locked' where id = $1", actor.user_id)


NOT_WANTED: dict[str, Change] = {
    "the device signed out": sign_out,
    "its session expired": expire,
    "it was read": read,
    "such ones are switched off": switch_off,
    "the account was locked": lock,
}


@pytest.mark.parametrize("change", NOT_WANTED.values(), ids=NOT_WANTED)
async def test_what_is_not_wanted_any_more_is_not_handed_over(
    worker: WorkerServices,
    devices: Devices,
    fcm: FakeFcm,
    make_user: MakeUser,
    change: Change,
) -> None:
    actor = await make_user()
    token_id = await devices.register(actor, fcm_token())
    notification = await devices.notify(actor)
    fcm.answers = deque([fcm_error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")])
    await deliver(worker, notification)
    await change(devices, actor, token_id, notification)
    await devices.owner.execute(
        "update push_deliveries set not_before = now() where notification_id = $1", notification
    )
    assert await deliver(worker, notification) is None
    assert [row["status"] for row in await devices.deliveries(notification)] == ["SKIPPED"]
    assert fcm.messages == []


async def test_a_shared_phone_never_gets_what_waits_for_its_former_owner(
    worker: WorkerServices, devices: Devices, fcm: FakeFcm, make_user: MakeUser
) -> None:
    former, newer = await make_user(), await make_user()
    token = fcm_token()
    await devices.register(former, token)
    waiting = await devices.notify(former)
    fcm.answers = deque([fcm_error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")])
    await deliver(worker, waiting)
    untouched = await devices.notify(former, data={"secret": "the former owner's"})
    await devices.register(newer, token)
    await devices.owner.execute("update push_deliveries set not_before = now()")
    await deliver(worker, waiting, untouched)
    assert fcm.messages == []
    assert [row["status"] for row in await devices.deliveries(waiting, untouched)] == ["SKIPPED"]
    # From now on it is the newer owner's.
    own = await devices.notify(newer)
    await deliver(worker, own)
    assert [one["data"]["notificationId"] for one in fcm.messages] == [f"notification_{own}"]
    assert await devices.jobs(await devices.notify(former)) == []


async def test_a_device_gets_nothing_that_was_there_before_it(
    worker: WorkerServices, devices: Devices, fcm: FakeFcm, make_user: MakeUser
) -> None:
    actor = await make_user()
    first = fcm_token()
    await devices.register(actor, first)
    notification, queued_at = await devices.notify(actor), datetime.now(UTC)
    await devices.register(actor, fcm_token())
    await deliver(worker, notification, queued_at=queued_at)
    assert [one["token"] for one in fcm.messages] == [first]


async def test_only_who_has_devices_costs_a_job(devices: Devices, make_user: MakeUser) -> None:
    without, having = await make_user(), await make_user()
    token_id = await devices.register(having, fcm_token())
    assert await devices.jobs(await devices.notify(without)) == []
    notification = await devices.notify(having)
    assert await devices.jobs(notification) == [[notification]]
    await sign_out(devices, having, token_id, notification)
    assert await devices.jobs(await devices.notify(having)) == []


async def test_what_many_are_sent_at_once_is_fifty_to_a_job_and_waits_behind_the_rest(
    devices: Devices, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    actor, other = await make_user(), await make_user()
    await devices.register(actor, fcm_token())
    rows = await owner.fetch(
        "insert into notifications (user_id, type, title_key, message_key)"
        " select case when n % 10 = 0 then $2::uuid else $1 end, 'OFFER', 't', 'm'"
        " from generate_series(1, 130) n returning id, user_id",
        actor.user_id,
        other.user_id,
    )
    wanted = {row["id"] for row in rows if row["user_id"] == actor.user_id}
    jobs = await devices.jobs(*wanted)
    assert [len(job) for job in jobs] == [50, 50, 17]
    assert {one for job in jobs for one in job} == wanted
    priorities = await owner.fetch(
        "select distinct priority from queue.pgqueuer where dedupe_key = any($1)",
        [f"push:{min(map(str, job))}" for job in jobs],
    )
    assert [row["priority"] for row in priorities] == [-1]


async def test_what_no_provider_takes_in_time_is_given_up(
    worker: WorkerServices, devices: Devices, fcm: FakeFcm, make_user: MakeUser
) -> None:
    actor = await make_user()
    await devices.register(actor, fcm_token())
    notification = await devices.notify(actor)
    fcm.answers = deque([fcm_error(503, "UNAVAILABLE", "UNAVAILABLE")])
    await deliver(worker, notification)
    late = datetime.now(UTC) - timedelta(days=3)
    with capture_logs() as logs:
        assert await deliver(worker, notification, queued_at=late) is None
    (delivery,) = await devices.deliveries(notification)
    assert (delivery["status"], delivery["error"]) == ("FAILED", "no provider took it in time")
    assert [line["event"] for line in logs] == ["push failed"]


async def test_a_job_that_is_dead_ends_what_waits(
    worker: WorkerServices, devices: Devices, fcm: FakeFcm, make_user: MakeUser
) -> None:
    actor = await make_user()
    await devices.register(actor, fcm_token())
    notification = await devices.notify(actor)
    fcm.answers = deque([fcm_error(503, "UNAVAILABLE", "UNAVAILABLE")])
    await deliver(worker, notification)
    await give_up(worker, notification_ids=[notification], error=KeyError("x"))
    (delivery,) = await devices.deliveries(notification)
    assert (delivery["status"], delivery["error"]) == ("FAILED", "KeyError")


async def test_texts_are_in_the_users_language_with_their_values_and_the_badge_counts(
    worker: WorkerServices,
    devices: Devices,
    owner: asyncpg.Connection,
    apns: FakeApns,
    make_user: MakeUser,
) -> None:
    await owner.execute(
        "insert into translations (locale, key, text) values ('en', 'push.t', 'Done'),"
        " ('pt', 'push.t', 'Pronto, {name}'), ('en', 'push.m', 'Your {tool}'),"
        " ('pt', 'push.tool', 'cabelo') on conflict do nothing"
    )
    actor = await make_user()
    await owner.execute("update users set locale = 'pt-BR' where id = $1", actor.user_id)
    await devices.register(actor, apns_token(), "IOS")
    await devices.notify(actor)
    notification = await devices.notify(
        actor,
        title_key="push.t",
        message_key="push.m",
        data={"name": "Ada", "toolKey": "push.tool"},
    )
    await deliver(worker, notification)
    (pushed,) = apns.pushed
    assert pushed.payload["aps"]["alert"] == {"title": "Pronto, Ada", "body": "Your cabelo"}
    assert pushed.payload["aps"]["badge"] == 2
    assert pushed.headers["apns-collapse-id"] == str(notification)


async def test_an_access_token_that_is_refused_is_replaced_at_once(
    worker: WorkerServices, devices: Devices, fcm: FakeFcm, make_user: MakeUser
) -> None:
    actor = await make_user()
    await devices.register(actor, fcm_token())
    await deliver(worker, await devices.notify(actor))
    fcm.access_tokens.append("what another worker was given since")
    await deliver(worker, await devices.notify(actor))
    assert (fcm.asked, len(fcm.messages)) == (3, 2)
    assert fcm.access_tokens[-1] == "access-2"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (FcmAnswer(400, {"error": "invalid_grant"}), "no access token: 400 invalid_grant"),
        (FcmAnswer(503, b"<html>"), "no access token: 503"),
        (FcmAnswer(200, {"access_token": 1}), "no access token: 200"),
        (Fault.DROP, "no access token: RemoteProtocolError"),
    ],
)
async def test_without_an_access_token_nothing_is_claimed(
    worker: WorkerServices,
    devices: Devices,
    fcm: FakeFcm,
    make_user: MakeUser,
    answer: FcmAnswer | Fault,
    reason: str,
) -> None:
    actor = await make_user()
    await devices.register(actor, fcm_token())
    notification = await devices.notify(actor)
    fcm.token_answers = deque([answer])
    assert await deliver(worker, notification) is not None
    (delivery,) = await devices.deliveries(notification)
    assert (delivery["status"], delivery["error"]) == ("QUEUED", reason)
    assert fcm.asked == 0


async def test_a_provider_token_that_is_too_old_is_replaced_at_once(
    worker: WorkerServices, devices: Devices, apns: FakeApns, make_user: MakeUser
) -> None:
    actor = await make_user()
    await devices.register(actor, apns_token(), "IOS")
    await deliver(worker, await devices.notify(actor))
    gateway: Any = worker.of(pushing_of).gateways[PushProvider.APNS]
    gateway._provider_token._made_at -= 1300
    apns.answers = deque([ApnsAnswer(403, "ExpiredProviderToken")])
    await deliver(worker, await devices.notify(actor))
    assert (apns.asked, len(apns.pushed)) == (3, 2)
    # One connection carries all of it.
    assert apns.connections == 1


async def test_many_messages_share_one_connection_each_taken_once(
    worker: WorkerServices, devices: Devices, apns: FakeApns, make_user: MakeUser
) -> None:
    actor = await make_user()
    await devices.register(actor, apns_token(), "IOS")
    sent = [await devices.notify(actor) for _ in range(50)]
    assert await deliver(worker, *sent) is None
    assert {row["status"] for row in await devices.deliveries(*sent)} == {"SENT"}
    collapsed = [UUID(one.headers["apns-collapse-id"]) for one in apns.pushed]
    assert sorted(collapsed) == sorted(sent)
    assert apns.connections == 1


async def test_what_a_closing_connection_did_not_look_at_goes_over_the_next(
    worker: WorkerServices, devices: Devices, apns: FakeApns, make_user: MakeUser
) -> None:
    actor = await make_user()
    await devices.register(actor, apns_token(), "IOS")
    await deliver(worker, await devices.notify(actor))
    apns.answers = deque([Fault.GO_AWAY])
    notification = await devices.notify(actor)
    assert await deliver(worker, notification) is None
    (delivery,) = await devices.deliveries(notification)
    assert delivery["status"] == "SENT"
    assert (len(apns.pushed), apns.connections) == (2, 2)


async def test_a_provider_token_is_made_anew_after_forty_minutes(
    worker: WorkerServices, devices: Devices, apns: FakeApns, make_user: MakeUser
) -> None:
    actor = await make_user()
    await devices.register(actor, apns_token(), "IOS")
    gateway: Any = worker.of(pushing_of).gateways[PushProvider.APNS]
    for age in (0, 2300, 200):
        gateway._provider_token._made_at -= age
        await deliver(worker, await devices.notify(actor))
    first, second, third = apns.provider_tokens
    assert first == second
    assert second != third


async def test_no_log_holds_a_token_or_a_key(
    worker: WorkerServices,
    devices: Devices,
    fcm: FakeFcm,
    apns: FakeApns,
    make_user: MakeUser,
    caplog: pytest.LogCaptureFixture,
) -> None:
    actor = await make_user()
    phone, tablet = fcm_token(), apns_token()
    await devices.register(actor, phone)
    await devices.register(actor, tablet, "IOS")
    with caplog.at_level(logging.DEBUG), capture_logs() as logs:
        for answer in (None, Fault.DROP, FcmAnswer(503), FcmAnswer(404)):
            fcm.answers = deque([answer] if answer else [])
            apns.answers = deque([ApnsAnswer(410, "Unregistered", LONG_AGO)] if answer else [])
            await deliver(worker, await devices.notify(actor))
    said = repr(logs) + caplog.text
    assert len(logs) >= 4
    secrets = (phone, tablet, fcm.access_tokens[-1], apns.provider_tokens[-1], "PRIVATE KEY")
    assert [secret for secret in secrets if secret in said] == []


async def test_tokens_are_stored_sealed(
    devices: Devices, owner: asyncpg.Connection, make_user: MakeUser
) -> None:
    token = fcm_token()
    token_id = await devices.register(await make_user(), token)
    row = await owner.fetchrow("select * from push_tokens where id = $1", token_id)
    assert token.encode() not in row["sealed_token"]
    assert token not in repr(dict(row))


async def test_a_token_that_cannot_be_opened_is_kept_and_told_of(
    worker: WorkerServices,
    devices: Devices,
    owner: asyncpg.Connection,
    fcm: FakeFcm,
    make_user: MakeUser,
) -> None:
    actor = await make_user()
    token_id = await devices.register(actor, fcm_token())
    await owner.execute(
        "update push_tokens set sealed_token = sealed_token || '\\x00' where id = $1", token_id
    )
    notification = await devices.notify(actor)
    await deliver(worker, notification)
    (delivery,) = await devices.deliveries(notification)
    assert (delivery["status"], delivery["error"]) == ("FAILED", "the token cannot be opened")
    assert await devices.is_registered(token_id)
    assert fcm.asked == 0


async def test_the_metrics_count_what_became_of_deliveries(
    worker: WorkerServices, devices: Devices, database: Database, fcm: FakeFcm, make_user: MakeUser
) -> None:
    async def sent() -> int:
        async with database.transaction(SERVICE) as transaction:
            rows = await pushes_of_the_last_hour(transaction)
        counts = {(row["provider"], row["status"]): row["pushes"] for row in rows}
        return int(counts.get(("FCM", "SENT"), 0))

    before = await sent()
    actor = await make_user()
    await devices.register(actor, fcm_token())
    await deliver(worker, await devices.notify(actor))
    assert await sent() == before + 1


async def test_a_worker_delivers_what_is_queued(
    worker: WorkerServices,
    devices: Devices,
    start: Start,
    apns: FakeApns,
    fcm: FakeFcm,
    make_user: MakeUser,
) -> None:
    actor = await make_user()
    tablet = apns_token()
    await devices.register(actor, tablet, "IOS")
    running = start(OfflineProvider())
    running._services._states[pushing_of] = worker.of(pushing_of)
    await devices.notify(actor)

    async def has_come() -> bool:
        return bool(apns.pushed)

    await eventually(has_come, 30)
    assert [one.token for one in apns.pushed] == [tablet]


WHOLE = {"apns_key_id": "K", "apns_team_id": "T", "apns_topic": "t"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fcm_service_account": SecretStr("{}")}, "FCM_SERVICE_ACCOUNT: write the JSON"),
        ({"fcm_service_account": SecretStr("secret")}, "FCM_SERVICE_ACCOUNT: write the JSON"),
        ({"fcm_service_account_file": "/nowhere"}, "FCM_SERVICE_ACCOUNT_FILE: cannot be read"),
        ({**WHOLE, "apns_private_key": SecretStr("secret")}, "APNS_PRIVATE_KEY: write the text"),
        ({**WHOLE, "apns_private_key_file": "/nowhere"}, "APNS_PRIVATE_KEY_FILE: cannot be read"),
    ],
)
def test_a_key_that_cannot_be_used_is_told_at_the_start(
    settings: Settings, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        check_push_settings(settings.model_copy(update=given))
    assert "secret" not in str(refused.value)


def test_the_log_says_once_which_providers_are_off_and_what_they_lack(settings: Settings) -> None:
    with capture_logs() as logs:
        check_push_settings(settings.model_copy(update=WHOLE))
    assert [(line["provider"], line["missing"]) for line in logs] == [
        ("FCM", ["FCM_SERVICE_ACCOUNT"]),
        ("APNS", ["APNS_PRIVATE_KEY"]),
    ]


async def test_without_a_provider_a_job_ends(
    worker: WorkerServices, devices: Devices, settings: Settings, make_user: MakeUser
) -> None:
    actor = await make_user()
    await devices.register(actor, fcm_token())
    notification = await devices.notify(actor)
    services = WorkerServices(
        worker.database, worker.storage, worker.providers, worker.wake, settings
    )
    assert await deliver(services, notification) is None
    assert await devices.deliveries(notification) == []
