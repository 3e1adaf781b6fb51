from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from ktrdr.cli import backend
from ktrdr.cli.app import main
from ktrdr.errors import Invalid
from ktrdr.settings import Settings, shown


@pytest.mark.parametrize(
    ("value", "as_shown"),
    [
        ("postgresql://me:s3cret@db:5432/ktrdr", "postgresql://me:***@db:5432/ktrdr"),
        ("postgresql+psycopg://me:s3/c@ret@db/ktrdr", "postgresql+psycopg://me:***@db/ktrdr"),
        ("postgresql://db/ktrdr?user=me&password=s3cret&sslmode=require", "postgresql://db/ktrdr?user=me&password=***&sslmode=require"),
        ("postgresql://me@db:5432/ktrdr", "postgresql://me@db:5432/ktrdr"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("file:///shared/ktrdr", "file:///shared/ktrdr"),
        ("plain: text", "plain: text"),
        (3, 3),
    ],
)
def test_a_setting_is_shown_without_its_password(value: object, as_shown: object) -> None:
    assert shown(value) == as_shown


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "eight", "KTRDR_PORT cannot be 'eight': Input should be a valid integer, unable to parse string as an integer"),
        ("TOKEN", "short", "KTRDR_TOKEN cannot be what it is: Value should have at least 16 items after validation, not 5"),
        ("NEEDS", '{"training": {"gpus": 0.25}}', "KTRDR_NEEDS is for nodes of a cluster, and KTRDR_ENGINE is local; here"),
        ("NEEDS", '{"training": {"gpus": 1.5}}', "KTRDR_NEEDS: training: gpus cannot be 1.5: 1.5 GPUs: more than one are whole GPUs"),
        ("NEEDS", '{"training": {"cpus": 0}}', "KTRDR_NEEDS: training: cpus cannot be 0: Input should be greater than 0"),
        ("NEEDS", '{"training": {"ram": 3}}', "KTRDR_NEEDS: training: ram cannot be 3: Extra inputs are not permitted"),
    ],
)
def test_a_setting_that_cannot_be_is_one_sentence(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(f"KTRDR_{name}", value)
    with pytest.raises(Invalid) as wrong:
        Settings.read()
    assert wrong.value.message.startswith(said)
    assert wrong.value.hint == "ktrdr config lists every setting"


def test_the_ledger_is_a_file_or_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(ledger="trials.sqlite").ledger == Path("trials.sqlite")
    assert Settings(ledger="postgresql://db/ktrdr").ledger == "postgresql://db/ktrdr"
    with pytest.raises(ValidationError, match="a file, or a database such as postgresql://"):
        Settings(ledger="mysql://db/ktrdr")
    monkeypatch.setenv("KTRDR_LEDGER", "postgresql://db/ktrdr")
    assert backend.environment(Settings.read())["KTRDR_LEDGER"] == "postgresql://db/ktrdr"


def test_config_shows_no_password(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("KTRDR_LEDGER", "KTRDR_DATABASE_URL"):
        monkeypatch.setenv(name, "postgresql://me:s3cret@db/ktrdr")
    for words in (["config"], ["config", "--json"]):
        assert main(words) == 0
        said = capsys.readouterr().out
        assert "s3cret" not in said
        assert "postgresql://me:***@db/ktrdr" in said


def test_options_of_a_bucket_are_read_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KTRDR_ARTEFACTS", "s3://bucket/team")
    monkeypatch.setenv("KTRDR_ARTEFACTS_OPTIONS", '{"endpoint_url": "http://127.0.0.1:9000"}')
    assert Settings().artefacts_options == {"endpoint_url": "http://127.0.0.1:9000"}
