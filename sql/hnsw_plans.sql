-- when the planner takes an hnsw index
SELECT setseed(0.5);
CREATE TABLE hplan (id int, v vector(8), kind int);
INSERT INTO hplan SELECT i, random_vector(8), i % 10 FROM generate_series(1, 20000) AS i;
CREATE INDEX hplan_v ON hplan USING hnsw (v vector_l2_ops) WITH (ef_construction = 16);
VACUUM ANALYZE hplan;
-- the nearest rows
EXPLAIN (COSTS OFF) SELECT id FROM hplan ORDER BY v <-> '[1,2,3,4,5,6,7,8]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hplan WHERE kind = 3 ORDER BY v <-> '[1,2,3,4,5,6,7,8]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT a.id, n.id FROM (SELECT * FROM hplan WHERE id < 3) AS a,
	LATERAL (SELECT id FROM hplan ORDER BY v <-> a.v LIMIT 3) AS n;
-- how many rows a parameter lets through: who knows only by its value goes on with plans for it
CREATE INDEX hplan_id ON hplan (id);
PREPARE few(int) AS SELECT id FROM hplan WHERE id < $1 ORDER BY v <-> '[1,2,3,4,5,6,7,8]' LIMIT 3;
DO $$ BEGIN FOR i IN 1 .. 6 LOOP EXECUTE 'EXECUTE few(50)'; END LOOP; END $$;
EXPLAIN (COSTS OFF) EXECUTE few(50);
EXPLAIN (COSTS OFF) EXECUTE few(15000);
SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = 'few';
DEALLOCATE few;
DROP INDEX hplan_id;
-- all rows: a scan returns hnsw.ef_search only
EXPLAIN (COSTS OFF) SELECT id FROM hplan ORDER BY v <-> '[1,2,3,4,5,6,7,8]';
-- no order, another order, another direction, another operator
EXPLAIN (COSTS OFF) SELECT id FROM hplan LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hplan ORDER BY id LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hplan ORDER BY v <-> '[1,2,3,4,5,6,7,8]' DESC LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hplan ORDER BY v <#> '[1,2,3,4,5,6,7,8]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hplan WHERE v <-> '[1,2,3,4,5,6,7,8]' < 1;
EXPLAIN (COSTS OFF) SELECT count(*) FROM hplan;
-- without another way it still cannot serve what it is not for
SET enable_seqscan = off;
SELECT count(*) FROM hplan;
RESET enable_seqscan;
-- a price for each kind of plan, in one unit: which ones the planner takes, over
-- hnsw.ef_search, LIMIT, random_page_cost, with and without parallel query
CREATE FUNCTION kinds_of_plans(query text, efs int[], limits int[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
	line text;
	kind text;
	kinds text[];
BEGIN
	FOR c IN SELECT * FROM unnest(efs) AS ef, unnest(limits) AS lim,
			unnest('{1.1,4}'::float8[]) AS page, unnest('{0,2}'::int[]) AS workers LOOP
		PERFORM set_config('hnsw.ef_search', c.ef::text, true);
		PERFORM set_config('random_page_cost', c.page::text, true);
		PERFORM set_config('max_parallel_workers_per_gather', c.workers::text, true);
		kind := 'exact';
		FOR line IN EXECUTE format('EXPLAIN (COSTS OFF) %s LIMIT %s', query, coalesce(c.lim::text, 'ALL')) LOOP
			IF line ~ 'Gather' THEN
				kind := 'parallel';
			ELSIF line ~ 'Index Scan using' THEN
				kind := 'index';
			END IF;
		END LOOP;
		kinds := kinds || kind;
	END LOOP;
	RETURN (SELECT string_agg(DISTINCT k, ', ' ORDER BY k) FROM unnest(kinds) AS k);
END
$$;
-- a table of n rows of so many dimensions: row i has the elements i
CREATE FUNCTION make_plan_table(n int, dim int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE hplan_%s (id int, v vector(%s)) WITH (autovacuum_enabled = off)', dim, dim);
	EXECUTE format('INSERT INTO hplan_%s SELECT i, array_fill(i::real, ARRAY[%s])::vector(%s)
		FROM generate_series(1, %s) AS i', dim, dim, dim, n);
	EXECUTE format('CREATE INDEX ON hplan_%s USING hnsw (v vector_l2_ops) WITH (ef_construction = 16)', dim);
END
$$;
CREATE FUNCTION kinds_of_plans(dim int, efs int[], limits int[]) RETURNS text LANGUAGE sql AS $$
	SELECT kinds_of_plans(format('SELECT id FROM hplan_%s ORDER BY v <-> %L', dim,
		array_fill(0::real, ARRAY[dim])::vector), efs, limits)
$$;
-- 20,000 rows of 8 dimensions, whatever the ef_search
SELECT kinds_of_plans($$SELECT id FROM hplan ORDER BY v <-> '[1,2,3,4,5,6,7,8]'$$,
	'{10,40,100,200,400}', '{1,10,100,200}');
-- without a LIMIT, never; nor where a condition leaves so few rows that the scan would run out
SELECT kinds_of_plans($$SELECT id FROM hplan ORDER BY v <-> '[1,2,3,4,5,6,7,8]'$$, '{10,400}', '{NULL}');
SELECT kinds_of_plans($$SELECT id FROM hplan WHERE id = 5 ORDER BY v <-> '[1,2,3,4,5,6,7,8]'$$,
	'{10,400}', '{1,10,100}');
-- a LIMIT that the plan does not know
SET plan_cache_mode = force_generic_plan;
PREPARE nearest(int) AS SELECT id FROM hplan ORDER BY v <-> '[1,2,3,4,5,6,7,8]' LIMIT $1;
EXPLAIN (COSTS OFF) EXECUTE nearest(10);
DEALLOCATE nearest;
RESET plan_cache_mode;
-- few short vectors: to compare them all is cheapest
SELECT make_plan_table(100, 3), make_plan_table(2000, 100);
-- vectors out of line, without statistics and with
SELECT make_plan_table(2000, 768), make_plan_table(2000, 1536), make_plan_table(500, 3072);
SELECT dim, kinds_of_plans(dim, '{10,40,100}', '{1,10}') FROM unnest('{768,1536,3072}'::int[]) AS dim;
VACUUM ANALYZE hplan_3, hplan_100, hplan_768, hplan_1536, hplan_3072;
SELECT dim, kinds_of_plans(dim, efs, '{1,10,100,200}') FROM (VALUES (3, '{40,100,400}'::int[]), (100, '{10,40,100}'),
	(768, '{10,40,100,200,400}'), (1536, '{10,40,100,200,400}'), (3072, '{200,400}')) AS t(dim, efs);
SELECT dim, kinds_of_plans(dim, '{10,400}', '{NULL}') FROM unnest('{3,100,768,1536,3072}'::int[]) AS dim;
-- of conditions, one that reads them comes last, and it is worth workers
EXPLAIN (COSTS OFF) SELECT id FROM hplan_768 WHERE vector_norm(v) < 5 AND id + id + id + id + id + id < 5;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT count(*) FROM hplan_1536 WHERE vector_norm(v) < 5;
EXPLAIN (COSTS OFF) SELECT count(*) FROM hplan_100 WHERE vector_norm(v) < 5;
RESET min_parallel_table_scan_size;
-- what a call costs: dear out of line, the more the longer; cheap in line, and where
-- an expression has made the vector; undeclared dimensions are told by the TOAST table
CREATE TABLE hplan_plain (id int, v vector(768)) WITH (autovacuum_enabled = off);
ALTER TABLE hplan_plain ALTER v SET STORAGE PLAIN;
INSERT INTO hplan_plain SELECT * FROM hplan_768;
CREATE TABLE hplan_any (id int, v vector) WITH (autovacuum_enabled = off);
INSERT INTO hplan_any SELECT * FROM hplan_1536;
CREATE FUNCTION filter_cost(tab text, condition text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	with_it json;
	without json;
BEGIN
	EXECUTE format('EXPLAIN (FORMAT json) SELECT id FROM %I WHERE %s', tab, condition) INTO with_it;
	EXECUTE format('EXPLAIN (FORMAT json) SELECT id FROM %I', tab) INTO without;
	RETURN ((with_it->0->'Plan'->>'Total Cost')::float8 - (without->0->'Plan'->>'Total Cost')::float8)
		/ (without->0->'Plan'->>'Plan Rows')::float8;
END
$$;
SET max_parallel_workers_per_gather = 0;
SELECT filter_cost('hplan_plain', 'vector_norm(v) < 5') < filter_cost('hplan_768', 'vector_norm(v) < 5') / 20 AS plain;
VACUUM ANALYZE hplan_plain, hplan_any;
SELECT filter_cost('hplan_plain', 'vector_norm(v) < 5') < filter_cost('hplan_768', 'vector_norm(v) < 5') / 20 AS plain,
	filter_cost('hplan_768', 'vector_norm(v) < 5') < filter_cost('hplan_1536', 'vector_norm(v) < 5') / 1.2 AS longer,
	filter_cost('hplan_768', 'vector_norm(v::vector(768)) < 5') < filter_cost('hplan_768', 'vector_norm(v) < 5') * 1.1 AS made,
	filter_cost('hplan_any', 'vector_norm(v) < 5') / filter_cost('hplan_1536', 'vector_norm(v) < 5')
		BETWEEN 0.8 AND 1.5 AS undeclared;
RESET max_parallel_workers_per_gather;
DROP TABLE hplan_3, hplan_100, hplan_768, hplan_1536, hplan_3072, hplan_plain, hplan_any;
DROP INDEX hplan_v;
-- partial
CREATE INDEX hplan_v ON hplan USING hnsw (v vector_l2_ops) WITH (ef_construction = 16)
	WHERE kind = 3;
ANALYZE hplan;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM hplan WHERE kind = 3 ORDER BY v <-> '[1,2,3,4,5,6,7,8]' LIMIT 3;
RESET enable_seqscan;
EXPLAIN (COSTS OFF) SELECT id FROM hplan WHERE kind = 4 ORDER BY v <-> '[1,2,3,4,5,6,7,8]' LIMIT 3;
SET hnsw.ef_search = 2000;
SELECT index_agrees($$SELECT v <-> '[0,0,0,0,0,0,0,0]' FROM hplan WHERE kind = 3 ORDER BY 1 LIMIT 50$$);
SELECT * FROM hnsw_check('hplan_v');
DROP INDEX hplan_v;
RESET hnsw.ef_search;
-- 10,000 rows
DELETE FROM hplan WHERE id > 10000;
VACUUM ANALYZE hplan;
CREATE INDEX hplan_v ON hplan USING hnsw (v vector_l2_ops) WITH (ef_construction = 16);
SELECT kinds_of_plans($$SELECT id FROM hplan ORDER BY v <-> '[1,2,3,4,5,6,7,8]'$$,
	'{10,40,100,200,400}', '{1,10,100,200}');
DROP INDEX hplan_v;
DELETE FROM hplan WHERE id > 1000;
SET hnsw.ef_search = 2000;
-- an expression; its vectors have no column of their own
CREATE INDEX hplan_v ON hplan USING hnsw (((v + v)::vector(8)) vector_l2_ops);
VACUUM ANALYZE hplan;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM hplan ORDER BY (v + v)::vector(8) <-> '[0,0,0,0,0,0,0,0]' LIMIT 3;
RESET enable_seqscan;
SELECT index_agrees($$SELECT (v + v)::vector(8) <-> '[0,0,0,0,0,0,0,0]' FROM hplan ORDER BY 1 LIMIT 50$$);
INSERT INTO hplan SELECT i, random_vector(8), i % 10 FROM generate_series(1001, 1500) AS i;
SELECT index_agrees($$SELECT (v + v)::vector(8) <-> '[0,0,0,0,0,0,0,0]' FROM hplan ORDER BY 1 LIMIT 50$$);
SELECT * FROM hnsw_check('hplan_v');
-- an array's cast, with vectors of several lengths behind it
CREATE TABLE hplan_array (id serial, a real[]);
INSERT INTO hplan_array (a) VALUES ('{1,2,3}'), ('{4,5,6}'), ('{1,2}');
CREATE INDEX hplan_array_v ON hplan_array USING hnsw ((a::vector(3)) vector_l2_ops)
	WHERE array_length(a, 1) = 3;
SELECT index_agrees($$SELECT id FROM hplan_array WHERE array_length(a, 1) = 3
	ORDER BY a::vector(3) <-> '[4,4,4]' LIMIT 3$$);
DROP TABLE hplan, hplan_array;
