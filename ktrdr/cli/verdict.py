"""The verdict of a backtest or a research cycle, and what surrounds its figures. Lines for people, 80 columns wide."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

from ktrdr.cli.campaigns import child_lines
from ktrdr.cli.output import block, minute, number, percent, table_lines
from ktrdr.cli.session import Session
from ktrdr.operations.model import Operation, brief

JSON = dict[str, Any]
WIDTH = 80
CALLED = {"sharpe_ratio": "Sharpe ratio", "total_return_pct": "total return", "max_drawdown_pct": "max drawdown"}


def promotion_lines(found: JSON | None) -> list[str]:
    """Whether it is more than luck, and each check with its figures."""
    if not found:
        return []
    failed = sum(not check["passed"] for check in found["checks"])
    count = len(found["checks"])
    head = "Promotion: promoted, all checks passed" if found["promoted"] else f"Promotion: not promoted, {failed} of {count} checks failed"
    return [head, *(line for check in found["checks"] for line in _check(check))]


def _check(check: JSON) -> list[str]:
    label = f"  {'passed' if check['passed'] else 'FAILED':<8}{check['name'].replace('_', ' '):<18}"
    first, *rest = wrap(check["sentence"], WIDTH - len(label)) or [""]
    return [label + first, *(" " * len(label) + line for line in rest)]


def interval_lines(found: JSON | None) -> list[str]:
    """Between which values the headline figures lie."""
    if not found:
        return []
    shown = []
    for name, words in CALLED.items():
        interval, digits = found[name], 2 if name == "sharpe_ratio" else 1
        if interval is None:
            shown.append(f"{words} none, {found['undefined'][name]}")
            continue
        low, high = (number(end, digits) if digits == 2 else percent(end) for end in (interval["low"], interval["high"]))
        shown.append(f"{words} {low} to {high}")
    how = f"({found['draws']} histories of {found['unit']}, seed {found['seed']})"
    text = f"{percent(found['confidence'], 0)} intervals: {'; '.join(shown)} {how}"
    return [f"  {line}" for line in wrap(text, WIDTH - 2, subsequent_indent="  ")]


def scrutiny_lines(found: JSON | None) -> list[str]:
    """What becomes of a backtest at other costs, with other numbers, and learned again and again."""
    if not found:
        return []
    if "reason" in found:
        return [f"Scrutiny: none, {found['reason']}"]
    texts = [_costs(found["stress"]), _neighbours(found["fragility"])]
    walked = found["walk_forward"]
    texts += (
        [f"Walk-forward: none, {walked['reason']}"] if "reason" in walked else [_walk(walked[name]) for name in ("anchored", "rolling")]
    )
    head, *rest = (line for text in texts for line in wrap(text, WIDTH - 2, subsequent_indent="    "))
    return ["Scrutiny:", *(f"  {line}" for line in (head, *rest))]


def _costs(grid: JSON) -> str:
    cells = {(cell["fee"], cell["slippage"], cell["delay"]): cell for cell in grid["cells"]}
    told = [
        f"{words} {percent(cells[at]['total_return_pct'])}"
        for words, at in (("no costs", (0, 0, 0)), ("as assumed", (1, 1, 0)), ("double", (2, 2, 0)), ("a bar later", (1, 1, 1)))
        if at in cells
    ]
    level = f"; it earns nothing at {10_000 * grid['break_even']:.1f} bp a side" if grid["break_even"] is not None else ""
    return f"Return by costs: {', '.join(told)}{level}"


def _neighbours(found: JSON) -> str:
    if found["reason"]:
        return f"Neighbours: none, {found['reason']}"
    worst = found["worst"]
    end = f"; the worst, {worst['place']} {worst['share']:+.0%}, {percent(worst['figure'])}" if worst else ""
    share = f"{percent(found['profitable'], 0)} of {len(found['neighbours'])} strategies"
    return f"Neighbours: {share} with one number 10 % off earn something{end}"


def _walk(found: JSON) -> str:
    name = "anchored" if found["anchored"] else "rolling"
    steps = ", ".join(f"{percent(step['outside'])} a year" if step["outside"] is not None else "undefined" for step in found["steps"])
    kept = f"{found['efficiency']:.2f} of what it earned inside" if found["efficiency"] is not None else f"no efficiency: {found['reason']}"
    return f"Walk-forward, {name}: {steps}; {kept}"


def show_campaign(session: Session, which: str | None) -> None:
    """What was tried on a symbol, or on each, and what luck alone makes of so many tries; or one campaign and its children."""
    if which is not None and which.startswith("op_"):
        record, children = (session.get(f"/operations/{which}{more}")["data"] for more in ("", "/children"))
        lines = child_lines(brief(Operation.model_validate(child)) for child in children)
        head = f"{record['operation_id']} is {record['status']}: {record['progress']['current_step']}"
        session.output.answer({"campaign": record, "children": children}, [head, *lines])
        return
    found = session.get("/trials/campaigns", {"symbol": which} if which else None)["data"]
    lines = [line for each in found for line in (*_tried(each), "")][:-1]
    session.output.answer(found, lines or ["Nothing was tried yet"])


def _tried(found: JSON) -> list[str]:
    trials = found["trials"]
    n, broken = trials["n"], trials["broken_at"]
    span = f"{found['start'][:10]} to {found['end'][:10]}, {found['years']:.1f} years"
    rows = [
        (each["campaign"] or "started by hand", str(each["trials"]), str(each["strategies"]), minute(each["first"]))
        for each in found["campaigns"]
    ]
    return [
        f"{trials['symbol']}: {n:,} {'trial' if n == 1 else 'trials'}, about {trials['effective_n']:.0f} independent ({span})",
        *block([
            ("By kind", ", ".join(f"{count:,} {kind}" for kind, count in trials["kinds"].items())),
            ("Luck", f"the best of them without skill shows a yearly Sharpe ratio of {found['noise_bar']:.2f}"),
            ("Asks for", f"{found['needed_years']:.1f} years tested, else luck may show a Sharpe ratio of 1"),
            ("Ledger", "as it was written" if broken is None else f"trial {broken} is not as it was written"),
        ]),
        *table_lines(("CAMPAIGN", "TRIALS", "STRATEGIES", "SINCE (UTC)"), rows, WIDTH),
    ]  # fmt: skip
