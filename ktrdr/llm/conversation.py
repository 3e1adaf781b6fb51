"""Talking with a language model until it saves something; the one file that knows pydantic-ai, imported in runners alone.

Every request is reserved before it leaves and settled when its answer is here. Every answer and every effect of a tool is
kept as a step, so that an attempt after a crash hears the same answers again and pays for what is missing alone.
"""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2
from pydantic import ValidationError
from pydantic_ai import Agent, ModelRetry, Tool, ToolOutput, UsageLimits
from pydantic_ai import exceptions as wrong
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from ktrdr import telemetry
from ktrdr.agents.budget import Cost, Usage
from ktrdr.agents.designer import Desk
from ktrdr.errors import CycleError, KtrdrError
from ktrdr.llm.models import LanguageModel

JSON = dict[str, Any]
TRIES = 4
LONGEST_PAUSE = 30.0
HIDDEN_TOKENS = 1_000
"""What a provider adds to a request that offers tools."""
LONGEST_TOKEN = 16
"""Bytes of a token at most, on average: a provider that names fewer tokens than that names none that can be right."""
LARGEST_ANSWER = 4 * 2**20
"""Bytes of an answer; far more than its tokens can fill."""
ROUNDS = 8
"""Answers in one conversation."""
POLL_SECONDS = 0.02
PASSING = (
    wrong.ModelRateLimitError, wrong.ModelUnavailableError, wrong.ModelServerError, wrong.ModelConnectionError, TimeoutError,
)  # fmt: skip
"""What another try may get over."""
UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
"""What the libraries raise for answers that are not of the provider's form."""
CAUSES: tuple[tuple[type[Exception], str], ...] = (
    (wrong.ModelQuotaExceededError, "quota_exceeded"),
    (wrong.ModelRateLimitError, "rate_limit_exceeded"),
    (wrong.ModelOverloadedError, "overloaded"),
    (wrong.ModelAuthenticationError, "authentication_failed"),
    (wrong.ModelNotFoundError, "model_not_found"),
    (wrong.ModelTimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (wrong.ModelConnectionError, "connection_failed"),
    (wrong.ModelUnavailableError, "unavailable"),
    (wrong.ModelServerError, "server_error"),
    (wrong.ModelRequestRejectedError, "request_rejected"),
    (wrong.ModelAPIError, "request_failed"),
)
ADVICE = {
    "authentication_failed": "the key was refused: look at {key}",
    "model_not_found": "the provider does not know {id}: choose another with --model",
    "quota_exceeded": "the account has no credit left: see the provider's billing page",
    "request_rejected": "the provider did not accept the request: {said}",
}
LATER = "the provider was asked {tries} times in {seconds:.0f} s: {said}"


@dataclass(frozen=True)
class Terms:
    """On which terms a model is asked."""

    model: LanguageModel
    seconds: float
    """Longest time of one request."""
    output_tokens: int
    """Longest answer."""
    pause: float
    """Seconds before a request is tried again; they double with each try."""


class Oversized(KtrdrError):
    """An answer that does not end."""

    code = "answer_too_large"


@dataclass
class Meter(httpx2.AsyncBaseTransport):
    """Sends requests; each is reserved before it leaves, and one that the provider refuses costs nothing."""

    inner: httpx2.AsyncBaseTransport
    terms: Terms
    desk: Desk
    requests: int = 0
    call: str = ""
    """The last request."""
    reserved: Cost | None = None
    """Of the last request, until it is settled."""
    stopped: KtrdrError | None = None
    """Why nothing more may be sent."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Reserve, send, and watch the size of what comes back."""
        size = len(await request.aread()) + HIDDEN_TOKENS  # a token is at least one byte
        self.requests += 1
        self.call = f"request {self.requests}"
        try:
            worst = self.terms.model.worst(size, self.terms.output_tokens)
            self.desk.reserve(self.call, self.terms.model.id, worst)
        except KtrdrError as error:
            self.stopped = error
            raise
        self.reserved = worst
        response = await self.inner.handle_async_request(request)
        if response.status_code >= 400:
            self.settle(Usage())
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=Bounded(response.stream, self), extensions=response.extensions
        )

    def settle(self, usage: Usage) -> None:
        """The last request cost so much."""
        self.desk.settle(self.call, self.terms.model.cost(usage))
        self.reserved = None

    async def aclose(self) -> None:
        """Close every connection."""
        await self.inner.aclose()


