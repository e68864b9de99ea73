-- what all sessions have done with indexes: pg_stat_vectorx_indexes, hnsw_stats_reset
SELECT setseed(0.5);
CREATE TABLE hstats (id int, v vector(6));
INSERT INTO hstats SELECT i, random_vector(6) FROM generate_series(1, 2000) AS i;
CREATE INDEX hstats_v ON hstats USING hnsw (v vector_l2_ops);
CREATE INDEX hstats_id ON hstats (id);
ANALYZE hstats;
SET enable_seqscan = off;
SET enable_sort = off;
-- columns; an index is there before it has been scanned, and only hnsw ones are
SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
	FROM pg_attribute WHERE attrelid = 'pg_stat_vectorx_indexes'::regclass AND attnum > 0;
SELECT relid::regclass, indexrelid::regclass, schemaname, relname, indexrelname, scans, searches, resumes, sweeps,
	visited, scored, reranked, returned, stats_reset FROM pg_stat_vectorx_indexes WHERE relname = 'hstats';
-- a session's own numbers are there when its scan has ended, and are those of its scans
CREATE TABLE hstats_sum AS SELECT 0::bigint AS n, s.* FROM hnsw_last_scan() s WITH NO DATA;
CREATE PROCEDURE counted(query text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE query;
	INSERT INTO hstats_sum SELECT 1, s.* FROM hnsw_last_scan() s;
END
$$;
CREATE FUNCTION is_sum() RETURNS TABLE (scans bigint, searches bigint, sweeps bigint, same boolean) LANGUAGE sql AS $$
	SELECT v.scans, v.searches, v.sweeps,
		(v.scans, v.searches, v.resumes, v.sweeps, v.visited, v.scored, v.reranked, v.returned) =
			(s.n, s.searches, s.resumes, s.sweeps, s.visited, s.scored, s.reranked, s.returned) AND v.stats_reset <= now()
	FROM pg_stat_vectorx_indexes v, (SELECT sum(n) AS n, sum(searches) AS searches, sum(resumes) AS resumes, sum(sweeps) AS sweeps,
		sum(visited) AS visited, sum(scored) AS scored, sum(reranked) AS reranked, sum(returned) AS returned FROM hstats_sum) s
	WHERE indexrelname = 'hstats_v'
$$;
CALL counted($$SELECT id FROM hstats ORDER BY v <-> '[1,0,0,0,0,0]' LIMIT 10$$);
CALL counted($$SELECT id FROM hstats ORDER BY v <-> '[0,1,0,0,0,0]'$$);
CALL counted($$SELECT count(*) FROM (SELECT id FROM hstats WHERE id <= 5) q, LATERAL
	(SELECT h.id FROM hstats h ORDER BY h.v <-> ('[' || q.id || ',1,1,1,1,1]')::vector LIMIT 10) t$$);
SELECT * FROM is_sum();
-- many in one transaction
DO $$
BEGIN
	FOR i IN 1..50 LOOP
		CALL counted(format('SELECT id FROM hstats ORDER BY v <-> ''[1,%s,0,0,0,0]'' LIMIT 10', i));
	END LOOP;
END
$$;
SELECT * FROM is_sum();
-- a scan that an error ends counts, too
CREATE FUNCTION stops(n int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE COST 0.001 AS 'BEGIN RETURN 1 / (n - n) > 0; END';
SELECT outcome($$SELECT id FROM hstats WHERE stops(id) ORDER BY v <-> '[1,0,0,0,0,0]' LIMIT 10$$);
SELECT scans, searches FROM pg_stat_vectorx_indexes WHERE indexrelname = 'hstats_v';
SELECT id > 0 AS found FROM hstats WHERE stops(id) ORDER BY v <-> '[1,0,0,0,0,0]' LIMIT 1;
SELECT scans, searches FROM pg_stat_vectorx_indexes WHERE indexrelname = 'hstats_v';
-- so does one of a savepoint that is rolled back, and a cursor before its end
BEGIN;
SAVEPOINT s;
DO $$ BEGIN PERFORM id FROM hstats ORDER BY v <-> '[1,0,0,0,0,0]' LIMIT 1; END $$;
ROLLBACK TO s;
DECLARE c CURSOR FOR SELECT id FROM hstats ORDER BY v <-> '[1,0,0,0,0,0]';
MOVE 5 FROM c;
COMMIT;
SELECT scans, searches FROM pg_stat_vectorx_indexes WHERE indexrelname = 'hstats_v';
-- an index of its own for each: another one's numbers stay
CREATE INDEX hstats_w ON hstats USING hnsw (v vector_cosine_ops);
SELECT count(*) FROM hnsw_search('hstats_w', ARRAY['[1,0,0,0,0,0]', '[0,1,0,0,0,0]']::vector[], 10);
SELECT indexrelname, scans, searches, returned FROM pg_stat_vectorx_indexes WHERE relname = 'hstats' ORDER BY 1;
-- reset: of one, then of all
SELECT hnsw_stats_reset('hstats_v');
SELECT indexrelname, scans, searches, visited > 0 AS visited, scored > 0 AS scored, stats_reset > (SELECT min(stats_reset) FROM hnsw_index_stats()) AS later
	FROM pg_stat_vectorx_indexes WHERE relname = 'hstats' AND (indexrelname = 'hstats_v' OR scans = 1) ORDER BY 1;
SELECT hnsw_stats_reset();
SELECT indexrelname, scans, searches, returned FROM pg_stat_vectorx_indexes WHERE relname = 'hstats' ORDER BY 1;
SELECT count(*) FROM (SELECT id FROM hstats ORDER BY v <=> '[1,0,0,0,0,0]' LIMIT 10) s;
SELECT indexrelname, scans, searches FROM pg_stat_vectorx_indexes WHERE relname = 'hstats' ORDER BY 1;
SELECT outcome($$SELECT hnsw_stats_reset('hstats_id')$$);
SELECT outcome($$SELECT hnsw_stats_reset('hstats')$$);
SELECT outcome($$SELECT hnsw_stats_reset(0)$$);
-- anyone may look, but not set to zero
CREATE ROLE regress_hnsw_stats;
SET ROLE regress_hnsw_stats;
SELECT indexrelname, scans, searches FROM pg_stat_vectorx_indexes WHERE relname = 'hstats' ORDER BY 1;
SELECT outcome($$SELECT hnsw_stats_reset()$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION hnsw_stats_reset(regclass) TO regress_hnsw_stats;
SET ROLE regress_hnsw_stats;
SELECT hnsw_stats_reset('hstats_w');
RESET ROLE;
SELECT indexrelname, scans, searches FROM pg_stat_vectorx_indexes WHERE relname = 'hstats' ORDER BY 1;
-- inserts, pending and not, also of a transaction that is rolled back; not rows that an index does not have; merges
SELECT hnsw_stats_reset();
ALTER INDEX hstats_v SET (pending_limit = 1000);
ALTER INDEX hstats_w SET (pending_limit = 0);
INSERT INTO hstats SELECT 10000 + i, random_vector(6) FROM generate_series(1, 60) AS i;
INSERT INTO hstats VALUES (10061, NULL), (10062, '[0,0,0,0,0,0]');
BEGIN;
INSERT INTO hstats VALUES (10063, '[1,2,3,4,5,6]');
ROLLBACK;
SELECT indexrelname, inserts, pending_inserts, merges, merged_rows FROM pg_stat_vectorx_indexes WHERE relname = 'hstats' ORDER BY 1;
SELECT hnsw_merge('hstats_v');
SELECT hnsw_merge('hstats_v');
SELECT indexrelname, merges, merged_rows FROM pg_stat_vectorx_indexes WHERE relname = 'hstats' ORDER BY 1;
-- the cache's, which are for members of pg_monitor
SET vectorx.cache = on;
SET hnsw.ef_search = 60;
SELECT count(*) FROM generate_series(1, 5) n, LATERAL (SELECT id FROM hstats WHERE n > 0 ORDER BY v <=> '[1,0,2,0,0,0]' LIMIT 10) s;
SELECT count(*) FROM (SELECT id FROM hstats ORDER BY v <=> '[1,0,2,0,0,0]' LIMIT 10) s;
RESET hnsw.ef_search;
RESET vectorx.cache;
SELECT count(*) FROM (SELECT id FROM hstats ORDER BY v <=> '[1,0,2,0,0,0]' LIMIT 10) s;
SELECT s.indexrelname, s.cache_hits > 0 AS hits, s.cache_misses > 0 AS misses, (c.hits, c.misses) = (s.cache_hits, s.cache_misses) AS same, s.cache_hits + s.cache_misses - s.searches AS others
	FROM pg_stat_vectorx_indexes s JOIN vectorx_cache c ON c.index = s.indexrelid WHERE s.relname = 'hstats' ORDER BY 1;
SELECT indexrelname, cache_hits, cache_misses FROM pg_stat_vectorx_indexes WHERE indexrelname = 'hstats_v';
SET ROLE regress_hnsw_stats;
SELECT indexrelname, inserts > 0 AS inserts, cache_hits, cache_misses FROM pg_stat_vectorx_indexes WHERE relname = 'hstats' ORDER BY 1;
SELECT count(*) FILTER (WHERE cache_hits IS NOT NULL OR cache_misses IS NOT NULL) FROM hnsw_index_stats();
RESET ROLE;
GRANT pg_monitor TO regress_hnsw_stats;
SET ROLE regress_hnsw_stats;
SELECT indexrelname, cache_hits > 0 AS hits FROM pg_stat_vectorx_indexes WHERE relname = 'hstats' ORDER BY 1;
RESET ROLE;
SELECT vectorx_cache_reset();
DROP OWNED BY regress_hnsw_stats;
DROP ROLE regress_hnsw_stats;
-- of a temporary index; what is dropped leaves nothing
CREATE TEMP TABLE htemp (v vector(3));
INSERT INTO htemp VALUES ('[1,2,3]');
CREATE INDEX htemp_v ON htemp USING hnsw (v vector_l2_ops);
SELECT count(*) FROM (SELECT v FROM htemp ORDER BY v <-> '[1,0,0]' LIMIT 10) s;
SELECT scans, searches FROM pg_stat_vectorx_indexes WHERE indexrelname = 'htemp_v';
CREATE TABLE hstats_oids AS SELECT oid FROM pg_class WHERE relname IN ('htemp_v', 'hstats_v', 'hstats_w');
SELECT count(*) FROM hnsw_index_stats() s JOIN hstats_oids o ON o.oid = s.index;
DROP TABLE htemp;
DROP INDEX hstats_w;
SELECT count(*) FROM hnsw_index_stats() s JOIN hstats_oids o ON o.oid = s.index;
DROP TABLE hstats, hstats_sum;
SELECT count(*) FROM hnsw_index_stats() s JOIN hstats_oids o ON o.oid = s.index;
DROP TABLE hstats_oids;
DROP FUNCTION is_sum();
DROP FUNCTION stops(int);
DROP PROCEDURE counted(text);
