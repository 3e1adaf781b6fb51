"""Where a result comes from: the strategy in words, its training, its assessment, data, seeds and versions."""

from __future__ import annotations

from collections.abc import Mapping

from ktrdr.errors import Invalid
from ktrdr.reports.charts import chart
from ktrdr.reports.explain import explain
from ktrdr.reports.figures import JSON, SCORES, Unit, at, moment, words, write
from ktrdr.reports.markup import Html, items, joined, pairs, table, tag
from ktrdr.reports.material import Material, Section
from ktrdr.reports.verdict import passed
from ktrdr.strategy.load import load_strategy

DIGITS = 16
"""Of a sha256 that are shown; the whole of it stands in the record."""


def training(material: Material) -> Section | None:
    """Scores beside what no model at all would reach, and the losses epoch by epoch."""
    found = material.training
    if not found:
        return None
    test, base, fitted = found["test_metrics"], found["baselines"], found.get("training_metrics") or {}
    rows = [
        (score.label, tag("td", write(test[score.key], score.unit), class_="figure"), tag("td", _base(base, score.key), class_="figure"))
        for score in SCORES
        if test.get(score.key) is not None
    ]  # fmt: skip
    drawing, specs = losses(fitted.get("history") or {})
    body = joined([
        table("On the test bars of the training range", ("Score", "Model", "Knowing nothing"), rows),
        pairs([
            ("Epochs run", fitted.get("epochs_completed")), ("The best one, kept", fitted.get("best_epoch")),
            ("Loss before training", _loss(fitted.get("initial_loss"))), ("after", _loss(fitted.get("final_train_loss"))),
            ("on the validation bars", _loss(fitted.get("final_val_loss"))),
            ("Parameters", at(found, "model_info.parameters_count")),
        ]),
        drawing,
    ])  # fmt: skip
    return Section("training", "Training", body, specs)


def _base(base: JSON, key: str) -> str:
    bases: dict[str, tuple[str, Unit]] = {"accuracy": ("majority_accuracy", "percent"), "loss": ("majority_loss", "loss")}
    known = bases.get(key)
    return write(base.get(known[0]), known[1]) if known else "–"


def _loss(value: object) -> str | None:
    return None if value is None else write(value, "loss")


def losses(history: JSON) -> tuple[Html, dict[str, JSON]]:
    """Training and validation loss of each epoch."""
    train, validation = list(history.get("train_loss") or ()), list(history.get("val_loss") or ())
    if len(train) < 2 or len(train) != len(validation):
        return Html(), {}
    x = list(range(1, len(train) + 1))
    best = min(x, key=lambda epoch: validation[epoch - 1])
    fell = f"training {write(train[0], 'loss')} to {write(train[-1], 'loss')}"
    said = f"Loss over {len(train)} epochs: {fell}, validation lowest at epoch {best}."
    rows = [(epoch, write(train[epoch - 1], "loss"), write(validation[epoch - 1], "loss")) for epoch in x]
    lines = [{"label": "Training", "role": "benchmark", "y": train}, {"label": "Validation", "role": "own", "y": validation}]
    spec = {"kind": "epochs", "unit": "number", "x": x, "series": lines}
    return chart("losses", said, "", ("Epoch", "Training loss", "Validation loss"), rows), {"losses": spec}


def strategy(material: Material) -> Section | None:
    """The strategy in words and in full."""
    text = at(material.manifest or {}, "strategy.text")
    said = material.result.get("strategy_in_words") or _in_words(text)
    if not said and not text:
        return None
    full = tag("details", tag("summary", "The strategy in full"), tag("pre", text)) if text else Html()
    return Section("strategy", "The strategy", joined([tag("pre", "\n".join(map(str, said)), class_="words") if said else "", full]))


def _in_words(text: object) -> tuple[str, ...]:
    if not isinstance(text, str):
        return ()
    try:
        return explain(load_strategy(text, "the model's strategy").strategy)
    except Invalid:  # written by a ktrdr that knew other words; its text is shown all the same
        return ()


