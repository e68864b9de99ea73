-- scans that go on until enough rows have come
SELECT setseed(0.5);
SET enable_seqscan = off;
SET enable_sort = off;
SET enable_bitmapscan = off;
CREATE TABLE hiter (id int, r int, v vector(4));
INSERT INTO hiter SELECT i, i % 1000, random_vector(4) FROM generate_series(1, 5000) AS i;
CREATE INDEX hiter_v ON hiter USING hnsw (v vector_l2_ops);
ANALYZE hiter;

-- settings and their messages
SELECT count(*) FROM (SELECT id FROM hiter ORDER BY v <-> '[0,0,0,0]' LIMIT 1) s;
SHOW hnsw.iterative_scan;
SHOW hnsw.max_scan_tuples;
SHOW hnsw.scan_mem_multiplier;
SELECT name, vartype, context, min_val, max_val, enumvals, boot_val FROM pg_settings WHERE name LIKE 'hnsw.%' ORDER BY 1;
SET hnsw.iterative_scan = on;
SET hnsw.max_scan_tuples = 0;
SET hnsw.scan_mem_multiplier = 0.5;
SET hnsw.scan_mem_multiplier = 1001;

-- How many rows come, whether all are different, and whether they are in order.
CREATE FUNCTION come(filter text, k text, OUT n bigint, OUT different bigint, OUT ordered bool) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT count(*), count(DISTINCT id), bool_and(d >= coalesce(before, d)) FROM '
		'(SELECT id, d, lag(d) OVER (ORDER BY nr) AS before FROM (SELECT id, d, row_number() OVER () AS nr FROM '
		'(SELECT id, v <-> ''[0.1,0.2,0.3,0.1]'' AS d FROM hiter WHERE %s ORDER BY v <-> ''[0.1,0.2,0.3,0.1]'' LIMIT %s) s) s) s',
		filter, k) INTO n, different, ordered;
END
$$;
SELECT * FROM come('r < 10', '10');
SELECT * FROM come('r < 10', 'ALL');
SELECT * FROM come('r = 7', '10');
SELECT * FROM come('r < 0', '10');
SELECT * FROM come('true', '300');
SELECT n, different FROM come('true', 'ALL');
SELECT * FROM come('v <-> ''[0.1,0.2,0.3,0.1]'' > 0.9', '10');
SET hnsw.iterative_scan = relaxed_order;
SELECT n, different FROM come('r < 10', '10');
SELECT n, different FROM come('true', 'ALL');
-- as many as one search finds
SET hnsw.iterative_scan = off;
SELECT * FROM come('true', '300');
SELECT n < 10 FROM come('r < 10', '10');
RESET hnsw.iterative_scan;
-- no further after so many nodes
SET hnsw.max_scan_tuples = 400;
SELECT n BETWEEN 100 AND 1000, different = n, ordered FROM come('true', 'ALL');
SELECT n < 10 FROM come('r = 7', '10');
SET hnsw.max_scan_tuples = 1;
SELECT * FROM come('true', '30');
SET hnsw.max_scan_tuples = 1000000;
SELECT n, different FROM come('true', 'ALL');
RESET hnsw.max_scan_tuples;
-- little memory
SET work_mem = '64kB';
SET hnsw.ef_search = 1;
SELECT n, different FROM come('true', 'ALL');
SELECT * FROM come('r < 10', '10');
SELECT * FROM come('true', '3000');
SET hnsw.scan_mem_multiplier = 1000;
SELECT n, different FROM come('true', 'ALL');
RESET hnsw.scan_mem_multiplier;
RESET work_mem;
RESET hnsw.ef_search;

-- OFFSET, joins, LATERAL, a semi-join, a union, a prepared statement
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hiter ORDER BY v <-> '[0,0,0,0]' LIMIT 20 OFFSET 4975) s;
SELECT count(*) FROM (SELECT h.id FROM hiter h JOIN generate_series(1, 5) g ON h.r = g ORDER BY v <-> '[0,0,0,0]' LIMIT 20) s;
SELECT count(*) FROM generate_series(1, 3) g, LATERAL (SELECT id FROM hiter WHERE r = g ORDER BY v <-> '[0,0,0,0]' LIMIT 5) s;
SELECT count(*) FROM (SELECT id FROM hiter WHERE EXISTS (SELECT 1 FROM generate_series(1, 3) g WHERE g = r) ORDER BY v <-> '[0,0,0,0]' LIMIT 10) s;
PREPARE matching (int, int) AS SELECT count(*) FROM (SELECT id FROM hiter WHERE r < $1 ORDER BY v <-> '[0,0,0,0]' LIMIT $2) s;
SET plan_cache_mode = force_generic_plan;
EXECUTE matching(2, 10);
EXECUTE matching(500, 1000);
RESET plan_cache_mode;

