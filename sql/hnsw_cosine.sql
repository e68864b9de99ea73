-- hnsw with vector_cosine_ops: results are exact when hnsw.ef_search is not below the
-- number of rows, whatever was done to the table before.
SELECT setseed(0.25);
SET enable_seqscan = off;
SET hnsw.ef_search = 1000;
-- rows before and after CREATE INDEX; NULL is not indexed
CREATE TABLE hcosine (id serial PRIMARY KEY, v vector(3));
INSERT INTO hcosine (v) VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), (NULL);
CREATE INDEX hcosine_v ON hcosine USING hnsw (v vector_cosine_ops);
INSERT INTO hcosine (v) VALUES ('[1,2,4]'), (NULL), ('[-3,3,2]');
EXPLAIN (COSTS OFF) SELECT v FROM hcosine ORDER BY v <=> '[3,3,3]';
SELECT v FROM hcosine ORDER BY v <=> '[3,3,3]';
SELECT v FROM hcosine ORDER BY v <=> '[3,3,3]' LIMIT 2;
-- no distance to compare: every row once
SELECT count(*), count(DISTINCT id) FROM
	(SELECT id FROM hcosine ORDER BY v <=> (SELECT NULL::vector)) AS s;
SELECT count(*), count(DISTINCT id) FROM
	(SELECT id FROM hcosine ORDER BY v <=> '[0,0,0]') AS s;
SELECT * FROM hnsw_check('hcosine_v');
SELECT dimensions, metric, live_nodes, dead_nodes, heap_tids FROM hnsw_info('hcosine_v');
-- empty, and filled from nothing
TRUNCATE hcosine;
SELECT v FROM hcosine ORDER BY v <=> '[3,3,3]';
SELECT * FROM hnsw_check('hcosine_v');
SELECT levels, live_nodes, entry_point IS NULL AS empty FROM hnsw_info('hcosine_v');
INSERT INTO hcosine (v) VALUES (NULL), ('[1,2,3]'), ('[1,2,4]');
SELECT v FROM hcosine ORDER BY v <=> '[1,2,4]';
DROP TABLE hcosine;
-- more rows than pages, inserted one by one into an empty index
CREATE TABLE hcosine (id serial PRIMARY KEY, v vector(24));
CREATE INDEX hcosine_v ON hcosine USING hnsw (v vector_cosine_ops);
INSERT INTO hcosine (v) SELECT random_vector(24) FROM generate_series(1, 400);
CREATE TABLE hcosine_query AS SELECT random_vector(24) AS q FROM generate_series(1, 8);
CREATE VIEW hcosine_compared AS
	SELECT index_agrees(format(
		'SELECT v <=> %1$L::vector FROM hcosine ORDER BY 1 LIMIT %2$s', q, k)) AS compared
	FROM hcosine_query, (VALUES (1), (10), (1000)) AS n(k);
SELECT compared, count(*) FROM hcosine_compared GROUP BY 1;
SELECT * FROM hnsw_check('hcosine_v');
-- the same graph built at once
REINDEX INDEX hcosine_v;
SELECT compared, count(*) FROM hcosine_compared GROUP BY 1;
SELECT * FROM hnsw_check('hcosine_v');
-- deleted, not yet vacuumed
DELETE FROM hcosine WHERE id % 2 = 0;
SELECT compared, count(*) FROM hcosine_compared GROUP BY 1;
VACUUM hcosine;
SELECT compared, count(*) FROM hcosine_compared GROUP BY 1;
SELECT * FROM hnsw_check('hcosine_v');
-- new rows and new versions of old ones
INSERT INTO hcosine (v) SELECT random_vector(24) FROM generate_series(1, 300);
UPDATE hcosine SET v = random_vector(24) WHERE id % 3 = 0;
SELECT compared, count(*) FROM hcosine_compared GROUP BY 1;
SELECT * FROM hnsw_check('hcosine_v');
VACUUM hcosine;
SELECT compared, count(*) FROM hcosine_compared GROUP BY 1;
SELECT * FROM hnsw_check('hcosine_v');
-- all gone, and filled again
DELETE FROM hcosine;
VACUUM hcosine;
SELECT compared, count(*) FROM hcosine_compared GROUP BY 1;
SELECT * FROM hnsw_check('hcosine_v');
INSERT INTO hcosine (v) SELECT random_vector(24) FROM generate_series(1, 100);
SELECT compared, count(*) FROM hcosine_compared GROUP BY 1;
SELECT * FROM hnsw_check('hcosine_v');
DROP TABLE hcosine, hcosine_query CASCADE;
-- a zero vector has no direction: it is not indexed, and a query by one returns
-- the others in any order
CREATE TABLE hcosine (id serial PRIMARY KEY, v vector(2));
CREATE INDEX hcosine_v ON hcosine USING hnsw (v vector_cosine_ops);
INSERT INTO hcosine (v) VALUES ('[0,0]'), ('[1,0]'), ('[0,1]'), ('[0,0]'), ('[-1,0]');
SELECT v FROM hcosine ORDER BY v <=> '[2,0.1]';
SELECT live_nodes, heap_tids FROM hnsw_info('hcosine_v');
REINDEX INDEX hcosine_v;
SELECT live_nodes, heap_tids FROM hnsw_info('hcosine_v');
SELECT count(*) FROM (SELECT id FROM hcosine ORDER BY v <=> '[0,0]') AS s;
-- vectors of one direction are equal
INSERT INTO hcosine (v) VALUES ('[2,0]'), ('[4,0]');
SELECT live_nodes, heap_tids FROM hnsw_info('hcosine_v');
SELECT * FROM hnsw_check('hcosine_v');
DROP TABLE hcosine;
