"""Fuzzy sets: words for the values of one indicator, as a strategy writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer, model_validator

from ktrdr.fuzzy import shapes

Floats = NDArray[np.float64]

COUNTS = {"triangular": 3, "trapezoidal": 4, "gaussian": 2}
SHORTHAND = {3: "triangular", 4: "trapezoidal"}
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=64)]
WORDS = {"triangular": "a <= b <= c", "trapezoidal": "a <= b <= c <= d", "gaussian": "mean and a sigma above 0"}


class Membership(BaseModel):
    """One word of a fuzzy set: a shape and its numbers; a bare list of 3 is triangular, of 4 trapezoidal."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    type: Literal["triangular", "trapezoidal", "gaussian"]
    parameters: Annotated[tuple[float, ...], Field(strict=False)]

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, given: Any) -> Any:
        if not isinstance(given, list | tuple):
            return given
        if len(given) not in SHORTHAND:
            raise ValueError(f"{len(given)} numbers given: a membership is 3 numbers (triangular) or 4 (trapezoidal)")
        return {"type": SHORTHAND[len(given)], "parameters": given}

    @field_validator("type", mode="before")
    @classmethod
    def _without_suffix(cls, given: Any) -> Any:
        return given.removesuffix("mf") if isinstance(given, str) else given

    @model_validator(mode="after")
    def _in_order(self) -> Membership:
        numbers, wanted = list(self.parameters), COUNTS[self.type]
        if len(numbers) != wanted:
            raise ValueError(f"{self.type} takes {wanted} numbers ({WORDS[self.type]}), {len(numbers)} given")
        if self.type == "gaussian":
            if numbers[1] <= 0:
                raise ValueError(f"gaussian {numbers}: sigma must be above 0")
        elif numbers != sorted(numbers):
            raise ValueError(f"{self.type} {numbers}: the numbers must not fall ({WORDS[self.type]})")
        elif numbers[0] == numbers[-1]:
            raise ValueError(f"{self.type} {numbers}: covers a single point")
        return self

    def degree(self, values: Floats) -> Floats:
        """How much each value belongs, from 0 to 1; NaN where the value is NaN.

        >>> Membership(type="triangular", parameters=(20, 30, 40)).degree(np.array([10.0, 25.0, 30.0])).tolist()
        [0.0, 0.5, 1.0]
        """
        shape = getattr(shapes, self.type)
        with np.errstate(over="ignore"):  # a slope too steep for a number still gives 0 or 1
            degrees: Floats = shape(values, *self.parameters)
        return degrees

    def written(self) -> list[float] | dict[str, Any]:
        """As a strategy writes it: a bare list where that is triangular."""
        numbers = list(self.parameters)
        return numbers if self.type == "triangular" else {"type": self.type, "parameters": numbers}

    @property
    def support(self) -> tuple[float, float]:
        """The values between which the degree is above 0."""
        return (-np.inf, np.inf) if self.type == "gaussian" else (self.parameters[0], self.parameters[-1])


class FuzzySet(BaseModel):
    """The words of one indicator, in the order in which the network sees them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    indicator: str
    """An indicator id, or `id.output` for one output of several."""
    memberships: dict[Name, Membership] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        words = {name: shape for name, shape in given.items() if name != "indicator"}
        if not words:
            raise ValueError("has no memberships; name at least one, such as `low: [0, 20, 40]`")
        return {**({"indicator": given["indicator"]} if "indicator" in given else {}), "memberships": words}

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"indicator": self.indicator, **{name: m.written() for name, m in self.memberships.items()}}

    def gaps(self) -> list[tuple[float, float]]:
        """The stretches between the first and the last membership that no membership covers."""
        supports = sorted(m.support for m in self.memberships.values())
        found, covered = [], supports[0][1]
        for low, high in supports[1:]:
            if low > covered:
                found.append((covered, low))
            covered = max(covered, high)
        return found
