-- Every operator class of hnsw, as the catalog has them: results are exact when
-- hnsw.ef_search is not below the number of rows, whatever was done to the table
-- before.  A new class is tested by being there; a new type wants a line below.
SELECT setseed(0.25);
SET enable_seqscan = off;
SET jit = off;
SET hnsw.ef_search = 1000;
-- How a value of a type is made of a vector.
CREATE TABLE made (type regtype, value text);
INSERT INTO made VALUES ('vector', '(%s)'), ('halfvec', '(%s)::halfvec'), ('sparsevec', '(%s)::sparsevec'), ('bit', 'binary_quantize(%s)');
CREATE VIEW class AS
	SELECT opcname AS name, 't_' || opcname AS t, opcintype::regtype AS type, value,
		oprname AS op
	FROM pg_opclass AS c JOIN pg_am AS m ON m.oid = opcmethod AND amname = 'hnsw'
		JOIN pg_amop ON amopfamily = opcfamily AND amoplefttype = opcintype AND amoppurpose = 'o'
		JOIN pg_operator AS o ON o.oid = amopopr
		LEFT JOIN made ON made.type = opcintype
	ORDER BY opcname;
SELECT name, type, op, value IS NOT NULL AS tested FROM class;
-- A statement for a class: {t} its table, {class}, {type}, {op} the operator,
-- {[1,2]} a value of the type, {random} another one of 24 dimensions each time.
CREATE FUNCTION statement_for(c class, template text) RETURNS text LANGUAGE sql AS $$
	SELECT replace(replace(replace(replace(replace(
		regexp_replace(template, '\{(\[[^]]*\])\}', format(c.value, '''\1''::vector'), 'g'),
		'{random}', format(c.value, 'random_vector(24)')),
		'{t}', c.t), '{class}', c.name), '{type}', c.type::text), '{op}', c.op)
$$;
CREATE FUNCTION run(template text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	c class;
BEGIN
	FOR c IN SELECT * FROM class LOOP
		EXECUTE statement_for(c, template);
	END LOOP;
END
$$;
-- The first row of a query for every class, or for those with an operator.
CREATE FUNCTION ask(template text, op text DEFAULT NULL) RETURNS TABLE (class name, "row" text)
	LANGUAGE plpgsql AS $$
DECLARE
	c class;
BEGIN
	FOR c IN SELECT * FROM class AS k WHERE ask.op IS NULL OR k.op = ask.op LOOP
		class := c.name;
		"row" := outcome(format('SELECT s::text FROM (%s) AS s', statement_for(c, template)));
		RETURN NEXT;
	END LOOP;
END
$$;
CREATE FUNCTION plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := concat_ws('; ', plan, trim(line));
	END LOOP;
	RETURN plan;
END
$$;
-- Eight queries of three limits each by index and by sort, and what hnsw_check finds.
CREATE FUNCTION compare() RETURNS TABLE (class name, compared text, problems text) LANGUAGE sql AS $$
	SELECT a.class, a.row, b.row
	FROM ask('SELECT string_agg(compared || '' '' || n, '', '' ORDER BY compared) FROM (
			SELECT index_agrees(format(''SELECT v %s %L::{type}(24) FROM {t} ORDER BY 1 LIMIT %s'', ''{op}'', q, k))
				AS compared, count(*) AS n
			FROM q_{class}, (VALUES (1), (10), (1000)) AS n(k) GROUP BY 1) AS s') AS a
		JOIN ask('SELECT count(*), min(problem) FROM hnsw_check(''{t}_v'')') AS b USING (class)
	ORDER BY 1
$$;
SELECT 'VACUUM ' || string_agg(t, ', ') AS vacuum FROM class \gset
-- rows before and after CREATE INDEX; NULL is not indexed, nor by cosine a zero vector
SELECT run('CREATE TABLE {t} (id serial PRIMARY KEY, v {type}(3))');
SELECT run('INSERT INTO {t} (v) VALUES ({[0,0,0]}), ({[1,2,3]}), ({[1,1,1]}), (NULL)');
SELECT run('CREATE INDEX {t}_v ON {t} USING hnsw (v {class})');
SELECT run('INSERT INTO {t} (v) VALUES ({[1,2,4]}), (NULL), ({[-3,3,2]})');
SELECT * FROM ask('SELECT plan($q$SELECT v FROM {t} ORDER BY v {op} {[3,3,3]}$q$)');
\set ordered 'SELECT string_agg(v::text, '' '') FROM (SELECT v FROM {t} ORDER BY v {op} '
SELECT * FROM ask(:'ordered' || '{[3,3,3]}) AS s');
SELECT * FROM ask(:'ordered' || '{[3,3,3]} LIMIT 2) AS s');
-- no distance to compare: every row once
SELECT * FROM ask('SELECT count(*), count(DISTINCT id) FROM
	(SELECT id FROM {t} ORDER BY v {op} (SELECT NULL::{type})) AS s');
SELECT * FROM ask('SELECT count(*), count(DISTINCT id) FROM
	(SELECT id FROM {t} ORDER BY v {op} {[0,0,0]}) AS s');
SELECT * FROM ask('SELECT count(*) FROM hnsw_check(''{t}_v'')');
SELECT * FROM ask('SELECT dimensions, metric, live_nodes, dead_nodes, heap_tids FROM hnsw_info(''{t}_v'')');
-- empty, and filled from nothing
SELECT run('TRUNCATE {t}');
SELECT * FROM ask('SELECT count(*) FROM (SELECT v FROM {t} ORDER BY v {op} {[3,3,3]}) AS s');
SELECT * FROM ask('SELECT count(*) FROM hnsw_check(''{t}_v'')');
SELECT * FROM ask('SELECT levels, live_nodes, entry_point IS NULL AS empty FROM hnsw_info(''{t}_v'')');
SELECT run('INSERT INTO {t} (v) VALUES (NULL), ({[1,2,3]}), ({[1,2,4]})');
SELECT * FROM ask(:'ordered' || '{[1,2,4]}) AS s');
SELECT run('DROP TABLE {t}');
-- more rows than pages, inserted one by one into an empty index
SELECT run('CREATE TABLE {t} (id serial PRIMARY KEY, v {type}(24))');
SELECT run('CREATE INDEX {t}_v ON {t} USING hnsw (v {class})');
SELECT run('INSERT INTO {t} (v) SELECT {random} FROM generate_series(1, 400)');
SELECT run('CREATE TABLE q_{class} AS SELECT {random} AS q FROM generate_series(1, 8)');
SELECT * FROM compare();
-- the same graph built at once
SELECT run('REINDEX INDEX {t}_v');
SELECT * FROM compare();
-- deleted, not yet vacuumed
SELECT run('DELETE FROM {t} WHERE id % 2 = 0');
SELECT * FROM compare();
:vacuum;
SELECT * FROM compare();
-- new rows and new versions of old ones
SELECT run('INSERT INTO {t} (v) SELECT {random} FROM generate_series(1, 300)');
SELECT run('UPDATE {t} SET v = {random} WHERE id % 3 = 0');
SELECT * FROM compare();
:vacuum;
SELECT * FROM compare();
-- all gone, and filled again
SELECT run('DELETE FROM {t}');
:vacuum;
SELECT * FROM compare();
SELECT run('INSERT INTO {t} (v) SELECT {random} FROM generate_series(1, 100)');
SELECT * FROM compare();
SELECT run('DROP TABLE {t}, q_{class}');
-- what VACUUM does with slots; temporary, so that no other session's snapshot
-- holds rows back
SELECT run('CREATE TEMPORARY TABLE {t} (id serial PRIMARY KEY, v {type}(24))');
SELECT run('CREATE INDEX {t}_v ON {t} USING hnsw (v {class})');
SELECT run('INSERT INTO {t} (v) SELECT {random} FROM generate_series(1, 500)');
SELECT run('CREATE TEMPORARY TABLE before_{class} AS SELECT * FROM hnsw_info(''{t}_v'')');
SELECT * FROM ask('SELECT live_nodes, dead_nodes, heap_tids FROM before_{class}');
SELECT run('DELETE FROM {t} WHERE id <= 200');
:vacuum;
SELECT * FROM ask('SELECT count(*) FROM hnsw_check(''{t}_v'')');
SELECT * FROM ask('SELECT i.live_nodes, i.dead_nodes, i.heap_tids, i.free_slots - b.free_slots AS freed,
	i.node_pages - b.node_pages AS more_pages
	FROM hnsw_info(''{t}_v'') AS i, before_{class} AS b');
SELECT run('INSERT INTO {t} (v) SELECT {random} FROM generate_series(1, 200)');
SELECT * FROM ask('SELECT count(*) FROM hnsw_check(''{t}_v'')');
SELECT * FROM ask('SELECT i.live_nodes, i.dead_nodes, i.heap_tids,
	i.node_pages - b.node_pages < 5 AS slots_used_again
	FROM hnsw_info(''{t}_v'') AS i, before_{class} AS b');
SELECT run('DELETE FROM {t}');
:vacuum;
SELECT * FROM ask('SELECT live_nodes, dead_nodes, heap_tids, levels, entry_point FROM hnsw_info(''{t}_v'')');
SELECT * FROM ask('SELECT count(*) FROM hnsw_check(''{t}_v'')');
SELECT run('DROP TABLE {t}, before_{class}');
-- by cosine: a zero vector has no direction, so it is not indexed, and a query by
-- one returns the others in any order
SELECT run('CREATE TABLE {t} (id serial PRIMARY KEY, v {type}(2))');
SELECT run('CREATE INDEX {t}_v ON {t} USING hnsw (v {class}) WITH (pending_limit = 0)');
SELECT run('INSERT INTO {t} (v) VALUES ({[0,0]}), ({[1,0]}), ({[0,1]}), ({[0,0]}), ({[-1,0]})');
SELECT * FROM ask(:'ordered' || '{[2,0.1]}) AS s', '<=>');
SELECT * FROM ask('SELECT live_nodes, heap_tids FROM hnsw_info(''{t}_v'')', '<=>');
SELECT run('REINDEX INDEX {t}_v');
SELECT * FROM ask('SELECT live_nodes, heap_tids FROM hnsw_info(''{t}_v'')', '<=>');
SELECT * FROM ask('SELECT count(*) FROM (SELECT id FROM {t} ORDER BY v {op} {[0,0]}) AS s', '<=>');
-- vectors of one direction are equal
SELECT run('INSERT INTO {t} (v) VALUES ({[2,0]}), ({[4,0]})');
SELECT * FROM ask('SELECT live_nodes, heap_tids FROM hnsw_info(''{t}_v'')', '<=>');
SELECT * FROM ask('SELECT count(*) FROM hnsw_check(''{t}_v'')', '<=>');
SELECT run('DROP TABLE {t}');
DROP FUNCTION compare, plan, ask, run, statement_for;
DROP VIEW class;
DROP TABLE made;
