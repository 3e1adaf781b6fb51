"""Outside series: bars of another symbol, such as an index or a rate, that indicators of a strategy may read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import Field

from ktrdr.errors import Problem
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.mistakes import nearest
from ktrdr.strategy.sections import Id, IndicatorSpec, NNInput, Part, Symbol, TimeframeName

FROM_FILES = "fred"
"""The provider whose series a person loads from a file, so that they are stored under any provider."""
LONGEST_DELAY = 24 * 400
"""Hours; more than a year after its end nothing is published any more."""


@dataclass(frozen=True, order=False)
class Outside(Timeframe):
    """The bar size of an outside series, told apart from the sizes of the symbol's own bars."""

    source: str = ""

    def __str__(self) -> str:
        return self.source


class ContextSeries(Part):
    """One outside series that is stored as bars; indicators name it by `data_source`."""

    provider: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=32)
    """Where its bars come from; `fred` are series that were loaded from a file."""
    symbol: Symbol
    """The name under which it is stored; `series` is another word for it."""
    timeframe: TimeframeName
    """Size of its bars; `frequency: daily` or `weekly` says the same."""
    alignment: Literal["forward_fill"] = "forward_fill"
    """Its last value that was published counts until the next one is."""
    delay_hours: float = Field(0.0, ge=0, le=LONGEST_DELAY)
    """Hours between the end of a bar and its publication; before that nobody could know it."""
    id: Id | None = None
    """What indicators call it; default: provider, underscore, symbol."""

    @property
    def source(self) -> str:
        """What indicators call it."""
        return self.id or f"{self.provider}_{self.symbol}"

    @property
    def key(self) -> Outside:
        """Under which its bars stand beside the symbol's own."""
        return Outside(self.timeframe, self.source)

    @property
    def stored_by(self) -> str | None:
        """The provider under which its bars are stored, where that is known."""
        return None if self.provider == FROM_FILES else self.provider

    def published(self, bars: Bars) -> Bars:
        """The bars at the times from which they may count: later by the delay."""
        return replace(bars, time=bars.time + np.timedelta64(round(self.delay_hours * 3600), "s"))


def mistakes(context: Sequence[ContextSeries | None], indicators: Mapping[str, IndicatorSpec | None]) -> Iterator[Problem]:
    """Series of one name, and indicators that read a series that is not there."""
    known = Counter(series.source for series in context if series)
    for i, series in enumerate(context):
        if series and known[series.source] > 1:
            said = f"{known[series.source]} series are called {series.source!r}; give each an `id` of its own"
            yield Problem(f"context_data[{i}]", said, value=series.source)
    for name, spec in indicators.items():
        if spec and spec.data_source is not None and spec.data_source not in known and None not in context:
            listed = f"known: {', '.join(known)}" if known else "context_data names none"
            said = f"there is no outside series called {spec.data_source!r}; {listed}"
            yield Problem(f"indicators.{name}.data_source", said, value=spec.data_source, nearest=nearest(spec.data_source, known))


def misplaced(place: str, entry: NNInput, timeframes: tuple[str, ...], base: str, source: str) -> Iterator[Problem]:
    """An input that names an outside series once for each timeframe."""
    wanted = timeframes if entry.timeframes == "all" else entry.timeframes
    if wanted != (base,):
        said = f"reads {source}, of which each {base} bar knows one value; write timeframes: [{base}]"
        yield Problem(f"{place}.timeframes", said, value=", ".join(wanted), nearest=base)


def doubts(context: Sequence[ContextSeries | None], indicators: Mapping[str, IndicatorSpec | None]) -> Iterator[Problem]:
    """Series that nothing reads."""
    read = {spec.data_source for spec in indicators.values() if spec}
    for i, series in enumerate(context):
        if series and series.source not in read:
            yield Problem(f"context_data[{i}]", f"no indicator reads {series.source}; name it by `data_source`", value=series.source)
