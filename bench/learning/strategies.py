"""What every shipped strategy learns on real bars of five markets: scores of the test split beside their baselines.

    KTRDR_SHARED_DATA=../shared/data python -m bench.learning.strategies

Prints the table of docs/reference/shipped-strategies.md. The bars are not part of this repository. AAPL is adjusted for
its splits. Each strategy is trained on all bars of a market, divided by time as it says itself; nothing is tuned.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from ktrdr.errors import Invalid, NoData
from ktrdr.market.bars import Bars, as_datetime
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.scores import SliceScores
from ktrdr.sample import FOLDER
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy
from ktrdr.training.run import learn_together
from ktrdr.training.windows import Samples, build_samples

DATA = Path(os.environ.get("KTRDR_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
MARKETS = ("EURUSD", "USDJPY", "AAPL", "SPY", "BTCUSDT")
HOUR = Timeframe("1h")
HEAD = (
    "strategy",
    "network",
    "market",
    "test rows",
    "accuracy (95 %)",
    "majority",
    "shuffled",
    "previous label",
    "loss / ln 3",
    "calibration",
)


def bars_of(symbol: str) -> Bars:
    """The hourly bars of a market; those of AAPL adjusted for splits."""
    frame = pl.read_parquet(DATA / f"{symbol}_1h.parquet")
    time = frame["timestamp"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    factor = split_factors(time) if symbol == "AAPL" else np.ones(len(time))
    prices = {name: frame[name].to_numpy() * factor for name in ("open", "high", "low", "close")}
    return Bars.checked(symbol, HOUR, time, **prices, volume=frame["volume"].to_numpy() / factor, provider="shared")


def split_factors(time: np.ndarray) -> np.ndarray:
    """What prices before each split are multiplied with: a row of the factor file holds up to and including its date."""
    rows = [(row[0], float(row[2])) for row in csv.reader((DATA / "raw" / "lean_AAPL_factor_file.csv").read_text().splitlines())]
    until = np.array([datetime.strptime(date, "%Y%m%d") for date, _ in rows], dtype="datetime64[D]")
    return np.array([factor for _, factor in rows])[np.searchsorted(until, time.astype("datetime64[D]"))]


def strategies() -> Iterator[Strategy]:
    """Every strategy that is shipped."""
    for path in sorted((FOLDER / "strategies").glob("*.yaml")):
        yield load_strategy(path.read_text(encoding="utf-8"), path.name).strategy


def tried(symbol: str) -> Iterator[tuple[Strategy, SliceScores | str]]:
    """Each strategy with its scores on a market, or with the reason why there are none."""
    bars = bars_of(symbol)
    start, end = as_datetime(bars.time[0]), as_datetime(bars.known_at[-1])
    ready: list[tuple[Samples, Strategy]] = []
    for one in strategies():
        chosen = one.with_overrides([symbol], ["1h"], start, end)
        try:
            ready.append((build_samples(chosen, {symbol: {HOUR: bars}}, start, end), chosen))
        except (Invalid, NoData) as error:
            yield one, error.message
    for (_, strategy), model in zip(ready, learn_together(ready, lambda _: None), strict=True):
        yield strategy, model.message if isinstance(model, Invalid) else model.scores.test


def row_of(strategy: Strategy, symbol: str, found: SliceScores | str) -> tuple[str, ...]:
    """A line of the table."""
    who = (strategy.name, strategy.model.type, symbol)
    if isinstance(found, str):
        return (*who, found)
    base, within = found.baselines, found.accuracy_interval
    assert base is not None
    span = f" ({within.low:.1%} to {within.high:.1%})" if within else ""
    rivals = (base.majority_accuracy, base.shuffled_accuracy, base.previous_accuracy)
    figures = (found.accuracy, *rivals, found.relative_loss, found.calibration_error)
    accuracy, majority, shuffled, previous, loss, calibration = ("-" if value is None else f"{value:.1%}" for value in figures)
    return (*who, f"{found.rows:,}", accuracy + span, majority, shuffled, previous, loss, calibration, found.verdict)


def main() -> int:
    """Train, and print the table."""
    if not DATA.is_dir():
        print(f"no bars: {DATA} is missing; name their folder in KTRDR_SHARED_DATA", file=sys.stderr)
        return 1
    print("| " + " | ".join((*HEAD, "verdict")) + " |")
    print("|---" * (len(HEAD) + 1) + "|")
    lines = [row_of(strategy, symbol, found) for symbol in MARKETS for strategy, found in tried(symbol)]
    for line in sorted(lines, key=lambda line: (line[0], MARKETS.index(line[2]))):
        print("| " + " | ".join(line) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
