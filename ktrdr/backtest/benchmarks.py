"""What a backtest is held against on the same bars: holding at a set volatility, and entering at random."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.kernel import fill_price
from ktrdr.backtest.metrics import Metrics, measure
from ktrdr.backtest.result import Backtest
from ktrdr.backtest.terms import yearly_volatility
from ktrdr.market.bars import Bars

Floats = NDArray[np.float64]
VOLATILITY, SPAN = 0.10, 100
"""Of the volatility-targeted hold, where the strategy names none: per year, measured over so many bars."""
DRAWS, FEWEST, SEED = 1_000, 200, 7
MOST_CELLS = 1_000_000
"""Draws times trades; beyond it there are fewer draws."""
NEAR = 1e-9
"""What a draw earns less than the strategy is rounding up to this share of the capital."""


class RandomEntry(BaseModel):
    """The same holding times, pauses, sides and sizes in a random order."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    draws: int
    seed: int
    median_return_pct: float
    low_return_pct: float
    """5 % of the draws earn less."""
    high_return_pct: float
    """5 % of the draws earn more."""
    beaten: float
    """Share of the draws that earn less than the strategy."""
    p_value: float
    """Probability of earning as much by chance: (1 + draws that do) / (1 + draws), Phipson and Smyth 2010."""


def with_benchmarks(result: Backtest) -> Backtest:
    """The backtest with the wider benchmarks beside buying and holding and doing nothing."""
    tape = result.tape
    share = result.capital / len(tape.bars)
    parts = [held_at_volatility(own, costs, share, result) for own, costs in zip(tape.bars, result.costs_of.values(), strict=True)]
    equity = tape.spread([curve for curve, _ in parts]).reshape(len(tape), -1)
    equity[equity == 0] = share  # before a symbol's first bar
    worth = np.ascontiguousarray(equity.sum(axis=1))
    net, costs = np.array([curve[-1] - share for curve, _ in parts]), sum(paid for _, paid in parts)
    held = measure(worth, tape.time, result.capital, net=net, bars_held=np.full(len(parts), len(tape) - 1), total_costs=costs,
                   exposure=(len(tape) - 1) / len(tape))  # fmt: skip
    luck, typical = random_entry(result)
    more: dict[str, Metrics] = {"volatility_hold": held} | ({"random_entry": typical} if typical else {})
    curves = result.benchmark_equity | {"volatility_hold": worth}
    return replace(result, benchmarks=result.benchmarks | more, benchmark_equity=curves, random_entry=luck)


def held_at_volatility(bars: Bars, costs: Costs, capital: float, result: Backtest) -> tuple[Floats, float]:
    """Equity and costs of holding as much as gives a yearly volatility, at most the whole equity, adjusted once a month.

    What the last close of a month says is dealt at the next open; until volatility is known, nothing is held.
    """
    size = result.execution.size
    weight = np.nan_to_num(np.minimum((size.volatility or VOLATILITY) / yearly_volatility(bars, min(size.span, SPAN)), 1.0))
    month = bars.time.astype("datetime64[M]")
    starts = np.flatnonzero((month[1:] != month[:-1]) | ((weight[:-1] > 0) & (np.concatenate(([0.0], weight[:-2])) == 0))) + 1
    rates, equity, cash, units, paid = costs.rates, np.full(len(bars), capital), capital, 0.0, 0.0
    for first, last in zip(starts, [*starts[1:], len(bars)], strict=True):
        price = float(bars.open[first])
        wanted = weight[first - 1] * (cash + units * price) / (price * (1 + rates.commission)) - units
        fill = fill_price(price, float(np.sign(wanted)), rates)
        charge = abs(wanted) * (fill * rates.commission + rates.per_unit)
        cash, units, paid = cash - wanted * fill - charge, units + wanted, paid + charge + wanted * (fill - price)
        equity[first:last] = cash + units * bars.close[first:last]
    final = fill_price(float(bars.close[-1]), -1.0, rates)
    leaving = units * (bars.close[-1] - final) + units * (final * rates.commission + rates.per_unit)
    equity[-1] -= leaving
    return equity, float(paid + leaving)


