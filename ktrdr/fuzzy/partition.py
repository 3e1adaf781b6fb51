"""Fuzzy sets that are fitted: words laid over the values of the training slice."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ktrdr.errors import Invalid

Floats = NDArray[np.float64]
Shape = tuple[Literal["left", "triangular", "right"], tuple[float, ...]]
"""A shape with its numbers."""
WORDS = {
    2: ("low", "high"),
    3: ("low", "middle", "high"),
    4: ("very_low", "low", "high", "very_high"),
    5: ("very_low", "low", "middle", "high", "very_high"),
    6: ("lowest", "very_low", "low", "high", "very_high", "highest"),
    7: ("lowest", "very_low", "low", "middle", "high", "very_high", "highest"),
}


class Partition(BaseModel):
    """So many words instead of memberships, each about as common as the others in the training slice."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    count: int = Field(ge=2, le=7)

    @property
    def words(self) -> tuple[str, ...]:
        """The words from low to high."""
        return WORDS[self.count]

    def fit(self, values: Floats) -> list[Shape]:
        """The shape of each word, with its numbers: shoulders at both ends, triangles between, at every value of sum 1.

        Word i of n is centred at quantile (i - 1/2) / n of the values and reaches to the centres beside it.

        >>> Partition(count=3).fit(np.arange(0.0, 61.0))
        [('left', (10.0, 30.0)), ('triangular', (10.0, 30.0, 50.0)), ('right', (30.0, 50.0))]
        """
        centres: list[float] = np.quantile(values, (np.arange(self.count) + 0.5) / self.count).tolist()
        if len(set(centres)) < self.count:
            listed = ", ".join(f"{centre:g}" for centre in centres)
            raise Invalid(
                f"{self.count} words need {self.count} different centres, and the quantiles of {len(values):,} values are {listed}",
                hint="write the memberships out, take fewer words, or an indicator with more different values",
            )
        between: list[Shape] = [("triangular", tuple(centres[i - 1 : i + 2])) for i in range(1, self.count - 1)]
        return [("left", tuple(centres[:2])), *between, ("right", tuple(centres[-2:]))]
