-- many queries in one call
SELECT setseed(0.5);
CREATE TABLE hsearch (id int, v vector(6));
INSERT INTO hsearch SELECT i, random_vector(6) FROM generate_series(1, 2000) AS i;
INSERT INTO hsearch VALUES (0, NULL);
CREATE INDEX hsearch_v ON hsearch USING hnsw (v vector_cosine_ops);
DELETE FROM hsearch WHERE id % 10 = 0;
ANALYZE hsearch;
-- the rows of a query for each, in its order
SET enable_seqscan = off;
SET enable_sort = off;
CREATE TABLE hqueries AS SELECT n::int, random_vector(6) AS v FROM generate_series(1, 20) AS n;
WITH one AS (
	SELECT s.query, s.rank, h.id, s.distance, h.v <=> q.v AS d
	FROM hnsw_search('hsearch_v', (SELECT array_agg(v ORDER BY n) FROM hqueries), 7) s
		JOIN hqueries q ON q.n = s.query JOIN hsearch h ON h.ctid = s.ctid
), other AS (
	SELECT q.n, t.id, row_number() OVER (PARTITION BY q.n ORDER BY t.d) AS rank
	FROM hqueries q, LATERAL (SELECT id, v <=> q.v AS d FROM hsearch ORDER BY v <=> q.v LIMIT 7) t
)
SELECT count(*), count(DISTINCT query), bool_and(one.distance = one.d), bool_and(one.id = other.id)
	FROM one LEFT JOIN other ON other.n = one.query AND other.rank = one.rank;
-- more than there are, wider, and none
SELECT count(*), max(rank), bool_and(distance >= 0) FROM hnsw_search('hsearch_v', ARRAY['[1,0,0,0,0,0]', '[0,1,0,0,0,0]']::vector[], 5000);
SELECT count(*), (SELECT width FROM hnsw_last_scan()) FROM hnsw_search('hsearch_v', ARRAY['[1,0,0,0,0,0]']::vector[], 10, 333);
SHOW hnsw.ef_search;
SELECT * FROM hnsw_search('hsearch_v', ARRAY[]::vector[], 10);
-- what is not accepted
SELECT outcome($$SELECT count(*) FROM hnsw_search('hsearch_v', NULL::vector[], 10)$$);
SELECT outcome($$SELECT count(*) FROM hnsw_search('hsearch_v', ARRAY[NULL]::vector[], 10)$$);
SELECT outcome($$SELECT count(*) FROM hnsw_search('hsearch_v', ARRAY[ARRAY['[1,0,0,0,0,0]']]::vector[], 10)$$);
SELECT outcome($$SELECT count(*) FROM hnsw_search('hsearch_v', ARRAY['[1,0,0]']::vector[], 10)$$);
SELECT outcome($$SELECT count(*) FROM hnsw_search('hsearch_v', ARRAY['[1,0,0,0,0,0]']::vector[], 0)$$);
SELECT outcome($$SELECT count(*) FROM hnsw_search('hsearch_v', ARRAY['[1,0,0,0,0,0]']::vector[], 10, 0)$$);
SELECT outcome($$SELECT count(*) FROM hnsw_search('hsearch', ARRAY['[1,0,0,0,0,0]']::vector[], 10)$$);
SHOW hnsw.ef_search;
-- an expression and a predicate
CREATE INDEX hsearch_half ON hsearch USING hnsw ((subvector(v, 1, 3)::vector(3)) vector_l2_ops) WHERE id < 100;
SELECT count(*), bool_and(h.id < 100), bool_and(abs(s.distance - (subvector(h.v, 1, 3) <-> '[1,0,0]')) < 1e-6)
	FROM hnsw_search('hsearch_half', ARRAY['[1,0,0]']::vector[], 2000) s JOIN hsearch h ON h.ctid = s.ctid;
