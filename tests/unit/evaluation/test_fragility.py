"""A strategy whose numbers are each a little off."""

from __future__ import annotations

import numpy as np
import pytest

from ktrdr.backtest.costs import default_costs
from ktrdr.errors import Invalid
from ktrdr.evaluation.fragility import fragility, neighbours, total_return_with
from ktrdr.evaluation.leaks import Tape
from ktrdr.models.model import Model
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy
from tests.unit.evaluation.conftest import H1
from tests.unit.models.conftest import TEXT, model  # noqa: F401  (the fixture)


@pytest.fixture(scope="module")
def strategy() -> Strategy:
    return load_strategy(TEXT, "test").strategy


def test_each_number_is_changed_alone(strategy: Strategy) -> None:
    found, skipped = neighbours(strategy, (-0.1, 0.1))
    places = {one.place for one in found}
    assert places == {
        "indicators.rsi_14.period", "fuzzy_sets.rsi.low[1]", "fuzzy_sets.rsi.low[2]", "fuzzy_sets.rsi.high[0]",
        "fuzzy_sets.rsi.high[1]", "fuzzy_sets.rsi.high[2]", "decisions.confidence_threshold", "decisions.filters.min_signal_separation",
    }  # fmt: skip
    assert skipped == 0
    own = strategy.model_dump()
    for one in found:
        other = one.strategy.model_dump()
        assert [key for key in own if own[key] != other[key]] == [one.place.partition(".")[0]]
    periods = {one.share: one.strategy.indicators["rsi_14"].parameters["period"] for one in found if "period" in one.place}
    assert periods == {-0.1: 13, 0.1: 15}
    moved = next(one for one in found if one.place == "fuzzy_sets.rsi.low[2]" and one.share == 0.1)
    assert moved.strategy.fuzzy_sets["rsi"].memberships["low"].parameters == pytest.approx((0, 20, 49.5))


def test_periods_too_short_to_change_by_so_much_are_left_and_disorder_is_counted(strategy: Strategy) -> None:
    found, _ = neighbours(strategy, (0.2,))
    assert "indicators.roc_2.period" not in {one.place for one in found}
    _, skipped = neighbours(strategy, (0.9,))
    assert skipped > 0


def test_the_figures_are_of_the_neighbours(strategy: Strategy) -> None:
    """What is earned is 14 bars less the distance of the period from 14."""

    def figure(one: Strategy) -> float:
        return 1.5 - abs(one.indicators["rsi_14"].build().model_dump()["period"] - 14)

    found = fragility(strategy, figure)
    assert found.figure == 1.5
    wrong = [one for one in found.neighbours if (one.figure or 0) <= 0]
    assert {(one.place, one.share) for one in wrong} == {("indicators.rsi_14.period", -0.2), ("indicators.rsi_14.period", 0.2)}
    assert found.profitable == pytest.approx(1 - 2 / len(found.neighbours))
    assert found.worst is not None
    assert found.worst.place == "indicators.rsi_14.period"
    assert found.median == 1.5


def test_a_figure_that_is_not_defined_is_not_profitable(strategy: Strategy) -> None:
    found = fragility(strategy, lambda one: None)
    assert (found.figure, found.profitable, found.worst, found.median) == (None, 0.0, None, None)


def test_a_model_among_its_neighbours(strategy: Strategy, tape: Tape, model: Model) -> None:  # noqa: F811
    eager = strategy.model_copy(update={"decisions": strategy.decisions.model_copy(update={"confidence_threshold": 0.34})})
    figure = total_return_with(model, tape, 100, default_costs("BTCUSD"))
    found = fragility(eager, figure, (-0.1, 0.1))
    assert found.figure == figure(eager)
    values = np.array([one.figure for one in found.neighbours])
    assert np.isfinite(values).all()
    assert len(set(values)) >= 3
    assert len(tape[H1]) == 600


def test_shares_that_change_nothing_or_everything_are_refused(strategy: Strategy) -> None:
    for shares in ((), (0.0,), (1.5,), (-1.0,), (float("nan"),)):
        with pytest.raises(Invalid, match="between -1 and 1"):
            neighbours(strategy, shares)
