"""The designer that is a language model: the real client library against a local server that speaks the provider's protocol."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ktrdr.agents.budget import Limits
from ktrdr.agents.designer import Assessment, AssessmentContext, Brief, Design, Experiment
from ktrdr.agents.gates import DEFAULTS
from ktrdr.agents.goal import Goal
from ktrdr.agents.lessons import choices_of
from ktrdr.errors import CycleError, Invalid, KtrdrError, Refused
from ktrdr.llm.claude import ClaudeDesigner
from ktrdr.market.bars import as_datetime
from ktrdr.operations.job import Cancelled
from ktrdr.settings import Settings
from ktrdr.strategy.load import load_strategy
from tests.contracts.test_research_cycle import swinging_bars
from tests.desk import OwnDesk, OwnLibrary
from tests.wire.messages import Wire

pytestmark = pytest.mark.torch
JSON = dict[str, Any]
NUMBERS = itertools.count(1)
BARS = swinging_bars()
END = as_datetime(BARS.known_at[-1])
CONTEXT = AssessmentContext(
    strategy_name="momentum_x", strategy_text="name: momentum_x", gates=({"gate": "training", "passed": True},),
    training={"accuracy": 0.6, "majority_accuracy": 0.5}, backtest={"metrics": {"sharpe_ratio": 1.2}}, trials=None,
)  # fmt: skip


def brief(**more: Any) -> Brief:
    goal = Goal(text="find a momentum edge", symbol="EURUSD", timeframe="1h", family="momentum", understood="momentum on EURUSD 1h")
    given = {
        "goal": goal, "train_start": as_datetime(BARS.time[0]), "train_end": END, "backtest_start": END + timedelta(days=2),
        "backtest_end": END + timedelta(days=90), "thresholds": DEFAULTS, "seed": 7, "candidates": 4,
    }  # fmt: skip
    return Brief.model_validate(given | more)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Wire() as server:
        yield server


class Asking:
    """Asks one persona, and sees what the server saw."""

    def __init__(self, wire: Wire, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        self.wire, self._monkeypatch, self._home = wire, monkeypatch, home
        self.address: tuple[str, ...] = ()

    def at(self, persona: str, **settings: Any) -> ClaudeDesigner:
        self.address = (persona, str(next(NUMBERS)))
        self._monkeypatch.setenv("ANTHROPIC_BASE_URL", self.wire.url(*self.address))
        self._monkeypatch.setenv("ANTHROPIC_API_KEY", "a key for tests")
        return ClaudeDesigner(Settings(home=self._home, **{"llm_timeout_seconds": 10.0, "llm_retry_seconds": 0.01, **settings}))

    def design(self, persona: str, desk: OwnDesk | None = None, *, more: JSON | None = None, **settings: Any) -> Design:
        return self.at(persona, **settings).design(brief(**(more or {})), BARS, desk or new_desk())

    def assess(self, persona: str, desk: OwnDesk | None = None) -> Assessment:
        return self.at(persona).assess(CONTEXT, desk or new_desk())

    @property
    def seen(self) -> list[Any]:
        return self.wire.at(*self.address)


def new_desk(**limits: Any) -> OwnDesk:
    return OwnDesk(OwnLibrary({("EURUSD", "1h"): BARS}), limits=Limits.of(Settings(**limits)))


@pytest.fixture
def asking(wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Asking:
    return Asking(wire, monkeypatch, tmp_path / "home")


# --- what goes well


def test_an_honest_model_designs_a_strategy_that_is_saved(asking: Asking) -> None:
    desk = new_desk()
    made = asking.design("honest", desk)
    strategy = load_strategy(made.text, made.name).strategy
    assert desk.library.saved == {made.name: made.text}
    assert (strategy.symbols, strategy.base_timeframe.name) == (("EURUSD",), "1h")
    assert made.designed_by == "claude-opus-5-5 (anthropic)"
    assert made.trials is not None
    assert made.trials.count == 1


def test_a_good_design_takes_two_calls_and_fewer_than_15000_tokens(asking: Asking) -> None:
    asking.design("honest")
    assert len(asking.seen) <= 2
    assert max(record.billed.whole_input for record in asking.seen) < 15_000


def test_the_ledger_equals_the_meter_of_the_server(asking: Asking) -> None:
    desk = new_desk()
    asking.design("honest", desk)
    assert desk.spent.calls == len(asking.seen)
    assert desk.spent.input_tokens == sum(record.billed.whole_input for record in asking.seen)
    assert desk.spent.output_tokens == sum(record.billed.output_tokens for record in asking.seen)


def test_a_mistake_goes_back_to_the_model_which_mends_it(asking: Asking) -> None:
    made = asking.design("repairs_once")
    assert load_strategy(made.text, made.name).strategy.symbols == ("EURUSD",)


def test_an_assessment_is_what_the_model_saved(asking: Asking) -> None:
    said = asking.assess("honest")
    assert said.verdict in ("promising", "mediocre", "poor")
    assert said.assessed_by == "claude-opus-5-5 (anthropic)"
    assert len(asking.seen) == 1


def test_a_strategy_that_was_tried_before_is_sent_back(asking: Asking) -> None:
    made = asking.design("honest")
    tried = Experiment(
        strategy_name="tried_before", symbol="EURUSD", timeframe="1h", hypothesis="", outcome="poor", reason="it lost money", figures={},
        choices=choices_of(load_strategy(made.text, "x").strategy),
    )  # fmt: skip
    with pytest.raises(CycleError, match="this is tried_before again, which came to: poor"):
        asking.design("honest", more={"experiments": (tried,)})


# --- crashes


def test_an_attempt_after_a_crash_pays_for_what_is_missing_alone(asking: Asking) -> None:
    class Crash(BaseException):
        pass

    whole = asking.design("honest")
    calls = len(asking.seen)
    for step in range(1, 2 * calls + 2):
        desk = new_desk()
        keep, kept = desk.keep, itertools.count(1)

        def crashing(key: str, answer: JSON, at: int = step, keep: Any = keep, kept: Any = kept) -> None:
            keep(key, answer)
            if next(kept) == at:
                raise Crash

        desk.keep = crashing  # a desk of the test whose process dies here
        designer = asking.at("honest")
        with pytest.raises(Crash):
            designer.design(brief(), BARS, desk)
        assert designer.design(brief(), BARS, desk.again()) == whole
        answered = [record for record in asking.seen if record.whole]
        assert len(answered) == calls, f"crash at step {step}"


# --- the budget


HOSTILE = (
    "loops", "expensive", "lying_usage:zero", "lying_usage:small", "lying_usage:large", "lying_usage:negative", "missing_usage",
    "never_saves", "cut_stream", "bad_arguments", "malformed", "huge_output", "server_error", "truncated", "hang",
)  # fmt: skip


@pytest.mark.parametrize("persona", HOSTILE)
def test_no_persona_gets_past_the_budget(asking: Asking, persona: str) -> None:
    desk = new_desk(budget_cycle_usd=0.8, budget_call_usd=0.5, budget_cycle_tokens=60_000)
    with suppress(KtrdrError):
        asking.design(persona, desk, llm_timeout_seconds=0.5)
    billed = [record.billed for record in asking.seen]
    assert sum(each.whole_input for each in billed) <= desk.spent.input_tokens
    assert sum(each.output_tokens for each in billed) <= desk.spent.output_tokens
    assert desk.spent.nano_usd <= desk.limits.cycle_nano_usd
    assert desk.spent.tokens <= desk.limits.cycle_tokens
    assert len(asking.seen) == desk.spent.calls


def test_a_call_that_does_not_fit_is_not_made(asking: Asking) -> None:
    with pytest.raises(Refused, match=r"could come to \$0\.\d+, more than the \$0\.05 that one call may cost"):
        asking.design("honest", new_desk(budget_call_usd=0.05))
    assert asking.seen == []


def test_an_answer_that_never_came_counts_as_reserved(asking: Asking) -> None:
    desk = new_desk(budget_cycle_usd=9, budget_call_usd=9, budget_cycle_tokens=10**7)
    with pytest.raises(CycleError, match="Claude API error: timeout"):
        asking.design("hang", desk, llm_timeout_seconds=0.3)
    assert desk.settled == set()
    assert desk.spent.output_tokens == 8000 * desk.spent.calls


def test_a_model_without_a_price_is_not_asked(asking: Asking, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "models.toml").write_text('[own]\nprovider = "openai"\nid = "own-model"\nbase_url = "http://127.0.0.1:9/v1"\n')
    with pytest.raises(Invalid, match="no price is known for own-model") as refused:
        asking.at("honest").ready("own")
    assert refused.value.error_code == "unpriced_model"


# --- what goes wrong


@pytest.mark.parametrize(
    ("persona", "said"),
    [
        ("rate_limited", "Claude API error: rate_limit_exceeded"),
        ("overloaded", "Claude API error: overloaded"),
        ("unauthorized", "Claude API error: authentication_failed"),
        ("server_error", "Claude API error: server_error"),
        ("cut_stream", "Claude API error: connection_failed"),
        ("malformed", "Claude API error: "),
        ("never_saves", "Claude did not save a strategy"),
        ("loops", "did not save a strategy"),
    ],
)
def test_every_failure_has_its_words_and_its_advice(asking: Asking, persona: str, said: str) -> None:
    desk = new_desk(budget_cycle_usd=50, budget_call_usd=5, budget_day_usd=50, budget_cycle_tokens=10**7)
    with pytest.raises(CycleError) as failed:
        asking.design(persona, desk)
    assert said in failed.value.message
    assert len(failed.value.message) < 1000


def test_a_limit_of_the_rate_is_waited_for(asking: Asking) -> None:
    desk = new_desk()
    asking.design("rate_limited_once", desk)
    assert asking.seen[0].status == 429
    assert desk.ledger["1 request 1"].nano_usd == 0


def test_an_answer_without_end_is_cut_off(asking: Asking) -> None:
    with pytest.raises(KtrdrError) as failed:
        asking.design("huge_output", new_desk())
    assert "longer than" in failed.value.message or "cut at" in failed.value.message


def test_an_unknown_model_is_refused_with_the_known_ones(asking: Asking) -> None:
    with pytest.raises(Invalid, match="known: haiku, opus, sonnet") as refused:
        asking.at("honest").ready("opsu")
    assert refused.value.error_code == "unknown_model"
    assert "did you mean 'opus'" in str(refused.value.hint)
    assert asking.at("honest").ready("claude-sonnet-5-5") == "claude-sonnet-5-5"


def test_without_a_key_nothing_begins(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    designer = asking.at("honest")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(Invalid, match="ANTHROPIC_API_KEY is not set where the backend runs"):
        designer.ready(None)


@pytest.mark.parametrize("persona", ["hang", "slow_stream"])
def test_a_cancel_closes_the_connection_at_once(asking: Asking, persona: str) -> None:
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise Cancelled

    desk = new_desk()
    desk.on_check = check
    designer = asking.at(persona)
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Cancelled):
        designer.design(brief(), BARS, desk)
    ended = time.monotonic()
    while not any(record.closed_at for record in asking.seen):
        assert time.monotonic() - ended < 5
        time.sleep(0.01)
    assert len(asking.seen) == 1


# --- other providers, families


def test_a_server_of_ones_own_can_be_asked(asking: Asking, tmp_path: Path) -> None:
    designer = asking.at("honest", model="local")
    (tmp_path / "home").mkdir(exist_ok=True)
    address = json.dumps(asking.wire.url(*asking.address) + "/v1")
    (tmp_path / "home" / "models.toml").write_text(
        f'[local]\nprovider = "openai"\nid = "own-model"\nbase_url = {address}\nprices = {{ input = 0, output = 0 }}\n'
    )
    desk = new_desk()
    made = designer.design(brief(), BARS, desk)
    assert made.designed_by == "own-model (openai)"
    assert desk.spent.nano_usd == 0
    assert desk.spent.input_tokens > 0
