"""The whole system at a glance."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from ktrdr.cli.client import AsyncCLIClient
from ktrdr.cli.output import block

JSON = dict[str, Any]
COUNTED = ("running", "pending", "completed", "failed", "cancelled")


@dataclass(frozen=True)
class Dashboard:
    """What runs, where, on which data, and what it may cost."""

    operations: dict[str, int]
    workers: int
    busy: int
    series: int
    symbols: int
    budget: JSON
    health: JSON

    def as_dict(self) -> JSON:
        """The dashboard as JSON."""
        return {
            "operations": self.operations, "workers": self.workers, "workers_busy": self.busy,
            "data": {"symbols": self.symbols, "series": self.series}, "ib": self.health.get("ib"), "budget": self.budget,
            "version": self.health.get("version"),
        }  # fmt: skip
