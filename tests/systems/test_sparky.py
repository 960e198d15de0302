"""Sparky end to end, as its React client runs it: from a sign-up with a code to a paid plan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests import pictures
from tests.fakes.gemini import KEY, FakeGemini, fake_gemini
from tests.fakes.paymob import Callback, FakePaymob, paymob
from tests.running import RunningServer, run_command, running_server

from .client import Client, Socket
from .mailbox import Mailbox

PASSWORD = "violet lantern 7"
SESSION = "session { accessToken refreshToken user { id email username isAnonymous } }"
SIGN_UP = f"""mutation($email: String!, $password: String!, $username: String) {{
  signUp(input: {{email: $email, password: $password, username: $username}}) {{
    {SESSION} errors {{ code }} }} }}"""
CONFIRM = f"""mutation($email: String!, $code: String!) {{
  confirmEmail(input: {{email: $email, code: $code}}) {{ {SESSION} errors {{ code }} }} }}"""

# What the client reads when it starts: one request for what took supabase-js seven.
START = """{
  viewer { id username email plan { id name monthlyCredits maxDailyCredits hasProHairstyles } credits { balance available }
    generations(first: 20) { nodes { id status imageUrl } } notifications { nodes { id read titleKey } } unreadNotificationCount }
  tools { id nameKey descriptionKey type iconName sortOrder creditsCost isPreview parametersSchema coverImageUrl }
  hairstyles { id name nameKey imageUrl gender isPro category categoryKey }
  hairColors { id hexCode } skinColors { id hexCode name } plans { id name monthlyCredits maxDailyCredits price { amountCents currency } }
  products { id kind credits plan { id } prices { provider amountCents currency interval } } }"""
CATALOG = """{ tools { id coverImageUrl } hairstyles { id imageUrl gender isPro category } hairColors { hexCode }
  skinColors { hexCode name } plans { id name monthlyCredits maxDailyCredits } }"""
TEXTS = "query($locale: String!) { translations(locale: $locale) { key text } }"
WALLET = "{ viewer { plan { id } credits { balance available held } } }"
WATCH_GENERATION = """subscription($id: ID!) { generationUpdated(id: $id) {
  generation { id status result imageUrl creditsCharged madeOffline error { code message } } } }"""
WATCH_CREDITS = "subscription { creditsChanged { cursor credits { balance held available } } }"
WATCH_CATALOG = """subscription($after: Cursor) { catalogChanged(after: $after) {
  cursor kind deletedId tool { id } hairstyle { id name } } }"""
WATCH_NOTIFICATIONS = (
    "subscription { notificationAdded { notification { id type titleKey read } } }"
)
WATCH_READS = (
    """subscription { notificationsChanged { kind deletedId notification { id read } } }"""
)
WATCH_ORDER = "subscription($id: ID!) { orderUpdated(id: $id) { order { id status } } }"
CHECKOUT = """mutation($product: ID!, $provider: String!, $key: String!) {
  createCheckout(input: {productId: $product, provider: $provider, idempotencyKey: $key}) {
    order { id status } url expiresAt errors { code path } } }"""
HISTORY = """{ viewer { payments { nodes { provider orderId amountCents currency status createdAt } }
  orders { nodes { id status product { id } } } } }"""
SWITCH = """mutation($active: Boolean!) {
  setToolActive(input: {toolId: "halloween", isActive: $active}) { tool { id } errors { code } } }"""
DELETE = "mutation($id: ID!) { deleteGeneration(input: {id: $id}) { errors { code } } }"


@dataclass
class Sparky:
    """The product as its client meets it, and the two services behind it."""

    server: RunningServer
    gemini: FakeGemini
    paymob: FakePaymob

    def command(self, *arguments: str) -> str:
        """What the operator's command prints."""
        done = run_command(self.server.data_directory, *arguments, COLUMNS="200")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def sparky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sparky]:
    """A deployment with its catalog, with Gemini and with Paymob."""
    folder = tmp_path_factory.mktemp("sparky") / "data"
    with fake_gemini() as model, paymob() as bank:
        told = {"GEMINI_API_KEY": KEY, "GEMINI_API_URL": model.url, "CONFIRM_EMAIL": "true"}
        with running_server(folder, **told, **bank.settings) as server:  # type: ignore[arg-type]
            made = Sparky(server, model, bank)
            made.command("seed", "sparky")
            yield made


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


