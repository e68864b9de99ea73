-- Recall as the setting: hnsw.target_recall, the index option, calibration.
SET jit = off;
SET enable_seqscan = off;
SET enable_sort = off;
CREATE TABLE hrec (id int, v vector(8));
SELECT setseed(.5);
INSERT INTO hrec SELECT i, ARRAY[random(), random(), random(), random(), random(), random(), random(), random()]::float4[]::vector
	FROM generate_series(1, 4000) i;
CREATE INDEX hrec_v ON hrec USING hnsw (v vector_l2_ops) WITH (target_recall = 0.9);
ANALYZE hrec;

-- the build has calibrated it; more recall, or more rows, never take less
CREATE VIEW hrec_factors AS
	SELECT t, r, f.search_factors[t][r] AS factor
	FROM hnsw_info('hrec_v') f, generate_series(1, 8) t, generate_series(1, 3) r;
SELECT calibrated_by, calibration_queries >= 30 AS queries, array_dims(search_factors) FROM hnsw_info('hrec_v');
SELECT count(*) FROM hrec_factors a JOIN hrec_factors b ON a.r = b.r AND a.t + 1 = b.t WHERE a.factor > b.factor;

-- the setting: values, and what is none
SELECT count(*) FROM (SELECT id FROM hrec ORDER BY v <-> (SELECT v FROM hrec WHERE id = 1) LIMIT 10) x;
SHOW hnsw.target_recall;
SET hnsw.target_recall = 0.5;
SET hnsw.target_recall = 0.999;
SET hnsw.target_recall = '.95';
SET hnsw.target_recall = OFF;
SET hnsw.target_recall = 0.49;
SET hnsw.target_recall = 1;
SET hnsw.target_recall = 'nan';
SET hnsw.target_recall = 'high';
SET hnsw.target_recall = '';
RESET hnsw.target_recall;

SET hnsw.load_shedding = 0.8;
SET hnsw.load_shedding = 0.2;
SET hnsw.load_cpus = 4;
SET hnsw.load_cpus = -1;
RESET hnsw.load_shedding;
RESET hnsw.load_cpus;

-- the index option
ALTER INDEX hrec_v SET (target_recall = 0.3);
ALTER INDEX hrec_v SET (target_recall = many);
ALTER INDEX hrec_v SET (target_recall = 'off');
ALTER INDEX hrec_v SET (target_recall = 0.95);
SELECT after_reindex FROM hnsw_info('hrec_v');

-- what scans do: the width is the number of rows, not hnsw.ef_search; the setting goes before
-- the option, and so does off
CREATE FUNCTION hrec_scan(k int, OUT n bigint, OUT width int) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT count(*) FROM (SELECT id FROM hrec ORDER BY v <-> ''[.5,.5,.5,.5,.5,.5,.5,.5]'' LIMIT %s) x', k)
		INTO n;
	SELECT s.width INTO width FROM hnsw_last_scan() s;
END $$;
SELECT * FROM hrec_scan(10);
SELECT * FROM hrec_scan(25);
SET hnsw.target_recall = off;
SELECT * FROM hrec_scan(10);
SET hnsw.target_recall = .999;
SELECT * FROM hrec_scan(10);
-- all rows come, each once, whatever was expected
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hrec ORDER BY v <-> '[.5,.5,.5,.5,.5,.5,.5,.5]') x;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM hrec ORDER BY v <-> '[.5,.5,.5,.5,.5,.5,.5,.5]';
MOVE 600 IN c;
MOVE ALL IN c;
COMMIT;
SET hnsw.iterative_scan = off;
SELECT count(*) >= 40 AS some, count(*) < 4000 AS not_all FROM (SELECT id FROM hrec WHERE id > 0 ORDER BY v <-> '[.5,.5,.5,.5,.5,.5,.5,.5]') x;
RESET hnsw.iterative_scan;
-- hnsw.max_scan_tuples limits such a search as it does others
SET hnsw.max_scan_tuples = 200;
SELECT n BETWEEN 100 AND 400 AS some, (SELECT visited < 600 FROM hnsw_last_scan()) AS not_far FROM hrec_scan(1000);
SELECT n FROM hrec_scan(10);
SET hnsw.max_scan_tuples = 600;
SELECT count(*) BETWEEN 400 AND 1000 AS some, (SELECT visited < 1200 FROM hnsw_last_scan()) AS not_far
	FROM (SELECT id FROM hrec ORDER BY v <-> '[.5,.5,.5,.5,.5,.5,.5,.5]') x;
