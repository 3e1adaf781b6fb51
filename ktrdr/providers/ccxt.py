"""Candles of a crypto exchange, by the ccxt library."""

from __future__ import annotations

import difflib
import importlib
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
from pydantic import Field, PrivateAttr

from ktrdr.errors import Invalid, KtrdrError, NoData, NotFound, Unavailable
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.timeframe import SECONDS, Timeframe
from ktrdr.providers.base import HOUR, MONTH, PROVIDERS, REQUEST_SECONDS, OnProgress, Provider, Reach, no_bars, usable, wait
from ktrdr.settings import Settings

Candle = list[Any]
"""Milliseconds of its start, open, high, low, close, volume."""

BEGINNING = datetime(2010, 1, 1, tzinfo=UTC)
"""No exchange has candles from before."""
PAGE = 500
"""Candles in one answer, where the library does not know the exchange's own limit."""
TIMEOUT_SECONDS = 15.0
LONGEST_PAUSE = 60.0
"""Pauses grow no longer than this; an exchange that asks for a longer one is not waited for."""
RESUME = "what came before is stored; run the same command again later, and it goes on from there"


@PROVIDERS.add
class Ccxt(Provider):
    """Candles of a crypto exchange, such as BTCUSDT of Binance; needs no account."""

    needs = ("ccxt", "crypto")
    limits = "as its exchange allows; refusals are waited out"

    exchange: str = Field(default_factory=lambda: Settings().ccxt_exchange)
    """Which exchange, as ccxt spells it, such as binance or kraken; default: KTRDR_CCXT_EXCHANGE."""
    market: Literal["spot", "swap"] = "spot"
    """Whether BTCUSDT means the coin itself or its perpetual contract."""
    url: str | None = Field(default_factory=lambda: Settings().ccxt_url)
    """Where the exchange's interface is, if not at its own address, such as a mirror; default: KTRDR_CCXT_URL."""
    retries: int = Field(6, ge=0, le=20)
    """How often a request that failed for now is repeated."""
    retry_seconds: float = Field(1.0, gt=0, le=60)
    """How long it waits before the first repetition; then twice as long each time."""

    _client: Any = PrivateAttr(default=None)
    _ahead: timedelta = PrivateAttr(default=timedelta(0))
    _candles: int = PrivateAttr(default=PAGE)

    def origin(self, symbol: str) -> str:
        """The exchange and the kind of market."""
        return f"{self.exchange} {self.market}"

    def piece(self, timeframe: Timeframe) -> timedelta | None:
        """Minutes are stored month by month, for each page of them is a request."""
        return MONTH if timeframe.seconds < HOUR else None

    def requests(self, timeframe: Timeframe, bars: int, length: timedelta) -> int:
        """One for each page of candles."""
        return math.ceil(bars / self._candles)

    def seconds(self, requests: int) -> float:
        """With the pauses between requests that the exchange wants."""
        pause = self._client.rateLimit / 1000 if self._client is not None else 0.0
        return requests * max(pause, REQUEST_SECONDS)

    def reach(self, symbol: str, timeframe: Timeframe, on_progress: OnProgress) -> Reach:
        """From the first candle to the end of the last finished one."""
        market = self._market(symbol, timeframe, on_progress)
        self._candles = self._limit(market)
        first = self._first(market, timeframe, on_progress)
        last = self._finished(self._page(market, timeframe, None, 3, on_progress), timeframe)
        if first is None or not last:
            raise NoData(
                f"{self.exchange} has no finished candle of {market['symbol']} {timeframe}", hint="take a smaller timeframe, or wait"
            )
        return Reach(first, _moment(last[-1][0]) + timedelta(seconds=timeframe.seconds))

    def fetch(self, symbol: str, timeframe: Timeframe, *, start: datetime, end: datetime, on_progress: OnProgress) -> Bars:
        """The exchange's candles of [start, end), page after page; what it does not have stays a gap."""
        market = self._market(symbol, timeframe, on_progress)
        size, limit = timedelta(seconds=timeframe.seconds), self._limit(market)
        found: list[Candle] = []
        end = min(end, self._now())
        while start < end:
            on_progress(f"asking {self.exchange} for {market['symbol']} {timeframe} from {start:%Y-%m-%d %H:%M}")
            page = self._page(market, timeframe, start, limit, on_progress)
            found += [candle for candle in page if _moment(candle[0]) < end]
            # An empty page says that this stretch is empty, not that the series is at its end.
            start = _moment(page[-1][0]) + size if page else start + limit * size
        candles = self._finished(found, timeframe)
        if not candles:
            return no_bars(symbol, timeframe, "ccxt")
        time = np.array([candle[0] for candle in candles], "datetime64[ms]").astype("datetime64[us]")
        values = np.array([candle[1:6] for candle in candles], np.float64)
        columns = {name: values[:, place] for place, name in enumerate(COLUMNS)}
        bars, remarks, rejected = usable(symbol, timeframe, time, columns, "ccxt")
        self._remarks.extend(remarks)
        self._rejected.extend(rejected)
        return bars

    def _market(self, symbol: str, timeframe: Timeframe, on_progress: OnProgress) -> dict[str, Any]:
        """What the exchange calls a symbol: BTC/USDT for BTCUSDT."""
        client = self._opened(timeframe, on_progress)
        wanted = re.sub(r"[/._-]", "", symbol)
        there = {each["base"] + each["quote"]: each for each in client.markets.values() if each[self.market]}
        if wanted not in there:
            near = difflib.get_close_matches(wanted, sorted(there), n=3)
            raise NotFound(
                f"{self.exchange} has no {self.market} market {symbol}",
                hint=f"did you mean {' or '.join(near)}?" if near else "symbols are a coin and what it is paid in, such as BTCUSDT",
                details={"nearest": near},
            )
        found: dict[str, Any] = there[wanted]
        return found

    def _opened(self, timeframe: Timeframe, on_progress: OnProgress) -> Any:
        """The library's client of the exchange, with its markets and its clock read."""
        if self._client is None:
            client = self._made(timeframe)
            on_progress(f"asking {self.exchange} which markets it has")
            library = importlib.import_module("ccxt")
            self._ask(library, client, client.load_markets, on_progress)
            if client.has["fetchTime"]:
                clock = self._ask(library, client, client.fetch_time, on_progress)
                self._ahead = _moment(clock) - datetime.now(UTC)
            self._client = client
        return self._client

    def _made(self, timeframe: Timeframe) -> Any:
        """The library's client of the exchange, if it has candles of this size; nothing is asked yet."""
        library = importlib.import_module("ccxt")
        if self.exchange not in library.exchanges:
            near = difflib.get_close_matches(self.exchange, library.exchanges, n=3)
            raise NotFound(
                f"ccxt knows no exchange {self.exchange!r}", hint=f"did you mean {' or '.join(near)}?" if near else "such as binance"
            )
        client = getattr(library, self.exchange)({
            "enableRateLimit": True, "timeout": TIMEOUT_SECONDS * 1000, "requests_trust_env": True, "enableLastJsonResponse": True,
        })  # fmt: skip
        if not client.has["fetchOHLCV"]:
            raise Invalid(f"{self.exchange} gives no candles", hint="take another exchange: --option exchange=binance")
        offered = [name for name in SECONDS if name in (client.timeframes or {})]
        if timeframe.name not in offered:
            raise Invalid(
                f"{self.exchange} has no candles of {timeframe}; it has {', '.join(offered)}",
                hint="load a smaller size that divides it: larger bars are made when they are read",
            )
        kinds = client.options.get("fetchMarkets")
        if isinstance(kinds, dict) and isinstance(kinds.get("types"), list) and "spot" in kinds["types"]:
            kinds["types"] = ["spot"] if self.market == "spot" else [kind for kind in kinds["types"] if kind != "spot"]
        if self.url:
            client.urls["api"] = _moved(client.urls["api"], self.url.rstrip("/"), client.hostname)
        return client

    def _now(self) -> datetime:
        """The exchange's clock."""
        return datetime.now(UTC) + self._ahead

    def _limit(self, market: dict[str, Any]) -> int:
        return int(self._client.feature_value(market["symbol"], "fetchOHLCV", "limit", None) or PAGE)

    def _first(self, market: dict[str, Any], timeframe: Timeframe, on_progress: OnProgress) -> datetime | None:
        """Start of the first candle.

        Most exchanges answer with what comes after a moment. Of those that answer with a stretch of so many candles, the first
        stretch that is not empty is searched by halving, in the largest size they have.
        """
        page = self._page(market, timeframe, BEGINNING, 1, on_progress)
        if page:
            return _moment(page[0][0])
        size = next(Timeframe(name) for name in ("1d", "4h", "1h", timeframe.name) if name in self._client.timeframes)
        limit = self._limit(market)
        stretch = limit * timedelta(seconds=size.seconds)
        found: list[Candle] = []
        empty, full = 0, (self._now() - BEGINNING) // stretch
        while empty <= full:
            middle = (empty + full) // 2
            page = self._page(market, size, BEGINNING + middle * stretch, limit, on_progress)
            if page:
                found, full = page, middle - 1
            else:
                empty = middle + 1
        return _moment(found[0][0]) if found else None

    def _finished(self, candles: list[Candle], timeframe: Timeframe) -> list[Candle]:
        """Without the candle that still changes."""
        last = self._now() - timedelta(seconds=timeframe.seconds)
        return [candle for candle in candles if _moment(candle[0]) <= last]

    def _page(
        self, market: dict[str, Any], timeframe: Timeframe, since: datetime | None, limit: int, on_progress: OnProgress
    ) -> list[Candle]:
        """At most `limit` candles from a moment on, or the last ones; oldest first."""
        library, client = importlib.import_module("ccxt"), self._client
        milliseconds = None if since is None else int(since.timestamp() * 1000)

        page: list[Candle] = self._ask(
            library, client, lambda: client.fetch_ohlcv(market["symbol"], timeframe.name, milliseconds, limit), on_progress
        )  # fmt: skip
        return page

    def _ask(self, library: Any, client: Any, ask: Callable[[], Any], on_progress: OnProgress) -> Any:
        """The answer to a request, which is repeated while it may yet succeed."""
        tried = 0
        while True:
            client.last_response_headers = client.last_json_response = None
            self.count_request()
            try:
                answer = ask()
                if client.last_json_response is None:
                    # A page of HTML, such as that of a gate in between, would read as no candles at all.
                    raise library.BadResponse(f"{self.exchange} answered with something that is not JSON")
                return answer
            except library.BaseError as failure:
                tried += 1
                asked_for = _seconds((client.last_response_headers or {}).get("Retry-After"))
                if tried > self.retries or asked_for > LONGEST_PAUSE or not _passing(library, failure):
                    raise self._told(library, failure, tried, asked_for) from failure
                pause = max(asked_for, min(self.retry_seconds * 2 ** (tried - 1), LONGEST_PAUSE))
                wait(pause, f"{self.exchange} {_reason(library, failure)}, tried {tried} of {self.retries + 1} times", on_progress)
                self.count_wait(pause)

    def _told(self, library: Any, failure: Exception, tried: int, asked_for: float) -> KtrdrError:
        times = f", after {tried} tries" if tried > 1 else ""
        if isinstance(failure, library.RestrictedLocation) or _status(failure) in (403, 451) or "restricted location" in str(failure):
            return Unavailable(
                f"{self.exchange} does not serve this place: {_short(failure)}",
                hint="take another exchange, such as --option exchange=kraken, or an address that serves you: KTRDR_CCXT_URL",
            )
        if _limited(library, failure):
            rest = f" and wants to be left alone for {asked_for:.0f} s" if asked_for else ""
            return Unavailable(f"{self.exchange} {_reason(library, failure)}{rest}{times}", hint=RESUME, code="rate_limited")
        if isinstance(failure, library.OperationFailed):
            return Unavailable(f"{self.exchange} {_reason(library, failure)}{times}: {_short(failure)}", hint=RESUME)
        return Unavailable(f"{self.exchange} refused the request: {_short(failure)}", hint="the words are the exchange's own")


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _moved(urls: Any, to: str, hostname: str | None) -> Any:
    """The addresses of an interface with another scheme and host in front of their paths."""
    if isinstance(urls, dict):
        return {name: _moved(url, to, hostname) for name, url in urls.items()}
    return to + urlsplit(urls.replace("{hostname}", hostname or "")).path


def _status(failure: Exception) -> int | None:
    """The HTTP status in the library's sentence."""
    found = re.search(r"\b([345]\d\d)\b", re.sub(r"https?://\S+", "", str(failure))[:200])
    return int(found[1]) if found else None


def _limited(library: Any, failure: Exception) -> bool:
    return isinstance(failure, library.DDoSProtection | library.RateLimitExceeded)


def _passing(library: Any, failure: Exception) -> bool:
    """Whether the same request may succeed a while later."""
    if _limited(library, failure):
        return True
    status = _status(failure)
    return isinstance(failure, library.OperationFailed) and (status is None or status in (408, 425) or status >= 500)


def _reason(library: Any, failure: Exception) -> str:
    if _limited(library, failure):
        return "says it is asked too often"
    if isinstance(failure, library.RequestTimeout):
        return "does not answer in time"
    if isinstance(failure, library.ExchangeNotAvailable | library.BadResponse):
        return "is out of order"
    return "cannot be reached"


def _short(failure: Exception) -> str:
    return re.sub(r"\s+", " ", str(failure))[:300]


def _seconds(text: str | None) -> float:
    """The value of a Retry-After header, if it is a number."""
    return float(text) if text and text.isdecimal() else 0.0
