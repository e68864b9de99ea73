-- Columns and expressions of halfvec: distances, conditions and functions go by the value as
-- the index defines it; what does not fit is refused.
\pset format unaligned
\pset tuples_only on
SELECT setseed(0.5);
SET jit = off;
SET hnsw.ef_search = 400;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE htypes (id int, r int, v vector(32), h halfvec(32));
INSERT INTO htypes SELECT i, i % 50, x, x FROM (SELECT i, random_vector(32) AS x FROM generate_series(1, 3000) AS i OFFSET 0) AS s;
-- as far from each other as halves can be, and as near
INSERT INTO htypes SELECT -i, 0, x, x FROM (SELECT i, array_fill(65504 * (1 - 2 * (i % 2)), ARRAY[32])::vector AS x FROM generate_series(1, 4) AS i) AS s;
INSERT INTO htypes SELECT -10 - i, 0, x, x FROM (SELECT i, ('[' || repeat('6e-8,', 31) || i * 6e-8 || ']')::vector AS x FROM generate_series(1, 4) AS i) AS s;
INSERT INTO htypes VALUES (0, 0, NULL, NULL);
CREATE TABLE hindexes (name text, opclass text, value text, type text, op text);
INSERT INTO hindexes VALUES ('h_l2', 'halfvec_l2_ops', 'h', 'halfvec(32)', '<->'), ('h_ip', 'halfvec_ip_ops', 'h', 'halfvec(32)', '<#>'),
	('h_cosine', 'halfvec_cosine_ops', 'h', 'halfvec(32)', '<=>'), ('h_l1', 'halfvec_l1_ops', 'h', 'halfvec(32)', '<+>'),
	('cast', 'halfvec_cosine_ops', 'v::halfvec(32)', 'halfvec(32)', '<=>'), ('cast_l2', 'halfvec_l2_ops', 'v::halfvec(32)', 'halfvec(32)', '<->'),
	('part', 'vector_l2_ops', 'subvector(v, 1, 8)::vector(8)', 'vector(8)', '<->'), ('half_part', 'halfvec_l2_ops', 'subvector(h, 25, 8)::halfvec(8)', 'halfvec(8)', '<->'),
	('widened', 'vector_ip_ops', 'h::vector(32)', 'vector(32)', '<#>'), ('normal', 'halfvec_l2_ops', 'l2_normalize(h)::halfvec(32)', 'halfvec(32)', '<->');
DO $$
DECLARE
	i hindexes;
BEGIN
	FOR i IN TABLE hindexes LOOP
		EXECUTE format('CREATE INDEX htypes_%s ON htypes USING hnsw ((%s) %s)', i.name, i.value, i.opclass);
	END LOOP;
END
$$;
VACUUM ANALYZE htypes;
-- the same distances in the same order as a sequential scan and a sort
SELECT name, string_agg(DISTINCT index_agrees(format('SELECT (%s) %s %L::%s FROM htypes ORDER BY 1 LIMIT %s', value, op, q, type, n)), ' ')
	FROM hindexes, unnest(ARRAY[1, 40, 3000]) AS n, LATERAL (SELECT array_to_vector(array_agg(x), -1, false) AS q
		FROM generate_series(1, substring(type FROM '\d+')::int), LATERAL (SELECT (random() - 0.5)::real AS x WHERE n > 0) AS r) AS s GROUP BY name ORDER BY name;
-- conditions on distances; the index's own check of rows goes by the same value
CREATE FUNCTION within(i hindexes, bound float8, q text, ordered bool) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	query text := format('SELECT id, (%1$s) %2$s %3$L::%4$s FROM htypes WHERE (%1$s) %2$s %3$L::%4$s < %5$s', i.value, i.op, q, i.type, bound) ||
		CASE WHEN ordered THEN format(' ORDER BY (%s) %s %L::%s', i.value, i.op, q, i.type) ELSE '' END;
	plan text := '';
	line text;
	by_index int[];
	exact int[];
	distances float8[];
