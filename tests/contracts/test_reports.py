"""Reports, equity curves and comparisons over a real socket, from the rows and files that a backtest leaves."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from ktrdr.api.app import PREFIX, create_app
from ktrdr.backtest.costs import default_costs
from ktrdr.backtest.run import run_backtest
from ktrdr.kinds.backtesting import write_report
from ktrdr.operations.model import Status
from ktrdr.operations.new import NewOperation
from ktrdr.operations.store import Store
from ktrdr.reports.page import policy
from ktrdr.sample import FOLDER
from ktrdr.settings import Settings
from ktrdr.stores.bars import BarStore
from tests.contracts.serving import served
from tests.unit.reports.conftest import hourly_bars

pytestmark = pytest.mark.process
JSON = dict[str, Any]
MOMENTUM = (FOLDER / "strategies" / "momentum.yaml").read_text(encoding="utf-8")
OTHER = MOMENTUM.replace("period: 14", "period: 21", 1)


@dataclass(frozen=True)
class Left:
    """What was left behind, and who shows it."""

    api: httpx.Client
    home: Path
    first: str
    second: str
    dummy: str
    running: str


async def finished(store: Store, new: NewOperation, result: JSON, files: Path | None = None) -> str:
    """A row whose work has come to a result."""
    made = (await store.submit(new)).operation_id
    await store.claim("light", 1, timedelta(seconds=20), "me")
    await store.begin(made, 1, 4242)
    if files:
        files.rename(files.parent / made)
    await store.finish(made, 1, Status.COMPLETED, result)
    return made


async def backtested(store: Store, home: Path, strategy: str, hold: int) -> str:
    """A real backtest of positions that change every so many bars, with its files."""
    bars = hourly_bars(3000)
    targets = np.tile(np.repeat(np.array([1, 0, -1], np.int8), hold), 3000 // (3 * hold) + 1)[:3000]
    found = run_backtest(bars, targets, default_costs("EURUSD"), 100_000.0)
    files = home / "reports" / "making"
    result = {"strategy_name": "momentum", "content_hash": "0" * 64, "model_path": None, "start_date": "2015-01-01",
              "end_date": "2015-06-01", "provider": "synthetic", "in_sample": False, **found.to_json(),
              "files": write_report(files, found)}  # fmt: skip
    about = {"strategy_name": "momentum", "symbol": "EURUSD", "timeframe": "1h", "parameters": {}}
    return await finished(store, NewOperation("backtesting", {"strategy": strategy}, about), result, files)


async def left(home: Path, settings: Settings) -> dict[str, str]:
    bars = hourly_bars(3000)
    BarStore(home / "bars").write(bars.__class__.checked(
        bars.symbol, bars.timeframe, bars.time, open=bars.open, high=bars.high, low=bars.low, close=bars.close, volume=bars.volume,
        provider="synthetic",
    ))  # fmt: skip
    store = await Store.open(settings.operations_url)
    made = {
        "first": await backtested(store, home, MOMENTUM, 40), "second": await backtested(store, home, OTHER, 20),
        "dummy": await finished(store, NewOperation("dummy", {"duration": 1.0}), {"iterations": 2}),
        "running": (await store.submit(NewOperation("dummy", {"duration": 500.0, "iterations": 1}))).operation_id,
    }  # fmt: skip
    await store.close()
    return made


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    home = tmp_path_factory.mktemp("reports") / "home"
    settings = Settings(home=home, ledger=home.parent / "trials.sqlite")
    made = asyncio.run(left(home, settings))
    with served(create_app(settings, "the home's id")) as url, httpx.Client(base_url=f"{url}{PREFIX}", timeout=30, trust_env=False) as api:
        yield Left(api, home, **made)
        api.post(f"/operations/{made['running']}/cancel")


def good(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()["data"]


def test_a_report_is_a_page_under_a_strict_policy(shown: Left) -> None:
    response = shown.api.get(f"/operations/{shown.first}/report")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == f"{policy()}; frame-ancestors 'none'"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "Backtest momentum" in response.text
    assert "prices are not shown" not in response.text
    assert 'id="chart-price"' in response.text


def test_a_report_is_kept_beside_the_files_of_its_operation(shown: Left) -> None:
    told = good(shown.api.get(f"/operations/{shown.first}/report/file"))
    kept = Path(told["path"])
    assert kept == shown.home / "reports" / shown.first / "report.html"
    content = kept.read_bytes()
    assert (told["size_bytes"], told["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    before = kept.stat().st_mtime_ns
    assert shown.api.get(f"/operations/{shown.first}/report").content == content
    assert kept.stat().st_mtime_ns == before
    assert not list(kept.parent.glob(".unfinished-*"))


def test_a_page_of_another_edition_is_made_anew(shown: Left) -> None:
    kept = Path(good(shown.api.get(f"/operations/{shown.first}/report/file"))["path"])
    content = kept.read_bytes()
    kept.write_text("<!doctype html><title>of old</title>")
    assert shown.api.get(f"/operations/{shown.first}/report").content == content == kept.read_bytes()


def test_the_record_in_the_page_is_what_the_api_shows(shown: Left) -> None:
    written = shown.api.get(f"/operations/{shown.first}/report").text
    begin = written.index('id="operation">') + len('id="operation">')
    assert json.loads(written[begin : written.index("</script>", begin)]) == good(shown.api.get(f"/operations/{shown.first}"))


def test_every_operation_that_has_ended_has_a_report(shown: Left) -> None:
    assert "Completed" in shown.api.get(f"/operations/{shown.dummy}/report").text
    refused = shown.api.get(f"/operations/{shown.running}/report")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert shown.api.get("/operations/op_none/report").status_code == 404


def test_files_that_are_gone_are_named_and_not_faked(shown: Left) -> None:
    folder = shown.home / "reports" / shown.second
    for name in ("equity.csv", "trades.csv"):
        (folder / name).rename(folder / f"{name}.away")
    (folder / "report.html").unlink(missing_ok=True)
    written = shown.api.get(f"/operations/{shown.second}/report").text
    assert "equity.csv of this backtest is not there any more" in written
    assert 'id="chart-' not in written
    gone = shown.api.get(f"/operations/{shown.second}/equity")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")
    for name in ("equity.csv", "trades.csv"):
        (folder / f"{name}.away").rename(folder / name)


def test_bars_that_have_changed_are_not_drawn_below_old_trades(shown: Left) -> None:
    folder = shown.home / "reports" / shown.second
    lines = (folder / "equity.csv").read_text().splitlines()
    (folder / "equity.csv").write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    (folder / "report.html").unlink(missing_ok=True)
    try:
        assert 'id="chart-price"' in shown.api.get(f"/operations/{shown.second}/report").text  # one bar less at the beginning
        (folder / "equity.csv").write_text("\n".join([*lines[:5], *lines[6:]]) + "\n")
        (folder / "report.html").unlink()
        written = shown.api.get(f"/operations/{shown.second}/report").text
        assert "the stored bars are no longer those that were traded" in written
        assert 'id="chart-price"' not in written
    finally:
        (folder / "equity.csv").write_text("\n".join(lines) + "\n")
        (folder / "report.html").unlink()


def test_an_equity_curve_in_so_many_points(shown: Left) -> None:
    found = good(shown.api.get(f"/operations/{shown.first}/equity", params={"points": 50}))
    assert (found["operation_id"], found["bars"]) == (shown.first, 3000)
    assert set(found["curves"]) == {"equity", "buy_and_hold"}
    assert len(found["time"]) == len(found["curves"]["equity"]) <= 2 * 50 + 2
    result = good(shown.api.get(f"/operations/{shown.first}"))["result_summary"]
    assert found["curves"]["equity"][-1] == pytest.approx(result["final_equity"], rel=1e-6)
    held = result["benchmarks"]["buy_and_hold"]["total_return"]
    assert found["curves"]["buy_and_hold"][-1] == pytest.approx(100_000 + held, rel=1e-6)
    assert shown.api.get(f"/operations/{shown.dummy}/equity").status_code == 404
    assert shown.api.get(f"/operations/{shown.first}/equity", params={"points": 1}).status_code == 422


def test_two_operations_side_by_side(shown: Left) -> None:
    found = good(shown.api.get("/compare", params={"left": shown.first, "right": shown.second}))
    assert [found[side]["operation_id"] for side in ("left", "right")] == [shown.first, shown.second]
    assert found["config"] == [{"key": "strategy.indicators.rsi_14.period", "left": 14, "right": 21}]
    assert found["same"] > 30
    results = [good(shown.api.get(f"/operations/{one}"))["result_summary"]["metrics"] for one in (shown.first, shown.second)]
    trades = next(one for one in found["figures"] if one["key"] == "backtest.metrics.total_trades")
    assert (trades["left"], trades["right"]) == tuple(metrics["total_trades"] for metrics in results)
    assert trades["difference"] == trades["right"] - trades["left"]
    assert found["notes"] == []


def test_an_operation_beside_itself_differs_in_nothing(shown: Left) -> None:
    found = good(shown.api.get("/compare", params={"left": shown.first, "right": shown.first}))
    assert found["config"] == []
    assert {one["difference"] for one in found["figures"]} == {0.0}
    with_dummy = good(shown.api.get("/compare", params={"left": shown.first, "right": shown.dummy}))
    assert with_dummy["notes"] == ["only one of them was tested on bars"]
    assert shown.api.get("/compare", params={"left": shown.first, "right": shown.running}).status_code == 409
