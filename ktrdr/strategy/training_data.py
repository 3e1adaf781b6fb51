"""The sections that say what a strategy is trained and tested on: symbols, bar sizes, dates."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ktrdr.errors import Problem
from ktrdr.strategy.execution import Execution
from ktrdr.strategy.mistakes import nearest, several
from ktrdr.strategy.sections import Date, OneOfThem, Part, Symbol, TimeframeName, moment


class Symbols(Part):
    """Which symbols: one, or a list."""

    mode: Literal["single", "multi_symbol"]
    symbol: Symbol | None = None
    list: Annotated[tuple[Symbol, ...], Field(strict=False, min_length=1)] | None = None

    @model_validator(mode="after")
    def _says_what_its_mode_needs(self) -> Self:
        _one_or_many(self.mode == "single", "symbol", self.symbol, self.list, least=1)
        return self


class Timeframes(Part):
    """Which bar sizes: one, or a list of which the base drives decisions and labels."""

    mode: Literal["single", "multi_timeframe"]
    timeframe: TimeframeName | None = None
    list: Annotated[tuple[TimeframeName, ...], Field(strict=False, min_length=1)] | None = None
    base_timeframe: OneOfThem | None = None
    """The bar size that decides; the first listed where none is named."""

    @model_validator(mode="after")
    def _says_what_its_mode_needs(self) -> Self:
        _one_or_many(self.mode == "single", "timeframe", self.timeframe, self.list, least=2)
        if self.base_timeframe is not None and self.base_timeframe not in self.names:
            said = f"base_timeframe {self.base_timeframe!r} is not one of the timeframes used: {', '.join(self.names)}"
            near = nearest(self.base_timeframe, self.names) or self.names[0]
            raise several([Problem("base_timeframe", said, value=self.base_timeframe, nearest=near)])
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The bar sizes in the order written."""
        return self.list or (self.timeframe or "",)

    @property
    def base(self) -> str:
        """The bar size that decides."""
        return self.base_timeframe or self.names[0]


def _one_or_many(single: bool, key: str, one: str | None, many: tuple[str, ...] | None, least: int) -> None:
    if single and (one is None or many is not None):
        raise ValueError(f"mode single takes `{key}` and no `list`")
    if single:
        return
    if many is None or one is not None:
        raise ValueError(f"mode multi_{key} takes `list` and no `{key}`")
    if len(many) < least:
        raise ValueError(f"mode multi_{key} needs at least {least} {key}s, has {len(many)}; use mode single")
    twice = sorted(name for name, times in Counter(many).items() if times > 1)
    if twice:
        raise ValueError(f"{', '.join(twice)} is listed more than once")


class TrainingData(Part):
    """What the strategy learns from."""

    symbols: Symbols
    timeframes: Timeframes
    history_required: int = Field(200, ge=50)
    """Bars of the base timeframe that training needs at least."""
    start_date: Date | None = None
    end_date: Date | None = None

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Self:
        _in_order(self.start_date, self.end_date)
        return self


class DateRange(Part):
    """A range of dates, the end not included."""

    start: Date | None = None
    end: Date | None = None

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Self:
        _in_order(self.start, self.end)
        return self


def _in_order(start: str | None, end: str | None) -> None:
    if start and end and moment(start) >= moment(end):
        raise ValueError(f"the range starts on {start}, which is not before its end {end}")


class Backtest(Part):
    """Where a backtest looks by default."""

    date_range: DateRange = DateRange()
    execution: Execution | None = None
    """How decisions become trades; the usual way where there is none."""
