"""The bundled strategies on the real bars they were written for."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from ktrdr.labels.base import BUY, SELL
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.strategy.features import compute_features
from ktrdr.strategy.load import load_strategy


@pytest.mark.shared
@pytest.mark.parametrize("name", ["momentum", "mean_reversion", "trend_momentum", "channel_break", "trend_pullback"])
def test_its_default_range_has_bars_features_and_labels_of_both_sides(name: str, shared_data: Path) -> None:
    import polars as pl

    strategy = load_strategy((files("ktrdr.sample") / "strategies" / f"{name}.yaml").read_text(encoding="utf-8"), name).strategy
    table = pl.read_parquet(shared_data / f"{strategy.symbols[0]}_{strategy.base_timeframe}.parquet")
    columns = {column: table[column].to_numpy() for column in COLUMNS}
    whole = Bars.checked(strategy.symbols[0], strategy.base_timeframe, table["timestamp"].to_numpy(), **columns)
    for start, end in (strategy.date_range, strategy.backtest_range):
        bars = whole.between(start, end)
        assert len(bars) > max(strategy.training_data.history_required, 3000)
        assert compute_features(strategy, {strategy.base_timeframe: bars}).known.mean() > 0.98
        classes = strategy.label.label(bars).values
        known = classes[~np.isnan(classes)]
        assert len(known) > 0.95 * len(bars)
        assert min(np.mean(known == BUY), np.mean(known == SELL)) > 0.35
        assert np.max(np.abs(np.diff(np.log(bars.close)))) < 0.25, "a split lies in the range"