async def signed_up(sparky: Sparky, http: httpx.AsyncClient, email: str) -> Client:
    """Somebody who signed up and gave the six digits that were mailed."""
    client = Client(sparky.server.url, http)
    given = {
        "email": email,
        "password": PASSWORD,
        "username": email.partition("@")[0].replace(".", "_"),
    }
    assert (await client.ask(SIGN_UP, given))["signUp"] == {"session": None, "errors": []}
    code = await Mailbox(sparky.server.data_directory, email).code()
    payload = (await client.ask(CONFIRM, {"email": email, "code": code}))["confirmEmail"]
    assert payload["errors"] == []
    session = payload["session"]
    client.token, client.user_id = session["accessToken"], session["user"]["id"]
    return client


async def an_admin(sparky: Sparky, http: httpx.AsyncClient, email: str) -> Client:
    """Somebody whom the operator made an admin."""
    admin = await signed_up(sparky, http, email)
    sparky.command("users", "promote", email)
    return admin


async def generated(
    client: Client, socket: Socket, upload: str, tool: str, parameters: Any
) -> dict[str, Any]:
    """A generation at its end, watched until then."""
    payload = await client.generate(upload, tool, parameters)
    assert payload["errors"] == [], payload
    name = payload["generation"]["id"]
    await socket.subscribe(name, WATCH_GENERATION, {"id": name})
    while True:
        shown = (await socket.next_data(name))["generation"]
        if shown["status"] in {"SUCCEEDED", "FAILED"}:
            return {"id": name, **shown}


async def test_the_catalog_is_public_and_every_picture_is_there(
    sparky: Sparky, http: httpx.AsyncClient
) -> None:
    visitor = Client(sparky.server.url, http)
    shown = await visitor.ask(CATALOG)
    assert [tool["id"].removeprefix("tool_") for tool in shown["tools"]] == [
        "hairstyle", "hair-color", "age", "smile", "analysis", "fat",
        "bald", "beard", "skin-color", "halloween", "eye-color",
    ]  # fmt: skip
    genders = [style["gender"] for style in shown["hairstyles"]]
    assert (genders.count("FEMALE"), genders.count("MALE")) == (33, 21)
    assert sum(style["isPro"] for style in shown["hairstyles"]) == 32
    assert (len(shown["hairColors"]), len(shown["skinColors"])) == (12, 10)
    plans = {p["name"]: (p["monthlyCredits"], p["maxDailyCredits"]) for p in shown["plans"]}
    assert plans == {"Free": (10, 5), "Pro": (100, 50), "Enterprise": (5000, 5000)}
    pictures_of = {style["imageUrl"] for style in shown["hairstyles"]}
    pictures_of |= {tool["coverImageUrl"] for tool in shown["tools"] if tool["coverImageUrl"]}
    answers = await asyncio.gather(*(http.get(url) for url in pictures_of))
    assert {answer.status_code for answer in answers} == {200}
    names = {}
    for locale in ("en", "ar", "ru"):
        told = await visitor.ask(TEXTS, {"locale": locale})
        names[locale] = {text["key"]: text["text"] for text in told["translations"]}
    assert names["en"].keys() == names["ar"].keys() == names["ru"].keys()
    assert names["en"]["tool.hairstyle.name"] != names["ar"]["tool.hairstyle.name"]


REFUSED: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("hair-color", {"color": "red"}, "BAD_USER_INPUT", ["input", "parameters", "color"]),
    ("hairstyle", {"style": "no such style"}, "BAD_USER_INPUT", ["input", "parameters", "style"]),
    ("age", {"age": 91}, "BAD_USER_INPUT", ["input", "parameters", "age"]),
    ("smile", {"intensity": 50, "more": 1}, "BAD_USER_INPUT", ["input", "parameters"]),
]


