-- Columns and expressions of halfvec, bit and sparsevec: distances, conditions and functions go by the value as
-- the index defines it; what does not fit is refused.
\pset format unaligned
\pset tuples_only on
SELECT setseed(0.5);
SET jit = off;
SET hnsw.ef_search = 1000;
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
	('widened', 'vector_ip_ops', 'h::vector(32)', 'vector(32)', '<#>'), ('normal', 'halfvec_l2_ops', 'l2_normalize(h)::halfvec(32)', 'halfvec(32)', '<->'),
	('bits', 'bit_hamming_ops', 'binary_quantize(v)::bit(32)', 'bit(32)', '<~>'), ('bits_jaccard', 'bit_jaccard_ops', 'binary_quantize(h)::bit(32)', 'bit(32)', '<%>'),
	('sparse', 'sparsevec_l2_ops', 'v::sparsevec(32)', 'sparsevec(32)', '<->'), ('sparse_ip', 'sparsevec_ip_ops', 'v::sparsevec(32)', 'sparsevec(32)', '<#>'),
	('sparse_cosine', 'sparsevec_cosine_ops', 'h::sparsevec(32)', 'sparsevec(32)', '<=>'), ('sparse_l1', 'sparsevec_l1_ops', 'v::sparsevec(32)', 'sparsevec(32)', '<+>');
-- A query of an index's type, from a vector.
CREATE FUNCTION query_of(i hindexes, q text) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN i.type LIKE 'bit%' THEN format('binary_quantize(%L::vector)::%s', q, i.type) ELSE format('%L::vector::%s', q, i.type) END
$$;
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
SELECT name, string_agg(DISTINCT index_agrees(format('SELECT (%s) %s %s FROM htypes ORDER BY 1 LIMIT %s', value, op, query_of(hindexes, q::text), n)), ' ')
	FROM hindexes, unnest(ARRAY[1, 40, 3000]) AS n, LATERAL (SELECT array_to_vector(array_agg(x), -1, false) AS q
		FROM generate_series(1, substring(type FROM '\d+')::int), LATERAL (SELECT (random() - 0.5)::real AS x WHERE n > 0) AS r) AS s GROUP BY name ORDER BY name;
-- conditions on distances; the index's own check of rows goes by the same value
CREATE FUNCTION within(i hindexes, bound float8, q text, ordered bool) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	query text := format('SELECT id, (%1$s) %2$s %3$s FROM htypes WHERE (%1$s) %2$s %3$s < %4$s', i.value, i.op, query_of(i, q), bound) ||
		CASE WHEN ordered THEN format(' ORDER BY (%s) %s %s', i.value, i.op, query_of(i, q)) ELSE '' END;
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
	LATERAL (SELECT CASE op WHEN '<->' THEN CASE substring(type FROM '\d+') WHEN '8' THEN 0.7 ELSE 1.9 END WHEN '<#>' THEN -0.6 WHEN '<=>' THEN 0.75 WHEN '<~>' THEN 12 WHEN '<%>' THEN 0.5 ELSE 9 END AS b) AS b,
	LATERAL (SELECT '[' || string_agg((sin(n * 7) / 3)::real::text, ',') || ']' AS q FROM generate_series(1, substring(type FROM '\d+')::int) AS n) AS q
	WHERE name <> 'normal' ORDER BY i.name;
-- many queries at once, and calibration: arrays of the index's own type
SELECT count(*), bool_and(s.distance = (h.h <-> q.h)) FROM hnsw_search('htypes_h_l2', (SELECT array_agg(h ORDER BY id) FROM htypes WHERE id BETWEEN 1 AND 20), 5) AS s
	JOIN htypes AS h ON h.ctid = s.ctid JOIN htypes AS q ON q.id = s.query;
SELECT outcome($$SELECT count(*) FROM hnsw_search('htypes_h_l2', (SELECT array_agg(v) FROM htypes WHERE id > 0), 5)$$), outcome($$SELECT count(*) FROM hnsw_search('htypes_part', (SELECT array_agg(h) FROM htypes WHERE id > 0), 5)$$);
SELECT outcome($$SELECT hnsw_calibrate('htypes_h_l2', (SELECT array_agg(v) FROM htypes WHERE id > 0))$$), hnsw_calibrate('htypes_h_l2', (SELECT array_agg(h) FROM htypes WHERE id BETWEEN 1 AND 200)) > 100;
SELECT s.query, count(*), bool_and(s.distance = (binary_quantize(h.v) <~> binary_quantize(q.v))) FROM hnsw_search('htypes_bits', (SELECT array_agg(binary_quantize(v) ORDER BY id) FROM htypes WHERE id BETWEEN 1 AND 3), 5) AS s
	JOIN htypes AS h ON h.ctid = s.ctid JOIN htypes AS q ON q.id = s.query GROUP BY 1 ORDER BY 1;
