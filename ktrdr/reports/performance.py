"""What a backtest earned: figures beside their benchmarks, equity, drawdown, months, prices and trades."""

from __future__ import annotations

import numpy as np

from ktrdr.backtest.metrics import falls
from ktrdr.market.bars import as_datetime
from ktrdr.reports.charts import chart, shade
from ktrdr.reports.figures import JSON, METRICS, moment, words, write
from ktrdr.reports.markup import Html, items, joined, table, tag
from ktrdr.reports.material import Material, Section
from ktrdr.reports.series import OWN, Curves, Month, Text, monthly, prices, seconds, short, thinned, yearly

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MOST_TRADES = 1000
"""Trades that are drawn; of more, those with the largest results."""
MOST_LISTED = 10
"""Best and worst trades in the table."""
OWN_LABEL = "Strategy"


def figures(material: Material) -> Section | None:
    """Every figure of the strategy beside that of each benchmark."""
    if not material.backtest:
        return None
    columns = {OWN_LABEL: material.backtest["metrics"], **(material.backtest.get("benchmarks") or {})}
    shown = [figure for figure in METRICS if any(metrics.get(figure.key) is not None for metrics in columns.values())]
    rows = [(figure.label, *(cell(metrics, figure.key, write(metrics.get(figure.key), figure.unit)) for metrics in columns.values()))
            for figure in shown]  # fmt: skip
    symbol = f"{material.backtest['symbol']} {material.backtest['timeframe']}"
    dates = f"{moment(material.backtest.get('start_date'))} to {moment(material.backtest.get('end_date'))}"
    whole = table(f"{symbol}, {dates} (UTC), after costs", ("Figure", *map(_title, columns)), rows)
    reasons = columns[OWN_LABEL].get("undefined") or {}
    why = [f"{figure.label} is not defined for the strategy: {reasons[figure.key]}" for figure in METRICS if figure.key in reasons]
    return Section("figures", "Figures", joined([whole, items(why, "note"), intervals(material.backtest), at_random(material.backtest)]))


def intervals(backtest: JSON) -> Html:
    """Between which values the headline figures lie, had the same returns come in other stretches."""
    found = backtest.get("intervals")
    if not found:
        return Html()
    rows = [(figure.label, *(tag("td", write(found[figure.key][end], figure.unit), class_="figure") for end in ("low", "high")))
            for figure in METRICS if found.get(figure.key)]  # fmt: skip
    said = (
        f"{100 * found['confidence']:g} % intervals, from {found['draws']:,} histories drawn from its {found['unit']}, seed {found['seed']}"
    )
    return table(said, ("Figure", "From", "To"), rows) if rows else Html()


def at_random(backtest: JSON) -> Html:
    """Where the strategy stands among the same trades entered at random moments."""
    found = backtest.get("random_entry")
    if not found:
        return Html()
    low, middle, high = (write(found[f"{name}_return_pct"], "percent") for name in ("low", "median", "high"))
    said = f"It earned more than {write(found['beaten'], 'percent')} of {found['draws']:,} draws of the same trades at random moments"
    return tag("p", f"{said}; these earned {middle} in the middle, {low} to {high} in 90 % of them.")


def _title(name: str) -> str:
    return {"flat": "Always flat"}.get(name, words(name))


def cell(metrics: JSON, key: str, written: str) -> Html:
    """A figure; one that is not defined says why."""
    reason = (metrics.get("undefined") or {}).get(key)
    return tag("td", written, class_="figure note" if metrics.get(key) is None else "figure", title=reason)


def equity(material: Material) -> Section | None:
    """Equity against the benchmarks, and how far it was below its peak."""
    curves = material.curves
    if curves is None or not material.backtest:
        return None
    capital = float(material.backtest["initial_capital"])
    below = -falls(curves.own, capital).share
    rows = thinned([*curves.values.values(), below], material.detail)
    time = curves.time[rows]
    x = seconds(time)
    lines = [
        {"label": _name(name), "role": "own" if name == OWN else "benchmark", "y": short(values[rows])}
        for name, values in curves.values.items()
    ]  # fmt: skip
    note = f"{thinning(len(curves.time), len(rows))} Drag across a chart to look closer, double-click to see all of it.".strip()
    ends = ", ".join(f"{_name(name).lower()} {write(float(values[-1]), 'money')}" for name, values in curves.values.items())
    said = f"Equity from {write(capital, 'money')}, {_span(curves)}: in the end {ends}."
    lowest = int(below.argmin())
    deep = f"Drawdown: at most {write(-float(below[lowest]), 'percent')} below the peak, on {as_datetime(curves.time[lowest]):%Y-%m-%d}."
    last = _last_of_months(curves)
    table_rows = [(f"{as_datetime(curves.time[i]):%Y-%m-%d}", *(write(float(v[i]), "money") for v in curves.values.values())) for i in last]
    falls_rows = [(f"{as_datetime(curves.time[i]):%Y-%m-%d}", write(float(below[i]), "percent")) for i in last]
    below_line = {"label": "Below the peak", "role": "fall", "y": short(below[rows])}
    body = joined([
        chart("equity", said, note, ("Day (UTC)", *map(_name, curves.values)), table_rows),
        tag("h3", "Drawdown"), chart("drawdown", deep, "", ("Day (UTC)", "Below the peak"), falls_rows),
    ])  # fmt: skip
    return Section("equity", "Equity against benchmarks", body, {
        "equity": {"kind": "time", "unit": "money", "x": x, "series": lines},
        "drawdown": {"kind": "time", "unit": "percent", "x": x, "series": [below_line]},
    })  # fmt: skip


def _name(column: str) -> str:
    return OWN_LABEL if column == OWN else words(column)


