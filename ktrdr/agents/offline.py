"""The offline designer: a search. No key, no network, no language model, and it says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ktrdr.agents.designer import Assessment, AssessmentContext, Brief, Design, Desk, Trials
from ktrdr.agents.rubric import judge
from ktrdr.agents.search import Candidate, Ground, next_generation, survey, try_out
from ktrdr.backtest.metrics import elapsed_years
from ktrdr.errors import Invalid
from ktrdr.evaluation.sharpe import dsr, expected_max_sharpe
from ktrdr.market.bars import Bars


@dataclass(frozen=True)
class OfflineDesigner:
    """Evolution over indicators, labels and decision rules; the same seed and bars give the same strategy, byte for byte."""

    def ready(self, model: str | None) -> None:
        """It asks no language model."""
        if model is not None:
            raise Invalid(
                f"the offline designer asks no language model, so not {model!r} either", hint="leave --model out", code="unknown_model"
            )

    def design(self, brief: Brief, bars: Bars, desk: Desk) -> Design:
        """The best of `brief.candidates` strategies.

        Among those that come farthest through the gates on the bars that score them, the one with the highest Sharpe
        ratio after costs. Every candidate is reported as a trial, whatever became of it.
        """
        ground = survey(brief, bars)
        random = np.random.default_rng(brief.seed)
        tried: list[Candidate] = []
        while generation := next_generation(random, tried, ground):
            check = partial(_show, desk, tuple(tried), len(generation), brief.candidates)
            for candidate in try_out(generation, len(tried) + 1, ground, check):
                desk.trial(candidate.tried)
                tried.append(candidate)
        desk.report(len(tried), brief.candidates, _so_far(tried, brief.candidates))
        best = max(tried, key=lambda c: c.rank)
        return Design(
            name=best.strategy.name,
            text=best.strategy.to_yaml(),
            hypothesis=best.strategy.hypothesis or "",
            designed_by=f"search (evolution, {len(tried)} candidates, seed {brief.seed}) — not by a language model",
            trials=trials_of(tried, best, ground),
            notes=_notes(tried, best, ground),
        )

    def assess(self, context: AssessmentContext, desk: Desk) -> Assessment:
        """A judgement by fixed rules on the figures."""
        return judge(context)


def trials_of(tried: Sequence[Candidate], best: Candidate, ground: Ground) -> Trials:
    """The chosen candidate beside the luck of so many tries.

    The spread of luck is the spread of this search's Sharpe ratios, where a candidate that never traded has 0, but no
    more than chance gives ratios without any skill, 1 / (T - 1): what is beyond that is skill or costs. Tries on the
    same bars before this search count as well.
    """
    count = len(tried) + ground.brief.earlier_trials
    if best.sample is None:
        return Trials(count=count, reason=best.tried.reason or "the chosen strategy never traded")
    scored = ground.bars.between(best.tried.start, None)
    per_year = (len(scored) - 1) / elapsed_years(scored.time)
    sharpes = [candidate.sample.sharpe if candidate.sample else 0.0 for candidate in tried]
    by_chance = 1 / (best.sample.periods - 1)
    variance = min(float(np.var(sharpes, ddof=1)), by_chance) if len(sharpes) > 1 else by_chance
    return Trials(
        count=count,
        best_sharpe_ratio=best.tried.sharpe_ratio,
        expected_by_luck=expected_max_sharpe(count, variance) * math.sqrt(per_year),
        deflated_probability=dsr(best.sample, count, variance),
    )


def _show(desk: Desk, tried: Sequence[Candidate], together: int, total: int, share: float) -> None:
    """Say how far the search is, by the share of the candidates at hand that is done."""
    desk.report(len(tried) + int(share * together), total, _so_far(tried, total, together))


def _so_far(tried: Sequence[Candidate], total: int, together: int = 1) -> str:
    found = max((c.rank for c in tried), default=(0, -np.inf))
    best = f", best Sharpe {round(found[1], 2) + 0.0:.2f}" if np.isfinite(found[1]) else ""
    first, last = min(len(tried) + 1, total), min(len(tried) + together, total)
    return f"Candidates {first}-{last}/{total}{best}" if last > first else f"Candidate {first}/{total}{best}"


def _notes(tried: Sequence[Candidate], best: Candidate, ground: Ground) -> tuple[str, ...]:
    informed, through = (sum(c.stages >= stage for c in tried) for stage in (1, 2))
    years = f"{best.tried.start:%Y-%m-%d} to {best.tried.end:%Y-%m-%d}"
    notes = [f"Scored on {years}: {informed} of {len(tried)} candidates learned something, {through} of them would pass both gates there."]
    if not through:
        notes.append("As none would, the best of those that came farthest goes on; expect a gate to refuse it.")
    if ground.left_out:
        notes.append(f"The search read the newest {len(ground.bars):,} bars and left {ground.left_out:,} older ones out, to keep it short.")
    if not ground.shorts:
        notes.append(f"Long only: borrowing {ground.bars.symbol} to sell it short has costs that are not modelled.")
    return tuple(notes)
