-- a scan under way while the table and the index change
SELECT setseed(0.5);
SET hnsw.ef_search = 1000;
SET enable_seqscan = off;
CREATE TABLE hcur (id serial PRIMARY KEY, v vector(3));
INSERT INTO hcur (v) SELECT ARRAY[i, 0, 0]::vector FROM generate_series(1, 300) AS i;
CREATE INDEX hcur_v ON hcur USING hnsw (v vector_l2_ops);
-- what the cursor's own transaction does after it was opened is not seen
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM hcur ORDER BY v <-> '[0,0,0]';
FETCH 3 FROM c;
DELETE FROM hcur WHERE id % 2 = 0;
INSERT INTO hcur (v) SELECT ARRAY[i, 1, 0]::vector FROM generate_series(1, 300) AS i;
FETCH 3 FROM c;
MOVE 290 IN c;
FETCH 10 FROM c;
COMMIT;
SELECT * FROM hnsw_check('hcur_v');
-- a cursor that outlives its transaction, across VACUUM
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT id FROM hcur WHERE v <-> '[0,0,0]' > 0
	ORDER BY v <-> '[0,0,0]' LIMIT 8;
FETCH 2 FROM c;
COMMIT;
DELETE FROM hcur WHERE id > 300;
VACUUM hcur;
FETCH 2 FROM c;
CLOSE c;
SELECT * FROM hnsw_check('hcur_v');
-- two scans of one index at a time, one within the other
SELECT a.id, (SELECT array_agg(id) FROM (SELECT id FROM hcur ORDER BY v <-> a.v LIMIT 3) AS n) AS near
	FROM (SELECT id, v FROM hcur ORDER BY v <-> '[100,0,0]' LIMIT 3) AS a;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM hcur ORDER BY v <-> '[0,0,0]';
DECLARE d CURSOR FOR SELECT id FROM hcur ORDER BY v <-> '[300,0,0]';
FETCH 2 FROM c;
FETCH 2 FROM d;
FETCH 2 FROM c;
FETCH 2 FROM d;
-- the second one is closed by an error
SAVEPOINT s;
DECLARE e CURSOR FOR SELECT id / 0 FROM hcur ORDER BY v <-> '[300,0,0]';
\set VERBOSITY sqlstate
FETCH 1 FROM e;
\set VERBOSITY default
ROLLBACK TO s;
FETCH 2 FROM c;
COMMIT;
-- the same plan, again and again
PREPARE near (vector) AS SELECT id FROM hcur ORDER BY v <-> $1 LIMIT 1;
EXECUTE near('[5,0,0]');
EXECUTE near('[7,0,0]');
SET plan_cache_mode = force_generic_plan;
EXECUTE near('[9,0,0]');
REINDEX INDEX hcur_v;
EXECUTE near('[11,0,0]');
RESET plan_cache_mode;
-- rows that are not visible do not use up hnsw.ef_search
SET hnsw.ef_search = 10;
BEGIN;
DELETE FROM hcur WHERE id < 250;
SELECT count(*) FROM (SELECT id FROM hcur ORDER BY v <-> '[0,0,0]' LIMIT 10) AS s;
ROLLBACK;
DROP TABLE hcur;
