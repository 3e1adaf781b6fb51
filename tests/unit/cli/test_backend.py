from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ktrdr.cli import backend
from ktrdr.cli.app import main
from ktrdr.errors import Invalid, Unavailable
from ktrdr.settings import Settings
from tests.cli_api import Answer, Api, serving


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("http://localhost:8000", "http://localhost:8000/api/v1"),
        ("localhost:8000", "http://localhost:8000/api/v1"),
        ("http://localhost:8000/", "http://localhost:8000/api/v1"),
        ("http://localhost:8000/api/v1/", "http://localhost:8000/api/v1"),
        ("https://ktrdr.example", "https://ktrdr.example/api/v1"),
    ],
)
def test_a_base_url_may_be_written_in_several_ways(given: str, address: str) -> None:
    assert backend.normalised(given) == address


@pytest.mark.parametrize("given", ["ftp://localhost", "http://", "http://localhost:eight", "http://localhost:0", "http://[::1"])
def test_what_is_no_url_is_said(given: str) -> None:
    with pytest.raises(Invalid, match="is no URL"):
        backend.normalised(given)


def note(home: Path, api: Api, **changes: object) -> None:
    home.mkdir(exist_ok=True)
    noted = {"url": api.url, "pid": os.getpid(), "version": "0", "home_id": "a-home", **changes}
    (home / "backend.json").write_text(json.dumps(noted), encoding="utf-8")


def test_the_local_backend_is_found_by_its_note_and_its_home(own_home: Path) -> None:
    with serving(Api(home_id="a-home")) as api:
        assert backend.running(own_home) is None
        note(own_home, api)
        assert (backend.running(own_home) or pytest.fail("not found")).url == api.url
        assert backend.recorded_url() == f"{api.url}/api/v1"
        note(own_home, api, home_id="another")
        assert backend.running(own_home) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": 1, "pid": "x"}', "not json"])
def test_a_note_that_cannot_be_read_is_no_note(own_home: Path, text: str) -> None:
    own_home.mkdir()
    (own_home / "backend.json").write_text(text, encoding="utf-8")
    assert backend.recorded(own_home) is None


@pytest.mark.parametrize("body", [[], "ok", {"data": 1}])
def test_something_else_at_the_address_is_no_backend_of_this_home(own_home: Path, body: object) -> None:
    with serving(Other(body)) as api:
        note(own_home, api)
        assert backend.running(own_home) is None


class Other(Api):
    """A server that is not a backend."""

    def __init__(self, body: object) -> None:
        super().__init__()
        self.body = body

    def route(self, request: object) -> Answer:
        return Answer(200, self.body)


def test_another_version_is_said(own_home: Path) -> None:
    said: list[str] = []
    with serving(Api()) as api:
        note(own_home, api, version="0.0.1")
        assert backend.ensure(announce=said.append) == f"{api.url}/api/v1"
    assert len(said) == 1
    assert "the backend is version 0.0.1" in said[0]


@pytest.mark.parametrize("way", ["flag", "environment"])
def test_a_named_backend_is_never_started(
    way: str, own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ops"]
    if way == "flag":
        words += ["--port", "9"]
    else:
        monkeypatch.setenv("KTRDR_API_URL", "http://127.0.0.1:9")
    assert main(words) == 1
    assert capsys.readouterr().err.startswith("Error: no backend answers at http://127.0.0.1:9\nHint: ")
    assert not own_home.exists()


def test_the_environment_names_a_backend(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Api()) as api:
        api.on("GET", "/operations", Answer(200, {"data": [], "total_count": 0}))
        monkeypatch.setenv("KTRDR_API_URL", api.url)
        assert main(["ops"]) == 0
    assert capsys.readouterr().out == "No operations found\n"


def test_a_home_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("KTRDR_HOME", str(tmp_path / "file" / "home"))
    assert main(["ops"]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error == f"Error: the home {tmp_path}/file/home cannot be used: Not a directory"
    assert "KTRDR_HOME" in hint


def test_a_setting_that_cannot_be_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KTRDR_PORT", "eight")
    assert main(["ops"]) == 1
    assert capsys.readouterr().err.startswith("Error: KTRDR_PORT cannot be 'eight'")


def test_stopping_where_nothing_runs_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down"]) == 0
    assert capsys.readouterr().out == "No local backend is running\n"


def test_up_says_where_the_backend_is(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Api()) as api:
        note(own_home, api)
        assert main(["up", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["url"] == api.url


def test_the_backend_gets_absolute_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KTRDR_HOME", "here")
    monkeypatch.setenv("KTRDR_LEDGER", "trials.sqlite")
    given = backend.environment(Settings.read())
    assert (given["KTRDR_HOME"], given["KTRDR_LEDGER"]) == (str(tmp_path / "here"), str(tmp_path / "trials.sqlite"))


def test_config_hides_the_password_of_an_address(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KTRDR_DATABASE_URL", "postgresql://me:s3cr@t:x@db:5432/ktrdr?sslmode=require")
    for words in (["config"], ["config", "--json"]):
        main(words)
        shown = capsys.readouterr().out
        assert "postgresql://me:***@db:5432/ktrdr?sslmode=require" in shown
        assert "s3cr" not in shown


def test_a_process_is_known_to_be_alive_or_not() -> None:
    assert backend.is_alive(os.getpid())
    assert not backend.is_alive(2**22 + 1)


def test_the_last_line_of_the_log_is_found(tmp_path: Path) -> None:
    log = tmp_path / "backend.log"
    log.write_text("Error: no ray\nHint: install it\n", encoding="utf-8")
    assert backend.last_words(log, 0) == ("no ray", "install it")
    log.write_text("an earlier start\nport taken\n", encoding="utf-8")
    assert backend.last_words(log, 0) == ("port taken", None)
    assert backend.last_words(log, log.stat().st_size)[0].startswith("no answer within")


def test_config_prints_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["KTRDR_PORT"] == 0
    assert main(["config"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name} = " in shown for name in values)


def test_a_backend_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        backend.ensure("http://127.0.0.1:9")
