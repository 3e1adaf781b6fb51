"""The strategies a search can write: which indicators, in which words, learned from which swings, decided how.

A genome is a choice; `document_of` writes it as a strategy document. Every indicator in the pools is free of scale: none
is a price, so that a fuzzy set means the same at every price level.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ktrdr.agents.designer import Brief
from ktrdr.agents.goal import Family, family_name
from ktrdr.indicators.base import INDICATORS, Floats, Indicator
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.spec import Strategy, checked

JSON = dict[str, Any]
Random = np.random.Generator
FEWEST, MOST = 2, 4
"""Indicators of a candidate."""
WORDS = ("low", "middle", "high")
QUANTILES = (0.15, 0.5, 0.85)
"""Where the three words of an indicator are centred."""
BOUNDS = {
    "rsi": (0.0, 100.0), "stochastic": (0.0, 100.0), "adx": (0.0, 100.0), "mfi": (0.0, 100.0), "williamsr": (-100.0, 0.0),
    "aroon": (-100.0, 100.0), "atr": (0.0, None),
}  # fmt: skip
"""Values that these indicators, with the outputs used here, cannot leave."""
LONGEST_LABEL = 48
"""Bars that a label with a fixed span looks ahead at most."""
MOST_RULES, EPOCHS, BATCH, LEARNING_RATE = 6, 8, 1024, 0.02


@dataclass(frozen=True, order=True)
class Gene:
    """One indicator of a candidate."""

    type: str
    parameters: tuple[tuple[str, int | str], ...]
    output: str = ""

    @property
    def id(self) -> str:
        """Its name in the strategy."""
        values = "_".join(str(value).lower() for _, value in self.parameters)
        return f"{self.type.replace('distancefromma', 'distance')}_{values}"

    @property
    def reference(self) -> str:
        """How a fuzzy set names it."""
        return f"{self.id}.{self.output}" if self.output else self.id

    def indicator(self) -> Indicator:
        """The indicator itself."""
        return INDICATORS.get(self.type)(**dict(self.parameters))

    def values(self, bars: Bars) -> Floats:
        """Its values on bars."""
        indicator = self.indicator()
        columns = indicator.compute(bars)
        return columns[self.output or (indicator.outputs[0] if indicator.outputs else "value")]


def _genes(type: str, key: str, values: Sequence[int], output: str = "", **fixed: int | str) -> tuple[Gene, ...]:
    return tuple(Gene(type, ((key, value), *fixed.items()), output) for value in values)


RSI = _genes("rsi", "period", (7, 14, 21, 28))
FAST_RSI = _genes("rsi", "period", (3, 5, 9))
ROC = _genes("roc", "period", (6, 12, 24, 48, 96))
ADX = _genes("adx", "period", (14, 28, 50))
PLUS_DI = _genes("adx", "period", (21, 40), output="plus_di")
EMA_DISTANCE = _genes("distancefromma", "period", (20, 50, 100, 200), ma_type="EMA")
SMA_DISTANCE = _genes("distancefromma", "period", (24, 48, 96, 192), ma_type="SMA")
AROON = _genes("aroon", "period", (25, 50, 100), output="oscillator")
STOCHASTIC = _genes("stochastic", "k_period", (14, 21, 48), d_period=3, smooth_k=3)
CHANNEL_PLACE = _genes("williamsr", "period", (24, 48, 96))
CCI = _genes("cci", "period", (20, 40, 80))
ATR = _genes("atr", "period", (7, 14, 50))
MFI = _genes("mfi", "period", (14, 28))
MACD = (Gene("macd", (("fast_period", 12), ("slow_period", 26), ("signal_period", 9)), "histogram"),)

POOLS: dict[Family, tuple[Gene, ...]] = {
    "momentum": RSI + ROC + ADX + PLUS_DI + EMA_DISTANCE + MACD + MFI,
    "mean_reversion": SMA_DISTANCE + FAST_RSI + STOCHASTIC + CHANNEL_PLACE[:1] + CCI + MFI,
    "breakout": AROON + CHANNEL_PLACE + ROC + ADX + ATR,
    "volatility": ATR + ADX + ROC + SMA_DISTANCE + CCI,
}
"""What each family may look at, no two of one name.

