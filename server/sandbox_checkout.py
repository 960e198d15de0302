"""The sandbox's checkout: a page with buttons, each of which has the sandbox deliver a webhook."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from db.billing.operations import PageOrder, find_page_order
from db.billing.tables import OrderStatus
from db.core.pool import Database
from payments.inbox import WebhookInbox
from payments.sandbox import NAME, SandboxProvider
from server.payment_pages import money, page, shop_name
from server.services import Services

# How long a press waits for the job that it causes, so that the next page shows what came of it.
WAIT_SECONDS = 3.0
LOOK_SECONDS = 0.05
SETTLED = {
    OrderStatus.PAID,
    OrderStatus.PARTIALLY_REFUNDED,
    OrderStatus.REFUNDED,
    OrderStatus.DISPUTED,
}


@dataclass(frozen=True, slots=True)
class PageState:
    """What a page says of an order's state."""

    title: str
    explanation: str
    tone: str = ""


FACES = {
    OrderStatus.PENDING: PageState("Confirm your order", "Choose how this test payment ends."),
    OrderStatus.FAILED: PageState(
        "The payment was declined", "Nothing was charged. You can try again.", "bad"
    ),
    OrderStatus.CANCELLED: PageState("Cancelled", "Nothing was charged. You can still pay."),
    OrderStatus.EXPIRED: PageState(
        "This order has expired", "Nothing was charged. You can still pay."
    ),
    OrderStatus.PAID: PageState("Thank you, it is paid", "{gives} in your account.", "good"),
    OrderStatus.PARTIALLY_REFUNDED: PageState(
        "Partly refunded", "A part of the money went back, and as large a part of what it paid for."
    ),
    OrderStatus.REFUNDED: PageState(
        "Refunded", "The money went back, and what it paid for is gone."
    ),
    OrderStatus.DISPUTED: PageState(
        "Disputed", "The bank questions this payment; what it paid for is held.", "bad"
    ),
}


def routes(services: Services, inbox: WebhookInbox) -> list[Route]:
    """The page's routes; none where there is no sandbox."""
    sandbox = inbox.providers.get(NAME)
    if not isinstance(sandbox, SandboxProvider):
        return []
    pages = SandboxPages(services.database, shop_name(services.settings), sandbox, inbox)
    path = "/sandbox/checkout/{token}"
    return [
        Route(path, pages.show, methods=["GET"]),
        Route(f"{path}/{{action}}", pages.press, methods=["POST"]),
    ]


class SandboxPages:
    """Shows an order, and delivers what a button says."""

    def __init__(
        self, database: Database, shop: str, sandbox: SandboxProvider, inbox: WebhookInbox
    ) -> None:
        self._database = database
        self._shop = shop
        self._sandbox = sandbox
        self._inbox = inbox
        self._presses: dict[str, Callable[[PageOrder], Awaitable[None]]] = {
            "pay": self._pay,
            "decline": self._decline,
            "refund": self._refund_all,
            "refund-half": self._refund_half,
        }

    async def show(self, request: Request) -> Response:
        """The order as it stands."""
        order = await self._order(request.path_params["token"])
        return self._missing() if order is None else self._page(request.url.path, order)

    async def press(self, request: Request) -> Response:
        """Delivers, waits a moment for what comes of it, and shows the page again."""
        token = request.path_params["token"]
        order, press = (
            await self._order(token),
            self._presses.get(request.path_params["action"]),
        )
        if order is None or press is None:
            return self._missing()
        await press(order)
        await self._settled(order)
        # Back to the page with a GET, so that reloading it presses nothing.
        return RedirectResponse(f"/sandbox/checkout/{token}", 303)

    async def _order(self, token: str) -> PageOrder | None:
        order_id = self._sandbox.order_of_page(token)
        return None if order_id is None else await find_page_order(self._database, order_id)

    async def _settled(self, before: PageOrder) -> None:
        for _ in range(int(WAIT_SECONDS / LOOK_SECONDS)):
            now = await find_page_order(self._database, before.id)
            if now is None or now.changes != before.changes:
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _pay(self, order: PageOrder) -> None:
        # By the order, so that a button pressed twice pays once.
        await self._deliver("payment.succeeded", order, f"sandbox_payment_{order.id}")

    async def _decline(self, order: PageOrder) -> None:
        await self._deliver("payment.failed", order, f"sandbox_payment_{uuid4()}")

    async def _refund_all(self, order: PageOrder) -> None:
        await self._refund(order, order.amount_cents - order.refunded_cents)

    async def _refund_half(self, order: PageOrder) -> None:
        await self._refund(order, (order.amount_cents - order.refunded_cents) // 2)

    async def _refund(self, order: PageOrder, amount_cents: int) -> None:
        if order.payment_id is not None and amount_cents > 0:
            await self._deliver(
                "payment.refunded",
                order,
                order.payment_id,
                amount_cents=amount_cents,
                refund=f"sandbox_refund_{uuid4()}",
            )

    async def _deliver(self, kind: str, order: PageOrder, payment: str, **more: object) -> None:
        told: dict[str, object] = {
            "order": str(order.id),
            "payment": payment,
            "amount_cents": order.amount_cents,
            "currency": order.currency,
            **more,
        }
        await self._inbox.receive(self._sandbox, self._sandbox.delivery(kind, told))

    def _missing(self) -> Response:
        return page(
            "message.html",
            404,
            shop=self._shop,
            title="There is no such order",
            explanation="Go back to the app and begin again.",
            tone="bad",
            back=None,
            back_label="",
        )

    def _page(self, path: str, order: PageOrder) -> Response:
        status = OrderStatus[order.status]
        face, is_paid = FACES[status], status in SETTLED
        left = order.amount_cents - order.refunded_cents
        gives = "The plan is" if order.credits is None else f"{order.credits} credits are"
        return page(
            "sandbox.html",
            shop=self._shop,
            title=face.title,
            explanation=face.explanation.format(gives=gives),
            tone=face.tone,
            product=order.product_name,
            price=money(order.amount_cents, order.currency),
            refunded=money(order.refunded_cents, order.currency) if order.refunded_cents else "",
            is_paid=is_paid,
            total=money(left, order.currency),
            actions=_actions(status, order),
            path=path,
            back=order.success_url if is_paid else order.cancel_url,
            back_label="Back to the app" if is_paid else "Back without paying",
            order=str(order.id),
            time=f"{order.paid_at or order.created_at:%d %B %Y, %H:%M} UTC",
        )


def _actions(status: OrderStatus, order: PageOrder) -> list[tuple[str, str, str]]:
    """The buttons: what each does, says and looks like."""
    if status in SETTLED:
        if status == OrderStatus.REFUNDED:
            return []
        if order.refunded_cents:
            return [("refund", "Refund the rest", "")]
        return [("refund", "Refund in full", ""), ("refund-half", "Refund half", "")]
    pay = f"Pay {money(order.amount_cents, order.currency)}"
    return [("pay", pay, "primary"), ("decline", "Decline", "")]
