"""How well a model does, beside what no model at all would do."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

JSON = dict[str, Any]


class Part(BaseModel):
    """A frozen record of finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Interval(Part):
    """Where a figure lies in the middle 95 of 100 resamples."""

    low: float
    high: float


class Resampling(Part):
    """How intervals were found: whole blocks of neighbouring bars are drawn again, as labels overlap."""

    resamples: int
    level: float
    """Share of the resamples that lie inside of an interval."""
    block: int
    """Bars of a block: as far as a label looks ahead, or a 500th of the slice where that is more."""
    seed: int


class ClassScores(Part):
    """Figures of one class."""

    rows: int
    """How often it occurred."""
    answered: int
    """How often the model said it."""
    precision: float | None
    """Share of those answers that were right; None where there was none."""
    recall: float | None
    """Share of the rows that were found; None where there was none."""
    f1_score: float | None


class Baselines(Part):
    """What a slice gives to those who know nothing but the training slice's class frequencies, or the past."""

    majority_class: str
    majority_accuracy: float | None
    """Of always saying the most frequent class of the training slice."""
    majority_loss: float
    """Of always forecasting the training slice's class frequencies; in regression, of forecasting zero."""
    shuffled_accuracy: float | None
    """Expected accuracy of the model's own answers in random order."""
    previous_accuracy: float | None = None
    """Of saying the newest label that was known when the bar closed; None where none was."""
    class_shares: dict[str, float]
    """How often each class occurs in the slice."""

    @property
    def best(self) -> tuple[str, float] | None:
        """The most accurate of them, and its accuracy."""
        found = {"majority": self.majority_accuracy, "shuffled": self.shuffled_accuracy, "previous": self.previous_accuracy}
        return max(((name, value) for name, value in found.items() if value is not None), key=lambda one: one[1], default=None)


class SliceScores(Part):
    """Figures of one slice of the rows."""

    rows: int
    accuracy: float | None
    """Share of rows whose class is right; in regression, whose direction is. None where it is not scored."""
    loss: float | None
    """Unweighted: cross-entropy, or the Huber or squared error of the forecast return."""
    not_scored: str | None = None
    """Why not: a slice that holds one class alone says nothing about telling classes apart."""
    accuracy_interval: Interval | None = None
    loss_interval: Interval | None = None
    relative_loss: float | None = None
    """Cross-entropy as a share of that of even odds, the logarithm of the number of classes."""
    calibration_error: float | None = None
    """How far confidence is from accuracy on average, over ten bins of confidence; None in regression."""
    precision: float | None = None
    """Mean over the classes that occur; a class never predicted counts as 0. None in regression, as the two below."""
    recall: float | None = None
    f1_score: float | None = None
    mean_absolute_error: float | None = None
    """Of the forecast return; None in classification."""
    per_class: dict[str, ClassScores] = {}
    baselines: Baselines | None = None
    advantage: float | None = None
    """Accuracy less that of the best baseline on the same rows."""
    advantage_interval: Interval | None = None
    """In each resample, over the baseline that is best there."""
    resampling: Resampling | None = None
    """How the intervals were found; None where there are too few rows for any."""

    @property
    def verdict(self) -> str:
        """Whether it does better than every baseline, and not by luck."""
        if self.not_scored is not None or self.advantage_interval is None:
            return "not scored"
        return "better than every baseline" if self.advantage_interval.low > 0 else "no better than baseline"


class History(Part):
    """Figures of each epoch, in order; losses are unweighted."""

    train_loss: tuple[float, ...] = ()
    """Running mean over the batches, with dropout."""
    train_accuracy: tuple[float, ...] = ()
    val_loss: tuple[float, ...] = ()
    val_accuracy: tuple[float, ...] = ()
    learning_rate: tuple[float, ...] = ()


class Scores(Part):
    """Everything measured about a model."""

    task: str
    train: SliceScores
    validation: SliceScores
    test: SliceScores
    initial_loss: float
    """On the training slice before the first step; in regression, of forecasting zero."""
    final_train_loss: float | None
    """On the training slice with the weights that are kept."""
    loss_decrease: float | None
    """(initial_loss - final_train_loss) / initial_loss."""
    history: History

    @property
    def directional_accuracy(self) -> float | None:
        """Share of test rows whose direction is right; None in classification."""
        return self.test.accuracy if self.task == "regression" else None

    @property
    def baselines(self) -> Baselines | None:
        """Those of the test slice."""
        return self.test.baselines

    def gate_inputs(self) -> JSON:
        """What the training gate reads."""
        base = self.baselines
        return {
            "accuracy": self.test.accuracy,
            "final_loss": self.test.loss,
            "initial_loss": self.initial_loss,
            "loss_decrease": self.loss_decrease,
            "majority_accuracy": base.majority_accuracy if base else None,
            "majority_loss": base.majority_loss if base else None,
        }
