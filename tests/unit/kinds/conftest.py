"""A workspace over a home of its own, with the bundled bars and strategies."""

from __future__ import annotations

from pathlib import Path

import pytest

from ktrdr.agents.offline import OfflineDesigner
from ktrdr.kinds.base import Workspace
from ktrdr.llm.claude import ClaudeDesigner
from ktrdr.llm.scripted import ScriptedDesigner
from ktrdr.settings import Settings
from ktrdr.stores.bars import BarStore
from ktrdr.stores.checkpoints import CheckpointStore
from ktrdr.stores.models import ModelStore
from ktrdr.stores.strategies import StrategyStore
from ktrdr.stores.trials import TrialLedger


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    home = tmp_path / "home"
    return Workspace(
        settings=Settings(home=home),
        bars=BarStore(home / "bars"),
        strategies=StrategyStore(home / "strategies"),
        models=ModelStore(home / "models"),
        checkpoints=CheckpointStore(home / "checkpoints"),
        trials=TrialLedger(tmp_path / "trials.sqlite"),
        designers={"offline": OfflineDesigner(), "scripted": ScriptedDesigner(), "claude": ClaudeDesigner(Settings(home=home))},
    )