Williams %R says where a price lies between the highest high and the lowest low: its place in the Donchian channel.
"""
HYPOTHESES: dict[Family, str] = {
    "momentum": "A move that has begun goes on more often than it ends",
    "mean_reversion": "A price that ran too far comes back",
    "breakout": "A price that leaves its range keeps going",
    "volatility": "How far bars move says how the next move goes",
}


def pool_of(family: Family, bars: Bars) -> tuple[Gene, ...]:
    """The indicators of a family that these bars can feed."""
    return tuple(gene for gene in POOLS[family] if bars.has_volume or not gene.indicator().needs_volume)


def every_gene(bars: Bars) -> tuple[Gene, ...]:
    """The indicators of every family that these bars can feed."""
    return tuple(dict.fromkeys(gene for family in POOLS for gene in pool_of(family, bars)))


@dataclass(frozen=True)
class Genome:
    """One candidate."""

    genes: tuple[Gene, ...]
    label: int
    """Which of the labelling rules on offer."""
    confidence: float
    separation: int
    """Bars between two changes of position."""


CONFIDENCES = (0.4, 0.5, 0.6)
SEPARATIONS = (4, 12, 24, 48)


def draw(random: Random, pool: Sequence[Gene], labels: int) -> Genome:
    """A candidate at random."""
    count = int(random.integers(FEWEST, min(MOST, len(pool)) + 1))
    genes = sorted(pool[i] for i in random.choice(len(pool), count, replace=False))
    return Genome(tuple(genes), int(random.integers(labels)), float(random.choice(CONFIDENCES)), int(random.choice(SEPARATIONS)))


def mutate(parent: Genome, random: Random, pool: Sequence[Gene], labels: int) -> Genome:
    """The parent with one thing changed: an indicator added, removed or exchanged, the labels, or how it decides."""
    genes, what = list(parent.genes), random.random()
    others = [gene for gene in pool if gene not in genes]
    fresh = others[int(random.integers(len(others)))]
    if what < 0.2 and len(genes) < MOST:
        genes.append(fresh)
    elif what < 0.3 and len(genes) > FEWEST:
        genes.pop(int(random.integers(len(genes))))
    elif what < 0.65:
        genes[int(random.integers(len(genes)))] = fresh
    elif what < 0.8:
        return replace(parent, label=int(random.integers(labels)))
    elif what < 0.9:
        return replace(parent, confidence=float(random.choice(CONFIDENCES)))
    else:
        return replace(parent, separation=int(random.choice(SEPARATIONS)))
    return replace(parent, genes=tuple(sorted(genes)))


def labels_for(bars: Bars) -> tuple[JSON, ...]:
    """Labelling rules that suit the size of this market's moves: swings, and which of two barriers is touched first."""
    day = max(1, round(86400 / bars.timeframe.seconds))
    moves = np.abs(bars.close[day:] / bars.close[:-day] - 1)
    typical = float(np.median(moves)) or 0.01
    swings = [float(f"{min(typical * times, 0.5):.2g}") for times in (2, 4, 8)]
    barriers = {"source": "triple_barrier", "max_holding_period": LONGEST_LABEL, "vol_span": 48}
    return (
        *({"source": "zigzag", "zigzag_threshold": swing} for swing in swings),
        *({**barriers, "pt": width, "sl": width} for width in (2.0, 4.0)),
    )


def partition(gene: Gene, seen: Floats) -> dict[str, list[float]] | None:
    """Three words for an indicator, centred on quantiles of the values seen; None where those do not differ.

    Neighbours overlap up to each other's centres. The outer words reach to the bounds of the indicator, or far beyond
    everything seen, so that every value belongs to something.
    """
    known = seen[np.isfinite(seen)]
    if not len(known):
        return None
    low, middle, high = (float(f"{q:.4g}") for q in np.quantile(known, QUANTILES))
    if not low < middle < high:
        return None
    far = float(10.0 ** (np.ceil(np.log10(np.max(np.abs(known)))) + 2))
    floor, ceiling = BOUNDS.get(gene.type, (None, None))
    bottom, top = -far if floor is None else floor, far if ceiling is None else ceiling
    return {"low": [bottom, bottom, low, middle], "middle": [low, middle, high], "high": [middle, high, top, top]}


def strategy_of(genome: Genome, label: JSON, words: Mapping[Gene, dict[str, list[float]]], brief: Brief, shorts: bool) -> Strategy:
    """The candidate as a strategy for the brief, named after its content."""
    document = document_of(genome, label, words, brief, shorts)
    content = checked({"name": "candidate", **document}, "candidate").to_yaml()
    goal = brief.goal
    base = re.sub(r"[^a-z0-9_]", "", f"{goal.family}_{goal.symbol}_{goal.timeframe}".lower())
    name = f"{base}_{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    return checked({"name": name, **document}, name)


def document_of(genome: Genome, label: JSON, words: Mapping[Gene, dict[str, list[float]]], brief: Brief, shorts: bool) -> JSON:
    """A strategy document without its name."""
    goal = brief.goal
    hours = Timeframe(goal.timeframe).seconds / 3600
    return {
        "description": f"{family_name(goal.family).capitalize()} on {goal.symbol} {goal.timeframe}, found by a search (seed {brief.seed}).",
        "hypothesis": f"{HYPOTHESES[goal.family]}, and {_listed(genome)} together tell when.",
        "training_data": {
            "symbols": [goal.symbol],
            "timeframes": [goal.timeframe],
            "start_date": brief.train_start.isoformat(),
            "end_date": brief.train_end.isoformat(),
        },
        "indicators": {gene.id: {"type": gene.type, **dict(gene.parameters)} for gene in genome.genes},
        "fuzzy_sets": {gene.id: {"indicator": gene.reference, **words[gene]} for gene in genome.genes},
        "nn_inputs": [{"fuzzy_set": gene.id, "timeframes": "all"} for gene in genome.genes],
        "model": {"type": "tsk", "architecture": {"max_rules": MOST_RULES}},
        "decisions": {
            "output_format": "classification",
            "confidence_threshold": genome.confidence,
            "allow_short_from_flat": shorts,
            "filters": {"min_signal_separation": genome.separation * hours},
        },
        "training": {"epochs": EPOCHS, "learning_rate": LEARNING_RATE, "batch_size": BATCH, "seed": brief.seed, "labels": label},
        "backtest": {"date_range": {"start": brief.backtest_start.isoformat(), "end": brief.backtest_end.isoformat()}},
    }


def _listed(genome: Genome) -> str:
    names = [gene.reference.replace("_", " ").replace(".", " ") for gene in genome.genes]
    return f"{', '.join(names[:-1])} and {names[-1]}"
