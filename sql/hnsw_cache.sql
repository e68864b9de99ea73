-- the cache of results: what is found in it, and that it is what a search finds
SELECT setseed(0.4);
CREATE TABLE hcache (id serial, v vector(8), kind int);
INSERT INTO hcache (v, kind) SELECT random_vector(8), i % 10 FROM generate_series(1, 3000) AS i;
CREATE INDEX hcache_v ON hcache USING hnsw (v vector_l2_ops);
ANALYZE hcache;
SET enable_seqscan = off;
SET enable_sort = off;
-- what is counted of an index
CREATE FUNCTION counted() RETURNS text LANGUAGE sql AS $$
	SELECT format('entries %s, hits %s, misses %s, merges %s', entries, hits, misses, merges)
	FROM vectorx_cache WHERE index = 'hcache_v'::regclass
$$;
-- do a search and the cache say the same?  The second and third time it is the cache
CREATE FUNCTION agrees(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	searched text[];
	cached text[];
BEGIN
	PERFORM set_config('vectorx.cache', 'off', true);
	EXECUTE format('SELECT array(SELECT s::text FROM (%s) s)', query) INTO searched;
	PERFORM set_config('vectorx.cache', 'on', true);
	FOR i IN 1..3 LOOP
		EXECUTE format('SELECT array(SELECT s::text FROM (%s) s)', query) INTO cached;
		IF cached IS DISTINCT FROM searched THEN
			RAISE NOTICE '% but %', searched, cached;
			RETURN false;
		END IF;
	END LOOP;
	RETURN true;
END
$$;
SHOW vectorx.cache;
SHOW vectorx.cache_size;
SHOW vectorx.cache_staleness;
SELECT count(*) FROM (SELECT id FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 10) s;
SELECT counted();
SELECT agrees($$SELECT id, v <-> '[1,0,0,0,0,0,0,0]' FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 10$$);
SELECT counted();
-- another query, another effort
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,1]' LIMIT 10$$);
SELECT counted();
SET hnsw.ef_search = 60;
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 10$$);
SELECT counted();
RESET hnsw.ef_search;
-- fewer rows are of the same search; more need one of their own
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 3$$);
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 100$$);
SELECT counted();
-- conditions: the index's is part of the key, others are not
SELECT agrees($$SELECT id FROM hcache WHERE v <-> '[1,0,0,0,0,0,0,0]' < 0.8 ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 10$$);
SELECT agrees($$SELECT id FROM hcache WHERE v <-> '[1,0,0,0,0,0,0,0]' < 0.7 ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 10$$);
SELECT agrees($$SELECT id FROM hcache WHERE kind = 3 ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 3$$);
SELECT counted();
-- more than it has: each row comes, once
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 10) s;
SET vectorx.cache = on;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,0]';
CREATE TABLE hcache_all (id int);
DO $$
DECLARE
	c refcursor := 'c';
	i int;
BEGIN
	LOOP
		FETCH c INTO i;
		EXIT WHEN NOT FOUND;
		INSERT INTO hcache_all VALUES (i);
	END LOOP;
END
$$;
COMMIT;
SELECT count(*), count(DISTINCT id) FROM hcache_all;
DROP TABLE hcache_all;
-- rarely met conditions
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hcache WHERE id % 100 = 7 ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 20) s;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hcache WHERE id % 100 = 7 ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 20) s;
-- nothing is kept of a query without a value, or of other dimensions
SELECT vectorx_cache_reset();
SELECT count(*) FROM (SELECT id FROM hcache ORDER BY v <-> NULL LIMIT 10) s;
SELECT outcome($$SELECT id FROM hcache ORDER BY v <-> '[1,0]' LIMIT 1$$);
SELECT counted();

