"""Every setting, once, with its default and meaning, and the environment variable that it is read from."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from ktrdr.errors import Invalid


def default_cpu_slots() -> int:
    """Trainings that run at once: every core but one."""
    return max(1, (os.cpu_count() or 2) - 1)


def default_home() -> Path:
    """`~/.ktrdr`."""
    return Path(os.path.expanduser("~")) / ".ktrdr"


def default_ledger() -> Path:
    """The trial ledger stands apart from the home, so that a new home forgets nothing."""
    base = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return Path(base) / "ktrdr" / "trials.sqlite"


def variable(name: str) -> str:
    """The environment variable that a setting is read from: Ray's own where Ray has one, else `KTRDR_<NAME>`."""
    return "RAY_ADDRESS" if name == "ray_address" else f"KTRDR_{name.upper()}"


class Resources(BaseModel):
    """What an attempt takes of a node of a cluster, and what that node must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    cpus: float = Field(1.0, gt=0)
    gpus: float = Field(1.0, gt=0)
    """Of an operation that would have a GPU, where it gets one: below 1 it shares one with others."""
    labels: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    """Labels that the node has, each with this value or one of these."""

    @field_validator("gpus")
    @classmethod
    def _part_or_whole(cls, given: float) -> float:
        if given > 1 and not given.is_integer():
            raise ValueError(f"{given} GPUs: more than one are whole GPUs")
        return given

    def suit(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels will do.

        >>> Resources(labels={"zone": "a", "gpu": ("a100", "h100")}).suit({"zone": "a", "gpu": "h100"})
        True
        >>> Resources(labels={"zone": "a"}).suit({})
        False
        """
        return all(labels.get(name) in ((wanted,) if isinstance(wanted, str) else wanted) for name, wanted in self.labels.items())


