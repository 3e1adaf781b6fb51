"""The tables of operations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
)  # fmt: skip

metadata = MetaData()


class Moment(TypeDecorator[datetime]):
    """An aware UTC moment, also where the database keeps no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What is stored."""
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """What is read."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Document = JSON(none_as_null=True)

operations = Table(
    "operations",
    metadata,
    Column("operation_id", String(96), primary_key=True),
    Column("operation_type", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("profile", String(16), nullable=False),
    Column("needs", String(8), nullable=False),
    Column("priority", Integer, nullable=False, default=0),
    Column("parent_operation_id", String(96), ForeignKey("operations.operation_id")),
    Column("step_key", String(64)),
    Column("path", String(1024), nullable=False),
    Column("idempotency_key", String(128), unique=True),
    Column("parameters", Document, nullable=False),
    Column("metadata", Document, nullable=False),
    Column("attempt", Integer, nullable=False, default=0),
    Column("fruitless", Integer, nullable=False, default=0),
    Column("queue_at", Moment, nullable=False),
    Column("not_before", Moment),
    Column("lease_owner", String(256)),
    Column("lease_until", Moment),
    Column("created_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("completed_at", Moment),
    Column("cancel_requested_at", Moment),
    Column("cancel_reason", String(512)),
    Column("progress", Document),
    Column("waiting", Document),
    Column("checkpoint", Document),
    Column("checkpoint_id", String(96)),
    Column("resumed_from", Document),
    Column("traceparent", String(55)),
    Column("result_summary", Document),
    Column("error", Document),
    Column("warnings", Document),
    UniqueConstraint("parent_operation_id", "step_key"),
    Index("ix_operations_queue", "state", "profile", "queue_at", "operation_id"),
    Index("ix_operations_needs", "state", "needs", "queue_at", "operation_id"),
    Index("ix_operations_turn", "state", "queue_at", "operation_id"),
    Index("ix_operations_created", "created_at", "operation_id"),
    Index("ix_operations_parent", "parent_operation_id"),
    Index("ix_operations_path", "path"),
    Index("ix_operations_checkpoint", "checkpoint_id"),
)

attempts = Table(
    "operation_attempts",
    metadata,
    Column("operation_id", String(96), ForeignKey("operations.operation_id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("node", String(256)),
    Column("pid", Integer),
    Column("device", String(128)),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("reason", String(512)),
)

steps = Table(
    "operation_steps",
    metadata,
    Column("operation_id", String(96), ForeignKey("operations.operation_id"), primary_key=True),
    Column("step_key", String(128), primary_key=True),
    Column("command", String(32), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("answer", Document),
    Column("at", Moment, nullable=False),
)

events = Table(
    "operation_events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("operation_id", String(96), ForeignKey("operations.operation_id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("event", String(16), nullable=False),
    Column("detail", Document),
    Column("at", Moment, nullable=False),
    Index("ix_events_operation", "operation_id", "seq"),
    Index("ix_events_at", "at"),
)

spending = Table(
    "spending",
    metadata,
    Column("operation_id", String(96), ForeignKey("operations.operation_id"), primary_key=True),
    Column("call", String(128), primary_key=True),
    Column("cycle_id", String(96), nullable=False),
    Column("day", String(10), nullable=False),
    Column("model", String(128), nullable=False),
    Column("settled", Boolean, nullable=False),
    Column("nano_usd", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cache_read_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("at", Moment, nullable=False),
    Index("ix_spending_cycle", "cycle_id"),
    Index("ix_spending_day", "day"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("name", String(256), primary_key=True),
    Column("address", String(256), nullable=False),
    Column("engine", String(16), nullable=False),
    Column("cpus", Float, nullable=False),
    Column("gpus", Float, nullable=False),
    Column("cpus_free", Float, nullable=False),
    Column("gpus_free", Float, nullable=False),
    Column("labels", Document, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("seen_at", Moment),
)
