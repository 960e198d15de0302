"""Refunds that admins ask for: noted, asked of the provider without a transaction, and applied."""

from __future__ import annotations

from uuid import UUID

from db.billing import operations
from db.billing.operations import RequestedRefund
from db.billing.tables import RefundRequestStatus
from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode, Problems
from db.core.pool import Database
from db.credits.rules import problems_of_key, problems_of_reason
from payments.base import PaidOrder
from payments.inbox import WebhookInbox, inbox_of
from payments.registry import PaymentServices, provider_not_configured


def refunds_of(services: PaymentServices) -> Refunds:
    """The refunds of a process."""
    return Refunds(services.database, inbox_of(services))


class Refunds:
    """What a process asks providers for refunds with."""

    def __init__(self, database: Database, inbox: WebhookInbox) -> None:
        self._database = database
        self.inbox = inbox

    async def refund(
        self,
        admin: Actor,
        *,
        order_id: UUID,
        amount_cents: int | None,
        reason: str,
        idempotency_key: str,
    ) -> None:
        """Has money of an order go back, and what it paid for taken back; once for each key.

        Where the provider fails, the request stays, and the same key asks again. What went back is
        known when the provider says so, which may be by a webhook.
        """
        problems = Problems(problems_of_reason(reason))
        problems.add(problems_of_key(idempotency_key))
        problems.refuse()
        requested = await operations.request_refund(
            self._database,
            admin,
            order_id=order_id,
            amount_cents=amount_cents,
            reason=reason,
            idempotency_key=idempotency_key,
        )
        if requested.status == RefundRequestStatus.REQUESTED:
            await self._ask(order_id, requested)

    async def _ask(self, order_id: UUID, requested: RequestedRefund) -> None:
        provider = self.inbox.providers.get(requested.provider)
        if provider is None:
            raise provider_not_configured("input", "orderId")
        paid = PaidOrder(
            order_id=order_id,
            payment_id=requested.payment_id,
            amount_cents=requested.paid_cents,
            currency=requested.currency,
            references=tuple(requested.names),
            refunded_cents=requested.refunded_before_cents,
            created_at=requested.paid_at,
            is_split=await operations.is_split(self._database, order_id),
        )
        try:
            events = await provider.refund(paid, requested.amount_cents, str(requested.request_id))
        except DomainError as error:
            if error.code is ErrorCode.PROVIDER_REFUSED:
                await operations.end_refund(self._database, requested.request_id, is_made=False)
            raise
        if events:
            await self.inbox.apply(provider, "refund", events)
        await operations.end_refund(self._database, requested.request_id, is_made=True)
