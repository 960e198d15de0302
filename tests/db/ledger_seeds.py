"""Sequences in which the ledger and its model once disagreed, and what had been wrong."""

from __future__ import annotations

from typing import Any

SEEDS: dict[str, list[tuple[str, dict[str, Any]]]] = {}
