"""Fuzzy sets: words for the values of one indicator, as a strategy writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from ktrdr.fuzzy import shapes
from ktrdr.fuzzy.partition import Partition

Floats = NDArray[np.float64]

COUNTS = {"triangular": 3, "trapezoidal": 4, "gaussian": 2, "sigmoid": 2, "left": 2, "right": 2}
SHORTHAND = {3: "triangular", 4: "trapezoidal"}
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=64)]
WORDS = {
    "triangular": "a <= b <= c", "trapezoidal": "a <= b <= c <= d", "gaussian": "mean and a sigma above 0",
    "sigmoid": "centre and a slope other than 0", "left": "a <= b", "right": "a <= b",
}  # fmt: skip
OPEN: dict[str, tuple[float | None, float | None]] = {
    "gaussian": (-np.inf, np.inf), "sigmoid": (-np.inf, np.inf), "left": (-np.inf, None), "right": (None, np.inf),
}  # fmt: skip
"""Shapes that reach on forever; None stands for the outer corner."""
NO_WORDS = {"indicator", "partition"}
"""Keys of a fuzzy set that are not words."""


class Membership(BaseModel):
    """One word of a fuzzy set: a shape and its numbers; a bare list of 3 is triangular, of 4 trapezoidal."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    type: Literal["triangular", "trapezoidal", "gaussian", "sigmoid", "left", "right"]
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
        elif self.type == "sigmoid":
            if numbers[1] == 0:
                raise ValueError(f"sigmoid {numbers}: the slope must not be 0")
        elif numbers != sorted(numbers):
            said = f"{self.type} {numbers}: the numbers must not fall ({WORDS[self.type]})"
            raise PydanticCustomError("falling", "{said}", {"said": said, "nearest": f"[{', '.join(f'{n:g}' for n in sorted(numbers))}]"})
        elif numbers[0] == numbers[-1] and self.type not in OPEN:
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
        low, high = OPEN.get(self.type, (None, None))
        return (self.parameters[0] if low is None else low, self.parameters[-1] if high is None else high)


class FuzzySet(BaseModel):
    """The words of one indicator, in the order in which the network sees them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    indicator: str
    """An indicator id, or `id.output` for one output of several."""
    memberships: dict[Name, Membership] = {}
    partition: Partition | None = None
    """Words fitted to the training slice, in place of memberships."""

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        words = {name: shape for name, shape in given.items() if name not in NO_WORDS}
        fitted = given.get("partition") is not None
        if not words and not fitted:
            raise ValueError("has no memberships; name at least one, such as `low: [0, 20, 40]`, or write `partition: {count: 3}`")
        if words and fitted:
            raise ValueError(f"has a partition and memberships ({', '.join(map(str, words))}); it takes one of them")
        return {**{key: given[key] for key in sorted(NO_WORDS & given.keys())}, "memberships": words}

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        fitted = {"partition": self.partition.model_dump()} if self.partition else {}
        return {"indicator": self.indicator, **fitted, **{name: m.written() for name, m in self.memberships.items()}}

    @property
    def words(self) -> tuple[str, ...]:
        """The words in the order in which the network sees them."""
        return self.partition.words if self.partition else tuple(self.memberships)

    def gaps(self) -> list[tuple[float, float]]:
        """The stretches between the first and the last membership that no membership covers."""
        supports = sorted(m.support for m in self.memberships.values())
        found, covered = [], supports[0][1] if supports else np.inf
        for low, high in supports[1:]:
            if low > covered:
                found.append((covered, low))
            covered = max(covered, high)
        return found
