"""A seeded search over strategies: candidates are drawn, tried and varied.

Every candidate goes the way of any strategy: rows, training, the training gate on its test slice, decisions, and a
backtest of that slice with the default costs. The candidates of a generation are trained at once, each as if alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from ktrdr.agents.designer import Brief, Tried
from ktrdr.agents.gates import backtest_checks, training_checks, verdict_of
from ktrdr.agents.grammar import MOST, Gene, Genome, Random, draw, every_gene, labels_for, mutate, partition, pool_of, strategy_of
from ktrdr.backtest.costs import default_costs
from ktrdr.backtest.run import run_backtest
from ktrdr.errors import Invalid, NoData
from ktrdr.evaluation.sharpe import Sample, sample_of
from ktrdr.evaluation.trials import weekly
from ktrdr.market.bars import Bars, as_datetime, as_time
from ktrdr.market.sessions import asset_class
from ktrdr.models.model import Model
from ktrdr.strategy.decisions import decide
from ktrdr.strategy.features import compute_features
from ktrdr.strategy.sections import DataSplit
from ktrdr.strategy.spec import Strategy
from ktrdr.training.run import learn_together
from ktrdr.training.state import BatchPosition
from ktrdr.training.windows import Samples, build_samples

JSON = dict[str, Any]
KEPT_FOR_TESTING = DataSplit().test
"""Share at the end of the training bars that the search does not touch: there the chosen strategy's training is tested."""
SPLIT = DataSplit(train=0.5, validation=0.15, test=0.35)
"""How the search divides the rest: to learn, to choose the epoch, to score."""
MOST_BARS, FEWEST_BARS = 50_000, 1_000
GENERATION = 16
RANDOM_SHARE = 0.5
"""Share of the candidates that are drawn at random before the better ones are varied."""
PARENTS = 8
NEWCOMERS = 3
"""Candidates of each later generation that are still drawn at random."""
PATIENCE = 1_000
"""Draws in which a generation must have been found; when all strategies were tried, it is smaller or empty."""
LEAST_TRADES = 20
"""With fewer trades a Sharpe ratio is an anecdote."""
CAPITAL = 100_000.0
PREPARED, TRAINED = 0.2, 0.9
"""How far a generation is when its rows are ready, and when it is trained."""


@dataclass(frozen=True, eq=False)
class Ground:
    """What a search works on: its bars, and what is measured on them once."""

    brief: Brief
    bars: Bars
    words: dict[Gene, dict[str, list[float]]]
    """The indicators that can be used, each with its fuzzy set."""
    labels: tuple[JSON, ...]
    shorts: bool
    """Whether candidates may go short."""
    left_out: int
    """Older bars that are not read."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A strategy that was tried."""

    genome: Genome
    strategy: Strategy
    tried: Tried
    sample: Sample | None
    """Of its returns on the scored bars."""
    stages: int
    """How far it would come in a cycle, judged on the scored bars: 0 not past the training gate, no better than the
    majority class, or never trading; 1 not past the backtest gate, too few trades, or a loss; 2 through both."""

    @property
    def rank(self) -> tuple[int, float]:
        """Those that come farthest first, then by Sharpe ratio."""
        return self.stages, -np.inf if self.tried.sharpe_ratio is None else self.tried.sharpe_ratio


def survey(brief: Brief, bars: Bars) -> Ground:
    """What a search can work on; raises NoData where the bars are too few for it."""
    usable = bars.rows(slice(0, round(len(bars) * (1 - KEPT_FOR_TESTING))))
    if len(usable) < FEWEST_BARS:
        raise NoData(
            f"{bars.symbol} {bars.timeframe} has {len(usable):,} bars to search on, at least {FEWEST_BARS:,} are needed",
            hint=f"load more: ktrdr data load {bars.symbol} --timeframe {bars.timeframe}; or name a shorter bar size in the goal",
        )
    kept = usable.rows(slice(max(0, len(usable) - MOST_BARS), len(usable)))
    learned = kept.rows(slice(0, round(len(kept) * SPLIT.train)))
    words = {gene: cut for gene in looked_at(brief, kept) if (cut := partition(gene, gene.values(learned)))}
    if len(words) <= MOST:
        raise NoData(
            f"{bars.symbol} {bars.timeframe}: only {len(words)} indicators vary enough to be put into words, more than {MOST} are needed",
            hint="the prices hardly move; look at the series: ktrdr show " + bars.symbol,
        )
    shorts = asset_class(bars.symbol) != "us_stock"
    return Ground(brief, kept, words, labels_for(learned), shorts, left_out=len(usable) - len(kept))


def looked_at(brief: Brief, bars: Bars) -> tuple[Gene, ...]:
    """The indicators that candidates may combine: those that were named, else those of the goal's family."""
    if not brief.pool:
        return pool_of(brief.goal.family, bars)
    return tuple(gene for gene in every_gene(bars) if gene.type in brief.pool)


