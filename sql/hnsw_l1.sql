-- hnsw with vector_l1_ops: results are exact when hnsw.ef_search is not below the
-- number of rows, whatever was done to the table before.
SELECT setseed(0.25);
SET enable_seqscan = off;
SET hnsw.ef_search = 1000;
-- rows before and after CREATE INDEX; NULL is not indexed
CREATE TABLE hl1 (id serial PRIMARY KEY, v vector(3));
INSERT INTO hl1 (v) VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), (NULL);
CREATE INDEX hl1_v ON hl1 USING hnsw (v vector_l1_ops);
INSERT INTO hl1 (v) VALUES ('[1,2,4]'), (NULL), ('[-3,3,2]');
EXPLAIN (COSTS OFF) SELECT v FROM hl1 ORDER BY v <+> '[3,3,3]';
SELECT v FROM hl1 ORDER BY v <+> '[3,3,3]';
SELECT v FROM hl1 ORDER BY v <+> '[3,3,3]' LIMIT 2;
-- no distance to compare: every row once
SELECT count(*), count(DISTINCT id) FROM
	(SELECT id FROM hl1 ORDER BY v <+> (SELECT NULL::vector)) AS s;
SELECT count(*), count(DISTINCT id) FROM
	(SELECT id FROM hl1 ORDER BY v <+> '[0,0,0]') AS s;
SELECT * FROM hnsw_check('hl1_v');
SELECT dimensions, metric, live_nodes, dead_nodes, heap_tids FROM hnsw_info('hl1_v');
-- empty, and filled from nothing
TRUNCATE hl1;
SELECT v FROM hl1 ORDER BY v <+> '[3,3,3]';
SELECT * FROM hnsw_check('hl1_v');
SELECT levels, live_nodes, entry_point IS NULL AS empty FROM hnsw_info('hl1_v');
INSERT INTO hl1 (v) VALUES (NULL), ('[1,2,3]'), ('[1,2,4]');
SELECT v FROM hl1 ORDER BY v <+> '[1,2,4]';
DROP TABLE hl1;
-- more rows than pages, inserted one by one into an empty index
CREATE TABLE hl1 (id serial PRIMARY KEY, v vector(24));
CREATE INDEX hl1_v ON hl1 USING hnsw (v vector_l1_ops);
INSERT INTO hl1 (v) SELECT random_vector(24) FROM generate_series(1, 400);
CREATE TABLE hl1_query AS SELECT random_vector(24) AS q FROM generate_series(1, 8);
CREATE VIEW hl1_compared AS
	SELECT index_agrees(format(
		'SELECT v <+> %1$L::vector FROM hl1 ORDER BY 1 LIMIT %2$s', q, k)) AS compared
	FROM hl1_query, (VALUES (1), (10), (1000)) AS n(k);
SELECT compared, count(*) FROM hl1_compared GROUP BY 1;
SELECT * FROM hnsw_check('hl1_v');
-- the same graph built at once
REINDEX INDEX hl1_v;
SELECT compared, count(*) FROM hl1_compared GROUP BY 1;
SELECT * FROM hnsw_check('hl1_v');
-- deleted, not yet vacuumed
DELETE FROM hl1 WHERE id % 2 = 0;
SELECT compared, count(*) FROM hl1_compared GROUP BY 1;
VACUUM hl1;
SELECT compared, count(*) FROM hl1_compared GROUP BY 1;
SELECT * FROM hnsw_check('hl1_v');
-- new rows and new versions of old ones
INSERT INTO hl1 (v) SELECT random_vector(24) FROM generate_series(1, 300);
UPDATE hl1 SET v = random_vector(24) WHERE id % 3 = 0;
SELECT compared, count(*) FROM hl1_compared GROUP BY 1;
SELECT * FROM hnsw_check('hl1_v');
VACUUM hl1;
SELECT compared, count(*) FROM hl1_compared GROUP BY 1;
SELECT * FROM hnsw_check('hl1_v');
-- all gone, and filled again
DELETE FROM hl1;
VACUUM hl1;
SELECT compared, count(*) FROM hl1_compared GROUP BY 1;
SELECT * FROM hnsw_check('hl1_v');
INSERT INTO hl1 (v) SELECT random_vector(24) FROM generate_series(1, 100);
SELECT compared, count(*) FROM hl1_compared GROUP BY 1;
SELECT * FROM hnsw_check('hl1_v');
DROP TABLE hl1, hl1_query CASCADE;
