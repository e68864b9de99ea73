-- a distance that only orders rows is not computed for each row once more
SELECT setseed(0.5);
SET hnsw.ef_search = 200;
SET enable_seqscan = off;
SET enable_sort = off;
CREATE TABLE hjunk (id int, v vector(4), kind int);
INSERT INTO hjunk SELECT i, random_vector(4), i % 3 FROM generate_series(1, 500) AS i;
CREATE INDEX hjunk_v ON hjunk USING hnsw (v vector_l2_ops);
ANALYZE hjunk;
-- The columns of the index scans of a query's plan, with "distance" for what
-- they are ordered by; and whether the rows are those that a sort gives.
CREATE FUNCTION scan_columns(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	plan json;
	columns text;
	line record;
	by_index text[] := '{}';
	by_sort text[] := '{}';
BEGIN
	EXECUTE 'EXPLAIN (VERBOSE, COSTS OFF, FORMAT json) ' || query INTO plan;
	SELECT string_agg(replace(replace(node ->> 'Output', node ->> 'Order By', '(distance)'),
				'"', ''), ' + ')
		INTO columns
		FROM (SELECT jsonb_path_query(plan::jsonb,
			'strict $.** ? (@."Node Type" == "Index Scan" && exists (@."Order By"))')) AS n(node);
	FOR line IN EXECUTE query LOOP
		by_index := by_index || line::text;
	END LOOP;
	SET LOCAL enable_indexscan = off;
	FOR line IN EXECUTE query LOOP
		by_sort := by_sort || line::text;
	END LOOP;
	SET LOCAL enable_indexscan = on;
	RETURN concat(columns, CASE WHEN by_index = by_sort AND by_index <> '{}' THEN ', same rows'
		ELSE format(', index %s sort %s', by_index, by_sort) END);
END
$$;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM hjunk ORDER BY v <-> '[0,0,0,0]' LIMIT 5;
-- not read
SELECT scan_columns($$SELECT id FROM hjunk ORDER BY v <-> '[0,0,0,0]' LIMIT 50$$);
SELECT scan_columns($$SELECT id, v FROM hjunk ORDER BY v <-> '[0,0,0,0]' LIMIT 50 OFFSET 20$$);
SELECT scan_columns($$SELECT id FROM hjunk WHERE kind = 1 AND v <-> '[0,0,0,0]' > 0.1
	ORDER BY v <-> '[0,0,0,0]' LIMIT 50$$);
SELECT scan_columns($$SELECT FROM hjunk ORDER BY v <-> '[0,0,0,0]' LIMIT 5$$);
SELECT scan_columns($$SELECT id, 1 - (v <-> '[0,0,0,0]') AS near FROM hjunk
	ORDER BY v <-> '[0,0,0,0]' LIMIT 50$$);
-- sub-queries
SELECT scan_columns($$SELECT id FROM (SELECT id FROM hjunk
	ORDER BY v <-> '[0,0,0,0]' LIMIT 50) AS s WHERE id > 3$$);
SELECT scan_columns($$SELECT id FROM (SELECT id, v <-> '[0,0,0,0]' AS d FROM hjunk
	ORDER BY d LIMIT 50) AS s WHERE id > 3$$);
SELECT scan_columns($$SELECT array(SELECT id FROM hjunk ORDER BY v <-> '[0,0,0,0]' LIMIT 50)$$);
SELECT scan_columns($$SELECT (SELECT id FROM hjunk ORDER BY v <-> '[0,0,0,0]' LIMIT 1)$$);
SELECT scan_columns($$SELECT s.id, near.id FROM generate_series(1, 3) AS s(id), LATERAL
	(SELECT id FROM hjunk ORDER BY v <-> ARRAY[s.id, 0, 0, 0]::vector LIMIT 5) AS near$$);
SELECT scan_columns($$WITH s AS MATERIALIZED (SELECT id FROM hjunk
	ORDER BY v <-> '[0,0,0,0]' LIMIT 50) SELECT * FROM s WHERE id > 3$$);
SELECT scan_columns($$(SELECT id FROM hjunk ORDER BY v <-> '[0,0,0,0]' LIMIT 5) UNION ALL
	(SELECT id FROM hjunk ORDER BY v <-> '[1,0,0,0]' LIMIT 5)$$);
SELECT scan_columns($$SELECT count(*), min(id) FROM (SELECT id FROM hjunk
	ORDER BY v <-> '[0,0,0,0]' LIMIT 50) AS s$$);
SELECT scan_columns($$SELECT array_agg(hjunk.id ORDER BY hjunk.id) FROM hjunk JOIN
	(SELECT id FROM hjunk ORDER BY v <-> '[0,0,0,0]' LIMIT 50) AS s USING (id)$$);
-- read
SELECT scan_columns($$SELECT id, v <-> '[0,0,0,0]' FROM hjunk
	ORDER BY v <-> '[0,0,0,0]' LIMIT 50$$);
SELECT scan_columns($$SELECT id FROM (SELECT id, v <-> '[0,0,0,0]' AS d FROM hjunk
	ORDER BY d LIMIT 50) AS s WHERE d > 0.1$$);
SELECT scan_columns($$SELECT max(d) FROM (SELECT id, v <-> '[0,0,0,0]' AS d FROM hjunk
	ORDER BY d LIMIT 50) AS s$$);
SELECT scan_columns($$SELECT kind, count(*) FROM (SELECT kind, v <-> '[0,0,0,0]' AS d FROM hjunk
	ORDER BY d LIMIT 50) AS s GROUP BY kind, d ORDER BY kind, d$$);
SELECT scan_columns($$SELECT near.d FROM generate_series(1, 3) AS s(id), LATERAL
	(SELECT v <-> ARRAY[s.id, 0, 0, 0]::vector AS d FROM hjunk ORDER BY d LIMIT 5) AS near$$);
SELECT scan_columns($$SELECT s FROM (SELECT id, v <-> '[0,0,0,0]' AS d FROM hjunk
	ORDER BY d LIMIT 50) AS s$$);
SELECT scan_columns($$SELECT id FROM hjunk ORDER BY v <-> '[0,0,0,0]'
	FETCH FIRST 50 ROWS WITH TIES$$);
SELECT scan_columns($$SELECT DISTINCT ON (v <-> '[0,0,0,0]') id FROM hjunk
	ORDER BY v <-> '[0,0,0,0]' LIMIT 50$$);
SELECT scan_columns($$SELECT id, row_number() OVER (ORDER BY v <-> '[0,0,0,0]') FROM hjunk
	ORDER BY v <-> '[0,0,0,0]' LIMIT 50$$);
SELECT scan_columns($$SELECT id FROM hjunk ORDER BY v <-> '[0,0,0,0]', id LIMIT 50$$) ~ 'NULL';
-- rows that are locked or changed
SELECT scan_columns($$SELECT id FROM hjunk ORDER BY v <-> '[0,0,0,0]' LIMIT 5 FOR UPDATE$$);
SELECT scan_columns($$WITH s AS (SELECT id FROM hjunk ORDER BY v <-> '[0,0,0,0]' LIMIT 5 FOR UPDATE)
	UPDATE hjunk SET kind = 4 FROM s WHERE hjunk.id = s.id RETURNING s.id$$);
SELECT count(*) FROM hjunk WHERE kind = 4;
-- cursors
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id, v <-> '[0,0,0,0]' < 0.1 FROM hjunk
	ORDER BY v <-> '[0,0,0,0]' LIMIT 5;
DECLARE d SCROLL CURSOR WITH HOLD FOR SELECT id FROM hjunk ORDER BY v <-> '[0,0,0,0]' LIMIT 5;
FETCH ALL FROM c;
FETCH BACKWARD 2 FROM c;
FETCH ALL FROM d;
COMMIT;
FETCH BACKWARD ALL FROM d;
CLOSE d;
-- a prepared statement, its vector known or not when it is planned
PREPARE near (vector) AS SELECT id FROM hjunk ORDER BY v <-> $1 LIMIT 5;
SET plan_cache_mode = force_custom_plan;
SELECT scan_columns('EXECUTE near($$[0,0,0,0]$$)');
SET plan_cache_mode = force_generic_plan;
SELECT scan_columns('EXECUTE near($$[0,0,0,0]$$)');
RESET plan_cache_mode;
-- partitions are merged by distance; a single one needs no merge
CREATE TABLE hjunk_parts (id int, v vector(4), kind int) PARTITION BY LIST (kind);
CREATE TABLE hjunk_part0 PARTITION OF hjunk_parts FOR VALUES IN (0);
CREATE TABLE hjunk_part1 PARTITION OF hjunk_parts FOR VALUES IN (1);
INSERT INTO hjunk_parts SELECT id, v, id % 2 FROM hjunk;
CREATE INDEX ON hjunk_parts USING hnsw (v vector_l2_ops);
ANALYZE hjunk_parts;
SELECT scan_columns($$SELECT id FROM hjunk_parts ORDER BY v <-> '[0,0,0,0]' LIMIT 50$$);
SELECT scan_columns($$SELECT id FROM hjunk_parts WHERE kind = 1
	ORDER BY v <-> '[0,0,0,0]' LIMIT 50$$);
-- other access methods are left alone
CREATE TABLE hjunk_points (id int, p point);
INSERT INTO hjunk_points SELECT i, point(i, i) FROM generate_series(1, 50) AS i;
CREATE INDEX ON hjunk_points USING gist (p);
SELECT scan_columns($$SELECT a.id, b.id FROM
	(SELECT id FROM hjunk_points ORDER BY p <-> point(3, 3) LIMIT 3) AS a,
	(SELECT id FROM hjunk ORDER BY v <-> '[0,0,0,0]' LIMIT 3) AS b$$);
DROP TABLE hjunk, hjunk_parts, hjunk_points;
DROP FUNCTION scan_columns;
