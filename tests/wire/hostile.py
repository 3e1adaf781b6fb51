"""Strategies and assessments as a hostile or broken language model writes them, in families.

A name is `family-what`. Of the families in MAY_LOAD a text may be a right strategy; every other text must be refused.
"""

# ruff: noqa: E501 - a family is a table
from __future__ import annotations

from collections.abc import Iterator

from tests.wire.asked import JSON
from tests.wire.payloads import CANARY, CONTROL, DATES, INSTRUCTIONS, KEYS, NAMES, NOT_FINITE, NUMBERS, PLACES, SHAPES, TAGS
from tests.wire.texts import MOMENTUM

MAY_LOAD = {"harmless", "number", "words"}
RIGHT = MOMENTUM.read_text(encoding="utf-8")
HYPOTHESIS = "hypothesis: A swing that has begun goes on more often than it ends at once."
SETS = "fuzzy_sets:\n"
INPUTS = "nn_inputs:\n"


def changed(old: str, new: str) -> str:
    """The right strategy with one piece replaced."""
    assert old in RIGHT, old
    return RIGHT.replace(old, new, 1)


def quoted(text: str) -> str:
    """A text as YAML quotes it, what cannot be shown written as its code."""
    codes = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(codes)}"'


def hostile_texts() -> list[tuple[str, str]]:
    """Every hostile strategy by its name; no two are the same."""
    families = (_tags, _anchors, _names, _numbers, _dates, _words, _types, _twice, _nested, _sizes, _documents, _harmless)
    return [pair for family in families for pair in family()]


def _tags() -> Iterator[tuple[str, str]]:
    for name, tag in TAGS.items():
        yield f"tag-{name}-in-a-section", changed("\ntraining:\n  epochs: 20", f"\ntraining:\n  seed: {tag}")
        yield f"tag-{name}-at-the-top", RIGHT + f"deployment: {tag}\n"
    for name in ("apply-system", "new-type", "set"):
        yield f"tag-{name}-alone", TAGS[name]
    yield "tag-on-a-mapping", changed("training:\n", "training: !!python/object:os.PathLike\n")
    yield "tag-on-the-document", "!!python/object:os.PathLike\n" + RIGHT
    yield "tag-on-a-key", RIGHT + f"!!python/object/apply:os.system ['touch {CANARY}']: 1\n"


def _anchors() -> Iterator[tuple[str, str]]:
    laughs = "a0: &a0 [lol, lol]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30))
    bodies = {
        "laughs": laughs, "laughs-in-mappings": laughs.replace("[", "{x: [").replace("]", "]}"), "square": "a: &a " + "x" * 50_000 + "\nb: [" + "*a, " * 30_000 + "]\n",
        "ring": "a: &a [*a]\n", "ring-of-mappings": "a: &a {b: *a}\n", "ring-of-merges": "a: &a {<<: *a}\n", "ring-of-two": "a: &a [&b [*a, *b]]\n",
        "unused": "deployment: &x {a: 1}\n", "unknown": "deployment: *nobody\n", "as-key": "&x a: 1\n*x : 2\n", "merge": "a: &a {epochs: 1}\nb: {<<: *a}\n",
        "merge-list": "a: &a {x: 1}\nb: {<<: [*a, *a]}\n", "twice": "a: &a 1\nb: &a 2\nc: *a\n", "many": "".join(f"a{i}: &a{i} {i}\n" for i in range(9000)),
    }  # fmt: skip
    for name, body in bodies.items():
        yield f"anchor-{name}", RIGHT + body
    for name, body in {"section": "<<: {epochs: 1}", "list": "<<: [{epochs: 1}]", "scalar": "<<: 1", "twice": "<<: {}\n  <<: {}"}.items():
        yield f"merge-{name}", changed("epochs: 20", body)


