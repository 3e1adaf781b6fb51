"""The verdict measured: how often luck is promoted, and how often an edge is.

Worlds of eight years of daily bars are made from the moves of the bundled SPY bars. In a null world every bar is mirrored
by the toss of a coin, so that nothing is known of the next one. In a planted world a rule that the search's grammar can
write is right: while it holds a position, prices drift its way, as strongly as gives it a yearly Sharpe ratio of 2.

A campaign draws 20 candidates from the grammar of the search, trades each on the whole world with the usual costs, picks the
one with the highest Sharpe ratio, and asks `ktrdr.evaluation.promotion` for its verdict with 20 trials counted: the function
that a research cycle asks. In place of a trained network a candidate has a plain rule: buy where its indicators are more high
than low, sell where they are more low than high, each turned round or not by the toss of a coin. In a planted world one of
the 20 is the planted rule, so that what is measured is the verdict and not the search.

    PYTHONPATH=. python bench/null_campaigns.py [--null 400] [--planted 200] [--seed 1]

Ends with code 1 where more than 5 % of the null campaigns are promoted, or the upper end of that share's 95 % interval is
above 7.5 %, or where fewer than 80 % of the planted ones are.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ktrdr.agents.designer import Brief
from ktrdr.agents.gates import DEFAULTS
from ktrdr.agents.goal import Goal
from ktrdr.agents.grammar import ROC, Genome, draw, every_gene, labels_for, partition, strategy_of
from ktrdr.backtest.costs import default_costs
from ktrdr.backtest.kernel import compiled
from ktrdr.backtest.run import run_backtest
from ktrdr.evaluation.promotion import Promotion, measured, promotion
from ktrdr.evaluation.proof import Pipeline, prove_backtest
from ktrdr.evaluation.trials import TrialCount, effective_count, weekly
from ktrdr.market.bars import Bars, as_datetime
from ktrdr.market.timeframe import Timeframe
from ktrdr.stores.bars import BarStore
from ktrdr.strategy.decisions import decide
from ktrdr.strategy.features import Features, compute_features
from ktrdr.strategy.spec import Strategy

SYMBOL, DAY = "SPY", Timeframe("1d")
CANDIDATES = 20
TESTED, WARM_UP = 8 * 252, 250
SHARPE = 2.0
RULE = ROC[2]
"""The planted rule: long while prices stand higher than 24 bars ago, short while they stand lower."""
PERIOD, SEPARATION = 24, 4
SURE = 0.9
CAPITAL = 100_000.0
Random = np.random.Generator
World = Callable[[Bars, Random], Bars]


def source() -> Bars:
    """The bundled daily bars, whose moves every world is made of."""
    with tempfile.TemporaryDirectory() as empty:
        return BarStore(Path(empty)).read(SYMBOL, DAY, None, None)


def null_world(source: Bars, random: Random) -> Bars:
    """A stretch of the source, each bar mirrored at the close before it by the toss of a coin."""
    return _built(source, random, 0.0)


def planted_world(source: Bars, random: Random) -> Bars:
    """The same with a drift in the direction that the rule holds."""
    return _built(source, random, SHARPE)


def _built(source: Bars, random: Random, sharpe: float) -> Bars:
    count = TESTED + WARM_UP
    begin = int(random.integers(1, len(source) - count))
    rows, before = slice(begin, begin + count), np.log(source.close[begin - 1 : begin - 1 + count])
    signs = random.choice([-1.0, 1.0], count)
    opened, high, low, close = (signs * (np.log(getattr(source, name)[rows]) - before) for name in ("open", "high", "low", "close"))
    close = close + _drift(close, source.time[rows], sharpe)
    start = np.log(100.0) + np.concatenate(([0.0], np.cumsum(close)[:-1]))
    prices = {
        "open": opened, "close": close,
        "high": np.maximum.reduce((opened, high, low, close)), "low": np.minimum.reduce((opened, high, low, close)),
    }  # fmt: skip
    return replace(source.rows(rows), **{name: np.exp(start + moves) for name, moves in prices.items()})


def _drift(moves: np.ndarray, times: np.ndarray, sharpe: float) -> np.ndarray:
    """What is added to each bar: in the direction of the position that the rule holds during it.

    The rule holds one in most of the bars but not in all, so the drift within them is larger by the root of that share; the
    share is that of a first pass.
    """
    drift, share, apart = np.zeros(len(moves)), 1.0, SEPARATION * np.timedelta64(1, "D")
    for _ in range(2 if sharpe else 0):
        step = sharpe / math.sqrt(252 * share) * float(moves.std())
        close, position, changed = np.zeros(len(moves)), 0, times[0] - apart
        for t in range(len(moves)):
            drift[t] = step * position
            close[t] = close[t - 1] + moves[t] + drift[t] if t else moves[t]
            wanted = int(np.sign(close[t] - close[t - PERIOD])) if t >= PERIOD else 0
            if wanted and wanted != position and times[t] - changed >= apart:  # it leaves one side before it takes the other
                position, changed = (0 if position else wanted), times[t]
        share = float(np.mean(drift != 0))
    return drift


@dataclass(frozen=True, eq=False)
class Candidate:
    """A strategy with the plain rule that decides for it."""

    strategy: Strategy
    signs: tuple[float, ...]
    """Of each of its indicators: 1 to buy when it is high, -1 to sell then."""

    def predict(self, features: Features) -> np.ndarray:
        """Probabilities of buy, hold and sell, row by row."""
        words = features.values.astype(np.float64).reshape(len(features.values), len(self.signs), 3)
        score = np.zeros(len(words))
        for column, sign in enumerate(self.signs):
            score += sign * (words[:, column, 2] - words[:, column, 0])
        rest = (1 - SURE) / 2
        found = np.full((len(words), 3), rest)
        found[np.arange(len(words)), np.where(score > 0, 0, np.where(score < 0, 2, 1))] = SURE
        return np.where(np.isnan(score)[:, None], np.nan, found)


def brief_of(bars: Bars) -> Brief:
    """What the grammar wants to know of a search."""
    first, cut, end = (as_datetime(moment) for moment in (bars.time[0], bars.time[WARM_UP], bars.time[-1]))
    goal = Goal(text="an edge", symbol=SYMBOL, timeframe=DAY.name, family="momentum", understood="an edge")
    return Brief(
        goal=goal, train_start=first, train_end=cut, backtest_start=cut, backtest_end=end, thresholds=DEFAULTS, seed=1,
        candidates=CANDIDATES,
    )  # fmt: skip


def candidates(bars: Bars, random: Random, *, planted: bool) -> list[Candidate]:
    """Twenty of the grammar, their words cut on the bars before those tested; the planted rule is the last of them."""
    early = bars.rows(slice(0, WARM_UP))
    words = {gene: cut for gene in every_gene(bars) if gene.values(early).size and (cut := partition(gene, gene.values(early)))}
    brief, labels = brief_of(bars), labels_for(bars)
    found = []
    for _ in range(CANDIDATES - planted):
        genome = draw(random, tuple(words), len(labels))
        strategy = strategy_of(genome, labels[genome.label], words, brief, shorts=True)
        found.append(Candidate(strategy, tuple(random.choice([-1.0, 1.0], len(genome.genes)).tolist())))
    if planted:
        halves = {"low": [-1e4, -1e4, -5.0, 0.0], "middle": [-5.0, 0.0, 5.0], "high": [0.0, 5.0, 1e4, 1e4]}
        other = next(gene for gene in words if gene != RULE)  # the grammar's least are two; this one has no say
        genome = Genome(tuple(sorted((RULE, other))), 0, 0.5, SEPARATION)
        strategy = strategy_of(genome, labels[0], {**words, RULE: halves}, brief, shorts=True)
        found.append(Candidate(strategy, tuple(float(gene == RULE) for gene in genome.genes)))
    return found


def campaign(world: World, source: Bars, seed: int, *, planted: bool) -> Promotion:
    """The verdict on the best of twenty, all of them counted."""
    random = np.random.default_rng((seed, planted))
    bars = world(source, random)
    tape, tested, costs = {DAY: bars}, bars.rows(slice(WARM_UP, None)), default_costs(SYMBOL)
    tried = []
    for one in candidates(bars, random, planted=planted):
        features = compute_features(one.strategy, tape)
        targets = decide(one.predict(features)[WARM_UP:], one.strategy, tested.time).targets
        tried.append((one, features, targets, run_backtest(tested, targets, costs, CAPITAL)))
    curves = [weekly(result.returns, result.time[1:]) for *_, result in tried]
    best, features, targets, result = max(tried, key=lambda each: each[3].metrics.sharpe_ratio or -math.inf)
    pipeline = Pipeline(best.strategy, best.strategy, best.predict, {}, costs, CAPITAL)
    proof = prove_backtest(pipeline, tape, features, targets, result)
    count = effective_count([curve for curve in curves if curve], 0)
    trials = TrialCount(symbol=SYMBOL, n=len(tried), effective_n=count, kinds={"search": len(tried)})
    return promotion(measured(result, tested, targets, proof, in_sample=False), trials)


def share(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share, after Clopper and Pearson 1934."""

    def at_most(k: int, p: float) -> float:
        return sum(math.comb(count, i) * p**i * (1 - p) ** (count - i) for i in range(k + 1))

    def where(rises: Callable[[float], bool]) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if rises(middle) else (low, middle)
        return low

    least = 0.0 if hits == 0 else where(lambda p: 1 - at_most(hits - 1, p) < 0.025)
    most = 1.0 if hits == count else where(lambda p: at_most(hits, p) > 0.025)
    return least, most


