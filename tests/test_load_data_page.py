"""The page on loading names everything there is to choose, and every finding of `data check`."""

from __future__ import annotations

from typing import get_args

import pytest

from ktrdr.market.checks import Check
from ktrdr.providers.base import PROVIDERS
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "howto" / "load-data.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("check", get_args(Check))
def test_every_check_is_explained(check: str) -> None:
    assert f"`{check}`" in PAGE


@pytest.mark.parametrize("name", ["files", "ccxt", "yahoo"])
def test_every_option_is_named(name: str) -> None:
    for option in PROVIDERS.get(name).model_fields:
        assert f"`{option}`" in PAGE or option == "file"
