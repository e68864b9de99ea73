-- What goes into indexes: missing, equal, odd and wrong values, other kinds of
-- columns; searches in every state between empty and full.
SELECT setseed(0.5);
SET enable_seqscan = off;
-- The rows an index returns, all of them, and what hnsw_check says.
CREATE FUNCTION found(tab regclass, expression text, operator text, query text) RETURNS text
LANGUAGE plpgsql SET enable_sort = off AS $$
DECLARE
	line text;
	rows bigint;
	ids bigint;
	problems bigint;
	idx regclass;
	planned bool := false;
BEGIN
	query := format('SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM %s ORDER BY %s %s %s LIMIT 1000) AS s',
		tab, expression, operator, query);
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		planned := planned OR line ~ 'Index Scan using';
	END LOOP;
	EXECUTE query INTO rows, ids;
	SELECT indexrelid INTO idx FROM pg_index WHERE indrelid = tab;
	SELECT count(*) INTO problems FROM hnsw_check(idx);
	RETURN concat(rows, ' rows', CASE WHEN NOT planned THEN ', not by the index' END,
		CASE WHEN ids <> rows THEN ', some twice' END, CASE WHEN problems > 0 THEN ', unsound' END);
END
$$;

-- empty, all null, one row, all equal, empty again
CREATE TABLE hin (id serial, v vector(3));
CREATE INDEX hin_v ON hin USING hnsw (v vector_l2_ops);
SELECT found('hin', 'v', '<->', $$'[1,2,3]'$$);
VACUUM hin;
SELECT found('hin', 'v', '<->', $$'[1,2,3]'$$);
INSERT INTO hin (v) SELECT NULL FROM generate_series(1, 100);
SELECT found('hin', 'v', '<->', $$'[1,2,3]'$$), live_nodes, heap_tids FROM hnsw_info('hin_v');
VACUUM hin;
REINDEX INDEX hin_v;
SELECT found('hin', 'v', '<->', $$'[1,2,3]'$$), live_nodes, heap_tids FROM hnsw_info('hin_v');
UPDATE hin SET v = '[1,2,3]' WHERE id = 50;
SELECT found('hin', 'v', '<->', $$'[1,2,3]'$$), live_nodes, heap_tids FROM hnsw_info('hin_v');
UPDATE hin SET v = '[1,2,3]';
VACUUM hin;
SELECT found('hin', 'v', '<->', $$'[3,2,1]'$$), live_nodes, heap_tids FROM hnsw_info('hin_v');
REINDEX INDEX hin_v;
SELECT found('hin', 'v', '<->', $$'[3,2,1]'$$), live_nodes, heap_tids FROM hnsw_info('hin_v');
UPDATE hin SET v = NULL;
SELECT found('hin', 'v', '<->', $$'[3,2,1]'$$);
VACUUM hin;
SELECT found('hin', 'v', '<->', $$'[3,2,1]'$$), live_nodes, heap_tids FROM hnsw_info('hin_v');
DELETE FROM hin;
VACUUM hin;
INSERT INTO hin (v) SELECT random_vector(3) FROM generate_series(1, 60);
SELECT found('hin', 'v', '<->', $$'[3,2,1]'$$);
SET hnsw.iterative_scan = off;
SELECT found('hin', 'v', '<->', $$'[3,2,1]'$$);
RESET hnsw.iterative_scan;

-- a query that is null: known to the planner, or only to the executor
SELECT found('hin', 'v', '<->', 'NULL');
PREPARE near (vector) AS SELECT count(*) FROM (SELECT id FROM hin ORDER BY v <-> $1 LIMIT 10) AS s;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE near (NULL);
EXECUTE near (NULL);
EXECUTE near ('[1,2,3]');
SELECT outcome($$EXECUTE near ('[1,2]')$$);
EXECUTE near (NULL);
RESET plan_cache_mode;
DEALLOCATE near;
SELECT count(*) FROM (SELECT id FROM hin ORDER BY v <-> (SELECT NULL::vector) LIMIT 10) AS s;

