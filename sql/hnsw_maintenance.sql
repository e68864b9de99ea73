-- what is done to tables and indexes
SELECT setseed(0.5);
SET hnsw.ef_search = 1000;
-- every operator class is sound
SELECT opcname FROM pg_opclass AS c JOIN pg_am AS a ON a.oid = opcmethod
	WHERE amname = 'hnsw' AND NOT amvalidate(c.oid);
CREATE TABLE hmain (id serial PRIMARY KEY, v vector(24));
INSERT INTO hmain (v) SELECT random_vector(24) FROM generate_series(1, 400);
CREATE VIEW hmain_compared AS
	SELECT index_agrees(format(
		'SELECT v <-> %L::vector FROM hmain ORDER BY 1 LIMIT 20', random_vector(24))) AS compared;
CREATE INDEX CONCURRENTLY hmain_v ON hmain USING hnsw (v vector_l2_ops);
TABLE hmain_compared;
SELECT * FROM hnsw_check('hmain_v');
SELECT live_nodes, heap_tids FROM hnsw_info('hmain_v');
REINDEX INDEX CONCURRENTLY hmain_v;
TABLE hmain_compared;
SELECT * FROM hnsw_check('hmain_v');
DELETE FROM hmain WHERE id <= 100;
REINDEX TABLE hmain;
TABLE hmain_compared;
SELECT * FROM hnsw_check('hmain_v');
VACUUM FULL hmain;
TABLE hmain_compared;
SELECT * FROM hnsw_check('hmain_v');
SELECT live_nodes, heap_tids FROM hnsw_info('hmain_v');
-- two indexes on one column
CREATE INDEX hmain_v2 ON hmain USING hnsw (v vector_l2_ops) WITH (sketch_bits = 0);
INSERT INTO hmain (v) SELECT random_vector(24) FROM generate_series(1, 100);
SELECT * FROM hnsw_check('hmain_v');
SELECT * FROM hnsw_check('hmain_v2');
DROP INDEX hmain_v;
TABLE hmain_compared;
DROP INDEX hmain_v2;
-- the arena is too small: the build goes on in buffers
SET client_min_messages = warning;
SET maintenance_work_mem = '1MB';
CREATE TABLE hmain_large (id serial, v vector(200));
INSERT INTO hmain_large (v) SELECT random_vector(200) FROM generate_series(1, 1500);
CREATE INDEX hmain_large_v ON hmain_large USING hnsw (v vector_l2_ops) WITH (ef_construction = 20);
RESET client_min_messages;
RESET maintenance_work_mem;
SELECT live_nodes, node_pages > 200 AS large FROM hnsw_info('hmain_large_v');
SELECT * FROM hnsw_check('hmain_large_v');
SET hnsw.ef_search = 2000;
SELECT index_agrees(format(
	'SELECT v <-> %L::vector FROM hmain_large ORDER BY 1 LIMIT 20', random_vector(200)));
SET hnsw.ef_search = 1000;
DROP TABLE hmain_large;
-- unlogged, and changed to logged and back
CREATE INDEX hmain_v ON hmain USING hnsw (v vector_l2_ops);
ALTER TABLE hmain SET UNLOGGED;
INSERT INTO hmain (v) SELECT random_vector(24) FROM generate_series(1, 50);
TABLE hmain_compared;
ALTER TABLE hmain SET LOGGED;
INSERT INTO hmain (v) SELECT random_vector(24) FROM generate_series(1, 50);
TABLE hmain_compared;
SELECT * FROM hnsw_check('hmain_v');
CREATE UNLOGGED TABLE hmain_unlogged (id serial, v vector(24));
CREATE INDEX hmain_unlogged_v ON hmain_unlogged USING hnsw (v vector_cosine_ops);
INSERT INTO hmain_unlogged (v) SELECT random_vector(24) FROM generate_series(1, 50);
SELECT live_nodes FROM hnsw_info('hmain_unlogged_v');
SELECT * FROM hnsw_check('hmain_unlogged_v');
DROP TABLE hmain_unlogged;
-- what a rolled back transaction inserted is not seen, and goes with VACUUM
BEGIN;
INSERT INTO hmain (v) SELECT random_vector(24) FROM generate_series(1, 50);
SAVEPOINT s;
INSERT INTO hmain (v) SELECT random_vector(24) FROM generate_series(1, 50);
TABLE hmain_compared;
ROLLBACK TO s;
TABLE hmain_compared;
INSERT INTO hmain (v) SELECT random_vector(24) FROM generate_series(1, 50);
ROLLBACK;
TABLE hmain_compared;
SELECT * FROM hnsw_check('hmain_v');
VACUUM hmain;
TABLE hmain_compared;
SELECT * FROM hnsw_check('hmain_v');
-- an insert that fails on the way lets go of what it held
BEGIN;
SAVEPOINT s;
INSERT INTO hmain (v) SELECT CASE WHEN i < 20 THEN random_vector(24)
	ELSE array_fill(3e38::real, ARRAY[24])::vector END FROM generate_series(1, 30) AS i;