-- what is inserted is there at once: a new node, linked or waiting, a row of a node there is
ALTER INDEX hcache_v SET (pending_limit = 0);
SELECT id FROM hcache ORDER BY v <-> '[2,2,2,2,2,2,2,2]' LIMIT 3;
INSERT INTO hcache (v, kind) VALUES ('[2,2,2,2,2,2,2,2]', 1) RETURNING id;
SELECT id FROM hcache ORDER BY v <-> '[2,2,2,2,2,2,2,2]' LIMIT 3;
ALTER INDEX hcache_v SET (pending_limit = 100);
INSERT INTO hcache (v, kind) VALUES ('[2,2,2,2,2,2,2,1.9]', 1), ('[2,2,2,2,2,2,2,2]', 1) RETURNING id;
SELECT id FROM (SELECT id FROM hcache ORDER BY v <-> '[2,2,2,2,2,2,2,2]' LIMIT 3) s ORDER BY id;
SELECT counted();
SELECT hnsw_merge('hcache_v') > 0 AS merged;
SELECT id FROM (SELECT id FROM hcache ORDER BY v <-> '[2,2,2,2,2,2,2,2]' LIMIT 3) s ORDER BY id;
-- what equals it: more rows than a node has room for
INSERT INTO hcache (v, kind) SELECT '[2,2,2,2,2,2,2,2]', 2 FROM generate_series(1, 50);
SELECT count(*) FROM (SELECT v <-> '[2,2,2,2,2,2,2,2]' AS d FROM hcache ORDER BY v <-> '[2,2,2,2,2,2,2,2]' LIMIT 52) s WHERE d = 0;
-- updates and deletes
UPDATE hcache SET v = '[2,2,2,2,2,2,2,1]' WHERE kind = 2;
SELECT count(*) FROM (SELECT v <-> '[2,2,2,2,2,2,2,2]' AS d FROM hcache ORDER BY v <-> '[2,2,2,2,2,2,2,2]' LIMIT 52) s WHERE d = 0;
DELETE FROM hcache WHERE v <-> '[2,2,2,2,2,2,2,2]' < 1.5;
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[2,2,2,2,2,2,2,2]' LIMIT 3$$);
-- its rows are removed, and their places used again
VACUUM hcache;
INSERT INTO hcache (v, kind) SELECT random_vector(8) * '[-1,-1,-1,-1,-1,-1,-1,-1]', 3 FROM generate_series(1, 60);
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[2,2,2,2,2,2,2,2]' LIMIT 3$$);
-- too many since: a search
SELECT vectorx_cache_reset();
SELECT count(*) FROM (SELECT id FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 10) s;
INSERT INTO hcache (v, kind) SELECT random_vector(8), 4 FROM generate_series(1, 2000);
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 10$$);
SELECT counted();
INSERT INTO hcache (v, kind) SELECT random_vector(8), 4 FROM generate_series(1, 7169);
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 10$$);
SELECT counted();
-- also where they are fewer, but the search is a short one
CREATE TABLE hshort (v vector(2));
INSERT INTO hshort SELECT ARRAY[i, i % 7] FROM generate_series(1, 1000) i;
CREATE INDEX ON hshort USING hnsw (v vector_l2_ops);
SET hnsw.ef_search = 1;
SELECT agrees($$SELECT v FROM hshort ORDER BY v <-> '[500,2]' LIMIT 1$$);
INSERT INTO hshort SELECT ARRAY[i, -i % 7] FROM generate_series(2000, 8999) i;
SELECT agrees($$SELECT v FROM hshort ORDER BY v <-> '[500,2]' LIMIT 1$$);
SELECT hits, misses, merges FROM vectorx_cache WHERE index = 'hshort_v_idx'::regclass;
RESET hnsw.ef_search;
DROP TABLE hshort;
-- more is wanted than a result has, of which the nearest are dead: a search is made, or all is read, as without the cache
CREATE TABLE hgone (id serial, v vector(3)) WITH (autovacuum_enabled = off);
INSERT INTO hgone (v) SELECT ARRAY[c + (i % 5) * .01, c + (i % 7) * .01, i * .003] FROM generate_series(1, 6) c, generate_series(1, 20) i;
INSERT INTO hgone (v) SELECT random_vector(3) * '[6,6,6]' FROM generate_series(1, 2000);
CREATE INDEX hgone_v ON hgone USING hnsw (v vector_l2_ops);
ANALYZE hgone;
CREATE FUNCTION differ(per_round int, k int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	q text;
	n bigint := 0;
BEGIN
	FOR c IN 1..6 LOOP
		q := format('SELECT v <-> %L FROM hgone ORDER BY v <-> %1$L LIMIT %s', ARRAY[c, c, 0]::vector, k);
		PERFORM agrees(q);
		FOR round IN 1..4 LOOP
			DELETE FROM hgone WHERE id IN (SELECT id FROM hgone ORDER BY v <-> ARRAY[c, c, 0]::vector LIMIT per_round);
			n := n + CASE WHEN agrees(q) THEN 0 ELSE 1 END;
		END LOOP;
	END LOOP;
	RETURN n;
END
$$;
SET hnsw.target_recall = 0.98;
SELECT differ(2, 5), differ(2, 10), differ(2, 20);
RESET hnsw.target_recall;
DROP TABLE hgone;
-- vectors that are too large to be told are read
CREATE TABLE hlarge (id int, v vector(2100));
INSERT INTO hlarge SELECT i, array_fill(i, ARRAY[2100]) FROM generate_series(1, 400) i;
CREATE INDEX hlarge_v ON hlarge USING hnsw (v vector_l2_ops);
SET hnsw.ef_search = 10;
SELECT id FROM hlarge ORDER BY v <-> array_fill(7.12, ARRAY[2100])::vector LIMIT 3;
INSERT INTO hlarge SELECT 1000 + i, array_fill(7 + i * 0.1, ARRAY[2100]) FROM generate_series(1, 3) i;
SELECT id FROM hlarge ORDER BY v <-> array_fill(7.12, ARRAY[2100])::vector LIMIT 3;
SELECT hits, misses, merges FROM vectorx_cache WHERE index = 'hlarge_v'::regclass;
RESET hnsw.ef_search;
DROP TABLE hlarge;
-- unless it may be old; then only VACUUM makes it void
SET vectorx.cache_staleness = '1h';
SELECT vectorx_cache_reset();
SELECT id > 0 AS found FROM hcache ORDER BY v <-> '[3,3,3,3,3,3,3,3]' LIMIT 1;
INSERT INTO hcache (v, kind) VALUES ('[3,3,3,3,3,3,3,3]', 5);
SELECT kind = 5 AS new FROM hcache ORDER BY v <-> '[3,3,3,3,3,3,3,3]' LIMIT 1;
RESET vectorx.cache_staleness;
SELECT kind = 5 AS new FROM hcache ORDER BY v <-> '[3,3,3,3,3,3,3,3]' LIMIT 1;

-- subtransactions
BEGIN;
SELECT kind FROM hcache ORDER BY v <-> '[3,3,3,3,3,3,3,3]' LIMIT 1;
SAVEPOINT s;
INSERT INTO hcache (v, kind) VALUES ('[3,3,3,3,3,3,3,3]', 6);
DELETE FROM hcache WHERE kind = 5;
SELECT kind FROM hcache ORDER BY v <-> '[3,3,3,3,3,3,3,3]' LIMIT 1;
ROLLBACK TO s;
SELECT kind FROM hcache ORDER BY v <-> '[3,3,3,3,3,3,3,3]' LIMIT 1;
ROLLBACK;
-- TRUNCATE and REINDEX; a table that is truncated where it was made keeps its files
SELECT kind FROM hcache ORDER BY v <-> '[3,3,3,3,3,3,3,3]' LIMIT 1;
REINDEX INDEX hcache_v;
SELECT kind FROM hcache ORDER BY v <-> '[3,3,3,3,3,3,3,3]' LIMIT 1;
SELECT counted();
BEGIN;
CREATE TABLE hcache_new (id int, v vector(3));
CREATE INDEX ON hcache_new USING hnsw (v vector_l2_ops);
INSERT INTO hcache_new SELECT i, ARRAY[i, i, i] FROM generate_series(1, 1000) i;
SELECT id FROM hcache_new ORDER BY v <-> '[5,5,5]' LIMIT 1;
TRUNCATE hcache_new;
INSERT INTO hcache_new SELECT -i, ARRAY[i, i, i] FROM generate_series(1, 1000) i;
SELECT id FROM hcache_new ORDER BY v <-> '[5,5,5]' LIMIT 1;
COMMIT;
SELECT id FROM hcache_new ORDER BY v <-> '[5,5,5]' LIMIT 1;
DROP TABLE hcache_new;
-- a temporary table is its session's alone
CREATE TEMP TABLE hcache_temp (id int, v vector(3));
CREATE INDEX hcache_temp_v ON hcache_temp USING hnsw (v vector_l2_ops);
INSERT INTO hcache_temp SELECT i, ARRAY[i, i, i] FROM generate_series(1, 1000) i;
SELECT id FROM hcache_temp ORDER BY v <-> '[5,5,5]' LIMIT 1;
SELECT id FROM hcache_temp ORDER BY v <-> '[5,5,5]' LIMIT 1;
SELECT count(*) FROM vectorx_cache WHERE index = 'hcache_temp_v'::regclass;
DROP TABLE hcache_temp;
-- with row-level security only if asked for
SELECT vectorx_cache_reset();
ALTER TABLE hcache ENABLE ROW LEVEL SECURITY;
SELECT count(*) FROM (SELECT id FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 10) s;
SELECT counted();
SET vectorx.cache = 'all';
SELECT count(*) FROM (SELECT id FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 10) s;
SELECT counted();
SET vectorx.cache = on;
ALTER TABLE hcache DISABLE ROW LEVEL SECURITY;
-- hnsw_search: equal queries of a batch are searched for once
SELECT vectorx_cache_reset();
SELECT query, count(*) FROM hnsw_search('hcache_v', array_fill('[1,0,0,0,0,0,0,0]'::vector, ARRAY[5]), 10) GROUP BY 1 ORDER BY 1;
SELECT counted();
-- a recall as the effort
CREATE INDEX hcache_w ON hcache USING hnsw (v vector_cosine_ops) WITH (target_recall = 0.95);
SELECT agrees($$SELECT id FROM hcache ORDER BY v <=> '[1,0,0,0,0,0,0,0]' LIMIT 10$$);
SELECT agrees($$SELECT id FROM hcache ORDER BY v <=> '[1,0,0,0,0,0,0,0]' LIMIT 100$$);
SET hnsw.target_recall = 0.8;
SELECT agrees($$SELECT id FROM hcache ORDER BY v <=> '[1,0,0,0,0,0,0,0]' LIMIT 10$$);
RESET hnsw.target_recall;
INSERT INTO hcache (v, kind) VALUES ('[1,0,0,0,0,0,0,0]', 8);
SELECT (array_agg(kind))[1] FROM (SELECT kind FROM hcache ORDER BY v <=> '[1,0,0,0,0,0,0,0]' LIMIT 10) s;
SELECT hits >= 6 AS hits, misses, merges FROM vectorx_cache WHERE index = 'hcache_w'::regclass;
-- queries that are rounded share nodes, which are ranked for each
SELECT vectorx_cache_reset();
SET vectorx.cache_key_bits = 5;
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 10$$);
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[1.001,0.001,0,0,0,0,0,0]' LIMIT 10$$);
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[1.002,0,0.002,0,0,0,0,0]' LIMIT 10$$);
SELECT counted();
INSERT INTO hcache (v, kind) VALUES ('[1.001,0.001,0,0,0,0,0,0]', 9);
SELECT (array_agg(kind))[1] FROM (SELECT kind FROM hcache ORDER BY v <-> '[1.001,0.001,0,0,0,0,0,0]' LIMIT 10) s;
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[1.002,0,0.002,0,0,0,0,0]' LIMIT 10$$);
SELECT counted();
-- of another rounding, length, sign, or dimensions
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[1.1,0,0,0,0,0,0,0]' LIMIT 10$$);
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[2,0,0,0,0,0,0,0]' LIMIT 10$$);
SELECT agrees($$SELECT id FROM hcache ORDER BY v <-> '[-1,0,0,0,0,0,0,0]' LIMIT 10$$);
SELECT outcome($$SELECT id FROM hcache ORDER BY v <-> '[1,0,0]' LIMIT 10$$);
SELECT outcome('SELECT id FROM hcache ORDER BY v <-> array_fill(1::real, ARRAY[16000])::vector LIMIT 10');
SELECT counted();
-- by cosine the length makes no difference; the zero vector is like none
SELECT agrees($$SELECT id FROM hcache ORDER BY v <=> '[1,0.5,0,0,0,0,0,0]' LIMIT 10$$);
SELECT agrees($$SELECT id FROM hcache ORDER BY v <=> '[30,15,0,0,0,0,0,0]' LIMIT 10$$);
SET vectorx.cache_key_bits = 1;
SELECT count(*) FROM (SELECT id FROM hcache ORDER BY v <=> '[1,1,1,1,1,1,1,1]' LIMIT 10) s;
SELECT count(*) FROM (SELECT id FROM hcache ORDER BY v <=> '[0,0,0,0,0,0,0,0]' LIMIT 10) s;
SELECT count(*) FROM (SELECT id FROM hcache ORDER BY v <-> '[3e38,-3e38,1,1,1,1,1,1]' LIMIT 10) s;
SELECT hits, misses FROM vectorx_cache WHERE index = 'hcache_w'::regclass;
RESET vectorx.cache_key_bits;
-- who may look, and empty it
CREATE ROLE regress_hcache;
GRANT SELECT ON hcache TO regress_hcache;
SET ROLE regress_hcache;
SELECT count(*) FROM (SELECT id FROM hcache ORDER BY v <-> '[1,0,0,0,0,0,0,0]' LIMIT 10) s;
SELECT outcome('SELECT * FROM vectorx_cache');
SELECT outcome('SELECT vectorx_cache_stats()');
SELECT outcome('SELECT vectorx_cache_reset()');
RESET ROLE;
GRANT pg_monitor TO regress_hcache;
SET ROLE regress_hcache;
SELECT count(*) > 0 AS some FROM vectorx_cache;
SELECT vectorx_cache_reset();
SELECT count(*) FROM vectorx_cache;
RESET ROLE;
DROP OWNED BY regress_hcache;
DROP ROLE regress_hcache;
-- settings
SELECT outcome('SET vectorx.cache = 3');
SELECT outcome('SET vectorx.cache_size = 0');
-- bounds have units from 18 on
SELECT regexp_replace(outcome('SET vectorx.cache_staleness = -1'), ' ms(?= \.\.|\))', '', 'g') AS outcome;
SELECT outcome('SET vectorx.cache_key_bits = 17');
RESET vectorx.cache;
RESET enable_seqscan;
RESET enable_sort;
DROP TABLE hcache;
DROP FUNCTION counted();
DROP FUNCTION agrees(text);
