"""What the client must know to start each kind of work and to show how it ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ktrdr.cli import explained, results
from ktrdr.operations.model import Operation

if TYPE_CHECKING:
    from ktrdr.cli.client import AsyncCLIClient
    from ktrdr.cli.output import Output

JSON = dict[str, Any]


class OperationAdapter(ABC):
    """Four answers about one kind of work; the client does the rest (start, follow, cancel, retry).

    The whole of an adapter for an imaginary job that counts sheep:

        @dataclass(frozen=True)
        class SheepOperationAdapter(OperationAdapter):
            sheep: int
            noun = "Counting"

            def get_start_endpoint(self) -> str:
                return "/sheep/count"

            def get_start_payload(self) -> JSON:
                return {"sheep": self.sheep}

            def parse_start_response(self, response: JSON) -> str:
                return str(response["operation_id"])

            async def display_results(self, final_status: JSON, console: Output, http_client: AsyncCLIClient) -> None:
                console.line(f"Counted {final_status['result_summary']['counted']} sheep")
    """

    noun: str = "Operation"
    """What the work is called at the beginning of a sentence."""

    @abstractmethod
    def get_start_endpoint(self) -> str:
        """The path that the start is posted to, without `/api/v1`."""

    @abstractmethod
    def get_start_payload(self) -> JSON:
        """The body of the start."""

    @abstractmethod
    def parse_start_response(self, response: JSON) -> str:
        """The operation's id in the answer to the start."""

    @abstractmethod
    async def display_results(self, final_status: JSON, console: Output, http_client: AsyncCLIClient) -> None:
        """Show the result of an operation that has ended; `final_status` is its record."""


def given(**fields: object) -> JSON:
    """The fields that have a value: what the user did not say is left to the backend."""
    return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class TrainingOperationAdapter(OperationAdapter):
    """Train a strategy, or several times with `seeds`. `strategy` is `{"strategy_name": ...}` or `{"strategy": text, "source": ...}`."""

    strategy: JSON
    symbols: list[str] | None = None
    timeframes: list[str] | None = None
    start_date: str | None = None
    end_date: str | None = None
    validation_split: float | None = None
    detailed_analytics: bool | None = None
    seeds: int | None = None
    parallel: int | None = None
    noun = results.NOUNS["training"]

    def get_start_endpoint(self) -> str:
        """Where trainings start."""
        return "/trainings/start"

    def get_start_payload(self) -> JSON:
        """The strategy and what overrides it."""
        return self.strategy | given(
            symbols=self.symbols, timeframes=self.timeframes, start_date=self.start_date, end_date=self.end_date,
            validation_split=self.validation_split, detailed_analytics=self.detailed_analytics,
            seeds=self.seeds, parallel=self.parallel,
        )  # fmt: skip

    def parse_start_response(self, response: JSON) -> str:
        """The id, which trainings also call `task_id`."""
        return str(response["operation_id"])

    async def display_results(self, final_status: JSON, console: Output, http_client: AsyncCLIClient) -> None:
        """Scores beside their baselines and where the model is, or how far the scores of several spread."""
        console.lines(results.summary(Operation.model_validate(final_status)))


@dataclass(frozen=True)
class BacktestingOperationAdapter(OperationAdapter):
    """Backtest a strategy with a trained model."""

    strategy: JSON
    start_date: str | None = None
    end_date: str | None = None
    symbol: str | None = None
    timeframe: str | None = None
    initial_capital: float | None = None
    commission: float | None = None
    slippage: float | None = None
    model_path: str | None = None
    noun = results.NOUNS["backtesting"]

    def get_start_endpoint(self) -> str:
        """Where backtests start."""
        return "/backtests/start"

    def get_start_payload(self) -> JSON:
        """The strategy, the dates and what overrides the defaults."""
        return self.strategy | given(
            start_date=self.start_date, end_date=self.end_date, symbol=self.symbol, timeframe=self.timeframe,
            initial_capital=self.initial_capital, commission=self.commission, slippage=self.slippage, model_path=self.model_path,
        )  # fmt: skip

    def parse_start_response(self, response: JSON) -> str:
        """The id."""
        return str(response["operation_id"])

    async def display_results(self, final_status: JSON, console: Output, http_client: AsyncCLIClient) -> None:
        """Return, Sharpe, drawdown, trades and win rate beside the benchmarks."""
        console.lines(results.backtest(Operation.model_validate(final_status)))


@dataclass(frozen=True)
class StrategyCheckOperationAdapter(OperationAdapter):
    """Check that nothing in a strategy knows the future."""

    strategy: JSON
    start_date: str | None = None
    end_date: str | None = None
    symbol: str | None = None
    cuts: int | None = None
    seed: int | None = None
    noun = results.NOUNS["strategy_check"]

    def get_start_endpoint(self) -> str:
        """Where checks start."""
        return "/strategies/check"

    def get_start_payload(self) -> JSON:
        """The strategy, the bars and how thoroughly."""
        return self.strategy | given(
            start_date=self.start_date, end_date=self.end_date, symbol=self.symbol, cuts=self.cuts, seed=self.seed
        )  # fmt: skip

    def parse_start_response(self, response: JSON) -> str:
        """The id."""
        return str(response["operation_id"])

    async def display_results(self, final_status: JSON, console: Output, http_client: AsyncCLIClient) -> None:
        """Each check with its answer, also where something knows the future."""
        console.lines(results.check(Operation.model_validate(final_status)))


