-- WHERE distance < r: by index, with and without ORDER BY, to the rows of a sequential scan
SELECT setseed(0.5);
SET enable_bitmapscan = off;
SET jit = off;
CREATE TABLE hwith (id int, r int, v vector(6));
INSERT INTO hwith SELECT i, i % 100, random_vector(6) FROM generate_series(1, 10000) AS i;
INSERT INTO hwith VALUES (0, 0, NULL), (-1, 0, '[0,0,0,0,0,0]');
CREATE INDEX hwith_l2 ON hwith USING hnsw (v vector_l2_ops);
CREATE INDEX hwith_ip ON hwith USING hnsw (v vector_ip_ops);
CREATE INDEX hwith_cosine ON hwith USING hnsw (v vector_cosine_ops);
CREATE INDEX hwith_l1 ON hwith USING hnsw (v vector_l1_ops);
VACUUM ANALYZE hwith;
-- A query of ids, %s of a vector, by index and by a sequential scan: whether the index is used, whether
-- there was a sweep, and what comes.
CREATE FUNCTION within(query text, sweep bool DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text := '';
	by_index int[];
	exact int[];
	swept bigint;
BEGIN
	query := replace(query, '%q', '''[0.1,0.2,0.3,0.1,-0.2,0.1]''');
	PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true);
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := plan || line;
	END LOOP;
	EXECUTE format('SELECT array_agg(id) FROM (%s) s(id)', query) INTO by_index;
	SELECT sweeps INTO swept FROM hnsw_last_scan();
	PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true), set_config('enable_indexscan', 'off', true);
	EXECUTE format('SELECT array_agg(id) FROM (%s) s(id)', query) INTO exact;
	PERFORM set_config('enable_indexscan', 'on', true);
	by_index := coalesce(by_index, '{}');
	exact := coalesce(exact, '{}');
	RETURN concat_ws(', ',
		CASE WHEN plan !~ 'Index Cond: .* <<.*>> ' THEN 'no condition of an index' END,
		CASE WHEN plan ~ 'Index Scan' AND (swept > 0) <> sweep THEN format('%s sweeps', swept) END,
		CASE WHEN NOT by_index <@ exact THEN 'rows that are not within'
			WHEN cardinality(by_index) <> (SELECT count(DISTINCT i) FROM unnest(by_index) i) THEN 'a row twice'
			WHEN query ~ 'ORDER BY' AND query !~ 'UNION' AND cardinality(exact) < 1000 AND	-- else some are equally far
				by_index <> ARRAY(SELECT i FROM unnest(exact) WITH ORDINALITY u(i, n) WHERE i = ANY (by_index) ORDER BY n) THEN 'not in order'
			WHEN cardinality(by_index) >= 0.95 * cardinality(exact) THEN 'right'
			ELSE format('%s of %s', cardinality(by_index), cardinality(exact)) END,
		CASE WHEN cardinality(exact) = 0 THEN 'none' END);