def _span(curves: Curves) -> str:
    return f"{as_datetime(curves.time[0]):%Y-%m-%d} to {as_datetime(curves.time[-1]):%Y-%m-%d}"


def thinning(rows: int, drawn: int) -> str:
    """That a chart shows fewer points than there are, and which."""
    return f"{drawn:,} of {rows:,} points are drawn: of each stretch the lowest and the highest." if drawn < rows else ""


def _last_of_months(curves: Curves) -> list[int]:
    months = curves.time.astype("datetime64[M]").astype(np.int64)
    found: list[int] = np.flatnonzero(np.append(np.diff(months) != 0, True)).tolist()
    return found


def months(material: Material) -> Section | None:
    """Return of each month and year."""
    if material.curves is None or not material.backtest:
        return None
    found = monthly(material.curves.time, material.curves.own, float(material.backtest["initial_capital"]))
    largest = max((abs(one.value) for one in found if one.value is not None), default=0.0)
    rows = []
    for year in sorted({one.year for one in found}):
        own = [one for one in found if one.year == year]
        by_month = {one.month: one for one in own}
        rows.append((year, *(_month(by_month.get(number), largest) for number in range(1, 13)), _total(own)))
    body = table("Return of each month, in percent, after costs", ("Year", *MONTHS, "Year's"), rows, class_="months")
    return Section("months", "Month by month", body)


def _month(one: Month | None, largest: float) -> Html:
    if one is None:
        return tag("td", "")
    return tag("td", percent(one.value), class_=shade(one.value, largest))


def percent(share: float | None) -> str:
    """A share in percent, without a sign where it is none."""
    return "–" if share is None else f"{round(100 * share, 1) + 0.0:.1f}"


def _total(own: list[Month]) -> Html:
    whole = yearly(own)
    return tag("td", percent(whole), class_="figure total")


def trades(material: Material) -> Section | None:
    """Each trade where it was made, on the price; and the best and the worst of them."""
    if not material.trades:
        return None
    ranked = sorted(material.trades, key=lambda trade: float(trade["net_pnl"]), reverse=True)
    drawing, specs = _on_price(material)
    whole = ranked if len(ranked) <= 2 * MOST_LISTED else [*ranked[:MOST_LISTED], *ranked[-MOST_LISTED:]]
    cut = f"The {MOST_LISTED} best and the {MOST_LISTED} worst of {len(ranked):,} trades"
    said = cut if len(whole) < len(ranked) else "All trades, the best first"
    head = ("Entry (UTC)", "Exit (UTC)", "Side", "Entry price", "Exit price", "Bars held", "Net result", "Exit by")
    largest = max(abs(float(trade["net_pnl"])) for trade in ranked)
    body = joined([drawing, table(said, head, [_trade(trade, largest) for trade in whole])])
    return Section("trades", "Trades", body, specs)


def _trade(trade: Text, largest: float) -> tuple[object, ...]:
    net = float(trade["net_pnl"])
    return (
        moment(trade["entry_time"]), moment(trade["exit_time"]), trade["side"], _price(trade["entry_price"]), _price(trade["exit_price"]),
        tag("td", trade["bars_held"], class_="figure"), tag("td", write(net, "money"), class_=shade(net, largest)),
        words(trade["exit_reason"]).lower(),
    )  # fmt: skip


def _price(text: str) -> Html:
    return tag("td", write(float(text), "number"), class_="figure")


def _on_price(material: Material) -> tuple[Html, dict[str, JSON]]:
    """The price with a mark for each entry and exit; nothing where the bars are not there."""
    bars = material.bars
    if bars is None:
        return Html(), {}
    rows = [trade for trade in material.trades or [] if trade.get("symbol", bars.symbol) == bars.symbol]
    drawn = sorted(rows, key=lambda trade: abs(float(trade["net_pnl"])), reverse=True)[: min(MOST_TRADES, material.detail)]
    shown = prices(bars, material.detail)
    marks = [
        [*seconds(np.array([trade["entry_time"].removesuffix("Z"), trade["exit_time"].removesuffix("Z")], dtype="datetime64[s]")),
         float(f"{float(trade['entry_price']):.7g}"), float(f"{float(trade['exit_price']):.7g}"),
         1 if trade["side"] == "long" else -1, 1 if float(trade["net_pnl"]) > 0 else 0]
        for trade in drawn
    ]  # fmt: skip
    won = sum(1 for trade in rows if float(trade["net_pnl"]) > 0)
    counts = f"{len(rows):,} trades on the price of {bars.symbol}: {won:,} won, {len(rows) - won:,} lost."
    said = f"{counts} Triangles are entries, squares exits."
    notes = [f"The {len(drawn):,} trades with the largest results are drawn."] if len(drawn) < len(rows) else []
    notes += [f"Each point of the price is {shown.bars_each:.1f} bars: their range and last close."] if shown.bars_each > 1 else []
    table_rows = [
        (str(moment_)[:10], write(float(low), "number"), write(float(high), "number"), write(float(close), "number"))
        for moment_, low, high, close in zip(shown.time, shown.low, shown.high, shown.close, strict=True)
    ]  # fmt: skip
    spec = {
        "kind": "price", "unit": "price", "x": seconds(shown.time),
        "series": [
            {"label": "High", "role": "range", "y": short(shown.high)}, {"label": "Low", "role": "range", "y": short(shown.low)},
            {"label": "Close", "role": "own", "y": short(shown.close)},
        ],
        "trades": marks,
    }  # fmt: skip
    return chart("price", said, " ".join(notes), ("Day (UTC)", "Lowest", "Highest", "Last close"), table_rows), {"price": spec}
