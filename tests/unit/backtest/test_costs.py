from __future__ import annotations

import pytest
from pydantic import ValidationError

from ktrdr.backtest.costs import Costs, default_costs
from ktrdr.backtest.kernel import fill_price


@pytest.mark.parametrize(("symbol", "expected"), [
    ("EURUSD", Costs(spread=0.5e-4, slippage_price=0.1e-4)),
    ("USDJPY", Costs(spread=0.5e-2, slippage_price=0.1e-2)),
    ("AAPL", Costs(commission=1e-4, slippage=0.5e-4)),
    ("BTCUSDT", Costs(commission=10e-4, slippage=2e-4)),
])  # fmt: skip
def test_every_asset_class_has_its_costs(symbol: str, expected: Costs) -> None:
    assert default_costs(symbol).model_dump() == pytest.approx(expected.model_dump())


def test_buys_fill_above_the_price_and_sales_below() -> None:
    rates = Costs(slippage=0.01, spread=0.5, slippage_price=0.25).rates
    assert fill_price(100.0, 1, rates) == 101.75
    assert fill_price(100.0, -1, rates) == 98.25


def test_a_commission_named_by_the_user_replaces_the_spread_too() -> None:
    named = default_costs("EURUSD").overridden(commission=0.0)
    assert named == Costs(slippage_price=0.1e-4)
    assert named.overridden(slippage=0.0) == Costs()
    assert default_costs("EURUSD").overridden() == default_costs("EURUSD")


def test_costs_say_themselves_in_words() -> None:
    assert Costs(commission=0.0001, slippage=0.00005).sentence() == "per side: commission 0.0100%, slippage 0.0050%"
    assert default_costs("EURUSD").sentence() == "per side: spread 0.00005 in price, slippage 0.00001 in price"
    assert Costs().sentence() == "no costs"


@pytest.mark.parametrize("wrong", [{"commission": -0.1}, {"slippage": 1.0}, {"spread": -1.0}, {"comission": 0.1}])
def test_impossible_costs_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Costs(**wrong)
