"""The provider ccxt with the real library, over real sockets, against an exchange of our own."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from ktrdr.errors import Invalid, KtrdrError, NoData, NotFound, Unavailable
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.gaps import find_gaps
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.job import Cancelled
from ktrdr.operations.model import Status
from ktrdr.providers.base import Provider, build
from ktrdr.settings import Settings
from ktrdr.wiring import open_backend
from tests.contracts.waiting import until
from tests.wire.exchange import Candles, Exchange, rate_limited, utc
from tests.wire.web import BROKEN, Reply, Request, serving

HOUR = Timeframe("1h")
FIRST, NOW = utc(2023, 11, 5, 7), utc(2024, 3, 1, 12, 34)
OUTAGE = utc(2024, 1, 10, 3), utc(2024, 1, 10, 20)


def quiet(_: str) -> None:
    """Nobody listens."""


@pytest.fixture
def exchange() -> Exchange:
    """Four months of hourly candles with an outage, and one candle that is not over."""
    hours = Candles.walk(FIRST, NOW, "1h", without=OUTAGE)
    days = Candles.walk(utc(2023, 11, 5), NOW, "1d")
    return Exchange(NOW, {("BTCUSDT", "1h"): hours, ("BTCUSDT", "1d"): days})


@pytest.fixture
def url(exchange: Exchange) -> Iterator[str]:
    with serving(exchange) as address:
        yield address


def opened(url: str, **options: Any) -> Provider:
    return build("ccxt", {"url": url, "retry_seconds": 0.01, "retries": 3, **options})


def fetch(provider: Provider, start: datetime, end: datetime, timeframe: Timeframe = HOUR, symbol: str = "BTCUSDT") -> Bars:
    return provider.fetch(symbol, timeframe, start=start, end=end, on_progress=quiet)


def assert_equal(bars: Bars, rows: np.ndarray) -> None:
    """Every value of every bar is the source's."""
    np.testing.assert_array_equal(bars.time, rows[:, 0].astype("datetime64[ms]").astype("datetime64[us]"))
    for place, name in enumerate(COLUMNS, 1):
        np.testing.assert_array_equal(getattr(bars, name), rows[:, place])


def test_pages_put_together_are_the_source_value_by_value(exchange: Exchange, url: str) -> None:
    provider = opened(url)
    reach = provider.reach("BTCUSDT", HOUR, quiet)
    assert (reach.start, reach.end) == (FIRST, utc(2024, 3, 1, 12))
    exchange.requests.clear()
    bars = fetch(provider, reach.start, reach.end)
    assert_equal(bars, exchange.markets["BTCUSDT", "1h"].between(FIRST, utc(2024, 3, 1, 12)))
    asked = exchange.asked("/api/v3/klines")
    assert [request.query["limit"] for request in asked] == ["1000"] * 3
    assert provider.remarks() == []
    (gap,) = [gap for gap in find_gaps(bars) if gap.missing]
    assert (gap.start, gap.end, gap.missing) == (*OUTAGE, 17)


def test_a_range_holds_its_first_candle_and_not_its_last(exchange: Exchange, url: str) -> None:
    start, end = utc(2023, 12, 1), utc(2023, 12, 3)
    bars = fetch(opened(url), start, end)
    assert len(bars) == 48
    assert_equal(bars, exchange.markets["BTCUSDT", "1h"].between(start, end))


def test_the_candle_that_is_not_over_by_the_clock_of_the_exchange_is_left_out(exchange: Exchange, url: str) -> None:
    bars = fetch(opened(url), utc(2024, 3, 1), utc(2030, 1, 1))
    assert str(bars.time[-1])[:16] == "2024-03-01T11:00"
    exchange.now = utc(2024, 3, 1, 13)
    assert str(fetch(opened(url), utc(2024, 3, 1), utc(2030, 1, 1)).time[-1])[:16] == "2024-03-01T12:00"


