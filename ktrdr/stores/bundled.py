"""The bars that come with the product, read-only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.sample import FOLDER
from ktrdr.stores.catalog import Hours
from ktrdr.stores.series import bars_of

BUNDLED = FOLDER / "bars"
BUNDLED_PROVIDER = "sample"


@dataclass(frozen=True)
class Series:
    """One stored series, and how far it reaches."""

    symbol: str
    timeframe: Timeframe
    provider: str
    first: datetime
    last: datetime
    """Start of the last bar."""
    bars: int
    bundled: bool = False
    """Whether it comes with the product."""
    origin: str = ""
    """What the bars are, where the provider's name does not say it all."""
    hours: Hours = "all"
    """Which hours of the day it keeps to."""


def bundled_series() -> tuple[Series, ...]:
    """The series that come with the product."""
    listed = json.loads((BUNDLED / "index.json").read_text(encoding="utf-8"))
    return tuple(
        Series(
            each["symbol"], Timeframe(each["timeframe"]), BUNDLED_PROVIDER,
            datetime.fromisoformat(each["first"]), datetime.fromisoformat(each["last"]), each["bars"], bundled=True,
        )
        for each in listed
    )  # fmt: skip


def read_bundled(series: Series) -> Bars:
    """All bars of one of them."""
    import polars as pl

    frame = pl.read_parquet(BUNDLED / f"{series.symbol}_{series.timeframe}.parquet")
    return bars_of(frame, series.symbol, series.timeframe, series.provider)
