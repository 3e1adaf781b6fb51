"""Reports of operations that have ended, their equity curves, and two of them side by side."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

from ktrdr.api.deps import Answer, Reports
from ktrdr.reports.compare import Comparison
from ktrdr.reports.page import policy
from ktrdr.services.reports import EquityCurve, ReportFile

router = APIRouter(tags=["reports"])
OperationIdent = Annotated[str, Query(min_length=1, max_length=128, description="An operation's id, or a part that only one has.")]


@router.get("/operations/{operation_id}/report", response_class=Response, responses={200: {"content": {"text/html": {}}}})
async def show_report(operation_id: str, reports: Reports) -> HTMLResponse:
    """Show the report of an operation that has ended: one page that loads nothing else."""
    headers = {
        "Content-Security-Policy": f"{policy()}; frame-ancestors 'none'", "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
    }  # fmt: skip
    return HTMLResponse(await reports.page(operation_id), headers=headers)


@router.get("/operations/{operation_id}/report/file")
async def show_report_file(operation_id: str, reports: Reports) -> Answer[ReportFile]:
    """Say where the report of an operation is on the backend's machine; it is written if it was not yet."""
    return Answer(data=await reports.file(operation_id))


@router.get("/operations/{operation_id}/equity")
async def show_equity(operation_id: str, reports: Reports, points: Annotated[int, Query(ge=2, le=20_000)] = 400) -> Answer[EquityCurve]:
    """Show the equity curve of a backtest, or of a research cycle's, thinned to about so many points without losing a peak."""
    return Answer(data=await reports.equity(operation_id, points))


@router.get("/compare")
async def compare_operations(left: OperationIdent, right: OperationIdent, reports: Reports) -> Answer[Comparison]:
    """Hold two operations that have ended side by side: what was set up differently, and their figures."""
    return Answer(data=await reports.compare(left, right))
