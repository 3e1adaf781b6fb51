"""The equity curve of a backtest or a research cycle, small, at the end of what the terminal shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ktrdr.cli.answers import ApiError
from ktrdr.cli.braille import curve
from ktrdr.cli.output import terminal_width
from ktrdr.operations.model import Operation

if TYPE_CHECKING:
    from ktrdr.cli.client import AsyncCLIClient
    from ktrdr.cli.output import Output

JSON = dict[str, Any]
MARGIN, HEIGHT, WIDEST = 16, 5, 80
NARROWEST = 40
TRADED = ("backtesting", "agent_research")


async def show(operation: Operation, output: Output, client: AsyncCLIClient) -> None:
    """Draw the equity curve where there is a terminal to draw on and something was traded, and name the report."""
    result = operation.result_summary or {}
    traded = operation.operation_type in TRADED and bool(result.get("metrics") or result.get("backtest"))
    width = min(terminal_width() or 0, WIDEST)
    if not traded or not output.draws() or width < NARROWEST:
        return
    try:
        found = (await client.get(f"/operations/{operation.operation_id}/equity", {"points": 4 * (width - MARGIN)}))["data"]
    except ApiError as error:
        if error.status != 404:
            raise
        return  # its files are not there any more; the result was shown
    output.lines([*lines(found, width), f"  Report:      ktrdr report {operation.operation_id} --open"])


def lines(found: JSON, width: int) -> list[str]:
    """The curve with its highest, its first and its lowest value, and how the time went."""
    values = found["curves"]["equity"]
    first, last = (datetime.fromtimestamp(found["time"][place], UTC) for place in (0, -1))
    drawn = curve(values, width - MARGIN, HEIGHT)
    named = {0: f"{max(values):,.2f}", HEIGHT - 1: f"{min(values):,.2f}"}
    picture = [f"{named.get(row, ''):>{MARGIN - 2}}  {line}".rstrip("\N{BRAILLE PATTERN BLANK} ") for row, line in enumerate(drawn)]
    dates = f"{'':>{MARGIN}}{first:%Y-%m-%d}{f'{last:%Y-%m-%d}':>{width - MARGIN - 10}}"
    return ["", f"  Equity, {values[0]:,.2f} to {values[-1]:,.2f}, after costs:", *picture, dates]