def _names() -> Iterator[tuple[str, str]]:
    for name, tricky in NAMES.items():
        yield f"name-{name}", changed("name: momentum", f"name: {quoted(tricky)}")
    for name in (
        "up",
        "absolute",
        "nul",
        "newline",
        "escape",
        "long",
        "longer",
        "empty",
        "fullwidth",
        "zero-width",
        "dotless",
        "surrogate",
        "shell",
        "html",
        "option",
    ):
        yield f"symbol-{name}", changed("[EURUSD]", f"[{quoted(NAMES[name])}]")
        yield f"indicator-{name}", changed("rsi_14: {", f"{quoted(NAMES[name])}: {{")
        yield f"membership-{name}", changed("    rising: [", f"    ? {quoted(NAMES[name])}\n    : [")
    for name in ("up", "longer", "escape", "surrogate", "html"):
        yield f"timeframe-{name}", changed("[1h]", f"[{quoted(NAMES[name])}]")
        yield f"key-{name}", RIGHT + f"? {quoted(NAMES[name])}\n: 1\n"
    yield "symbol-that-grows-in-capitals", changed("[EURUSD]", "[ﬁx]")
    yield "symbol-that-shrinks-to-ascii", changed("[EURUSD]", "[eſt]")


def _numbers() -> Iterator[tuple[str, str]]:
    for place, (old, new) in PLACES.items():
        for name, number in NOT_FINITE.items():
            yield f"infinite-{name}-{place}", changed(old, new.format(number))
        for name, number in NUMBERS.items() if place in ("epochs", "corner", "anywhere") else ():
            yield f"number-{name}-{place}", changed(old, new.format(number))


def _dates() -> Iterator[tuple[str, str]]:
    for name, date in DATES.items():
        yield f"date-{name}", changed("start_date: 2012-01-01", f"start_date: {date}")


def _words() -> Iterator[tuple[str, str]]:
    for name, words in INSTRUCTIONS.items():
        yield f"words-{name}", changed(HYPOTHESIS, f"hypothesis: {quoted(words)}")
    for name, words in CONTROL.items():
        yield f"control-{name}", changed(HYPOTHESIS, f"hypothesis: {quoted(words)}")
    for name in ("colour", "right-to-left", "surrogate", "nul"):
        yield f"control-{name}-anywhere", RIGHT + f"deployment: {{note: {quoted(CONTROL[name])}}}\n"
        yield f"control-{name}-as-value", changed("type: rsi", f"type: {quoted(CONTROL[name])}")


def _types() -> Iterator[tuple[str, str]]:
    sections = _sections()
    for key in KEYS:
        for name, shape in SHAPES.items():
            if (key, name) not in {
                ("name", "text"),
                ("fuzzy_sets", "empty"),
                ("training", "empty"),
                ("backtest", "null"),
                ("backtest", "empty"),
                ("decisions", "empty"),
            }:
                yield f"type-{key}-{name}", RIGHT.replace(sections[key], f"{key}: {shape}\n")
        if key != "backtest":
            yield f"type-{key}-missing", RIGHT.replace(sections[key], "")


def _sections() -> dict[str, str]:
    """The top-level sections of the right strategy as they are written."""
    found: dict[str, str] = {}
    key = ""
    for line in RIGHT.splitlines(keepends=True):
        key = line.partition(":")[0] if line[0].isalpha() else key
        found[key] = found.get(key, "") + line
    return found


def _twice() -> Iterator[tuple[str, str]]:
    sections = _sections()
    for key in KEYS:
        yield f"twice-{key}", RIGHT + sections[key]
    yield "twice-in-a-section", changed("  epochs: 20", "  epochs: 20\n  epochs: 21")
    yield "twice-in-braces", changed("period: 14}", "period: 14, period: 14}")
    yield "twice-quoted", RIGHT + '"name": other\n'
    yield "twice-a-thousand-times", RIGHT + "name: other\n" * 2000


def _nested() -> Iterator[tuple[str, str]]:
    for depth in (25, 1000, 90_000):
        yield f"nested-lists-{depth}", RIGHT + "deployment: " + "[" * depth + "]" * depth + "\n"
        yield f"nested-open-{depth}", RIGHT + "deployment: " + "[" * depth
        yield f"nested-braces-{depth}", RIGHT + "deployment: " + "{a: " * min(depth, 30_000) + "1" + "}" * min(depth, 30_000) + "\n"
        yield f"nested-dashes-{depth}", RIGHT + "deployment:\n  " + "- " * depth + "1\n"
    for depth in (25, 300, 600):
        yield f"nested-blocks-{depth}", RIGHT + "deployment:\n" + "".join(" " * i + "a:\n" for i in range(1, depth)) + " " * depth + "1\n"
    yield "nested-keys", RIGHT + "? [" * 100 + "]" * 100 + "\n: 1\n"


