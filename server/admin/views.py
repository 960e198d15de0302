"""The lists that pages show, declared: what is asked of the API, and how each column is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from db.billing.tables import OrderStatus
from db.webhooks.tables import WebhookStatus
from server.admin.rendering import moment, words

Row = Mapping[str, Any]
GOOD, BAD, NOTE, QUIET = "good", "bad", "note", "quiet"
TONES = {
    **dict.fromkeys(("PAID", "SUCCEEDED", "PROCESSED", "OK", "CAPTURED"), GOOD),
    **dict.fromkeys(("FAILED", "QUARANTINED", "DISPUTED", "FIRING", "TIMED_OUT"), BAD),
    **dict.fromkeys(("PENDING", "RECEIVED", "PARKED", "OPEN", "PARTIALLY_REFUNDED"), NOTE),
}
OUTCOMES = ("SUCCEEDED", "REFUSED", "FAILED", "TIMED_OUT", "CANCELLED", "DISCARDED", "ABANDONED")


@dataclass(frozen=True, slots=True)
class TableCell:
    """A value in a table: with a link, or in the colours of a state."""

    text: str
    link: str = ""
    tone: str = ""
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table; what is whole stands on one line where there is room."""

    name: str
    cell: Callable[[Row], TableCell]
    is_number: bool = False
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class ListFilter:
    """A field that a list is filtered by, and its values."""

    name: str
    label: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListView:
    """A page with a list of the API's."""

    path: str
    title: str
    about: str
    field: str
    item: str
    selection: str
    columns: tuple[TableColumn, ...]
    filters: tuple[ListFilter, ...] = ()
    search: str = ""

    @property
    def document(self) -> str:
        """The query; its variables are `first`, `after`, `where` and `search` where it has them."""
        variables, arguments = "$first: Int!, $after: Cursor", "first: $first, after: $after"
        if self.filters:
            variables += f", $where: {self.item}Where"
            arguments += ", where: $where"
        if self.search:
            variables += ", $search: String"
            arguments += ", search: $search"
        return (
            f"query({variables}) {{ {self.field}({arguments}) {{ nodes {{ {self.selection} }}"
            " pageInfo { hasNextPage endCursor } } }"
        )


def text(name: str, field: str) -> TableColumn:
    """A column with a text, or a dash."""
    return TableColumn(name, lambda row: TableCell(_shown(row[field])))


def number(name: str, field: str) -> TableColumn:
    """A column with a whole number."""
    return TableColumn(
        name,
        lambda row: TableCell("–" if row[field] is None else f"{row[field]:,}"),
        is_number=True,
    )


def time(name: str, field: str) -> TableColumn:
    """A column with a time."""
    return TableColumn(name, lambda row: TableCell(moment(row[field])), is_whole=True)


def state(name: str, field: str) -> TableColumn:
    """A column with a state, in its colours."""
    return TableColumn(name, lambda row: state_cell(row[field]))


def state_cell(value: str) -> TableCell:
    """A state in its colours."""
    return TableCell(words(value), tone=TONES.get(value, QUIET))


def linked(name: str, field: str, path: str) -> TableColumn:
    """A column whose text leads to the page of its row."""
    return TableColumn(name, lambda row: TableCell(_shown(row[field]), link=f"{path}/{row['id']}"))


def money(row: Row, field: str) -> str:
    """An amount in hundredths, as people write it."""
    return f"{row[field] / 100:,.2f} {row['currency']}"


def of_money(name: str, field: str) -> TableColumn:
    """A column with an amount of money."""
    return TableColumn(name, lambda row: TableCell(money(row, field)), is_number=True)


def dollars(micro: float) -> str:
    """A cost in millionths of a dollar."""
    return f"${micro / 1_000_000:,.4f}" if micro else "–"


def _shown(value: Any) -> str:
    return "–" if value in (None, "") else str(value)


def _account(row: Row) -> TableCell:
    if row["isAdmin"]:
        return TableCell("Admin", tone=NOTE)
    if row["isLocked"]:
        return TableCell("Locked", tone=BAD)
    return TableCell("Guest" if row["isAnonymous"] else "Member", tone=QUIET)


def reference(name: str, field: str, path: str) -> TableColumn:
    """A column with a global id that leads to its page."""

    def cell(row: Row) -> TableCell:
        found = row[field]
        return TableCell("–") if found is None else TableCell(_short(found), link=f"{path}/{found}")

    return TableColumn(name, cell)


def _short(global_id: str) -> str:
    prefix, _, key = global_id.partition("_")
    return f"{prefix} …{key[-6:]}"