def run(name: str, world: World, count: int, seed: int, *, planted: bool) -> tuple[int, float, float]:
    """So many campaigns; how many were promoted, with the interval of their share."""
    bars, begun, failed, bests = source(), time.perf_counter(), Counter[str](), []
    promoted = 0
    for number in range(count):
        found = campaign(world, bars, seed * 1_000_000 + number, planted=planted)
        promoted += found.promoted
        failed.update(check.name for check in found.checks if not check.passed)
        bests.append(found.sharpe_ratio or 0.0)
    low, high = share(promoted, count)
    print(f"{name}: {promoted} of {count} campaigns promoted, {promoted / count:.1%} (95 % interval {low:.1%} to {high:.1%})")
    print(f"  yearly Sharpe ratio of the best of {CANDIDATES}: median {np.median(bests):.2f}, largest {max(bests):.2f}")
    print(f"  failed: {', '.join(f'{check} {times}' for check, times in failed.most_common()) or 'nothing'}")
    print(f"  {(time.perf_counter() - begun) / count:.2f} s a campaign", flush=True)
    return promoted, low, high


def main(words: Sequence[str] | None = None) -> int:
    """Both worlds; 1 where a claim does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--null", type=int, default=400)
    parser.add_argument("--planted", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(words)
    compiled(alone=True)  # loads the compiler, which then runs every simulation
    luck, _, most = run("null", null_world, asked.null, asked.seed, planted=False)
    edge, _, _ = run("planted", planted_world, asked.planted, asked.seed, planted=True)
    holds = luck <= 0.05 * asked.null and most <= 0.075 and edge >= 0.8 * asked.planted
    print("holds" if holds else "DOES NOT HOLD")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