async def test_from_a_code_by_mail_to_a_paid_plan(sparky: Sparky, http: httpx.AsyncClient) -> None:
    ada = await signed_up(sparky, http, "ada@example.test")
    start = await ada.ask(START)
    assert start["viewer"]["username"] == "ada"
    assert start["viewer"]["plan"]["name"] == "Free"
    assert start["viewer"]["credits"] == {"balance": 10, "available": 10}
    pro_style = next(style for style in start["hairstyles"] if style["isPro"])
    free_style = next(style for style in start["hairstyles"] if not style["isPro"])
    upload, put = await ada.upload(pictures.jpeg_with_exif(pictures.portrait().picture))
    assert put.status_code == 201
    await is_refused(ada, upload, pro_style["id"])
    style = {"style": free_style["id"], "color": "#4E342E"}
    made, again = await makes_pictures(sparky, ada, upload, style)

    # Nobody else sees any of it, and the server's files are the server's.
    eve = await signed_up(sparky, http, "eve@example.test")
    stolen = "query($id: ID!) { node(id: $id) { id } }"
    assert (await eve.ask(stolen, {"id": made["id"]}))["node"] is None
    theft = await eve.generate(upload, "hairstyle", style)
    assert theft["errors"][0]["code"] == "NOT_FOUND"

    await pays_for_pro(sparky, ada)
    await uses_the_plan(ada, upload, pro_style["id"])
    # The picture goes with the last of those that show it.
    for name in (made["id"], again):
        assert (await http.get(made["imageUrl"])).status_code == 200
        assert (await ada.ask(DELETE, {"id": name}))["deleteGeneration"]["errors"] == []
    # A worker removes it.
    async with asyncio.timeout(30):
        while (await http.get(made["imageUrl"])).status_code == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert (await http.get(made["imageUrl"])).status_code in {403, 404, 410}


async def is_refused(ada: Client, upload: str, pro_style: str) -> None:
    """What cannot be made is told with its place, and costs nothing."""
    for tool, parameters, code, path in REFUSED:
        payload = await ada.generate(upload, tool, parameters)
        assert [(e["code"], e["path"]) for e in payload["errors"]] == [(code, path)], payload
    payload = await ada.generate(upload, "hairstyle", {"style": pro_style})
    assert [error["code"] for error in payload["errors"]] == ["PLAN_REQUIRED"]
    assert (await ada.ask(WALLET))["viewer"]["credits"]["balance"] == 10


async def makes_pictures(
    sparky: Sparky, ada: Client, upload: str, style: dict[str, str]
) -> tuple[dict[str, Any], str]:
    """Three runs, seen live; gives the picture, and the id of its copy from the cache."""
    async with ada.socket() as socket:
        await socket.subscribe("credits", WATCH_CREDITS)
        await socket.subscribe("notifications", WATCH_NOTIFICATIONS)
        assert (await socket.next_data("credits"))["credits"]["balance"] == 10
        await socket.next_data("notifications")

        # A picture: one credit, seen live; the same again costs nothing.
        made = await generated(ada, socket, upload, "hairstyle", style)
        assert (made["status"], made["creditsCharged"], made["madeOffline"]) == (
            "SUCCEEDED", 1, False,
        )  # fmt: skip
        picture = await ada.http.get(made["imageUrl"])
        assert picture.headers["content-type"].startswith("image/")
        assert (await socket.next_data("credits"))["credits"]["held"] == 1
        assert (await socket.next_data("credits"))["credits"] == {
            "balance": 9, "held": 0, "available": 9,
        }  # fmt: skip
        again = await ada.generate(upload, "hairstyle", style)
        assert again["generation"]["fromCache"] is True
        added = (await socket.next_data("notifications"))["notification"]
        assert added["titleKey"] == "notifications.generationSucceeded.title"

        # An analysis is read, checked, and kept; a refusal by the model gives the credit back.
        analysis = await generated(ada, socket, upload, "analysis", {})
        assert len(analysis["result"]) >= 13
        assert 0 <= analysis["result"]["symmetryScore"] <= 100
        sparky.gemini.script.append("ended by IMAGE_SAFETY")
        refused = await generated(ada, socket, upload, "halloween", {})
        assert refused["error"]["code"] == "PROVIDER_REFUSED"
        assert (await ada.ask(WALLET))["viewer"]["credits"] == {
            "balance": 8, "available": 8, "held": 0,
        }  # fmt: skip
    return made, again["generation"]["id"]


