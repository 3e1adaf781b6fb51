"""What earlier experiments teach."""

from __future__ import annotations

from ktrdr.agents.designer import Experiment
from ktrdr.agents.lessons import again, choices_of, likeness
from ktrdr.sample import FOLDER
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy

TEXT = (FOLDER / "strategies" / "momentum.yaml").read_text(encoding="utf-8")


def strategy(text: str = TEXT) -> Strategy:
    return load_strategy(text, "here").strategy


def experiment(text: str = TEXT, **more: object) -> Experiment:
    one = strategy(text)
    given = {
        "strategy_name": "earlier", "symbol": "EURUSD", "timeframe": "1h", "hypothesis": "", "outcome": "poor", "reason": "it lost",
        "figures": {}, "choices": choices_of(one),
    }  # fmt: skip
    return Experiment.model_validate(given | more)


def test_the_same_idea_under_another_name_is_the_same_idea():
    renamed = strategy(TEXT.replace("name: momentum", "name: something_new").replace("A swing that has begun", "Whatever began"))
    assert again(renamed, [experiment()]) == experiment()


def test_another_seed_or_other_dates_make_no_new_idea():
    changed = TEXT.replace("name: momentum", "name: other").replace("2012-01-01", "2013-01-01")
    changed = changed.replace("epochs: 20", "epochs: 20\n  seed: 99")
    assert again(strategy(changed), [experiment()]) is not None


def test_another_indicator_is_a_new_idea():
    changed = TEXT.replace("{type: adx, period: 14}", "{type: cci, period: 40}")
    changed = changed.replace("{type: roc, period: 24}", "{type: roc, period: 96}")
    other = strategy(changed.replace("name: momentum", "name: other"))
    assert again(other, [experiment()]) is None


def test_what_was_tried_elsewhere_does_not_count():
    other = strategy(TEXT.replace("name: momentum", "name: other"))
    assert again(other, [experiment(symbol="AAPL"), experiment(timeframe="1d")]) is None


def test_a_strategy_is_not_itself_again():
    assert again(strategy(), [experiment(strategy_name="momentum")]) is None


def test_likeness_is_the_share_of_common_choices():
    assert likeness(["a"], ["a"]) == 1.0
    assert likeness(["a"], ["b"]) == 0.0
    assert likeness([], []) == 1.0
