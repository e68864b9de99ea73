-- hnsw_recall: what part of the nearest rows an index finds
SELECT setseed(0.5);
CREATE TABLE hmeasure (id int, kind int, v vector(16), b bit(64));
INSERT INTO hmeasure SELECT i, i % 3, random_vector(16), (random() * 9e18)::bigint::bit(64) FROM generate_series(1, 3000) AS i;
INSERT INTO hmeasure VALUES (0, 0, NULL, NULL);
CREATE INDEX hmeasure_l2 ON hmeasure USING hnsw (v vector_l2_ops);
-- few neighbours, so that something is missed
CREATE INDEX hmeasure_ip ON hmeasure USING hnsw (v vector_ip_ops) WITH (m = 2, ef_construction = 4);
CREATE INDEX hmeasure_cosine ON hmeasure USING hnsw (v vector_cosine_ops) WHERE kind = 1;
CREATE INDEX hmeasure_l1 ON hmeasure USING hnsw (v vector_l1_ops);
CREATE INDEX hmeasure_half ON hmeasure USING hnsw ((v::halfvec(16)) halfvec_l2_ops);
CREATE INDEX hmeasure_sparse ON hmeasure USING hnsw ((v::sparsevec(16)) sparsevec_cosine_ops);
CREATE INDEX hmeasure_hamming ON hmeasure USING hnsw (b bit_hamming_ops);
CREATE INDEX hmeasure_jaccard ON hmeasure USING hnsw (b bit_jaccard_ops);
-- rows that are updated on their page, and deleted ones
UPDATE hmeasure SET kind = kind WHERE id % 50 = 0;
DELETE FROM hmeasure WHERE id % 7 = 0;
-- every type and metric, a predicate, an expression: with much effort all is found, whatever the planner may use
SET enable_indexscan = off;
SET hnsw.ef_search = 1000;
SELECT c.relname, r.recall > 0.99 AS found, r.lower < r.recall AND r.lower > 0.9 AS lower, r.upper >= r.recall AND r.upper <= 1 AS upper, r.k, r.sample
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid, hnsw_recall(i.indexrelid, 60) r
	WHERE i.indrelid = 'hmeasure'::regclass ORDER BY 1;