def _sizes() -> Iterator[tuple[str, str]]:
    """Much of everything, within the most characters that a strategy may have, and beyond."""
    yield "size-a-million-rules", changed(INPUTS, INPUTS + "  - a\n" * 1_000_000)
    yield "size-megabytes", RIGHT + "# " + "x" * 2_000_000
    yield "size-list", RIGHT + "deployment: [" + "0," * 90_000 + "]\n"
    yield "size-symbols", changed("[EURUSD]", "[" + "A," * 90_000 + "]")
    yield "size-many-symbols", changed("[EURUSD]", "[" + ",".join(f"S{i}" for i in range(4500)) + ",S1]")
    yield "size-bad-symbols", changed("[EURUSD]", "[" + ",".join(f"$S{i}" for i in range(4500)) + "]")
    yield "size-timeframes", changed("[1h]", "[" + "1h," * 60_000 + "]")
    yield "size-few-timeframes", changed("[1h]", "[" + "1h," * 4500 + "]")
    yield "size-layers", changed("[32, 16]", "[" + "32," * 60_000 + "]")
    yield "size-corners", changed("[35, 50, 65]", "[" + "35," * 60_000 + "]")
    yield "size-few-corners", changed("[35, 50, 65]", "[" + "35," * 4500 + "]")
    sets = "".join(f"    m{i}: [0, {i}, 9999]\n" for i in range(1000))
    entries = "  - {fuzzy_set: strength, timeframes: all}\n"
    yield "size-inputs", changed(INPUTS, INPUTS + entries * 4000)
    yield "size-inputs-times-memberships", changed("    falling: [0, 0, 30, 50]\n", sets).replace(INPUTS, INPUTS + entries * 150)
    yield (
        "size-inputs-of-unknown-sets",
        changed(INPUTS, INPUTS + "".join(f"  - {{fuzzy_set: s{i}, timeframes: all}}\n" for i in range(1600))),
    )
    many = changed("indicators:\n", "indicators:\n" + "".join(f"  indicator_{i}: {{type: rsi}}\n" for i in range(900)))
    yield (
        "size-unknown-references",
        many.replace(SETS, SETS + "".join(f"  s{i}: {{indicator: indicatro_{i}, low: [0, 1, 2]}}\n" for i in range(450))),
    )
    yield "size-unknown-keys", RIGHT + "".join(f"key_{i}: 1\n" for i in range(2200))
    yield "size-unknown-types", changed("indicators:\n", "indicators:\n" + "".join(f"  i{i}: {{type: t{i}}}\n" for i in range(1500)))
    yield "size-twice", changed("  epochs: 20", "  epochs: 20\n" * 2200)
    key = "k" * 90_000
    yield "size-key-above-many", RIGHT + f"deployment:\n  ? {key}\n  : [" + "0," * 4500 + "]\n"
    yield (
        "size-key-in-a-key",
        RIGHT + "deployment:\n" + "".join(" " * i + f"? {'k' * 9000}\n" + " " * i + ":\n" for i in range(1, 19)) + " " * 20 + "1\n",
    )
    yield "size-type", changed("type: rsi", f"type: {'r' * 150_000}")
    yield "size-mode", changed("[EURUSD]", f"{{mode: {'m' * 150_000}, list: [EURUSD]}}")
    yield "size-reference", changed("indicator: rsi_14", f"indicator: {'r' * 150_000}")
    yield "size-version", changed('version: "3.0"', f"version: {'9' * 150_000}") + "extra: 1\n"
    yield "size-comments", "#\n" * 90_000 + "name: x\n"
    yield "size-open-quote", RIGHT + 'deployment: "' + "x" * 150_000
    yield "size-open-key", RIGHT + "? " + "x " * 70_000
    yield "size-colons", RIGHT + "a: " * 50_000
    yield "size-documents", "---\n" * 40_000


