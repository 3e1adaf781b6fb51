"""Whether a tested strategy is more than luck: one verdict from everything that was measured.

The thresholds stand here and in no setting: a bar that can be lowered is none. What is missing or not a number never passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.benchmarks import with_benchmarks
from ktrdr.backtest.metrics import elapsed_years, returns_of
from ktrdr.backtest.result import Backtest
from ktrdr.backtest.simulate import Targets
from ktrdr.errors import Invalid
from ktrdr.evaluation.leaks import LeakProof
from ktrdr.evaluation.resampling import per_day, superior_predictive_ability
from ktrdr.evaluation.sharpe import Sample, dsr, expected_max_sharpe, min_btl, sample_of
from ktrdr.evaluation.stress import Margins, margins
from ktrdr.evaluation.trials import TrialCount
from ktrdr.market.bars import Bars, Floats

SEED = 7
LEAST_PROBABILITY = 0.95
"""Deflated Sharpe ratio."""
MOST_P_VALUE = 0.05
"""Of the test of superior predictive ability against each benchmark."""
LEAST_MARGIN = 2.0
"""Break-even cost, as a multiple of the costs assumed."""
LEAST_KEPT = 0.5
"""Share of the Sharpe ratio that one more bar of delay must leave."""
SHARPE = 1.0
"""Yearly Sharpe ratio that the luck of all trials must not be expected to reach in the time tested."""


class Measured(BaseModel):
    """What one backtest shows by itself, however many were tried."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    years: float
    bars_per_year: float
    sample: Sample | None
    """Of the returns after costs; None where they have no Sharpe ratio."""
    p_values: dict[str, float | None]
    """Of its advantage over each benchmark."""
    margins: Margins
    undefined: dict[str, str]
    """Why a p-value, or the sample, is None."""
    leak_proof: str
    """What the leak proof says."""
    leak_free: bool
    in_sample: bool


class Requirement(BaseModel):
    """One thing that is asked of a strategy, and its answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    passed: bool
    value: float | None
    threshold: float | None
    sentence: str

    @classmethod
    def of(cls, name: str, value: float | None, threshold: float, sentence: str, *, most: bool = False) -> Self:
        """A figure against its threshold; one that is missing or not a number fails."""
        known = value if value is not None and math.isfinite(value) else None
        passed = known is not None and (known < threshold if most else known >= threshold)
        return cls(name=name, passed=passed, value=known, threshold=threshold, sentence=sentence)


class Promotion(BaseModel):
    """The verdict: promoted where every check passed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    promoted: bool
    checks: tuple[Requirement, ...]
    trials: TrialCount
    noise_bar: float | None
    """Yearly Sharpe ratio that the best of so many trials without skill is expected to show in the time tested."""
    sharpe_ratio: float | None
    """Yearly, of the strategy."""
    effective_probability: float | None
    """Its deflated Sharpe ratio if only the effective number of trials counted; it decides nothing."""

    def with_check(self, check: Requirement) -> Promotion:
        """The verdict with one more check."""
        return self.model_copy(update={"promoted": self.promoted and check.passed, "checks": (*self.checks, check)})


