CREATE TABLE idempotency_records (
    id bytea PRIMARY KEY,
    fingerprint bytea NOT NULL,
    token bytea NOT NULL,
    attempt bigint NOT NULL,
    state smallint NOT NULL, -- 0: in flight, 1: abandoned, 2: done
    claimed_at timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    reply bytea
);
-- For reapers.
CREATE INDEX idempotency_records_expires_at ON idempotency_records (expires_at);
-- For the census: few of many.
CREATE INDEX idempotency_records_not_done ON idempotency_records (claimed_at) WHERE state < 2;