def _documents() -> Iterator[tuple[str, str]]:
    bodies = {
        "empty": "", "blank": "   \n\n", "comment": "# nothing\n", "null": "null", "truth": "true", "number": "42", "text": "Here is your strategy:", "list": "- a\n- b",
        "fenced": f"```yaml\n{RIGHT}```\n", "talk-before": f"Here is the strategy you asked for:\n\n{RIGHT}", "talk-after": f"{RIGHT}\nI hope this helps!\n",
        "two": f"{RIGHT}---\n{RIGHT}", "ended": f"{RIGHT}...\nname: other\n", "version": f"%YAML 9.9\n---\n{RIGHT}", "tag-directive": f"%TAG ! tag:evil,2026:\n---\n{RIGHT}x: !y 1\n",
        "tab": RIGHT.replace("  epochs", "\tepochs"), "nul": RIGHT + "\0", "binary": bytes(range(256)).decode("latin-1"), "pickle": "\x80\x04\x95\x1f\0\0\0", "zip": "PK\x03\x04\x14\0",
        "utf-16": RIGHT.encode("utf-16").decode("latin-1"), "surrogate": RIGHT + "\ud800", "escape": RIGHT + "\x1b[2J", "not-a-character": RIGHT + "\ufffe", "delete": RIGHT + "\x7f",
        "python": f"import os\nos.system('touch {CANARY}')\n", "xml": "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "html": "<html></html>", "json-list": '[{"name": "x"}]',
        "open-list": "[", "open-brace": "{", "quote": '"', "star": "*", "ampersand": "&", "bang": "!", "bar": "|", "greater": ">", "question": "?", "percent": "%", "at": "@", "grave": "`",
        "dash": "-", "dashes": "---", "dots": "...", "half": RIGHT[: len(RIGHT) // 2], "end-only": RIGHT[len(RIGHT) // 2 :], "twice": RIGHT + RIGHT, "keyless": ": 1\n: 2\n",
        "version-2": "name: x\nindicators:\n  - {name: rsi, period: 14}\n", "list-key": RIGHT + "? [a]\n: 1\n", "mapping-key": RIGHT + "? {a: 1}\n: 1\n",
    }  # fmt: skip
    yield from ((f"document-{name}", body) for name, body in bodies.items())


def _harmless() -> Iterator[tuple[str, str]]:
    """Odd, and allowed."""
    for name in ("con", "nul", "aux", "prn", "0", "2012-01-01", "true-", "x" * 64, "A-", "system_prompt"):
        yield f"harmless-name-{name[:12]}", changed("name: momentum", f"name: {quoted(name)}")
    yield "harmless-windows-lines", RIGHT.replace("\n", "\r\n")
    yield "harmless-byte-order-mark", "\ufeff" + RIGHT
    yield "harmless-date", changed("start_date: 2012-01-01", "start_date: 2012-01-01T00:00:00+14:00")
    yield "harmless-week", changed("start_date: 2012-01-01", "start_date: 2012-W01-1")
    yield "harmless-first-day", changed("start_date: 2012-01-01", "start_date: 0001-01-01")
    yield "harmless-deployment", RIGHT + "deployment: {a: {b: [1, two, null, true]}}\n"


def hostile_assessments() -> list[tuple[str, JSON]]:
    """Every hostile assessment by its name: arguments for save_assessment."""
    right: JSON = {"verdict": "mediocre", "strengths": ["it trades"], "weaknesses": ["rarely"], "suggestions": ["wait"]}
    found: list[tuple[str, JSON]] = []
    verdicts = (
        "excellent",
        "PROMISING",
        "promising ",
        "",
        None,
        1,
        True,
        ["promising"],
        {"is": "promising"},
        "pr\u043emising",
        "poor\0",
        "promising\npoor",
        "x" * 100_000,
    )
    found += [(f"assessment-verdict-{i}", right | {"verdict": verdict}) for i, verdict in enumerate(verdicts)]
    for key in right:
        found.append((f"assessment-without-{key}", {name: value for name, value in right.items() if name != key}))
    wrong = {"nan": float("nan"), "infinity": [float("inf")], "number": 7, "null": None, "text": "one", "mapping": {"0": "a"}, "numbers": [1, 2], "nulls": [None], "nested": [["a"]],
             "objects": [{"a": {"b": "c"}}], "many": ["x"] * 100_000, "long": ["x" * 1_000_000], "deep": _tower(200), "empty": [""]}  # fmt: skip
    for key in ("strengths", "weaknesses", "suggestions", "lessons"):
        found += [(f"assessment-{key}-{name}", right | {key: value}) for name, value in wrong.items()]
    for name, words in {**INSTRUCTIONS, **CONTROL}.items():
        found.append((f"assessment-words-{name}", right | {"suggestions": [words]}))
    for name in ("up", "absolute", "nul", "surrogate", "shell"):
        found.append((f"assessment-name-{name}", right | {"strategy_name": NAMES[name], "path": NAMES[name]}))
    return found


def _tower(height: int) -> list[object]:
    tower: list[object] = ["top"]
    for _ in range(height):
        tower = [tower]
    return tower
