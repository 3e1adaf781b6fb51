"""Older spellings of commands, each rewritten as the present one."""

from __future__ import annotations

from collections.abc import Callable

Words = list[str]
WITH_VALUE = ("--start", "--end", "--symbols", "--timeframes", "--validation-split")


def current_spelling(words: Words) -> Words:
    """A command line in the present spelling."""
    rewrite = ALIASES.get(tuple(words[:2]))
    return rewrite(words[2:]) if rewrite else words


def train(words: Words) -> Words:
    """`models train FILE [SYMBOL [TIMEFRAME]] --start-date D --end-date D`, which follows."""
    places: Words = []
    options: Words = []
    left = dated(words)
    while left:
        word = left.pop(0)
        (options if word.startswith("-") else places).append(word)
        if word in WITH_VALUE and left:
            options.append(left.pop(0))
    named = [part for option, value in zip(("--symbols", "--timeframes"), places[1:3], strict=False) for part in (option, value)]
    return ["train", *places[:1], *places[3:], *named, *options, "--follow"]


def backtest(words: Words) -> Words:
    """`backtest run STRATEGY`, which follows."""
    return ["backtest", *dated(words), "--follow"]


def dated(words: Words) -> Words:
    """`--start-date` and `--end-date` as `--start` and `--end`."""
    return [
        word.replace("-date", "", 1) if word.partition("=")[0] in ("--start-date", "--end-date") else word for word in words
    ]  # fmt: skip


ALIASES: dict[tuple[str, ...], Callable[[Words], Words]] = {
    ("models", "train"): train,
    ("model", "train"): train,
    ("backtest", "run"): backtest,
    ("operations", "list"): lambda words: ["ops", *words],
    ("operations", "status"): lambda words: ["status", *words],
    ("operations", "cancel"): lambda words: ["cancel", *words],
    ("show", "data"): lambda words: ["show", *words],
}
