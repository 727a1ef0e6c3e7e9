CREATE TABLE idempotency_records (
    id BLOB NOT NULL PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    token BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    state INTEGER NOT NULL, -- 0: in flight, 1: abandoned, 2: done
    claimed_at INTEGER NOT NULL, -- these three: microseconds since 1970
    lease_until INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    reply BLOB
) STRICT;
CREATE INDEX idempotency_records_expires_at ON idempotency_records (expires_at);
