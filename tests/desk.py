"""A desk for designers that needs no backend: what is said is kept, and a budget holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ktrdr.agents.budget import Cost, Limits, Spent
from ktrdr.agents.designer import Series, Tried
from ktrdr.errors import Conflict, NoData, Refused
from ktrdr.market.bars import Bars
from ktrdr.settings import Settings

JSON = dict[str, Any]


@dataclass
class OwnLibrary:
    """Bars and strategies in memory."""

    series_of_bars: dict[tuple[str, str], Bars] = field(default_factory=dict)
    saved: dict[str, str] = field(default_factory=dict)

    def series(self) -> tuple[Series, ...]:
        return tuple(
            Series(symbol=symbol, timeframe=size, first=_moment(bars, 0), last=_moment(bars, -1), bars=len(bars))
            for (symbol, size), bars in self.series_of_bars.items()
        )

    def bars(self, symbol: str, timeframe: str) -> Bars:
        if (symbol, timeframe) not in self.series_of_bars:
            raise NoData(f"there are no bars of {symbol} {timeframe}")
        return self.series_of_bars[symbol, timeframe]

    def save(self, name: str, text: str) -> None:
        if self.saved.setdefault(name, text) != text:
            raise Conflict(f"there is another strategy called {name!r}")


@dataclass
class OwnDesk:
    """One attempt's desk; `again()` is the desk of the next attempt, which remembers what was kept."""

    library: OwnLibrary = field(default_factory=OwnLibrary)
    limits: Limits = field(default_factory=lambda: Limits.of(Settings()))
    on_check: Callable[[], None] = lambda: None
    on_report: Callable[[int, int, str], None] = lambda *_: None
    said: list[str] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    steps: dict[str, JSON] = field(default_factory=dict)
    ledger: dict[str, Cost] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    attempt: int = 1

    def again(self) -> OwnDesk:
        return OwnDesk(self.library, self.limits, steps=self.steps, ledger=self.ledger, settled=self.settled, attempt=self.attempt + 1)

    @property
    def spent(self) -> Spent:
        sums = {name: sum(getattr(cost, name) for cost in self.ledger.values()) for name in Cost.model_fields}
        return Spent(calls=len(self.ledger), **sums)

    def check(self) -> None:
        self.on_check()

    def report(self, done: int, total: int, sentence: str) -> None:
        self.check()
        self.on_report(done, total, sentence)
        self.said.append(sentence)

    def trial(self, tried: Tried) -> None:
        self.tried.append(tried)

    def recall(self, step: str) -> JSON | None:
        return self.steps.get(step)

    def keep(self, step: str, answer: JSON) -> None:
        self.steps[step] = answer

    def reserve(self, call: str, model: str, worst: Cost) -> None:
        refusal = self.limits.refusal(worst, model, self.spent, self.spent, datetime.now(UTC))
        if refusal:
            raise Refused(refusal, code="budget_exhausted")
        self.ledger[f"{self.attempt} {call}"] = worst

    def settle(self, call: str, cost: Cost) -> None:
        key = f"{self.attempt} {call}"
        assert cost.nano_usd <= self.ledger[key].nano_usd
        assert key not in self.settled
        self.settled.add(key)
        self.ledger[key] = cost


def _moment(bars: Bars, row: int) -> datetime:
    found: datetime = bars.time[row].item()
    return found.replace(tzinfo=UTC)
