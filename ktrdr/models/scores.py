"""How well a model does, beside what no model at all would do."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

JSON = dict[str, Any]


class Part(BaseModel):
    """A frozen record of finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SliceScores(Part):
    """Figures of one slice of the rows."""

    rows: int
    accuracy: float | None
    """Share of rows whose class is right; in regression, whose direction is. None where no row has a direction."""
    loss: float
    """Unweighted: cross-entropy, or the Huber or squared error of the forecast return."""
    precision: float | None = None
    """Mean over the classes that occur; a class never predicted counts as 0. None in regression, as the two below."""
    recall: float | None = None
    f1_score: float | None = None
    mean_absolute_error: float | None = None
    """Of the forecast return; None in classification."""


class Baselines(Part):
    """What the test slice gives to those who know nothing but the training slice's class frequencies."""

    majority_class: str
    majority_accuracy: float | None
    """Of always saying the most frequent class of the training slice."""
    majority_loss: float
    """Of always forecasting the training slice's class frequencies; in regression, of forecasting zero."""
    shuffled_accuracy: float | None
    """Expected accuracy of the model's own answers in random order."""
    class_shares: dict[str, float]
    """How often each class occurs in the test slice."""


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
    baselines: Baselines
    initial_loss: float
    """On the training slice before the first step; in regression, of forecasting zero."""
    final_train_loss: float
    """On the training slice with the weights that are kept."""
    loss_decrease: float
    """(initial_loss - final_train_loss) / initial_loss."""
    history: History

    @property
    def directional_accuracy(self) -> float | None:
        """Share of test rows whose direction is right; None in classification."""
        return self.test.accuracy if self.task == "regression" else None

    def gate_inputs(self) -> JSON:
        """What the training gate reads."""
        return {
            "accuracy": self.test.accuracy,
            "final_loss": self.test.loss,
            "initial_loss": self.initial_loss,
            "loss_decrease": self.loss_decrease,
            "majority_accuracy": self.baselines.majority_accuracy,
            "majority_loss": self.baselines.majority_loss,
        }
