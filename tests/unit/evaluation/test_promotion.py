"""The verdict: everything must hold, and what is missing or not a number never passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.run import run_backtest
from ktrdr.evaluation.leaks import Check, LeakProof
from ktrdr.evaluation.promotion import Measured, Requirement, gates_passed, measured, promotion, untested
from ktrdr.evaluation.sharpe import Sample, dsr, expected_max_sharpe, min_btl
from ktrdr.evaluation.stress import Margins
from ktrdr.evaluation.trials import TrialCount
from ktrdr.market.bars import Bars

COSTS = Costs(commission=0.0005)
CLEAN = LeakProof.of([Check(name="features", passed=True, reason="the same", figures={})], 7)
GOOD = Measured(
    years=8.0, bars_per_year=252.0, sample=Sample(sharpe=2 / 252**0.5, periods=2015), undefined={}, leak_proof="nothing knows the future",
    p_values={"cash": 0.001, "buy_and_hold": 0.04, "random_entry": 0.01}, leak_free=True, in_sample=False,
    margins=Margins(break_even=0.002, assumed=0.0005, margin=4.0, kept_with_delay=0.8, undefined={}),
)  # fmt: skip
TWENTY = TrialCount(symbol="EURUSD", n=20, effective_n=11.0, kinds={"search": 20})


def failed(found: Measured, trials: TrialCount = TWENTY) -> set[str]:
    return {check.name for check in promotion(found, trials).checks if not check.passed}


def margin_of(**changes: Any) -> dict[str, Any]:
    return {"margins": GOOD.margins.model_copy(update=changes)}


def test_what_passes_everything_is_promoted_with_its_figures() -> None:
    found = promotion(GOOD, TWENTY)
    assert found.promoted
    figures = {check.name: (check.value, check.threshold) for check in found.checks}
    assert figures["track_length"] == (8.0, pytest.approx(min_btl(20)))
    assert figures["deflated_sharpe"] == (pytest.approx(dsr(GOOD.sample, 20, 1 / 2014)), 0.95)
    assert figures["superiority"] == (0.04, 0.05)
    assert (figures["cost_margin"], figures["delay"]) == ((4.0, 2.0), (0.8, 0.5))
    assert found.noise_bar == pytest.approx(expected_max_sharpe(20, 1 / 2014) * 252**0.5)
    assert found.sharpe_ratio == pytest.approx(2)
    assert found.effective_probability == pytest.approx(dsr(GOOD.sample, 11, 1 / 2014))
    assert all(check.sentence for check in found.checks)


@pytest.mark.parametrize(("changes", "names"), [
    ({"leak_free": False, "leak_proof": "features: the close knows"}, {"leak_proof"}),
    ({"in_sample": True}, {"out_of_sample"}),
    ({"years": 3.6}, {"track_length"}),
    ({"years": 3.7}, set()),
    ({"sample": Sample(sharpe=1.1 / 252**0.5, periods=2015)}, {"deflated_sharpe"}),
    ({"sample": None, "undefined": {"sample": "the equity never changed"}}, {"deflated_sharpe"}),
    ({"p_values": {"cash": 0.001, "buy_and_hold": 0.05}}, {"superiority"}),
    ({"p_values": {"cash": 0.001, "buy_and_hold": None}, "undefined": {"buy_and_hold": "too few"}}, {"superiority"}),
    ({"p_values": {}}, {"superiority"}),
    (margin_of(margin=1.99), {"cost_margin"}),
    (margin_of(margin=None), {"cost_margin"}),
    (margin_of(kept_with_delay=0.49), {"delay"}),
    (margin_of(kept_with_delay=None, undefined={"kept_with_delay": "no Sharpe ratio above 0 to keep"}), {"delay"}),
])  # fmt: skip
def test_each_thing_that_is_asked_can_fail_it(changes: dict[str, Any], names: set[str]) -> None:
    found = GOOD.model_copy(update=changes)
    assert failed(found) == names
    assert promotion(found, TWENTY).promoted == (not names)


@pytest.mark.parametrize("name", ["years", "sample", "margin", "kept"])
def test_what_is_not_a_number_never_promotes(name: str) -> None:
    nan = float("nan")
    wrong = {
        "years": {"years": nan}, "sample": {"sample": GOOD.sample and GOOD.sample.model_copy(update={"sharpe": nan})},
        "margin": margin_of(margin=nan), "kept": margin_of(kept_with_delay=nan),
    }[name]  # fmt: skip
    found = promotion(GOOD.model_copy(update=wrong), TWENTY)
    assert not found.promoted
    assert [check.value for check in found.checks if not check.passed] == [None] * len(failed(GOOD.model_copy(update=wrong)))
    assert Requirement.of("x", nan, 0.0, "x").value is None
    assert not Requirement.of("x", nan, 0.0, "x", most=True).passed
    assert not Requirement.of("x", float("inf"), 0.0, "x").passed


def test_more_trials_ask_for_more_and_a_broken_ledger_for_everything() -> None:
    assert failed(GOOD, TWENTY.model_copy(update={"n": 500})) == {"track_length"}
    assert failed(GOOD, TWENTY.model_copy(update={"n": 10**6})) >= {"track_length", "deflated_sharpe"}
    broken = promotion(GOOD, TWENTY.model_copy(update={"broken_at": 17}))
    assert [check.sentence for check in broken.checks if not check.passed] == [
        "trial 17 of the ledger is not as it was written, so how many there were is not known"
    ]
    assert failed(GOOD, TWENTY.model_copy(update={"n": 0})) == {"trials"}, "not even its own trial is there"


def test_the_gates_of_a_cycle_stand_beside_it() -> None:
    found = promotion(GOOD, TWENTY)
    assert found.with_check(gates_passed([("training", True, "passed"), ("backtest", True, "passed")])).promoted
    refused = found.with_check(gates_passed([("training", True, "passed"), ("backtest", False, "win_rate_too_low (40% < 45%)")]))
    assert not refused.promoted
    assert refused.checks[-1].sentence == "the backtest gate refused it: win_rate_too_low (40% < 45%)"
    never = untested("the training gate refused it", TWENTY)
    assert (never.promoted, never.noise_bar, never.trials.n) == (False, None, 20)


# --- measured from a backtest


def foresight(bars: Bars, hold: int = 24) -> np.ndarray:
    ahead = np.sign(np.append(bars.close[hold:], np.full(hold, bars.close[-1])) - bars.close).astype(np.int8)
    return ahead[np.arange(len(bars)) // hold * hold]


def test_everything_is_measured_on_the_bars_tested(bars_of: Callable[..., Bars]) -> None:
    bars = bars_of(2400)
    wanted = foresight(bars)
    found = measured(run_backtest(bars, wanted, COSTS, 1000.0), bars, wanted, CLEAN, in_sample=False)
    assert found.sample is not None
    assert set(found.p_values) == {"cash", "buy_and_hold", "volatility_hold", "random_entry"}
    assert all(value is not None and value < 0.05 for value in found.p_values.values())
    assert found.bars_per_year == pytest.approx(8766)
    assert found == measured(run_backtest(bars, wanted, COSTS, 1000.0), bars, wanted, CLEAN, in_sample=False)
    assert failed(found) == {"track_length"}, "a hundred days are too few for twenty trials"
    itself = {"itself": run_backtest(bars, wanted, COSTS, 1000.0).returns}
    also = measured(run_backtest(bars, wanted, COSTS, 1000.0), bars, wanted, CLEAN, in_sample=False, others=itself)
    assert also.p_values["itself"] == 1.0
    assert "superiority" in failed(also)


def test_what_never_trades_proves_nothing(bars_of: Callable[..., Bars]) -> None:
    bars, idle = bars_of(2400), np.zeros(2400, np.int8)
    found = measured(run_backtest(bars, idle, COSTS, 1000.0), bars, idle, CLEAN, in_sample=False)
    assert (found.sample, found.p_values["random_entry"], found.margins.margin) == (None, None, None)
    assert failed(found) >= {"deflated_sharpe", "superiority", "cost_margin", "delay"}


def test_holding_is_not_ahead_of_itself(bars_of: Callable[..., Bars]) -> None:
    bars, held = bars_of(2400, seed=4), np.ones(2400, np.int8)
    found = measured(run_backtest(bars, held, COSTS, 1000.0), bars, held, CLEAN, in_sample=False)
    assert (found.p_values["buy_and_hold"], found.p_values["random_entry"]) == (1.0, 1.0)


def test_few_days_are_said_to_be_few(bars_of: Callable[..., Bars]) -> None:
    bars = bars_of(240)
    found = measured(run_backtest(bars, foresight(bars), COSTS, 1000.0), bars, foresight(bars), CLEAN, in_sample=False)
    assert found.p_values["cash"] is None
    assert "at least 20 periods" in found.undefined["cash"]
    assert "superiority" in failed(found)
