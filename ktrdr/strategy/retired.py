"""Keys of earlier strategies: those that changed nothing and still may stand there, and those that are refused, with why."""

from __future__ import annotations

WITHOUT_EFFECT = {
    "scope": "symbols and timeframes stand in training_data",
    "orchestrator": "a strategy says what is decided, not what runs it",
    "training_data.symbols.selection_criteria": "the symbols are those that are listed",
    "model.architecture.output_activation": "the last layer follows from the labels",
    "decisions.filters.volume_filter": "no signal was ever filtered by volume; give the network volumeratio as an input",
    "training.fuzzy_regularization": "memberships are not learned",
    "training.early_stopping.monitor": "the validation loss is watched",
    "context_data[].instrument_type": "the series is found by its provider and symbol",
    "context_data[].broker": "the series is found by its provider and symbol",
}
"""By place; `[]` stands for any number."""
REFUSED = {
    "model.features": "the inputs of the network come from nn_inputs alone",
    "risk_management": "a strategy that counts on its stops must not run without them, and none are read from here",
    "context_data[].frequency": "bars are daily or weekly; resample other series before they are loaded",
    "context_data[].series": "one name is read; a spread of two can fall below zero and so has no bars: name each by itself",
    "context_data[].report": "reports of positions have no bars",
    "context_data[].currencies": "a calendar of events has no bars",
    "context_data[].min_impact": "a calendar of events has no bars",
}
"""Keys that ask for something, and why it is not given."""
