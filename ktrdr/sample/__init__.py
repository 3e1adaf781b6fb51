"""Bars and strategies that come with the product, read-only."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
