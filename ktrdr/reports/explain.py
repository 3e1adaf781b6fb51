"""A strategy in plain words."""

from __future__ import annotations

from collections.abc import Iterable

from ktrdr.fuzzy.sets import FuzzySet, Membership
from ktrdr.labels.base import Label
from ktrdr.labels.forward_return import ForwardReturn
from ktrdr.labels.triple_barrier import TripleBarrier
from ktrdr.labels.zigzag import ZigZag
from ktrdr.strategy.sections import Layers, RuleLayer
from ktrdr.strategy.spec import Strategy

MOST_INPUTS = 6
"""Inputs that are written out; a terminal shows the whole in a dozen lines."""


def explain(strategy: Strategy) -> tuple[str, ...]:
    """What a strategy looks at, what it has learned from, and when it trades; at most 12 lines."""
    inputs = list(_inputs(strategy))
    shown = inputs if len(inputs) <= MOST_INPUTS else [*inputs[: MOST_INPUTS - 1], f"and {len(inputs) - MOST_INPUTS + 1} more"]
    return (
        *([f"Idea: {' '.join(strategy.hypothesis.split())}"] if strategy.hypothesis else []),
        f"Decides on every {strategy.base_timeframe} bar of {', '.join(strategy.symbols)} by looking at:",
        *(f"  {line}" for line in shown),
        *_network(strategy),
        *_trading(strategy),
    )


def _inputs(strategy: Strategy) -> Iterable[str]:
    for entry in strategy.nn_inputs:
        fuzzy_set = strategy.fuzzy_sets[entry.fuzzy_set] if entry.fuzzy_set else None
        reference = fuzzy_set.indicator if fuzzy_set else entry.raw_indicator or ""
        others = [str(t) for t in strategy.timeframes_of(entry) if t != strategy.base_timeframe]
        own = len(others) < len(strategy.timeframes_of(entry))
        where = f" (on {', '.join([*([str(strategy.base_timeframe)] if own else []), *others])})" if others else ""
        words = _words(fuzzy_set) if fuzzy_set else f"its value, scaling: {entry.normalization}"
        yield f"{indicator_in_words(strategy, reference)}{where}: {words}"


def indicator_in_words(strategy: Strategy, reference: str) -> str:
    """An indicator by type, with its parameters where they are numbers, and the output it is read by."""
    base, _, output = reference.partition(".")
    spec = strategy.indicators[base]
    values = [str(value) for value in spec.build().model_dump().values() if value != "close" and not isinstance(value, bool)]
    of = f" of {spec.data_source}" if spec.data_source else ""
    return f"{spec.type} {output + ' ' if output else ''}({', '.join(values)}){of}"


def _words(fuzzy_set: FuzzySet) -> str:
    if fuzzy_set.partition:
        return f"{', '.join(word.replace('_', ' ') for word in fuzzy_set.words)} (about equally common in training)"
    return ", ".join(f"{name.replace('_', ' ')} ({_where(shape)})" for name, shape in fuzzy_set.memberships.items())


def _where(shape: Membership) -> str:
    """The values that a word holds for at least a little."""
    numbers = shape.parameters
    if shape.type == "gaussian":
        return f"around {numbers[0]:g}"
    if shape.type == "sigmoid":
        return f"{'above' if numbers[1] > 0 else 'below'} about {numbers[0]:g}"
    first, left, right, last = numbers[0], numbers[1], numbers[-2], numbers[-1]
    if shape.type == "left" or (shape.type == "trapezoidal" and first == left):
        return f"< {last:g}"
    if shape.type == "right" or (shape.type == "trapezoidal" and right == last):
        return f"> {first:g}"
    return f"{first:g} to {last:g}"


def _network(strategy: Strategy) -> tuple[str, str]:
    own = strategy.model.architecture
    if isinstance(own, RuleLayer):
        say = "say buy, hold or sell" if strategy.task == "classification" else "forecast the return"
        rules = f"Up to {own.max_rules} rules of at most {own.max_conditions} words each, and one for everything else, {say}."
        return rules, _learned_from(strategy)
    layers = own.hidden_layers if isinstance(own, Layers) else (own.hidden_size,) * own.num_layers
    size = " and ".join(str(units) for units in layers)
    name = "A network" if isinstance(own, Layers) else f"A recurrent network ({strategy.model.type})"
    made_of = f"{name} of {size} units in {'one layer' if len(layers) == 1 else f'{len(layers)} layers'}"
    reads = "" if isinstance(own, Layers) else f"reads the last {own.sequence_length} bars in their order, "
    says = f"says {_either(strategy.classes)}" if strategy.classes else "forecasts the return"
    return f"{made_of} {reads}weighs how true each word is and {says}.", _learned_from(strategy)


def _learned_from(strategy: Strategy) -> str:
    learner = "They" if isinstance(strategy.model.architecture, RuleLayer) else "It"
    return f"{learner} learned from {_lesson(strategy.label)}."


def _either(words: tuple[str, ...]) -> str:
    """`buy, hold or sell`."""
    return f"{', '.join(words[:-1])} or {words[-1]}".replace("_", " ")


def _lesson(label: Label) -> str:
    if isinstance(label, ZigZag):
        return f"swings of at least {label.zigzag_threshold:.2%}"
    if isinstance(label, TripleBarrier):
        return f"whether price first rose {label.pt:g} or fell {label.sl:g} volatilities, within {label.max_holding_period} bars"
    if isinstance(label, ForwardReturn):
        return f"the return over the next {label.horizon} bars"
    return (type(label).__doc__ or type(label).__name__).splitlines()[0]


def _trading(strategy: Strategy) -> tuple[str, ...]:
    rules = strategy.decisions
    shorts = rules.allow_short_from_flat or strategy.task == "regression"
    if rules.cost_model is not None and strategy.task == "regression":
        when = f"forecasts more than {rules.cost_model.threshold:.2%}"
    else:
        when = f"is at least {rules.confidence_threshold:.0%} sure"
    apart = rules.filters.min_signal_separation
    short = ", or goes short when it holds nothing" if shorts else ", never short"
    return (
        f"Buys at the next open when it {when}; sells on the opposite answer{short}.",
        *([f"Changes its position at most once in {apart:g} hours."] if apart else []),
    )