BEGIN
	PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true);
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := plan || line;
	END LOOP;
	EXECUTE format('SELECT array_agg(id), array_agg(d) FROM (%s) AS s (id, d)', query) INTO by_index, distances;
	PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true), set_config('enable_indexscan', 'off', true);
	EXECUTE format('SELECT array_agg(id) FROM (%s) AS s', query) INTO exact;
	PERFORM set_config('enable_indexscan', 'on', true);
	RETURN CASE WHEN plan !~ 'Index Cond: .* <<.*>> ' THEN 'no condition of an index: ' || plan
		WHEN NOT by_index <@ exact THEN 'rows that are not within' WHEN cardinality(exact) < 10 THEN 'few rows'
		WHEN cardinality(by_index) < 0.95 * cardinality(exact) THEN format('%s of %s', cardinality(by_index), cardinality(exact))
		WHEN ordered AND distances <> ARRAY(SELECT d FROM unnest(distances) AS d ORDER BY d) THEN 'not in order'
		ELSE 'right' END;
END
$$;
SELECT i.name, within(i, b, q, false), within(i, b, q, true) FROM hindexes AS i,
	LATERAL (SELECT CASE op WHEN '<->' THEN CASE substring(type FROM '\d+') WHEN '8' THEN 0.7 ELSE 1.9 END WHEN '<#>' THEN -0.6 WHEN '<=>' THEN 0.75 ELSE 9 END AS b) AS b,
	LATERAL (SELECT '[' || string_agg((sin(n * 7) / 3)::real::text, ',') || ']' AS q FROM generate_series(1, substring(type FROM '\d+')::int) AS n) AS q
	WHERE name <> 'normal' ORDER BY i.name;
-- many queries at once, and calibration: arrays of the index's own type
SELECT count(*), bool_and(s.distance = (h.h <-> q.h)) FROM hnsw_search('htypes_h_l2', (SELECT array_agg(h ORDER BY id) FROM htypes WHERE id BETWEEN 1 AND 20), 5) AS s
	JOIN htypes AS h ON h.ctid = s.ctid JOIN htypes AS q ON q.id = s.query;
SELECT outcome($$SELECT count(*) FROM hnsw_search('htypes_h_l2', (SELECT array_agg(v) FROM htypes WHERE id > 0), 5)$$), outcome($$SELECT count(*) FROM hnsw_search('htypes_part', (SELECT array_agg(h) FROM htypes WHERE id > 0), 5)$$);
SELECT outcome($$SELECT hnsw_calibrate('htypes_h_l2', (SELECT array_agg(v) FROM htypes WHERE id > 0))$$), hnsw_calibrate('htypes_h_l2', (SELECT array_agg(h) FROM htypes WHERE id BETWEEN 1 AND 200)) > 100;
-- rows that come, change and go
INSERT INTO htypes SELECT 5000 + i, 0, x, x FROM (SELECT i, random_vector(32) AS x FROM generate_series(1, 300) AS i OFFSET 0) AS s;
UPDATE htypes SET h = (v * random_vector(32))::halfvec, v = v * v WHERE id % 10 = 3;
DELETE FROM htypes WHERE id % 10 = 4;
VACUUM htypes;
SELECT name, (SELECT count(*) FROM hnsw_check(('htypes_' || name)::regclass)) AS problems,
	index_agrees(format('SELECT (%s) %s %L::%s FROM htypes ORDER BY 1 LIMIT 50', value, op, array_fill(0.1, ARRAY[substring(type FROM '\d+')::int])::vector, type)) FROM hindexes ORDER BY name;
