//! Whether the comparison finds anything at all: lies in the database of a run that went well, each of which it has to see.

/// What the lie is, and how it is told to SQLite after all has settled.
pub const LIES: [(&str, &str); 11] = [
    (
        "an operation that failed",
        "UPDATE operations SET state = 'failed' WHERE seq = (SELECT MIN(seq) FROM operations WHERE kind = 'psmo' AND state = 'succeeded')",
    ),
    (
        "an operation that never ended",
        "UPDATE operations SET state = 'delivered', completed_at = NULL WHERE seq = (SELECT MIN(seq) FROM operations)",
    ),
    (
        "another result",
        "UPDATE operations SET results = '[]' WHERE seq = (SELECT MIN(seq) FROM operations WHERE kind = 'psmo')",
    ),
    ("an operation that is gone", "DELETE FROM operations WHERE seq = (SELECT MIN(seq) FROM operations)"),
    (
        "another counter",
        "UPDATE operations SET counter_value = counter_value + 1000 WHERE seq = (SELECT MIN(seq) FROM operations WHERE kind = 'psmo')",
    ),
    ("a counter from before", "UPDATE euiccs SET counter_value = 0"),
    ("another enabled profile", "UPDATE profiles SET enabled = NOT enabled"),
    ("a profile that is gone", "DELETE FROM profiles WHERE rowid = (SELECT MIN(rowid) FROM profiles)"),
    (
        "an operation that ended twice",
        "INSERT INTO events (tenant_id, eid, at, event_type, details, subject, xid) \
         SELECT tenant_id, eid, at, event_type, details, subject, xid FROM events WHERE event_type = 'operationSucceeded' LIMIT 1",
    ),
    (
        "a lease of nobody",
        "INSERT INTO jobs (tenant_id, kind, key, version, attempts, run_at, handed_until, lease_until, lease_owner, created_at) \
         VALUES (1, 'forwardNotifications', 'nowhere.test', 0, 0, 0, 0, 9000000000000, 'nobody', 0)",
    ),
    (
        "an act that is not in the audit log",
        // One that has its place in the log: before that nothing tells of it.
        "DELETE FROM audit_records WHERE seq = (SELECT record_seq FROM audit_links WHERE tenant_id = 1 AND position = 5)",
    ),
];
