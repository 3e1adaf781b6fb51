"""Every indicator against its definition, written out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ktrdr.indicators.base import INDICATORS, Floats
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe

Columns = dict[str, Floats]


@pytest.fixture(scope="module")
def bars() -> Bars:
    random = np.random.default_rng(11)
    close = 100 + np.cumsum(random.normal(0, 1, 160))
    start = close + random.normal(0, 0.5, 160)
    high, low = np.maximum(start, close) + random.random(160), np.minimum(start, close) - random.random(160)
    time = np.datetime64("2020-01-01", "us") + np.arange(160) * np.timedelta64(1, "h")
    volume = random.integers(1, 100, 160).astype(float)
    return Bars.checked("X", Timeframe("1h"), time, open=start, high=high, low=low, close=close, volume=volume)


def windows(values: Floats, period: int, of: Callable[[Floats], float]) -> Floats:
    """`of` over the last `period` values, known from value `period` on."""
    out = np.full(len(values), np.nan)
    for t in range(period - 1, len(values)):
        out[t] = of(values[t - period + 1 : t + 1])
    return out


def exponential(values: Floats, period: int, begin: int | None = None) -> Floats:
    """EMA seeded with the mean of `period` values, the last of which is at `begin`."""
    begin = period - 1 if begin is None else begin
    out = np.full(len(values), np.nan)
    out[begin] = values[begin - period + 1 : begin + 1].mean()
    for t in range(begin + 1, len(values)):
        out[t] = out[t - 1] + 2 / (period + 1) * (values[t] - out[t - 1])
    return out


def wilder(values: Floats, period: int) -> Floats:
    """Wilder's mean of values[1:], seeded with the plain mean of the first `period`."""
    out = np.full(len(values), np.nan)
    out[period] = values[1 : period + 1].mean()
    for t in range(period + 1, len(values)):
        out[t] = (out[t - 1] * (period - 1) + values[t]) / period
    return out


def wilder_sum(values: Floats, period: int) -> Floats:
    """Wilder's running sum, seeded with the first `period - 1` values after the first bar."""
    out = np.full(len(values), np.nan)
    total = values[1:period].sum()
    for t in range(period, len(values)):
        total = total - total / period + values[t]
        out[t] = total
    return out


def before(values: Floats) -> Floats:
    return np.concatenate(([np.nan], values[:-1]))


def true_range(b: Bars) -> Floats:
    return np.fmax(b.high, before(b.close)) - np.fmin(b.low, before(b.close))


def rsi(b: Bars) -> Columns:
    change = b.close - before(b.close)
    up, down = wilder(np.maximum(change, 0), 14), wilder(np.maximum(-change, 0), 14)
    return {"value": 100 * up / (up + down)}


def macd(b: Bars) -> Columns:
    line = exponential(b.close, 12, begin=25) - exponential(b.close, 26)
    signal = np.full(len(b), np.nan)
    signal[25:] = exponential(line[25:], 9)
    line[np.isnan(signal)] = np.nan
    return {"line": line, "signal": signal, "histogram": line - signal}


def adx(b: Bars) -> Columns:
    up, down = b.high - before(b.high), before(b.low) - b.low
    plus = wilder_sum(np.where((up > down) & (up > 0), up, 0.0), 14)
    minus = wilder_sum(np.where((down > up) & (down > 0), down, 0.0), 14)
    moved = wilder_sum(true_range(b), 14)
    plus_di, minus_di = 100 * plus / moved, 100 * minus / moved
    dx = 100 * np.abs(plus_di - minus_di) / (plus_di + minus_di)
    smoothed = np.full(len(b), np.nan)
    smoothed[13:] = wilder(dx[13:], 14)
    return {"adx": smoothed, "plus_di": plus_di, "minus_di": minus_di}


def bollinger(b: Bars) -> Columns:
    middle, width = windows(b.close, 20, np.mean), 2 * windows(b.close, 20, np.std)
    return {"upper": middle + width, "middle": middle, "lower": middle - width}


def place_in_range(b: Bars, period: int) -> tuple[Floats, Floats]:
    return windows(b.high, period, np.max), windows(b.low, period, np.min)


def stochastic(b: Bars) -> Columns:
    top, bottom = place_in_range(b, 14)
    raw = 100 * (b.close - bottom) / (top - bottom)
    k = windows(raw, 3, np.mean)
    d = windows(k, 3, np.mean)
    k[np.isnan(d)] = np.nan
    return {"k": k, "d": d}


def williamsr(b: Bars) -> Columns:
    top, bottom = place_in_range(b, 14)
    return {"value": -100 * (top - b.close) / (top - bottom)}