SELECT s.query, count(*), bool_and(abs(s.distance - (h.v <-> q.v)) < 1e-5) FROM hnsw_search('htypes_sparse', (SELECT array_agg(v::sparsevec ORDER BY id) FROM htypes WHERE id BETWEEN 1 AND 3), 5) AS s
	JOIN htypes AS h ON h.ctid = s.ctid JOIN htypes AS q ON q.id = s.query GROUP BY 1 ORDER BY 1;
SELECT outcome($$SELECT count(*) FROM hnsw_search('htypes_bits', ARRAY[B'101'], 5)$$), outcome($$SELECT count(*) FROM hnsw_search('htypes_sparse', ARRAY['{1:1}/33'::sparsevec], 5)$$), outcome($$SELECT count(*) FROM hnsw_search('htypes_sparse', ARRAY['[1]'::vector], 5)$$);
SELECT hnsw_calibrate('htypes_bits', (SELECT array_agg(binary_quantize(v)) FROM htypes WHERE id BETWEEN 1 AND 200)) > 100, hnsw_calibrate('htypes_sparse', (SELECT array_agg(v::sparsevec) FROM htypes WHERE id BETWEEN 1 AND 200)) > 100;
-- the nearest bits, ranked by the vectors they were made of
CREATE FUNCTION seventh() RETURNS vector LANGUAGE sql STABLE AS 'SELECT v FROM htypes WHERE id = 7';
SELECT index_agrees('SELECT d FROM (SELECT v <=> (SELECT seventh()) AS d FROM htypes WHERE id > 0 ORDER BY binary_quantize(v)::bit(32) <~> (SELECT binary_quantize(seventh())::bit(32)) LIMIT 800) AS s ORDER BY d LIMIT 3');
DROP FUNCTION seventh;
-- rows that come, change and go
INSERT INTO htypes SELECT 5000 + i, 0, x, x FROM (SELECT i, random_vector(32) AS x FROM generate_series(1, 300) AS i OFFSET 0) AS s;
UPDATE htypes SET h = (v * random_vector(32))::halfvec, v = v * v WHERE id % 10 = 3;
DELETE FROM htypes WHERE id % 10 = 4;
VACUUM htypes;
SET hnsw.ef_search = 4000;
SELECT name, (SELECT count(*) FROM hnsw_check(('htypes_' || name)::regclass)) AS problems,
	index_agrees(format('SELECT (%s) %s %s FROM htypes ORDER BY 1 LIMIT 50', value, op, query_of(hindexes, (array_fill(0.1, ARRAY[substring(type FROM '\d+')::int])::vector)::text))) FROM hindexes ORDER BY name;
