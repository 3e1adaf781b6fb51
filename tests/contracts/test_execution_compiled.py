"""Stops, sizes, several symbols: the compiled account and the plain one give the same bits; so do a sweep and memberships."""

from __future__ import annotations

import numpy as np
import pytest

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.kernel import Rates
from ktrdr.backtest.run import trade
from ktrdr.backtest.simulate import Simulation
from ktrdr.backtest.sweep import sweep
from ktrdr.errors import Invalid
from ktrdr.fuzzy.fuzzify import fuzzify
from ktrdr.fuzzy.sets import FuzzySet
from ktrdr.market.loops import LONG
from ktrdr.strategy.execution import Execution
from tests.properties.test_execution import Case, a_series

EXECUTIONS = (
    {"stop_loss": 0.01, "take_profit": 0.02, "size": {"share": 0.5}},
    {"trailing_stop": 0.03, "size": {"units": 700.0}, "lot": 7, "unaffordable": "refuse", "cooldown": 3},
    {"size": {"volatility": 0.2, "span": 20}, "leverage": 2, "hours": {"start": "22:00", "end": "05:00"}},
    {"stop_loss": 0.002, "trailing_stop": 0.001, "unaffordable": "borrow", "size": {"units": 2000.0}},
)


@pytest.mark.parametrize("given", EXECUTIONS, ids="-".join)
@pytest.mark.parametrize("symbols", [1, 3])
def test_numba_and_plain_python_give_the_same_bits(given: dict[str, object], symbols: int) -> None:
    random = np.random.default_rng(symbols)
    bars = [a_series(random, name, 1_500, 0.01, holes=symbols > 1) for name in ("A", "B", "C")[:symbols]]
    targets = [np.repeat(random.integers(-1, 2, len(own)), 6)[: len(own)].astype(np.int8) for own in bars]
    costs = [Costs(commission=0.001, slippage=0.0002, per_unit=0.01, borrow=0.03, spread=0.01)] * symbols
    case = Case(bars, targets, costs, Execution.model_validate(given))
    states: list[Simulation] = []
    plain = case.run(jitted=False, chunk=400, on_state=states.append)
    for other in (case.run(jitted=True), case.run(jitted=True, resume=states[1]), case.run(jitted=False, resume=states[2])):
        assert other.book == plain.book
        for mine, yours in zip((other.equity, *other.ledger, *other.orders), (plain.equity, *plain.ledger, *plain.orders), strict=True):
            assert mine.tobytes() == yours.tobytes()
    assert len(plain.ledger.side) > 20


def test_a_sweep_gives_the_figures_of_each_backtest() -> None:
    random = np.random.default_rng(5)
    bars = a_series(random, "A", 900, 0.005, holes=False)
    variants = np.stack([np.repeat(random.integers(-1, 2, 100), 9).astype(np.int8) for _ in range(12)] + [np.zeros(900, np.int8)])
    found = sweep(bars, variants, Rates(0.001, 0.0002, 0.0), 1000.0, threads=2)
    for i, targets in enumerate(variants):
        figures = trade(bars, targets, Costs(commission=0.001, slippage=0.0002), 1000.0).metrics
        assert found.total_trades[i] == figures.total_trades
        assert found.total_return_pct[i] == pytest.approx(figures.total_return_pct, rel=1e-12, abs=1e-15)
        assert found.max_drawdown_pct[i] == pytest.approx(figures.max_drawdown_pct, rel=1e-12)
        if figures.sharpe_ratio is None:
            assert np.isnan(found.sharpe_ratio[i])
        else:
            assert found.sharpe_ratio[i] == pytest.approx(figures.sharpe_ratio, rel=1e-9)
    with pytest.raises(Invalid, match="rows of one target per bar"):
        sweep(bars, variants[:, 1:], Rates(0.0, 0.0, 0.0), 1000.0)
    with pytest.raises(Invalid, match="-1, 0 or 1"):
        sweep(bars, variants * 2, Rates(0.0, 0.0, 0.0), 1000.0)


@pytest.mark.parametrize("seed", range(8))
def test_memberships_of_long_series_have_the_bits_of_short_ones(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(-10, 110, LONG + 5).astype(float) if seed % 2 else random.uniform(-10, 110, LONG + 5)
    values[::97], values[5], values[6] = np.nan, np.inf, -np.inf
    a, b, c, d = sorted(random.choice(100, 4, replace=False).tolist())
    words = FuzzySet.model_validate({
        "indicator": "x", "triangle": [a, b, c], "edge": [a, a, c], "table": [a, b, c, d], "box": [a, a, d, d],
        "left": {"type": "left", "parameters": [b, c]}, "right": {"type": "right", "parameters": [b, c]},
        "wall": {"type": "left", "parameters": [c, c]}, "cliff": {"type": "right", "parameters": [b, b]},
    })  # fmt: skip
    long = fuzzify(words, values)
    for part in (slice(0, LONG - 1), slice(LONG - 100, None)):
        np.testing.assert_array_equal(long[part], fuzzify(words, values[part]))