USERS = ListView(
    "/admin/users",
    "Users",
    "Everybody's accounts, newest first.",
    "users",
    "User",
    "id email displayName username createdAt isAdmin isLocked isAnonymous"
    " credits { balance held debt }",
    (
        TableColumn(
            "User", lambda u: TableCell(u["email"] or u["username"], link=f"/admin/users/{u['id']}")
        ),
        text("Name", "displayName"),
        TableColumn("Account", _account),
        TableColumn(
            "Credits",
            lambda u: TableCell(f"{u['credits']['balance']:,}" if u["credits"] else "–"),
            is_number=True,
        ),
        time("Opened", "createdAt"),
    ),
    search="An id, an address, or a part of an address or a name",
)
WEBHOOKS = ListView(
    "/admin/webhooks",
    "Webhook inbox",
    "What payment providers delivered, newest first. What cannot be right is quarantined: nothing "
    "was done, and a person has to look.",
    "webhookEvents",
    "WebhookEvent",
    "id provider kind status verified reason deliveries orderId receivedAt",
    (
        linked("Kind", "kind", "/admin/webhooks"),
        text("Provider", "provider"),
        state("State", "status"),
        text("Reason", "reason"),
        number("Deliveries", "deliveries"),
        time("Received", "receivedAt"),
    ),
    (ListFilter("status", "State", tuple(WebhookStatus)),),
)
GENERATIONS = ListView(
    "/admin/generations",
    "Generations",
    "Every attempt at a generation, newest first.",
    "generationLogs",
    "GenerationLog",
    "id userId attempt provider outcome latencyMilliseconds costMicroUsd error createdAt",
    (
        time("When", "createdAt"),
        reference("User", "userId", "/admin/users"),
        text("Provider", "provider"),
        state("Outcome", "outcome"),
        number("Attempt", "attempt"),
        number("Milliseconds", "latencyMilliseconds"),
        TableColumn("Cost", lambda row: TableCell(dollars(row["costMicroUsd"])), is_number=True),
        text("Error", "error"),
    ),
    (ListFilter("outcome", "Outcome", (*OUTCOMES, "STORAGE_FAILED")),),
)
REPLIES = ListView(
    "/admin/replies",
    "Replies and analyses",
    "Every attempt of a language model, newest first.",
    "aiRequestLogs",
    "AiRequestLog",
    "id userId feature attempt provider outcome firstMilliseconds latencyMilliseconds costMicroUsd"
    " error createdAt",
    (
        time("When", "createdAt"),
        reference("User", "userId", "/admin/users"),
        text("For", "feature"),
        text("Provider", "provider"),
        state("Outcome", "outcome"),
        number("First words, ms", "firstMilliseconds"),
        number("All, ms", "latencyMilliseconds"),
        TableColumn("Cost", lambda row: TableCell(dollars(row["costMicroUsd"])), is_number=True),
        text("Error", "error"),
    ),
)

ORDER_COLUMNS = (
    TableColumn(
        "Order", lambda row: TableCell(_short(row["id"]), link=f"/admin/orders/{row['id']}")
    ),
    text("Product", "productId"),
    text("Provider", "provider"),
    state("State", "status"),
    of_money("Price", "amountCents"),
    TableColumn(
        "Gone back",
        lambda row: TableCell(money(row, "refundedCents") if row["refundedCents"] else "–"),
        is_number=True,
    ),
    time("Opened", "createdAt"),
    time("Paid", "paidAt"),
)
ORDER_FIELDS = "id productId provider status amountCents currency refundedCents createdAt paidAt"
PAYMENT_COLUMNS = (
    time("When", "createdAt"),
    text("Provider", "provider"),
    state("State", "status"),
    of_money("Amount", "amountCents"),
    TableColumn(
        "Gone back",
        lambda row: TableCell(money(row, "refundedCents") if row["refundedCents"] else "–"),
        is_number=True,
    ),
    reference("Order", "orderId", "/admin/orders"),
)
PAYMENT_FIELDS = "id provider status amountCents currency refundedCents createdAt orderId"
ORDERS = ListView(
    "/admin/orders",
    "Orders",
    "What people wanted to buy, newest first.",
    "orders",
    "Order",
    ORDER_FIELDS,
    ORDER_COLUMNS,
    (ListFilter("status", "State", tuple(OrderStatus)),),
)
PAYMENTS = ListView(
    "/admin/payments",
    "Payments",
    "Attempts to pay, newest first; declined ones too.",
    "payments",
    "Payment",
    PAYMENT_FIELDS,
    PAYMENT_COLUMNS,
)
JOBS = ListView(
    "/admin/jobs",
    "Jobs that were given up",
    "What no attempt could finish, newest first. A retry puts one in line once more.",
    "deadJobs",
    "DeadJob",
    "id entrypoint generationId attempts error diedAt retriedAt",
    (
        linked("Job", "entrypoint", "/admin/jobs"),
        number("Attempts", "attempts"),
        text("Error", "error"),
        time("Given up", "diedAt"),
        time("Retried", "retriedAt"),
    ),
)
LISTS = (USERS, ORDERS, PAYMENTS, WEBHOOKS, GENERATIONS, REPLIES, JOBS)