-- values no vector can have, and what is left of a batch with one of them
SELECT outcome($$INSERT INTO hin (v) VALUES ('[1,2,3]'), ('[1,2,NaN]')$$);
SELECT outcome($$INSERT INTO hin (v) VALUES ('[1,2,3]'), ('[1,2,-inf]')$$);
SELECT outcome($$INSERT INTO hin (v) VALUES ('[1,2,3]'), ('{1,2,Infinity}'::real[])$$);
SELECT outcome($$INSERT INTO hin (v) VALUES ('[1,2,3]'), ('[1,2,3e39]')$$);
SELECT outcome($$INSERT INTO hin (v) VALUES ('[1,2,3]'), (l2_normalize('[1,2,3,4]'::vector))$$);
SELECT outcome($$INSERT INTO hin (v) VALUES ('[1,2,3]'), ('[]')$$);
SELECT outcome($$UPDATE hin SET v = v || '[1]'$$);
SELECT outcome($$SELECT id FROM hin ORDER BY v <-> '[1,2,nan]' LIMIT 1$$);
-- a query whose distances overflow, a row that no index can hold
SELECT outcome($$SELECT count(*) FROM (SELECT id FROM hin ORDER BY v <-> '[3e38,3e38,3e38]' LIMIT 5) AS r$$);
SELECT outcome($$INSERT INTO hin (v) VALUES ('[1,2,3]'), ('[3e38,3e38,3e38]')$$);
SET hnsw.ef_search = 1000;
SELECT found('hin', 'v', '<->', $$'[3,2,1]'$$);
DROP TABLE hin;

-- zero vectors: they have no cosine
CREATE TABLE hin (id serial, v vector(3));
INSERT INTO hin (v) SELECT '[0,0,0]' FROM generate_series(1, 5);
CREATE INDEX hin_v ON hin USING hnsw (v vector_cosine_ops) WITH (pending_limit = 0);
SELECT found('hin', 'v', '<=>', $$'[1,2,3]'$$), live_nodes FROM hnsw_info('hin_v');
INSERT INTO hin (v) VALUES ('[-0,0,0]'), ('[1,2,3]'), ('[2,4,6]'), (NULL), ('[0,0,0]');
SELECT found('hin', 'v', '<=>', $$'[1,2,3]'$$), live_nodes, heap_tids FROM hnsw_info('hin_v');
SELECT found('hin', 'v', '<=>', $$'[0,0,0]'$$);
VACUUM hin;
REINDEX INDEX hin_v;
SELECT found('hin', 'v', '<=>', $$'[1,2,3]'$$), live_nodes, heap_tids FROM hnsw_info('hin_v');
DROP TABLE hin;

-- a column without a length, or with vectors of several: refused or by a cast
CREATE TABLE hin (id serial, v vector);
INSERT INTO hin (v) SELECT random_vector(1 + i % 3) FROM generate_series(1, 90) AS i;
SELECT outcome('CREATE INDEX ON hin USING hnsw (v vector_l2_ops)');
SELECT outcome('CREATE INDEX ON hin USING hnsw ((v::vector(3)) vector_l2_ops)');
SELECT outcome('ALTER TABLE hin ALTER v TYPE vector(3)');
CREATE INDEX hin_v ON hin USING hnsw ((v::vector(3)) vector_l2_ops) WHERE vector_dims(v) = 3;
SELECT heap_tids FROM hnsw_info('hin_v');
INSERT INTO hin (v) VALUES ('[1]'), ('[1,2,3,4]'), ('[1,2,3]'), (NULL);
SELECT index_agrees($$SELECT v::vector(3) <-> '[1,2,3]' FROM hin WHERE vector_dims(v) = 3 ORDER BY 1 LIMIT 50$$);
UPDATE hin SET v = v || '[1]' WHERE vector_dims(v) = 2;
UPDATE hin SET v = subvector(v, 1, 2) WHERE id % 2 = 0 AND vector_dims(v) = 3;
SELECT index_agrees($$SELECT v::vector(3) <-> '[1,2,3]' FROM hin WHERE vector_dims(v) = 3 ORDER BY 1 LIMIT 50$$);
VACUUM hin;
SELECT index_agrees($$SELECT v::vector(3) <-> '[1,2,3]' FROM hin WHERE vector_dims(v) = 3 ORDER BY 1 LIMIT 50$$);
SELECT * FROM hnsw_check('hin_v');
SELECT heap_tids = (SELECT count(*) FROM hin WHERE vector_dims(v) = 3) FROM hnsw_info('hin_v');
DROP TABLE hin;

