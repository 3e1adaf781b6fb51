"""What an indicator is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.errors import Invalid
from ktrdr.market.bars import Bars
from ktrdr.registry import Registry

Floats = NDArray[np.float64]
Source = Literal["open", "high", "low", "close"]
"""Which price of a bar an indicator reads."""


class Indicator(BaseModel):
    """A frozen set of parameters that computes one or more columns from bars.

    Values are NaN in warm-up only; a value at bar t uses bars up to and including t, never a later one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    aliases: ClassVar[tuple[str, ...]] = ()
    outputs: ClassVar[tuple[str, ...]] = ()
    """Names of the columns, the first being the primary one; empty for a single unnamed column."""
    retired: ClassVar[Mapping[str, str]] = {}
    """Parameters of the earlier system that change nothing here, with the reason; a strategy may still write them."""
    caution: ClassVar[str] = ""
    """What must be known before it is used as a feature; a strategy that uses it gets it as a warning."""
    needs_volume: ClassVar[bool] = False
    category: ClassVar[str] = "trend"

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """The columns by output name; a single-output indicator names its column `value`. Same length as `bars`."""
        raise NotImplementedError


def require_volume(indicator: Indicator, bars: Bars) -> None:
    """Refuse a series without volume, where every value would be meaningless."""
    if len(bars) and not bars.has_volume:
        name = INDICATORS.name_of(type(indicator))
        raise Invalid(f"{name} needs volume, and {bars.symbol} {bars.timeframe} has none", hint="use an indicator that reads prices alone")


INDICATORS: Registry[Indicator] = Registry("indicator", "ktrdr.indicators")
