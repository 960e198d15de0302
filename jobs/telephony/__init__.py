"""Who makes calls: one module per provider behind one Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.telephony.base import (
    CallNotPlaced,
    CallRecord,
    CallRefused,
    CallRequest,
    Telephony,
)
from jobs.telephony.simulator import Simulator

if TYPE_CHECKING:
    from jobs.core.declare import WorkerServices

__all__ = [
    "CallNotPlaced",
    "CallRecord",
    "CallRefused",
    "CallRequest",
    "Telephony",
    "choose_telephony",
]


def choose_telephony(services: WorkerServices) -> Telephony:
    """Who makes calls here: the simulator, without the settings of another provider."""
    settings = services.settings
    if settings.twilio_account_sid:
        from jobs.telephony.twilio import TwilioTelephony

        return TwilioTelephony(settings)
    if settings.vonage_application_id:
        from jobs.telephony.vonage import VonageTelephony

        return VonageTelephony(settings)
    return Simulator(services.database, settings.telephony_seed, settings.telephony_seconds)