SET hnsw.ef_search = 1000;
-- equal halves of vectors that differ share a node
CREATE TABLE hequal (v vector(2));
CREATE INDEX ON hequal USING hnsw ((v::halfvec(2)) halfvec_l2_ops) WITH (pending_limit = 0);
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
SELECT opcname, amvalidate(c.oid) FROM pg_opclass AS c JOIN pg_am AS a ON a.oid = opcmethod AND amname = 'hnsw' WHERE opcintype IN ('halfvec'::regtype, 'bit'::regtype, 'sparsevec'::regtype) ORDER BY 1;
SELECT hnsw_build_memory(1000, 64, opclass => 'bit_hamming_ops') < hnsw_build_memory(1000, 64000, opclass => 'bit_jaccard_ops'), hnsw_build_memory(1000, 50, opclass => 'sparsevec_l2_ops') < hnsw_build_memory(1000, 500, opclass => 'sparsevec_l1_ops'), outcome($$SELECT hnsw_build_memory(1000, 64001, opclass => 'bit_hamming_ops')$$);
-- bit strings and sparse vectors of all lengths there are, and none else
CREATE TABLE hlong (b bit(64000), c bit(64001), o bit, n "bit", vb varbit(8), s sparsevec(1000000000), a sparsevec);
SELECT outcome('CREATE INDEX ON hlong USING hnsw (c bit_hamming_ops)'), outcome('CREATE INDEX ON hlong USING hnsw (n bit_hamming_ops)'), outcome('CREATE INDEX ON hlong USING hnsw (a sparsevec_l2_ops)'), outcome('CREATE INDEX ON hlong USING hnsw (b)'), outcome('CREATE INDEX ON hlong USING hnsw (b vector_l2_ops)');
SELECT outcome('CREATE INDEX ON hlong USING hnsw (b bit_hamming_ops) WITH (own_vector = int8)'), outcome('CREATE INDEX ON hlong USING hnsw (s sparsevec_l2_ops) WITH (sketch_bits = 1)');
CREATE INDEX hlong_b ON hlong USING hnsw (b bit_hamming_ops);
SELECT outcome($$CREATE INDEX hlong_vb ON hlong USING hnsw (vb bit_hamming_ops)$$);
CREATE INDEX hlong_vb ON hlong USING hnsw ((vb::bit(8)) bit_hamming_ops);
CREATE INDEX hlong_o ON hlong USING hnsw (o bit_jaccard_ops);
CREATE INDEX hlong_s ON hlong USING hnsw (s sparsevec_l2_ops);
INSERT INTO hlong (b, o, s) SELECT (repeat('1', i * 5000) || repeat('0', 64000 - i * 5000))::bit(64000), (i % 2)::bit, format('{1:%s,1000000000:%s}/1000000000', i, i)::sparsevec FROM generate_series(1, 12) AS i;
REINDEX INDEX hlong_b;
SET enable_seqscan = off;
SELECT b <~> repeat('1', 64000)::bit(64000) FROM hlong ORDER BY 1 LIMIT 3;
SELECT DISTINCT o <%> B'1' FROM hlong ORDER BY 1;
SELECT s <-> '{1:5,1000000000:5}/1000000000' FROM hlong ORDER BY 1 LIMIT 2;
SELECT outcome($$SELECT b FROM hlong ORDER BY b <~> B'1' LIMIT 1$$), outcome($$SELECT s FROM hlong ORDER BY s <-> '{}/3' LIMIT 1$$);
RESET enable_seqscan;
SELECT name, (SELECT count(*) FROM hnsw_check(name::regclass)) AS problems, dimensions, live_nodes FROM unnest(ARRAY['hlong_b', 'hlong_o', 'hlong_s']) AS name, hnsw_info(name::regclass) ORDER BY 1;
-- a column that loses its length keeps its index, and that built again its dimensions
ALTER TABLE hlong ALTER b TYPE "bit", ALTER s TYPE sparsevec;
REINDEX TABLE hlong;
SELECT dimensions FROM unnest(ARRAY['hlong_b', 'hlong_s']) AS name, hnsw_info(name::regclass) ORDER BY 1;
SELECT outcome($$INSERT INTO hlong (b) VALUES (B'11')$$), outcome($$INSERT INTO hlong (s) VALUES ('{1:1}/2')$$);
DELETE FROM hlong;
VACUUM hlong;
REINDEX TABLE hlong;
SELECT dimensions, live_nodes FROM unnest(ARRAY['hlong_b', 'hlong_s']) AS name, hnsw_info(name::regclass) ORDER BY 1;
DROP TABLE hlong;
-- plans that want the order of all rows, or fetch some; tables of all kinds
CREATE TABLE hplain (id int, b bit(40), s sparsevec(100000));
INSERT INTO hplain SELECT i, binary_quantize(random_vector(40)), format('{%s:%s,%s:1}/100000', 1 + i % 50, random(), 100 + i % 70)::sparsevec FROM generate_series(1, 1200) AS i;
CREATE INDEX CONCURRENTLY hplain_b ON hplain USING hnsw (b bit_hamming_ops);
CREATE INDEX CONCURRENTLY hplain_s ON hplain USING hnsw (s sparsevec_cosine_ops);
ANALYZE hplain;
-- Do both plans say the same?
CREATE FUNCTION plans_agree(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text := '';
	by_index text;
	by_sort text;
BEGIN
	query := format('SELECT string_agg(s::text, '' '') FROM (%s) AS s', query);
	PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true), set_config('enable_hashagg', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_nestloop', 'off', true);
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := plan || line || E'\n';
	END LOOP;
	EXECUTE query INTO by_index;
	PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true), set_config('enable_indexscan', 'off', true);
	EXECUTE query INTO by_sort;
	PERFORM set_config('enable_indexscan', 'on', true), set_config('enable_hashagg', 'on', true), set_config('enable_hashjoin', 'on', true), set_config('enable_nestloop', 'on', true);
	RETURN CASE WHEN plan !~ 'Index Scan using' THEN 'no index: ' || plan WHEN by_index = by_sort AND length(by_sort) > 5 THEN 'same' ELSE format('index %s sort %s', by_index, by_sort) END;
