-- hnsw with vector_ip_ops: results are exact when hnsw.ef_search is not below the
-- number of rows, whatever was done to the table before.
SELECT setseed(0.25);
SET enable_seqscan = off;
SET hnsw.ef_search = 1000;
-- rows before and after CREATE INDEX; NULL is not indexed
CREATE TABLE hip (id serial PRIMARY KEY, v vector(3));
INSERT INTO hip (v) VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), (NULL);
CREATE INDEX hip_v ON hip USING hnsw (v vector_ip_ops);
INSERT INTO hip (v) VALUES ('[1,2,4]'), (NULL), ('[-3,3,2]');
EXPLAIN (COSTS OFF) SELECT v FROM hip ORDER BY v <#> '[3,3,3]';
SELECT v FROM hip ORDER BY v <#> '[3,3,3]';
SELECT v FROM hip ORDER BY v <#> '[3,3,3]' LIMIT 2;
-- no distance to compare: every row once
SELECT count(*), count(DISTINCT id) FROM
	(SELECT id FROM hip ORDER BY v <#> (SELECT NULL::vector)) AS s;
SELECT count(*), count(DISTINCT id) FROM
	(SELECT id FROM hip ORDER BY v <#> '[0,0,0]') AS s;
SELECT * FROM hnsw_check('hip_v');
SELECT dimensions, metric, live_nodes, dead_nodes, heap_tids FROM hnsw_info('hip_v');
-- empty, and filled from nothing
TRUNCATE hip;
SELECT v FROM hip ORDER BY v <#> '[3,3,3]';
SELECT * FROM hnsw_check('hip_v');
SELECT levels, live_nodes, entry_point IS NULL AS empty FROM hnsw_info('hip_v');
INSERT INTO hip (v) VALUES (NULL), ('[1,2,3]'), ('[1,2,4]');
SELECT v FROM hip ORDER BY v <#> '[1,2,4]';
DROP TABLE hip;
-- more rows than pages, inserted one by one into an empty index
CREATE TABLE hip (id serial PRIMARY KEY, v vector(24));
CREATE INDEX hip_v ON hip USING hnsw (v vector_ip_ops);
INSERT INTO hip (v) SELECT random_vector(24) FROM generate_series(1, 400);
CREATE TABLE hip_query AS SELECT random_vector(24) AS q FROM generate_series(1, 8);
CREATE VIEW hip_compared AS
	SELECT index_agrees(format(
		'SELECT v <#> %1$L::vector FROM hip ORDER BY 1 LIMIT %2$s', q, k)) AS compared
	FROM hip_query, (VALUES (1), (10), (1000)) AS n(k);
SELECT compared, count(*) FROM hip_compared GROUP BY 1;
SELECT * FROM hnsw_check('hip_v');
-- the same graph built at once
REINDEX INDEX hip_v;
SELECT compared, count(*) FROM hip_compared GROUP BY 1;
SELECT * FROM hnsw_check('hip_v');
-- deleted, not yet vacuumed
DELETE FROM hip WHERE id % 2 = 0;
SELECT compared, count(*) FROM hip_compared GROUP BY 1;
VACUUM hip;
SELECT compared, count(*) FROM hip_compared GROUP BY 1;
SELECT * FROM hnsw_check('hip_v');
-- new rows and new versions of old ones
INSERT INTO hip (v) SELECT random_vector(24) FROM generate_series(1, 300);
UPDATE hip SET v = random_vector(24) WHERE id % 3 = 0;
SELECT compared, count(*) FROM hip_compared GROUP BY 1;
SELECT * FROM hnsw_check('hip_v');
VACUUM hip;
SELECT compared, count(*) FROM hip_compared GROUP BY 1;
SELECT * FROM hnsw_check('hip_v');
-- all gone, and filled again
DELETE FROM hip;
VACUUM hip;
SELECT compared, count(*) FROM hip_compared GROUP BY 1;
SELECT * FROM hnsw_check('hip_v');
INSERT INTO hip (v) SELECT random_vector(24) FROM generate_series(1, 100);
SELECT compared, count(*) FROM hip_compared GROUP BY 1;
SELECT * FROM hnsw_check('hip_v');
DROP TABLE hip, hip_query CASCADE;
