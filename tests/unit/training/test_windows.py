"""Rows for learning: what is kept, where it is cut, and that nothing looks across a cut."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ktrdr.errors import NoData
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.features import compute_features
from ktrdr.strategy.spec import Strategy
from ktrdr.training.windows import Samples, Slice, build_samples

HOUR = Timeframe("1h")
START = datetime(2024, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=400)
StrategyOf = Callable[..., Strategy]
BarsOf = Callable[..., Bars]


def samples(strategy: Strategy, *series: Bars, start: datetime = START, end: datetime = END) -> Samples:
    return build_samples(strategy, {own.symbol: {own.timeframe: own} for own in series}, start, end)


def hours(moment: str) -> int:
    return round((datetime.fromisoformat(moment) - START) / timedelta(hours=1))


def row_numbers(rows: Slice) -> list[int]:
    return ((rows.time - np.datetime64("2024-01-01", "us")) // np.timedelta64(1, "h")).tolist()


def test_rows_are_those_with_all_features_and_a_label(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    """400 bars less 2 of warm-up and 5 without a label; an embargo of the 5 bars that a label looks ahead."""
    found = samples(strategy_of(), bars_of())
    assert found.rows == {"train": 270, "validation": 49, "test": 54}
    assert found.split.embargo_rows == 5
    assert found.split.purged_rows == 10
    assert found.label_span == (5, 5)
    assert sum(found.rows.values()) + 2 * 5 + 10 == 393
    assert row_numbers(found.train)[0] == 2
    assert row_numbers(found.test)[-1] == 394


def test_no_label_of_a_slice_reads_a_bar_of_the_next(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    found = samples(strategy_of(), bars_of())
    assert row_numbers(found.train)[-1] + 5 < hours(found.split.train_end)
    assert row_numbers(found.validation)[-1] + 5 < hours(found.split.validation_end)
    assert row_numbers(found.validation)[0] == hours(found.split.validation_start) == hours(found.split.train_end) + 5
    assert row_numbers(found.test)[0] == hours(found.split.test_start) == hours(found.split.validation_end) + 5


def test_bars_that_come_later_change_nothing(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    end = START + timedelta(hours=300)
    whole, cut = samples(strategy_of(), bars_of(), end=end), samples(strategy_of(), bars_of().between(None, end), end=end)
    assert whole.digest() == cut.digest()
    assert whole.bars == cut.bars
    assert row_numbers(whole.test)[-1] == 294


def test_a_bar_that_is_not_complete_at_the_end_is_not_read(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    middle = START + timedelta(hours=300, minutes=30)
    assert row_numbers(samples(strategy_of(), bars_of(), end=middle).test)[-1] == 294


def test_bars_before_the_start_are_warm_up_and_no_rows(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    found = samples(strategy_of(), bars_of(), start=START + timedelta(hours=100))
    assert row_numbers(found.train)[0] == 100


def test_raw_inputs_are_scaled_by_the_training_slice_alone(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    found = samples(strategy_of(), bars_of())
    column = found.feature_ids.index("1h_roc_2_raw")
    assert found.train.values[:, column].mean() == pytest.approx(0, abs=1e-5)
    assert found.train.values[:, column].std() == pytest.approx(1, abs=1e-5)
    assert abs(found.test.values[:, column].mean()) > 1e-3
    assert list(found.scaling) == ["1h_roc_2_raw"]


def test_each_row_has_the_features_and_the_label_of_its_own_bar(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    bars, found = bars_of(), samples(strategy_of(), bars_of())
    for i, row in enumerate(row_numbers(found.validation)):
        assert found.validation.targets[i] == bars.close[row + 5] / bars.close[row] - 1
    how, column = found.scaling["1h_roc_2_raw"], found.feature_ids.index("1h_roc_2_raw")
    row = row_numbers(found.test)[7]
    raw = 100 * (bars.close[row] / bars.close[row - 2] - 1)
    assert found.test.values[7, column] == pytest.approx((raw - how.offset) / how.scale, abs=1e-5)


def test_every_symbol_is_cut_at_the_same_dates_and_keeps_its_own_labels(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    first, second = bars_of("AAA"), bars_of("BBB", count=300, seed=2)
    found = samples(strategy_of("[AAA, BBB]"), first, second)
    train_end = hours(found.split.train_end)
    numbers = np.array(row_numbers(found.train))
    assert (np.diff(numbers) < 0).sum() == 1  # one symbol after the other
    assert numbers.max() == train_end - 6
    turn = int(np.argmax(np.diff(numbers) < 0))
    assert numbers[turn] == numbers[-1] == train_end - 6
    row = numbers[turn + 1]
    assert found.train.targets[turn + 1] == second.close[row + 5] / second.close[row] - 1
    assert set(found.bars) == {"AAA 1h", "BBB 1h"}


def test_classes_are_whole_numbers(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    found = samples(strategy_of(labels="{source: triple_barrier, max_holding_period: 5, vol_span: 20}"), bars_of())
    assert found.task == "classification"
    assert found.train.targets.dtype == np.int64
    assert set(np.unique(found.train.targets)) <= {0, 1, 2}


def test_the_split_of_the_strategy_is_kept(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    found = samples(strategy_of(more="data_split: {train: 0.5, validation: 0.25, test: 0.25}"), bars_of())
    assert found.rows["train"] == 196 - 5


def test_too_short_a_history_is_said_with_the_figures(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    with pytest.raises(NoData, match="AAA 1h has 40 bars from 2024-01-01 to 2024-01-02, small needs 50") as caught:
        samples(strategy_of(), bars_of(), end=START + timedelta(hours=40))
    assert "ktrdr data load AAA --timeframe 1h" in (caught.value.hint or "")


def test_too_few_rows_are_said_with_the_figures(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    with pytest.raises(NoData, match=r"53 of 60 bars have all features and a label.*leaves 32 train, 0 validation, 3 test rows"):
        samples(strategy_of(), bars_of(), end=START + timedelta(hours=60))


def test_no_row_at_all_is_said(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    with pytest.raises(NoData, match="no row has all of its 4 features and a label"):
        samples(strategy_of(labels="{source: forward_return, horizon: 500}"), bars_of())


# --- sequences of rows

TEN = "{type: lstm, architecture: {hidden_size: 4, sequence_length: 10}}"


def test_a_sequence_is_the_bars_before_its_target_and_lies_in_its_slice(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    """393 rows less 9 at the start; 9 more are lost at the start of the validation and of the test slice."""
    strategy, bars = strategy_of(model=TEN), bars_of()
    found = samples(strategy, bars)
    assert sum(found.rows.values()) == 393 - 9 - 2 * 5 - found.split.purged_rows - 2 * 9
    assert found.split.purged_rows == 10
    whole = compute_features(strategy, {HOUR: bars}, found.scaling).values
    starts = {"train": 2, "validation": hours(found.split.validation_start), "test": hours(found.split.test_start)}
    for name, start in starts.items():
        rows: Slice = getattr(found, name)
        numbers = row_numbers(rows)
        assert numbers[0] == start + 9
        assert len(numbers) == len(rows) == len(rows.ends)
        for number, end in zip(numbers, rows.ends, strict=True):
            np.testing.assert_array_equal(rows.values[end - 9 : end + 1], whole[number - 9 : number + 1])
            assert number - 9 >= start


def test_without_sequences_every_row_stands_alone(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    found = samples(strategy_of(), bars_of())
    for rows in (found.train, found.validation, found.test):
        assert rows.ends.tolist() == list(range(len(rows.values)))


def test_no_sequence_crosses_a_hole_in_the_data(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    first, second = bars_of(count=200), bars_of(count=200, seed=2, start="2024-02-01")
    columns = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in ("open", "high", "low", "close", "volume")}
    broken = Bars.checked("AAA", HOUR, np.concatenate([first.time, second.time]), **columns)
    found = samples(strategy_of(model=TEN), broken, end=START + timedelta(days=60))
    numbers = np.array([number for rows in (found.train, found.validation, found.test) for number in row_numbers(rows)])
    assert 199 in numbers
    assert not set(range(200, 31 * 24 + 9)) & set(numbers.tolist())
    assert 31 * 24 + 9 in numbers


def test_no_sequence_begins_in_the_bars_of_another_symbol_or_before_the_start(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    strategy, series = strategy_of("[AAA, BBB]", model=TEN), {"AAA": bars_of("AAA"), "BBB": bars_of("BBB", seed=2)}
    found = samples(strategy, *series.values(), start=START + timedelta(hours=50))
    numbers = row_numbers(found.train)
    (turn,) = np.flatnonzero(np.diff(numbers) < 0)
    assert numbers[0] == numbers[turn + 1] == 50 + 9
    whole = compute_features(strategy, {HOUR: series["BBB"]}, found.scaling).values
    np.testing.assert_array_equal(found.train.values[found.train.ends[turn + 1] - 9 :][:10], whole[50:60])


def test_the_length_of_sequences_is_part_of_what_training_sees(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    nine = strategy_of(model=TEN.replace("length: 10", "length: 9"))
    assert samples(strategy_of(model=TEN), bars_of()).digest() != samples(nine, bars_of()).digest()


def test_sequences_too_long_for_the_rows_are_said(strategy_of: StrategyOf, bars_of: BarsOf) -> None:
    long = strategy_of(model=TEN.replace("length: 10", "length: 80"))
    with pytest.raises(NoData, match=r"314 of 400 bars have all features and a label, and 79 such bars before them; split") as caught:
        samples(long, bars_of())
    assert (caught.value.hint or "").endswith("or a shorter sequence_length")
