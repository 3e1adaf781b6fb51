"""A crypto exchange with the interface of Binance: markets, clock and candles, its rate limits and its faults."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tests.wire.web import Reply, Request, Site

MILLISECONDS = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000, "1d": 86_400_000}
LIMIT = 1000


def rate_limited(seconds: int | None = None, status: int = 429) -> Reply:
    """What the exchange says to who asks too often; 418 to who does not stop."""
    body = {"code": -1003, "msg": "Too many requests; current limit of IP is 6000 request weight per 1 minute."}
    return Reply(body, status, {"Retry-After": str(seconds)} if seconds is not None else {})


@dataclass(frozen=True)
class Candles:
    """The history of one market at one size: `rows` of start (ms), open, high, low, close, volume."""

    rows: np.ndarray

    @classmethod
    def walk(cls, first: datetime, end: datetime, size: str, seed: int = 1, without: tuple[datetime, datetime] | None = None) -> Candles:
        """A random walk; the exchange was down in `without`."""
        start = np.arange(int(first.timestamp() * 1000), int(end.timestamp() * 1000), MILLISECONDS[size])
        random = np.random.default_rng(seed)
        close = np.round(20_000 * np.exp(np.cumsum(random.normal(0, 0.003, len(start)))), 2)
        open_ = np.concatenate(([20_000.0], close[:-1]))
        high, low = np.round(np.maximum(open_, close) * 1.001, 2), np.round(np.minimum(open_, close) * 0.999, 2)
        rows = np.stack([start.astype(float), open_, high, low, close, np.round(random.uniform(0.1, 90, len(start)), 5)], axis=1)
        if without:
            down = [moment.timestamp() * 1000 for moment in without]
            rows = rows[(rows[:, 0] < down[0]) | (rows[:, 0] >= down[1])]
        return cls(rows)

    def between(self, start: datetime, end: datetime) -> np.ndarray:
        """The rows that begin in [start, end)."""
        at = self.rows[:, 0]
        return self.rows[(at >= start.timestamp() * 1000) & (at < end.timestamp() * 1000)]


class Exchange(Site):
    """What the exchange knows; `now` is its clock."""

    faulty = "/api/v3/klines"

    def __init__(self, now: datetime, markets: dict[tuple[str, str], Candles], windows: bool = False) -> None:
        super().__init__()
        self.now = now
        self.markets = markets
        self.windows = windows
        """Whether it answers with a stretch of `limit` candles, be it empty, instead of the next `limit` there are."""
        self.listed = [("BTC", "USDT"), ("ETH", "USDT"), ("ADA", "USDT")]

    def answer(self, request: Request) -> Reply:
        """The documented answers; weights of requests stand in a header."""
        now = int(self.now.timestamp() * 1000)
        match request.path:
            case "/api/v3/time":
                return Reply({"serverTime": now})
            case "/api/v3/exchangeInfo":
                return Reply({"timezone": "UTC", "serverTime": now, "symbols": [self._market(*pair) for pair in self.listed]})
            case "/fapi/v1/exchangeInfo" | "/dapi/v1/exchangeInfo":
                perpetual = {"contractType": "PERPETUAL", "deliveryDate": 4133404800000, "marginAsset": "USDT", "status": "TRADING"}
                symbols = [{**self._market("BTC", "USDT"), **perpetual}] if request.path.startswith("/fapi") else []
                return Reply({"timezone": "UTC", "serverTime": now, "symbols": symbols})
            case "/api/v3/klines" | "/fapi/v1/klines":
                return self._klines(request, now)
        return Reply({"code": -1, "msg": f"no {request.path}"}, 404)

    def _klines(self, request: Request, now: int) -> Reply:
        asked, weight = request.query, {"X-MBX-USED-WEIGHT-1M": str(2 * len(self.asked("/api/v3/klines")))}
        if asked["symbol"] not in {base + quote for base, quote in self.listed}:
            return Reply({"code": -1121, "msg": "Invalid symbol."}, 400)
        if asked["interval"] not in MILLISECONDS:
            return Reply({"code": -1120, "msg": "Invalid interval."}, 400)
        candles = self.markets.get((asked["symbol"], asked["interval"]))
        rows = candles.rows[candles.rows[:, 0] <= now] if candles else np.empty((0, 6))
        limit = min(int(asked.get("limit", 500)), LIMIT)
        if "startTime" not in asked:
            return Reply(self._written(rows[-limit:], asked["interval"], now), headers=weight)
        start = int(asked["startTime"])
        rows = rows[rows[:, 0] >= start]
        if self.windows:
            rows = rows[rows[:, 0] < start + limit * MILLISECONDS[asked["interval"]]]
        return Reply(self._written(rows[:limit], asked["interval"], now), headers=weight)

    @staticmethod
    def _written(rows: np.ndarray, size: str, now: int) -> list[list[Any]]:
        """As Binance writes candles: texts of prices, and the last one as far as it has come."""
        written = []
        for start, *prices in rows.tolist():
            over = int(start) + MILLISECONDS[size] <= now
            part = prices if over else [*prices[:4], prices[4] / 2]
            written.append([
                int(start), *(f"{value:.8f}" for value in part), int(start) + MILLISECONDS[size] - 1, "0.0", 10, "0.0", "0.0", "0",
            ])  # fmt: skip
        return written

    @staticmethod
    def _market(base: str, quote: str) -> dict[str, Any]:
        return {
            "symbol": base + quote, "status": "TRADING", "baseAsset": base, "quoteAsset": quote, "baseAssetPrecision": 8,
            "quotePrecision": 8, "pricePrecision": 2, "quantityPrecision": 5, "orderTypes": ["LIMIT"], "isSpotTradingAllowed": True,
            "permissions": [], "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.0", "stepSize": "0.00001"},
            ],
        }  # fmt: skip


def utc(*parts: int) -> datetime:
    """A moment in UTC."""
    return datetime(*parts, tzinfo=UTC)
