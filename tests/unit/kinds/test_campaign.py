from __future__ import annotations

from dataclasses import replace

import pytest

from ktrdr.kinds.base import Workspace
from ktrdr.kinds.training_campaign import TrainingCampaign
from ktrdr.settings import Settings


@pytest.mark.parametrize(
    ("engine", "parallel", "count", "at_once"),
    [("local", None, 8, 3), ("local", None, 2, 2), ("local", 5, 8, 5), ("ray", None, 8, 8), ("ray", 2, 8, 2), ("ray", 9, 8, 8)],
)
def test_so_many_children_at_once(workspace: Workspace, engine: str, parallel: int | None, count: int, at_once: int) -> None:
    here = replace(workspace, settings=Settings(engine=engine, database_url="postgresql+psycopg://db/ktrdr", torch_slots=3))
    asked = TrainingCampaign.model_construct(training=None, seeds=count, parallel=parallel)
    assert asked.at_once(here, count) == at_once
