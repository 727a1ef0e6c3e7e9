CREATE TABLE fence_marks (
    resource bytea PRIMARY KEY,
    token bigint NOT NULL, -- the highest that has passed
    sequence bigint -- the highest number of a call under it, if those are numbered
);
