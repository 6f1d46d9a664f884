-- Rows of small tables, each a whole document. A row that is taken away leaves its sequence number behind with an empty
-- body, so that a follower learns of it.
CREATE TABLE document (
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    body     TEXT,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
