"""The machines of a cluster, and where on them attempts run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of nodes, what an attempt says of its place, and what finds those whose turn it is in a long queue."""
    op.drop_index("ix_operations_queue", "operations")
    op.create_index("ix_operations_queue", "operations", ["state", "profile", "queue_at", "operation_id"])
    op.create_index("ix_operations_needs", "operations", ["state", "needs", "queue_at", "operation_id"])
    op.create_index("ix_operations_turn", "operations", ["state", "queue_at", "operation_id"])
    op.add_column("operation_attempts", sa.Column("node", sa.String(256)))
    op.add_column("operation_attempts", sa.Column("device", sa.String(128)))
    op.create_table(
        "nodes",
        sa.Column("name", sa.String(256), primary_key=True),
        sa.Column("address", sa.String(256), nullable=False),
        sa.Column("engine", sa.String(16), nullable=False),
        sa.Column("cpus", sa.Float, nullable=False),
        sa.Column("gpus", sa.Float, nullable=False),
        sa.Column("cpus_free", sa.Float, nullable=False),
        sa.Column("gpus_free", sa.Float, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("draining", sa.Boolean, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True)),
    )