@dataclass(frozen=True)
class ModelExplanationOperationAdapter(OperationAdapter):
    """Explain a model, named by its folder, its operation or its strategy."""

    model: str
    start_date: str | None = None
    end_date: str | None = None
    symbol: str | None = None
    at: str | None = None
    noun = results.NOUNS["model_explanation"]

    def get_start_endpoint(self) -> str:
        """Where explanations start."""
        return "/models/explain"

    def get_start_payload(self) -> JSON:
        """The model, the bars and the one to be explained."""
        return given(model=self.model, start_date=self.start_date, end_date=self.end_date, symbol=self.symbol, at=self.at)

    def parse_start_response(self, response: JSON) -> str:
        """The id."""
        return str(response["operation_id"])

    async def display_results(self, final_status: JSON, console: Output, http_client: AsyncCLIClient) -> None:
        """The rules, how each has done, and why it decided as it did."""
        console.lines(explained.explanation(Operation.model_validate(final_status)))


@dataclass(frozen=True)
class DataLoadOperationAdapter(OperationAdapter):
    """Load bars of a symbol from a provider."""

    symbol: str
    options: JSON = field(default_factory=dict)
    """Timeframe, mode, provider, dates and the rest, as the API names them."""
    noun = results.NOUNS["data_load"]

    def get_start_endpoint(self) -> str:
        """Where loads start."""
        return "/data/load"

    def get_start_payload(self) -> JSON:
        """The symbol and the options that were given."""
        return given(symbol=self.symbol, **self.options)

    def parse_start_response(self, response: JSON) -> str:
        """The id."""
        return str(response["operation_id"])

    async def display_results(self, final_status: JSON, console: Output, http_client: AsyncCLIClient) -> None:
        """Bars loaded, their range, the time it took and what the provider said; of partial loads too."""
        console.lines(results.data_load(Operation.model_validate(final_status)))


@dataclass(frozen=True)
class ResearchOperationAdapter(OperationAdapter):
    """Research a goal, or one strategy, from design to verdict."""

    brief: str | None = None
    strategy: str | None = None
    model: str | None = None
    options: JSON = field(default_factory=dict)
    """Designer, seed, number of tries and of candidates, and the text of a strategy that the backend does not have."""
    noun = results.NOUNS["agent_research"]

    def get_start_endpoint(self) -> str:
        """Where research cycles start."""
        return "/agent/trigger"

    def get_start_payload(self) -> JSON:
        """The goal or the strategy, and how to go about it."""
        return given(brief=self.brief, strategy=self.strategy, model=self.model, **self.options)

    def parse_start_response(self, response: JSON) -> str:
        """The id of the cycle."""
        return str(response["operation_id"])

    async def display_results(self, final_status: JSON, console: Output, http_client: AsyncCLIClient) -> None:
        """The verdict and all it rests on, also where a gate said no; of several cycles the table."""
        console.lines(results.summary(Operation.model_validate(final_status)))


@dataclass(frozen=True)
class DummyOperationAdapter(OperationAdapter):
    """Count iterations; the smallest example of a kind of work."""

    duration: float
    iterations: int
    noun = results.NOUNS["dummy"]

    def get_start_endpoint(self) -> str:
        """Where it starts."""
        return "/dummy/start"

    def get_start_payload(self) -> JSON:
        """How long, in how many parts."""
        return {"duration": self.duration, "iterations": self.iterations}

    def parse_start_response(self, response: JSON) -> str:
        """The id."""
        return str(response["operation_id"])

    async def display_results(self, final_status: JSON, console: Output, http_client: AsyncCLIClient) -> None:
        """How far it came."""
        console.lines(results.dummy(Operation.model_validate(final_status)))


@dataclass
class ResumedOperationAdapter(OperationAdapter):
    """Go on from a checkpoint, named by its own id or by its operation's."""

    ident: str

    def get_start_endpoint(self) -> str:
        """Where it goes on, by the form of the id."""
        return f"/{'checkpoints' if self.ident.startswith('chk_') else 'operations'}/{self.ident}/resume"

    def get_start_payload(self) -> JSON:
        """Nothing: the checkpoint says it all."""
        return {}

    def parse_start_response(self, response: JSON) -> str:
        """The id of the new operation; the answer also tells what kind of work it is."""
        self.noun = results.noun(response["operation_type"])
        return str(response["operation_id"])

    async def display_results(self, final_status: JSON, console: Output, http_client: AsyncCLIClient) -> None:
        """What the operation shows when it was not resumed."""
        console.lines(results.summary(Operation.model_validate(final_status)))