def test_an_empty_page_in_an_outage_is_no_end(exchange: Exchange, url: str) -> None:
    """An exchange that answers with stretches of candles: one that is longer than a page, and empty."""
    exchange.windows = True
    hole = utc(2023, 11, 20), utc(2024, 2, 1)
    source = Candles.walk(FIRST, NOW, "1h", without=hole)
    exchange.markets["BTCUSDT", "1h"] = source
    provider = opened(url)
    assert provider.reach("BTCUSDT", HOUR, quiet).start == utc(2023, 11, 5)
    exchange.requests.clear()
    bars = fetch(provider, utc(2023, 11, 5), utc(2024, 3, 1))
    assert_equal(bars, source.between(FIRST, utc(2024, 3, 1)))
    answered = {request.query["startTime"] for request in exchange.asked("/api/v3/klines")}
    assert len(answered) == len(exchange.asked("/api/v3/klines"))


def test_a_market_without_candles_is_an_error_and_a_range_without_them_is_empty(exchange: Exchange, url: str) -> None:
    with pytest.raises(NoData, match="binance has no finished candle of ADA/USDT 1h"):
        opened(url).reach("ADAUSDT", HOUR, quiet)
    assert len(fetch(opened(url), OUTAGE[0], OUTAGE[1])) == 0


@pytest.mark.parametrize("fault", [
    rate_limited(), rate_limited(0), rate_limited(1, 418), Reply("<html>502 Bad Gateway</html>", 502), Reply({"msg": "internal"}, 503),
    Reply({"code": -1001, "msg": "Internal error; unable to process your request. Please try again."}, 500), BROKEN,
    Reply("<html>Are you a robot?</html>"),
], ids=["429", "429 now", "418", "502", "503", "500", "broken", "html"])  # fmt: skip
def test_what_passes_is_asked_again_and_nothing_is_lost(exchange: Exchange, url: str, fault: Reply) -> None:
    provider, told = opened(url), list[str]()
    provider.reach("BTCUSDT", HOUR, quiet)
    exchange.faults.extend([fault, fault])
    begun = time.monotonic()
    bars = provider.fetch("BTCUSDT", HOUR, start=FIRST, end=NOW, on_progress=told.append)
    assert_equal(bars, exchange.markets["BTCUSDT", "1h"].between(FIRST, utc(2024, 3, 1, 12)))
    assert any("tried 2 of 4 times; going on in" in step for step in told)
    if fault.headers.get("Retry-After") == "1":
        assert time.monotonic() - begun >= 2


def test_a_rate_limit_that_does_not_end_is_an_error_that_says_how_to_go_on(exchange: Exchange, url: str) -> None:
    provider = opened(url)
    provider.reach("BTCUSDT", HOUR, quiet)
    exchange.requests.clear()
    exchange.always = rate_limited()
    with pytest.raises(Unavailable, match="binance says it is asked too often, after 4 tries") as failure:
        fetch(provider, FIRST, NOW)
    assert failure.value.error_code == "rate_limited"
    assert "run the same command again later" in (failure.value.hint or "")
    assert len(exchange.asked("/api/v3/klines")) == 4


def test_an_exchange_that_wants_a_long_rest_is_not_waited_for(exchange: Exchange, url: str) -> None:
    provider = opened(url)
    provider.reach("BTCUSDT", HOUR, quiet)
    exchange.always = rate_limited(3600, 418)
    with pytest.raises(Unavailable, match="wants to be left alone for 3600 s"):
        fetch(provider, FIRST, NOW)


@pytest.mark.parametrize(("fault", "error", "sentence"), [
    (Reply({"code": -1121, "msg": "Invalid symbol."}, 400), Unavailable, "binance refused the request: .*Invalid symbol"),
    (Reply({"code": 0, "msg": "Service unavailable from a restricted location according to 'b. Eligibility'"}, 451), Unavailable,
     "binance does not serve this place"),
    (Reply("<html>Forbidden</html>", 403), Unavailable, "binance does not serve this place"),
    (Reply("<html>Are you a robot?</html>"), Unavailable, "is out of order, after 4 tries: .*not JSON"),
    (BROKEN, Unavailable, "binance cannot be reached, after 4 tries"),
], ids=["bad symbol", "451", "403", "html", "broken"])  # fmt: skip
def test_what_does_not_pass_is_said_with_the_words_of_the_exchange(
    exchange: Exchange, url: str, fault: Reply, error: type[KtrdrError], sentence: str
) -> None:
    provider = opened(url)
    provider.reach("BTCUSDT", HOUR, quiet)
    exchange.always = fault
    with pytest.raises(error, match=sentence) as failure:
        fetch(provider, FIRST, NOW)
    assert failure.value.hint


