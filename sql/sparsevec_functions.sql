-- sparsevec: distances, norms, order; each compared with vector, of the same elements.
\pset format unaligned
\pset tuples_only on
SET extra_float_digits = 1;
SELECT e, outcome('SELECT ' || e) FROM (VALUES
	($$l2_distance('{}/2'::sparsevec, '{1:3,2:4}/2')$$), ($$'{1:1}/1'::sparsevec <-> '{1:1}/1'$$), ($$l2_distance('{1:3e38}/1'::sparsevec, '{1:-3e38}/1')$$), ($$sparsevec_l2_squared_distance('{1:3}/9', '{9:4}/9')$$),
	($$inner_product('{1:1,2:2}/2'::sparsevec, '{1:2,2:4}/2')$$), ($$inner_product('{1:1,3:2}/3'::sparsevec, '{2:5}/3')$$), ($$inner_product('{1:3e38}/1'::sparsevec, '{1:3e38}/1')$$), ($$'{1:1,2:2}/2'::sparsevec <#> '{1:3,2:4}/2'$$), ($$sparsevec_negative_inner_product('{1:3e38}/1', '{1:3e38}/1')$$),
	($$cosine_distance('{1:1,2:2}/2'::sparsevec, '{1:2,2:4}/2')$$), ($$'{1:1}/2'::sparsevec <=> '{2:1}/2'$$), ($$'{1:1}/2'::sparsevec <=> '{1:-2}/2'$$), ($$'{1:1}/2'::sparsevec <=> '{}/2'$$), ($$'{}/2'::sparsevec <=> '{}/2'$$), ($$'{1:3e38}/1'::sparsevec <=> '{1:3e38}/1'$$), ($$'{1:1e-30}/1'::sparsevec <=> '{1:1e-30}/1'$$),
	($$l1_distance('{1:3}/2'::sparsevec, '{2:-4}/2')$$), ($$'{1:1,2:2}/2'::sparsevec <+> '{1:1.5}/2'$$), ($$l1_distance('{1:3e38}/1'::sparsevec, '{1:-3e38}/1')$$),
	($$l2_distance('{1:1}/2'::sparsevec, '{1:1}/3')$$), ($$sparsevec_l2_squared_distance('{1:1}/2'::sparsevec, '{1:1}/3')$$), ($$inner_product('{}/2'::sparsevec, '{}/3')$$), ($$'{1:1}/2'::sparsevec <#> '{1:1}/3'$$), ($$'{1:1}/2'::sparsevec <=> '{1:1}/3'$$), ($$'{1:1}/2'::sparsevec <+> '{1:1}/3'$$),
	($$l2_norm('{1:3,2:4}/1000000000'::sparsevec)$$), ($$l2_norm('{}/3'::sparsevec)$$), ($$l2_norm('{1:3e37,2:4e37}/2'::sparsevec)::real$$),
	($$l2_normalize('{1:3,1000000000:4}/1000000000'::sparsevec)$$), ($$l2_normalize('{}/3'::sparsevec)$$), ($$l2_normalize('{1:3e38}/1'::sparsevec)$$), ($$l2_normalize('{1:1e-45}/1'::sparsevec)$$), ($$l2_normalize('{1:1e-45,2:3e38}/2'::sparsevec)$$),
	($$NULL::sparsevec <-> '{1:1}/2'$$)) AS t (e);
-- the same as of vectors
CREATE TABLE pairs AS SELECT n, p, array_agg(CASE WHEN sin(i * n * 1.7) < p THEN (sin(i * n) * 3)::real ELSE 0 END ORDER BY i)::vector AS v, array_agg(CASE WHEN cos(i * n * 2.3) < 0.2 THEN (cos(i * 7 + n))::real ELSE 0 END ORDER BY i)::vector AS w
	FROM unnest(ARRAY[1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 100, 384, 1000, 2001, 16000]) AS n, unnest(ARRAY[-2, -0.9, -0.3, 0.8, 2]) AS p, generate_series(1, n) AS i GROUP BY n, p;
SELECT count(*) FROM pairs;
SELECT n, p FROM (SELECT n, p, v, w, v::sparsevec AS s, w::sparsevec AS t FROM pairs) AS u
	WHERE abs((s <-> t) - (v <-> w)) > 1e-5 * (v <-> w) OR abs(sparsevec_l2_squared_distance(s, t) - (v <-> w) ^ 2) > 1e-5 * (v <-> w) ^ 2
		OR abs((s <#> t) - (v <#> w)) > 1e-5 * vector_norm(v) * vector_norm(w) OR inner_product(s, t) <> -(s <#> t)
		OR abs((s <+> t) - (v <+> w)) > 1e-5 * (v <+> w)
		OR ((s <=> t) = 'NaN') <> ((v <=> w) = 'NaN') OR ((s <=> t) <> 'NaN' AND abs((s <=> t) - (v <=> w)) > 1e-5)
		OR abs(l2_norm(s) - vector_norm(v)) > 1e-12 * vector_norm(v) OR (l2_normalize(s)::vector <-> l2_normalize(v)) > 1e-6
		OR (s <-> t) <> (t <-> s) OR (s <#> t) <> (t <#> s) OR (s <=> t) <> (t <=> s) OR (s <+> t) <> (t <+> s) OR (s <-> s) <> 0 OR (s <+> s) <> 0 OR ((s <=> s) > 1e-12 AND l2_norm(s) > 0)
	ORDER BY n, p;
DROP TABLE pairs;
-- order: that of vectors of all elements
SELECT a, b, a < b, a <= b, a = b, a <> b, a >= b, a > b, sparsevec_cmp(a, b) FROM (VALUES
	('{1:1}/3'::sparsevec, '{1:1}/3'::sparsevec), ('{1:1}/3', '{1:2}/3'), ('{1:1}/3', '{1:1}/4'), ('{}/3', '{}/4'), ('{1:-1}/3', '{}/2'), ('{3:-1}/3', '{}/1'), ('{2:1}/3', '{1:1}/3')) AS t (a, b);
CREATE TABLE ordered AS SELECT row_number() OVER () AS i, v, v::sparsevec AS s FROM
	(SELECT array_remove(ARRAY[a, b, c, nullif(d, 3)], NULL)::vector AS v FROM generate_series(-1, 1) AS a, generate_series(-1, 1) AS b, generate_series(-1, 1) AS c, generate_series(-1, 3) AS d) AS t;
SELECT count(*) FROM ordered AS a, ordered AS b WHERE sparsevec_cmp(a.s, b.s) <> vector_cmp(a.v, b.v) OR (a.s < b.s) <> (a.v < b.v) OR (a.s <= b.s) <> (a.v <= b.v) OR (a.s = b.s) <> (a.v = b.v)
	OR (a.s <> b.s) <> (a.v <> b.v) OR (a.s >= b.s) <> (a.v >= b.v) OR (a.s > b.s) <> (a.v > b.v);
SELECT count(*) FROM (SELECT row_number() OVER (ORDER BY v, i) AS r1, row_number() OVER (ORDER BY s, i) AS r2 FROM ordered) AS t WHERE r1 <> r2;
SELECT count(*), count(DISTINCT s) FROM ordered;
CREATE INDEX ordered_s ON ordered (s);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT v FROM ordered WHERE s = '{3:1}/3';
SELECT v FROM ordered WHERE s = '{3:1}/3';
SELECT v FROM ordered WHERE s > '{1:1,2:1,3:1}/3' ORDER BY s;
RESET enable_seqscan;
RESET enable_bitmapscan;
DROP TABLE ordered;
CREATE TABLE keyed (s sparsevec(2) PRIMARY KEY);
INSERT INTO keyed VALUES ('{1:1}/2'), ('{}/2');
SELECT outcome('INSERT INTO keyed VALUES (''[0,-0]''::vector) RETURNING s');
DROP TABLE keyed;
SELECT amvalidate(c.oid), opcname, opcdefault FROM pg_opclass AS c JOIN pg_am AS a ON a.oid = c.opcmethod WHERE a.amname = 'btree' AND c.opcintype = 'sparsevec'::regtype;
-- values out of line are priced as such
CREATE TABLE large AS SELECT (SELECT ('{' || string_agg(j || ':1', ',') || '}/100000') FROM generate_series(1, 1000) AS j)::sparsevec AS s FROM generate_series(1, 100);
ANALYZE large;
CREATE TABLE small AS SELECT '{1:1,2:1}/100000'::sparsevec AS s FROM generate_series(1, 100);
ANALYZE small;
CREATE FUNCTION plan_cost(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN plan -> 0 -> 'Plan' ->> 'Total Cost';
END $$;
SELECT plan_cost('SELECT s <-> s FROM large') > 10 * plan_cost('SELECT s <-> s FROM small');
DROP FUNCTION plan_cost;
DROP TABLE large, small;
