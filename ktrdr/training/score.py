"""Judge a model on each slice, beside the answers of knowing nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.models.model import Model
from ktrdr.models.predict import Architecture, Floats, Weights, outputs_of, softmax
from ktrdr.models.scores import Baselines, Scores, SliceScores
from ktrdr.strategy.sections import Training
from ktrdr.training.fit import Fitted
from ktrdr.training.windows import Samples, Slice

JSON = dict[str, Any]
Classes = NDArray[np.int64]
DIRECTIONS = ("up", "down")
LEAST_PROBABILITY = 1e-15
BINS = 10
"""Of the calibration table."""


def score(fitted: Fitted, samples: Samples, training: Training) -> Scores:
    """Figures of every slice with the weights that are kept."""
    slices = {
        name: _judge(fitted.architecture, fitted.weights, rows, training)
        for name, rows in (("train", samples.train), ("validation", samples.validation), ("test", samples.test))
    }
    answers = outputs_of(fitted.architecture, fitted.weights, samples.test.values, samples.test.ends)
    baselines = _class_baselines if samples.task == "classification" else _direction_baselines
    first, final = fitted.initial_loss, slices["train"].loss
    return Scores(
        task=samples.task,
        **slices,
        baselines=baselines(samples, answers, training),
        initial_loss=first,
        final_train_loss=final,
        loss_decrease=(first - final) / first if first > 0 else 0.0,
        history=fitted.history,
    )


def detailed_analytics(model: Model, samples: Samples) -> JSON:
    """What happens on the test slice class by class: confusion matrix, figures per class, calibration.

    Rows of the confusion matrix are what was, columns what was answered.
    """
    outputs, actual = outputs_of(model.architecture, model.weights, samples.test.values, samples.test.ends), samples.test.targets
    if samples.task == "classification":
        said, probabilities = outputs.argmax(axis=1), softmax(outputs)
        calibration = _calibration(probabilities.max(axis=1), said == actual)
    else:
        kept = actual != 0
        said, actual = (outputs[kept, 0] <= 0).astype(np.int64), (actual[kept] < 0).astype(np.int64)
        calibration = None
    names: tuple[str, ...] = samples.classes if samples.task == "classification" else DIRECTIONS
    matrix = confusion(actual, said, len(names))
    per_class = {
        name: dict(zip(("precision", "recall", "f1_score"), figures, strict=True)) | {"rows": int(matrix[i].sum())}
        for i, (name, figures) in enumerate(zip(names, _per_class(matrix), strict=True))
    }
    return {"classes": list(names), "confusion_matrix": matrix.tolist(), "per_class": per_class, "calibration": calibration}


def confusion(actual: Classes, said: Classes, classes: int) -> Classes:
    """Counts by what was (rows) and what was answered (columns)."""
    return np.bincount(actual * classes + said, minlength=classes * classes).reshape(classes, classes)


def cross_entropy(probabilities: Floats, actual: Classes) -> float:
    """Mean of -log of the probability that the right class was given."""
    given = probabilities[np.arange(len(actual)), actual]
    return float(-np.log(np.maximum(given, LEAST_PROBABILITY)).mean())


def forecast_loss(forecast: Floats, actual: Floats, training: Training) -> float:
    """Mean squared or Huber error, as `training.loss` says."""
    error = np.abs(forecast - actual)
    if training.loss == "mse":
        return float((error**2).mean())
    delta = training.huber_delta
    return float(np.where(error <= delta, 0.5 * error**2, delta * (error - 0.5 * delta)).mean())


def directional_accuracy(forecast: Floats, actual: Floats) -> float | None:
    """Share of the rows that moved whose direction was forecast; None where none moved."""
    moved = actual != 0
    return float((np.sign(forecast[moved]) == np.sign(actual[moved])).mean()) if moved.any() else None


def _judge(architecture: Architecture, weights: Weights, rows: Slice, training: Training) -> SliceScores:
    outputs = outputs_of(architecture, weights, rows.values, rows.ends)
    if architecture.outputs == 1:
        forecast = outputs[:, 0]
        return SliceScores(
            rows=len(rows),
            accuracy=directional_accuracy(forecast, rows.targets),
            loss=forecast_loss(forecast, rows.targets, training),
            mean_absolute_error=float(np.abs(forecast - rows.targets).mean()),
        )
    matrix = confusion(rows.targets, outputs.argmax(axis=1), architecture.outputs)
    occurring = [figures for figures, count in zip(_per_class(matrix), matrix.sum(axis=1), strict=True) if count]
    precision, recall, f1 = (float(np.mean([value or 0.0 for value in column])) for column in zip(*occurring, strict=True))
    return SliceScores(
        rows=len(rows),
        accuracy=float(np.trace(matrix) / matrix.sum()),
        loss=cross_entropy(softmax(outputs), rows.targets),
        precision=precision,
        recall=recall,
        f1_score=f1,
    )


def _per_class(matrix: Classes) -> list[tuple[float | None, float | None, float | None]]:
    """Precision, recall and F1 of each class; None where nothing was answered, or nothing was, of that class."""
    found = []
    for i, right in enumerate(np.diag(matrix).tolist()):
        answered, occurred = int(matrix[:, i].sum()), int(matrix[i].sum())
        precision, recall = right / answered if answered else None, right / occurred if occurred else None
        f1 = 2 * right / (answered + occurred) if answered + occurred else None
        found.append((precision, recall, f1))
    return found


def _class_baselines(samples: Samples, outputs: Floats, _: Training) -> Baselines:
    actual, classes = samples.test.targets, len(samples.classes)
    known = np.bincount(samples.train.targets, minlength=classes) + 1.0  # one more of each, or an absent class would cost infinity
    shares = np.bincount(actual, minlength=classes) / len(actual)
    answered = np.bincount(outputs.argmax(axis=1), minlength=classes) / len(actual)
    favourite = int(known.argmax())
    return Baselines(
        majority_class=samples.classes[favourite],
        majority_accuracy=float(shares[favourite]),
        majority_loss=float(-(shares * np.log(known / known.sum())).sum()),
        shuffled_accuracy=float((shares * answered).sum()),
        class_shares=dict(zip(samples.classes, shares.tolist(), strict=True)),
    )


def _direction_baselines(samples: Samples, outputs: Floats, training: Training) -> Baselines:
    actual, forecast = samples.test.targets, outputs[:, 0]
    moved = actual != 0
    rose, said_up = float((actual[moved] > 0).mean()) if moved.any() else 0.0, float((forecast > 0).mean())
    favourite = int((samples.train.targets < 0).sum() > (samples.train.targets > 0).sum())
    shares = (rose, 1 - rose)
    return Baselines(
        majority_class=DIRECTIONS[favourite],
        majority_accuracy=shares[favourite] if moved.any() else None,
        majority_loss=forecast_loss(np.zeros(len(actual)), actual, training),
        shuffled_accuracy=rose * said_up + (1 - rose) * (1 - said_up) if moved.any() else None,
        class_shares=dict(zip(DIRECTIONS, shares, strict=True)) if moved.any() else {},
    )


def _calibration(confidence: Floats, right: NDArray[np.bool_]) -> list[JSON]:
    """How often answers of a confidence were right, for each tenth of confidence that occurs."""
    tenth = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    return [
        {"from": i / BINS, "to": (i + 1) / BINS, "rows": int(rows.sum()), "confidence": float(confidence[rows].mean()),
         "accuracy": float(right[rows].mean())}
        for i in range(BINS) if (rows := tenth == i).any()
    ]  # fmt: skip