RESET enable_indexscan;
-- the session's settings are what is measured, by rows and by queries
SET hnsw.ef_search = 10;
SET hnsw.iterative_scan = off;
SELECT recall < 0.98 AS misses, recall BETWEEN lower AND upper AS within, upper - lower < 0.2 AS narrow, sample FROM hnsw_recall('hmeasure_ip', 300, 5);
CREATE TABLE hmeasure_queries AS SELECT n, random_vector(16) AS v FROM generate_series(1, 200) AS n;
SELECT array_agg(v ORDER BY n) AS queries FROM hmeasure_queries \gset
SELECT recall AS little FROM hnsw_recall('hmeasure_ip', :'queries'::vector[]) \gset
SET hnsw.ef_search = 400;
SELECT recall > :little AS more, sample FROM hnsw_recall('hmeasure_ip', :'queries'::vector[]);
-- the same as asking oneself
WITH found AS (
	SELECT query, max(distance) FILTER (WHERE rank = 10) AS farthest, array_agg(distance) AS distances
	FROM hnsw_search('hmeasure_ip', :'queries'::vector[], 10) GROUP BY query
), exact AS (
	SELECT q.n, (SELECT array_agg(d ORDER BY d) FROM (SELECT v <#> q.v AS d FROM hmeasure WHERE v IS NOT NULL ORDER BY (v <#> q.v) + 0 LIMIT 10) t) AS distances
	FROM hmeasure_queries q
)
SELECT abs(avg((SELECT count(*) FROM unnest(f.distances) d WHERE d <= e.distances[10]) / 10.0)
		- (SELECT recall FROM hnsw_recall('hmeasure_ip', :'queries'::vector[], 10))) < 1e-9 AS same
	FROM found f JOIN exact e ON e.n = f.query;
RESET hnsw.ef_search;
RESET hnsw.iterative_scan;
-- to measure is no use of an index
SELECT scans, searches, visited FROM pg_stat_vectorx_indexes WHERE indexrelname = 'hmeasure_l2';
-- fewer rows than k; equal ones; those without a distance are no queries
CREATE TABLE hfew (v vector(2));
CREATE INDEX hfew_v ON hfew USING hnsw (v vector_cosine_ops);
SELECT * FROM hnsw_recall('hfew_v');
INSERT INTO hfew VALUES ('[1,2]');
SELECT * FROM hnsw_recall('hfew_v');
INSERT INTO hfew VALUES ('[0,0]'), (NULL), ('[1,2]'), ('[2,4]'), ('[3,1]');
SELECT recall, round(lower::numeric, 4) AS lower, upper, k, sample FROM hnsw_recall('hfew_v');
SELECT recall, round(lower::numeric, 4) AS lower, upper, k, sample FROM hnsw_recall('hfew_v', ARRAY['[0,0]', '[1,1]']::vector[], 1000);
SELECT * FROM hnsw_recall('hfew_v', ARRAY[]::vector[]);
SELECT * FROM hnsw_recall(NULL);
-- one query in 200 that misses all may be one that was not drawn: the bounds say so
SET hnsw.ef_search = 3000;
SELECT sample, recall, round(lower::numeric, 2) AS lower, upper FROM hnsw_recall('hmeasure_l2', 200, 1);
RESET hnsw.ef_search;
-- what is not accepted
SELECT outcome($$SELECT * FROM hnsw_recall('hmeasure_l2', 0)$$);
SELECT outcome($$SELECT * FROM hnsw_recall('hmeasure_l2', 10001)$$);
SELECT outcome($$SELECT * FROM hnsw_recall('hmeasure_l2', 10, 0)$$);
SELECT outcome($$SELECT * FROM hnsw_recall('hmeasure_l2', 10, 1001)$$);
SELECT outcome($$SELECT * FROM hnsw_recall('hmeasure_l2', ARRAY['[1,2]']::vector[])$$);
SELECT outcome($$SELECT * FROM hnsw_recall('hmeasure_l2', ARRAY['[1,2]']::halfvec[])$$);
SELECT outcome($$SELECT * FROM hnsw_recall('hmeasure_l2', ARRAY[NULL]::vector[])$$);
SELECT outcome($$SELECT * FROM hnsw_recall('hmeasure')$$);
-- it needs the right to read the table, and no policy
CREATE ROLE regress_hmeasure;
SET ROLE regress_hmeasure;
SELECT outcome($$SELECT * FROM hnsw_recall('hmeasure_l2')$$);
RESET ROLE;
GRANT SELECT ON hmeasure TO regress_hmeasure;
SET ROLE regress_hmeasure;
SELECT recall IS NOT NULL AS told, sample FROM hnsw_recall('hmeasure_l2', 10);
RESET ROLE;
ALTER TABLE hmeasure ENABLE ROW LEVEL SECURITY;
SET ROLE regress_hmeasure;
SELECT outcome($$SELECT * FROM hnsw_recall('hmeasure_l2')$$);
RESET ROLE;
-- functions in an index are its owner's, and run as he, whoever measures or searches
CREATE FUNCTION hmeasure_who(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RAISE NOTICE 'called by %', current_user;
	RETURN v;
END
$$;
CREATE TABLE hwho (v vector(2));
INSERT INTO hwho VALUES ('[1,2]');
ALTER TABLE hwho OWNER TO regress_hmeasure;
SET client_min_messages = warning;
CREATE INDEX hwho_v ON hwho USING hnsw ((hmeasure_who(v)::vector(2)) vector_l2_ops);
RESET client_min_messages;
SELECT sample FROM hnsw_recall('hwho_v', ARRAY['[1,2]']::vector[]);
SELECT distance FROM hnsw_search('hwho_v', ARRAY['[1,2]']::vector[], 1);
SELECT current_user = session_user AS oneself_again;
DROP TABLE hmeasure, hmeasure_queries, hfew, hwho;
DROP FUNCTION hmeasure_who;
DROP ROLE regress_hmeasure;
