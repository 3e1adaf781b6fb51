"""The ports that kinds work with, on the home that the settings name; what a runner needs, and nothing of the backend."""

from __future__ import annotations

from ktrdr.agents.offline import OfflineDesigner
from ktrdr.kinds.base import Workspace
from ktrdr.llm.claude import ClaudeDesigner
from ktrdr.llm.scripted import ScriptedDesigner
from ktrdr.settings import Settings
from ktrdr.stores.bars import BarStore
from ktrdr.stores.checkpoints import CheckpointStore
from ktrdr.stores.models import ModelStore
from ktrdr.stores.shared import open_artefacts
from ktrdr.stores.strategies import StrategyStore
from ktrdr.stores.trials import TrialLedger


def open_workspace(settings: Settings) -> Workspace:
    """The ports that kinds work with, on the home that the settings name."""
    artefacts = open_artefacts(settings)
    return Workspace(
        settings=settings,
        bars=BarStore(settings.folder("bars"), artefacts),
        strategies=StrategyStore(settings.folder("strategies"), artefacts),
        models=ModelStore(settings.folder("models"), artefacts),
        checkpoints=CheckpointStore(settings.folder("checkpoints"), artefacts),
        trials=TrialLedger(settings.ledger),
        designers={"offline": OfflineDesigner(), "scripted": ScriptedDesigner(), "claude": ClaudeDesigner(settings)},
        artefacts=artefacts,
    )