-- with workers: the same rows in the same order, also those of this transaction
BEGIN;
INSERT INTO hsearch SELECT 5000 + i, random_vector(6) FROM generate_series(1, 50) AS i;
CREATE TABLE hmany AS SELECT array_agg(v ORDER BY n) AS a FROM (SELECT n, random_vector(6) AS v FROM generate_series(1, 100) AS n) q;
SET LOCAL max_parallel_workers_per_gather = 0;
CREATE TABLE hfound AS SELECT query, rank, s.ctid AS row, distance FROM hmany, hnsw_search('hsearch_v', a, 500) s;
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL jit = off;
SET LOCAL client_min_messages = debug1;
CREATE TABLE hfound2 AS SELECT row_number() OVER () AS n, query, rank, s.ctid AS row, distance FROM hmany, hnsw_search('hsearch_v', a, 500) s;
SET LOCAL client_min_messages = notice;
SELECT count(*), count(*) FILTER (WHERE id > 5000), (SELECT count(*) FROM (TABLE hfound EXCEPT SELECT query, rank, row, distance FROM hfound2) t) AS missing
	FROM hfound2 f JOIN hsearch h ON h.ctid = f.row;
SELECT count(*) AS out_of_order FROM hfound2 WHERE n <> (query - 1) * 500 + rank;
-- an error of a worker, or of the leader, is the statement's, and others go on
SAVEPOINT s;
SELECT outcome($$SELECT count(*) FROM hmany, hnsw_search('hsearch_v', a || array_fill('[1,2]'::vector, ARRAY[50]), 500)$$);
ROLLBACK TO s;
SELECT count(*) FROM hmany, hnsw_search('hsearch_v', a, 500);
ROLLBACK;
-- nor do workers evaluate an expression that must not be evaluated by them
CREATE FUNCTION unsafe(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE AS $$
BEGIN
	RETURN v;
EXCEPTION WHEN OTHERS THEN
	RETURN NULL;
END
$$;
CREATE INDEX hsearch_unsafe ON hsearch USING hnsw ((unsafe(v)::vector(6)) vector_cosine_ops);
SELECT count(*) FROM hnsw_search('hsearch_unsafe', array_fill('[1,2,3,4,5,6]'::vector, ARRAY[100]), 500);
DROP INDEX hsearch_unsafe;
DROP FUNCTION unsafe;
-- no worker sees a temporary table
CREATE TEMPORARY TABLE hsearch_temp AS SELECT id, v FROM hsearch;
CREATE INDEX hsearch_temp_v ON hsearch_temp USING hnsw (v vector_cosine_ops);
SELECT count(*) FROM hnsw_search('hsearch_temp_v', array_fill('[1,2,3,4,5,6]'::vector, ARRAY[100]), 500);
-- rights, and row security
CREATE ROLE regress_hnsw_search;
SET ROLE regress_hnsw_search;
SELECT outcome($$SELECT count(*) FROM hnsw_search('hsearch_v', ARRAY['[1,0,0,0,0,0]']::vector[], 10)$$);
RESET ROLE;
GRANT SELECT ON hsearch TO regress_hnsw_search;
SET ROLE regress_hnsw_search;
SELECT outcome($$SELECT count(*) FROM hnsw_search('hsearch_v', ARRAY['[1,0,0,0,0,0]']::vector[], 10)$$);
RESET ROLE;
ALTER TABLE hsearch ENABLE ROW LEVEL SECURITY;
SET ROLE regress_hnsw_search;
SELECT outcome($$SELECT count(*) FROM hnsw_search('hsearch_v', ARRAY['[1,0,0,0,0,0]']::vector[], 10)$$);
RESET ROLE;
-- workers go by what their leader has been let do, though they run an index's functions as the owner
CREATE FUNCTION safe(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS 'BEGIN RETURN v; END';
CREATE INDEX hsearch_safe ON hsearch USING hnsw ((safe(v)::vector(6)) vector_cosine_ops);
ALTER TABLE hsearch OWNER TO regress_hnsw_search;
ALTER TABLE hsearch FORCE ROW LEVEL SECURITY;
BEGIN;
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL jit = off;
SET LOCAL client_min_messages = debug1;
SELECT count(*) FROM hnsw_search('hsearch_safe', array_fill('[1,2,3,4,5,6]'::vector, ARRAY[100]), 500);
SET LOCAL ROLE regress_hnsw_search;
SELECT outcome($$SELECT count(*) FROM hnsw_search('hsearch_safe', array_fill('[1,2,3,4,5,6]'::vector, ARRAY[100]), 500)$$);
ROLLBACK;
DROP TABLE hsearch, hqueries;
DROP FUNCTION safe;
DROP ROLE regress_hnsw_search;