async def pays_for_pro(sparky: Sparky, ada: Client) -> None:
    """The plan by Paymob: declined first, then paid, and told of ten times."""
    products = (await ada.ask(START))["products"]
    pro = next(p for p in products if p["plan"] and p["plan"]["id"] == "plan_pro")
    asked = {"product": pro["id"], "provider": "paymob", "key": "upgrade"}
    bought = (await ada.ask(CHECKOUT, asked))["createCheckout"]
    assert bought["errors"] == []
    assert bought == (await ada.ask(CHECKOUT, asked))["createCheckout"], "one key, one order"
    secret = parse_qs(urlsplit(bought["url"]).query)["clientSecret"][0]
    number = int(secret.rpartition("_")[2])
    async with ada.socket() as socket:
        await socket.subscribe("order", WATCH_ORDER, {"id": bought["order"]["id"]})
        assert (await socket.next_data("order"))["order"]["status"] == "PENDING"
        declined = sparky.paymob.pay(number, pays=False)
        assert (await delivered(ada, declined)).status_code == 200
        assert (await socket.next_data("order"))["order"]["status"] == "FAILED"
        paid = sparky.paymob.pay(number)
        forged = await ada.http.post(
            f"{ada.url}/webhooks/paymob?hmac={'0' * 128}", content=paid.body
        )
        assert forged.status_code == 401
        answers = await asyncio.gather(*(delivered(ada, paid) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {200}
        assert (await socket.next_data("order"))["order"]["status"] == "PAID"
    shown = (await ada.ask(WALLET))["viewer"]
    assert shown["plan"]["id"] == "plan_pro"
    history = (await ada.ask(HISTORY))["viewer"]
    assert [p["status"] for p in history["payments"]["nodes"]] == ["SUCCEEDED", "FAILED"]
    assert [o["status"] for o in history["orders"]["nodes"]] == ["PAID"]
    printed = sparky.command("payments", "show", "ada@example.test")
    assert "PAID" in printed
    assert "SUCCEEDED" in printed


async def delivered(ada: Client, sent: Callback) -> httpx.Response:
    """Paymob calls."""
    return await ada.http.post(f"{ada.url}/webhooks/paymob?{sent.query}", content=sent.body)


async def uses_the_plan(ada: Client, upload: str, pro_style: str) -> None:
    """What the plan gives, once: a month's credits and the hairstyles of professionals."""
    credits = (await ada.ask(WALLET))["viewer"]["credits"]
    assert credits["balance"] >= 100
    async with ada.socket() as socket:
        made = await generated(ada, socket, upload, "hairstyle", {"style": pro_style})
    assert made["status"] == "SUCCEEDED"
    after = (await ada.ask(WALLET))["viewer"]["credits"]
    assert after["balance"] == credits["balance"] - 1


async def test_what_admins_change_reaches_every_client(
    sparky: Sparky, http: httpx.AsyncClient
) -> None:
    admin = await an_admin(sparky, http, "admin.one@example.test")
    visitor = Client(sparky.server.url, http)
    async with visitor.socket() as socket:
        await socket.subscribe("catalog", WATCH_CATALOG)
        cursor = (await socket.next_data("catalog"))["cursor"]
        assert (await admin.ask(SWITCH, {"active": False}))["setToolActive"]["errors"] == []
        change = await socket.next_data("catalog")
        assert (change["kind"], change["deletedId"]) == ("DELETED", "tool_halloween")
    assert "tool_halloween" not in {t["id"] for t in (await visitor.ask(CATALOG))["tools"]}
    assert (await admin.ask(SWITCH, {"active": True}))["setToolActive"]["errors"] == []
    async with visitor.socket() as socket:
        # Who was away meanwhile is told of both.
        await socket.subscribe("catalog", WATCH_CATALOG, {"after": cursor})
        kinds = [(await socket.next_data("catalog"))["kind"] for _ in range(2)]
        assert kinds[0] == "DELETED"


SEND = """mutation($user: ID!, $type: NotificationType!, $key: String!) {
  sendNotification(input: {userId: $user, type: $type, titleKey: "notifications.general_welcome.title",
    messageKey: "notifications.general_welcome.message", idempotencyKey: $key}) {
    notification { id } errors { code } } }"""


async def test_notifications_are_the_same_on_two_devices(
    sparky: Sparky, http: httpx.AsyncClient
) -> None:
    ben = await signed_up(sparky, http, "ben@example.test")
    admin = await an_admin(sparky, http, "admin.two@example.test")
    count = "{ viewer { unreadNotificationCount } }"
    welcomed = (await ben.ask(count))["viewer"]["unreadNotificationCount"]
    async with ben.socket() as phone, ben.socket() as desk:
        await phone.subscribe("added", WATCH_NOTIFICATIONS)
        await desk.subscribe("changed", WATCH_READS)
        await phone.next_data("added")
        await desk.next_data("changed")
        sent = await admin.ask(SEND, {"user": ben.user_id, "type": "OFFER", "key": "1"})
        assert sent["sendNotification"]["errors"] == []
        added = (await phone.next_data("added"))["notification"]
        assert (added["type"], added["read"]) == ("OFFER", False)
        assert (await desk.next_data("changed"))["notification"]["id"] == added["id"]
        shown = (await ben.ask(count))["viewer"]["unreadNotificationCount"]
        assert shown == welcomed + 1
        await ben.ask("mutation { markAllNotificationsRead { errors { code } } }")
        read = [(await desk.next_data("changed"))["notification"] for _ in range(shown)]
        assert {"id": added["id"], "read": True} in read
        await ben.ask(
            "mutation($id: ID!) { deleteNotification(input: {id: $id}) { errors { code } } }",
            {"id": added["id"]},
        )
        assert (await desk.next_data("changed"))["deletedId"] == added["id"]
    assert (await ben.ask(count))["viewer"] == {"unreadNotificationCount": 0}


async def test_a_pack_of_credits_is_bought_on_the_sandboxs_page(
    sparky: Sparky, http: httpx.AsyncClient
) -> None:
    cy = await signed_up(sparky, http, "cyrus@example.test")
    pack = next(p for p in (await cy.ask(START))["products"] if p["kind"] == "CREDITS")
    asked = {"product": pack["id"], "provider": "sandbox", "key": "pack"}
    bought = (await cy.ask(CHECKOUT, asked))["createCheckout"]
    assert bought["errors"] == []
    page = await http.get(bought["url"])
    assert page.status_code == 200
    assert "Pay" in page.text
    async with cy.socket() as socket:
        await socket.subscribe("order", WATCH_ORDER, {"id": bought["order"]["id"]})
        await socket.next_data("order")
        assert (await http.post(f"{bought['url']}/pay")).status_code == 303
        assert (await socket.next_data("order"))["order"]["status"] == "PAID"
        assert (await cy.ask(WALLET))["viewer"]["credits"]["balance"] == 10 + pack["credits"]
        assert (await http.post(f"{bought['url']}/refund")).status_code == 303
        assert (await socket.next_data("order"))["order"]["status"] == "REFUNDED"
    assert (await cy.ask(WALLET))["viewer"]["credits"]["balance"] == 10


REFUND = """mutation($order: ID!) { refundOrder(input: {
  orderId: $order, amountCents: 100, reason: "a gesture", idempotencyKey: "gesture"}) { errors { code } } }"""
TOLD = "{ viewer { notifications { nodes { type titleKey data } } } }"
SET_ASIDE = "{ webhookEvents(first: 20) { nodes { id status reason kind body } } }"
REPLAY = """mutation($id: ID!) { replayWebhook(input: {id: $id}) {
  webhookEvent { status } errors { code } } }"""


async def test_an_admin_looks_after_payments(sparky: Sparky, http: httpx.AsyncClient) -> None:
    """A part goes back, the buyer is told in their language, and what is set aside is replayed."""
    dee = await signed_up(sparky, http, "dee@example.test")
    admin = await an_admin(sparky, http, "admin.three@example.test")
    asked = {"product": "credits-50", "provider": "sandbox", "key": "pack"}
    bought = (await dee.ask(CHECKOUT, asked))["createCheckout"]
    order = bought["order"]["id"]
    async with dee.socket() as socket:
        await socket.subscribe("order", WATCH_ORDER, {"id": order})
        await socket.next_data("order")
        await http.post(f"{bought['url']}/pay")
        assert (await socket.next_data("order"))["order"]["status"] == "PAID"
        assert (await admin.ask(REFUND, {"order": order}))["refundOrder"]["errors"] == []
        assert (await socket.next_data("order"))["order"]["status"] == "PARTIALLY_REFUNDED"
    assert (await dee.ask(WALLET))["viewer"]["credits"]["balance"] == 10 + 50 - 10
    notices = (await dee.ask(TOLD))["viewer"]["notifications"]["nodes"]
    (refunded,) = [one for one in notices if "paymentRefunded" in one["titleKey"]]
    assert refunded["data"] == {"order": order, "productKey": "product.credits-50.name"}
    texts = (await dee.ask(TEXTS, {"locale": "ar"}))["translations"]
    assert {refunded["titleKey"], "product.credits-50.name"} <= {text["key"] for text in texts}

    body = f'{{"forged": "{order}"}}'
    assert (await http.post(f"{dee.url}/webhooks/sandbox/", content=body)).status_code == 401
    events = (await admin.ask(SET_ASIDE))["webhookEvents"]["nodes"]
    (forged,) = [event for event in events if event["body"] == body]
    assert (forged["status"], forged["reason"]) == ("QUARANTINED", "FORGED")
    replayed = (await admin.ask(REPLAY, {"id": forged["id"]}))["replayWebhook"]
    assert replayed == {"webhookEvent": {"status": "RECEIVED"}, "errors": []}
    paid = next(
        event
        for event in events
        if event["kind"] == "payment.succeeded" and order.removeprefix("order_") in event["body"]
    )
    refused = (await admin.ask(REPLAY, {"id": paid["id"]}))["replayWebhook"]
    assert refused["errors"] == [{"code": "INVALID_STATE"}]
    assert forged["id"].removeprefix("webhookEvent_") in sparky.command("webhooks", "list")
    assert "FORGED" in sparky.command("webhooks", "list", "--status", "QUARANTINED")


BROADCAST = """mutation { broadcastNotification(input: {type: FEATURE, idempotencyKey: "new",
  titleKey: "notifications.welcomeBack.title", messageKey: "notifications.welcomeBack.message",
  segment: {planIds: ["pro"]}}) { broadcast { id } errors { code } } }"""
WATCH_BROADCAST = """subscription($id: ID!) { broadcastChanged(id: $id) {
  broadcast { status userCount sentCount unwantedCount } } }"""
CANCEL = "mutation { cancelPlan { subscription { status scheduledPlan { id } } errors { code } } }"
REGISTER = """mutation { registerPushToken(input: {platform: ANDROID, token: "token-of-a-phone"}) {
  pushToken { platform } errors { code } } }"""
SILENCE = """mutation { updateUser(input: {notificationPreferences: {featureUpdates: false}}) {
  errors { code } } }"""


async def test_a_plan_is_cancelled_and_its_users_are_written_to(
    sparky: Sparky, http: httpx.AsyncClient
) -> None:
    """Who cancels keeps the plan until its end; who wants no news of features gets none."""
    flo, gus = [
        await signed_up(sparky, http, f"{name}.example@example.test") for name in ("flo", "gus")
    ]
    admin = await an_admin(sparky, http, "admin.four@example.test")
    for user in (flo, gus):
        asked = {"product": "pro-month", "provider": "sandbox", "key": "pro"}
        bought = (await user.ask(CHECKOUT, asked))["createCheckout"]
        async with user.socket() as socket:
            await socket.subscribe("order", WATCH_ORDER, {"id": bought["order"]["id"]})
            await socket.next_data("order")
            await http.post(f"{bought['url']}/pay")
            assert (await socket.next_data("order"))["order"]["status"] == "PAID"
    assert (await flo.ask(CANCEL))["cancelPlan"] == {
        "subscription": {"status": "CANCELLING", "scheduledPlan": {"id": "plan_free"}},
        "errors": [],
    }
    assert (await flo.ask(WALLET))["viewer"]["plan"]["id"] == "plan_pro"
    assert (await flo.ask(REGISTER))["registerPushToken"]["errors"] == []
    assert (await gus.ask(SILENCE))["updateUser"]["errors"] == []
    sent = (await admin.ask(BROADCAST))["broadcastNotification"]
    assert sent["errors"] == []
    async with admin.socket() as socket:
        await socket.subscribe("news", WATCH_BROADCAST, {"id": sent["broadcast"]["id"]})
        while (shown := (await socket.next_data("news"))["broadcast"])["status"] != "FINISHED":
            pass
    assert shown["unwantedCount"] >= 1
    assert shown["sentCount"] == shown["userCount"] - shown["unwantedCount"]
    for user, count in ((flo, 1), (gus, 0)):
        notices = (await user.ask(TOLD))["viewer"]["notifications"]["nodes"]
        assert [one["type"] for one in notices].count("FEATURE") == count