RESET hnsw.max_scan_tuples;
-- and the ef of hnsw_search goes before a recall
SELECT count(*), (SELECT width FROM hnsw_last_scan()) FROM hnsw_search('hrec_v', ARRAY['[1,2,3,4,5,6,7,8]']::vector[], 10, 333);
SHOW hnsw.target_recall;
RESET hnsw.target_recall;
SELECT count(*), (SELECT width FROM hnsw_last_scan()) FROM hnsw_search('hrec_v', ARRAY['[1,2,3,4,5,6,7,8]']::vector[], 10, 333);
SELECT count(*), (SELECT width FROM hnsw_last_scan()) FROM hnsw_search('hrec_v', ARRAY['[1,2,3,4,5,6,7,8]']::vector[], 10);

-- recall of the ten nearest, of queries that are no rows: far apart for two targets
CREATE FUNCTION hrec_recall(target text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	q vector;
	hits bigint := 0;
	n bigint;
BEGIN
	PERFORM set_config('hnsw.target_recall', target, true);
	PERFORM setseed(.25);
	FOR i IN 1..100 LOOP
		q := ARRAY[random(), random(), random(), random(), random(), random(), random(), random()]::float4[]::vector;
		EXECUTE format($q$WITH near AS MATERIALIZED (SELECT id FROM hrec ORDER BY v <-> %L LIMIT 10),
			exact AS (SELECT id FROM hrec ORDER BY (v <-> %L) + 0 LIMIT 10)
			SELECT count(*) FROM near JOIN exact USING (id)$q$, q, q) INTO n;
		hits := hits + n;
	END LOOP;
	RETURN hits / 1000.0;
END $$;
SET enable_sort = on;
SELECT hrec_recall('.5') < .95 AS low, hrec_recall('.99') BETWEEN .96 AND 1 AS high;
SET enable_sort = off;

-- hnsw_calibrate: by queries of the user; a VACUUM leaves it, a REINDEX does not
SELECT hnsw_calibrate('hrec_v', (SELECT array_agg(v) FROM hrec WHERE id <= 100));
SELECT calibrated_by, calibration_queries FROM hnsw_info('hrec_v');
VACUUM hrec;
SELECT calibrated_by FROM hnsw_info('hrec_v');
SELECT hnsw_calibrate('hrec_v', ARRAY['[1,2,3,4,5,6,7,8]']::vector[]);
SELECT hnsw_calibrate('hrec_v', '{}'::vector[]);
SELECT hnsw_calibrate('hrec_v', ARRAY['[1,2,3]']::vector[]);
SELECT hnsw_calibrate('hrec_v', ARRAY[NULL]::vector[]);
SELECT hnsw_calibrate('hrec_v', ARRAY[ARRAY['[1,2,3,4,5,6,7,8]', '[1,2,3,4,5,6,7,9]']]::vector[]);
SELECT hnsw_calibrate('hrec', ARRAY['[1,2,3,4,5,6,7,8]']::vector[]);
BEGIN READ ONLY;
SELECT hnsw_calibrate('hrec_v', ARRAY['[1,2,3,4,5,6,7,8]']::vector[]);
ROLLBACK;
-- the same of a query's first column, which is only read
SELECT hnsw_calibrate('hrec_v', 'SELECT v, id FROM hrec ORDER BY id', 60);
SELECT hnsw_calibrate('hrec_v', 'SELECT CASE WHEN id % 2 = 0 THEN v END FROM hrec WHERE id <= 100');
SELECT calibrated_by, calibration_queries FROM hnsw_info('hrec_v');
SELECT hnsw_calibrate('hrec_v', 'SELECT v FROM hrec LIMIT 3');
SELECT hnsw_calibrate('hrec_v', 'SELECT id FROM hrec');
SELECT hnsw_calibrate('hrec_v', 'SELECT FROM hrec');
SELECT hnsw_calibrate('hrec_v', 'SELECT v FROM hrec; SELECT 1');
SELECT hnsw_calibrate('hrec_v', 'DELETE FROM hrec RETURNING v');
SELECT hnsw_calibrate('hrec_v', 'VACUUM');
SELECT hnsw_calibrate('hrec_v', 'SELECT nothing');
SELECT hnsw_calibrate('hrec_v', 'SELECT v FROM hrec', 0);
SELECT hnsw_calibrate('hrec_v', 'SELECT v FROM hrec', 100000);
BEGIN READ ONLY;
SELECT hnsw_calibrate('hrec_v', 'SELECT v FROM hrec');
ROLLBACK;
SELECT count(*) FROM hrec;
REINDEX INDEX hrec_v;
SELECT calibrated_by FROM hnsw_info('hrec_v');
-- only for the owner
CREATE ROLE hrec_reader;
GRANT SELECT ON hrec TO hrec_reader;
SET ROLE hrec_reader;
SELECT hnsw_calibrate('hrec_v', ARRAY['[1,2,3,4,5,6,7,8]']::vector[]);
SELECT hnsw_calibrate('hrec_v', 'SELECT v FROM hrec');
SET hnsw.target_recall = .8;
RESET ROLE;
RESET hnsw.target_recall;

-- VACUUM calibrates an index that has grown by inserts, and one that has grown since
CREATE TABLE hrec_grown (LIKE hrec);
CREATE INDEX hrec_grown_v ON hrec_grown USING hnsw (v vector_l2_ops);
SELECT calibrated_by, calibration_queries, search_factors FROM hnsw_info('hrec_grown_v');
VACUUM hrec_grown;
SELECT calibrated_by FROM hnsw_info('hrec_grown_v');
INSERT INTO hrec_grown SELECT * FROM hrec WHERE id <= 2000;
-- not yet: hnsw.ef_search is the effort
SET hnsw.target_recall = .9;
SELECT count(*) FROM (SELECT id FROM hrec_grown ORDER BY v <-> '[.5,.5,.5,.5,.5,.5,.5,.5]' LIMIT 10) x;
SELECT width FROM hnsw_last_scan();
VACUUM hrec_grown;
SELECT calibrated_by FROM hnsw_info('hrec_grown_v');
SELECT count(*) FROM (SELECT id FROM hrec_grown ORDER BY v <-> '[.5,.5,.5,.5,.5,.5,.5,.5]' LIMIT 10) x;
SELECT width FROM hnsw_last_scan();
SELECT search_factors INTO TEMPORARY hrec_before FROM hnsw_info('hrec_grown_v');
VACUUM hrec_grown;
SELECT search_factors = (SELECT search_factors FROM hrec_before) AS same FROM hnsw_info('hrec_grown_v');
INSERT INTO hrec_grown SELECT * FROM hrec WHERE id > 2000;
VACUUM hrec_grown;
SELECT search_factors = (SELECT search_factors FROM hrec_before) AS same FROM hnsw_info('hrec_grown_v');

-- by the inner product and taxicab distance, and where nothing is to be measured
RESET hnsw.target_recall;
CREATE INDEX hrec_ip ON hrec USING hnsw (v vector_ip_ops);
CREATE INDEX hrec_l1 ON hrec USING hnsw (v vector_l1_ops);
CREATE TABLE hrec_same AS SELECT id, '[1,2,3,4,5,6,7,8]'::vector(8) AS v FROM hrec;
CREATE INDEX hrec_same_v ON hrec_same USING hnsw (v vector_l2_ops) WITH (target_recall = .9);
SELECT i, calibrated_by FROM unnest('{hrec_ip,hrec_l1,hrec_same_v}'::regclass[]) i, hnsw_info(i);
SELECT count(*) FROM (SELECT id FROM hrec_same ORDER BY v <-> '[.5,.5,.5,.5,.5,.5,.5,.5]' LIMIT 10) x;
SELECT count(*) FROM hnsw_check('hrec_v');
SELECT count(*) FROM hnsw_check('hrec_grown_v');

-- what could not be measured VACUUM tries again when there are a fifth more, not each time
CREATE TABLE hrec_near AS SELECT h.id, (c.v::float4[] || (h.id * 1e-6)::float4)::vector(9) AS v
	FROM hrec h JOIN hrec c ON c.id = h.id % 4 + 1;
CREATE INDEX hrec_near_v ON hrec_near USING hnsw (v vector_l2_ops);
CREATE FUNCTION hrec_blocks() RETURNS bigint LANGUAGE sql AS
	$$SELECT idx_blks_hit + idx_blks_read FROM pg_statio_user_indexes WHERE indexrelname = 'hrec_near_v'$$;
VACUUM hrec_near;
SELECT pg_stat_force_next_flush() IS NOT NULL AS flushed;
SELECT live_nodes >= 1000 AS enough, calibrated_by IS NULL AS unmeasured, hrec_blocks() AS blocks FROM hnsw_info('hrec_near_v') \gset
\echo :enough :unmeasured
VACUUM hrec_near;
SELECT pg_stat_force_next_flush() IS NOT NULL AS flushed;
SELECT hrec_blocks() - :blocks < 5000 AS few;
INSERT INTO hrec_near SELECT h.id, (c.v::float4[] || (h.id * -1e-6)::float4)::vector(9)
	FROM hrec h JOIN hrec c ON c.id = h.id % 4 + 1 WHERE h.id <= 1500;
SELECT pg_stat_force_next_flush() IS NOT NULL AS flushed;
SELECT hrec_blocks() AS blocks \gset
VACUUM hrec_near;
SELECT pg_stat_force_next_flush() IS NOT NULL AS flushed;
SELECT hrec_blocks() - :blocks < 5000 AS few;
SELECT count(*) FROM hnsw_check('hrec_near_v');

-- without sketches, a search finds where it begins before anything else: that counts, too
CREATE TABLE hrec_plain AS SELECT id, (v::real[] || w::real[])::vector(16) AS v
	FROM hrec JOIN (SELECT id - 1 AS id, v AS w FROM hrec) x USING (id) WHERE id <= 3000;
CREATE INDEX hrec_plain_v ON hrec_plain USING hnsw (v vector_l1_ops);
SELECT calibrated_by, (SELECT count(*) FROM generate_series(1, 7) t, generate_series(1, 3) r
	WHERE search_factors[t][r] > search_factors[t + 1][r]) AS falling FROM hnsw_info('hrec_plain_v');
VACUUM hrec_plain;
SELECT calibrated_by, (SELECT count(*) FROM generate_series(1, 7) t, generate_series(1, 3) r
	WHERE search_factors[t][r] > search_factors[t + 1][r]) AS falling FROM hnsw_info('hrec_plain_v');

DROP VIEW hrec_factors;
DROP TABLE hrec, hrec_grown, hrec_same, hrec_plain, hrec_near;
DROP ROLE hrec_reader;
DROP FUNCTION hrec_scan, hrec_recall, hrec_blocks;
RESET jit;
RESET enable_seqscan;
RESET enable_sort;
