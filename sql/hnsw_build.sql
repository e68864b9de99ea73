-- CREATE INDEX of rows that are hard to divide into groups
SELECT setseed(0.5);
SET hnsw.ef_search = 100;
-- no row, one row, rows without a vector
CREATE TEMPORARY TABLE hfew (id serial PRIMARY KEY, v vector(3));
CREATE INDEX hfew_v ON hfew USING hnsw (v vector_l2_ops);
SELECT live_nodes, heap_tids, entry_point FROM hnsw_info('hfew_v');
INSERT INTO hfew (v) VALUES (NULL);
REINDEX INDEX hfew_v;
SELECT live_nodes, heap_tids FROM hnsw_info('hfew_v');
INSERT INTO hfew (v) VALUES ('[1,2,3]');
REINDEX INDEX hfew_v;
SELECT live_nodes, heap_tids FROM hnsw_info('hfew_v');
SELECT * FROM hnsw_check('hfew_v');
INSERT INTO hfew (v) SELECT random_vector(3) FROM generate_series(1, 20);
SELECT * FROM hnsw_check('hfew_v');
SELECT index_agrees($$SELECT v <-> '[0,0,0]' FROM hfew ORDER BY v <-> '[0,0,0]' LIMIT 20$$);

-- all equally far from each other
CREATE TEMPORARY TABLE hunit (id serial PRIMARY KEY, v vector(1200));
INSERT INTO hunit (v) SELECT (array_fill(0, ARRAY[i - 1]) || ARRAY[1] || array_fill(0, ARRAY[1200 - i]))::vector
	FROM generate_series(1, 1200) AS i;
CREATE INDEX hunit_v ON hunit USING hnsw (v vector_l2_ops);
SELECT live_nodes, heap_tids FROM hnsw_info('hunit_v');
SELECT * FROM hnsw_check('hunit_v');

-- clusters that no nearest neighbour leads out of
CREATE TEMPORARY TABLE hfar (id serial PRIMARY KEY, c int, v vector(8));
INSERT INTO hfar (c, v) SELECT i % 7, random_vector(8) +
		array_fill(1000 * (i % 7), ARRAY[8])::vector FROM generate_series(1, 4000) AS i;
CREATE INDEX hfar_v ON hfar USING hnsw (v vector_l2_ops);
SELECT * FROM hnsw_check('hfar_v');
SELECT c, index_agrees(format('SELECT v <-> %1$L FROM hfar ORDER BY v <-> %1$L LIMIT 10',
		array_fill(1000 * c, ARRAY[8])::vector)) FROM generate_series(0, 6) AS c;
-- other metrics
CREATE INDEX hfar_ip ON hfar USING hnsw (v vector_ip_ops);
CREATE INDEX hfar_l1 ON hfar USING hnsw (v vector_l1_ops) WITH (m = 40, ef_construction = 80);
SELECT * FROM hnsw_check('hfar_ip');
SELECT * FROM hnsw_check('hfar_l1');

-- two clusters of many equal rows, and some others
CREATE TEMPORARY TABLE hsame (id serial PRIMARY KEY, v vector(3));
INSERT INTO hsame (v) SELECT ARRAY[i % 2, 5, 5]::vector FROM generate_series(1, 6000) AS i;
INSERT INTO hsame (v) SELECT random_vector(3) FROM generate_series(1, 500);
CREATE INDEX hsame_v ON hsame USING hnsw (v vector_l2_ops);
SELECT live_nodes, heap_tids, overflow_pages FROM hnsw_info('hsame_v');
SELECT * FROM hnsw_check('hsame_v');
SET enable_seqscan = off;
SELECT v, count(*), count(DISTINCT id) FROM
	(SELECT id, v FROM hsame ORDER BY v <-> '[1,5,5]' LIMIT 6000) AS s GROUP BY v ORDER BY v;
RESET enable_seqscan;

-- more rows than maintenance_work_mem holds at once: the rest is inserted
SET client_min_messages = warning;
SET maintenance_work_mem = '1MB';
CREATE TEMPORARY TABLE hmore (id serial PRIMARY KEY, v vector(16));
INSERT INTO hmore (v) SELECT random_vector(16) FROM generate_series(1, 3000);
CREATE INDEX hmore_v ON hmore USING hnsw (v vector_cosine_ops);
RESET client_min_messages;
RESET maintenance_work_mem;
SELECT live_nodes, heap_tids FROM hnsw_info('hmore_v');
SELECT * FROM hnsw_check('hmore_v');

