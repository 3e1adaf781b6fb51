"""Bar sizes."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass

from ktrdr.errors import Invalid

SECONDS = {"1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14400, "1d": 86400, "1w": 604800}


@dataclass(frozen=True, order=False)
class Timeframe:
    """A bar size, such as `1h`; ordered by length."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in SECONDS:
            near = nearest(str(self.name))
            raise Invalid(
                f"{self.name!r} is not a timeframe",
                hint=(f"did you mean {near!r}? " if near else "") + f"known: {', '.join(SECONDS)}",
                details={"nearest": near},
            )

    @property
    def seconds(self) -> int:
        """Length of one bar in seconds."""
        return SECONDS[self.name]

    def __str__(self) -> str:
        return self.name

    def __lt__(self, other: Timeframe) -> bool:
        return self.seconds < other.seconds


def nearest(name: str) -> str | None:
    """The bar size nearest in length to one such as 60m, else the one that is spelt most like it.

    >>> nearest("60m"), nearest("3h"), nearest("4x")
    ('1h', '4h', '4h')
    """
    written = re.fullmatch(r"([1-9][0-9]{0,3})\s*([mhdw])[a-z]*", name.strip().lower())
    if written:
        seconds = int(written[1]) * SECONDS[f"1{written[2]}"]
        return min(SECONDS, key=lambda known: abs(math.log(SECONDS[known] / seconds)))
    close = difflib.get_close_matches(name.lower(), SECONDS, n=1, cutoff=0.3)
    return close[0] if close else None
