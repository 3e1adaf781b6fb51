from __future__ import annotations

import pytest

from ktrdr.cli.aliases import current_spelling


@pytest.mark.parametrize(
    ("older", "present"),
    [
        (
            "models train s.yaml AAPL 1h --start-date 2024-01-01 --end-date 2024-06-01",
            "train s.yaml --symbols AAPL --timeframes 1h --start 2024-01-01 --end 2024-06-01 --follow",
        ),
        ("models train --start-date=2024-01-01 s.yaml AAPL 1h", "train s.yaml --symbols AAPL --timeframes 1h --start=2024-01-01 --follow"),
        ("models train s.yaml AAPL --dry-run", "train s.yaml --symbols AAPL --dry-run --follow"),
        ("models train s.yaml A 1h one too many", "train s.yaml one too many --symbols A --timeframes 1h --follow"),
        ("model train s.yaml", "train s.yaml --follow"),
        ("backtest run momentum --start-date 2024-01-01", "backtest momentum --start 2024-01-01 --follow"),
        ("backtest momentum", "backtest momentum"),
        ("operations list --status failed", "ops --status failed"),
        ("operations status op_1", "status op_1"),
        ("operations cancel op_1", "cancel op_1"),
        ("show data AAPL 1d", "show AAPL 1d"),
        ("train momentum -f", "train momentum -f"),
        ("ops", "ops"),
    ],
)
def test_an_older_spelling_means_the_present_one(older: str, present: str) -> None:
    assert current_spelling(older.split()) == present.split()
