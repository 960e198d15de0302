"""Rows of credits; the ledger's own come from its functions."""

from . import LATER, Maker

ROWS: dict[str, Maker] = {
    "public.ledger_proofs": lambda user, key: {
        "started_at": LATER,
        "wallets": 1,
        "faults": "[]",
        "fault_count": 0,
    },
    "public.credit_alerts": lambda user, key: {"id": 1, "low_balance": 5},
}

CHANGES = {"wallets": "updated_at = now() + interval '1 second'"}
