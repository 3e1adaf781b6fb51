"""Which language models can be asked, under which names, and what their tokens cost."""

from __future__ import annotations

import difflib
import os
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ktrdr.agents.budget import NANO, Cost, Usage
from ktrdr.errors import Invalid

BUNDLED = Path(__file__).parent / "models.toml"
KEY = "ANTHROPIC_API_KEY"
MILLION = Decimal(10**6)


class Prices(BaseModel):
    """USD per million tokens, as the user says."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0)
    cache_read: Decimal | None = Field(None, ge=0)
    cache_write: Decimal | None = Field(None, ge=0)


class LanguageModel(BaseModel):
    """A language model that can be asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Its short name, or its id."""
    provider: Literal["anthropic", "openai"]
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$")
    base_url: str | None = None
    key: str | None = None
    """The environment variable that holds the key."""
    prices: Prices | None = None

    def secret(self) -> str:
        """The key. Invalid where there is none."""
        if self.key is None:
            return "none"
        found = os.environ.get(self.key, "").strip()
        if not found:
            raise Invalid(
                f"{self.id} needs a key, and {self.key} is not set where the backend runs",
                hint=f"export {self.key}=…; ktrdr down; then again. Without a key: --designer offline", code="no_key",
            )  # fmt: skip
        return found

    def cost(self, usage: Usage) -> Cost:
        """Tokens with what they cost, rounded up. Invalid where no price is known."""
        return Cost(**usage.model_dump(), nano_usd=_listed(self, usage) if self.prices is None else self._own(self.prices, usage))

    def worst(self, input_tokens: int, output_tokens: int) -> Cost:
        """The most that so many tokens can cost, whichever of them the provider takes from or puts into its cache."""
        plain = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        cached = plain.model_copy(update={"cache_write_tokens": input_tokens})
        most = max(self.cost(plain).nano_usd, self.cost(cached).nano_usd)
        return Cost(**plain.model_dump(), nano_usd=most)

    def priced_on(self) -> str:
        """Where the prices come from, and of when they are."""
        if self.prices is not None:
            return "prices of models.toml"
        checked = _checked(self)
        return f"prices of {checked:%Y-%m-%d}" if checked else f"prices of genai-prices {_list_version()}"

    @staticmethod
    def _own(own: Prices, usage: Usage) -> int:
        read, write = usage.cache_read_tokens, usage.cache_write_tokens
        plain = usage.input_tokens - read - write
        usd = plain * own.input + usage.output_tokens * own.output
        usd += read * (own.cache_read if own.cache_read is not None else own.input)
        usd += write * (own.cache_write if own.cache_write is not None else own.input)
        return -int(-usd / MILLION * NANO // 1)


def known_models(home: Path) -> dict[str, LanguageModel]:
    """Every model by its short name: the bundled ones, then those of the home. Invalid where a file is wrong."""
    found: dict[str, LanguageModel] = {}
    for path in (BUNDLED, home / "models.toml"):
        if not path.exists():
            continue
        try:
            listed = tomllib.loads(path.read_text(encoding="utf-8"))
            found |= {name: LanguageModel.model_validate({**entry, "name": name}) for name, entry in listed.items()}
        except (OSError, UnicodeDecodeError, TypeError, tomllib.TOMLDecodeError, ValidationError) as error:
            raise Invalid(f"{path} cannot be used: {error}", hint=f"{BUNDLED} shows the form") from None
    return found


def choose_model(name: str, home: Path) -> LanguageModel:
    """The model of a short name, or of an id of Anthropic; Invalid with the nearest name for another."""
    known = known_models(home)
    if name in known:
        return known[name]
    for model in known.values():
        if model.id == name:
            return model
    if name.startswith("claude-"):
        chosen = LanguageModel(name=name, provider="anthropic", id=name, key=KEY) if name.replace("-", "").isalnum() else None
        if chosen is not None and _in_list(chosen):
            return chosen
    near = difflib.get_close_matches(name, [*known, *(model.id for model in known.values())], n=1)
    raise Invalid(
        f"there is no language model {name!r}; known: {', '.join(sorted(known))}",
        hint=(f"did you mean {near[0]!r}? " if near else "") + f"others are named in {home / 'models.toml'}", code="unknown_model",
    )  # fmt: skip


def _listed(model: LanguageModel, usage: Usage) -> int:
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    tokens = Tokens(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )  # fmt: skip
    try:
        usd = calc_price(tokens, model.id, provider_id=model.provider).total_price
    except LookupError:
        raise Invalid(
            f"no price is known for {model.id}, so it is not asked: its calls could not be held to a budget", code="unpriced_model",
            hint=f"give it prices in models.toml of the home, such as [{model.name}.prices] with input = 0 and output = 0",
        ) from None  # fmt: skip
    return -int(-usd * NANO // 1)


def _in_list(model: LanguageModel) -> bool:
    try:
        model.cost(Usage(input_tokens=1))
    except Invalid:
        return False
    return True


def _checked(model: LanguageModel) -> date | None:
    """When the price list was last compared with the provider's page."""
    from genai_prices.data_snapshot import get_snapshot

    _, info = get_snapshot().find_provider_model(model.id, None, model.provider, None)
    found: date | None = getattr(info, "prices_checked", None)
    return found


def _list_version() -> str:
    from importlib.metadata import version

    return version("genai-prices")