def measured(
    result: Backtest, bars: Bars, targets: Targets, proof: LeakProof, *, in_sample: bool, seed: int = SEED,
    others: Mapping[str, Floats] | None = None, history: Bars | None = None,
) -> Measured:  # fmt: skip
    """Everything about a backtest that the verdict rests on. `bars` and `targets` are those tested, `history` has older ones too.

    `others` are further benchmarks: their returns from close to close on the same bars.
    """
    result = result if "volatility_hold" in result.benchmark_equity else with_benchmarks(result)
    returns, per_year = result.returns, (len(bars) - 1) / elapsed_years(bars.time)
    undefined: dict[str, str] = {}
    sample = sample_of(returns)
    if sample is None or sample.variance_factor <= 0:
        sample, undefined["sample"] = None, result.metrics.undefined.get("sharpe_ratio", "its returns have no Sharpe ratio")
    p_values: dict[str, float | None] = {}
    curves = {name: returns_of(equity) for name, equity in result.benchmark_equity.items()}
    for name, benchmark in {"cash": np.zeros(len(returns)), **curves, **(others or {})}.items():
        own, other = (per_day(series, bars.time[1:]) for series in (returns, benchmark))
        try:
            p_values[name] = superior_predictive_ability(own[:, None], other, seed).p_value
        except Invalid as error:
            p_values[name], undefined[name] = None, error.message
    p_values["random_entry"] = result.random_entry.p_value if result.random_entry else None
    if result.random_entry is None:
        undefined["random_entry"] = "no position was ever held" if result.ruined_at is None else "no equity was left"
    return Measured(
        years=elapsed_years(bars.time), bars_per_year=per_year, sample=sample, p_values=p_values, undefined=undefined,
        margins=margins(bars, targets, result.costs, result.capital, execution=result.execution, history=history),
        leak_proof=proof.sentence(), leak_free=proof.passed,
        in_sample=in_sample,
    )  # fmt: skip


def promotion(found: Measured, trials: TrialCount) -> Promotion:
    """The verdict on what was measured, given how much was tried on the same history."""
    if found.sample is not None and not math.isfinite(found.sample.sharpe):
        found = found.model_copy(update={"sample": None, "undefined": {**found.undefined, "sample": "its Sharpe ratio is not a number"}})
    checks = tuple(_checks(found, trials))
    yearly, sample = math.sqrt(found.bars_per_year), found.sample
    return Promotion(
        promoted=all(check.passed for check in checks),
        checks=checks,
        trials=trials,
        noise_bar=expected_max_sharpe(max(trials.n, 1), 1 / (sample.periods - 1)) * yearly if sample else None,
        sharpe_ratio=sample.sharpe * yearly if sample else None,
        effective_probability=_deflated(sample, max(trials.effective_n, 1.0)),
    )


def _checks(found: Measured, trials: TrialCount) -> Iterator[Requirement]:
    yield Requirement(name="leak_proof", passed=found.leak_free, value=None, threshold=None, sentence=found.leak_proof)
    where = "on bars that its training has read" if found.in_sample else "on bars that its training has not read"
    yield Requirement(name="out_of_sample", passed=not found.in_sample, value=None, threshold=None, sentence=f"tested {where}")
    yield _ledger(trials)
    needed = min_btl(max(trials.n, 1), SHARPE)
    yield Requirement.of(
        "track_length", found.years, needed,
        f"{found.years:.1f} years tested; {_times(trials.n)} ask for {needed:.1f}, else luck alone may show a Sharpe ratio of {SHARPE:g}",
    )  # fmt: skip
    yield _luck(found, trials)
    yield _benchmarks(found)
    yield from _conditions(found.margins)


def _ledger(trials: TrialCount) -> Requirement:
    if trials.broken_at is not None:
        said = f"trial {trials.broken_at} of the ledger is not as it was written, so how many there were is not known"
    else:
        kinds = ", ".join(f"{count} by {kind}" for kind, count in trials.kinds.items())
        said = (
            f"{_times(trials.n)} on {trials.symbol} on these dates ({kinds or 'none but this'}), about {trials.effective_n:.0f} independent"
        )
    return Requirement(
        name="trials", passed=trials.broken_at is None and trials.n >= 1, value=float(trials.n), threshold=None, sentence=said
    )  # fmt: skip


