"""The verdict on worlds without an edge and with one; the whole count stands in docs/why/honest-results.md."""

from __future__ import annotations

import numpy as np
import pytest

from bench.null_campaigns import (
    PERIOD,
    SHARPE,
    SYMBOL,
    TESTED,
    WARM_UP,
    campaign,
    candidates,
    main,
    null_world,
    planted_world,
    share,
    source,
)
from ktrdr.backtest.costs import default_costs
from ktrdr.backtest.run import run_backtest
from ktrdr.market.bars import Bars
from ktrdr.strategy.decisions import decide
from ktrdr.strategy.features import compute_features


@pytest.fixture(scope="module")
def daily() -> Bars:
    return source()


def test_luck_is_not_promoted(daily: Bars) -> None:
    found = [campaign(null_world, daily, seed, planted=False) for seed in range(3)]
    assert not any(one.promoted for one in found)
    assert all(one.trials.n == 20 for one in found)
    assert all({"deflated_sharpe"} <= {check.name for check in one.checks if not check.passed} for one in found)


def test_an_edge_is_promoted(daily: Bars) -> None:
    found = [campaign(planted_world, daily, seed, planted=True) for seed in range(3)]
    assert sum(one.promoted for one in found) >= 2


def test_the_grammar_writes_the_planted_rule(daily: Bars) -> None:
    """On average it earns the Sharpe ratio that was planted, and it holds positions most of the time."""
    ratios = []
    for seed in range(4):
        random = np.random.default_rng((seed, 1))
        bars = planted_world(daily, random)
        rule = candidates(bars, random, planted=True)[-1]
        assert f"roc_{PERIOD}" in rule.strategy.indicators
        tested = bars.rows(slice(WARM_UP, None))
        scores = rule.predict(compute_features(rule.strategy, {bars.timeframe: bars}))[WARM_UP:]
        result = run_backtest(tested, decide(scores, rule.strategy, tested.time).targets, default_costs(SYMBOL), 1000.0)
        assert len(tested) == TESTED
        assert result.metrics.exposure > 0.6
        ratios.append(result.metrics.sharpe_ratio)
    assert np.mean(ratios) == pytest.approx(SHARPE, abs=0.5)


def test_the_interval_of_a_share_is_exact() -> None:
    """Of 0 in 60 and 3 in 60, as tables give them."""
    assert share(0, 60) == pytest.approx((0, 0.0596), abs=1e-4)
    assert share(3, 60) == pytest.approx((0.0104, 0.1392), abs=1e-4)
    assert share(60, 60) == pytest.approx((0.9404, 1), abs=1e-4)


def test_the_whole_of_it_runs_and_says_what_does_not_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--null", "1", "--planted", "1"]) == 1, "one campaign is too few to bound anything"
    said = capsys.readouterr().out
    assert "null: 0 of 1 campaigns promoted" in said
    assert "planted: " in said
    assert said.endswith("DOES NOT HOLD\n")