-- inserts go where the build left room
INSERT INTO hmore (v) SELECT random_vector(16) FROM generate_series(1, 200);
SELECT live_nodes, heap_tids FROM hnsw_info('hmore_v');
SELECT * FROM hnsw_check('hmore_v');

-- own vectors in side pages, as fp16 and fp32
CREATE TEMPORARY TABLE hwide (id serial PRIMARY KEY, v vector(2500));
INSERT INTO hwide (v) SELECT random_vector(2500) FROM generate_series(1, 60);
CREATE INDEX hwide_v ON hwide USING hnsw (v vector_cosine_ops);
CREATE INDEX hwide_16 ON hwide USING hnsw (v vector_l2_ops) WITH (own_vector = fp16);
CREATE INDEX hwide_32 ON hwide USING hnsw (v vector_l2_ops) WITH (own_vector = fp32);
SELECT i, side_pages > 0 AS side FROM unnest(ARRAY['hwide_v', 'hwide_16', 'hwide_32']) AS i, hnsw_info(i::regclass);
SELECT i, c FROM unnest(ARRAY['hwide_v', 'hwide_16', 'hwide_32']) AS i, hnsw_check(i::regclass) AS c;

-- a vector that no index can hold
CREATE TEMPORARY TABLE hlong (v vector(3));
INSERT INTO hlong SELECT random_vector(3) FROM generate_series(1, 10);
INSERT INTO hlong VALUES ('[3e38,3e38,3e38]');
CREATE INDEX ON hlong USING hnsw (v vector_l2_ops);
CREATE INDEX ON hlong USING hnsw (v vector_ip_ops);
CREATE INDEX ON hlong USING hnsw (v vector_cosine_ops);
CREATE INDEX ON hlong USING hnsw (v vector_l1_ops);
-- the longest there can be
UPDATE hlong SET v = '[1e38,1e38,1e38]' WHERE v <+> '[0,0,0]' > 1e30;
INSERT INTO hlong VALUES ('[-3e38,0,0]');
CREATE INDEX hlong_l1 ON hlong USING hnsw (v vector_l1_ops);
SELECT * FROM hnsw_check('hlong_l1');

-- how much memory a build wants
SELECT hnsw_build_memory(1000000, 384, workers => 0) BETWEEN 1.0e9 AND 1.3e9 AS million;
SELECT dim, m, ef, own, hnsw_build_memory(100000, dim, m, ef, opclass, own, 0) /
		hnsw_build_memory(50000, dim, m, ef, opclass, own, 0)::float8 BETWEEN 1.9 AND 2.01 AS twice,
		hnsw_build_memory(100000, dim, m, ef, opclass, own, 3) > hnsw_build_memory(100000, dim, m, ef, opclass, own, 0) AS workers
	FROM (VALUES (3, 16, 64, 'vector_l2_ops', 'auto'), (100, 40, 200, 'vector_l1_ops', 'fp32'),
		(1536, 16, 1000, 'vector_cosine_ops', 'auto'), (16000, 2, 4, 'vector_ip_ops', 'fp16')) AS t (dim, m, ef, opclass, own);
SELECT hnsw_build_memory(1000, 100, opclass => 'vector_l1_ops') > hnsw_build_memory(1000, 100) AS l1_stores_more;
SELECT hnsw_build_memory(0, 1) >= 0 AS none, hnsw_build_memory(9223372036854775807, 16000) > 0 AS most;
SELECT hnsw_build_memory(NULL, 3), hnsw_build_memory(10, 3, own_vector => NULL);
SELECT outcome('SELECT hnsw_build_memory(-1, 3)');
SELECT outcome('SELECT hnsw_build_memory(10, 0)');
SELECT outcome('SELECT hnsw_build_memory(10, 16001)');
SELECT outcome('SELECT hnsw_build_memory(10, 3, 101)');
SELECT outcome('SELECT hnsw_build_memory(10, 3, ef_construction => 3)');
SELECT outcome($$SELECT hnsw_build_memory(10, 3, opclass => 'halfvec_bit_ops')$$);
SELECT outcome($$SELECT hnsw_build_memory(10, 3, own_vector => 'int4')$$);
SELECT outcome('SELECT hnsw_build_memory(10, 3, workers => -1)');