def cci(b: Bars) -> Columns:
    typical = (b.high + b.low + b.close) / 3
    mean = windows(typical, 20, np.mean)
    return {"value": (typical - mean) / (0.015 * windows(typical, 20, lambda w: float(np.mean(np.abs(w - w.mean())))))}


def aroon(b: Bars) -> Columns:
    up = 100 / 14 * windows(b.high, 15, lambda w: 14 - float(np.argmax(w[::-1])))
    down = 100 / 14 * windows(b.low, 15, lambda w: 14 - float(np.argmin(w[::-1])))
    return {"up": up, "down": down, "oscillator": up - down}


def donchian(b: Bars) -> Columns:
    top, bottom = place_in_range(b, 20)
    return {"upper": top, "middle": (top + bottom) / 2, "lower": bottom}


def mfi(b: Bars) -> Columns:
    typical = (b.high + b.low + b.close) / 3
    flow, change = typical * b.volume, np.diff(typical, prepend=typical[:1])
    rising = windows(np.where(change > 0, flow, 0.0)[1:], 14, np.sum)
    falling = windows(np.where(change < 0, flow, 0.0)[1:], 14, np.sum)
    return {"value": np.concatenate(([np.nan], 100 * rising / (rising + falling)))}


def obv(b: Bars) -> Columns:
    signs = np.sign(np.diff(b.close))
    return {"value": b.volume[0] + np.concatenate(([0.0], np.cumsum(signs * b.volume[1:])))}


def lagged(b: Bars, period: int) -> Floats:
    return np.concatenate((np.full(period, np.nan), b.close[:-period]))


DEFINITIONS: dict[str, Callable[[Bars], Columns]] = {
    "rsi": rsi,
    "simplemovingaverage": lambda b: {"value": windows(b.close, 20, np.mean)},
    "exponentialmovingaverage": lambda b: {"value": exponential(b.close, 20)},
    "weightedmovingaverage": lambda b: {"value": windows(b.close, 20, lambda w: float(np.average(w, weights=range(1, 21))))},
    "macd": macd,
    "atr": lambda b: {"value": wilder(true_range(b), 14)},
    "adx": adx,
    "bollingerbands": bollinger,
    "stochastic": stochastic,
    "roc": lambda b: {"value": 100 * (b.close / lagged(b, 10) - 1)},
    "momentum": lambda b: {"value": b.close - lagged(b, 10)},
    "cci": cci,
    "williamsr": williamsr,
    "distancefromma": lambda b: {"value": 100 * (b.close / windows(b.close, 20, np.mean) - 1)},
    "donchianchannels": donchian,
    "aroon": aroon,
    "obv": obv,
    "mfi": mfi,
}


@pytest.mark.parametrize("name", INDICATORS.names())
def test_it_computes_what_its_definition_says(name: str, bars: Bars) -> None:
    computed, expected = INDICATORS.get(name)().compute(bars), DEFINITIONS[name](bars)
    assert set(computed) == set(expected)
    for output, column in expected.items():
        np.testing.assert_allclose(computed[output], column, rtol=1e-9, atol=1e-9, err_msg=f"{name}.{output}")


def test_wilders_own_numbers_for_the_rsi_come_out() -> None:
    """The worked example of New Concepts in Technical Trading Systems, as reprinted by StockCharts."""
    close = np.array([
        44.34, 44.09, 44.15, 43.61, 44.33, 44.83, 45.10, 45.42, 45.84, 46.08, 45.89, 46.03, 45.61, 46.28, 46.28, 46.00, 46.03,
    ])  # fmt: skip
    time = np.datetime64("2020-01-01", "us") + np.arange(len(close)) * np.timedelta64(1, "D")
    bars = Bars.checked("X", Timeframe("1d"), time, open=close, high=close, low=close, close=close, volume=close)
    values = INDICATORS.get("rsi")().compute(bars)["value"]
    np.testing.assert_allclose(values[14:], [70.46, 66.25, 66.48], atol=0.01)


def test_the_exponential_distance_is_measured_from_the_exponential_average(bars: Bars) -> None:
    values = INDICATORS.get("distancefromma")(ma_type="EMA", period=10, source="open").compute(bars)["value"]
    np.testing.assert_allclose(values, 100 * (bars.open / exponential(bars.open, 10) - 1), rtol=1e-9, atol=1e-9)


def test_a_fast_average_that_is_not_faster_is_refused() -> None:
    with pytest.raises(ValueError, match="fast_period 26 must be below slow_period 26"):
        INDICATORS.get("macd")(fast_period=26)
