"""An explanation of a model as lines for people."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

from ktrdr.cli.output import block, minute, number, percent, table_lines
from ktrdr.operations.model import Operation

JSON = dict[str, Any]
WIDTH = 78
LEAST_SHARE = 0.005
"""Rules that weigh less in a decision are counted, not shown."""


def explanation(operation: Operation) -> list[str]:
    """The rules of a model with how each has done; where one was asked for, why it decided as it did on a bar."""
    found = operation.result_summary
    if not found:
        return []
    report, bar = found["report"], found["bar"]
    lines = why(report, bar) if bar else rules(report, found["provider"])
    files = block([("Model", found["model_path"]), *((f"{kind.capitalize()} file", path) for kind, path in found["files"].items())])
    return ["", *lines, "", *files, *(f"  Warning: {warning}" for warning in operation.warnings)]


def rules(report: JSON, provider: str) -> list[str]:
    """Each rule with its coverage, precision and P&L, the strongest first, and how far the rules are the model."""
    period = f"{minute(report['start'])[:10]} to {minute(report['end'])[:10]}"
    known = "learned from" if report["in_sample"] else "not learned from"
    lines = [f"{called(report)} of {report['strategy_name']} ({report['network']}), {report['symbol']} {report['timeframe']}"]
    lines += [f"Judged on {report['bars']:,} bars of {provider}, {known}: {period}", ""]
    for rule in report["rules"]:
        lines += wrap(f"{rule['number']}. {rule['text']}", WIDTH, subsequent_indent="     ")
    rows = [
        (str(rule["number"]), percent(rule["coverage"]), percent(rule["precision"]), str(rule["trades"]), str(rule["wins"]),
         number(rule["gross_pnl"], 2), number(rule["net_pnl"], 2))
        for rule in report["rules"]
    ]  # fmt: skip
    rows.append(("all", percent(1.0), "", str(report["trades"]), str(sum(rule["wins"] for rule in report["rules"])),
                 number(sum(rule["gross_pnl"] for rule in report["rules"]), 2), number(report["net_pnl"], 2)))  # fmt: skip
    head = ("RULE", "COVERS", "RIGHT", "TRADES", "WON", "P&L GROSS", "P&L NET")
    return [*lines, "", *table_lines(head, rows, None), "", *fidelity(report)]


def called(report: JSON) -> str:
    """What the rules may be called."""
    whose = "Rules" if report["called"] == "rules" else "Sketch"
    return whose if report["origin"] == "model" else f"{whose} learned from the answers"


def fidelity(report: JSON) -> list[str]:
    """How far the rules as printed are what the model does."""
    found, asked = report["fidelity"], percent(report["fidelity"]["enough"], 0)
    lines = [f"Fidelity: {percent(found['value'])} (bars on which the strongest rule alone signals as the model)"]
    if report["origin"] == "student":
        lines.append(f"  all rules weighed together: {percent(found['together'])}")
    if report["called"] != "rules":
        lines.append(f"  less than {asked}: a sketch of the model, not its rules")
    return lines


def why(report: JSON, bar: JSON) -> list[str]:
    """What the model saw on a bar, which rules fired and what each contributed, and what would have changed its mind."""
    lines = [f"Why {report['strategy_name']} ({report['network']}) said {bar['signal'].upper()} on the bar of {minute(bar['time'])} (UTC)"]
    lines += [f"  {answer(bar['answer'])}", "", "It saw:"]
    for one in bar["readings"]:
        words = ", ".join(f"{word} {degree:.2f}" for word, degree in one["words"].items() if degree >= LEAST_SHARE)
        lines.append(f"  {one['timeframe']} {one['indicator']} {one['value']:.5g}{f': {words}' if words else ''}")
    lines += ["", f"{called(report)} that fired, by weight:"]
    shown = [vote for vote in bar["votes"] if vote["share"] >= LEAST_SHARE]
    for vote in shown:
        told = f"{percent(vote['share'])}: {vote['number']}. {vote['text']}"
        lines += wrap(told, WIDTH, initial_indent="  ", subsequent_indent="     ")
        lines.append(f"     contributes {answer(vote['contribution'])}")
    if len(shown) < len(bar["votes"]):
        lines.append(f"  and {len(bar['votes']) - len(shown)} more with less than {percent(LEAST_SHARE)} each")
    if report["origin"] == "student":
        lines += [f"  together: {answer(bar['voted'])}", *fidelity(report)]
    return [*lines, "", *wrap(flip(bar["flip"]), WIDTH, subsequent_indent="  ")]


def flip(found: JSON | None) -> str:
    """The nearest change of the inputs that gives another signal."""
    if found is None:
        return "No change of one or two inputs, within what they have been, would have changed its mind."
    changes = " and ".join(f"{c['timeframe']} {c['indicator']} {_value(c['to'])} instead of {c['value']:.5g}" for c in found["changes"])
    return f"It would have said {found['signal'].upper()} with {changes} ({answer(found['answer'])})."


def _value(to: float) -> str:
    """A value with all the digits it needs: with fewer it might not flip."""
    return repr(to)


def answer(given: JSON) -> str:
    """Probabilities, or a forecast."""
    if "forecast" in given:
        return f"forecast {given['forecast']:+.4%}"
    return ", ".join(f"{name} {percent(value)}" for name, value in given.items())
