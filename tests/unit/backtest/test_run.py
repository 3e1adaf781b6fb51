from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import numpy as np
import pytest

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.result import Backtest
from ktrdr.backtest.run import run_backtest
from ktrdr.errors import Invalid
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe


def bars_of(open: list[float], close: list[float]) -> Bars:
    high, low = [max(pair) + 1 for pair in zip(open, close, strict=True)], [min(pair) - 1 for pair in zip(open, close, strict=True)]
    time = np.datetime64("2024-01-01", "us") + np.arange(len(open)) * np.timedelta64(1, "h")
    return Bars.checked("TEST", Timeframe("1h"), time, open=open, high=high, low=low, close=close, volume=[1.0] * len(open))


BARS = bars_of([100, 102, 104, 106, 108], [101, 103, 105, 107, 109])


def run(targets: list[int], bars: Bars = BARS, capital: float = 10_200.0, **costs: float) -> Backtest:
    return run_backtest(bars, np.array(targets, np.int8), Costs(**costs), capital)


def test_a_decision_is_filled_at_the_next_open_with_the_whole_equity() -> None:
    result = run([1, 1, 0, 0, 0])
    trade = result.trades[0]
    assert (trade.side, trade.entry_price, trade.exit_price, trade.quantity) == ("long", 102.0, 106.0, 100.0)
    assert (trade.entry_time, trade.exit_time) == (datetime(2024, 1, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 3, tzinfo=UTC))
    assert (trade.entry_reason, trade.exit_reason, trade.bars_held) == ("signal", "signal", 2)
    assert result.equity.tolist() == [10_200.0, 10_300.0, 10_500.0, 10_600.0, 10_600.0]
    assert result.returns.tolist() == pytest.approx([100 / 10_200, 200 / 10_300, 100 / 10_500, 0.0])


def test_a_short_position_earns_when_prices_fall() -> None:
    falling = bars_of([110, 100, 90, 80], [105, 95, 85, 75])
    result = run([-1, 0, 0, 0], falling, capital=1000.0)
    assert result.equity.tolist() == [1000.0, 1050.0, 1100.0, 1100.0]
    assert result.trades[0].side == "short"


def test_a_reversal_closes_and_opens_at_the_same_open() -> None:
    result = run([1, -1, 0, 0, 0])
    long, short = result.trades
    assert (long.exit_bar, short.entry_bar) == (2, 2)
    assert (long.exit_price, short.entry_price) == (104.0, 104.0)
    assert short.quantity == pytest.approx(10_400 / 104)


def test_commission_is_part_of_what_the_whole_equity_pays() -> None:
    trade = run([1, 0, 0, 0, 0], commission=0.01).trades[0]
    assert trade.quantity == pytest.approx(10_200 / (102 * 1.01))
    assert trade.commission == pytest.approx(trade.quantity * (102 + 104) * 0.01)
    assert trade.net_pnl == pytest.approx(trade.quantity * 2 - trade.commission)


def test_spread_and_slippage_are_paid_in_the_prices() -> None:
    trade = run([1, 0, 0, 0, 0], slippage=0.01, spread=0.5).trades[0]
    assert trade.entry_price == pytest.approx(102 * 1.01 + 0.5)
    assert trade.exit_price == pytest.approx(104 * 0.99 - 0.5)
    assert trade.slippage == pytest.approx(trade.quantity * (102 * 0.01 + 104 * 0.01 + 1.0))
    assert trade.gross_pnl == pytest.approx(trade.quantity * 2)


def test_a_position_open_at_the_end_is_closed_at_the_last_close_with_costs_inside_the_equity() -> None:
    result = run([0, 0, 1, 1, 1], commission=0.01)
    trade = result.trades[0]
    assert (trade.exit_reason, trade.exit_price, trade.bars_held) == ("end_of_data", 109.0, 2)
    assert trade.exit_time == datetime(2024, 1, 1, 5, tzinfo=UTC)
    assert result.equity[-1] == pytest.approx(10_200 + trade.net_pnl)
    assert result.end == trade.exit_time


def test_a_target_on_the_last_bar_is_not_filled() -> None:
    assert len(run([0, 0, 0, 0, 1]).trades) == 0


