"""The first tables of operations."""

from __future__ import annotations

from alembic import op

from ktrdr.operations.tables import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
FIRST = ("operations", "operation_attempts", "operation_steps", "operation_events", "spending")


def upgrade() -> None:
    """Create the tables of the first version."""
    metadata.create_all(op.get_bind(), tables=[metadata.tables[name] for name in FIRST])