def test_an_exchange_that_is_not_there_is_an_error() -> None:
    with pytest.raises(Unavailable, match="binance cannot be reached, after 2 tries"):
        opened("http://127.0.0.1:9", retries=1).reach("BTCUSDT", HOUR, quiet)


def test_symbols_are_found_as_users_write_them(url: str) -> None:
    for written in ("BTCUSDT", "BTC-USDT", "BTC.USDT"):
        assert len(fetch(opened(url), utc(2023, 12, 1), utc(2023, 12, 2), symbol=written)) == 24
    with pytest.raises(NotFound, match="binance has no spot market BTCUSD") as failure:
        opened(url).reach("BTCUSD", HOUR, quiet)
    assert "did you mean BTCUSDT" in (failure.value.hint or "")


def test_spot_and_its_perpetual_are_two_markets(exchange: Exchange, url: str) -> None:
    provider = opened(url, market="swap")
    assert provider.origin("BTCUSDT") == "binance swap"
    assert len(fetch(provider, utc(2023, 12, 1), utc(2023, 12, 2))) == 24
    assert exchange.asked("/fapi/v1/klines")
    assert not exchange.asked("/api/v3/klines")
    assert not exchange.asked("/api/v3/exchangeInfo")


def test_timeframes_and_exchanges_are_those_of_the_library(url: str) -> None:
    with pytest.raises(NotFound, match="ccxt knows no exchange 'binanc'") as failure:
        opened(url, exchange="binanc").reach("BTCUSDT", HOUR, quiet)
    assert "binance" in (failure.value.hint or "")
    with pytest.raises(Invalid, match=r"coinbase has no candles of 4h; it has 1m, 5m, 15m, 30m, 1h, 2h, 1d") as refused:
        opened(url, exchange="coinbase", retries=0).reach("BTCUSDT", Timeframe("4h"), quiet)
    assert "larger bars are made when they are read" in (refused.value.hint or "")


def test_candles_that_cannot_be_are_left_out_with_a_remark(exchange: Exchange, url: str) -> None:
    rows = exchange.markets["BTCUSDT", "1h"].rows.copy()
    rows[30, 2] = rows[30, 1] / 2  # a high below its open
    rows[40, 1:5] = 0.0
    exchange.markets["BTCUSDT", "1h"] = Candles(rows)
    provider = opened(url)
    bars = fetch(provider, FIRST, utc(2023, 12, 1))
    assert_equal(bars, np.delete(Candles(rows).between(FIRST, utc(2023, 12, 1)), [30, 40], axis=0))
    assert provider.remarks() == [
        "BTCUSDT 1h: the row of 2023-11-06 23:00 was left out: it has a price that is not a positive number",
        "BTCUSDT 1h: the row of 2023-11-06 13:00 was left out: it has a high below its open or close",
    ]


def test_cancel_is_heard_within_a_wait(exchange: Exchange, url: str) -> None:
    provider = opened(url, retry_seconds=30)
    provider.reach("BTCUSDT", HOUR, quiet)
    exchange.always = rate_limited()
    heard: list[float] = []

    def listen(step: str) -> None:
        heard.append(time.monotonic())
        if "going on in" in step and len(heard) > 6:
            raise Cancelled

    begun = time.monotonic()
    with pytest.raises(Cancelled):
        provider.fetch("BTCUSDT", HOUR, start=FIRST, end=NOW, on_progress=listen)
    assert time.monotonic() - begun < 5
    assert min(np.diff(heard[1:])) < 0.1


# --- through a real backend, with a process of its own


