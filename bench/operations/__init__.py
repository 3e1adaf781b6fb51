"""Measurements of operations: cancel, crash, recovery, listing, progress, start."""
