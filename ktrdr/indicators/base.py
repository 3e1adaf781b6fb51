"""What an indicator is."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.market.bars import Bars
from ktrdr.registry import Registry

Floats = NDArray[np.float64]


class Indicator(BaseModel):
    """A frozen set of parameters that computes one or more columns from bars.

    Values are NaN in warm-up only; a value at bar t uses bars up to and including t, never a later one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    aliases: ClassVar[tuple[str, ...]] = ()
    outputs: ClassVar[tuple[str, ...]] = ()
    """Names of the columns, the first being the primary one; empty for a single unnamed column."""
    needs_volume: ClassVar[bool] = False
    category: ClassVar[str] = "trend"

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """The columns by output name; a single-output indicator names its column `value`. Same length as `bars`."""
        raise NotImplementedError


INDICATORS: Registry[Indicator] = Registry("indicator", "ktrdr.indicators")