END
$$;
-- the planner looks into the index for how many rows are within: few by the index, many by reading the table
CREATE FUNCTION plan_within(radius text, OUT plan text, OUT estimate text, OUT rows bigint) LANGUAGE plpgsql AS $$
DECLARE
	query text := 'SELECT id FROM hwith WHERE v <-> ''[0.1,0.2,0.3,0.1,-0.2,0.1]'' < ' || radius;
	node json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO node;
	EXECUTE format('SELECT count(*) FROM (%s) s', query) INTO rows;
	plan := node #>> '{0,Plan,Node Type}';
	estimate := CASE WHEN (node #>> '{0,Plan,Plan Rows}')::float8 BETWEEN rows / 3.0 AND rows * 3.0 THEN 'good' ELSE node #>> '{0,Plan,Plan Rows}' END;
END
$$;
SET max_parallel_workers_per_gather = 0;
SELECT plan, rows < 500 FROM plan_within('0.2');
SELECT plan, rows > 2000 FROM plan_within('0.8');
SET enable_seqscan = off;
SELECT plan, estimate FROM plan_within('0.7');
SELECT plan, estimate FROM plan_within('0.8');
SELECT plan, estimate FROM plan_within('100');
-- not for what is known only when it runs, and without harm where the vector, or the number, is none
SELECT plan FROM plan_within('(SELECT 0.8::float8)');
SELECT plan, rows FROM plan_within('-1');
SELECT plan, rows FROM plan_within('''NaN''');
RESET enable_seqscan;
SELECT outcome($$EXPLAIN SELECT id FROM hwith WHERE v <-> '[1,2]' < 0.8$$) ~ 'Scan';
CREATE TABLE hwith_e (v vector(2));
CREATE INDEX ON hwith_e USING hnsw (v vector_l2_ops);
SELECT count(*) FROM hwith_e WHERE v <-> '[1,2]' < 0.8;
DROP TABLE hwith_e;
-- nobody is told of rows that a policy hides: any bound is estimated alike
CREATE TABLE hwith_hidden AS TABLE hwith;
CREATE INDEX ON hwith_hidden USING hnsw (v vector_l2_ops);
ANALYZE hwith_hidden;
CREATE ROLE regress_hwith_hidden;
GRANT SELECT ON hwith_hidden TO regress_hwith_hidden;
ALTER TABLE hwith_hidden ENABLE ROW LEVEL SECURITY;
CREATE POLICY none ON hwith_hidden USING (id < -5);
CREATE FUNCTION cost_within(radius float8) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	node json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) SELECT id FROM hwith_hidden WHERE v <-> ''[0.1,0.2,0.3,0.1,-0.2,0.1]'' < ' || radius INTO node;
	RETURN concat_ws(' ', node #>> '{0,Plan,Node Type}', node #>> '{0,Plan,Total Cost}', node #>> '{0,Plan,Plan Rows}');
END
$$;
SET ROLE regress_hwith_hidden;
SET enable_seqscan = off;
SELECT count(DISTINCT cost_within(r / 10.0)) FROM generate_series(1, 15) r;
RESET ROLE;
SELECT count(DISTINCT cost_within(r / 10.0)) > 5 FROM generate_series(1, 15) r;
RESET enable_seqscan;
-- nor is an index looked into that no plan may use
SET enable_indexscan = off;
SELECT cost_within(0.4) = cost_within(0.8);
RESET enable_indexscan;
DROP TABLE hwith_hidden;
DROP ROLE regress_hwith_hidden;
DROP FUNCTION cost_within;
DROP FUNCTION plan_within;

-- forms of the condition
SELECT form, within('SELECT id FROM hwith WHERE ' || form) AS alone, within('SELECT id FROM hwith WHERE ' || form || ' ORDER BY v <-> %q') AS ordered,
	within('SELECT id FROM hwith WHERE ' || form || ' ORDER BY v <-> %q LIMIT 5') AS limited
	FROM unnest(ARRAY['v <-> %q < 0.3', 'v <-> %q <= 0.3', '0.3 > v <-> %q', '0.3 >= %q <-> v', '%q <-> v < 0.3', 'v <-> %q < 0.3::real',
		'v <-> %q < 1::int / 3.0', 'v <-> %q BETWEEN 0.1 AND 0.3', 'v <-> %q < 0.3 AND v <-> %q < 0.2', 'v <-> %q < 0.4 AND r < 50',
		'NOT v <-> %q >= 0.3', 'v <-> %q < (SELECT 0.3::float8)', 'v <-> %q < (SELECT 0.2 + 0.1)', 'v <-> (SELECT %q::vector) < 0.3', 'v <-> %q < 0']) AS form;
-- conditions that are none of a distance's upper end
SELECT form, within('SELECT id FROM hwith WHERE ' || form) AS alone
	FROM unnest(ARRAY['v <-> %q > 0.9', 'v <-> v < 0.1', 'v <-> %q < random() * 0', 'v <-> %q < id * 0', 'v <-> %q < 0.1 OR r = 1000', 'v <-> %q = 0']) AS form;
-- operators
SELECT form, within('SELECT id FROM hwith WHERE ' || form) AS alone, within('SELECT id FROM hwith WHERE ' || form || ' ORDER BY ' ||
	split_part(form, ' %q', 1) || ' %q') AS ordered
	FROM unnest(ARRAY['v <#> %q < -0.25', 'v <#> %q < -1e30', 'v <=> %q < 0.05', 'v <=> %q < 0', 'v <+> %q < 0.6', 'v <+> %q <= -1']) AS form;
SELECT within('SELECT id FROM hwith WHERE v <#> %q < 0', true), within('SELECT id FROM hwith WHERE v <=> %q < 1.5', true),
	within('SELECT id FROM hwith WHERE v <-> %q < 1 ORDER BY v <-> %q', true);
-- what is no number, and no vector; the first at once, the others need all rows
SELECT bound, within(format('SELECT id FROM hwith WHERE v <-> %%q < (SELECT %s::float8)', bound)) AS less,
	within(format('SELECT id FROM hwith WHERE v <-> %%q <= (SELECT %s::float8) ORDER BY v <-> %%q', bound)) AS ordered
	FROM unnest(ARRAY['NULL', '''-infinity''', '-1', '-1e300', '0', '1e-300']) AS bound;
SELECT bound, within(format('SELECT id FROM hwith WHERE v <-> %%q < (SELECT %s::float8)', bound), true) AS less,
	within(format('SELECT id FROM hwith WHERE v <-> %%q <= (SELECT %s::float8)', bound), true) AS less_equal
	FROM unnest(ARRAY['''NaN''', '''infinity''', '1e300', '5']) AS bound;
SELECT within('SELECT id FROM hwith WHERE v <-> %q < ''NaN''', true), within('SELECT id FROM hwith WHERE v <-> %q < ''infinity''', true),
	within('SELECT id FROM hwith WHERE v <-> %q < NULL');
SELECT within('SELECT id FROM hwith WHERE v <-> (SELECT NULL::vector) < 0.3'), within('SELECT id FROM hwith WHERE v <=> ''[0,0,0,0,0,0]'' < 0.3'),
	within('SELECT id FROM hwith WHERE v <#> ''[0,0,0,0,0,0]'' < 0', true);
SELECT outcome('SELECT id FROM hwith WHERE v <-> ''[1,2]'' < 0.3'), outcome('SELECT id FROM hwith WHERE v <-> (SELECT ''[1,2]''::vector) < 0.3 ORDER BY v <-> ''[1,2]''');
-- where nothing is near, a scan ends at once
SELECT within('SELECT id FROM hwith WHERE v <-> ''[5,0,0,0,0,0]'' < 3');
SET enable_seqscan = off;
SELECT count(*) FROM hwith WHERE v <-> '[5,0,0,0,0,0]' < 3;
SELECT sweeps, resumes, returned, visited < 400 AS few FROM hnsw_last_scan();
RESET enable_seqscan;

-- bounds that are known when a plan is run
SET enable_seqscan = off;
SET plan_cache_mode = force_generic_plan;
PREPARE near (vector, float8) AS SELECT count(*) FROM hwith WHERE v <-> $1 < $2;
EXPLAIN (COSTS OFF) EXECUTE near ('[0.1,0.2,0.3,0.1,-0.2,0.1]', 0.3);
EXECUTE near ('[0.1,0.2,0.3,0.1,-0.2,0.1]', 0.3);
SELECT sweeps, resumes FROM hnsw_last_scan();
EXECUTE near ('[0.1,0.2,0.3,0.1,-0.2,0.1]', NULL);
EXECUTE near (NULL, 0.3);
EXECUTE near ('[0.1,0.2,0.3,0.1,-0.2,0.1]', 'NaN');
PREPARE ordered (vector, float8, int) AS SELECT count(*) FROM (SELECT id FROM hwith WHERE $2 >= v <-> $1 ORDER BY v <-> $1 LIMIT $3) s;
EXPLAIN (COSTS OFF) EXECUTE ordered ('[0.1,0.2,0.3,0.1,-0.2,0.1]', 0.3, 3);
EXECUTE ordered ('[0.1,0.2,0.3,0.1,-0.2,0.1]', 0.3, 3);
EXECUTE ordered ('[0.1,0.2,0.3,0.1,-0.2,0.1]', 0.0, 3);
SELECT sweeps, returned FROM hnsw_last_scan();
EXECUTE ordered ('[0.1,0.2,0.3,0.1,-0.2,0.1]', 0.3, 1000);
DEALLOCATE ALL;
CREATE FUNCTION near(q vector, bound float8, OUT n bigint, OUT swept bigint) LANGUAGE plpgsql AS $$
BEGIN
	SELECT count(*) INTO n FROM hwith WHERE v <-> q < bound;
	SELECT sweeps INTO swept FROM hnsw_last_scan();
END
$$;
SELECT bound, n.* FROM unnest(ARRAY[0, 0.2, 0.3, NULL]) AS bound, near('[0.1,0.2,0.3,0.1,-0.2,0.1]', bound) n;
RESET plan_cache_mode;
RESET enable_seqscan;
-- outer rows: of a sub-query of its own, and of a join
EXPLAIN (COSTS OFF) SELECT a.id, n.id FROM (SELECT * FROM hwith WHERE id BETWEEN 1 AND 5) a,
	LATERAL (SELECT b.id FROM hwith b WHERE b.v <-> a.v < a.id / 20.0 ORDER BY b.v <-> a.v LIMIT 3) n;
EXPLAIN (COSTS OFF) SELECT a.id, b.id FROM hwith a JOIN hwith b ON a.v <-> b.v < a.id / 20.0 WHERE a.id BETWEEN 1 AND 5;
SET enable_seqscan = off;
CREATE FUNCTION joined(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	by_index bigint;
	exact bigint;
BEGIN
	EXECUTE query INTO by_index;
	PERFORM set_config('enable_indexscan', 'off', true);
	EXECUTE query INTO exact;
	PERFORM set_config('enable_indexscan', 'on', true);
	RETURN CASE WHEN by_index BETWEEN 0.98 * exact AND exact AND exact > 0 THEN 'nearly all' ELSE format('%s of %s', by_index, exact) END;
END
$$;
SELECT joined('SELECT count(*) FROM (SELECT * FROM hwith WHERE id BETWEEN 1 AND 5) a,
	LATERAL (SELECT b.id FROM hwith b WHERE b.v <-> a.v < a.id / 20.0 ORDER BY b.v <-> a.v LIMIT 3) n');
SELECT joined('SELECT count(*) FROM hwith a JOIN hwith b ON a.v <-> b.v < a.id / 20.0 WHERE a.id BETWEEN 1 AND 5');
SELECT joined('SELECT count(*) FROM hwith a LEFT JOIN hwith b ON a.v <-> b.v < 0.2 AND b.id <> a.id WHERE a.id BETWEEN 1 AND 50');
SELECT joined('SELECT count(*) FROM hwith a WHERE EXISTS (SELECT FROM hwith b WHERE a.v <-> b.v < 0.25 AND b.id <> a.id) AND a.id BETWEEN 1 AND 50');
SELECT joined('SELECT sum((SELECT count(*) FROM hwith b WHERE b.v <-> a.v < 0.3)) FROM hwith a WHERE a.id BETWEEN 1 AND 20');
RESET enable_seqscan;
-- rows are changed by an exact search
EXPLAIN (COSTS OFF) DELETE FROM hwith WHERE v <-> '[0.1,0.2,0.3,0.1,-0.2,0.1]' < 0.3;
EXPLAIN (COSTS OFF) UPDATE hwith SET r = 0 WHERE v <-> '[0.1,0.2,0.3,0.1,-0.2,0.1]' < 0.3;
SET enable_seqscan = off;
-- cursors, which may be left before their end
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM hwith WHERE v <-> '[0.1,0.2,0.3,0.1,-0.2,0.1]' < 1;
MOVE 3 IN c;
CLOSE c;
SELECT sweeps, resumes, returned FROM hnsw_last_scan();
COMMIT;
-- a number of rows is all that is asked for
SELECT count(*) FROM (SELECT id FROM hwith WHERE v <-> '[0.1,0.2,0.3,0.1,-0.2,0.1]' < 1 LIMIT 10) s;
SELECT sweeps, resumes, width FROM hnsw_last_scan();
SELECT count(*) FROM (SELECT id FROM hwith WHERE v <-> '[0.1,0.2,0.3,0.1,-0.2,0.1]' < 1 ORDER BY v <-> '[0.1,0.2,0.3,0.1,-0.2,0.1]' LIMIT 200) s;
SELECT sweeps, width FROM hnsw_last_scan();
RESET enable_seqscan;

-- settings: without an order there is nothing to relax, and nothing to end after
SET hnsw.iterative_scan = relaxed_order;
SELECT within('SELECT id FROM hwith WHERE v <-> %q < 0.4'), within('SELECT id FROM hwith WHERE v <-> %q < 0.4 ORDER BY v <-> %q');
SET hnsw.iterative_scan = off;
SELECT within('SELECT id FROM hwith WHERE v <-> %q < 0.4'), within('SELECT id FROM hwith WHERE v <-> %q < 0.1 ORDER BY v <-> %q');
RESET hnsw.iterative_scan;
SET hnsw.ef_search = 1;
SELECT within('SELECT id FROM hwith WHERE v <-> %q < 0');
RESET hnsw.ef_search;
SET enable_seqscan = off;
SET hnsw.max_scan_tuples = 100;
SELECT count(*) BETWEEN 40 AND 300 AS limited FROM hwith WHERE v <-> '[0.1,0.2,0.3,0.1,-0.2,0.1]' < 1;
SELECT sweeps, visited < 400 AS limited FROM hnsw_last_scan();
RESET hnsw.max_scan_tuples;
SET work_mem = '64kB';
SELECT within('SELECT id FROM hwith WHERE v <-> %q < 0.6', true), within('SELECT id FROM hwith WHERE v <-> %q < 0.6 ORDER BY v <-> %q', true);
RESET work_mem;
RESET enable_seqscan;

-- the operators themselves
SELECT '[1,2]' <<->> ROW('[1,3]', 1)::vector_sphere AS l2, '[1,2]' <<->> ROW('[1,3]', 0.9)::vector_sphere AS not_l2, '[1,2]' <<#>> ROW('[1,3]', -7)::vector_sphere AS ip,
	'[1,2]' <<=>> ROW('[2,4]', 1e-6)::vector_sphere AS cosine, '[1,2]' <<+>> ROW('[2,4]', 3)::vector_sphere AS l1, '[1,2]' <<->> ROW('[1,3]', NULL)::vector_sphere AS null;
SELECT form, within('SELECT id FROM hwith WHERE ' || form) AS alone, within('SELECT id FROM hwith WHERE ' || form || ' ORDER BY v <-> %q') AS ordered
	FROM unnest(ARRAY['v <<->> ROW(%q, 0.3)::vector_sphere', 'v <<->> (SELECT ROW(%q, 0.3)::vector_sphere)', 'v <<->> (SELECT NULL::vector_sphere)']) AS form;
-- of another vector than that of the order, which is no bound of this
SELECT within('SELECT id FROM hwith WHERE v <<->> (SELECT ROW(''[0,0,0,0,0,0]'', 0.3)::vector_sphere) ORDER BY v <-> %q', true);

-- partial, expression, partitioned, inherited
CREATE INDEX hwith_part ON hwith USING hnsw (v vector_l2_ops) WHERE r < 10;
CREATE INDEX hwith_half ON hwith USING hnsw ((v::real[]::vector(6)) vector_l2_ops);
DROP INDEX hwith_l2;
SELECT within('SELECT id FROM hwith WHERE v <-> %q < 0.4 AND r < 10'), within('SELECT id FROM hwith WHERE v <-> %q < 0.4 AND r < 5 ORDER BY v <-> %q'),
	within('SELECT id FROM hwith WHERE v <-> %q < 0.4'), within('SELECT id FROM hwith WHERE v::real[]::vector(6) <-> %q < 0.4');
CREATE TABLE hwith_p (id int, r int, v vector(6)) PARTITION BY LIST (r);
CREATE TABLE hwith_p0 PARTITION OF hwith_p FOR VALUES IN (0);
CREATE TABLE hwith_p1 PARTITION OF hwith_p FOR VALUES IN (1);
CREATE TABLE hwith_p2 (v vector(6), r int, id int);
ALTER TABLE hwith_p ATTACH PARTITION hwith_p2 FOR VALUES IN (2);
INSERT INTO hwith_p SELECT id, r % 3, v FROM hwith;
CREATE INDEX ON hwith_p USING hnsw (v vector_l2_ops);
CREATE TABLE hwith_i (id int, r int, v vector(6));
CREATE TABLE hwith_i1 () INHERITS (hwith_i);
INSERT INTO hwith_i SELECT id, r, v FROM hwith WHERE id % 2 = 0;
INSERT INTO hwith_i1 SELECT id, r, v FROM hwith WHERE id % 2 = 1;
CREATE INDEX ON hwith_i USING hnsw (v vector_l2_ops);
CREATE INDEX ON hwith_i1 USING hnsw (v vector_l2_ops);
ANALYZE hwith_p, hwith_i, hwith_i1;
SELECT t, within(format('SELECT id FROM %s WHERE v <-> %%q < 0.4', t)), within(format('SELECT id FROM %s WHERE v <-> %%q < 0.4 ORDER BY v <-> %%q', t)),
	within(format('SELECT id FROM %s WHERE v <-> %%q < (SELECT 0.4::float8) ORDER BY v <-> %%q LIMIT 7', t))
	FROM unnest(ARRAY['hwith_p', 'hwith_i', '(SELECT id, v FROM hwith_p UNION ALL SELECT -id - 9, v FROM hwith_i) u']) AS t;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM hwith_p WHERE v <-> '[0,0,0,0,0,0]' < 0.4;
-- policies
CREATE ROLE regress_hwith;
GRANT SELECT ON hwith_p TO regress_hwith;
ALTER TABLE hwith_p ENABLE ROW LEVEL SECURITY;
CREATE POLICY odd ON hwith_p USING (id % 2 = 1);
SET ROLE regress_hwith;
EXPLAIN (COSTS OFF) SELECT count(*) FROM hwith_p WHERE v <-> '[0,0,0,0,0,0]' < 0.4 AND r = 1;
SELECT within('SELECT id FROM hwith_p WHERE v <-> %q < 0.4'), count(*) FILTER (WHERE id % 2 = 0) FROM hwith_p WHERE v <-> '[0,0,0,0,0,0]' < 0.4;
RESET ROLE;
DROP TABLE hwith, hwith_p, hwith_i, hwith_i1;
DROP FUNCTION within, near, joined;
DROP ROLE regress_hwith;