-- a cursor with rows of its own transaction, which it does not see, and others deleted meanwhile
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM hiter WHERE r < 20 ORDER BY v <-> '[0,0,0,0]';
MOVE 15 IN c;
DELETE FROM hiter WHERE id % 2 = 0;
INSERT INTO hiter SELECT 10000 + i, 3, random_vector(4) FROM generate_series(1, 100) AS i;
MOVE ALL IN c;
DECLARE d CURSOR FOR SELECT id FROM hiter WHERE r < 20 ORDER BY v <-> '[0,0,0,0]';
MOVE ALL IN d;
ROLLBACK;

-- none of the index's rows is visible any more, or yet
BEGIN;
DELETE FROM hiter WHERE id <= 4990;
SELECT * FROM come('true', '20');
ROLLBACK;

-- the query is null: all rows, in any order
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hiter ORDER BY v <-> NULL::vector) s;

-- an upper bound of the distance ends a scan
SET hnsw.ef_search = 40;
SELECT count(*) FROM (SELECT id FROM hiter WHERE v <-> '[0.1,0.2,0.3,0.1]' < 0 ORDER BY v <-> '[0.1,0.2,0.3,0.1]' LIMIT 10) s;
SELECT sweeps, returned FROM hnsw_last_scan();
SELECT count(*) FROM (SELECT id FROM hiter WHERE v <-> '[5,0,0,0]' < 1 ORDER BY v <-> '[5,0,0,0]' LIMIT 10) s;
SELECT sweeps, returned FROM hnsw_last_scan();
CREATE FUNCTION within(operator text, bound text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	query text := format('SELECT count(*) FROM (SELECT id FROM hiter WHERE v %s ''[0.1,0.2,0.3,0.1]'' %s ORDER BY v %1$s ''[0.1,0.2,0.3,0.1]'') s',
		operator, bound);
	by_index bigint;
	swept bigint;
	exact bigint;
BEGIN
	EXECUTE query INTO by_index;
	SELECT sweeps INTO swept FROM hnsw_last_scan();
	PERFORM set_config('enable_indexscan', 'off', true), set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true);
	EXECUTE query INTO exact;
	PERFORM set_config('enable_indexscan', 'on', true), set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true);
	RETURN CASE WHEN by_index BETWEEN 0.95 * exact AND exact THEN 'nearly all' ELSE format('%s of %s', by_index, exact) END
		|| CASE WHEN swept > 0 AND exact < 200 THEN ', swept' ELSE '' END;
END
$$;
SELECT bound, within('<->', bound) FROM unnest(ARRAY['< 0.2', '<= 0.2', 'BETWEEN 0.05 AND 0.2', '< 0', '<= -1', '< ''NaN''', '< ''infinity''',
	'< 1e300', '< 1e-300']) AS bound;
CREATE INDEX hiter_ip ON hiter USING hnsw (v vector_ip_ops);
CREATE INDEX hiter_cosine ON hiter USING hnsw (v vector_cosine_ops);
CREATE INDEX hiter_l1 ON hiter USING hnsw (v vector_l1_ops);
SELECT operator, bound, within(operator, bound) FROM (VALUES ('<#>', '< -0.15'), ('<#>', '<= -1e30'), ('<#>', '< 0'), ('<=>', '< 0.05'), ('<=>', '< 0'),
	('<+>', '< 0.3'), ('<+>', '< 0')) AS v (operator, bound);
SELECT count(*) FROM (SELECT id FROM hiter WHERE 0.2 > v <-> '[0.1,0.2,0.3,0.1]' ORDER BY v <-> '[0.1,0.2,0.3,0.1]' LIMIT 10) s;
SELECT sweeps FROM hnsw_last_scan();

-- plans that take the order for granted get all rows in order
SET hnsw.ef_search = 1;
SET enable_hashagg = off;
SELECT count(*) = (SELECT count(DISTINCT d) FROM (SELECT v <-> '[0,0,0,0]' AS d FROM hiter OFFSET 0) s) FROM
	(SELECT DISTINCT v <-> '[0,0,0,0]' FROM hiter ORDER BY 1) s;
