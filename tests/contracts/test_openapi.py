"""Whatever is sent to the API, as its own document describes it or not: no 5xx, and no answer that the document does not know."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from ktrdr.api.app import create_app
from ktrdr.operations.launch import Runner
from ktrdr.settings import Settings
from tests.contracts.serving import served

pytestmark = pytest.mark.process
EXAMPLES = 8
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


class Idle:
    """Launches nothing: what is started waits."""

    async def launch(self, profile: str) -> Runner:
        await asyncio.Event().wait()
        raise AssertionError

    def drop(self, profile: str) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is kept."""


@pytest.fixture
def schema() -> Iterator[Any]:
    with served(create_app(Settings(research_limit=1000), "the home's id", Idle())) as url:
        yield schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")


def test_nothing_that_can_be_sent_breaks_it(schema: Any) -> None:
    wrong, asked = [], 0
    for result in schema.exclude(path_regex="/events$").get_all_operations():
        operation = result.ok()
        asked += 1
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                send(operation, mode)
            except Unsatisfiable:
                continue  # nothing about this endpoint can be wrong
            except FailureGroup as found:  # all endpoints are asked, so that one run tells of all
                wrong.append(f"{operation.label}: {[str(one) for one in found.exceptions]}")
    assert not wrong, "\n\n".join(wrong)
    assert asked > 35


def send(operation: Any, mode: GenerationMode) -> None:
    """Ask many times what one endpoint is for, with what it asks for or with something else."""

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    ask()
