"""Research, train and honestly test readable neuro-fuzzy trading strategies."""

__version__ = "0.1.0"
