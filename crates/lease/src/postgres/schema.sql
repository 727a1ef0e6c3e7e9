CREATE TABLE leases (
    name bytea PRIMARY KEY, -- UTF-8, as the holder is: a text has no zero
    token bigint NOT NULL, -- the last that was given out
    nonce bytea, -- of the last grant; null once it is released
    holder bytea NOT NULL,
    ttl bigint NOT NULL, -- microseconds
    expires_at timestamptz NOT NULL -- when the last grant ends, or was released
);
-- For reapers.
CREATE INDEX leases_expires_at ON leases (expires_at);