def assessment(material: Material) -> Section | None:
    """What was made of the results, and by whom; none of it changes a figure or a gate."""
    found = material.result.get("assessment")
    if not found:
        return None
    parts = [
        joined([tag("h3", name.capitalize()), items(found[name])]) for name in ("strengths", "weaknesses", "suggestions") if found.get(name)
    ]  # fmt: skip
    lessons = [(one["claim"], one["evidence"], one["scope"]) for one in found.get("lessons") or ()]
    taught = table("Lessons for later designs", ("Claim", "Evidence", "Where it holds"), lessons, class_="wordy") if lessons else Html()
    by = tag("p", f"By {found['assessed_by']}; it can say no where the gates said yes, never the reverse.", class_="note")
    return Section("assessment", "Assessment", joined([by, *parts, taught]))


def leak_proof(material: Material) -> Section | None:
    """Whether nothing knew the future, check by check."""
    checks = at(material.backtest or {}, "leak_proof.checks")
    if not checks:
        return None
    rows = [(words(one["name"]), passed(one["passed"]), one.get("reason", "")) for one in checks]
    return Section(
        "leaks", "Leak proof", table("What must not know the future", ("Check", "Result", "What was seen"), rows, class_="wordy")
    )


def manifest(material: Material) -> Section:
    """Data, seed, costs and versions: what is needed to get the same figures again."""
    operation, backtest, model = material.operation, material.backtest or {}, material.manifest or {}
    about = operation.get("metadata") or {}
    trained, record = material.training or {}, model.get("training") or {}
    seeds = {"of the training": trained.get("seed", record.get("seed")), "of the search": at(about, "parameters.seed")}
    body = joined([
        pairs([
            ("Operation", operation["operation_id"]), ("Type", operation["operation_type"]), ("Goal", about.get("brief")),
            ("Understood", material.result.get("understood")), ("Designed by", material.result.get("designed_by")),
            ("Language model", about.get("model")), ("Strategy", at(model, "strategy.name") or about.get("strategy_name")),
            ("sha256 of the strategy", _digits(at(model, "strategy.content_hash"))),
            ("Trained", _range(record.get("start"), record.get("end"))),
            ("Tested", _range(backtest.get("start_date"), backtest.get("end_date"))),
            ("Bars of", backtest.get("provider")), ("Bars traded", write(backtest["bars"], "count") if backtest.get("bars") else None),
            ("Costs", at(backtest, "costs.sentence")),
            ("Money at the start", write(backtest["initial_capital"], "money") if backtest.get("initial_capital") else None),
            *((f"Seed {name}", seed) for name, seed in seeds.items()),
            ("Cost of language models", _spent(material.result.get("spent"))),
            ("Began", moment(operation.get("started_at"))), ("Ended", moment(operation.get("completed_at"))),
        ]),
        _table("sha256 of the bars learned from", "Series", record.get("bars"), digest=True),
        _table("Versions that trained it", "Library", record.get("versions")),
        _table("Files", "What", {**(backtest.get("files") or {}), **(material.result.get("files") or {})}),
        items(material.missing, "note"),
    ])  # fmt: skip
    return Section("manifest", "Data, seed and versions", body)


def _range(start: object, end: object) -> str | None:
    return f"{moment(start)} to {moment(end)} (UTC, end not included)" if start and end else None


def _digits(digest: object) -> Html | None:
    return tag("code", f"{digest[:DIGITS]}…", title=digest) if isinstance(digest, str) else None


def _spent(found: JSON | None) -> str | None:
    return f"${found['cost_usd']:.4f} for {found['calls']} calls" if found else None


def _table(caption: str, name: str, found: Mapping[str, object] | None, *, digest: bool = False) -> Html:
    if not found:
        return Html()
    return table(caption, (name, ""), [(key, _digits(value) if digest else value) for key, value in found.items()], class_="wordy")
