"""Bar sizes."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass

from ktrdr.errors import Invalid

SECONDS = {
    "1m": 60, "2m": 120, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14400, "1d": 86400, "1w": 604800,
}  # fmt: skip
NAMES = {seconds: name for name, seconds in SECONDS.items()}
UNITS = {"m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60, "h": 3600, "hour": 3600, "hours": 3600,
         "d": 86400, "day": 86400, "days": 86400, "w": 604800, "week": 604800, "weeks": 604800}  # fmt: skip
MONTH = re.compile(r"\d*\s*(M|mo|mon|month|months)")
SIZE = re.compile(r"(\d{0,4})\s*([A-Za-z]+)")


@dataclass(frozen=True, order=False)
class Timeframe:
    """A bar size, such as `1h`, also written `60m`, `1H` or `1hour`; ordered by length."""

    name: str

    def __post_init__(self) -> None:
        name = spelled(str(self.name))
        if name is None:
            near = nearest(str(self.name))
            raise Invalid(
                f"{self.name!r} is not a timeframe",
                hint=(f"did you mean {near!r}? " if near else "") + f"known: {', '.join(SECONDS)}",
                details={"nearest": near},
            )
        object.__setattr__(self, "name", name)

    @property
    def seconds(self) -> int:
        """Length of one bar in seconds."""
        return SECONDS[self.name]

    def __str__(self) -> str:
        return self.name

    def __lt__(self, other: Timeframe) -> bool:
        return self.seconds < other.seconds


def spelled(text: str) -> str | None:
    """The name of a size that may be written in other ways; None if it is no size. A capital M is a month, never a minute.

    >>> [spelled(text) for text in ("1h", "60m", "1H", "D", "5min", "7d", "3h", "1x")]
    ['1h', '1h', '1h', '1d', '5m', '1w', None, None]
    """
    wanted = text.strip()
    if wanted in SECONDS:
        return wanted
    if MONTH.fullmatch(wanted):
        raise Invalid(
            f"{text!r} would be months, which are not all of one length: there are no such bars",
            hint="load 1d or 1w; minutes are written 1m, with a small m",
            details={"nearest": "1w"},
        )
    return NAMES.get(length(wanted))


def length(text: str) -> int:
    """The seconds of a size such as `90m`; 0 if it is none."""
    size = SIZE.fullmatch(text.strip())
    return int(size[1] or 1) * UNITS.get(size[2].lower(), 0) if size else 0


def nearest(text: str) -> str | None:
    """The bar size nearest in length, else the one that is spelt most like it.

    >>> nearest("90m"), nearest("3h"), nearest("4x"), nearest("?!")
    ('2h', '4h', '4h', None)
    """
    if seconds := length(text):
        return min(SECONDS, key=lambda known: abs(math.log(SECONDS[known] / seconds)))
    close = difflib.get_close_matches(text.lower(), SECONDS, n=1, cutoff=0.3)
    return close[0] if close else None
