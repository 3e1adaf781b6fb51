"""What companies do to their shares that moves prices without a trade: splits and dividends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ktrdr.market.bars import Floats


@dataclass(frozen=True, order=True)
class Action:
    """A split or a dividend of one symbol."""

    day: date
    """The first day of the session that trades at the new price."""
    kind: Literal["split", "dividend"]
    value: float
    """New shares for one old one, or money for one share of that day."""


def split_factor(days: NDArray[np.datetime64], actions: Iterable[Action]) -> Floats:
    """How many of today's shares one share of each day has become: 4 before a split of 4 for 1, else 1."""
    factor = np.ones(len(days))
    for action in actions:
        if action.kind == "split":
            factor[days < np.datetime64(action.day, "D")] *= action.value
    return factor