def test_a_short_position_that_loses_everything_ends_the_trading() -> None:
    doubling = bars_of([100, 100, 150, 260, 300, 300], [100, 120, 180, 280, 290, 100])
    result = run([-1, -1, 1, 1, 1, 1], doubling, capital=1000.0)
    assert [trade.exit_reason for trade in result.trades] == ["signal"]
    assert result.equity.tolist() == [1000.0, 800.0, 200.0, -600.0, -600.0, -600.0]
    assert result.ruined_at == datetime(2024, 1, 1, 4, tzinfo=UTC)
    held = run([-1] * 6, doubling, capital=1000.0)
    assert [trade.exit_reason for trade in held.trades] == ["ruin"]
    assert held.equity.tolist() == [1000.0, 800.0, 200.0, -800.0, -800.0, -800.0]
    assert held.metrics.annualized_return is None


def test_excursions_are_the_best_and_worst_moments_while_held() -> None:
    trade = run([1, 1, 0, 0, 0]).trades[0]
    assert trade.max_favorable_excursion == pytest.approx(106 / 102 - 1)
    assert trade.max_adverse_excursion == pytest.approx(1 - 101 / 102)


def test_it_stands_beside_buying_and_holding_with_the_same_costs_and_beside_doing_nothing() -> None:
    result = run([0, 0, 0, 0, 0], commission=0.01)
    held = run([1, 1, 1, 1, 1], commission=0.01)
    assert result.benchmarks["buy_and_hold"] == held.metrics
    assert result.benchmarks["flat"] == result.metrics
    assert result.metrics.total_trades == 0


def test_the_summary_is_json_without_nan() -> None:
    summary = run([1, -1, 0, 1, 1], commission=0.001).to_json()
    text = json.dumps(summary, allow_nan=False)
    assert json.loads(text) == summary
    assert summary["costs"]["sentence"] == "per side: commission 0.1000%"
    assert summary["final_equity"] == pytest.approx(10_200 + summary["metrics"]["total_return"])


def test_trades_and_equity_are_written_as_csv_and_lose_nothing() -> None:
    result = run([1, -1, 0, 1, 1], commission=0.001)
    rows = list(csv.DictReader(io.StringIO(result.trades_csv())))
    assert [float(row["net_pnl"]) for row in rows] == result.trades.net_pnl.tolist()
    assert rows[0]["entry_time"] == "2024-01-01T01:00:00Z"
    lines = result.equity_csv().splitlines()
    assert lines[0] == "time,equity,buy_and_hold"
    assert lines[1] == "2024-01-01T00:00:00Z,10200.0,10200.0"
    assert [float(line.split(",")[1]) for line in lines[1:]] == result.equity.tolist()
    held = [float(line.split(",")[2]) for line in lines[1:]]
    assert held == result.benchmark_equity["buy_and_hold"].tolist()
    assert held[-1] == pytest.approx(10_200 + result.benchmarks["buy_and_hold"].total_return)


def test_the_caller_is_heard_and_can_end_the_run() -> None:
    seen: list[tuple[int, int]] = []
    run_backtest(BARS, np.zeros(5, np.int8), Costs(), 100.0, lambda done, total: seen.append((done, total)))
    assert seen == [(5, 5)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_backtest(BARS, np.zeros(5, np.int8), Costs(), 100.0, stop)


@pytest.mark.parametrize(("change", "message"), [
    ({"targets": [1, 1]}, "2 targets were given for 5 bars"),
    ({"targets": [0, 2, 0, 0, 0]}, "bar 1 has another value"),
    ({"capital": 0.0}, "positive amount"),
    ({"capital": float("nan")}, "positive amount"),
    ({"spread": 200.0}, "would bring nothing"),
])  # fmt: skip
def test_what_cannot_be_simulated_is_refused(change: dict[str, object], message: str) -> None:
    given = {"targets": [0] * 5, "capital": 100.0, **change}
    with pytest.raises(Invalid, match=message):
        run(**given)


def test_one_bar_is_not_enough() -> None:
    with pytest.raises(Invalid, match="at least 2 bars"):
        run([0], bars_of([100], [100]))
