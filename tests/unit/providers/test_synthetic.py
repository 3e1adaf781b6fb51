from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.checks import check_bars
from ktrdr.market.gaps import find_gaps
from ktrdr.market.timeframe import Timeframe
from ktrdr.providers.synthetic import Synthetic


def draw(symbol: str, timeframe: str, start: datetime, end: datetime, seed: int = 7) -> Bars:
    return Synthetic(seed=seed).fetch(symbol, Timeframe(timeframe), start=start, end=end, on_progress=lambda _: None)


def day(year: int, month: int = 1, of_month: int = 1) -> datetime:
    return datetime(year, month, of_month, tzinfo=UTC)


@pytest.mark.parametrize(("symbol", "timeframe"), [("EURUSD", "1h"), ("AAPL", "1h"), ("BTCUSDT", "4h"), ("AAPL", "1d"), ("XAUUSD", "1w")])
def test_its_bars_fill_the_usual_hours_and_look_like_a_market(symbol: str, timeframe: str) -> None:
    bars = draw(symbol, timeframe, day(2012, 3), day(2015))
    assert bars.provider == "synthetic"
    assert check_bars(bars) == ()
    assert all(gap.reason == "closed" for gap in find_gaps(bars))
    np.testing.assert_allclose(bars.open[1:], bars.close[:-1], rtol=1e-12)
    assert bars.has_volume == (symbol != "EURUSD")
    spread = np.std(np.diff(np.log(bars.close))) * np.sqrt(len(bars) / 2.83)
    assert 0.08 < spread < 0.3


def test_ranges_drawn_one_by_one_fit_together() -> None:
    whole = draw("EURUSD", "1h", day(2012, 6), day(2014, 2))
    parts = [draw("EURUSD", "1h", day(2012, 6), day(2012, 9)), draw("EURUSD", "1h", day(2012, 9), day(2014, 2))]
    for name in ("time", *COLUMNS):
        np.testing.assert_array_equal(getattr(whole, name), np.concatenate([getattr(part, name) for part in parts]))


def test_the_same_seed_gives_the_same_bars_and_another_gives_others() -> None:
    first, again, other = (draw("AAPL", "1d", day(2012), day(2013), seed) for seed in (7, 7, 8))
    assert first.digest() == again.digest() != other.digest()


def test_a_range_in_which_the_market_is_closed_has_no_bars() -> None:
    assert len(draw("EURUSD", "1h", day(2018, 1, 6), day(2018, 1, 7))) == 0


def test_it_has_bars_for_every_range_and_says_what_it_does() -> None:
    told: list[str] = []
    provider = Synthetic()
    assert provider.reach("EURUSD", Timeframe("1h"), told.append) is None
    provider.fetch("EURUSD", Timeframe("1d"), start=day(2012, 12, 20), end=day(2013, 1, 5), on_progress=told.append)
    assert told == ["drawing EURUSD 1d of 2012", "drawing EURUSD 1d of 2013"]


def moves(edge: str, size: float = 0.2, symbol: str = "BTCUSDT", seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    provider = Synthetic(edge=edge, edge_size=size, seed=seed)
    bars = provider.fetch(symbol, Timeframe("1h"), start=day(2012), end=day(2016), on_progress=lambda _: None)
    assert check_bars(bars) == ()
    return bars.time[1:], np.diff(np.log(bars.close))


def to_the_next(returns: np.ndarray) -> float:
    return float(np.corrcoef(returns[1:], returns[:-1])[0, 1])


@pytest.mark.parametrize(("edge", "size", "expected"), [("none", 0.2, 0.0), ("momentum", 0.2, 0.2), ("reversion", 0.3, -0.3)])
def test_an_edge_is_planted_as_strong_as_it_was_ordered_and_none_is_none(edge: str, size: float, expected: float) -> None:
    assert to_the_next(moves(edge, size)[1]) == pytest.approx(expected, abs=0.03)


def test_hours_that_rise_and_fall_do_so_and_nothing_else_changes() -> None:
    time, planted = moves("hours")
    _, plain = moves("none")
    hour = time.astype("datetime64[h]").astype(int) % 24
    lifted = (planted - plain) / plain.std()
    assert lifted[(hour == 14) | (hour == 15)].mean() == pytest.approx(0.2, abs=0.06)
    assert lifted[(hour == 18) | (hour == 19)].mean() == pytest.approx(-0.2, abs=0.06)
    assert abs(lifted[hour < 14].mean()) < 0.02


def test_its_bars_are_labelled_as_made_up_with_what_they_were_made_with() -> None:
    assert Synthetic().origin("X") == "made up, no market: seed 7, volatility 0.15, no edge"
    assert Synthetic(seed=3, edge="momentum").origin("X") == "made up, no market: seed 3, volatility 0.15, edge momentum 0.1"
