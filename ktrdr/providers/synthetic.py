"""Made-up bars: a random walk that changes its mood, the same for the same seed."""

from __future__ import annotations

import hashlib
import math
from datetime import datetime
from typing import Literal

import numpy as np
from pydantic import Field

from ktrdr.market.bars import COLUMNS, Bars, Floats, Times
from ktrdr.market.sessions import AssetClass, asset_class, bar_starts
from ktrdr.market.timeframe import Timeframe
from ktrdr.providers.base import PROVIDERS, OnProgress, Provider, no_bars

ORIGIN = 1970
PRICES: dict[AssetClass, float] = {"fx": 1.2, "us_stock": 100.0, "crypto": 20_000.0, "other": 1000.0}
"""What a symbol of each class costs on average."""
MEMORY = 0.8
"""Share of a year's distance from the average price that is left after the next year."""
MOODS = ((1.0, 0.1), (1.0, -0.1), (0.7, 0.0), (1.8, 0.0))
"""Volatility of a mood as a share of the usual, and its drift in standard deviations a bar: up, down, calm, nervous."""
MOODS_PER_YEAR = 60
RISING, FALLING = (14, 16), (18, 20)
"""The edge `hours` lifts prices from the first to before the second of these hours of the day, UTC, and lowers them likewise."""


@PROVIDERS.add
class Synthetic(Provider):
    """Made-up bars for trying things out: a seeded random walk in the market's usual hours.

    A year's bars depend on the options, symbol, timeframe and year alone, so ranges loaded one by one fit together. An edge may be
    planted, to see whether a strategy finds it; without one there is nothing to find.
    """

    seed: int = Field(7, ge=0, lt=2**32)
    """Other seeds give other bars."""
    volatility: float = Field(0.15, gt=0, le=2)
    """Standard deviation of a year's return."""
    edge: Literal["none", "momentum", "reversion", "hours"] = "none"
    """What can be earned: a return goes on, or turns round, in the next bar; or some hours of the day rise and others fall."""
    edge_size: float = Field(0.1, gt=0, le=0.5)
    """The correlation of a return with the next; or the drift of such an hour, in standard deviations of a bar."""

    def origin(self, symbol: str) -> str:
        """That no market ever traded at these prices, and what they were made with."""
        edge = "no edge" if self.edge == "none" else f"edge {self.edge} {self.edge_size:g}"
        return f"made up, no market: seed {self.seed}, volatility {self.volatility:g}, {edge}"

    def reach(self, symbol: str, timeframe: Timeframe, on_progress: OnProgress) -> None:
        """It has bars for every range."""

    def fetch(self, symbol: str, timeframe: Timeframe, *, start: datetime, end: datetime, on_progress: OnProgress) -> Bars:
        """The made-up bars of [start, end)."""
        parts = []
        for year in range(start.year, end.year + 1):
            on_progress(f"drawing {symbol} {timeframe} of {year}")
            part = self._year(symbol, timeframe, year).between(start, end)
            if len(part):
                parts.append(part)
        if not parts:
            return no_bars(symbol, timeframe, "synthetic")
        time, *columns = (np.concatenate([getattr(part, name) for part in parts]) for name in ("time", *COLUMNS))
        return Bars.checked(symbol, timeframe, time, **dict(zip(COLUMNS, columns, strict=True)), provider="synthetic")

    def _year(self, symbol: str, timeframe: Timeframe, year: int) -> Bars:
        kind = asset_class(symbol)
        time = bar_starts(kind, timeframe, np.datetime64(f"{year}-01-01", "us"), np.datetime64(f"{year + 1}-01-01", "us"))
        count, random = len(time), self._random(symbol, timeframe, year)
        scale = self.volatility / math.sqrt(count)
        changes = np.cumsum(random.random(count) < MOODS_PER_YEAR / count)
        mood = random.integers(len(MOODS), size=count + 1)[changes]
        width, drift = np.array(MOODS)[mood].T
        path = np.cumsum(scale * self._with_edge(time, width * random.standard_normal(count) + drift))
        begin, finish = self._level(symbol, timeframe, year), self._level(symbol, timeframe, year + 1)
        # Pinned at both ends, so that a year begins where the year before it ended.
        path += begin + (finish - begin - path[-1]) * np.arange(1, count + 1) / count
        close = PRICES[kind] * np.exp(path)
        open_ = PRICES[kind] * np.exp(np.concatenate(([begin], path[:-1])))
        wicks: Floats = np.exp(0.5 * scale * np.abs(random.standard_normal((2, count))))
        high, low = np.maximum(open_, close) * wicks[0], np.minimum(open_, close) / wicks[1]
        volume = np.zeros(count) if kind == "fx" else np.round(random.lognormal(10, 0.5, count))
        return Bars.checked(symbol, timeframe, time, open=open_, high=high, low=low, close=close, volume=volume, provider="synthetic")

    def _with_edge(self, time: Times, moves: Floats) -> Floats:
        """The moves of a year's bars with the edge planted."""
        if self.edge == "hours":
            hour = time.astype("datetime64[h]").astype(np.int64) % 24
            up, down = (((hour >= first) & (hour < after)).astype(float) for first, after in (RISING, FALLING))
            lifted: Floats = moves + self.edge_size * (up - down)
            return lifted
        if self.edge == "none":
            return moves
        pull, linked, last = self.edge_size if self.edge == "momentum" else -self.edge_size, [], 0.0
        for move in (moves * math.sqrt(1 - self.edge_size**2)).tolist():
            last = pull * last + move
            linked.append(last)
        return np.array(linked)

    def _level(self, symbol: str, timeframe: Timeframe, year: int) -> float:
        """Logarithm of the price, over the average one, at the beginning of a year."""
        level = 0.0
        for each in range(ORIGIN, year):
            level = MEMORY * level + self.volatility * float(self._random(symbol, timeframe, each, "year").standard_normal())
        return level

    def _random(self, symbol: str, timeframe: Timeframe, year: int, what: str = "bars") -> np.random.Generator:
        named = hashlib.sha256(f"{symbol} {timeframe} {what}".encode()).digest()
        return np.random.default_rng([self.seed, int.from_bytes(named[:8]), year])