def next_generation(random: Random, tried: Sequence[Candidate], ground: Ground) -> list[Genome]:
    """Candidates that were not tried yet: at random first, then mostly variations of the better ones."""
    pool, labels = tuple(ground.words), len(ground.labels)
    parents = [candidate.genome for candidate in sorted(tried, key=lambda c: c.rank, reverse=True)[:PARENTS]]
    at_random = GENERATION if len(tried) < RANDOM_SHARE * ground.brief.candidates else NEWCOMERS
    seen = {candidate.genome for candidate in tried}
    wanted = min(GENERATION, ground.brief.candidates - len(tried))
    found: list[Genome] = []
    for _ in range(PATIENCE):
        if len(found) == wanted:
            break
        if len(found) < at_random:
            genome = draw(random, pool, labels)
        else:
            genome = mutate(parents[int(random.integers(len(parents)))], random, pool, labels)
        if genome not in seen:
            seen.add(genome)
            found.append(genome)
    return found


def try_out(genomes: Sequence[Genome], first: int, ground: Ground, check: Callable[[float], None]) -> Iterator[Candidate]:
    """Train some candidates at once and backtest each on bars that its training did not see; `first` is the number of the first.

    `check` is told how far this is, from 0 to 1, and may end the work at any batch.
    """
    bars, ready, refused = ground.bars, dict[int, tuple[Strategy, Tried, Samples]](), dict[int, Candidate]()
    for place, genome in enumerate(genomes):
        check(PREPARED * place / len(genomes))
        strategy = strategy_of(genome, ground.labels[genome.label], ground.words, ground.brief, ground.shorts)
        tried = Tried(
            number=first + place, content_hash=strategy.content_hash, description=strategy.hypothesis or "", symbol=bars.symbol,
            timeframe=bars.timeframe.name, start=as_datetime(bars.time[0]), end=as_datetime(bars.known_at[-1]),
        )  # fmt: skip
        divided = strategy.model_copy(update={"training": strategy.training.model_copy(update={"data_split": SPLIT})})
        try:
            samples = build_samples(divided, {bars.symbol: {bars.timeframe: bars}}, tried.start, tried.end)
        except (Invalid, NoData) as error:
            refused[place] = Candidate(genome, strategy, tried.model_copy(update={"reason": error.message}), None, stages=0)
            continue
        ready[place] = strategy, tried, samples

    def on_batch(at: BatchPosition) -> None:
        begun, total = at.items
        check(PREPARED + (TRAINED - PREPARED) * (begun - 1) / total)

    tasks = [(samples, strategy) for strategy, _, samples in ready.values()]
    models = dict(zip(ready, learn_together(tasks, on_batch), strict=True))
    for place, genome in enumerate(genomes):
        check(TRAINED)
        if place in refused:
            yield refused[place]
            continue
        (strategy, tried, _), model = ready[place], models[place]
        if isinstance(model, Invalid):
            yield Candidate(genome, strategy, tried.model_copy(update={"reason": model.message}), None, stages=0)
        else:
            yield _scored(genome, strategy, model, tried, ground)


def _scored(genome: Genome, strategy: Strategy, model: Model, tried: Tried, ground: Ground) -> Candidate:
    """The candidate with what its model earns on its test slice."""
    bars = ground.bars
    first = int(np.searchsorted(bars.time, as_time(datetime.fromisoformat(model.training.split.test_start))))
    scored = bars.rows(slice(first, len(bars)))
    scores = model.predict(compute_features(strategy, {bars.timeframe: bars}, model.scaling))[first:]
    result = run_backtest(scored, decide(scores, strategy, scored.time).targets, default_costs(scored.symbol), CAPITAL)
    inputs, metrics = model.scores.gate_inputs(), result.metrics
    informed, _ = verdict_of(training_checks(inputs, ground.brief.thresholds))
    informed = informed and inputs["accuracy"] > inputs["majority_accuracy"] and metrics.total_trades > 0
    tradable, _ = verdict_of(backtest_checks(metrics.model_dump(), ground.brief.thresholds))
    tradable = tradable and metrics.total_trades >= LEAST_TRADES and (metrics.sharpe_ratio or 0.0) > 0
    sample = sample_of(result.returns)
    measured = {
        "start": as_datetime(scored.time[0]), "sharpe_ratio": metrics.sharpe_ratio, "sharpe_per_bar": sample.sharpe if sample else None,
        "total_trades": metrics.total_trades, "accuracy": inputs["accuracy"], "reason": metrics.undefined.get("sharpe_ratio"),
        "curve": weekly(result.returns, result.time[1:]),
    }  # fmt: skip
    stages = informed + (informed and tradable)
    return Candidate(genome, strategy, tried.model_copy(update=measured), sample, stages)
