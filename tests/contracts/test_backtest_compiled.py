"""The compiled simulation and the plain one are one source and give the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.simulate import simulate


@pytest.mark.parametrize("seed", range(25))
def test_numba_and_plain_python_give_the_same_bits(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(2, 2_000))
    close = 100 * np.exp(np.cumsum(random.normal(0, random.choice([0.001, 0.05, 0.3]), count)))
    opens = np.concatenate(([100.0], close[:-1])) * np.exp(random.normal(0, 0.01, count))
    wanted = np.repeat(random.integers(-1, 2, count), random.integers(1, 20))[:count].astype(np.int8)
    share = random.choice([0.0, 0.001, 0.02], 2)
    rates = Costs(commission=share[0], slippage=share[1], spread=float(min(opens.min(), close.min())) * 0.01).rates
    plain, compiled = (simulate(opens, close, wanted, rates, 1e5, jitted=jitted) for jitted in (False, True))
    assert plain.book == compiled.book
    assert plain.equity.tobytes() == compiled.equity.tobytes()
    for mine, yours in zip(plain.ledger, compiled.ledger, strict=True):
        assert mine.tobytes() == yours.tobytes()
