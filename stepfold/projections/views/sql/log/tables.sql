-- What the views are made of. One row per step, wide: what is null costs next to nothing in columns.
-- Where a compression is named, DuckDB need not try them all on every row group: that was a sixth of
-- the time of a rebuild, and zstd stores JSON in a quarter less.
-- A change here, or in read.sql, is another SCHEMA in store.py: files of the old one are rebuilt.
-- `_`, because a file of the same name (log.duckdb) would be ambiguous with its schema.
CREATE SCHEMA _log;

CREATE TABLE _log.steps (
    position BIGINT NOT NULL,
    recorded_at TIMESTAMP NOT NULL,  -- UTC; `at` is a keyword in DuckDB 2, and so is `by`
    customer VARCHAR NOT NULL,
    conversation VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    id UUID USING COMPRESSION uncompressed,
    cause VARCHAR USING COMPRESSION zstd,
    author VARCHAR,
    trace VARCHAR,
    error VARCHAR,
    event JSON USING COMPRESSION zstd,
    call VARCHAR,
    turn BIGINT,
    heard BIGINT,
    attempt BIGINT,
    model VARCHAR,
    provider VARCHAR,
    name VARCHAR,
    reason VARCHAR,
    input_tokens BIGINT,
    output_tokens BIGINT,
    cached_tokens BIGINT,
    thinking_tokens BIGINT,
    cost_usd DECIMAL(38, 18),  -- of a search, the sum of what it spent
    unpriced BIGINT,  -- paid calls in this step without a price
    spent JSON USING COMPRESSION zstd,
    route VARCHAR,
    shadow BOOLEAN,
    elapsed_ms DOUBLE,
    passages BIGINT,
    best_score DOUBLE,
    after BIGINT  -- no part of what is shown: a file of the same steps has none
);

-- The last position of each conversation: what the next step of it must say it follows.
CREATE TABLE _log.tails (customer VARCHAR NOT NULL, conversation VARCHAR NOT NULL, position BIGINT NOT NULL);

CREATE TABLE _log.checkpoint (position BIGINT NOT NULL);
INSERT INTO _log.checkpoint VALUES (0);

CREATE TABLE _log.about (what VARCHAR NOT NULL, value VARCHAR NOT NULL);
