"""What a labelling rule is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.market.bars import Bars
from ktrdr.registry import Registry

Task = Literal["classification", "regression"]
BUY, HOLD, SELL = 0, 1, 2
CLASSES = ("buy", "hold", "sell")
DEFAULT = "zigzag"
"""The rule of a strategy that names none."""


@dataclass(frozen=True)
class Targets:
    """What each bar should have predicted. Rows without a label are NaN in `values`."""

    values: NDArray[np.float64]
    """Class number, its place in the rule's `classes`, or forward return."""
    last_read: NDArray[np.int64]
    """Index of the last bar the label of each row looks at; the row's own index where it has no label."""
    task: Task


class Label(BaseModel):
    """A frozen set of parameters that labels bars by what came after them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    aliases: ClassVar[tuple[str, ...]] = ()
    task: ClassVar[Task] = "classification"
    classes: ClassVar[tuple[str, ...]] = CLASSES
    """Names of the classes, by number."""
    signals: ClassVar[tuple[int, ...]] = (BUY, HOLD, SELL)
    """What each class says to do: buy, hold or sell."""
    retired: ClassVar[Mapping[str, str]] = {}
    """Parameters of the earlier system that change nothing here, with the reason; a strategy may still write them."""
    looks_back: ClassVar[bool] = False
    """Whether a bar's label also follows from bars before it: then part of it has happened already, and is easy to say."""

    def label(self, bars: Bars) -> Targets:
        """The targets of all bars."""
        raise NotImplementedError

    @property
    def weighs(self) -> bool:
        """Whether a row counts in learning as much as it says what no other row says; see `uniqueness`."""
        return False


LABELS: Registry[Label] = Registry("label", "ktrdr.labels")
