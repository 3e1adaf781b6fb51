"""The provider yahoo with the real library, over real encrypted sockets, against a Yahoo of our own."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yfinance  # noqa: F401  (its import sets warning filters, which a test would keep)

from ktrdr.errors import Invalid, NotFound, Unavailable
from ktrdr.market.actions import Action
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.job import Cancelled
from ktrdr.operations.model import Status
from ktrdr.providers.base import Provider, build
from ktrdr.settings import Settings
from ktrdr.wiring import open_backend
from tests.contracts.waiting import until
from tests.wire.web import BROKEN, Reply, Request
from tests.wire.yahoo import NEW_YORK, RATE_LIMITED, SECONDS, Listing, Row, YahooFinance, error, opening, proxied

# What the library does with its own tables is its own affair.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")
DAY, HOUR, MINUTE = Timeframe("1d"), Timeframe("1h"), Timeframe("1m")
TODAY = datetime.now(UTC).astimezone(NEW_YORK).date()
SPLITS = {date(2014, 6, 9): 7.0, date(2020, 8, 31): 4.0}


def quiet(_: str) -> None:
    """Nobody listens."""


def weekdays(first: date, last: date) -> list[date]:
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [day for day in days if day.weekday() < 5]


def walk(count: int, start: float = 400.0, seed: int = 2) -> list[Row]:
    """Prices in whole cents, volumes in whole shares."""
    random = np.random.default_rng(seed)
    close = np.round(start * np.exp(np.cumsum(random.normal(0, 0.01, count))), 2)
    open_ = np.concatenate(([start], close[:-1]))
    high, low = np.round(np.maximum(open_, close) + 0.5, 2), np.round(np.minimum(open_, close) - 0.5, 2)
    return [tuple(row) for row in np.stack([open_, high, low, close, random.integers(1, 9000, count) * 100.0], axis=1).tolist()]


def intraday(size: str, days: int) -> dict[datetime, Row]:
    """Bars of the regular sessions of the last days; those of today up to now."""
    moments = [
        opening(day) + timedelta(seconds=into)
        for day in weekdays(TODAY - timedelta(days=days), TODAY) for into in range(0, 23400, SECONDS[size])
    ]  # fmt: skip
    moments = [moment for moment in moments if moment <= datetime.now(UTC)]
    return dict(zip(moments, walk(len(moments)), strict=True))


@pytest.fixture(scope="module")
def apple() -> Listing:
    """Daily prices with a fall at each split, as they were traded."""
    days = weekdays(date(2012, 1, 3), TODAY)
    rows = [
        tuple(v and (v * d if i == 4 else v / d) for i, v in enumerate(row))
        for row, d in zip(walk(len(days)), map(before, days), strict=True)
    ]
    listing = Listing(dict(zip(days, rows, strict=True)), splits=SPLITS)
    listing.dividends = {date(2013, 2, 7): 2.65, date(2020, 11, 6): 0.205}
    listing.bars = {"1h": intraday("1h", 725), "1m": intraday("1m", 20)}
    return listing


def before(day: date) -> float:
    """By what splits until a day have divided the price."""
    return float(np.prod([ratio for when, ratio in SPLITS.items() if when <= day]))


@pytest.fixture
def yahoo(apple: Listing) -> YahooFinance:
    copy = Listing(dict(apple.days), dict(apple.bars), dict(apple.splits), dict(apple.dividends))
    return YahooFinance({"AAPL": copy})


@pytest.fixture(autouse=True)
def environment(yahoo: YahooFinance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with proxied(yahoo, tmp_path) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield


def opened(**options: Any) -> Provider:
    return build("yahoo", {"retry_seconds": 0.01, **options})


def fetch(
    provider: Provider, timeframe: Timeframe, start: datetime | None = None, end: datetime | None = None, symbol: str = "AAPL"
) -> Bars:
    reach = provider.reach(symbol, timeframe, quiet)
    assert reach
    return provider.fetch(symbol, timeframe, start=start or reach.start, end=end or reach.end, on_progress=quiet)


def assert_equal(bars: Bars, rows: dict[Any, Row]) -> None:
    """The bars are the rows, to the digits that dividing and multiplying by the splits leaves."""
    times = [at.astimezone(UTC).replace(tzinfo=None) if isinstance(at, datetime) else at for at in rows]
    np.testing.assert_array_equal(bars.time, np.array(times, "datetime64[us]"))
    for place, name in enumerate(COLUMNS):
        np.testing.assert_allclose(getattr(bars, name), [row[place] for row in rows.values()], rtol=1e-12)


def day(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def finished(listing: Listing) -> dict[date, Row]:
    """The days before today."""
    return {when: row for when, row in listing.days.items() if when < TODAY}


def test_days_are_stored_as_they_were_traded_under_their_own_date(yahoo: YahooFinance) -> None:
    provider = opened()
    bars = fetch(provider, DAY, end=day(TODAY.year, TODAY.month, TODAY.day))
    assert_equal(bars, finished(yahoo.listings["AAPL"]))
    at = int(np.searchsorted(bars.time, np.datetime64("2014-06-09")))
    assert bars.close[at - 1] / bars.close[at] > 5
    assert provider.remarks() == []
    charts = yahoo.asked("/v8/finance/chart/AAPL")
    assert len(charts) == 2  # one for the time zone, one for all days
    assert charts[-1].query["crumb"] == "crumb.of.yahoo"


def test_splits_and_dividends_are_kept_apart_in_money_of_their_day() -> None:
    provider = opened()
    provider.reach("AAPL", DAY, quiet)
    told = provider.actions("AAPL")
    assert [(action.day, action.kind) for action in told] == [
        (date(2013, 2, 7), "dividend"), (date(2014, 6, 9), "split"), (date(2020, 8, 31), "split"), (date(2020, 11, 6), "dividend"),
    ]  # fmt: skip
    np.testing.assert_allclose([action.value for action in told], [2.65, 7, 4, 0.205])


def test_the_day_that_is_not_over_is_left_out_and_half_an_hour_after_its_session_it_is_there(yahoo: YahooFinance) -> None:
    """Here every day is a day of trade, from midnight on, so that there is a bar of today at any time."""
    listing, now = yahoo.listings["AAPL"], datetime.now(UTC).astimezone(NEW_YORK)
    listing.days = {TODAY - timedelta(days=n): row for n, row in zip(range(9, -1, -1), walk(10), strict=True)}
    listing.splits.clear()
    yahoo.opens, yahoo.closes = clock(0), clock(23, 59)
    assert_equal(fetch(opened(), DAY), finished(listing))
    assert len(finished(listing)) == 9
    yahoo.closes = clock(0, 1)
    assert_equal(fetch(opened(), DAY), listing.days if now.time() > clock(0, 35) else finished(listing))


def test_the_hour_that_is_not_over_is_left_out(yahoo: YahooFinance) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    moments = [now - timedelta(hours=3), now - timedelta(hours=2), now - timedelta(minutes=10)]
    yahoo.listings["AAPL"].bars["1h"] = rows = dict(zip(moments, walk(3), strict=True))
    assert_equal(fetch(opened(prepost=True), HOUR), {at: rows[at] for at in moments[:2]})


def test_hours_begin_with_the_session_and_the_unfinished_one_is_left_out(yahoo: YahooFinance) -> None:
    provider = opened()
    bars = fetch(provider, HOUR)
    source = yahoo.listings["AAPL"].bars["1h"]
    over = {at: row for at, row in source.items() if at + timedelta(hours=1) <= datetime.now(UTC)}
    assert_equal(bars, over)
    summer = bars.time[(bars.time.astype("datetime64[M]").astype(int) % 12 == 6)]
    winter = bars.time[(bars.time.astype("datetime64[M]").astype(int) % 12 == 0)]
    assert str(summer[0])[11:16] == "13:30"
    assert str(winter[0])[11:16] == "14:30"


def test_prices_within_the_day_are_undivided_too(yahoo: YahooFinance) -> None:
    listing = yahoo.listings["AAPL"]
    listing.splits[weekdays(TODAY - timedelta(days=9), TODAY)[0]] = 3.0
    source = {at: row for at, row in listing.bars["1h"].items() if at + timedelta(hours=1) <= datetime.now(UTC)}
    assert_equal(fetch(opened(), HOUR), source)


def test_minutes_are_asked_for_in_as_many_answers_as_yahoo_wants(yahoo: YahooFinance) -> None:
    provider = opened()
    bars = fetch(provider, MINUTE)
    source = {at: row for at, row in yahoo.listings["AAPL"].bars["1m"].items() if at + timedelta(minutes=1) <= datetime.now(UTC)}
    assert_equal(bars, source)
    asked = [request for request in yahoo.asked("/v8/finance/chart/AAPL") if request.query["interval"] == "1m"]
    assert len(asked) == 5


def test_sizes_that_yahoo_does_not_do_well_are_refused_with_the_way_round() -> None:
    for size in ("30m", "4h", "1w"):
        with pytest.raises(Invalid, match=rf"yahoo has no sound bars of {size}; it has 1m, 5m, 15m, 1h, 1d") as failure:
            opened().reach("AAPL", Timeframe(size), quiet)
        assert "larger bars are made when they are read" in (failure.value.hint or "")


def test_rows_without_a_price_are_left_out_and_counted(yahoo: YahooFinance) -> None:
    listing = yahoo.listings["AAPL"]
    holes = [date(2018, 3, 6), date(2018, 3, 7)]
    for when in holes:
        listing.days[when] = (None, None, None, None, None)
    wrong = date(2018, 5, 8)
    listing.days[wrong] = (100.0, 90.0, 80.0, 95.0, 1.0)
    provider = opened()
    bars = fetch(provider, DAY, day(2018, 1, 1), day(2019, 1, 1))
    left = {when: row for when, row in finished(listing).items() if when.year == 2018 and when not in (*holes, wrong)}
    assert_equal(bars, left)
    assert provider.remarks() == [
        "AAPL 1d: 2 rows were left out: each, as that of 2018-03-06 00:00, has no price",
        "AAPL 1d: the row of 2018-05-08 00:00 was left out: it has a high below its open or close",
    ]
    assert provider.remarks() == []


def test_symbols_are_named_as_yahoo_names_them() -> None:
    names = {"EURUSD": "EURUSD=X", "BRK.B": "BRK-B", "SAP.DE": "SAP.DE", "BTCUSD": "BTC-USD", "AAPL": "AAPL"}
    for symbol, name in names.items():
        assert opened().origin(symbol) == f"{name}, prices as traded"
    assert opened(ticker="^gspc").origin("SP500") == "^GSPC, prices as traded"


def test_an_unknown_or_delisted_symbol_is_an_error_with_a_way_to_find_it() -> None:
    with pytest.raises(NotFound, match="Yahoo knows no prices of NOPE") as failure:
        opened().reach("NOPE", DAY, quiet)
    assert "finance.yahoo.com" in (failure.value.hint or "")


def test_a_range_without_prices_is_empty(yahoo: YahooFinance) -> None:
    provider = opened()
    provider.reach("AAPL", HOUR, quiet)
    yahoo.faults.extend([error("Bad Request", "Data doesn't exist for startDate = 1, endDate = 2", 400)] * 2)
    sunday = TODAY - timedelta(days=TODAY.weekday() + 8)
    at = day(sunday.year, sunday.month, sunday.day)
    assert len(provider.fetch("AAPL", HOUR, start=at, end=at + timedelta(hours=12), on_progress=quiet)) == 0
    assert not yahoo.faults
    assert len(provider.fetch("AAPL", HOUR, start=at - timedelta(days=1), end=at + timedelta(hours=12), on_progress=quiet)) == 0


# A fault is met twice by one request of the library: it asks again with another kind of cookie.
@pytest.mark.parametrize(
    "fault", [RATE_LIMITED, Reply("<html>Will be right back</html>", 502), Reply({"chart": None}), BROKEN, Reply("{", 200)],
    ids=["429", "502", "empty", "broken", "half"],
)  # fmt: skip
def test_what_passes_is_asked_again(yahoo: YahooFinance, fault: Reply) -> None:
    provider = opened()
    provider.reach("AAPL", HOUR, quiet)
    yahoo.faults.extend([fault] * (1 if fault.status == 200 else 2))
    end = datetime.now(UTC) - timedelta(days=30)
    bars = provider.fetch("AAPL", HOUR, start=end - timedelta(days=30), end=end, on_progress=quiet)
    source = yahoo.listings["AAPL"].bars["1h"]
    assert_equal(bars, {at: row for at, row in source.items() if end - timedelta(days=30) <= at < end})
    assert not yahoo.faults


@pytest.mark.parametrize(("fault", "sentence", "advice"), [
    (RATE_LIMITED, "Yahoo says it is asked too often, 3 times in a row", "wait an hour or more"),
    (BROKEN, "Yahoo cannot be reached, 3 times in a row", "HTTPS_PROXY"),
    (Reply("<html>Will be right back</html>", 503), "Yahoo answered with something that is not prices, 3 times in a row", "again"),
    (Reply({"finance": {"error": {"code": "Unauthorized", "description": "Invalid Crumb"}}}, 401),
     "Yahoo answered with something that is not prices", "again"),
    (error("internal-error", "upstream timed out", 500), "is not prices, 3 times in a row.*upstream timed out", "again"),
    (Reply({"finance": {"error": {"code": "Unauthorized", "description": "Invalid Crumb"}}}, 422), "is not prices", "again"),
], ids=["429", "broken", "down", "crumb", "internal", "crumb of prices"])  # fmt: skip
def test_what_does_not_pass_is_an_error_that_says_what_to_do(yahoo: YahooFinance, fault: Reply, sentence: str, advice: str) -> None:
    yahoo.always = fault
    if fault.status in (422, 500):
        yahoo.always, yahoo.rule = None, lambda request: fault if request.query.get("period1") else None
    with pytest.raises(Unavailable, match=sentence) as failure:
        opened().reach("AAPL", DAY, quiet)
    assert advice in (failure.value.hint or "")


def test_cancel_is_heard_within_a_wait(yahoo: YahooFinance) -> None:
    yahoo.always = RATE_LIMITED
    heard: list[float] = []

    def listen(step: str) -> None:
        if "going on in" in step:
            heard.append(time.monotonic())
        if len(heard) > 5:
            raise Cancelled

    begun = time.monotonic()
    with pytest.raises(Cancelled):
        opened(retry_seconds=30).reach("AAPL", DAY, listen)
    assert time.monotonic() - begun < 5
    assert np.median(np.diff(heard)) < 0.1


# --- through a real backend, with a process of its own


@pytest.mark.process
async def test_a_load_that_is_killed_half_way_is_completed_with_its_actions(yahoo: YahooFinance) -> None:
    gate, held = threading.Event(), threading.Event()
    yesterday = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def hold(request: Request) -> None:
        if request.query.get("interval") == "1h" and held.is_set():
            gate.wait(20)
        if request.query.get("interval") == "1h":
            held.set()

    yahoo.rule = hold
    async with open_backend(Settings()) as opened:
        operations = opened.operations
        asked = {"symbol": "AAPL", "timeframe": "1h", "provider": "yahoo", "mode": "full", "end_date": yesterday.isoformat()}
        started = (await operations.start("data_load", asked)).operation_id
        await until(operations, started, lambda o: o.checkpoint is not None and held.is_set())
        (runner,) = [slot.pid for slot in await operations.workers() if slot.operation_id == started]
        assert runner
        os.kill(runner, signal.SIGKILL)
        gate.set()
        ended = await until(operations, started, lambda o: o.status.ended)
        assert (ended.status, ended.attempt) == (Status.COMPLETED, 2), ended.error
        bars = opened.workspace.bars.read("AAPL", HOUR, provider="yahoo")
        source = yahoo.listings["AAPL"].bars["1h"]
        assert_equal(bars, {at: row for at, row in source.items() if at < yesterday})
        assert (ended.result_summary or {})["origin"] == "AAPL, prices as traded"
        actions = opened.workspace.bars.actions("AAPL", "yahoo")
        assert actions[1] == Action(date(2014, 6, 9), "split", 7.0)
        assert len(actions) == 4


@pytest.mark.process
async def test_an_error_of_yahoo_is_the_error_of_the_load(yahoo: YahooFinance) -> None:
    yahoo.always = RATE_LIMITED
    async with open_backend(Settings()) as opened:
        asked = {"symbol": "AAPL", "provider": "yahoo", "mode": "full", "retry_seconds": 0.01}
        started = (await opened.operations.start("data_load", asked)).operation_id
        ended = await until(opened.operations, started, lambda o: o.status.ended)
        assert ended.status is Status.FAILED
        assert ended.error is not None
        assert ended.error.code == "rate_limited"
        assert "wait an hour" in (ended.error.hint or "")
        yahoo.always = None
        started = (await opened.operations.start("data_load", asked)).operation_id
        ended = await until(opened.operations, started, lambda o: o.status.ended)
        assert ended.status is Status.COMPLETED
        midnight = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
        bars = opened.workspace.bars.read("AAPL", DAY, end=midnight, provider="yahoo", adjust="raw")
        assert_equal(bars, finished(yahoo.listings["AAPL"]))
