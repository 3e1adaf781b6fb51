"""What every registered indicator and label must keep; a new file is tested here without being named."""

from __future__ import annotations

import json
from typing import Any

import annotated_types
import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from ktrdr.errors import Invalid
from ktrdr.indicators.base import INDICATORS, Indicator
from ktrdr.labels.base import LABELS, Label
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.sections import IndicatorSpec, LabelSpec

CATEGORIES = {"trend", "momentum", "volatility", "volume", "support_resistance", "multi_purpose"}
CUTS = (1, 7, 60, 200)

indicators = pytest.mark.parametrize("cls", list(INDICATORS), ids=INDICATORS.names())
labels = pytest.mark.parametrize("cls", list(LABELS), ids=LABELS.names())
everything = pytest.mark.parametrize("cls", [*INDICATORS, *LABELS], ids=[*INDICATORS.names(), *LABELS.names()])


def walk(count: int, *, volume: bool = True, seed: int = 3) -> Bars:
    """Hourly bars of a random walk that turns often enough for every rule."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    start = np.concatenate((close[:1], close[:-1]))
    spread = np.abs(random.normal(0, 0.004, count)) * close
    return Bars.checked(
        "TEST",
        Timeframe("1h"),
        np.datetime64("2020-01-01", "us") + np.arange(count) * np.timedelta64(1, "h"),
        open=start,
        high=np.maximum(start, close) + spread,
        low=np.minimum(start, close) - spread,
        close=close,
        volume=random.integers(1, 1000, count).astype(float) if volume else np.zeros(count),
    )


def flat(count: int) -> Bars:
    price = np.full(count, 50.0)
    time = np.datetime64("2020-01-01", "us") + np.arange(count) * np.timedelta64(1, "h")
    return Bars.checked("FLAT", Timeframe("1h"), time, open=price, high=price, low=price, close=price, volume=np.ones(count))


def smallest(cls: type[BaseModel]) -> dict[str, Any]:
    """The least value of every bounded parameter."""
    return {name: bound.ge for name, info in cls.model_fields.items() for bound in info.metadata if isinstance(bound, annotated_types.Ge)}


def variants(cls: type[Indicator]) -> list[Indicator]:
    return [cls(), cls(**smallest(cls))]


@everything
def test_its_docstring_begins_with_a_sentence_for_the_user(cls: type[BaseModel]) -> None:
    first = (cls.__doc__ or "").splitlines()[0]
    assert first[0].isupper()
    assert first.endswith(".")
    assert len(first) <= 130


@everything
def test_parameters_outside_their_bounds_are_refused(cls: type[BaseModel]) -> None:
    tried = 0
    for name, info in cls.model_fields.items():
        for bound in info.metadata:
            outside = {
                annotated_types.Ge: lambda b: b.ge - 1,
                annotated_types.Gt: lambda b: b.gt,
                annotated_types.Le: lambda b: b.le + 1,
                annotated_types.Lt: lambda b: b.lt,
            }.get(type(bound))
            if outside:
                tried += 1
                with pytest.raises(ValidationError):
                    cls(**{name: outside(bound)})
    bounded = [n for n, i in cls.model_fields.items() if i.annotation in (int, float)]
    assert tried >= 2 * len(bounded)


@everything
def test_unknown_and_mistyped_parameters_are_refused(cls: type[BaseModel]) -> None:
    with pytest.raises(ValidationError):
        cls(no_such_parameter=1)
    for name, info in cls.model_fields.items():
        with pytest.raises(ValidationError):
            cls(**{name: "14" if info.annotation is not str else 14})


@everything
def test_it_comes_back_from_a_strategy_document_unchanged(cls: type[BaseModel]) -> None:
    kind, key, registry = (IndicatorSpec, "type", INDICATORS) if issubclass(cls, Indicator) else (LabelSpec, "source", LABELS)
    built = cls(**smallest(cls))
    spec = kind.model_validate({key: registry.name_of(cls), **built.model_dump()})
    assert spec.build() == built
    assert kind.model_validate(json.loads(spec.model_dump_json())) == spec


@pytest.mark.parametrize("registry", [INDICATORS, LABELS], ids=["indicators", "labels"])
def test_no_two_names_or_aliases_are_alike(registry: Any) -> None:
    spellings = [s for name in registry.names() for s in {name, *registry.get(name).aliases}]
    assert len(spellings) == len(set(spellings))
    for name in registry.names():
        assert registry.name_of(registry.get(name)) == name
        for alias in registry.get(name).aliases:
            assert registry.get(alias.upper()) is registry.get(name)


@indicators
def test_its_category_is_known(cls: type[Indicator]) -> None:
    assert cls.category in CATEGORIES


@indicators
def test_it_gives_its_outputs_at_full_length_with_gaps_in_warm_up_alone(cls: type[Indicator]) -> None:
    bars = walk(400)
    for indicator in variants(cls):
        columns = indicator.compute(bars)
        assert tuple(columns) == (cls.outputs or ("value",))
        for column in columns.values():
            assert column.dtype == np.float64
            assert column.shape == (400,)
            known = ~np.isnan(column)
            assert known[-1]
            assert np.all(known[np.argmax(known) :]), "NaN after warm-up"
            assert np.all(np.isfinite(column[known]))


@indicators
def test_it_leaves_the_bars_as_they_are(cls: type[Indicator]) -> None:
    bars = walk(200)
    before = bars.digest()
    cls().compute(bars)
    assert bars.digest() == before


@indicators
@pytest.mark.parametrize("cut", CUTS)
def test_no_value_changes_when_the_future_is_cut_off(cls: type[Indicator], cut: int) -> None:
    bars = walk(400)
    for indicator in variants(cls):
        whole, early = indicator.compute(bars), indicator.compute(bars.rows(slice(0, -cut)))
        for name, column in whole.items():
            np.testing.assert_array_equal(column[:-cut], early[name])


@indicators
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_series_too_short_for_it_gives_gaps_and_no_error(cls: type[Indicator], count: int) -> None:
    for column in cls().compute(walk(400).rows(slice(0, count))).values():
        assert column.shape == (count,)


@indicators
def test_prices_that_do_not_move_give_numbers(cls: type[Indicator]) -> None:
    for column in cls().compute(flat(400)).values():
        assert np.isfinite(column[-1])


@indicators
def test_it_says_so_when_it_needs_volume_that_is_not_there(cls: type[Indicator]) -> None:
    bars = walk(100, volume=False)
    if cls.needs_volume:
        with pytest.raises(Invalid, match="needs volume, and TEST 1h has none"):
            cls().compute(bars)
    else:
        cls().compute(bars)


@labels
def test_its_targets_are_classes_or_returns_with_the_bars_they_read(cls: type[Label]) -> None:
    bars = walk(800)
    targets = cls().label(bars)
    assert targets.task == cls.task
    assert targets.values.shape == targets.last_read.shape == (800,)
    known, rows = ~np.isnan(targets.values), np.arange(800)
    assert known.any()
    assert not known.all()
    assert np.all(targets.last_read[known] > rows[known])
    assert np.all(targets.last_read[~known] == rows[~known])
    assert targets.last_read.max() < 800
    if targets.task == "classification":
        assert set(targets.values[known]) <= {0.0, 1.0, 2.0}
    else:
        assert np.all(np.isfinite(targets.values[known]))


@labels
@pytest.mark.parametrize("cut", CUTS)
def test_a_label_reads_no_bar_after_its_last_read(cls: type[Label], cut: int) -> None:
    bars = walk(800)
    whole, early = cls().label(bars), cls().label(bars.rows(slice(0, -cut)))
    given = ~np.isnan(early.values)
    np.testing.assert_array_equal(whole.values[:-cut][given], early.values[given])
    np.testing.assert_array_equal(whole.last_read[:-cut][given], early.last_read[given])
    reads_the_cut_part = whole.last_read[:-cut] >= 800 - cut
    assert np.all(np.isnan(early.values[reads_the_cut_part]))


@labels
@pytest.mark.parametrize("count", [0, 1])
def test_a_series_too_short_to_label_has_no_labels(cls: type[Label], count: int) -> None:
    targets = cls().label(walk(50).rows(slice(0, count)))
    assert len(targets.values) == count
    assert np.all(np.isnan(targets.values))
