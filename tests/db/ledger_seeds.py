"""Sequences that once told a fault in the ledger's functions; each is named after the fault."""

from __future__ import annotations

from typing import Any

SEEDS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "a hold gives back first what it took first": [
        ("hold", {"who": 0, "amount": 7, "hours": 0}),
        ("capture", {"choice": 0, "amount": 1}),
    ],
    "the daily cap is one for each grant": [
        ("transfer", {"sender": 0, "amount": 1}),
        ("hold", {"who": 1, "amount": 7, "hours": 0}),
    ],
    "a hold of yesterday frees credits of today": [
        ("hold", {"who": 0, "amount": 6, "hours": 30}),
        ("days_pass", {"days": 1}),
        ("grant", {"who": 0, "source": "PLAN", "amount": 8, "days": 30}),
        ("spend", {"who": 0, "amount": 6, "key": 0}),
        ("release", {"choice": 0}),
        ("spend", {"who": 0, "amount": 8, "key": 1}),
    ],
    "a refund of yesterday's spend frees credits of today": [
        ("spend", {"who": 0, "amount": 6, "key": 0}),
        ("days_pass", {"days": 1}),
        ("grant", {"who": 0, "source": "PLAN", "amount": 8, "days": 30}),
        ("spend", {"who": 0, "amount": 3, "key": 1}),
        ("refund", {"choice": 0, "amount": 6}),
        ("spend", {"who": 0, "amount": 8, "key": 2}),
    ],
    "a refund of what was held yesterday frees credits of today": [
        ("hold", {"who": 0, "amount": 6, "hours": 30}),
        ("days_pass", {"days": 1}),
        ("grant", {"who": 0, "source": "PLAN", "amount": 8, "days": 30}),
        ("spend", {"who": 0, "amount": 3, "key": 0}),
        ("capture", {"choice": 0, "amount": 6}),
        ("refund", {"choice": 1, "amount": 6}),
        ("spend", {"who": 0, "amount": 8, "key": 1}),
    ],
    "a refund gives back the same part twice": [
        ("grant", {"who": 0, "source": "ADMIN", "amount": 8, "days": 30}),
        ("spend", {"who": 0, "amount": 8, "key": 0}),
        ("refund", {"choice": 0, "amount": 5}),
        ("refund", {"choice": 0, "amount": 3}),
    ],
    "a refund goes into a grant that has expired": [
        ("spend", {"who": 0, "amount": 6, "key": 0}),
        ("days_pass", {"days": 2}),
        ("refund", {"choice": 0, "amount": 6}),
        ("days_pass", {"days": 1}),
        ("spend", {"who": 0, "amount": 8, "key": 1}),
    ],
    "a transfer makes credits last": [
        ("transfer", {"sender": 0, "amount": 5}),
        ("days_pass", {"days": 2}),
        ("clock_sweeps", {}),
    ],
    "an unlimited user's hold gives back what it never took": [
        ("switch_unlimited", {"who": 0}),
        ("hold", {"who": 0, "amount": 5, "hours": 1}),
        ("switch_unlimited", {"who": 0}),
        ("capture", {"choice": 0, "amount": 2}),
    ],
    "what is released into an expired grant stays": [
        ("hold", {"who": 0, "amount": 3, "hours": 0}),
        ("days_pass", {"days": 2}),
        ("clock_sweeps", {}),
    ],
    "bonus credits that nobody is owed are good for the work they are held for": [
        ("grant", {"who": 1, "source": "SIGNUP_BONUS", "amount": 8, "days": 30}),
        ("grant", {"who": 0, "source": "SIGNUP_BONUS", "amount": 8, "days": 1}),
        ("hold", {"who": 0, "amount": 8, "hours": 30}),
        ("merge", {"guest": 0}),
        ("release", {"choice": 0}),
        ("release", {"choice": 1}),
        ("clock_sweeps", {}),
    ],
    "what a guest holds of a plan today counts against the member's cap": [
        ("hold", {"who": 0, "amount": 5, "hours": 1}),
        ("merge", {"guest": 0}),
        ("hold", {"who": 1, "amount": 7, "hours": 1}),
        ("release", {"choice": 1}),
    ],
    "a hold that was merged is captured and refunded": [
        ("hold", {"who": 0, "amount": 8, "hours": 30}),
        ("days_pass", {"days": 1}),
        ("merge", {"guest": 0}),
        ("capture", {"choice": 1, "amount": 7}),
        ("days_pass", {"days": 2}),
        ("refund", {"choice": 0, "amount": 7}),
        ("days_pass", {"days": 1}),
        ("clock_sweeps", {}),
        ("merge", {"guest": 1}),
    ],
    "two holds of credits that have expired since are merged whole": [
        ("hold", {"who": 0, "amount": 3, "hours": 90}),
        ("hold", {"who": 0, "amount": 3, "hours": 90}),
        ("days_pass", {"days": 2}),
        ("merge", {"guest": 0}),
        ("capture", {"choice": 2, "amount": 3}),
        ("release", {"choice": 3}),
        ("clock_sweeps", {}),
    ],
}
