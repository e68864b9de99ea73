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
SELECT * FROM hnsw_search('hsearch_v', '{}', 10);
-- what is not accepted
SELECT outcome($$SELECT count(*) FROM hnsw_search('hsearch_v', NULL, 10)$$);
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
DROP TABLE hsearch, hqueries;
DROP ROLE regress_hnsw_search;
