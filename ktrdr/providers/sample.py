"""The bars that come with the product."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from ktrdr.errors import NoData
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.providers.base import PROVIDERS, OnProgress, Provider, Reach
from ktrdr.sample import FOLDER


@PROVIDERS.add
class Sample(Provider):
    """Bars of a few symbols that come with the product, offline."""

    def reach(self, symbol: str, timeframe: Timeframe, on_progress: OnProgress) -> Reach:
        """From the first to the last bundled bar."""
        bars = self._whole(symbol, timeframe, on_progress)
        first, last = (bars.time[at].item().replace(tzinfo=UTC) for at in (0, -1))
        return Reach(first, last + timedelta(seconds=timeframe.seconds))

    def fetch(self, symbol: str, timeframe: Timeframe, *, start: datetime, end: datetime, on_progress: OnProgress) -> Bars:
        """The bundled bars of [start, end)."""
        return self._whole(symbol, timeframe, on_progress).between(start, end)

    def _whole(self, symbol: str, timeframe: Timeframe, on_progress: OnProgress) -> Bars:
        import polars as pl

        files = {file.stem: file for file in Path(FOLDER / "bars").glob("*.parquet")}
        file = files.get(f"{symbol}_{timeframe}")
        if file is None:
            there = ", ".join(name.replace("_", " ") for name in sorted(files))
            raise NoData(f"no bars of {symbol} {timeframe} come with the product; there are {there}", hint="take another provider")
        on_progress(f"reading the bundled {symbol} {timeframe}")
        frame = pl.read_parquet(file)
        prices = {column: frame[column].to_numpy() for column in COLUMNS}
        return Bars.checked(symbol, timeframe, frame["timestamp"].to_numpy(), **prices, provider="sample")
