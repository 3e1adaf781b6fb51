"""What a kind of operation is, and the ports it works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict

from ktrdr.operations.job import Job
from ktrdr.operations.model import Needs
from ktrdr.registry import Registry
from ktrdr.settings import Settings
from ktrdr.stores.shared import ALONE, Artefacts

if TYPE_CHECKING:
    from ktrdr.agents.designer import Designer
    from ktrdr.stores.bars import BarStore
    from ktrdr.stores.checkpoints import CheckpointStore
    from ktrdr.stores.models import ModelStore
    from ktrdr.stores.strategies import StrategyStore
    from ktrdr.stores.trials import TrialLedger

JSON = dict[str, Any]
Profile = Literal["light", "torch"]


@dataclass(frozen=True)
class Workspace:
    """The ports a kind works with, built once by `ktrdr.workspace`."""

    settings: Settings
    bars: BarStore
    strategies: StrategyStore
    models: ModelStore
    checkpoints: CheckpointStore
    trials: TrialLedger
    designers: dict[str, Designer]
    artefacts: Artefacts = ALONE
    """What homes share; for the files that have no store of their own, such as reports."""


class Kind(BaseModel):
    """A recipe for one kind of operation: its fields are its parameters, `run` does the work.

    The docstring's first line is shown to users.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    profile: ClassVar[Profile] = "light"
    needs: ClassVar[Needs] = "cpu"

    def prepare(self, workspace: Workspace) -> Self:
        """Check the parameters against what is there and resolve names, before the row is written.

        Runs in the backend, in a thread, without heavy imports. Raises a KtrdrError that says what to do.
        """
        return self

    def metadata(self) -> JSON:
        """What the operation shows of its parameters: symbol, timeframe, start_date, end_date, strategy_name, parameters."""
        return {}

    def launch_profile(self) -> Profile:
        """Which kind of process this needs."""
        return self.profile

    def unscored(self) -> list[JSON]:
        """The trials that it is where it was begun and ended without a score; none by default."""
        return []

    def run(self, job: Job, workspace: Workspace) -> JSON:
        """Do the work in a runner process; return the result summary (JSON values only, no NaN)."""
        raise NotImplementedError


KINDS: Registry[Kind] = Registry("kind of operation", "ktrdr.kinds")