-- equal halves of vectors that differ share a node
CREATE TABLE hequal (v vector(2));
CREATE INDEX ON hequal USING hnsw ((v::halfvec(2)) halfvec_l2_ops);
INSERT INTO hequal SELECT ARRAY[1 + i * 1e-6, 1]::vector FROM generate_series(1, 50) AS i;
SELECT live_nodes, heap_tids FROM hnsw_info('hequal_v_idx');
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT v FROM hequal ORDER BY v::halfvec(2) <-> '[0,0]' LIMIT 30) AS s;
RESET enable_seqscan;
-- what does not fit: the column's type, the index's, and the function's
SELECT outcome($$INSERT INTO hequal VALUES ('[1,65520]') RETURNING v$$), outcome($$INSERT INTO htypes (h) VALUES ('[1,2]') RETURNING h$$), outcome($$INSERT INTO htypes (h) VALUES (array_fill(1e5, ARRAY[32])) RETURNING h$$);
DROP TABLE hequal;
SET enable_seqscan = off;
SELECT outcome($$SELECT h FROM htypes ORDER BY h <-> '[1,2]' LIMIT 1$$), outcome($$SELECT h FROM htypes WHERE h <-> '[1,2]' < 1$$);
RESET enable_seqscan;
CREATE TABLE hany (h halfvec, v vector(3), l halfvec(16000), m halfvec(3));
SELECT outcome('CREATE INDEX ON hany USING hnsw (h halfvec_l2_ops)'), outcome('CREATE INDEX ON hany USING hnsw (v halfvec_l2_ops)'), outcome('CREATE INDEX ON hany USING hnsw (m vector_l2_ops)'), outcome('CREATE INDEX ON hany USING hnsw (m)');
INSERT INTO hany (l) SELECT array_fill(i, ARRAY[16000])::halfvec FROM generate_series(1, 5) AS i;
CREATE INDEX hany_l ON hany USING hnsw (l halfvec_l2_ops);
INSERT INTO hany (l) SELECT array_fill(i, ARRAY[16000])::halfvec FROM generate_series(6, 10) AS i;
SET enable_seqscan = off;
SELECT subvector(l, 16000, 1) FROM hany ORDER BY l <-> array_fill(7.25, ARRAY[16000])::halfvec LIMIT 3;
RESET enable_seqscan;
SELECT dimensions, live_nodes FROM hnsw_info('hany_l');
SELECT count(*) FROM hnsw_check('hany_l');
DROP TABLE hany;
-- as large as vector's; memory is a matter of dimensions
SELECT count(*) FROM unnest(ARRAY[3, 100, 384, 1536, 16000]) AS d WHERE hnsw_build_memory(1000, d, opclass => 'halfvec_ip_ops') <> hnsw_build_memory(1000, d, opclass => 'vector_ip_ops');
SELECT outcome($$SELECT hnsw_build_memory(1000, 100, opclass => 'halfvec_bit_ops')$$);
-- operator classes whose functions are of different types
CREATE OPERATOR CLASS hhalf_bad FOR TYPE halfvec USING hnsw AS OPERATOR 1 <-> (halfvec, halfvec) FOR ORDER BY float_ops, FUNCTION 1 halfvec_l2_squared_distance(halfvec, halfvec);
CREATE OPERATOR CLASS hvector_bad FOR TYPE vector USING hnsw AS OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops, FUNCTION 1 vector_l2_squared_distance(vector, vector), FUNCTION 3 hnsw_halfvec_support(internal);
SELECT outcome('CREATE INDEX ON htypes USING hnsw (h hhalf_bad)'), outcome('CREATE INDEX ON htypes USING hnsw (v hvector_bad)');
DROP OPERATOR CLASS hhalf_bad USING hnsw;
DROP OPERATOR CLASS hvector_bad USING hnsw;
SELECT opcname, amvalidate(c.oid) FROM pg_opclass AS c JOIN pg_am AS a ON a.oid = opcmethod AND amname = 'hnsw' WHERE opcintype = 'halfvec'::regtype ORDER BY 1;
-- a column that becomes another type gets a new index, or none
CREATE TABLE hchanged AS SELECT id, v FROM htypes WHERE id BETWEEN 1 AND 100;
CREATE INDEX hchanged_v ON hchanged USING hnsw (v vector_l2_ops);
SELECT outcome('ALTER TABLE hchanged ALTER v TYPE halfvec(32)');
DROP INDEX hchanged_v;
ALTER TABLE hchanged ALTER v TYPE halfvec(32);
CREATE INDEX hchanged_v ON hchanged USING hnsw (v halfvec_l2_ops);
SELECT index_agrees(format('SELECT v <-> %L FROM hchanged ORDER BY 1 LIMIT 10', array_fill(0.1, ARRAY[32])::vector));
DROP FUNCTION within;
DROP TABLE hchanged, htypes, hindexes;
-- elements that halves round all one way do not put rows out of order
CREATE TABLE hround AS
	SELECT i AS id, (SELECT array_agg(CASE i WHEN 1 THEN 1.00048 WHEN 2 THEN 1 + 0.00049 * (n <= 45)::int ELSE 1 + i END)
		FROM generate_series(1, 100) n)::vector(100) AS v
	FROM generate_series(1, 500) i;
CREATE INDEX hround_v ON hround USING hnsw (v vector_l1_ops);
SET enable_seqscan = off;
SET enable_sort = off;
SELECT id FROM hround ORDER BY v <+> array_fill(0, ARRAY[100])::vector LIMIT 3;
RESET enable_seqscan;
RESET enable_sort;
SELECT own_vector FROM hnsw_info('hround_v');
DROP TABLE hround;
