"""Judge a model on each slice, beside the answers of knowing nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.models.model import Model
from ktrdr.models.predict import Floats, outputs_of, softmax
from ktrdr.models.scores import Baselines, ClassScores, Interval, Resampling, Scores, SliceScores
from ktrdr.strategy.sections import Training
from ktrdr.training.fit import Fitted
from ktrdr.training.resample import interval, resampled, resampling_of
from ktrdr.training.windows import Samples, Slice

JSON = dict[str, Any]
Classes = NDArray[np.int64]
DIRECTIONS = ("up", "down")
LEAST_PROBABILITY = 1e-15
BINS = 10
"""Of confidence, in the calibration table and error."""
SLICES = ("train", "validation", "test")


def score(fitted: Fitted, samples: Samples, training: Training) -> Scores:
    """Figures of every slice with the weights that are kept."""
    slices = {}
    for name in SLICES:
        rows: Slice = getattr(samples, name)
        outputs = outputs_of(fitted.architecture, fitted.weights, rows.values, rows.ends)
        slices[name] = judge(_answered(outputs, rows, samples, training), rows, samples, training)
    first, final = fitted.initial_loss, slices["train"].loss
    return Scores(
        task=samples.task,
        **slices,
        initial_loss=first,
        final_train_loss=final,
        loss_decrease=None if final is None else (first - final) / first if first > 0 else 0.0,
        history=fitted.history,
    )


@dataclass(frozen=True, eq=False)
class Answered:
    """What a model said about the rows of a slice and what came; in regression, about the direction of those that moved."""

    names: tuple[str, ...]
    counted: NDArray[np.bool_]
    """The rows that have a class."""
    actual: Classes
    said: Classes
    previous: Floats
    """The class that was known when the bar closed; NaN where none was."""
    losses: Floats
    """Of each row of the slice."""
    probabilities: Floats | None
    errors: Floats | None
    """Of the forecast returns."""

    @property
    def matrix(self) -> Classes:
        """Counts by what was and what was answered."""
        return confusion(self.actual, self.said, len(self.names))


def _answered(outputs: Floats, rows: Slice, samples: Samples, training: Training) -> Answered:
    previous = np.full(len(rows), np.nan) if rows.previous is None else rows.previous
    if samples.task == "classification":
        probabilities = softmax(outputs)
        every = np.ones(len(rows), dtype=bool)
        losses = class_losses(probabilities, rows.targets)
        return Answered(samples.classes, every, rows.targets, outputs.argmax(axis=1), previous, losses, probabilities, None)
    forecast, moved = outputs[:, 0], rows.targets != 0
    known = np.where(previous == 0, np.nan, (previous < 0) + np.where(np.isnan(previous), np.nan, 0.0))
    return Answered(
        DIRECTIONS, moved, (rows.targets[moved] < 0).astype(np.int64), (forecast[moved] <= 0).astype(np.int64), known[moved],
        forecast_losses(forecast, rows.targets, training), None, np.abs(forecast - rows.targets),
    )  # fmt: skip


def judge(found: Answered, rows: Slice, samples: Samples, training: Training) -> SliceScores:
    """The figures of one slice."""
    base = _baselines(found, rows, samples, training)
    plain: JSON = {"mean_absolute_error": float(found.errors.mean())} if found.errors is not None else {}
    present = np.unique(found.actual)
    if len(present) < 2:
        word = f"all of its rows are {found.names[int(present[0])]!r}" if len(present) else "none of its rows moved"
        loss = float(found.losses.mean()) if found.errors is not None else None
        return SliceScores(rows=len(rows), accuracy=None, loss=loss, not_scored=word, baselines=base, **plain)
    matrix, best = found.matrix, base.best
    accuracy, loss = float((found.said == found.actual).mean()), float(found.losses.mean())
    if found.probabilities is not None:
        occurring = [figures for figures, count in zip(_per_class(matrix), matrix.sum(axis=1), strict=True) if count]
        means = (float(np.mean([value or 0.0 for value in column])) for column in zip(*occurring, strict=True))
        plain |= dict(zip(("precision", "recall", "f1_score"), means, strict=True))
        plain["relative_loss"] = loss / math.log(len(found.names))
        plain["calibration_error"] = calibration_error(found.probabilities.max(axis=1), found.said == found.actual)
    return SliceScores(
        rows=len(rows), accuracy=accuracy, loss=loss, baselines=base, advantage=accuracy - best[1] if best else None,
        per_class={
            name: ClassScores(rows=int(matrix[i].sum()), answered=int(matrix[:, i].sum()), precision=p, recall=r, f1_score=f)
            for i, (name, (p, r, f)) in enumerate(zip(found.names, _per_class(matrix), strict=True))
        },
        **plain, **_intervals(found, rows, base, resampling_of(rows, samples.label_span)),
    )  # fmt: skip


def _baselines(found: Answered, rows: Slice, samples: Samples, training: Training) -> Baselines:
    names, targets = found.names, samples.train.targets
    classes, count = len(names), len(found.actual)
    if found.probabilities is not None:
        seen = np.bincount(targets, minlength=classes) + 1.0  # one more of each, or an absent class would cost infinity
        odds = np.log(seen / seen.sum())
        loss = float(-odds[found.actual].mean())
    else:
        seen = np.array([(targets > 0).sum(), (targets < 0).sum()])
        loss = float(forecast_losses(np.zeros(len(rows)), rows.targets, training).mean())
    favourite, known = int(seen.argmax()), np.isfinite(found.previous)
    shares, answers = (np.bincount(each, minlength=classes) / max(count, 1) for each in (found.actual, found.said))
    return Baselines(
        majority_class=names[favourite],
        majority_accuracy=float(shares[favourite]) if count else None,
        majority_loss=loss,
        shuffled_accuracy=float((shares * answers).sum()) if count else None,
        previous_accuracy=float((found.previous == found.actual)[known].mean()) if known.any() else None,
        class_shares=dict(zip(names, shares.tolist(), strict=True)) if count else {},
    )


def _intervals(found: Answered, rows: Slice, base: Baselines, how: Resampling) -> dict[str, Interval | Resampling | None]:
    """How far accuracy, loss and advantage are from luck."""
    classes = len(found.names)
    whole = np.zeros((len(rows), 4 + 2 * classes))  # right, loss, previous right, previous known; what was, what was said
    counted, own = np.flatnonzero(found.counted), np.arange(len(found.actual))
    whole[counted, 0] = found.said == found.actual
    whole[:, 1] = found.losses
    whole[counted, 2] = found.previous == found.actual
    whole[counted, 3] = np.isfinite(found.previous)
    whole[counted[own], 4 + found.actual] = 1
    whole[counted[own], 4 + classes + found.said] = 1
    ones = np.ones((len(rows), 1))
    sums = resampled(np.concatenate([whole, ones], axis=1), rows, how)
    if sums is None:
        return {}
    right, loss, before, known = sums[:, :4].T
    was, said = sums[:, 4 : 4 + classes], sums[:, 4 + classes : -1]
    count, favourite = was.sum(axis=1), found.names.index(base.majority_class)
    if not count.all():
        return {"loss_interval": interval(loss / sums[:, -1], how.level), "resampling": how}
    rivals = [was[:, favourite] / count, (was * said).sum(axis=1) / count**2]
    if known.all():
        rivals.append(before / known)
    accuracy = right / count
    return {
        "accuracy_interval": interval(accuracy, how.level),
        "loss_interval": interval(loss / sums[:, -1], how.level),
        "advantage_interval": interval(accuracy - np.max(rivals, axis=0), how.level),
        "resampling": how,
    }


def detailed_analytics(model: Model, samples: Samples) -> JSON:
    """What happens on the test slice class by class: confusion matrix, figures per class, calibration.

    Rows of the confusion matrix are what was, columns what was answered.
    """
    outputs = outputs_of(model.architecture, model.weights, samples.test.values, samples.test.ends)
    found = _answered(outputs, samples.test, samples, model.strategy.training)
    matrix, table = found.matrix, None
    if found.probabilities is not None:
        table = _calibration(found.probabilities.max(axis=1), found.said == found.actual)
    per_class = {
        name: dict(zip(("precision", "recall", "f1_score"), figures, strict=True)) | {"rows": int(matrix[i].sum())}
        for i, (name, figures) in enumerate(zip(found.names, _per_class(matrix), strict=True))
    }
    return {"classes": list(found.names), "confusion_matrix": matrix.tolist(), "per_class": per_class, "calibration": table}


def confusion(actual: Classes, said: Classes, classes: int) -> Classes:
    """Counts by what was (rows) and what was answered (columns)."""
    return np.bincount(actual * classes + said, minlength=classes * classes).reshape(classes, classes)


def class_losses(probabilities: Floats, actual: Classes) -> Floats:
    """Of each row, -log of the probability that the right class was given."""
    given: Floats = probabilities[np.arange(len(actual)), actual]
    return -np.log(np.maximum(given, LEAST_PROBABILITY))


def cross_entropy(probabilities: Floats, actual: Classes) -> float:
    """Mean of -log of the probability that the right class was given."""
    return float(class_losses(probabilities, actual).mean())


def forecast_losses(forecast: Floats, actual: Floats, training: Training) -> Floats:
    """Squared or Huber error of each row, as `training.loss` says."""
    error: Floats = np.abs(forecast - actual)
    if training.loss == "mse":
        return error**2
    delta = training.huber_delta
    return np.where(error <= delta, 0.5 * error**2, delta * (error - 0.5 * delta))


def forecast_loss(forecast: Floats, actual: Floats, training: Training) -> float:
    """Mean squared or Huber error, as `training.loss` says."""
    return float(forecast_losses(forecast, actual, training).mean())


def calibration_error(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """Mean distance of confidence from accuracy, over the bins of confidence (expected calibration error)."""
    return float(sum(one["rows"] * abs(one["confidence"] - one["accuracy"]) for one in _calibration(confidence, right)) / len(right))


def _per_class(matrix: Classes) -> list[tuple[float | None, float | None, float | None]]:
    """Precision, recall and F1 of each class; None where nothing was answered, or nothing was, of that class."""
    found = []
    for i, right in enumerate(np.diag(matrix).tolist()):
        answered, occurred = int(matrix[:, i].sum()), int(matrix[i].sum())
        precision, recall = right / answered if answered else None, right / occurred if occurred else None
        f1 = 2 * right / (answered + occurred) if answered + occurred else None
        found.append((precision, recall, f1))
    return found


def _calibration(confidence: Floats, right: NDArray[np.bool_]) -> list[JSON]:
    """How often answers of a confidence were right, for each tenth of confidence that occurs."""
    tenth = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    return [
        {"from": i / BINS, "to": (i + 1) / BINS, "rows": int(rows.sum()), "confidence": float(confidence[rows].mean()),
         "accuracy": float(right[rows].mean())}
        for i in range(BINS) if (rows := tenth == i).any()
    ]  # fmt: skip