def random_entry(result: Backtest, draws: int = DRAWS, seed: int = SEED) -> tuple[RandomEntry | None, Metrics | None]:
    """Where the strategy stands among draws that hold as long, as large and on the same sides, and the middle one of them.

    Each draw puts the trades of a symbol, and the pauses between them, into a random order, filled at opens with the same
    costs; a trade takes the share of the equity that it took in the backtest. Trades of several symbols multiply. What the
    trades earn in their own order is reckoned in the same way, so that nothing but their timing makes a difference.
    """
    trades, tape = result.trades, result.tape
    if not len(trades) or len(tape) < 4 or result.ruined_at is not None:
        return None, None
    draws = min(draws, max(FEWEST, MOST_CELLS // len(trades)))
    random = np.random.default_rng(seed)
    settled = result.capital + np.concatenate(([0.0], np.cumsum(trades.net_pnl[np.argsort(trades.exit_bar, kind="stable")])))
    before = np.searchsorted(np.sort(trades.exit_bar), trades.entry_bar, side="right")
    share = trades.quantity * trades.entry_price / np.maximum(settled[before], 1e-9)
    factors, placed, own = [], [], 1.0
    for s, costs in enumerate(result.costs_of.values()):
        mine = np.flatnonzero(trades.symbol == s)
        if len(mine):
            opens, entered, held = tape.column(tape.open, s), trades.entry_bar[mine], np.maximum(trades.bars_held[mine], 1)
            order, entry, leave = _placed(random, draws, entered, held, len(tape))
            side, weight = trades.side[mine].astype(float), share[mine]
            own *= np.prod(np.maximum(_factors(opens, _within(entered, held, len(tape)), side, weight, costs), 0.0))
            side, weight = side[order], weight[order]
            factors.append(_factors(opens, (entry, leave), side, weight, costs))
            placed.append((s, entry, leave, side, weight))
    growth = np.prod([np.prod(np.maximum(part, 0.0), axis=1) for part in factors], axis=0)
    earned, near = growth - 1, own - 1 - NEAR
    middle = int(np.argsort(earned, kind="stable")[draws // 2])
    low, median, high = (float(x) for x in np.quantile(earned, [0.05, 0.5, 0.95]))
    luck = RandomEntry(
        draws=draws, seed=seed, median_return_pct=median, low_return_pct=low, high_return_pct=high,
        beaten=float(np.mean(earned < near)), p_value=(1 + int(np.count_nonzero(earned >= near))) / (1 + draws),
    )  # fmt: skip
    typical = _path(result, [(s, *(part[middle] for part in rest)) for s, *rest in placed], [part[middle] for part in factors])
    return luck, typical


def _placed(
    random: np.random.Generator, draws: int, entered: NDArray[np.int64], held: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each draw an order of the trades, and the bars at whose opens they begin and end.

    The pauses are those before, between and after the trades; what is held to the last close ends at its open instead.
    """
    pauses = np.maximum(np.append(entered, count - 1) - np.append(1, entered + held), 0)
    order, rests = (random.random((draws, size)).argsort(axis=1) for size in (len(held), len(pauses)))
    lengths = held[order]
    entry = 1 + np.cumsum(pauses[rests][:, :-1], axis=1) + np.cumsum(lengths, axis=1) - lengths
    return order, *_within(entry, lengths, count)


def _within(entry: NDArray[np.int64], lengths: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """From which open to which, before the bars end."""
    return np.minimum(entry, count - 2), np.minimum(entry + lengths, count - 1)


def _factors(opens: Floats, bars: tuple[NDArray[np.int64], NDArray[np.int64]], side: Floats, weight: Floats, costs: Costs) -> Floats:
    """What each trade multiplies the equity by."""
    rates, (entry, leave) = costs.rates, bars
    bought = opens[entry] * (1 + side * rates.slippage) + side * rates.markup
    sold = opens[leave] * (1 - side * rates.slippage) - side * rates.markup
    made = side * (sold / bought - 1) - rates.commission * (1 + sold / bought) - 2 * rates.per_unit / bought
    factors: Floats = 1 + weight * made
    return factors


def _path(result: Backtest, placed: list[tuple[int, Floats, Floats, Floats, Floats]], factors: list[Floats]) -> Metrics:
    """The figures of one draw: its equity at each close, and its trades."""
    tape = result.tape
    worth = np.ones(len(tape))
    net, held = [], []
    for (s, entry, leave, side, weight), grown in zip(placed, factors, strict=True):
        own, opens, closes = np.ones(len(tape)), tape.column(tape.open, s), tape.column(tape.close, s)
        now = 1.0
        for first, last, long, share, factor in zip(entry.tolist(), leave.tolist(), side, weight, grown, strict=True):
            own[first:last] = now * (1 + share * long * (closes[first:last] / opens[first] - 1))
            now *= max(factor, 0.0)
            own[last:] = now
            net.append(now - now / factor if factor > 0 else -now)
            held.append(last - first)
        worth *= own
    return measure(result.capital * worth, tape.time, result.capital, net=result.capital * np.array(net), bars_held=np.array(held),
                   total_costs=0.0, exposure=min(1.0, sum(held) / len(tape)))  # fmt: skip
