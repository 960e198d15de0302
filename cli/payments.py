"""`tallygraph payments …`: what a user ordered and paid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cli.core.terminal import console, owner_url, result_console, run
from settings import get_settings

if TYPE_CHECKING:
    from asyncpg import Record

commands = typer.Typer(no_args_is_help=True, help="Orders and payments.")


@commands.command("show")
def show(
    who: Annotated[str, typer.Argument(help="An e-mail, or an id as the API gives it.")],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
) -> None:
    """Prints a user's orders and payments, newest first."""
    from db.billing.operating import read_payments

    found = run(read_payments(owner_url(get_settings()), who, limit))
    if not found.orders:
        console.print("No orders.")
        return
    result_console().print(orders_table(found.orders))
    if found.payments:
        result_console().print(payments_table(found.payments))


def orders_table(orders: list[Record]) -> Table:
    """The orders in one line each."""
    table = _table("Ordered (UTC)", "Product", "Provider", "Price", "Refunded", "Status", "Order")
    for order in orders:
        table.add_row(
            f"{order['created_at']:%Y-%m-%d %H:%M}",
            Text(order["product_id"]),
            Text(order["provider"]),
            amount(order["amount_cents"], order["currency"]),
            amount(order["refunded_cents"], order["currency"]) if order["refunded_cents"] else "",
            order["status"],
            str(order["id"]),
        )
    return table


def payments_table(payments: list[Record]) -> Table:
    """The payments in one line each."""
    table = _table("Paid (UTC)", "Provider", "Payment", "Amount", "Refunded", "Status", "Order")
    for payment in payments:
        refunded = payment["refunded_cents"]
        table.add_row(
            f"{payment['created_at']:%Y-%m-%d %H:%M}",
            Text(payment["provider"]),
            Text(payment["provider_payment_id"]),
            amount(payment["amount_cents"], payment["currency"]),
            amount(refunded, payment["currency"]) if refunded else "",
            payment["status"],
            str(payment["order_id"]),
        )
    return table


def amount(cents: int, currency: str) -> str:
    """An amount with its currency."""
    return f"{cents // 100}.{cents % 100:02} {currency}"


def _table(*names: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, no_wrap=name not in ("Product", "Payment"), overflow="fold")
    return table