def _luck(found: Measured, trials: TrialCount) -> Requirement:
    probability, sample = _deflated(found.sample, trials.n), found.sample
    if probability is None or sample is None:
        said = f"no probability that it is more than luck: {found.undefined.get('sample', 'it is not defined')}"
    else:
        yearly = math.sqrt(found.bars_per_year)
        bar = expected_max_sharpe(max(trials.n, 1), 1 / (sample.periods - 1)) * yearly
        said = (
            f"Sharpe ratio {sample.sharpe * yearly:.2f}, luck alone gives the best of {_times(trials.n)} {bar:.2f}; "
            f"probability {probability:.1%} that it is more than luck"
        )
    return Requirement.of("deflated_sharpe", probability, LEAST_PROBABILITY, said)


def _deflated(sample: Sample | None, trials: float) -> float | None:
    """The deflated Sharpe ratio with the spread that chance gives the Sharpe ratios of trials without skill, 1 / (T - 1)."""
    if sample is None or sample.periods < 3:
        return None
    return dsr(sample, max(trials, 1), 1 / (sample.periods - 1))


def _benchmarks(found: Measured) -> Requirement:
    missing = next((name for name, value in found.p_values.items() if value is None), None)
    if missing is not None or not found.p_values:
        why = found.undefined.get(missing or "", "no benchmark was tested")
        return Requirement.of("superiority", None, MOST_P_VALUE, f"not tested against {_words(missing or 'anything')}: {why}", most=True)
    known = {name: value for name, value in found.p_values.items() if value is not None}
    hardest = max(known, key=lambda name: known[name])
    said = f"p {known[hardest]:.3f} of being so far ahead of {_words(hardest)} by chance" + (
        f"; {', '.join(f'{_words(name)} {value:.3f}' for name, value in known.items() if name != hardest)}" if len(known) > 1 else ""
    )
    return Requirement.of("superiority", known[hardest], MOST_P_VALUE, said, most=True)


def _conditions(bears: Margins) -> Iterator[Requirement]:
    if bears.margin is None or bears.break_even is None or bears.assumed is None:
        said = bears.undefined.get("margin", "no margin is known")
    else:
        said = f"it earns nothing at costs of {10_000 * bears.break_even:.1f} bp a side, {bears.margin:.1f} times those assumed"
    yield Requirement.of("cost_margin", bears.margin, LEAST_MARGIN, said)
    kept = bears.kept_with_delay
    said = (
        bears.undefined.get("kept_with_delay", "not known")
        if kept is None
        else f"one more bar of delay leaves {kept:.0%} of the Sharpe ratio"
    )
    yield Requirement.of("delay", kept, LEAST_KEPT, said)


def untested(reason: str, trials: TrialCount) -> Promotion:
    """The verdict on what was never backtested."""
    return _refused("tested", f"it was never backtested: {reason}", trials)


def of_several(trials: TrialCount, symbols: int) -> Promotion:
    """The verdict on an account of several symbols, of which one was tried as often as `trials` says."""
    return _refused("one_symbol", f"tested on {symbols} symbols in one account; what luck makes of that is not known", trials)


def _refused(name: str, sentence: str, trials: TrialCount) -> Promotion:
    check = Requirement(name=name, passed=False, value=None, threshold=None, sentence=sentence)
    return Promotion(
        promoted=False, checks=(check, _ledger(trials)), trials=trials, noise_bar=None, sharpe_ratio=None, effective_probability=None
    )  # fmt: skip


def gates_passed(gates: Iterable[tuple[str, bool, str]]) -> Requirement:
    """What the gates of a cycle said: name, whether it passed, why not."""
    refused = next(((name, reason) for name, passed, reason in gates if not passed), None)
    said = f"the {refused[0]} gate refused it: {refused[1]}" if refused else "no gate refused it"
    return Requirement(name="gates", passed=refused is None, value=None, threshold=None, sentence=said)


def _times(count: int) -> str:
    return "1 trial" if count == 1 else f"{count:,} trials"


WORDS = {
    "buy_and_hold": "buying and holding", "volatility_hold": "holding less in rough times", "random_entry": "random entries",
}  # fmt: skip


def _words(name: str) -> str:
    return WORDS.get(name, name.replace("_", " "))