SELECT sweeps, resumes FROM hnsw_last_scan();
SELECT bool_and(d >= before) FROM (SELECT d, lag(d) OVER (ORDER BY n) AS before FROM
	(SELECT v <-> '[0.1,0.2,0.3,0.1]' AS d, row_number() OVER (ORDER BY v <-> '[0.1,0.2,0.3,0.1]') AS n FROM hiter) s) s WHERE before IS NOT NULL;
RESET enable_hashagg;
-- ... but not of a LIMIT, nor for a number of rows
SELECT count(*), bool_and(n = r) FROM (SELECT row_number() OVER () AS n, rank() OVER (ORDER BY d) AS r FROM
	(SELECT v <-> '[0.1,0.2,0.3,0.1]' AS d FROM hiter ORDER BY 1 LIMIT 10) s) s;
SELECT sweeps, returned FROM hnsw_last_scan();

-- rows of one node, whose vectors are equal but for their length, are at distances of their own
CREATE TABLE hpar (id int, v vector(8));
INSERT INTO hpar SELECT i, (SELECT array_agg((1 + i % 7) * ((i / 7 * 37 + k * k * 11) % 100))::vector FROM generate_series(1, 8) k)
	FROM generate_series(1, 2100) i;
CREATE INDEX ON hpar USING hnsw (v vector_cosine_ops);
ANALYZE hpar;
SET enable_hashagg = off;
SET enable_hashjoin = off;
SET enable_nestloop = off;
SELECT count(*) > 100 AS many, count(*) = count(DISTINCT d) AS distinct FROM (SELECT DISTINCT v <=> '[1,2,3,4,5,6,7,8]' AS d FROM hpar ORDER BY d) s;
EXPLAIN (COSTS OFF) SELECT count(*) FROM (SELECT v <=> '[1,2,3,4,5,6,7,8]' AS d FROM hpar ORDER BY 1) a
	JOIN (SELECT v <=> '[1,2,3,4,5,6,7,8]' AS d FROM hpar ORDER BY 1) b USING (d);
SELECT count(*) FROM (SELECT v <=> '[1,2,3,4,5,6,7,8]' AS d FROM hpar ORDER BY 1) a
	JOIN (SELECT v <=> '[1,2,3,4,5,6,7,8]' AS d FROM hpar ORDER BY 1) b USING (d);
-- also with little memory and a limit beyond the table
SET work_mem = '64kB';
SET hnsw.max_scan_tuples = 20000;
SET hnsw.iterative_scan = relaxed_order;
SELECT count(*), count(DISTINCT id), bool_and(d >= before) FROM (SELECT id, d, lag(d, 1, d) OVER (ORDER BY n) AS before FROM
	(SELECT id, v <=> '[1,2,3,4,5,6,7,8]' AS d, row_number() OVER (ORDER BY v <=> '[1,2,3,4,5,6,7,8]') AS n FROM hpar) s) s;
RESET work_mem;
RESET hnsw.max_scan_tuples;
RESET hnsw.iterative_scan;
SET enable_indexscan = off;
SELECT count(*) FROM (SELECT v <=> '[1,2,3,4,5,6,7,8]' AS d FROM hpar ORDER BY 1) a
	JOIN (SELECT v <=> '[1,2,3,4,5,6,7,8]' AS d FROM hpar ORDER BY 1) b USING (d);
RESET enable_indexscan;
RESET enable_hashagg;
RESET enable_hashjoin;
RESET enable_nestloop;
DROP TABLE hpar;

-- what a scan has done
SET hnsw.ef_search = 40;
SELECT count(*) FROM (SELECT id FROM hiter ORDER BY v <-> '[0,0,0,0]' LIMIT 10) s;
SELECT index::regclass, searches, resumes, sweeps, width, visited BETWEEN 41 AND 1000 AS visited, scored > visited AS scored,
	returned FROM hnsw_last_scan();
SELECT count(*) FROM (SELECT id FROM hiter ORDER BY v <-> '[0,0,0,0]' LIMIT 100) s;
SELECT searches, resumes, sweeps, width, returned FROM hnsw_last_scan();
SELECT count(*) FROM (SELECT id FROM hiter WHERE id < 0 ORDER BY v <-> '[0,0,0,0]' LIMIT 10) s;
SELECT searches, sweeps, returned FROM hnsw_last_scan();
SELECT count(*) FROM generate_series(1, 5) g, LATERAL (SELECT id FROM hiter WHERE r <> g ORDER BY v <-> '[0,0,0,0]' LIMIT 1) s;
SELECT searches, returned FROM hnsw_last_scan();
DROP TABLE hiter;
DROP FUNCTION come, within;
