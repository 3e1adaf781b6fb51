from __future__ import annotations

from pathlib import Path

import pytest

from ktrdr.errors import Conflict, Invalid, NotFound
from ktrdr.stores.shared import Artefacts
from ktrdr.stores.strategies import BUNDLED, StrategyStore


@pytest.fixture
def store(tmp_path: Path, artefacts: Artefacts) -> StrategyStore:
    return StrategyStore(tmp_path / "strategies", artefacts)


def test_bundled_strategies_are_there_from_the_start(store: StrategyStore) -> None:
    names = store.names()
    assert {"momentum", "mean_reversion", "trend_momentum"} <= set(names)
    found = store.read("momentum")
    assert (found.name, found.source, found.path) == ("momentum", "bundled", BUNDLED / "momentum.yaml")
    assert found.text.startswith("name: momentum")


def test_a_strategy_is_saved_read_and_listed(store: StrategyStore) -> None:
    path = store.save("mine-1", "name: mine-1\n")
    assert path == store.root / "mine-1.yaml"
    assert store.read("mine-1").text == "name: mine-1\n"
    assert {file.name: file.source for file in store.list()}["mine-1"] == "home"
    assert list(store.names()) == sorted(store.names())


def test_saving_the_same_text_again_does_nothing(store: StrategyStore) -> None:
    path = store.save("mine", "a: ü\n")
    before = path.stat().st_mtime_ns
    assert store.save("mine", "a: ü\n") == path
    assert path.stat().st_mtime_ns == before
    assert store.save("momentum", store.read("momentum").text) == BUNDLED / "momentum.yaml"


def test_another_text_under_the_same_name_is_a_conflict(store: StrategyStore) -> None:
    store.save("mine", "a: 1\n")
    for name in ("mine", "momentum"):
        with pytest.raises(Conflict, match=f"there is another strategy called '{name}'"):
            store.save(name, "a: 2\n")
    assert store.read("mine").text == "a: 1\n"


def test_a_strategy_of_the_home_hides_a_bundled_one(store: StrategyStore) -> None:
    store.root.mkdir()
    (store.root / "momentum.yaml").write_text("mine")
    assert store.read("momentum").source == "home"
    assert len([name for name in store.names() if name == "momentum"]) == 1


def test_an_unknown_name_is_answered_with_the_nearest(store: StrategyStore) -> None:
    with pytest.raises(NotFound, match="no strategy called 'momentun'") as failure:
        store.read("momentun")
    assert "did you mean 'momentum'?" in (failure.value.hint or "")


@pytest.mark.parametrize("name", ["", "..", "../evil", "a/b", "a.yaml", "-x", "_x", "x" * 65, "é", "a\n"])
def test_a_name_that_could_leave_the_folder_is_refused(store: StrategyStore, name: str) -> None:
    for use in (store.read, store.assessment, lambda n: store.save(n, ""), lambda n: store.save_assessment(n, {})):
        with pytest.raises(Invalid, match="cannot name a strategy"):
            use(name)
    assert not store.root.exists()


def test_an_assessment_is_kept_beside_its_strategy_and_replaced(store: StrategyStore) -> None:
    assert store.assessment("momentum") is None
    path = store.save_assessment("momentum", {"verdict": "poor", "weaknesses": ["zögerlich"]})
    assert path == store.root / "momentum" / "assessment.json"
    assert store.assessment("momentum") == {"verdict": "poor", "weaknesses": ["zögerlich"]}
    store.save_assessment("momentum", {"verdict": "mediocre"})
    assert store.assessment("momentum") == {"verdict": "mediocre"}
    assert store.read("momentum").source == "bundled"


def test_what_is_no_number_never_gets_into_an_assessment(store: StrategyStore) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.save_assessment("momentum", {"sharpe": float("nan")})
    assert store.assessment("momentum") is None


def test_notes_and_unfinished_files_are_no_strategies(store: StrategyStore) -> None:
    store.root.mkdir()
    for name in (".unfinished-x", "README.md", "bad name.yaml"):
        (store.root / name).write_text("x")
    assert set(store.names()) == {path.stem for path in BUNDLED.glob("*.yaml")}
