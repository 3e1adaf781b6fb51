"""Measurements of learning: how fast it is, and what the shipped strategies learn."""
