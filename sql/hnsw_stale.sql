-- what VACUUM has still to do in an index, as hnsw_info tells it, and who may ask; hnsw_prewarm
SELECT setseed(0.5);
CREATE TABLE hstale (id int, v vector(8));
INSERT INTO hstale SELECT i, random_vector(8) FROM generate_series(1, 2000) AS i;
-- rows with one node, more than it has room for; then such rows for which there is another
INSERT INTO hstale SELECT 10000 + i, '[9,9,9,9,9,9,9,9]' FROM generate_series(1, 40) AS i;
INSERT INTO hstale SELECT 20000 + i, '[-9,9,9,9,9,9,9,9]' FROM generate_series(1, 40) AS i;
CREATE INDEX hstale_v ON hstale USING hnsw (v vector_l2_ops) WITH (pending_limit = 1000);
-- before any VACUUM, and with a visibility map
SELECT heap_tids, overflow_pages > 0 AS overflow, dead_rows, stale_links FROM hnsw_info('hstale_v');
VACUUM hstale;
SELECT heap_tids, dead_rows, stale_links FROM hnsw_info('hstale_v');
-- rows deleted: a quarter; all of one node, but one of the other
DELETE FROM hstale WHERE id % 4 = 0 AND id <= 2000;
DELETE FROM hstale WHERE id BETWEEN 10001 AND 10040 OR id BETWEEN 20001 AND 20039;
SELECT heap_tids, dead_nodes, dead_rows, stale_links BETWEEN 0.2 AND 0.3 AS stale FROM hnsw_info('hstale_v');
-- an update that stays on its page leaves nothing dead in the index; one of the vector does
CREATE TABLE hupdated (id int, n int, v vector(2)) WITH (fillfactor = 50);
INSERT INTO hupdated SELECT i, 0, ARRAY[i, i * i] FROM generate_series(1, 100) AS i;
CREATE INDEX hupdated_v ON hupdated USING hnsw (v vector_l2_ops) WITH (pending_limit = 0);
UPDATE hupdated SET n = 1 WHERE id <= 20;
SELECT heap_tids, dead_rows, stale_links FROM hnsw_info('hupdated_v');
UPDATE hupdated SET v = ARRAY[-id, id] WHERE id <= 20;
SELECT heap_tids, dead_rows, stale_links > 0 AS stale FROM hnsw_info('hupdated_v');
-- what is not dead to all is not dead
BEGIN;
DELETE FROM hupdated WHERE id > 50;
SELECT heap_tids, dead_rows FROM hnsw_info('hupdated_v');
ROLLBACK;
SELECT heap_tids, dead_rows FROM hnsw_info('hupdated_v');
-- serializable transactions are told of no rows that are not read
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT dead_rows FROM hnsw_info('hupdated_v');
SELECT count(*) FROM pg_locks WHERE mode = 'SIReadLock' AND pid = pg_backend_pid() AND relation = 'hupdated'::regclass;
COMMIT;
-- rows that wait to be merged are told, too
INSERT INTO hstale SELECT 30000 + i, random_vector(8) FROM generate_series(1, 30) AS i;
SELECT pending_rows, dead_rows FROM hnsw_info('hstale_v');
VACUUM hstale, hupdated;
SELECT live_nodes, heap_tids, dead_nodes, pending_rows, dead_rows, stale_links FROM hnsw_info('hstale_v');
SELECT heap_tids, dead_rows, stale_links FROM hnsw_info('hupdated_v');
-- temporary and empty ones
SET temp_buffers = '1MB';
CREATE TEMPORARY TABLE htemporary (v vector(2));
CREATE INDEX htemporary_v ON htemporary USING hnsw (v vector_l2_ops);
SELECT heap_tids, dead_rows, stale_links FROM hnsw_info('htemporary_v');
INSERT INTO htemporary SELECT ARRAY[i, i] FROM generate_series(1, 10) AS i;
DELETE FROM htemporary;
SELECT heap_tids, dead_rows FROM hnsw_info('htemporary_v');
-- all indexes of a database: of a partitioned one NULLs
CREATE TABLE hparted (n int, v vector(2)) PARTITION BY LIST (n);
CREATE TABLE hparted_1 PARTITION OF hparted FOR VALUES IN (1);
CREATE INDEX hparted_v ON hparted USING hnsw (v vector_l2_ops);
SELECT c.relname, c.relkind, (i IS NULL) AS nulls, i.live_nodes FROM pg_class c, hnsw_info(c.oid) i WHERE c.relname LIKE 'hparted%v%' ORDER BY 1;
CREATE INDEX hparted_n ON hparted (n);
SELECT outcome($$SELECT hnsw_info('hparted_n')$$);
-- pg_monitor may look into indexes of tables that it cannot read, and not search them
CREATE ROLE regress_hstale_monitor;
SET ROLE regress_hstale_monitor;
SELECT outcome($$SELECT live_nodes FROM hnsw_info('hstale_v')$$);
RESET ROLE;
GRANT pg_monitor TO regress_hstale_monitor;
SET ROLE regress_hstale_monitor;
SELECT outcome($$SELECT live_nodes > 0 FROM hnsw_info('hstale_v')$$);
SELECT outcome($$SELECT count(*) FROM hnsw_check('hstale_v')$$);
SELECT outcome($$SELECT count(*) FROM hnsw_search('hstale_v', ARRAY['[1,2,3,4,5,6,7,8]']::vector[], 1)$$);
SELECT outcome($$SELECT recall FROM hnsw_recall('hstale_v')$$);
SELECT outcome($$SELECT hnsw_prewarm('hstale_v')$$);
RESET ROLE;
-- into the buffer cache: all pages; of those that do not fit, as many as do
SELECT hnsw_prewarm('hstale_v') = pg_relation_size('hstale_v') / current_setting('block_size')::int AS whole;
SELECT hnsw_prewarm('htemporary_v') = pg_relation_size('htemporary_v') / current_setting('block_size')::int AS whole;
INSERT INTO htemporary SELECT ARRAY[i, i * i] FROM generate_series(1, 20000) AS i;
SELECT hnsw_prewarm('htemporary_v') * 4 / 3 AS pages, pg_size_bytes(current_setting('temp_buffers')) / current_setting('block_size')::int AS buffers;
SELECT outcome($$SELECT hnsw_prewarm('hstale')$$);
SELECT outcome($$SELECT hnsw_prewarm('hparted_v')$$);
GRANT SELECT ON hstale TO regress_hstale_monitor;
SET ROLE regress_hstale_monitor;
SELECT outcome($$SELECT hnsw_prewarm('hstale_v') > 0$$);
RESET ROLE;
DROP TABLE hstale, hupdated, htemporary, hparted;
DROP ROLE regress_hstale_monitor;
