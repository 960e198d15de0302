"""The inbox of webhooks: each delivery of a payment provider's."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin
from db.core.base import Base, Json, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Keep
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.quotas import Bound

# The most that a webhook's body may have; Stripe's largest events have about 100 kB.
BODY_LIMIT_BYTES = 262_144


class WebhookStatus(State):
    """What became of a webhook."""

    RECEIVED = "RECEIVED", "It is stored, and a job will process it."
    PROCESSED = "PROCESSED", "What it says is done, or was before."
    PARKED = "PARKED", "It speaks of a payment that has not been told of yet, and waits for it."
    QUARANTINED = "QUARANTINED", "It cannot be right: nothing was done, and a person has to look."


class WebhookEvent(Base):
    """A delivery of a provider's as it came, and what became of it.

    `event_id` is the provider's own, unique among those that are `verified`: what was refused
    cannot take the place of the real one. `deliveries` counts how often it came. `body` and
    `headers` go when the account does that the order was of; secrets are never among the headers.
    `reason` says why one is quarantined, `detail` what did not fit, `waits_for` the payment that a
    parked one is about.
    """

    __tablename__ = "webhook_events"

    id: Mapped[UuidKey]
    provider: Mapped[str]
    event_id: Mapped[str]
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=WebhookStatus.RECEIVED)
    verified: Mapped[bool]
    reason: Mapped[str | None]
    detail: Mapped[str | None]
    deliveries: Mapped[int] = mapped_column(server_default=text("1"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    order_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("orders.id", ondelete="SET NULL"), index=True
    )
    waits_for: Mapped[str | None]
    headers: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    query: Mapped[str] = mapped_column(server_default="")
    body: Mapped[str] = mapped_column(server_default="")
    received_at: Mapped[Timestamp]
    processed_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        Index(
            "uq_webhook_events_event_id",
            "provider",
            "event_id",
            unique=True,
            postgresql_where=text("verified"),
        ),
        Index("ix_webhook_events_received_at_id", "received_at", "id"),
        Index("ix_webhook_events_status", "status", "received_at", "id"),
        Index("ix_webhook_events_provider", "provider", "received_at", "id"),
        Index(
            "ix_webhook_events_waits_for",
            "provider",
            "waits_for",
            postgresql_where=text("status = 'PARKED'"),
        ),
    )
    large: ClassVar = {"body": BODY_LIMIT_BYTES, "headers": 16_384}
    access = Access(read=Admin(), service=("SELECT", "DELETE"))
    on_erase = Keep("An order of nobody any more; what it said of the person is forgotten.", ())
    export = NotExported("The provider's; orders and payments are exported.")
    quota = Bound(
        "The provider's. Of those that were refused, 100 in an hour are kept, and 200 wait to be"
        " verified."
    )
    lifecycle = Lifecycle(
        "status",
        WebhookStatus,
        initial=(WebhookStatus.RECEIVED, WebhookStatus.QUARANTINED),
        transitions={
            WebhookStatus.RECEIVED: (
                WebhookStatus.PROCESSED,
                WebhookStatus.PARKED,
                WebhookStatus.QUARANTINED,
            ),
            WebhookStatus.PARKED: (WebhookStatus.RECEIVED, WebhookStatus.QUARANTINED),
            WebhookStatus.QUARANTINED: (WebhookStatus.RECEIVED,),
        },
        monotonic=("deliveries", "attempts"),
    )
    # Longer than any provider delivers anew; orders and payments stay.
    expiries = (
        Expiry(
            "webhooks that were refused 30 days ago",
            "not verified and received_at < now() - interval '30 days'",
            "received_at, id",
        ),
        Expiry(
            "webhooks processed 400 days ago",
            "status = 'PROCESSED' and received_at < now() - interval '400 days'",
            "received_at, id",
        ),
    )