class Settings(BaseModel):
    """The settings of this process: what is given, else what the environment says, else the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(default_factory=default_home, description="Where bars, models, strategies, logs and the database live.")
    ledger: Path | str = Field(
        default_factory=default_ledger, description="The append-only trial ledger: a file, or a postgresql:// address."
    )
    artefacts: str | None = Field(
        None, description="What homes share: file:///folder or s3://bucket/prefix; bars, models, strategies, checkpoints and reports."
    )
    artefacts_options: dict[str, Any] = Field(
        default_factory=dict, description='Options of that bucket\'s library, such as {"endpoint_url": "https://…"}; no credentials.'
    )
    database_url: str | None = Field(None, description="Operations database; default: SQLite in the home.")
    engine: Literal["local", "ray"] = Field("local", description="Where operations run: this machine, or the nodes of a Ray cluster.")
    ray_address: str | None = Field(None, description="Head of that cluster, such as 10.0.0.5:6379; none is ever looked for.")
    host: str = Field("127.0.0.1", description="Address the backend binds to; any but this machine's own needs a token.")
    token: SecretStr | None = Field(None, min_length=16, description="Who calls the backend must say it; commands send it.")
    port: int = Field(8000, ge=0, le=65535, description="Port of the backend; 0 takes any free one.")
    api_url: str | None = Field(None, description="A backend to talk to; naming one turns auto-start off.")
    light_slots: int = Field(4, ge=1, description="Light operations (data, design, assessment) at once.")
    torch_slots: int = Field(default_factory=default_cpu_slots, ge=1, description="Trainings and backtests at once.")
    gpus: int | None = Field(None, ge=0, description="GPUs that trainings may have; default: those nvidia-smi lists; 0: none.")
    gpu_wait_seconds: float = Field(10.0, ge=0, description="While all GPUs are busy a training waits so long before it takes a CPU.")
    needs: dict[str, Resources] = Field(
        default_factory=dict,
        description='What a type takes of a node, such as {"training": {"gpus": 0.25, "labels": {"zone": "a"}}}; else 1 of each.',
    )
    running_limits: dict[str, int] = Field(default_factory=dict, description='Most running at once of a type, such as {"training": 1}.')
    running_limit: int | None = Field(None, ge=1, description="Most running at once of all types together.")
    runner_memory_mb: int | None = Field(None, ge=64, description="Memory one runner may take; more ends it as out of memory.")
    preload_minutes: float = Field(10.0, gt=0, description="A preloaded process without work for so long is dropped for its memory.")
    idle_minutes: float = Field(30.0, gt=0, description="The local backend leaves after so long without work or callers.")
    lease_seconds: float = Field(20.0, gt=0, description="An attempt not renewed for so long is lost.")
    renew_seconds: float = Field(5.0, gt=0, description="How often a guardian renews its lease.")
    renew_fails_seconds: float = Field(15.0, gt=0, description="On a cluster a guardian that cannot renew for so long stops its runner.")
    cancel_grace_seconds: float = Field(0.05, ge=0, description="Time a runner has to end by itself before it is killed.")
    max_attempts: int = Field(3, ge=1, description="Attempts without checkpoint progress before an operation fails.")
    checkpoint_seconds: float = Field(60.0, ge=0, description="Least time between two training checkpoints.")
    checkpoint_days: float = Field(30.0, gt=0, description="The checkpoint of an operation that ended early is kept so long.")
    history_days: float = Field(7.0, gt=0, description="What happened to operations that have ended is kept so long.")
    log_level: str = Field("INFO", description="Least severe log line that is kept.")
    research_limit: int = Field(1, ge=1, description="Research cycles at once.")
    design_candidates: int = Field(32, ge=1, description="Candidates the offline designer tries in a cycle.")
    model: str = Field("opus", description="Language model that designs and judges: opus, sonnet, haiku, a name of models.toml, or an id.")
    llm_timeout_seconds: float = Field(180.0, gt=0, description="Longest time one call to a language model may take.")
    llm_retry_seconds: float = Field(0.5, ge=0, description="Pause before a refused call is tried again; it doubles with each try.")
    llm_output_tokens: int = Field(8000, ge=256, description="Longest answer of a language model, in tokens.")
    budget_call_usd: float = Field(1.0, ge=0, description="Most that one call to a language model may cost.")
    budget_cycle_usd: float = Field(1.0, ge=0, description="Most that the calls of one research cycle may cost.")
    budget_day_usd: float = Field(5.0, ge=0, description="Most that the calls of one day (UTC) may cost.")
    budget_cycle_tokens: int = Field(440_000, ge=0, description="Most tokens, in and out, that one research cycle may take.")
    budget_day_tokens: int = Field(4_000_000, ge=0, description="Most tokens, in and out, that one day (UTC) may take.")
    budget_cycle_calls: int = Field(25, ge=0, description="Most calls to a language model that one research cycle may make.")
    phase_timeout_minutes: float = Field(30.0, gt=0, description="Longest time one phase of a research cycle may take.")
    ccxt_exchange: str = Field("binance", description="Exchange that provider ccxt loads from, as the ccxt library spells it.")
    ccxt_url: str | None = Field(None, description="Address of that exchange's interface, where it is not its own, such as a mirror.")
    gate_min_accuracy: float = Field(0.45, description="Training gate: least test accuracy.")
    gate_max_loss: float = Field(0.80, description="Training gate: largest cross-entropy on the test slice.")
    gate_min_loss_decrease: float = Field(0.20, description="Training gate: least share of the first loss that training removed.")
    gate_max_drawdown: float = Field(0.40, description="Backtest gate: largest drawdown, as a share of the peak.")
    gate_min_win_rate: float = Field(0.45, description="Backtest gate: least share of winning trades.")
    gate_min_sharpe: float = Field(-0.50, description="Backtest gate: least annualised Sharpe ratio.")
    ib_host: str = Field("127.0.0.1", description="Where TWS or Gateway of Interactive Brokers runs.")
    ib_port: int = Field(
        7497, ge=1, le=65535, description="Its port: 7497 paper TWS, 7496 live TWS, 4002 paper Gateway, 4001 live Gateway."
    )
    ib_client_id: int = Field(17, ge=1, le=999_999, description="Client id of loads; where it is in use, the next seven are tried.")
    ib_timeout_seconds: float = Field(60.0, gt=0, description="So long an answer of Interactive Brokers may take.")

    @field_validator("ledger")
    @classmethod
    def _file_unless_address(cls, given: Path | str) -> Path | str:
        if "://" not in str(given):
            return Path(given)
        if not str(given).startswith(("postgresql://", "postgresql+psycopg://", "postgres://")):
            raise ValueError("the trial ledger is a file, or a database such as postgresql://user@host/ktrdr")
        return str(given)

    @model_validator(mode="after")
    def _nodes_alone_are_shared(self) -> Settings:
        if self.needs and self.engine == "local":
            raise ValueError("KTRDR_NEEDS is for nodes of a cluster, and KTRDR_ENGINE is local; here KTRDR_TORCH_SLOTS says how many run")
        return self

    @model_validator(mode="before")
    @classmethod
    def _from_environment(cls, given: dict[str, Any]) -> dict[str, Any]:
        found = {name: os.environ[variable(name)] for name in cls.model_fields if variable(name) in os.environ}
        values = {**{name: _parsed(text) for name, text in found.items()}, **given}
        shared = values.get("engine") == "ray" and values.get("database_url")
        return {"ledger": values["database_url"], **values} if shared else values

    @classmethod
    def read(cls) -> Settings:
        """The settings of this process; Invalid says in one sentence which one cannot be."""
        try:
            return cls()
        except ValidationError as error:
            wrong = error.errors()[0]
        reason, hint = wrong["msg"].removeprefix("Value error, "), "ktrdr config lists every setting"
        if not wrong["loc"]:
            raise Invalid(reason, hint=hint)
        name, *inner = (str(part) for part in wrong["loc"])
        given = "what it is" if name == "token" else repr(wrong["input"])
        raise Invalid(f"{': '.join([variable(name), *inner])} cannot be {given}: {reason}", hint=hint)

    @property
    def operations_url(self) -> str:
        """SQLAlchemy address of the operations database."""
        return self.database_url or f"sqlite+aiosqlite:///{self.home / 'ktrdr.db'}"

    def folder(self, name: str) -> Path:
        """One of the folders of the home: bars, models, strategies, checkpoints, reports, logs, cache."""
        return self.home / name


def shown(value: Any) -> Any:
    """A setting as it may be shown: passwords of addresses are left out."""
    if not isinstance(value, str) or "://" not in value:
        return value
    return re.sub(r"([?&]password=)[^&]*", r"\1***", re.sub(r"^([^:/]+://[^:@/]*):.*@", r"\1:***@", value))


def _parsed(text: str) -> Any:
    """A setting that is a table is written as JSON."""
    with suppress(ValueError):
        return json.loads(text) if text.startswith("{") else text
    return text
