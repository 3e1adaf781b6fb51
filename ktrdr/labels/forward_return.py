"""Forward return: what holding for a fixed time would have earned."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from ktrdr.labels.base import LABELS, Label, Targets, Task
from ktrdr.market.bars import Bars


@LABELS.add
class ForwardReturn(Label):
    """Return from this close to the close `horizon` bars ahead, as a share (0.01 is 1 %)."""

    task: ClassVar[Task] = "regression"
    horizon: int = Field(20, ge=1, le=10_000)

    def label(self, bars: Bars) -> Targets:
        """The last `horizon` bars have no label.

        >>> from ktrdr.market.timeframe import Timeframe
        >>> close = np.array([100.0, 110.0, 121.0])
        >>> time = np.array(["2024-01-01", "2024-01-02", "2024-01-03"], "datetime64[us]")
        >>> bars = Bars.checked("X", Timeframe("1d"), time, open=close, high=close, low=close, close=close, volume=close)
        >>> ForwardReturn(horizon=1).label(bars).values.round(4).tolist()
        [0.1, 0.1, nan]
        """
        count, ahead = len(bars), self.horizon
        values = np.full(count, np.nan)
        last_read = np.arange(count)
        if count > ahead:
            values[:-ahead] = bars.close[ahead:] / bars.close[:-ahead] - 1
            last_read[:-ahead] += ahead
        return Targets(values, last_read, self.task)