def since(request: Request) -> datetime:
    """From when a request asks for candles."""
    return datetime.fromtimestamp(int(request.query.get("startTime", 0)) / 1000, UTC)


@pytest.mark.process
async def test_a_load_that_is_killed_half_way_is_completed_without_asking_for_what_is_stored() -> None:
    size, first, now = Timeframe("5m"), utc(2024, 1, 1), utc(2024, 3, 3)
    site = Exchange(now, {("BTCUSDT", "5m"): Candles.walk(first, now, "5m")})
    gate, held = threading.Event(), threading.Event()

    def hold(request: Request) -> None:
        if since(request) >= utc(2024, 2, 10):
            held.set()
            gate.wait(20)

    site.rule = hold
    with serving(site) as url:
        async with open_backend(Settings(ccxt_url=url)) as opened:
            operations = opened.operations
            asked = {"symbol": "BTC/USDT", "timeframe": "5m", "provider": "ccxt"}
            started = (await operations.start("data_load", asked)).operation_id
            await until(operations, started, lambda o: o.checkpoint is not None and held.is_set())
            (runner,) = [slot.pid for slot in await operations.workers() if slot.operation_id == started]
            assert runner
            before = len(site.requests)
            os.kill(runner, signal.SIGKILL)
            gate.set()
            ended = await until(operations, started, lambda o: o.status.ended)
            assert (ended.status, ended.attempt) == (Status.COMPLETED, 2), ended.error
            bars = opened.workspace.bars.read("BTCUSDT", size)
            assert_equal(bars, site.markets["BTCUSDT", "5m"].rows)
            pages = [request for request in site.requests[before:] if request.query.get("limit") == "1000"]
            assert min(map(since, pages)) == utc(2024, 1, 31)
            result = ended.result_summary or {}
            assert (result["status"], result["bars_loaded"], result["origin"]) == ("complete", len(bars), "binance spot")
            assert opened.workspace.bars.find("BTCUSDT", size).origin == "binance spot"
            # The next load brings what is newer, and nothing twice.
            site.now, site.markets["BTCUSDT", "5m"] = now + timedelta(hours=1), Candles.walk(first, now + timedelta(hours=1), "5m")
            next_one = (await operations.start("data_load", {"symbol": "BTCUSDT", "timeframe": "5m"})).operation_id
            ended = await until(operations, next_one, lambda o: o.status.ended)
            assert (ended.result_summary or {})["bars_loaded"] == 12
            with pytest.raises(Invalid, match="holds binance spot, not kraken spot; one series does not mix them"):
                await operations.start("data_load", {**asked, "exchange": "kraken"})


@pytest.mark.process
async def test_a_rate_limit_for_ever_leaves_what_was_stored_and_the_next_load_goes_on(exchange: Exchange, url: str) -> None:
    exchange.markets["BTCUSDT", "1h"] = source = Candles.walk(utc(2022, 11, 1), NOW, "1h")
    async with open_backend(Settings(ccxt_url=url)) as opened:
        operations = opened.operations
        asked = {"symbol": "BTCUSDT", "timeframe": "1h", "provider": "ccxt", "mode": "full", "retries": 1, "retry_seconds": 0.01}
        exchange.rule = lambda request: rate_limited() if since(request) >= utc(2023, 7, 1) else None
        started = (await operations.start("data_load", asked)).operation_id
        ended = await until(operations, started, lambda o: o.status.ended)
        result = ended.result_summary or {}
        assert (ended.status, result["status"]) == (Status.COMPLETED, "partial"), ended.error
        assert "asked too often" in result["diagnosis"]
        assert "run the same command again" in result["diagnosis"]
        assert str(result["last"]) == "2022-12-31T23:00:00+00:00"
        exchange.rule = lambda _: None
        started = (await operations.start("data_load", {"symbol": "BTCUSDT", "timeframe": "1h"})).operation_id
        ended = await until(operations, started, lambda o: o.status.ended)
        assert (ended.result_summary or {})["status"] == "complete"
        assert_equal(opened.workspace.bars.read("BTCUSDT", HOUR), source.between(utc(2022, 11, 1), utc(2024, 3, 1, 12)))
