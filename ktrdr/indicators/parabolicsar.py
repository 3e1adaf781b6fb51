"""Parabolic SAR."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.market.bars import Bars


@INDICATORS.add
class ParabolicSAR(Indicator):
    """Parabolic SAR: a stop that follows the trend ever faster and changes sides when it is touched.

    SAR = SAR before + factor * (extreme of the trend - SAR before), never inside the range of the two bars before. The factor begins
    at `initial_af` with each trend and grows by `step_af` at each new extreme, to `max_af` at most. The first trend is upward
    unless the second bar moves further down than up. Source: J. W. Wilder (1978); TA-Lib SAR and, where the factor begins
    with something else than its step, SAREXT without the sign that marks falling trends.
    """

    aliases: ClassVar[tuple[str, ...]] = ("psar", "sar")
    category: ClassVar[str] = "trend"
    initial_af: float = Field(0.02, ge=0.001, le=0.1)
    step_af: float = Field(0.02, ge=0.001, le=0.1)
    max_af: float = Field(0.2, ge=0.01, le=1)

    @model_validator(mode="after")
    def _grows_to_its_maximum(self) -> Self:
        for name in ("initial_af", "step_af"):
            if getattr(self, name) > self.max_af:
                raise ValueError(f"{name} {getattr(self, name)} must not be above max_af {self.max_af}")
        return self

    def compute(self, bars: Bars) -> dict[str, Floats]:
        """Known from the second bar on."""
        import talib

        factors = (self.initial_af, self.step_af, self.max_af)
        stops = talib.SAREXT(bars.high, bars.low, 0, 0, *factors, *factors)
        return {"value": np.abs(stops, out=stops)}