@dataclass
class Bounded(httpx2.AsyncByteStream):
    """An answer that ends it all when it grows beyond measure."""

    inner: httpx2.AsyncByteStream
    meter: Meter

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The answer, piece by piece."""
        size = 0
        async for piece in self.inner:
            size += len(piece)
            if size > LARGEST_ANSWER:
                self.meter.stopped = Oversized(f"the answer is longer than {LARGEST_ANSWER:,} bytes", hint="nothing of it was read")
                raise self.meter.stopped
            yield piece

    async def aclose(self) -> None:
        """Close the connection of this answer."""
        await self.inner.aclose()


class Remembered(WrapperModel):
    """A model whose answers are kept: what was answered before is not asked again."""

    def __init__(self, wrapped: Model, meter: Meter, desk: Desk) -> None:
        super().__init__(wrapped)
        self._meter, self._desk = meter, desk
        self._rounds = 0
        self.tries, self.begun = 0, time.monotonic()

    async def request(
        self, messages: list[ModelMessage], model_settings: ModelSettings | None, model_request_parameters: ModelRequestParameters
    ) -> ModelResponse:
        """The kept answer of this round, else a new one."""
        self._rounds += 1
        step = f"answer {self._rounds}"
        kept = self._desk.recall(step)
        if kept is None:
            response = await self._asked(messages, model_settings, model_request_parameters)
            usage = self._counted(response)
            kept = {"response": ModelMessagesTypeAdapter.dump_python([response], mode="json")}
            self._desk.keep(step, kept)
            if usage is not None:
                self._meter.settle(usage)
        [found] = ModelMessagesTypeAdapter.validate_python(kept["response"])
        assert isinstance(found, ModelResponse)
        return found

    def _counted(self, response: ModelResponse) -> Usage | None:
        """The tokens the provider names; None where it names none, or such as request and answer cannot have."""
        reserved, most = self._meter.reserved, self._meter.terms.output_tokens
        try:
            usage = Usage.model_validate({name: getattr(response.usage, name) for name in Usage.model_fields})
        except ValidationError:
            return None
        if reserved is None:
            return None
        written = sum(len(str(getattr(part, "content", None) or getattr(part, "args", None) or "")) for part in response.parts)
        read = (reserved.input_tokens - HIDDEN_TOKENS) // LONGEST_TOKEN <= usage.input_tokens <= reserved.input_tokens
        wrote = max(1, written // LONGEST_TOKEN) <= usage.output_tokens <= most
        split = usage.cache_read_tokens + usage.cache_write_tokens <= usage.input_tokens
        return usage if read and wrote and split else None

    async def _asked(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> ModelResponse:
        pause = self._meter.terms.pause
        self.tries, self.begun = 0, time.monotonic()
        while True:
            self.tries += 1
            try:
                async with asyncio.timeout(self._meter.terms.seconds):
                    with telemetry.span("chat", {"gen_ai.request.model": self._meter.terms.model.id, "try": self.tries}) as call:
                        answer = await self._once(messages, settings, parameters)
                        used = answer.usage
                        call.set({"gen_ai.usage.input_tokens": used.input_tokens, "gen_ai.usage.output_tokens": used.output_tokens})
                        return answer
            except UNREADABLE as error:
                raise wrong.UnexpectedModelBehavior(f"the answer cannot be read: {error!r}") from error
            except (wrong.AgentRunError, TimeoutError) as error:
                if self._meter.stopped is not None:
                    raise self._meter.stopped from error
                if self.tries == TRIES or not isinstance(error, PASSING):
                    raise
                asked = getattr(error, "retry_after", None)
                await asyncio.sleep(min(asked if asked is not None else pause, LONGEST_PAUSE))
                pause *= 2

    async def _once(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> ModelResponse:
        if self._meter.terms.model.provider != "anthropic":
            return await self.wrapped.request(messages, settings, parameters)
        async with self.wrapped.request_stream(messages, settings, parameters) as stream:
            pieces = 0
            async for _ in stream:
                pieces += 1
                self._desk.report(self._rounds, ROUNDS, f"{self._meter.terms.model.id} is writing ({pieces} pieces)")
            return stream.get()


@dataclass
class Conversation:
    """One talk with a model, at the end of which it has called one tool rightly: the one that saves."""

    terms: Terms
    desk: Desk
    who: str
    """The model, in messages."""
    noun: str
    """What it is to save."""
    _refused: list[Any] = field(default_factory=list)
    """What was wrong with the last thing it tried to save."""
    _effects: int = 0

    def held(self, prompt: str, tools: Sequence[Callable[..., Awaitable[Any]]], save: Callable[..., Awaitable[JSON]], name: str) -> JSON:
        """What `save`, offered as the tool `name`, returned. CycleError where the model did not come so far."""
        return asyncio.run(self._watched(self._held(prompt, tools, save, name)))

    async def effect(self, name: str, act: Callable[[], JSON]) -> JSON:
        """Do what a tool does, once over all attempts."""
        self._effects += 1
        step = f"tool {self._effects} {name}"
        kept = self.desk.recall(step)
        if kept is None:
            kept = act()
            self.desk.keep(step, kept)
        return kept

    def reject(self, problems: list[Any]) -> ModelRetry:
        """What the model is told of a thing that cannot be saved."""
        self._refused = problems
        return ModelRetry(json.dumps({"errors": problems}, ensure_ascii=False))

    async def _watched(self, work: Coroutine[Any, Any, JSON]) -> JSON:
        """Work that ends as soon as somebody wants it to."""
        task = asyncio.create_task(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=POLL_SECONDS)
                self.desk.check()
            return task.result()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task

    async def _held(
        self, prompt: str, tools: Sequence[Callable[..., Awaitable[Any]]], save: Callable[..., Awaitable[JSON]], name: str
    ) -> JSON:
        first = self.desk.recall("prompt")
        if first is None:
            first = {"prompt": prompt}
            self.desk.keep("prompt", first)
        meter = Meter(httpx2.AsyncHTTPTransport(), self.terms, self.desk)
        async with httpx2.AsyncClient(transport=meter, timeout=httpx2.Timeout(self.terms.seconds, connect=10.0)) as client:
            model = Remembered(_model(self.terms.model, client), meter, self.desk)
            saving: ToolOutput[JSON] = ToolOutput(save, name=name, max_retries=1)
            agent = Agent(
                model, output_type=saving, retries=1, tools=[Tool(tool) for tool in tools], instructions=first["prompt"],
                model_settings=_settings(self.terms),
            )  # fmt: skip
            warnings.filterwarnings("ignore", message="Failed to extract usage")  # what is named wrongly counts as reserved
            try:
                answer = await agent.run(f"Begin. When you are done, call {name}.", usage_limits=UsageLimits(request_limit=ROUNDS))
                return answer.output
            except (wrong.AgentRunError, TimeoutError, json.JSONDecodeError) as error:
                raise self._ended(error, model) from error

    def _ended(self, error: Exception, model: Remembered) -> KtrdrError:
        """Why nothing was saved, in words."""
        if isinstance(error, wrong.UsageLimitExceeded):
            return self._failed(f"{self.who} asked {ROUNDS} times for more and did not save {self.noun}", "tool_loop")
        if isinstance(error, wrong.OutputTokenLimitExceeded):
            said = f"the answer of {self.who} was cut at {self.terms.output_tokens:,} tokens"
            return self._failed(said, "answer_cut", "KTRDR_LLM_OUTPUT_TOKENS allows longer ones")
        for kind, cause in CAUSES:
            if isinstance(error, kind):
                said = str(getattr(error, "message", "") or error or "no answer in time")[:300]
                facts = {"key": self.terms.model.key, "id": self.terms.model.id, "said": said, "tries": model.tries}
                hint = ADVICE.get(cause, LATER).format(**facts, seconds=time.monotonic() - model.begun)
                return self._failed(f"{self.who} API error: {cause}", f"llm_{cause}", hint)
        if self._refused:
            first = "; ".join(f"{each['place']}: {each['message']}" for each in self._refused[:3])
            return self._failed(f"{self.who} did not save a valid {self.noun.split()[-1]}: {first}"[:800], "nothing_saved")
        if "maximum retries" in str(error) or "output" in str(error).lower():
            return self._failed(f"{self.who} did not save {self.noun}", "nothing_saved", str(error)[:300])
        return self._failed(f"{self.who} API error: malformed_answer", "llm_malformed_answer", str(error)[:300])

    def _failed(self, message: str, code: str, hint: str | None = None) -> CycleError:
        return CycleError(message, code=code, hint=hint)


def _model(chosen: LanguageModel, client: httpx2.AsyncClient) -> Model:
    if chosen.provider == "anthropic":
        from anthropic import AsyncAnthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        own = AsyncAnthropic(api_key=chosen.secret(), base_url=chosen.base_url, http_client=client, max_retries=0)
        return AnthropicModel(chosen.id, provider=AnthropicProvider(anthropic_client=own))
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    other = AsyncOpenAI(api_key=chosen.secret(), base_url=chosen.base_url, http_client=client, max_retries=0)
    return OpenAIChatModel(chosen.id, provider=OpenAIProvider(openai_client=other))


def _settings(terms: Terms) -> ModelSettings:
    if terms.model.provider == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModelSettings

        return AnthropicModelSettings(
            max_tokens=terms.output_tokens, timeout=terms.seconds, parallel_tool_calls=False, anthropic_cache_instructions=True,
            anthropic_cache_tool_definitions=True,
        )  # fmt: skip
    return ModelSettings(max_tokens=terms.output_tokens, timeout=terms.seconds, parallel_tool_calls=False)
