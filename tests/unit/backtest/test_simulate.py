from __future__ import annotations

import json

import numpy as np
import pytest

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.simulate import CHUNK, Simulation, simulate

COUNT = 2 * CHUNK + 5_000
RATES = Costs(commission=0.0001, slippage=0.0001).rates


def market() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.001, COUNT)))
    wanted = np.repeat(random.integers(-1, 2, COUNT // 50), 50).astype(np.int8)
    return np.concatenate(([100.0], close[:-1])), close, wanted


def same(one: Simulation, other: Simulation) -> bool:
    arrays = zip((one.equity, *one.ledger, *one.orders), (other.equity, *other.ledger, *other.orders), strict=True)
    return one.book == other.book and all(np.array_equal(a, b) for a, b in arrays)


def test_a_run_that_was_stopped_goes_on_to_the_same_bits() -> None:
    states: list[Simulation] = []
    whole = simulate(*market(), RATES, 1e5, on_state=states.append, jitted=False)
    assert [state.done for state in states] == [CHUNK, 2 * CHUNK, COUNT]
    for state in states:
        written, tensors = state.to_parts()
        again = Simulation.from_parts(json.loads(json.dumps(written)), tensors)
        assert same(simulate(*market(), RATES, 1e5, resume=again, jitted=False), whole)


def test_what_the_caller_raises_between_chunks_ends_the_run_there() -> None:
    heard: list[int] = []

    def stop(done: int, total: int) -> None:
        heard.append(done)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        simulate(*market(), RATES, 1e5, on_chunk=stop, jitted=False)
    assert heard == [CHUNK]
