-- searches among rows most of which are dead, before VACUUM and after
SELECT setseed(0.5);
CREATE TABLE hdead (id int, v vector(16));
INSERT INTO hdead SELECT i, random_vector(16) FROM generate_series(1, 6000) AS i;
CREATE INDEX hdead_v ON hdead USING hnsw (v vector_l2_ops) WITH (ef_construction = 16);
VACUUM ANALYZE hdead;
SET enable_seqscan = off;
SET enable_sort = off;

-- how many pages a search touches, of the index and of the table
CREATE FUNCTION touched(k int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE format('EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) '
		'SELECT id FROM hdead ORDER BY v <-> ''[1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8]'' LIMIT %s', k) INTO plan;
	RETURN (plan->0->'Plan'->>'Shared Hit Blocks')::bigint + (plan->0->'Plan'->>'Shared Read Blocks')::bigint;
END $$;

CREATE TABLE hdead_touched AS SELECT 'all rows' AS rows, touched(10) AS n;
DELETE FROM hdead WHERE id % 300 <> 0;
INSERT INTO hdead_touched VALUES ('dead, first search', touched(10));
INSERT INTO hdead_touched VALUES ('dead, second search', touched(10));
-- VACUUM may give some back
INSERT INTO hdead_touched SELECT 'pages', pg_relation_size('hdead_v') / current_setting('block_size')::int;
SELECT count(*) FROM (SELECT id FROM hdead ORDER BY v <-> '[1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8]' LIMIT 100) s;
SELECT bool_and(s.id = e.id) FROM
	(SELECT id, row_number() OVER () AS n FROM (SELECT id FROM hdead ORDER BY v <-> '[1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8]' LIMIT 20) s) s
	JOIN (SELECT id, row_number() OVER (ORDER BY l2_distance(v, '[1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8]')) AS n FROM hdead) e USING (n);
VACUUM hdead;
INSERT INTO hdead_touched VALUES ('after VACUUM', touched(10));

-- the first search sees that the rows are dead, and says so to the second
SELECT f.n <= 3 * p.n AS first, s.n <= 1.5 * p.n AS second, v.n <= 1.2 * p.n AS vacuumed
	FROM (SELECT n FROM hdead_touched WHERE rows = 'pages') p,
		(SELECT n FROM hdead_touched WHERE rows = 'dead, first search') f,
		(SELECT n FROM hdead_touched WHERE rows = 'dead, second search') s,
		(SELECT n FROM hdead_touched WHERE rows = 'after VACUUM') v;
SELECT * FROM hnsw_check('hdead_v');

-- what is said of a node is not true of a row that joins it
DELETE FROM hdead;
SELECT touched(10) > 0, touched(10) > 0;
INSERT INTO hdead SELECT id, v FROM (SELECT 7000 AS id, random_vector(16) AS v) r;
INSERT INTO hdead SELECT 7001, v FROM hdead;
DELETE FROM hdead WHERE id = 7000;
SELECT touched(10) > 0, touched(10) > 0;
DELETE FROM hdead WHERE id = 7001;
INSERT INTO hdead SELECT 7002, '[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]';
DELETE FROM hdead;
SELECT touched(10) > 0, touched(10) > 0;
INSERT INTO hdead SELECT 7003, '[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]';
SELECT id FROM hdead ORDER BY v <-> '[1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8]' LIMIT 10;
SELECT * FROM hnsw_check('hdead_v');

DROP TABLE hdead, hdead_touched;
DROP FUNCTION touched;