END
$$;
\set hamming 'b <~> binary_quantize(array_fill(1, ARRAY[40])::vector)::bit(40)'
\set cosine 's <=> ''{7:0.5,106:1}/100000''::sparsevec'
SELECT distance, plans_agree(format('SELECT DISTINCT %1$s AS d FROM hplain ORDER BY d', distance)) AS "distinct",
	plans_agree(format('SELECT %1$s AS d, count(*) AS n FROM hplain GROUP BY 1 ORDER BY 1', distance)) AS grouped,
	plans_agree(format('SELECT d, max(r) AS r FROM (SELECT %1$s AS d, rank() OVER (ORDER BY %1$s) AS r FROM hplain) AS w GROUP BY d ORDER BY d', distance)) AS ranked,
	plans_agree(format('SELECT a.d, count(*) AS n FROM (SELECT %1$s AS d FROM hplain ORDER BY %1$s) AS a JOIN (SELECT %1$s AS d FROM hplain WHERE id %% 40 = 0 ORDER BY %1$s) AS b ON a.d = b.d GROUP BY a.d ORDER BY a.d', distance)) AS joined
	FROM unnest(ARRAY[:'hamming', :'cosine']) AS distance;
BEGIN;
SET LOCAL enable_seqscan = off;
DECLARE c CURSOR FOR SELECT :hamming AS d FROM hplain ORDER BY :hamming;
MOVE 1150 FROM c;
FETCH 2 FROM c;
MOVE ALL FROM c;
COMMIT;
-- the index, where it is quicker, and not for a few rows or for all
CREATE FUNCTION plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := plan || line;
	END LOOP;
	RETURN substring(plan FROM 'Index Scan using \w+|Seq Scan');
END
$$;
CREATE TABLE hfew AS SELECT * FROM hplain WHERE id <= 20;
CREATE INDEX hfew_b ON hfew USING hnsw (b bit_hamming_ops);
ANALYZE hfew;
INSERT INTO hplain SELECT i, binary_quantize(random_vector(40)), format('{%s:%s,%s:1}/100000', 1 + i % 50, random(), 100 + i % 70)::sparsevec FROM generate_series(2001, 8000) AS i;
ANALYZE hplain;
SELECT plan_of('SELECT id FROM hplain ORDER BY ' || :'hamming' || ' LIMIT 10'), plan_of('SELECT id FROM hplain ORDER BY ' || :'cosine' || ' LIMIT 10'), plan_of('SELECT id FROM hplain ORDER BY ' || :'hamming'), plan_of('SELECT id FROM hfew ORDER BY ' || :'hamming' || ' LIMIT 10');
DROP TABLE hfew;
CREATE UNLOGGED TABLE hunlogged (LIKE hplain);
CREATE TEMPORARY TABLE htemporary (LIKE hplain);
CREATE INDEX hunlogged_b ON hunlogged USING hnsw (b bit_jaccard_ops);
CREATE INDEX hunlogged_s ON hunlogged USING hnsw (s sparsevec_ip_ops);
CREATE INDEX htemporary_b ON htemporary USING hnsw (b bit_jaccard_ops);
CREATE INDEX htemporary_s ON htemporary USING hnsw (s sparsevec_l1_ops);
INSERT INTO hunlogged SELECT * FROM hplain WHERE id <= 300;
INSERT INTO htemporary SELECT * FROM hplain WHERE id <= 300;
SELECT index_agrees('SELECT b <%> binary_quantize(array_fill(1, ARRAY[40])::vector)::bit(40) FROM hunlogged ORDER BY 1 LIMIT 20'), index_agrees('SELECT s <#> ''{7:0.5,106:1}/100000'' FROM hunlogged ORDER BY 1 LIMIT 20'),
	index_agrees('SELECT b <%> binary_quantize(array_fill(1, ARRAY[40])::vector)::bit(40) FROM htemporary ORDER BY 1 LIMIT 20'), index_agrees('SELECT s <+> ''{7:0.5,106:1}/100000'' FROM htemporary ORDER BY 1 LIMIT 20');
