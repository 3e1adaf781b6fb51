"""From scores to positions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ktrdr.errors import Invalid
from ktrdr.labels.base import BUY, HOLD, SELL
from ktrdr.strategy.decisions import Decided, decide
from ktrdr.strategy.load import Loaded
from ktrdr.strategy.spec import Strategy

Load = Callable[..., Loaded]
REGRESSION = (
    ("output_format: classification", "output_format: regression\n  cost_model: {round_trip_cost: 0.002, min_edge_multiplier: 1.5}"),
    ("{source: zigzag, zigzag_threshold: 0.01}", "{source: forward_return}"),
)
ROWS = {"b": [0.8, 0.1, 0.1], "h": [0.1, 0.8, 0.1], "s": [0.1, 0.1, 0.8], "?": [0.4, 0.3, 0.3], "-": [np.nan, np.nan, np.nan]}
LETTERS = {BUY: "b", HOLD: "h", SELL: "s"}


@pytest.fixture
def strategy(load: Load) -> Callable[..., Strategy]:
    """A strategy with the given keys in its decisions."""

    def make(*keys: str, separation: float = 0) -> Strategy:
        keys = (f"filters: {{min_signal_separation: {separation}}}", *keys)
        return load(("  output_format: classification", "\n".join(f"  {key}" for key in keys))).strategy

    return make


def follow(strategy: Strategy, letters: str, hours: list[float] | None = None) -> Decided:
    """Decisions on hourly bars: buy, hold, sell, ? for unsure, - for no score."""
    apart = np.arange(len(letters)) * 60.0 if hours is None else np.array(hours) * 60
    time = np.datetime64("2020-01-01", "us") + apart.astype("timedelta64[m]")
    return decide(np.array([ROWS[letter] for letter in letters]), strategy, time)


def positions(decided: Decided) -> str:
    return "".join({-1: "S", 0: ".", 1: "L"}[target] for target in decided.targets.tolist())


def signals(decided: Decided) -> str:
    return "".join(LETTERS[signal] for signal in decided.signals.tolist())


LONG, BOTH = "allow_short_from_flat: false", "allow_short_from_flat: true"


@pytest.mark.parametrize(
    ("allowed", "given", "held"),
    [
        (LONG, "hbhhshh", ".LLL..."),
        (LONG, "ssbs", "..L."),
        (LONG, "bbss", "LL.."),
        (BOTH, "hshhb", ".SSS."),
        (BOTH, "bss", "L.S"),
        (BOTH, "sbb", "S.L"),
        (BOTH, "bsbs", "L.L."),
        (BOTH, "b?-h", "LLLL"),
    ],
)
def test_positions_follow_the_signals(strategy: Callable[..., Strategy], allowed: str, given: str, held: str) -> None:
    assert positions(follow(strategy(allowed), given)) == held


def test_a_score_below_the_threshold_holds(strategy: Callable[..., Strategy]) -> None:
    assert positions(follow(strategy("confidence_threshold: 0.8"), "b")) == "L"
    assert positions(follow(strategy("confidence_threshold: 0.81"), "b")) == "."
    assert positions(follow(strategy("confidence_threshold: 0.4"), "?")) == "L"


def test_no_change_comes_sooner_than_the_separation_after_the_last(strategy: Callable[..., Strategy]) -> None:
    decided = follow(strategy(separation=4), "bssssbs")
    assert positions(decided) == "LLLL..."
    assert signals(decided) == "bhhhshh"
    assert positions(follow(strategy(separation=4), "bs", hours=[0, 3.99])) == "LL"
    assert positions(follow(strategy(separation=4), "bs", hours=[0, 4])) == "L."


def test_a_signal_that_changes_nothing_does_not_start_the_separation_anew(strategy: Callable[..., Strategy]) -> None:
    assert positions(follow(strategy(separation=4), "bhhbs")) == "LLLL."


def test_a_repeated_signal_is_shown_only_without_position_awareness(strategy: Callable[..., Strategy]) -> None:
    aware, unaware = (follow(strategy(f"position_awareness: {on}"), "bbb") for on in ("true", "false"))
    assert (positions(aware), signals(aware)) == ("LLL", "bhh")
    assert (positions(unaware), signals(unaware)) == ("LLL", "bbb")


def test_confidence_is_that_of_the_chosen_class_and_unknown_without_a_score(strategy: Callable[..., Strategy]) -> None:
    np.testing.assert_array_equal(follow(strategy(), "b?-").confidence, [0.8, 0.4, np.nan])


def test_forecasts_beyond_the_cost_are_signals_and_may_be_short_from_flat(load: Load) -> None:
    regression = load(*REGRESSION, ("  output_format", "  filters: {min_signal_separation: 0}\n  output_format")).strategy
    time = np.datetime64("2020-01-01", "us") + np.arange(6) * np.timedelta64(1, "h")
    scores = np.array([[0.003], [-0.0031], [np.nan], [-0.0062], [0.01], [0.02]])
    decided = decide(scores, regression, time)
    assert positions(decided) == ".SSS.L"
    np.testing.assert_allclose(decided.confidence, [1 / 3, 0.0031 / 0.009, np.nan, 0.0062 / 0.009, 1, 1])


def test_a_regression_without_a_cost_model_decides_nothing(load: Load) -> None:
    regression = load(*REGRESSION).strategy
    bare = regression.model_copy(update={"decisions": regression.decisions.model_copy(update={"cost_model": None})})
    with pytest.raises(Invalid, match=r"need decisions\.cost_model"):
        decide(np.zeros((1, 1)), bare, np.array(["2020-01-01"], "datetime64[us]"))


def test_scores_of_the_other_task_are_an_error(strategy: Callable[..., Strategy]) -> None:
    with pytest.raises(Invalid, match=r"classification decisions need scores of shape \(1, 3\), got \(1, 1\)"):
        decide(np.zeros((1, 1)), strategy(), np.array(["2020-01-01"], "datetime64[us]"))


def test_no_bars_give_no_decisions(strategy: Callable[..., Strategy]) -> None:
    decided = decide(np.zeros((0, 3)), strategy(), np.array([], "datetime64[us]"))
    assert len(decided.targets) == len(decided.signals) == 0
