BEGIN;
CREATE TABLE blob (
    id       TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    content  BLOB    NOT NULL
);
INSERT INTO blob VALUES ('hash', 3, X'23212F62696E2F73680A686F73746E616D650A');
CREATE TABLE counter (
    name     TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    value    INTEGER NOT NULL
);
INSERT INTO counter VALUES ('next_job_id', 3, 21);
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
INSERT INTO job VALUES (10, 0, 3, 1, 10, 1001, 'PENDING', 'sweep', 'batch', 10000, NULL, NULL, 1, '{"id":10,"spec_id":1,"array":{"waiting":{"tasks":[{"first":1,"last":9,"step":2}]}},"state":"pending","completing":false,"requeue_pending":false,"reason":"none","partition":"batch","priority":1,"time_limit":"unlimited","submit_time":10000,"suspended":0,"restart":0,"exit":{"code":0,"signal":0},"derived_exit":{"code":0,"signal":0},"next_step":0}');
INSERT INTO job VALUES (11, 0, 3, 1, 10, 1001, 'RUNNING', 'sweep', 'batch', 11000, 12000, NULL, 1, '{"id":11,"spec_id":1,"array":{"task":{"array_job_id":10,"task_index":0}},"state":"running","completing":false,"requeue_pending":false,"reason":"none","partition":"batch","priority":1,"time_limit":"unlimited","submit_time":11000,"start_time":12000,"end_time":3612000,"suspended":0,"restart":0,"allocation":{"shares":[{"node":0,"cpus":[3],"memory":64,"tasks":1}]},"node_list":"n1","exit":{"code":0,"signal":0},"derived_exit":{"code":0,"signal":0},"next_step":0}');
INSERT INTO job VALUES (20, 0, 3, 0, NULL, 1002, 'REQUEUED', 'train', 'batch', 20000, 30000, 40000, 2, '{"id":20,"spec_id":2,"state":"requeued","completing":false,"requeue_pending":false,"reason":"none","partition":"batch","priority":1,"time_limit":"unlimited","submit_time":20000,"start_time":30000,"end_time":40000,"suspended":0,"restart":0,"allocation":{"shares":[{"node":0,"cpus":[3],"memory":64,"tasks":1}]},"node_list":"n1","exit":{"code":1,"signal":0},"derived_exit":{"code":0,"signal":0},"next_step":0}');
INSERT INTO job VALUES (20, 1, 3, 1, NULL, 1002, 'RUNNING', 'train', 'batch', 20000, 50000, NULL, 2, '{"id":20,"spec_id":2,"state":"running","completing":false,"requeue_pending":false,"reason":"none","partition":"batch","priority":1,"time_limit":"unlimited","submit_time":20000,"start_time":50000,"end_time":3650000,"suspended":0,"restart":1,"allocation":{"shares":[{"node":0,"cpus":[3],"memory":64,"tasks":1}]},"node_list":"n1","exit":{"code":0,"signal":0},"derived_exit":{"code":0,"signal":0},"next_step":0}');
INSERT INTO job VALUES (5, 0, 3, 0, NULL, 1002, 'FAILED', 'train', 'batch', 5000, 6000, 7000, 2, '{"id":5,"spec_id":2,"state":"failed","completing":false,"requeue_pending":false,"reason":"none","partition":"batch","priority":1,"time_limit":"unlimited","submit_time":5000,"start_time":6000,"end_time":7000,"suspended":0,"restart":0,"allocation":{"shares":[{"node":0,"cpus":[3],"memory":64,"tasks":1}]},"node_list":"n1","exit":{"code":1,"signal":0},"derived_exit":{"code":0,"signal":0},"next_step":0}');
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
);
INSERT INTO meta VALUES ('sequence', 3);
CREATE TABLE node (
    name     TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    document TEXT    NOT NULL
);
INSERT INTO node VALUES ('n1', 3, '{"health":"up","drain":true,"reason":{"text":"disk","user":"root","uid":0,"time":5},"launch_sequence":17}');
CREATE TABLE refinery_schema_history(
             version int4 PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255));
INSERT INTO refinery_schema_history VALUES (1, 'first', '2026-11-21T08:45:49.48112622Z', '5621832557167937545');
CREATE TABLE spec (
    spec_id  INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    document TEXT    NOT NULL
);
INSERT INTO spec VALUES (1, 3, '{"identity":{"uid":1001,"gid":100,"user":"user1001","group":"users"},"name":"sweep","kind":"batch","request":{"nodes_min":1,"tasks":1,"tasks_given":false,"cpus_per_task":2,"cpus_per_task_given":false,"sharing":"default","contiguous":false,"overcommit":false},"hold":false,"nice":0,"no_kill":false,"work_dir":"/home/a \"b\"","output":"\"spec\":{}, %j","submit_host":"login","submit_session":0}');
INSERT INTO spec VALUES (2, 3, '{"identity":{"uid":1002,"gid":100,"user":"user1002","group":"users"},"name":"train","kind":"batch","request":{"nodes_min":1,"tasks":1,"tasks_given":false,"cpus_per_task":2,"cpus_per_task_given":false,"sharing":"default","contiguous":false,"overcommit":false},"hold":false,"nice":0,"no_kill":false,"work_dir":"/home/a \"b\"","output":"\"spec\":{}, %j","submit_host":"login","submit_session":0}');
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
INSERT INTO step VALUES (20, 0, -5, 3, 1, 30000, '{"job_id":20,"step_id":"batch","restart":0,"name":"work","state":"completed","tasks":1,"layout":[],"node_list":"n1","start_time":30000,"end_time":40000,"exit":{"code":0,"signal":0},"usage":{"user_cpu_us":0,"system_cpu_us":0,"rss_kb_max":0}}');
INSERT INTO step VALUES (20, 1, 0, 3, 0, 51000, '{"job_id":20,"step_id":{"number":0},"restart":1,"name":"work","state":"running","tasks":1,"layout":[],"node_list":"n1","start_time":51000,"exit":{"code":0,"signal":0},"usage":{"user_cpu_us":0,"system_cpu_us":0,"rss_kb_max":0}}');
CREATE INDEX job_array ON job (array_job_id) WHERE array_job_id IS NOT NULL;
CREATE INDEX job_end ON job (end_time);
CREATE INDEX job_resident ON job (job_id) WHERE resident = 1;
CREATE INDEX job_user_end ON job (uid, end_time);
CREATE INDEX step_open ON step (job_id) WHERE ended = 0;
COMMIT;
