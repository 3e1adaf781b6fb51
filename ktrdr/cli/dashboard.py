"""The whole system at a glance."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from ktrdr.cli import backend
from ktrdr.cli.answers import unreachable
from ktrdr.cli.client import AsyncCLIClient
from ktrdr.cli.output import block
from ktrdr.cli.places import engine_line
from ktrdr.cli.tables import ib_line

JSON = dict[str, Any]
COUNTED = ("running", "pending", "completed", "failed", "cancelled")


@dataclass(frozen=True)
class Dashboard:
    """What runs, where, on which data, and what it may cost."""

    operations: dict[str, int]
    places: JSON
    """Of which engine, on which machines, and what runs in them."""
    series: list[JSON]
    budget: JSON
    ib: JSON
    health: JSON

    def as_dict(self) -> JSON:
        """The dashboard as JSON."""
        return {
            "operations": self.operations,
            "workers": len(self.workers),
            "workers_busy": len(self.busy),
            "engine": {name: self.places[name] for name in ("engine", "dispatcher", "draining", "nodes")},
            "data": {"symbols": self.symbols, "series": len(self.series), "bars": sum(row["bars"] for row in self.series)},
            "budget": self.budget,
            "ib": self.ib,
            "backend": self.health,
        }

    @property
    def workers(self) -> list[JSON]:
        """Where one operation can run each."""
        found: list[JSON] = self.places["workers"]
        return found

    @property
    def ailments(self) -> list[str]:
        """What is wrong with the backend."""
        return [f"{part}: {state}" for part, state in self.health.get("checks", {}).items() if state != "ok"]

    @property
    def symbols(self) -> int:
        """How many symbols there are bars of."""
        return len({row["symbol"] for row in self.series})

    @property
    def busy(self) -> list[JSON]:
        """Workers with an operation."""
        return [worker for worker in self.workers if worker["operation_id"]]

    def lines(self) -> list[str]:
        """The dashboard for people."""
        counts = ", ".join(f"{count} {name}" for name, count in self.operations.items())
        return block([
            ("Operations", counts),
            ("Engine", engine_line(self.places)),
            ("Workers", f"{len(self.workers)}, {len(self.busy)} busy"),
            ("Data", f"{len(self.series)} series of {self.symbols} symbols, {sum(row['bars'] for row in self.series):,} bars"),
            ("Budget", self.budget["message"]),
            ("IB", ib_line(self.ib)),
            ("Backend", "; ".join([f"version {self.health['version']}", *self.ailments])),
        ])  # fmt: skip


async def look(client: AsyncCLIClient) -> Dashboard:
    """Ask the backend for all of it; it counts the operations over all rows."""
    *pages, workers, symbols, budget, ib, health = await asyncio.gather(
        *(client.get("/operations", {"status": status, "limit": 1}) for status in COUNTED),
        *(client.get(path) for path in ("/workers", "/symbols", "/agent/budget", "/ib")),
        asyncio.to_thread(backend.probe, client.url),  # it reads what a backend that is not well says of itself, too
    )
    if health is None:
        raise unreachable(client.url)
    return Dashboard(
        {status: page["total_count"] for status, page in zip(COUNTED, pages, strict=True)}, workers["data"], symbols["data"],
        budget, ib["data"], health,
    )  # fmt: skip
