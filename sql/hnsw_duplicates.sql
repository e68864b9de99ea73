-- rows with equal vectors share a node, and pages of further heap TIDs
SELECT setseed(0.5);
CREATE TEMPORARY TABLE hdup (id serial PRIMARY KEY, v vector(3));
INSERT INTO hdup (v) SELECT '[1,2,3]' FROM generate_series(1, 3000);
CREATE INDEX hdup_v ON hdup USING hnsw (v vector_l2_ops) WITH (pending_limit = 0);
INSERT INTO hdup (v) SELECT '[1,2,3]' FROM generate_series(1, 3000);
INSERT INTO hdup (v) SELECT '[3,2,1]' FROM generate_series(1, 2000);
INSERT INTO hdup (v) SELECT random_vector(3) FROM generate_series(1, 500);
SELECT live_nodes, heap_tids, overflow_pages > 1 AS overflow FROM hnsw_info('hdup_v');
SELECT * FROM hnsw_check('hdup_v');
SET enable_seqscan = off;
-- one node counts once for hnsw.ef_search, but returns all its rows
SELECT v, count(*), count(DISTINCT id) FROM
	(SELECT id, v FROM hdup ORDER BY v <-> '[1,2,3]' LIMIT 8000) AS s
	WHERE v IN ('[1,2,3]', '[3,2,1]') GROUP BY v ORDER BY v;
SELECT v, count(*), count(DISTINCT id) FROM
	(SELECT id, v FROM hdup ORDER BY v <-> '[1,2,3]' LIMIT 7000) AS s GROUP BY v ORDER BY v;
-- half of them go
DELETE FROM hdup WHERE id % 2 = 0 AND v = '[1,2,3]';
SELECT count(*), count(DISTINCT id) FROM
	(SELECT id FROM hdup ORDER BY v <-> '[1,2,3]' LIMIT 3000) AS s;
VACUUM hdup;
SELECT live_nodes, heap_tids FROM hnsw_info('hdup_v');
SELECT * FROM hnsw_check('hdup_v');
SELECT v, count(*), count(DISTINCT id) FROM
	(SELECT id, v FROM hdup ORDER BY v <-> '[1,2,3]' LIMIT 3000) AS s GROUP BY v;
-- all of one value
DELETE FROM hdup WHERE v = '[1,2,3]';
VACUUM hdup;
SELECT live_nodes, dead_nodes, heap_tids FROM hnsw_info('hdup_v');
SELECT * FROM hnsw_check('hdup_v');
SELECT v, count(*), count(DISTINCT id) FROM
	(SELECT id, v FROM hdup ORDER BY v <-> '[3,2,1]' LIMIT 2000) AS s GROUP BY v;
-- its pages are used again
CREATE TEMPORARY TABLE hdup_size AS SELECT pg_relation_size('hdup_v') AS size;
INSERT INTO hdup (v) SELECT '[1,2,3]' FROM generate_series(1, 4000);
SELECT pg_relation_size('hdup_v') <= size + 8192 AS reused FROM hdup_size;
SELECT * FROM hnsw_check('hdup_v');
SELECT v, count(*), count(DISTINCT id) FROM
	(SELECT id, v FROM hdup ORDER BY v <-> '[1,2,3]' LIMIT 4000) AS s GROUP BY v;
-- a scan that stops within the pages
BEGIN;
DECLARE c CURSOR FOR SELECT v FROM hdup ORDER BY v <-> '[1,2,3]';
MOVE 2000 IN c;
FETCH 1 FROM c;
CLOSE c;
COMMIT;
-- nothing but copies
TRUNCATE hdup;
INSERT INTO hdup (v) SELECT '[0,0,0]' FROM generate_series(1, 1000);
SELECT count(*), count(DISTINCT id) FROM
	(SELECT id FROM hdup ORDER BY v <-> '[1,2,3]' LIMIT 1000) AS s;
SELECT live_nodes, heap_tids FROM hnsw_info('hdup_v');
SELECT * FROM hnsw_check('hdup_v');
-- a few copies of many values
TRUNCATE hdup;
INSERT INTO hdup (v) SELECT ARRAY[i % 100, (i % 100) ^ 2, 1]::vector FROM generate_series(1, 1500) AS i;
SELECT live_nodes, heap_tids FROM hnsw_info('hdup_v');
SELECT v, count(*) FROM (SELECT v FROM hdup ORDER BY v <-> '[3,9,1]' LIMIT 30) AS s
	GROUP BY v ORDER BY v <-> '[3,9,1]';
SELECT * FROM hnsw_check('hdup_v');
DROP TABLE hdup, hdup_size;
-- sparse vectors that differ by less than halves tell: many are as far as the last result, and stay to be
-- come back to when the search goes on
SELECT setseed(0.5);
SET hnsw.ef_search = 40;
CREATE TABLE hsparse AS
	SELECT i AS id, format('{%s}/1000', string_agg(format('%s:%s', n * 25, (1 + n / 40.0) * (1 + (random() - 0.5) * 4e-5)), ','))::sparsevec(1000) AS v
	FROM generate_series(1, 2400) AS i, generate_series(1, 40) AS n GROUP BY i;
CREATE INDEX hsparse_v ON hsparse USING hnsw (v sparsevec_l2_ops);
SET enable_seqscan = off;
SELECT count(*) FILTER (WHERE (SELECT id FROM hsparse AS h ORDER BY h.v <-> q.v LIMIT 1) = q.id) > 15 AS found
	FROM (SELECT id, v FROM hsparse WHERE id <= 2000 AND id % 100 = 0) AS q;
RESET enable_seqscan;
RESET hnsw.ef_search;
DROP TABLE hsparse;
