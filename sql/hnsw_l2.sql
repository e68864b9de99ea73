-- hnsw with vector_l2_ops: results are exact when hnsw.ef_search is not below the
-- number of rows, whatever was done to the table before.
SELECT setseed(0.25);
SET enable_seqscan = off;
SET hnsw.ef_search = 1000;
-- rows before and after CREATE INDEX; NULL is not indexed
CREATE TABLE hl2 (id serial PRIMARY KEY, v vector(3));
INSERT INTO hl2 (v) VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), (NULL);
CREATE INDEX hl2_v ON hl2 USING hnsw (v vector_l2_ops);
INSERT INTO hl2 (v) VALUES ('[1,2,4]'), (NULL), ('[-3,3,2]');
EXPLAIN (COSTS OFF) SELECT v FROM hl2 ORDER BY v <-> '[3,3,3]';
SELECT v FROM hl2 ORDER BY v <-> '[3,3,3]';
SELECT v FROM hl2 ORDER BY v <-> '[3,3,3]' LIMIT 2;
-- no distance to compare: every row once
SELECT count(*), count(DISTINCT id) FROM
	(SELECT id FROM hl2 ORDER BY v <-> (SELECT NULL::vector)) AS s;
SELECT count(*), count(DISTINCT id) FROM
	(SELECT id FROM hl2 ORDER BY v <-> '[0,0,0]') AS s;
SELECT * FROM hnsw_check('hl2_v');
SELECT dimensions, metric, live_nodes, dead_nodes, heap_tids FROM hnsw_info('hl2_v');
-- empty, and filled from nothing
TRUNCATE hl2;
SELECT v FROM hl2 ORDER BY v <-> '[3,3,3]';
SELECT * FROM hnsw_check('hl2_v');
SELECT levels, live_nodes, entry_point IS NULL AS empty FROM hnsw_info('hl2_v');
INSERT INTO hl2 (v) VALUES (NULL), ('[1,2,3]'), ('[1,2,4]');
SELECT v FROM hl2 ORDER BY v <-> '[1,2,4]';
DROP TABLE hl2;
-- more rows than pages, inserted one by one into an empty index
CREATE TABLE hl2 (id serial PRIMARY KEY, v vector(24));
CREATE INDEX hl2_v ON hl2 USING hnsw (v vector_l2_ops);
INSERT INTO hl2 (v) SELECT random_vector(24) FROM generate_series(1, 400);
CREATE TABLE hl2_query AS SELECT random_vector(24) AS q FROM generate_series(1, 8);
CREATE VIEW hl2_compared AS
	SELECT index_agrees(format(
		'SELECT v <-> %1$L::vector FROM hl2 ORDER BY 1 LIMIT %2$s', q, k)) AS compared
	FROM hl2_query, (VALUES (1), (10), (1000)) AS n(k);
SELECT compared, count(*) FROM hl2_compared GROUP BY 1;
SELECT * FROM hnsw_check('hl2_v');
-- the same graph built at once
REINDEX INDEX hl2_v;
SELECT compared, count(*) FROM hl2_compared GROUP BY 1;
SELECT * FROM hnsw_check('hl2_v');
-- deleted, not yet vacuumed
DELETE FROM hl2 WHERE id % 2 = 0;
SELECT compared, count(*) FROM hl2_compared GROUP BY 1;
VACUUM hl2;
SELECT compared, count(*) FROM hl2_compared GROUP BY 1;
SELECT * FROM hnsw_check('hl2_v');
-- new rows and new versions of old ones
INSERT INTO hl2 (v) SELECT random_vector(24) FROM generate_series(1, 300);
UPDATE hl2 SET v = random_vector(24) WHERE id % 3 = 0;
SELECT compared, count(*) FROM hl2_compared GROUP BY 1;
SELECT * FROM hnsw_check('hl2_v');
VACUUM hl2;
SELECT compared, count(*) FROM hl2_compared GROUP BY 1;
SELECT * FROM hnsw_check('hl2_v');
-- all gone, and filled again
DELETE FROM hl2;
VACUUM hl2;
SELECT compared, count(*) FROM hl2_compared GROUP BY 1;
SELECT * FROM hnsw_check('hl2_v');
INSERT INTO hl2 (v) SELECT random_vector(24) FROM generate_series(1, 100);
SELECT compared, count(*) FROM hl2_compared GROUP BY 1;
SELECT * FROM hnsw_check('hl2_v');
DROP TABLE hl2, hl2_query CASCADE;
-- what VACUUM does with slots; temporary, so that no other session's snapshot
-- holds rows back
CREATE TEMPORARY TABLE hl2 (id serial PRIMARY KEY, v vector(24));
CREATE INDEX hl2_v ON hl2 USING hnsw (v vector_l2_ops);
INSERT INTO hl2 (v) SELECT random_vector(24) FROM generate_series(1, 500);
CREATE TEMPORARY TABLE hl2_before AS SELECT * FROM hnsw_info('hl2_v');
SELECT live_nodes, dead_nodes, heap_tids FROM hl2_before;
DELETE FROM hl2 WHERE id <= 200;
VACUUM hl2;
SELECT * FROM hnsw_check('hl2_v');
SELECT i.live_nodes, i.dead_nodes, i.heap_tids, i.free_slots - b.free_slots AS freed,
	i.node_pages - b.node_pages AS more_pages
	FROM hnsw_info('hl2_v') AS i, hl2_before AS b;
INSERT INTO hl2 (v) SELECT random_vector(24) FROM generate_series(1, 200);
SELECT * FROM hnsw_check('hl2_v');
SELECT i.live_nodes, i.dead_nodes, i.heap_tids,
	i.node_pages - b.node_pages < 5 AS slots_used_again
	FROM hnsw_info('hl2_v') AS i, hl2_before AS b;
DELETE FROM hl2;
VACUUM hl2;
SELECT live_nodes, dead_nodes, heap_tids, levels, entry_point FROM hnsw_info('hl2_v');
SELECT * FROM hnsw_check('hl2_v');
DROP TABLE hl2, hl2_before;
