CREATE TABLE operations (
	operation_id VARCHAR(96) NOT NULL,
	operation_type VARCHAR(32) NOT NULL,
	status VARCHAR(16) NOT NULL,
	state VARCHAR(16) NOT NULL,
	profile VARCHAR(16) NOT NULL,
	needs VARCHAR(8) NOT NULL,
	priority INTEGER NOT NULL,
	parent_operation_id VARCHAR(96),
	step_key VARCHAR(64),
	path VARCHAR(1024) NOT NULL,
	idempotency_key VARCHAR(128),
	parameters JSON NOT NULL,
	metadata JSON NOT NULL,
	attempt INTEGER NOT NULL,
	fruitless INTEGER NOT NULL,
	queue_at DATETIME NOT NULL,
	not_before DATETIME,
	lease_owner VARCHAR(256),
	lease_until DATETIME,
	created_at DATETIME NOT NULL,
	started_at DATETIME,
	completed_at DATETIME,
	cancel_requested_at DATETIME,
	cancel_reason VARCHAR(512),
	progress JSON,
	waiting JSON,
	checkpoint JSON,
	checkpoint_id VARCHAR(96),
	resumed_from JSON,
	traceparent VARCHAR(55),
	result_summary JSON,
	error JSON,
	warnings JSON,
	PRIMARY KEY (operation_id),
	UNIQUE (parent_operation_id, step_key),
	FOREIGN KEY(parent_operation_id) REFERENCES operations (operation_id),
	UNIQUE (idempotency_key)
);

CREATE INDEX ix_operations_checkpoint ON operations (checkpoint_id);

CREATE INDEX ix_operations_created ON operations (created_at, operation_id);

CREATE INDEX ix_operations_parent ON operations (parent_operation_id);

CREATE INDEX ix_operations_path ON operations (path);

CREATE INDEX ix_operations_queue ON operations (state, profile, queue_at);

CREATE TABLE operation_attempts (
	operation_id VARCHAR(96) NOT NULL,
	attempt INTEGER NOT NULL,
	pid INTEGER,
	started_at DATETIME NOT NULL,
	ended_at DATETIME,
	reason VARCHAR(512),
	PRIMARY KEY (operation_id, attempt),
	FOREIGN KEY(operation_id) REFERENCES operations (operation_id)
);

CREATE TABLE operation_events (
	seq INTEGER NOT NULL,
	operation_id VARCHAR(96) NOT NULL,
	attempt INTEGER NOT NULL,
	event VARCHAR(16) NOT NULL,
	detail JSON,
	at DATETIME NOT NULL,
	PRIMARY KEY (seq),
	FOREIGN KEY(operation_id) REFERENCES operations (operation_id)
);

CREATE INDEX ix_events_at ON operation_events (at);

CREATE INDEX ix_events_operation ON operation_events (operation_id, seq);

CREATE TABLE operation_steps (
	operation_id VARCHAR(96) NOT NULL,
	step_key VARCHAR(128) NOT NULL,
	command VARCHAR(32) NOT NULL,
	attempt INTEGER NOT NULL,
	answer JSON,
	at DATETIME NOT NULL,
	PRIMARY KEY (operation_id, step_key),
	FOREIGN KEY(operation_id) REFERENCES operations (operation_id)
);

CREATE TABLE spending (
	operation_id VARCHAR(96) NOT NULL,
	call VARCHAR(128) NOT NULL,
	cycle_id VARCHAR(96) NOT NULL,
	day VARCHAR(10) NOT NULL,
	model VARCHAR(128) NOT NULL,
	settled BOOLEAN NOT NULL,
	nano_usd BIGINT NOT NULL,
	input_tokens BIGINT NOT NULL,
	output_tokens BIGINT NOT NULL,
	cache_read_tokens BIGINT NOT NULL,
	cache_write_tokens BIGINT NOT NULL,
	at DATETIME NOT NULL,
	PRIMARY KEY (operation_id, call),
	FOREIGN KEY(operation_id) REFERENCES operations (operation_id)
);

CREATE INDEX ix_spending_cycle ON spending (cycle_id);

CREATE INDEX ix_spending_day ON spending (day);
