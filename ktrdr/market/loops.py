"""Loops over bars: plain Python for short series, machine code for long ones."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ktrdr.market.bars import Floats

LONG = 20_000
"""Bars from which machine code pays where the compiler is loaded already."""
LOADED_FROM = 1_000_000
"""Bars from which it pays to load the compiler, which takes as long as a plain loop over ten times as many."""
Loop = Callable[..., Any]


def pays(bars: int) -> bool:
    """Whether machine code pays for a series of so many bars, in this process."""
    return bars >= (LONG if "numba" in sys.modules else LOADED_FROM)


def compiled(loop: Loop, bars: int) -> Loop:
    """The same loop as machine code where that pays."""
    return _machine_code(loop) if pays(bars) else loop


def columns_of(loop: Loop, *given: Floats | float, columns: int) -> tuple[Floats, ...]:
    """New columns that a loop over bars writes; it takes what is given, then the columns, full of NaN."""
    count = next(len(value) for value in given if isinstance(value, np.ndarray))
    fast = compiled(loop, count)
    if fast is loop:  # plain Python is several times faster on lists than on arrays
        lists = [[math.nan] * count for _ in range(columns)]
        loop(*(value.tolist() if isinstance(value, np.ndarray) else value for value in given), *lists)
        return tuple(np.array(column, dtype=np.float64) for column in lists)
    arrays = tuple(np.full(count, np.nan) for _ in range(columns))
    fast(*given, *arrays)
    return arrays


@cache
def _machine_code(loop: Loop) -> Loop:
    from numba import njit

    fast: Loop = njit(cache=True)(loop)
    return fast
