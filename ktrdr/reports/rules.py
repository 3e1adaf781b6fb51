"""The rules of a model in plain words, and how each has done on bars that it did not learn from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ktrdr.backtest.result import Backtest
from ktrdr.fuzzy.sets import Membership
from ktrdr.labels.base import BUY, HOLD, SELL
from ktrdr.models.model import Model
from ktrdr.models.scores import Part
from ktrdr.models.tsk import Firing, RuleBase, Weights, said
from ktrdr.reports.inputs import Column, Input, inputs_of
from ktrdr.strategy.decisions import signals_of
from ktrdr.strategy.features import Fitted
from ktrdr.strategy.sections import Decisions
from ktrdr.strategy.spec import Strategy
from ktrdr.training.distil import Student

Floats = NDArray[np.float64]
Classes = NDArray[np.int8]
SIGNALS = ("buy", "hold", "sell")
ENOUGH = 0.95
"""Fidelity below which nothing is called rules."""


class Condition(Part):
    """A word that a rule asks for."""

    feature_id: str
    fuzzy_set: str
    word: str
    timeframe: str
    indicator: str
    """In words, such as `rsi (14)`."""
    above: float | None
    """The word holds, to a half, from this value of the indicator on; None where it has no such end."""
    below: float | None
    """The word holds up to this value."""
    boundary: float
    """Degree of the strategy's word at which it holds to a half here."""
    steepness: float

    def sentence(self, *, with_timeframe: bool) -> str:
        """The condition in words, such as `strength is falling (rsi (14) below about 38)`."""
        where = f"{self.timeframe} " if with_timeframe else ""
        ends = [f"{name} about {value:.4g}" for name, value in (("above", self.above), ("below", self.below)) if value is not None]
        if self.above is not None and self.below is not None:
            ends = [f"between about {self.above:.4g} and {self.below:.4g}"]
        return f"{where}{self.fuzzy_set} is {self.word.replace('_', ' ')} ({' '.join([self.indicator, *ends])})"


class Rule(Part):
    """A rule, and how it has done."""

    number: int
    """From 1; the one for everything else comes last."""
    text: str
    conditions: tuple[Condition, ...]
    """None for the rule for everything else."""
    weight: float
    """Natural logarithm of its strength where all of its words hold."""
    answer: dict[str, float]
    """What it says by itself: probabilities of buy, hold and sell, or a forecast."""
    signal: str
    """What that means to the strategy: buy, hold or sell."""
    bars: int
    """Bars on which it is the strongest."""
    coverage: float
    """The same as a share of all bars."""
    labelled_bars: int
    """Those of its bars whose label is known."""
    precision: float | None
    """Share of them where the label is what the rule signals; None where there are none."""
    trades: int
    """Trades that it opened: it was the strongest on the bar of the decision."""
    wins: int
    gross_pnl: float
    costs: float
    net_pnl: float
    """Of those trades, to their end; the rules' sum is the backtest's."""


class Fidelity(Part):
    """How far the rules as printed are what the model does."""

    value: float
    """Share of the bars on which the strongest rule alone signals what the model signals."""
    bars: int
    together: float
    """The same of all rules weighed together; 1 where the rules are the model."""
    enough: float = ENOUGH

    @property
    def are_rules(self) -> bool:
        """Whether it is right to call them rules."""
        return self.value >= self.enough


class RuleReport(Part):
    """The rules of a model, or of a student of it, on some bars."""

    schema_version: int = 1
    strategy_name: str
    content_hash: str
    network: str
    """Kind of the model that is explained."""
    origin: str
    """`model`: the rules are the model. `student`: they were learned from its answers."""
    called: str
    """`rules`, or `sketch` where the fidelity is too low for that."""
    fidelity: Fidelity
    symbol: str
    timeframe: str
    start: str
    end: str
    bars: int
    """With an answer."""
    in_sample: bool
    """Whether the model has learned from any of these bars."""
    confidence_threshold: float | None
    """How sure the strategy must be; None where it forecasts."""
    sharpness: float
    rules: tuple[Rule, ...]
    trades: int
    net_pnl: float


