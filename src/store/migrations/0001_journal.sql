-- Schema 1. Never edited once released: a change is a new file with the next number.

-- What runs execute, by content hash. Bodies are large, so the rows are not kept in the key's tree.
CREATE TABLE definitions (
    hash TEXT NOT NULL PRIMARY KEY CHECK (length(hash) = 64),
    body TEXT NOT NULL
) STRICT;

-- One row for each run. `epoch`, `head_seq` and `head_hash` are the fence of every append and are facts of their own; the other columns are
-- a projection of the run's events. The key serves every access to one run, the latest run, and the order of lists (UUIDv7 sort by time).
CREATE TABLE runs (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    head_seq INTEGER NOT NULL CHECK (head_seq >= 1),
    head_hash BLOB NOT NULL CHECK (length(head_hash) = 32),
    playbook TEXT NOT NULL,
    environment TEXT,
    definition TEXT NOT NULL REFERENCES definitions (hash),
    params TEXT NOT NULL,
    started_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    owner_pid INTEGER,
    owner_host TEXT,
    owner_by TEXT,
    CHECK ((owner_pid IS NULL) = (owner_host IS NULL) AND (owner_pid IS NULL) = (owner_by IS NULL))
) STRICT, WITHOUT ROWID;

-- Serves `open_runs`: the few that have not finished, among all there ever were.
CREATE INDEX runs_open ON runs (id) WHERE status IN ('running', 'waiting', 'paused', 'rolling_back', 'stuck');

-- What happened. Only ever inserted. `id` is the order of commits over all runs; the unique pair serves reading one run in order.
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    run_id BLOB NOT NULL REFERENCES runs (id),
    seq INTEGER NOT NULL CHECK (seq >= 1),
    epoch INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    UNIQUE (run_id, seq)
) STRICT;

-- Where each step stands, once it has had an event: a projection. The key serves a step's update and the counts of one run.
CREATE TABLE steps (
    run_id BLOB NOT NULL REFERENCES runs (id),
    path TEXT NOT NULL,
    status TEXT NOT NULL,
    occurrence INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    -- The id of the event with the latest attempt's intent: an attempt without effect takes the ledger's entries of just that one out again.
    intent INTEGER,
    started_at INTEGER,
    ended_at INTEGER,
    message TEXT,
    PRIMARY KEY (run_id, path)
) STRICT, WITHOUT ROWID;

-- The ledger: each field of each object that a run changed or may have changed; a projection. `position` is the id of the event that held
-- the intent, `nth` the change's place in it.
CREATE TABLE changes (
    position INTEGER NOT NULL REFERENCES events (id),
    nth INTEGER NOT NULL,
    run_id BLOB NOT NULL REFERENCES runs (id),
    step TEXT NOT NULL,
    occurrence INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    object TEXT NOT NULL,
    field TEXT NOT NULL,
    label TEXT NOT NULL,
    prior TEXT NOT NULL,
    after TEXT NOT NULL,
    reverted INTEGER NOT NULL DEFAULT 0 CHECK (reverted IN (0, 1)),
    PRIMARY KEY (position, nth)
) STRICT, WITHOUT ROWID;

-- Serves the ledger of one field of one object, over all runs.
CREATE INDEX changes_of_object ON changes (object, field, position);

-- Serves taking out and marking the entries of one step, and what one run owes.
CREATE INDEX changes_of_step ON changes (run_id, step);

-- Operators' instructions that the run's owner has not taken yet. `n` is their order; `id` makes one sent twice one.
CREATE TABLE inbox (
    n INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    run_id BLOB NOT NULL REFERENCES runs (id),
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- Serves the owner's look into its run's inbox, oldest first.
CREATE INDEX inbox_of_run ON inbox (run_id, n);
