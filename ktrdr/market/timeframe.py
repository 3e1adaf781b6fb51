"""Bar sizes."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from ktrdr.errors import Invalid

SECONDS = {"1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14400, "1d": 86400, "1w": 604800}


@dataclass(frozen=True, order=False)
class Timeframe:
    """A bar size, such as `1h`; ordered by length."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in SECONDS:
            near = difflib.get_close_matches(str(self.name).lower(), SECONDS, n=1, cutoff=0.3)
            raise Invalid(
                f"{self.name!r} is not a timeframe",
                hint=(f"did you mean {near[0]!r}? " if near else "") + f"known: {', '.join(SECONDS)}",
                details={"nearest": near[0] if near else None},
            )

    @property
    def seconds(self) -> int:
        """Length of one bar in seconds."""
        return SECONDS[self.name]

    def __str__(self) -> str:
        return self.name

    def __lt__(self, other: Timeframe) -> bool:
        return self.seconds < other.seconds