-- a generated column, and a domain, whose length an index does not see
CREATE DOMAIN hin_domain AS vector(3) CHECK (vector_norm(VALUE) < 10);
CREATE TABLE hin (id serial, v vector(4), w vector(3) GENERATED ALWAYS AS (subvector(v, 2, 3)) STORED, d hin_domain);
CREATE INDEX hin_w ON hin USING hnsw (w vector_ip_ops);
SELECT outcome('CREATE INDEX ON hin USING hnsw (d vector_l2_ops)');
SELECT outcome($$INSERT INTO hin (v, d) VALUES ('[1,2,3,4]', '[10,0,0]')$$);
SELECT outcome($$INSERT INTO hin (v, d) VALUES ('[1,2,3,4]', '[1,0]')$$);
INSERT INTO hin (v, d) SELECT random_vector(4), random_vector(3) FROM generate_series(1, 100);
UPDATE hin SET v = random_vector(4) WHERE id % 3 = 0;
UPDATE hin SET v = NULL WHERE id % 7 = 0;
SELECT index_agrees($$SELECT w <#> '[1,2,3]' FROM hin WHERE w IS NOT NULL ORDER BY 1 LIMIT 50$$);
VACUUM hin;
SELECT found('hin', 'w', '<#>', $$'[1,2,3]'$$), heap_tids FROM hnsw_info('hin_w');
DROP INDEX hin_w;
CREATE INDEX hin_d ON hin USING hnsw ((d::vector(3)) vector_l1_ops);
SELECT index_agrees($$SELECT d::vector(3) <+> '[1,2,3]' FROM hin ORDER BY 1 LIMIT 50$$);
SELECT found('hin', 'd::vector(3)', '<+>', $$'[1,2,3]'$$);
DROP TABLE hin;
DROP DOMAIN hin_domain;

-- an expression that fails for some row, in a build and in an insert
CREATE TABLE hin (id serial, a int, v vector(2));
INSERT INTO hin (a, v) SELECT i, ARRAY[i, 1]::vector FROM generate_series(0, 20) AS i;
SELECT outcome('CREATE INDEX ON hin USING hnsw ((ARRAY[10 / a, 1]::vector(2)) vector_l2_ops)');
CREATE INDEX hin_v ON hin USING hnsw ((ARRAY[10 / a, 1]::vector(2)) vector_l2_ops) WHERE a <> 0;
SELECT outcome($$UPDATE hin SET a = 2147483647 + a WHERE a = 3$$);
DROP INDEX hin_v;
DELETE FROM hin WHERE a = 0;
CREATE INDEX hin_v ON hin USING hnsw ((ARRAY[10 / a, 1]::vector(2)) vector_l2_ops);
SELECT outcome($$INSERT INTO hin (a) VALUES (5), (0)$$);
SELECT found('hin', 'ARRAY[10 / a, 1]::vector(2)', '<->', $$'[1,2]'$$);
DROP TABLE hin;

-- nothing is returned twice, whatever the metric and the sketch
CREATE FUNCTION fill_and_find(metric text, operator text, sketch text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	CREATE TABLE hin (id serial, v vector(8));
	EXECUTE format('CREATE INDEX hin_v ON hin USING hnsw (v vector_%s_ops) WITH (sketch_bits = %s)', metric, sketch);
	INSERT INTO hin (v) SELECT random_vector(8) FROM generate_series(1, 150);
	result := found('hin', 'v', operator, '(SELECT v FROM hin LIMIT 1)');
	DROP TABLE hin;
	RETURN result;
EXCEPTION WHEN invalid_parameter_value THEN
	RETURN SQLERRM;
END
$$;
SELECT metric, sketch, fill_and_find(metric, operator, sketch)
	FROM (VALUES ('l2', '<->'), ('ip', '<#>'), ('cosine', '<=>'), ('l1', '<+>')) AS m(metric, operator),
		unnest(ARRAY['0', '1', '2', '4', 'exact']) AS sketch;
DROP FUNCTION fill_and_find;

-- rows are nearest first also where dead ones make a scan search again
CREATE TABLE hin (id serial, v vector(32));
INSERT INTO hin (v) SELECT random_vector(32) FROM generate_series(1, 800);
CREATE INDEX hin_v ON hin USING hnsw (v vector_l2_ops) WITH (m = 2, ef_construction = 4);
DELETE FROM hin WHERE id % 10 <> 0;
SET hnsw.ef_search = 3;
SELECT count(*) AS queries, bool_and(ordered) AS ordered, min(rows) >= 3 AS enough FROM (
	SELECT q.n, count(*) AS rows, bool_and(s.d >= s.before - 1e-6) IS NOT FALSE AS ordered
	FROM (SELECT n, random_vector(32) AS v FROM generate_series(1, 60) AS n) AS q,
		LATERAL (SELECT d, lag(d) OVER () AS before
			FROM (SELECT hin.v <-> q.v AS d FROM hin ORDER BY hin.v <-> q.v LIMIT 30) AS r) AS s
	GROUP BY q.n) AS t;
RESET hnsw.ef_search;
DROP TABLE hin;
DROP FUNCTION found;
