"""The pages of one row, of a user, an order, a delivery, a job; and switches and alerts."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.responses import Response

from db.monitoring.rules import shown
from server.admin import views
from server.admin.rendering import Rendering, moment, words
from server.admin.views import TableCell, TableColumn, state_cell
from server.admin.visits import PageRefused, Visit

MISSING = PageRefused(404, "There is nothing here", "It is gone, or the address is not right.")
USER = f"""query($id: ID!) {{ node(id: $id) {{ ... on User {{
  id email displayName username locale createdAt emailConfirmedAt isAdmin isLocked isAnonymous
  plan {{ name }} credits {{ balance held debt available unlimited }}
  creditTransactions(first: 30) {{ nodes {{
    type amount heldChange balanceAfter reason createdAt }} }}
  orders(first: 20) {{ nodes {{ {views.ORDER_FIELDS} }} }}
  sessions(first: 20) {{ nodes {{ deviceName address lastSeenAt createdAt }} }}
}} }} }}"""
ORDER = f"""query($id: ID!) {{ node(id: $id) {{ ... on Order {{
  {views.ORDER_FIELDS} credits creditsTakenBack expiresAt paidUntil user {{ id email username }}
}} }} }}"""
WEBHOOK = """query($id: ID!) { node(id: $id) { ... on WebhookEvent {
  id provider eventId kind status verified reason detail deliveries orderId headers query body
  receivedAt processedAt
} } }"""
JOB = """query($id: ID!) { node(id: $id) { ... on DeadJob {
  id entrypoint generationId attempts error diedAt retriedAt
} } }"""
SWITCHES = "{ switches { syncEnabled creditsUnlimited aiEnabled readOnly } }"
WORK = """{
  jobQueue { entrypoint waiting deferred running waitingSince runningSince }
  openHolds(atMost: 200) { userId amount reference unlimited heldAt expiresAt }
}"""
ALERTS = "{ alerts { id title unit status measured threshold changedAt checkedAt } }"
# The field, the name for the mutation, what it is called, and what it does.
SWITCH_WORDS = (
    ("syncEnabled", "SYNC_ENABLED", "Sync", "Devices synchronize. Off: they keep their changes."),
    ("aiEnabled", "AI_ENABLED", "AI", "An AI can be asked for anything."),
    (
        "creditsUnlimited",
        "CREDITS_UNLIMITED",
        "Unlimited credits",
        "Nobody's use is charged; it is in the history all the same.",
    ),
    ("readOnly", "READ_ONLY", "Read-only", "Maintenance: nobody but admins changes anything."),
)
MOVEMENTS = (
    views.time("When", "createdAt"),
    TableColumn("What", lambda row: TableCell(words(row["type"]))),
    views.number("Amount", "amount"),
    views.number("Held", "heldChange"),
    views.number("Balance", "balanceAfter"),
    views.text("Reason", "reason"),
)
SESSIONS = (
    views.text("Device", "deviceName"),
    views.text("Network", "address"),
    views.time("Signed in", "createdAt"),
    views.time("Last seen", "lastSeenAt"),
)
ALERT_COLUMNS = (
    views.text("Watched", "title"),
    views.state("State", "status"),
    TableColumn(
        "Measured", lambda row: TableCell(shown(_alert(row), row["measured"])), is_number=True
    ),
    TableColumn(
        "Limit", lambda row: TableCell(shown(_alert(row), row["threshold"])), is_number=True
    ),
    views.time("Since", "changedAt"),
    views.time("Measured at", "checkedAt"),
)
QUEUE = (
    views.text("Kind", "entrypoint"),
    views.number("Waiting", "waiting"),
    views.number("For later", "deferred"),
    views.number("Running", "running"),
    views.time("Waiting since", "waitingSince"),
    views.time("Running since", "runningSince"),
)
HOLDS = (
    views.reference("User", "userId", "/admin/users"),
    views.number("Credits", "amount"),
    views.text("For", "reference"),
    TableColumn("Charged", lambda row: TableCell("No" if row["unlimited"] else "Yes")),
    views.time("Since", "heldAt"),
    views.time("At most until", "expiresAt"),
)
Facts = list[tuple[str, TableCell]]


async def show_user(rendering: Rendering, visit: Visit) -> Response:
    """One account: its credits, orders and sessions, and what can be done."""
    user = await _node(visit, USER)
    wallet = user["credits"] or {}
    facts: Facts = [
        ("Address", TableCell(user["email"] or "–")),
        ("Confirmed", TableCell(moment(user["emailConfirmedAt"]))),
        ("Name", TableCell(user["displayName"] or "–")),
        ("Username", TableCell(user["username"])),
        ("Language", TableCell(user["locale"] or "–")),
        ("Plan", TableCell((user["plan"] or {}).get("name", "–"))),
        ("Opened", TableCell(moment(user["createdAt"]))),
        ("Id", TableCell(user["id"], is_code=True)),
    ]
    money: Facts = [
        ("Balance", TableCell(f"{wallet.get('balance', 0):,}")),
        ("Held", TableCell(f"{wallet.get('held', 0):,}")),
        ("Available", TableCell(f"{wallet.get('available', 0):,}")),
        ("Owed", TableCell(f"{wallet.get('debt', 0):,}")),
    ]
    return rendering.page(
        visit,
        "user.html",
        user=user,
        facts=facts,
        money=money,
        is_self=user["id"] == visit.viewer["id"],
        movements=_table(MOVEMENTS, user["creditTransactions"]["nodes"]),
        orders=_table(views.ORDER_COLUMNS, user["orders"]["nodes"]),
        sessions=_table(SESSIONS, user["sessions"]["nodes"]),
        idempotency_key=secrets.token_urlsafe(18),
    )


async def show_order(rendering: Rendering, visit: Visit) -> Response:
    """One order, and giving its money back."""
    order = await _node(visit, ORDER)
    buyer = order["user"]
    facts: Facts = [
        ("State", state_cell(order["status"])),
        ("Buyer", _user(buyer)),
        ("Product", TableCell(order["productId"])),
        ("Provider", TableCell(order["provider"])),
        ("Price", TableCell(views.money(order, "amountCents"))),
        ("Gone back", TableCell(views.money(order, "refundedCents"))),
        ("Credits", TableCell("–" if order["credits"] is None else f"{order['credits']:,}")),
        ("Taken back", TableCell(f"{order['creditsTakenBack']:,}")),
        ("Opened", TableCell(moment(order["createdAt"]))),
        ("Paid", TableCell(moment(order["paidAt"]))),
        ("Id", TableCell(order["id"], is_code=True)),
    ]
    left = order["amountCents"] - order["refundedCents"]
    return rendering.page(
        visit,
        "order.html",
        order=order,
        facts=facts,
        can_refund=order["status"] in {"PAID", "PARTIALLY_REFUNDED"} and left > 0,
        left=f"{left / 100:,.2f} {order['currency']}",
        idempotency_key=secrets.token_urlsafe(18),
    )


async def show_webhook(rendering: Rendering, visit: Visit) -> Response:
    """One delivery as it came, and having it processed again."""
    event = await _node(visit, WEBHOOK)
    order = event["orderId"]
    facts: Facts = [
        ("State", state_cell(event["status"])),
        ("Reason", TableCell(event["reason"] or "–")),
        ("Detail", TableCell(event["detail"] or "–")),
        ("Signature", TableCell("right" if event["verified"] else "not right")),
        ("Order", TableCell(order, link=f"/admin/orders/{order}") if order else TableCell("–")),
        ("Provider", TableCell(event["provider"])),
        ("Its id there", TableCell(event["eventId"], is_code=True)),
        ("Deliveries", TableCell(str(event["deliveries"]))),
        ("Received", TableCell(moment(event["receivedAt"]))),
        ("Processed", TableCell(moment(event["processedAt"]))),
    ]
    return rendering.page(
        visit,
        "webhook.html",
        event=event,
        facts=facts,
        body=_pretty(event["body"]),
        headers=json.dumps(event["headers"], indent=2, ensure_ascii=False),
    )


async def show_job(rendering: Rendering, visit: Visit) -> Response:
    """One job that was given up, and trying it again."""
    job = await _node(visit, JOB)
    facts: Facts = [
        ("Attempts", TableCell(str(job["attempts"]))),
        ("Error", TableCell(job["error"])),
        ("Given up", TableCell(moment(job["diedAt"]))),
        ("Retried", TableCell(moment(job["retriedAt"]))),
        ("Generation", TableCell(job["generationId"] or "–", is_code=bool(job["generationId"]))),
        ("Id", TableCell(job["id"], is_code=True)),
    ]
    return rendering.page(visit, "job.html", job=job, facts=facts)


async def show_switches(rendering: Rendering, visit: Visit) -> Response:
    """How the product runs now, and turning that."""
    now = (await visit.ask(SWITCHES)).data["switches"]
    switches = [(name, title, about, now[field]) for field, name, title, about in SWITCH_WORDS]
    return rendering.page(visit, "switches.html", switches=switches)


async def show_work(rendering: Rendering, visit: Visit) -> Response:
    """What is under way: jobs by kind, and the credits that are held meanwhile."""
    found = (await visit.ask(WORK)).data
    return rendering.page(
        visit,
        "work.html",
        queue=_table(QUEUE, found["jobQueue"] or []),
        holds=_table(HOLDS, found["openHolds"] or []),
    )


async def show_alerts(rendering: Rendering, visit: Visit) -> Response:
    """What is watched."""
    alerts = (await visit.ask(ALERTS)).data["alerts"] or []
    headers, rows = _table(ALERT_COLUMNS, alerts)
    return rendering.page(visit, "alerts.html", headers=headers, rows=rows)


def _alert(row: Mapping[str, Any]) -> str:
    return str(row["id"]).removeprefix("alert_")


def _user(user: Mapping[str, Any] | None) -> TableCell:
    if user is None:
        return TableCell("– (deleted)")
    return TableCell(user["email"] or user["username"], link=f"/admin/users/{user['id']}")


def _pretty(body: str) -> str:
    """JSON set out in lines; anything else as it is."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body


def _table(columns: tuple[TableColumn, ...], rows: list[Mapping[str, Any]]) -> tuple[Any, Any]:
    return columns, [[column.cell(row) for column in columns] for row in rows]


async def _node(visit: Visit, document: str) -> Mapping[str, Any]:
    """The row that the address names; missing, when it is of another kind."""
    answer = await visit.ask(document, id=visit.request.path_params["id"])
    found: Mapping[str, Any] | None = answer.data.get("node")
    if not found:
        raise MISSING
    return found


Page = Callable[[Rendering, Visit], Awaitable[Response]]
PAGES: Mapping[str, Page] = {
    "/admin/users/{id}": show_user,
    "/admin/orders/{id}": show_order,
    "/admin/webhooks/{id}": show_webhook,
    "/admin/jobs/{id}": show_job,
    "/admin/work": show_work,
    "/admin/switches": show_switches,
    "/admin/alerts": show_alerts,
}
