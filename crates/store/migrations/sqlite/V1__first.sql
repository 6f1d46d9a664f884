-- Current rows of the cluster, each with the number of the commit that wrote it last. What programs look for has a
-- column; the rest of a row is a JSON document, so that a new field of the vocabulary needs no migration.

-- One row for each start of a job. `resident` rows are those a controller loads; the others are history.
CREATE TABLE job (
    job_id       INTEGER NOT NULL,
    restart      INTEGER NOT NULL,
    sequence     INTEGER NOT NULL,
    resident     INTEGER NOT NULL,
    array_job_id INTEGER,
    uid          INTEGER NOT NULL,
    state        TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    partition    TEXT    NOT NULL,
    -- Milliseconds since 1970. `end_time` is empty until the job has ended.
    submit_time  INTEGER NOT NULL,
    start_time   INTEGER,
    end_time     INTEGER,
    spec_id      INTEGER NOT NULL,
    -- The job without its specification.
    document     TEXT    NOT NULL,
    PRIMARY KEY (job_id, restart)
);
CREATE INDEX job_resident ON job (job_id) WHERE resident = 1;
CREATE INDEX job_array ON job (array_job_id) WHERE array_job_id IS NOT NULL;
CREATE INDEX job_user_end ON job (uid, end_time);
CREATE INDEX job_end ON job (end_time);

-- Specifications, shared by the tasks of an array. Written once.
CREATE TABLE spec (
    spec_id  INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    document TEXT    NOT NULL
);

-- Steps. `step` is the number, or below zero for batch (-5), extern (-4) and interactive (-6).
CREATE TABLE step (
    job_id     INTEGER NOT NULL,
    restart    INTEGER NOT NULL,
    step       INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    ended      INTEGER NOT NULL,
    start_time INTEGER,
    document   TEXT    NOT NULL,
    PRIMARY KEY (job_id, restart, step)
);
CREATE INDEX step_open ON step (job_id) WHERE ended = 0;

CREATE TABLE node (
    name     TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    document TEXT    NOT NULL
);

-- Scripts and execution contexts by the hash of their content.
CREATE TABLE blob (
    id       TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    content  BLOB    NOT NULL
);

CREATE TABLE counter (
    name     TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    value    INTEGER NOT NULL
);

-- Facts about the store itself. `sequence` is the number of the last commit.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
);
INSERT INTO meta (name, value) VALUES ('sequence', 0);