-- another length
ALTER TABLE hunlogged ALTER b TYPE bit(20) USING b::bit(20), ALTER s TYPE sparsevec(7) USING '{3:1}/7'::sparsevec;
SELECT name, dimensions, (SELECT count(*) FROM hnsw_check(name::regclass)) FROM unnest(ARRAY['hunlogged_b', 'hunlogged_s']) AS name, hnsw_info(name::regclass) ORDER BY 1;
DROP FUNCTION plans_agree, plan_of, query_of;
DROP TABLE hplain, hunlogged, htemporary;
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
-- beyond 65,536 dimensions these have one place: their sum may be more than a half holds as scaled by
-- the largest, and of opposites nothing is left; rows are found, and in order, nevertheless
CREATE TABLE hplaces (v sparsevec(1000000));
INSERT INTO hplaces VALUES ('{4600:1.9999,10175:1.9999,10518:1.9999}/1000000'), ('{4600:100,10175:-100,25481:1}/1000000'), ('{4600:1,10175:-1}/1000000');
INSERT INTO hplaces SELECT format('{%s:%s,%s:%s}/1000000', 70000 + i, 0.25 + i / 90.0, 80000 + i % 7, i % 3 - 0.5)::sparsevec FROM generate_series(1, 300) AS i;
CREATE FUNCTION places_agree(opclass text, op text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE INDEX hplaces_v ON hplaces USING hnsw (v %s)', opclass);
	INSERT INTO hplaces VALUES ('{4600:3.9999,10175:3.9999,10518:3.9999,21179:3.9999,25481:3.9999}/1000000');
	RETURN concat_ws(' ', (SELECT string_agg(DISTINCT index_agrees(format('SELECT v %s %L::sparsevec FROM hplaces ORDER BY 1', op, q)), ' ')
			FROM unnest(ARRAY['{}/1000000', '{5:0.01}/1000000', '{4600:1,70009:1}/1000000']) AS q),
		(SELECT string_agg(problem, ' ') FROM hnsw_check('hplaces_v')));
END
$$;
CREATE TABLE hclasses (opclass text, op text);
INSERT INTO hclasses VALUES ('sparsevec_l2_ops', '<->'), ('sparsevec_ip_ops', '<#>'), ('sparsevec_l1_ops', '<+>');
DO $$
DECLARE
	c hclasses;
BEGIN
	FOR c IN TABLE hclasses LOOP
		RAISE INFO '% %', c.opclass, places_agree(c.opclass, c.op);
		DROP INDEX hplaces_v;
	END LOOP;
END
$$;
-- distances that differ by less than stored numbers tell come in order: squares of small elements are
-- sums in double precision to the operator, and so are the shares of long bit strings
CREATE TABLE hnear (b bit(16000), s sparsevec(100));
INSERT INTO hnear SELECT (repeat('1', 8000 + n) || repeat('0', 8000 - n))::bit(16000), format('{%s:%s}/100', 1 + i % 3, 1e-20 + n * 1e-24)::sparsevec
	FROM (SELECT i, i * 37 % 400 AS n FROM generate_series(1, 400) AS i) AS s;
CREATE INDEX hnear_b ON hnear USING hnsw (b bit_jaccard_ops);
CREATE INDEX hnear_s ON hnear USING hnsw (s sparsevec_l2_ops);
SET enable_seqscan = off;
SET enable_sort = off;
SELECT count(*), count(DISTINCT d) > 300 AS differ, count(*) FILTER (WHERE d < before) AS wrong
	FROM (SELECT d, lag(d) OVER () AS before FROM (SELECT b <%> '1'::bit(16000) AS d FROM hnear ORDER BY b <%> '1'::bit(16000)) AS s) AS s;
SELECT count(*), count(DISTINCT d) > 50 AS differ, count(*) FILTER (WHERE d < before) AS wrong
	FROM (SELECT d, lag(d) OVER () AS before FROM (SELECT s <-> '{}/100' AS d FROM hnear ORDER BY s <-> '{}/100') AS s) AS s;
RESET enable_seqscan;
RESET enable_sort;
DROP TABLE hnear, hplaces, hclasses;
DROP FUNCTION places_agree;