@dataclass(frozen=True, eq=False)
class Rulebook:
    """Rules that can be applied and read: those of a model, or of a student of one."""

    strategy: Strategy
    """Whose words they ask for."""
    base: RuleBase
    weights: Weights
    scaling: Mapping[str, Fitted]
    decisions: Decisions
    """What is made of their answers."""
    origin: str
    content_hash: str
    """Of the strategy that is explained."""

    def signals(self, answers: Floats) -> Classes:
        """What answers mean."""
        return signals_of(answers, self.decisions, self.strategy.label.signals)[0]

    @cached_property
    def conditions(self) -> tuple[tuple[Condition, ...], ...]:
        """What each rule asks for; nothing for the one for everything else, which comes last."""
        columns = {column.place: (one, column) for one in inputs_of(self.strategy, self.scaling) for column in one.columns}
        asked = (np.flatnonzero(row > 0).tolist() for row in self.weights["rules.asks"])
        return (*(tuple(self._condition(place, *columns[place]) for place in places) for places in asked), ())

    def _condition(self, place: int, one: Input, column: Column) -> Condition:
        assert isinstance(column.how, Membership)  # rules ask for words alone
        boundary = float(self.weights["terms.boundary"][place])
        above, below = ends_of(column.how, boundary)
        return Condition(
            feature_id=self.strategy.feature_ids[place], fuzzy_set=column.fuzzy_set or "", word=column.word or "",
            timeframe=one.timeframe, indicator=one.indicator, above=above, below=below, boundary=boundary,
            steepness=float(self.weights["terms.steepness"][place]),
        )  # fmt: skip

    @cached_property
    def answers(self) -> Floats:
        """What each rule says by itself."""
        return said(self.base, self.weights)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Each rule as a sentence."""
        return tuple(self._text(conditions, answer) for conditions, answer in zip(self.conditions, self.answers, strict=True))

    def _text(self, conditions: tuple[Condition, ...], answer: Floats) -> str:
        several = len(self.strategy.timeframes) > 1
        asked = " AND ".join(condition.sentence(with_timeframe=several) for condition in conditions)
        signal = SIGNALS[self.signals(answer[None])[0]]
        if len(answer) == 1:
            told = f"forecast {answer[0]:+.3%}"
        else:
            likeliest = SIGNALS[self.strategy.label.signals[int(answer.argmax())]]
            told = f"{answer.max():.0%}" if likeliest == signal else f"{likeliest} {answer.max():.0%}, not sure enough"
        return f"{f'IF {asked} THEN' if asked else 'OTHERWISE'} {signal.upper()} ({told})"


def own_rules(model: Model, decisions: Decisions) -> Rulebook | None:
    """The rules that a model is; None where it is another network."""
    base, own = model.architecture, model.strategy
    if not isinstance(base, RuleBase):
        return None
    return Rulebook(own, base, model.weights, model.scaling, decisions, "model", own.content_hash)


def taught_rules(student: Student, content_hash: str) -> Rulebook:
    """The rules that a student has learned of another network."""
    return Rulebook(student.strategy, student.base, student.weights, student.scaling, student.decisions, "student", content_hash)


def ends_of(shape: Membership, degree: float) -> tuple[float | None, float | None]:
    """Between which values a word holds to at least a degree; None at a side where it never ends."""
    numbers = shape.parameters
    if shape.type == "gaussian":
        reach = numbers[1] * math.sqrt(-2 * math.log(degree))
        return numbers[0] - reach, numbers[0] + reach
    if shape.type == "sigmoid":
        turn = numbers[0] + math.log(degree / (1 - degree)) / numbers[1]
        return (turn, None) if numbers[1] > 0 else (None, turn)
    rising, falling = numbers[:2], numbers[-2:]
    above = rising[0] + degree * (rising[1] - rising[0]) if shape.type != "left" and rising[0] < rising[1] else None
    below = falling[1] - degree * (falling[1] - falling[0]) if shape.type != "right" and falling[0] < falling[1] else None
    return above, below


def judge_rules(  # noqa: PLR0917 - rules, what they and the model make of the rows, and what came of it
    book: Rulebook, firing: Firing, signals: Classes, labels: Floats, result: Backtest, network: str, *, in_sample: bool
) -> RuleReport:
    """How the rules have done.

    All rows are those of the backtest: what the rules make of each (NaN where a row is not known), what the model
    signalled by itself, before the filters, and the label, NaN where there is none.
    """
    known: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(firing.shares), axis=1)
    strongest = np.where(known, np.where(known[:, None], firing.shares, 0.0).argmax(axis=1), -1)
    alone = book.signals(book.answers)
    together = book.signals(np.where(known[:, None], firing.answers, np.nan))
    total = int(known.sum())
    fidelity = Fidelity(value=_agreement(alone[strongest[known]], signals[known]), bars=total,
                        together=_agreement(together[known], signals[known]))  # fmt: skip
    opened = strongest[result.trades.entry_bar - 1]
    rules = tuple(_judged(book, r, strongest == r, labels, opened == r, result, total) for r in range(book.base.rules + 1))
    return RuleReport(
        strategy_name=book.strategy.name, content_hash=book.content_hash, network=network, origin=book.origin,
        called="rules" if fidelity.are_rules else "sketch", fidelity=fidelity, symbol=result.symbol, timeframe=result.timeframe,
        start=result.start.isoformat(), end=result.end.isoformat(), bars=total, in_sample=in_sample,
        confidence_threshold=book.decisions.confidence_threshold if book.base.outputs > 1 else None,
        sharpness=float(book.weights["rules.sharpness"][0]), rules=rules, trades=len(result.trades),
        net_pnl=float(result.trades.net_pnl.sum()),
    )  # fmt: skip


def _agreement(said: Classes, meant: Classes) -> float:
    return float(np.equal(said, meant).mean()) if len(said) else 0.0


def _judged(  # noqa: PLR0917 - one row of the table
    book: Rulebook, r: int, own: NDArray[np.bool_], labels: Floats, opened: NDArray[np.bool_], result: Backtest, total: int
) -> Rule:
    answer = book.answers[r]
    signal = int(book.signals(answer[None])[0])
    labelled, trades = own & np.isfinite(labels), result.trades
    if len(answer) == 1:
        meant: NDArray[np.bool_] = np.sign(labels) == {BUY: 1, HOLD: 0, SELL: -1}[signal]
    else:
        meant = np.array(book.strategy.label.signals)[np.nan_to_num(labels).astype(np.int64)] == signal
    gross, net = float(trades.gross_pnl[opened].sum()), float(trades.net_pnl[opened].sum())
    return Rule(
        number=r + 1, text=book.texts[r], conditions=book.conditions[r], weight=float(book.weights["rules.weight"][r]),
        answer=answer_in_words(answer, book.strategy.classes), signal=SIGNALS[signal],
        bars=int(own.sum()), coverage=float(own.sum() / max(total, 1)),
        labelled_bars=int(labelled.sum()), precision=float(meant[labelled].mean()) if labelled.any() else None,
        trades=int(opened.sum()), wins=int((trades.net_pnl[opened] > 0).sum()), gross_pnl=gross, costs=gross - net, net_pnl=net,
    )  # fmt: skip


def answer_in_words(answer: Floats, classes: Sequence[str] = SIGNALS) -> dict[str, float]:
    """An answer by name: of the classes, or one forecast."""
    return dict(zip(("forecast",) if len(answer) == 1 else classes, answer.tolist(), strict=True))