ROLLBACK TO s;
SELECT count(*) FROM pg_locks WHERE locktype = 'page' AND pid = pg_backend_pid();
INSERT INTO hmain (v) SELECT random_vector(24) FROM generate_series(1, 10);
COMMIT;
TABLE hmain_compared;
SELECT * FROM hnsw_check('hmain_v');
-- another type, another table behind the same name
ALTER TABLE hmain ALTER v TYPE vector(12) USING subvector(v, 1, 12);
SELECT dimensions FROM hnsw_info('hmain_v');
SELECT * FROM hnsw_check('hmain_v');
TRUNCATE hmain;
SELECT live_nodes FROM hnsw_info('hmain_v');
BEGIN;
TRUNCATE hmain;
INSERT INTO hmain (v) SELECT random_vector(12) FROM generate_series(1, 50);
SELECT live_nodes FROM hnsw_info('hmain_v');
ROLLBACK;
SELECT live_nodes FROM hnsw_info('hmain_v');
INSERT INTO hmain (v) SELECT random_vector(12) FROM generate_series(1, 50);
SELECT live_nodes FROM hnsw_info('hmain_v');
SELECT * FROM hnsw_check('hmain_v');
DROP TABLE hmain CASCADE;
-- in a query with workers, a temporary index is looked into by the leader
CREATE TABLE hmain_rows AS SELECT i FROM generate_series(1, 10) AS i;
ALTER TABLE hmain_rows SET (parallel_workers = 4);
CREATE TEMP TABLE hmain_temporary (v vector(3));
INSERT INTO hmain_temporary SELECT random_vector(3) FROM generate_series(1, 20);
CREATE INDEX hmain_temporary_v ON hmain_temporary USING hnsw (v vector_l2_ops);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
SELECT count(*) FROM hmain_rows WHERE (hnsw_info('hmain_temporary_v')).live_nodes = 20;
SELECT count(*) FROM hmain_rows LEFT JOIN hnsw_check('hmain_temporary_v') AS c ON true WHERE i > 3;
RESET parallel_leader_participation;
RESET min_parallel_table_scan_size;
RESET parallel_tuple_cost;
RESET parallel_setup_cost;
DROP TABLE hmain_rows, hmain_temporary;
-- a column that loses its length leaves an index its dimensions
CREATE TABLE hmain (id serial PRIMARY KEY, v vector(24));
INSERT INTO hmain (v) VALUES (NULL);
INSERT INTO hmain (v) SELECT random_vector(24) FROM generate_series(1, 100);
CREATE INDEX hmain_v ON hmain USING hnsw (v vector_l2_ops);
ALTER TABLE hmain ALTER v TYPE vector;
SELECT dimensions FROM hnsw_info('hmain_v');
SELECT * FROM hnsw_check('hmain_v');
SELECT outcome('INSERT INTO hmain (v) VALUES (random_vector(23))');
INSERT INTO hmain (v) SELECT random_vector(24) FROM generate_series(1, 20);
REINDEX INDEX hmain_v;
SELECT dimensions, heap_tids FROM hnsw_info('hmain_v');
SELECT * FROM hnsw_check('hmain_v');
ALTER TABLE hmain SET UNLOGGED;
VACUUM FULL hmain;
SELECT dimensions, heap_tids FROM hnsw_info('hmain_v');
SELECT index_agrees(format('SELECT v <-> %L::vector FROM hmain WHERE v IS NOT NULL ORDER BY 1 LIMIT 20', random_vector(24)));
-- without a row to tell them
TRUNCATE hmain;
SELECT dimensions, heap_tids FROM hnsw_info('hmain_v');
ALTER TABLE hmain SET LOGGED;
REINDEX TABLE hmain;
BEGIN;
TRUNCATE hmain;
REINDEX TABLE hmain;
SELECT dimensions FROM hnsw_info('hmain_v');
ROLLBACK;
SELECT dimensions FROM hnsw_info('hmain_v');
SELECT outcome('INSERT INTO hmain (v) VALUES (random_vector(23))');
INSERT INTO hmain (v) SELECT random_vector(24) FROM generate_series(1, 20);
SELECT * FROM hnsw_check('hmain_v');
-- a new index wants a column of one length
SELECT outcome('CREATE INDEX ON hmain USING hnsw (v vector_l2_ops)');
DROP TABLE hmain;
-- pages at the end that are in no use any more are given back, those of higher levels and of pending rows, too
-- (throughput: no session asks for a worker, which might have the index open or merge meanwhile)
SET hnsw.write_profile = throughput;
CREATE TABLE hshrink (id int, v vector(24));
INSERT INTO hshrink SELECT i, random_vector(24) FROM generate_series(1, 500) i;
CREATE INDEX hshrink_v ON hshrink USING hnsw (v vector_l2_ops) WITH (pending_limit = 0);
INSERT INTO hshrink SELECT i, random_vector(24) FROM generate_series(501, 3000) i;
CREATE TEMP TABLE hshrink_size AS SELECT pg_relation_size('hshrink_v') AS size;
DELETE FROM hshrink WHERE id > 500;
VACUUM hshrink;
SELECT pg_relation_size('hshrink_v') < size / 4 AS shorter FROM hshrink_size;
SELECT * FROM hnsw_check('hshrink_v');
ALTER INDEX hshrink_v SET (pending_limit = 1000);
INSERT INTO hshrink SELECT i, random_vector(24) FROM generate_series(501, 3000) i;
SELECT * FROM hnsw_check('hshrink_v');
DELETE FROM hshrink;
VACUUM hshrink;
SELECT pg_relation_size('hshrink_v') < size / 10 AS shorter FROM hshrink_size;
SELECT * FROM hnsw_check('hshrink_v');
INSERT INTO hshrink SELECT i, random_vector(24) FROM generate_series(1, 1500) i;
SELECT hnsw_merge('hshrink_v') > 0 AS merged;
SELECT * FROM hnsw_check('hshrink_v');
SELECT live_nodes FROM hnsw_info('hshrink_v');
-- vectors beside the records
CREATE TABLE hshrink_side (id int, v vector(3000));
INSERT INTO hshrink_side SELECT i, random_vector(3000) FROM generate_series(1, 10) i;
CREATE INDEX hshrink_side_v ON hshrink_side USING hnsw (v vector_l2_ops) WITH (pending_limit = 50);
INSERT INTO hshrink_side SELECT i, random_vector(3000) FROM generate_series(11, 100) i;
DELETE FROM hshrink_side WHERE id > 10;
VACUUM hshrink_side;
SELECT pg_relation_size('hshrink_side_v') / 8192 < 70 AS shorter;
SELECT * FROM hnsw_check('hshrink_side_v');
INSERT INTO hshrink_side SELECT i, random_vector(3000) FROM generate_series(11, 100) i;
SELECT * FROM hnsw_check('hshrink_side_v');
DROP TABLE hshrink, hshrink_side, hshrink_size;
RESET hnsw.write_profile;
-- VACUUM by several processes has no lock to give pages back
CREATE TABLE hmain_parallel (id serial PRIMARY KEY, v vector(3));
INSERT INTO hmain_parallel (v) SELECT random_vector(3) FROM generate_series(1, 3000);
CREATE INDEX hmain_parallel_v ON hmain_parallel USING hnsw (v vector_l2_ops);
SET min_parallel_index_scan_size = 0;
DELETE FROM hmain_parallel;
VACUUM (PARALLEL 2) hmain_parallel;
SELECT * FROM hnsw_check('hmain_parallel_v');
INSERT INTO hmain_parallel (v) VALUES ('[1,2,3]');
DELETE FROM hmain_parallel;
VACUUM (PARALLEL 0) hmain_parallel;
SELECT pg_relation_size('hmain_parallel_v') < 200000 AS given_back;
RESET min_parallel_index_scan_size;
DROP TABLE hmain_parallel;
