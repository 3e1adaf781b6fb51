"""A goal in plain words: which symbol, which bar size, which family of ideas.

What the words do not say is filled with a default, and the sentence that comes with the goal names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, get_args

from pydantic import BaseModel, ConfigDict

from ktrdr.errors import NoData
from ktrdr.indicators.base import INDICATORS
from ktrdr.market.sessions import CURRENCIES, asset_class
from ktrdr.market.timeframe import SECONDS, Timeframe

Family = Literal["momentum", "mean_reversion", "breakout", "volatility"]
FAMILIES: tuple[Family, ...] = get_args(Family)
DEFAULT_GOAL = "find a momentum edge"
DEFAULT_SYMBOL = "EURUSD"
DEFAULT_TIMEFRAME = "1h"
DEFAULT_FAMILY: Family = "momentum"

WORDS: dict[Family, str] = {
    "mean_reversion": r"mean[\s-]*revers\w*|revert\w*|reversal|oversold|overbought|pull[\s-]*backs?|range[\s-]*bound|contrarian",
    "breakout": r"break[\s-]*outs?|breaks? out|channels?|donchian|new (?:highs?|lows?)",
    "volatility": r"volatil\w*|squeeze|calm|bollinger",
    "momentum": r"momentum|trend\w*|follow\w*|swings?",
}
"""What each family is called, the most special first."""
SHORT_SIZE = re.compile(r"\b(\d+)(m|h|d|w)\b", re.IGNORECASE)
LONG_SIZE = re.compile(
    r"\b(\d+)[\s-](m)in(?:ute)?s?[\s-]+(?:bar|candle|chart|data)|\b(\d+)[\s-](h|d|w)(?:our|ay|eek)s?[\s-]+(?:bar|candle|chart|data)",
    re.IGNORECASE,
)
BAR_WORDS = {"hourly": "1h", "daily": "1d", "weekly": "1w"}
PAIR = re.compile(r"\b([A-Za-z]{3})[/-]?([A-Za-z]{3})\b")
CAPITALS = re.compile(r"\b[A-Z][A-Z0-9]{2,11}\b")
NO_SYMBOLS = CURRENCIES | {"AND", "ANY", "BUY", "ETF", "FOREX", "GMT", "LONG", "NASDAQ", "NYSE", "OHLC", "SELL", "SHORT", "USA", "UTC"}
"""Words in capitals that are no symbols; names of indicators are none either."""
OTHER_INDICATORS = {"bb", "dmi", "kama", "tema", "trix"}


class SeriesLike(Protocol):
    """What is known of a series of bars."""

    @property
    def symbol(self) -> str:
        """Name of the symbol."""

    @property
    def timeframe(self) -> Timeframe:
        """Bar size."""

    @property
    def bars(self) -> int:
        """How many there are."""


class Goal(BaseModel):
    """What to look for, and in which bars."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    """As it was said, or the default goal."""
    symbol: str
    timeframe: str
    family: Family
    understood: str
    """What was understood, and which defaults were taken, in one line."""


def understand(text: str | None, series: Sequence[SeriesLike]) -> Goal:
    """The goal that some words describe, on series that are there.

    Raises NoData, naming what is there, where the words name a symbol or a bar size without bars.
    """
    if not series:
        raise NoData("there are no bars at all", hint="ktrdr data load <symbol> --timeframe 1h")
    said = " ".join((text or "").split())
    words = said or DEFAULT_GOAL
    named_symbol, named_timeframe, named_family = _symbol(words, series), _timeframe(words), _family(words)
    symbol = named_symbol or _default_symbol(series)
    timeframe = named_timeframe or _default_timeframe(symbol, series)
    if not any(s.symbol == symbol and s.timeframe.name == timeframe for s in series):
        raise _no_bars(symbol, timeframe, series)
    family = named_family or DEFAULT_FAMILY
    taken = [
        "" if said else "the goal, as none was given",
        "" if named_symbol else f"the symbol {symbol}",
        "" if named_timeframe else f"the bar size {timeframe}",
        "" if named_family else f"the family {family_name(family)}",
    ]
    defaults = [part for part in taken if part]
    understood = f"{family_name(family)} on {symbol} {timeframe}"
    understood += f"; by default: {', '.join(defaults)}" if defaults else ""
    return Goal(text=words, symbol=symbol, timeframe=timeframe, family=family, understood=understood)


def family_name(family: Family) -> str:
    """A family in words.

    >>> family_name("mean_reversion")
    'mean reversion'
    """
    return family.replace("_", " ")


def _family(words: str) -> Family | None:
    return next((family for family, pattern in WORDS.items() if re.search(rf"\b(?:{pattern})\b", words, re.IGNORECASE)), None)


def _timeframe(words: str) -> str | None:
    """The bar size named: `4h`, `4 hour bars`, `hourly`. `20d` is a look-back rather than a bar size, and is left alone."""
    for found in (*SHORT_SIZE.finditer(words), *LONG_SIZE.finditer(words)):
        number, unit = (part for part in found.groups() if part)
        name = f"{int(number)}{unit.lower()}"
        if name in SECONDS or unit.lower() in "mh":
            return Timeframe(name).name
    return next((name for word, name in BAR_WORDS.items() if re.search(rf"\b{word}\b", words, re.IGNORECASE)), None)


def _symbol(words: str, series: Sequence[SeriesLike]) -> str | None:
    """The symbol named, spelled as the series have it."""
    known = {s.symbol.upper(): s.symbol for s in series}
    for token in re.findall(r"[A-Za-z0-9^](?:[A-Za-z0-9._=^-]*[A-Za-z0-9])?", words):
        if token.upper() in known and (token.isupper() or len(token) > 3):
            return known[token.upper()]
    for base, quote in PAIR.findall(words):
        pair = (base + quote).upper()
        if pair in known:
            return known[pair]
        if asset_class(pair) == "fx":
            raise _no_bars(pair, None, series)
    if words.isupper():
        return None
    for token in CAPITALS.findall(words):
        if token not in NO_SYMBOLS and not _is_indicator(token) and token.lower() not in SECONDS:
            raise _no_bars(token, None, series)
    return None


def _is_indicator(token: str) -> bool:
    """Whether it is the name of an indicator, as in RSI14, or of one that is not built in."""
    word = token.rstrip("0123456789").lower()
    return word in OTHER_INDICATORS or any(word in (INDICATORS.name_of(cls), *cls.aliases) for cls in INDICATORS)


def _default_symbol(series: Sequence[SeriesLike]) -> str:
    names = {s.symbol for s in series}
    return DEFAULT_SYMBOL if DEFAULT_SYMBOL in names else max(series, key=lambda s: (s.bars, s.symbol)).symbol


def _default_timeframe(symbol: str, series: Sequence[SeriesLike]) -> str:
    own = [s for s in series if s.symbol == symbol]
    names = {s.timeframe.name for s in own}
    return DEFAULT_TIMEFRAME if DEFAULT_TIMEFRAME in names or not own else max(own, key=lambda s: s.bars).timeframe.name


def _no_bars(symbol: str, timeframe: str | None, series: Iterable[SeriesLike]) -> NoData:
    listed = ", ".join(sorted({f"{s.symbol} {s.timeframe}" for s in series}))
    wanted = f"{symbol} {timeframe}" if timeframe else symbol
    return NoData(
        f"the goal names {wanted}, and there are no such bars; there are: {listed}",
        hint=f"load them: ktrdr data load {symbol} --timeframe {timeframe or DEFAULT_TIMEFRAME}; or write the symbol as it is listed",
        details={"symbol": symbol, "timeframe": timeframe, "available": listed.split(", ")},
    )
