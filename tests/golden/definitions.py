"""Every indicator with its default parameters, written out slowly from its definition."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ktrdr.market.bars import Bars, Floats

Columns = dict[str, Floats]


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
    return {"value": strength(b.close)}


def strength(values: Floats) -> Floats:
    change = values - before(values)
    up, down = wilder(np.maximum(change, 0), 14), wilder(np.maximum(-change, 0), 14)
    return 100 * up / (up + down)


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


def lagged_by(values: Floats, bars: int) -> Floats:
    return np.concatenate((np.full(bars, np.nan), values[: len(values) - bars]))


def weighted(values: Floats, weights: list[float]) -> Floats:
    return windows(values, len(weights), lambda w: sum(a * b for a, b in zip(w, weights, strict=True)) / sum(weights))


def rvi(b: Bars) -> Columns:
    vigor, reach = (weighted(x, [1, 2, 2, 1]) for x in (b.close - b.open, b.high - b.low))
    value = windows(vigor, 10, np.sum) / windows(reach, 10, np.sum)
    return {"rvi": value, "signal": weighted(value, [1, 2, 2, 1])}


def fisher(b: Bars) -> Columns:
    price, out, v, f = (b.high + b.low) / 2, np.full(len(b), np.nan), 0.0, 0.0
    for t in range(9, len(b)):
        window = price[t - 9 : t + 1]
        x = 2 * ((price[t] - window.min()) / (window.max() - window.min()) - 0.5)
        v = x / 3 + 2 / 3 * v
        v = 0.999 if v > 0.99 else -0.999 if v < -0.99 else v
        f = math.atanh(v) + f / 2
        out[t] = f
    return {"fisher": out, "signal": before(out)}


def bandwidth(b: Bars) -> Columns:
    bands = bollinger(b)
    return {"value": (bands["upper"] - bands["lower"]) / bands["middle"]}


def keltner(b: Bars) -> Columns:
    middle, reach = exponential(b.close, 20), 2 * wilder(true_range(b), 10)
    return {"upper": middle + reach, "middle": middle, "lower": middle - reach}


def squeeze(b: Bars) -> Columns:
    bands, middle, reach = bollinger(b), exponential(b.close, 20), 2 * wilder(true_range(b), 20)
    above, below = middle + reach - bands["upper"], bands["lower"] - (middle - reach)
    return {"value": np.maximum(0, np.minimum(above, below) / (2 * reach))}


def supertrend(b: Bars) -> Columns:
    """The bands as published: each is kept while it would move away from the price, unless the close before crossed it."""
    middle, reach = (b.high + b.low) / 2, 3 * wilder(true_range(b), 10)
    upper, lower = middle + reach, middle - reach
    trend, direction = np.full(len(b), np.nan), np.full(len(b), np.nan)
    for t in range(10, len(b)):
        if t > 10:
            upper[t] = upper[t] if upper[t] < upper[t - 1] or b.close[t - 1] > upper[t - 1] else upper[t - 1]
            lower[t] = lower[t] if lower[t] > lower[t - 1] or b.close[t - 1] < lower[t - 1] else lower[t - 1]
        falling = t == 10 or direction[t - 1] == -1
        direction[t] = (1 if b.close[t] > upper[t] else -1) if falling else (-1 if b.close[t] < lower[t] else 1)
        trend[t] = lower[t] if direction[t] == 1 else upper[t]
    return {"trend": trend, "direction": direction}


def parabolic(b: Bars) -> Columns:
    """Wilder's tables, bar by bar."""
    out = np.full(len(b), np.nan)
    rising = not b.low[0] - b.low[1] > max(b.high[1] - b.high[0], 0)
    stop, extreme = (b.low[0], b.high[1]) if rising else (b.high[0], b.low[1])
    factor = 0.02
    for t in range(1, len(b)):
        touched = b.low[t] <= stop if rising else b.high[t] >= stop
        two = slice(max(t - 1, 1), t + 1)  # TA-Lib leaves the first bar out
        if touched:
            rising, stop, factor = not rising, extreme, 0.02
            stop = min(stop, b.low[two].min()) if rising else max(stop, b.high[two].max())
            out[t] = stop
            extreme = b.high[t] if rising else b.low[t]
        else:
            out[t] = stop
            if (b.high[t] > extreme) if rising else (b.low[t] < extreme):
                extreme, factor = (b.high[t] if rising else b.low[t]), min(factor + 0.02, 0.2)
        stop += factor * (extreme - stop)
        stop = min(stop, b.low[two].min()) if rising else max(stop, b.high[two].max())
    return {"value": out}


def ichimoku(b: Bars) -> Columns:
    tenkan, kijun, slow = (sum(place_in_range(b, period)) / 2 for period in (9, 26, 52))
    return {
        "tenkan": tenkan,
        "kijun": kijun,
        "senkou_a": lagged_by((tenkan + kijun) / 2, 25),
        "senkou_b": lagged_by(slow, 25),
        "chikou": b.close,
    }


def zigzag(b: Bars) -> Columns:
    """From each pivot on, the first close that has turned by 5 % from the extreme since then confirms that extreme."""
    out, pivot, begin, side = np.full(len(b), np.nan), b.close[0], 0, 0
    for t in range(len(b)):
        since = b.close[begin : t + 1]
        if side >= 0 and b.close[t] <= 0.95 * since.max():
            pivot, begin, side = since.max(), t, -1
        elif side <= 0 and b.close[t] >= 1.05 * since.min():
            pivot, begin, side = since.min(), t, 1
        out[t] = pivot
    return {"value": out}


def vwap(b: Bars) -> Columns:
    price = (b.high + b.low + b.close) / 3
    return {"value": windows(price * b.volume, 20, np.sum) / windows(b.volume, 20, np.sum)}


def multiplier(b: Bars) -> Floats:
    return ((b.close - b.low) - (b.high - b.close)) / (b.high - b.low)


def adline(b: Bars) -> Columns:
    flow = multiplier(b) * b.volume
    line = np.array([flow[: t + 1].sum() for t in range(len(b))])
    ten = lagged_by(line, 10)
    return {
        "line": line,
        "mf_multiplier": multiplier(b),
        "mf_volume": flow,
        "roc_10": 100 * (line - ten) / np.abs(ten),
        "momentum_21": line - lagged_by(line, 21),
        "relative_strength": strength(line),
    }


def cmf(b: Bars) -> Columns:
    flow = multiplier(b) * b.volume
    value = windows(flow, 21, np.sum) / windows(b.volume, 21, np.sum)
    signal = np.full(len(b), np.nan)
    signal[20:] = exponential(value[20:], 9)
    return {
        "cmf": value,
        "mf_multiplier": multiplier(b),
        "mf_volume": flow,
        "momentum": value - lagged_by(value, 5),
        "signal": signal,
        "histogram": value - signal,
        "above_zero": np.where(np.isnan(value), np.nan, value > 0),
        "below_zero": np.where(np.isnan(value), np.nan, value < 0),
    }


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
    "rvi": rvi,
    "fishertransform": fisher,
    "bollingerbandwidth": bandwidth,
    "keltnerchannels": keltner,
    "squeezeintensity": squeeze,
    "supertrend": supertrend,
    "parabolicsar": parabolic,
    "ichimoku": ichimoku,
    "zigzag": zigzag,
    "vwap": vwap,
    "adline": adline,
    "cmf": cmf,
    "volumeratio": lambda b: {"value": b.volume / windows(b.volume, 20, np.mean)},
}
