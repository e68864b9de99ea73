-- Functions, operators and aggregates of halfvec: those of vector on the same numbers,
-- rounded where the result is a halfvec.
\pset format unaligned
\pset tuples_only on
SET extra_float_digits = 1;
-- arithmetic, and its errors
SELECT e, outcome('SELECT ' || e) FROM (VALUES
	($$'[1,2,3]'::halfvec + '[4,5,6]'$$), ($$'[1,2,3]'::halfvec - '[4,5,7]'$$), ($$'[1,2,3]'::halfvec * '[4,-5,6]'$$), ($$'[1,2]'::halfvec || '[3]'$$),
	($$'[1,2]'::halfvec + '[3]'$$), ($$'[1,2]'::halfvec - '[3]'$$), ($$'[1,2]'::halfvec * '[1,2,3]'$$),
	($$'[65504]'::halfvec + '[65504]'$$), ($$'[65504]'::halfvec + '[15]'$$), ($$'[65504]'::halfvec + '[16]'$$), ($$'[-65504]'::halfvec - '[32]'$$), ($$'[256]'::halfvec * '[256]'$$),
	($$'[1e-4]'::halfvec * '[1e-4]'$$), ($$'[1e-4]'::halfvec * '[1e-3]'$$), ($$'[1e-4,0]'::halfvec * '[0,1e-4]'$$), ($$'[2048]'::halfvec + '[1]'$$), ($$'[2050]'::halfvec + '[1]'$$),
	($$'[65504]'::halfvec - '[65504]'$$), ($$NULL::halfvec + '[1]'$$)) AS t (e);
SELECT n, outcome(format('SELECT vector_dims(array_fill(0, ARRAY[%s])::halfvec || array_fill(0, ARRAY[8000])::halfvec)', n)) FROM (VALUES (8000), (8001)) AS t (n);
-- distances, and others
SELECT e, outcome('SELECT ' || e) FROM (VALUES
	($$l2_distance('[0,0]'::halfvec, '[3,4]')$$), ($$'[1,2,3]'::halfvec <-> '[1,2,3]'$$), ($$'[65504]'::halfvec <-> '[-65504]'$$), ($$halfvec_l2_squared_distance('[0,0]', '[3,4]')$$),
	($$inner_product('[1,2]'::halfvec, '[3,4]')$$), ($$'[1,2]'::halfvec <#> '[3,4]'$$), ($$halfvec_negative_inner_product('[65504]', '[65504]')$$),
	($$cosine_distance('[1,2]'::halfvec, '[2,4]')$$), ($$'[1,2]'::halfvec <=> '[0,0]'$$), ($$'[1,1]'::halfvec <=> '[-1,-1]'$$), ($$'[6e-8]'::halfvec <=> '[6e-8]'$$), ($$'[65504,1]'::halfvec <=> '[65504,1]'$$),
	($$l1_distance('[0,0]'::halfvec, '[3,4]')$$), ($$'[0,0]'::halfvec <+> '[0,-1]'$$), ($$halfvec_spherical_distance('[1,0]', '[0,1]')$$), ($$halfvec_spherical_distance('[2,0]', '[-3,0]')$$),
	($$'[1,2]'::halfvec <-> '[3]'$$), ($$'[1,2]'::halfvec <#> '[3]'$$), ($$'[1,2]'::halfvec <=> '[3]'$$), ($$'[1,2]'::halfvec <+> '[3]'$$),
	($$halfvec_l2_squared_distance('[1,2]', '[3]')$$), ($$halfvec_spherical_distance('[1,2]', '[3]')$$), ($$inner_product('[1,2]'::halfvec, '[3]')$$),
	($$l2_norm('[3,4]'::halfvec)$$), ($$l2_norm('[0,0]'::halfvec)$$), ($$l2_norm('[65504]'::halfvec)$$), ($$vector_dims('[1,2,3]'::halfvec)$$),
	($$l2_normalize('[3,4]'::halfvec)$$), ($$l2_normalize('[0,0]'::halfvec)$$), ($$l2_normalize('[65504]'::halfvec)$$), ($$l2_normalize('[6e-8,0]'::halfvec)$$),
	($$subvector('[1,2,3,4,5]'::halfvec, 2, 3)$$), ($$subvector('[1,2,3,4,5]'::halfvec, -1, 3)$$), ($$subvector('[1,2,3,4,5]'::halfvec, 3, 2147483647)$$), ($$subvector('[1,2,3,4,5]'::halfvec, 6, 1)$$),
	($$binary_quantize('[1,0,-1,-0,6e-8]'::halfvec)$$), ($$length(binary_quantize(array_fill(1, ARRAY[16000])::halfvec))$$)) AS t (e);
-- the same as of vectors, to float rounding
CREATE TABLE pairs AS SELECT n, array_agg((sin(i * n) * 3)::real ORDER BY i)::halfvec AS a, array_agg((cos(i * 7 + n))::real ORDER BY i)::halfvec AS b
	FROM unnest(ARRAY[1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 384, 1536, 2001]) AS n, generate_series(1, n) AS i GROUP BY n;
SELECT n FROM (SELECT *, a::vector AS v, b::vector AS w FROM pairs) AS t
	WHERE abs((a <-> b) - (v <-> w)) > 1e-5 * (v <-> w) OR abs((a <#> b) - (v <#> w)) > 1e-5 * vector_norm(v) * vector_norm(w)
		OR abs((a <=> b) - (v <=> w)) > 1e-6 OR abs((a <+> b) - (v <+> w)) > 1e-5 * (v <+> w) OR l2_norm(a) <> vector_norm(v)
		OR halfvec_l2_squared_distance(a, b) <> halfvec_l2_squared_distance(b, a) OR (a <#> b) <> (b <#> a) OR (a <=> b) <> (b <=> a) OR (a <+> b) <> (b <+> a)
		OR (a <-> a) <> 0 OR (a <+> a) <> 0 OR (a <=> a) NOT BETWEEN 0 AND 1e-6 OR inner_product(a, b) <> -(a <#> b)
		OR a + b <> (v + w)::halfvec OR a - b <> (v - w)::halfvec OR (abs(1 - l2_norm(l2_normalize(a))) > 1e-3)
		OR a || b <> (v || w)::halfvec OR subvector(a, (n + 1) / 2, n) <> subvector(v, (n + 1) / 2, n)::halfvec OR binary_quantize(a) <> binary_quantize(v) OR vector_dims(a) <> n
	ORDER BY n;
DROP TABLE pairs;
-- comparison
SELECT a, b, a < b, a <= b, a = b, a <> b, a >= b, a > b, halfvec_cmp(a, b) FROM (VALUES
	('[1,2,3]'::halfvec, '[1,2,3]'::halfvec), ('[1,2,3]', '[1,2,4]'), ('[1,2,3]', '[1,2]'), ('[1,3]', '[1,2,9]'), ('[-1]', '[1]'), ('[0]', '[-0]'), ('[6e-8]', '[0]')) AS t (a, b);
CREATE TABLE sorted AS SELECT i, ARRAY[(i * 7919) % 13, (i * 104729) % 101, i % 5]::real[] || array_fill(0::real, ARRAY[i % 70]) AS a FROM generate_series(1, 3000) AS i;
SELECT count(*) FROM (SELECT row_number() OVER (ORDER BY a::halfvec, i) AS r1, row_number() OVER (ORDER BY a, i) AS r2 FROM sorted) AS t WHERE r1 <> r2;
DROP TABLE sorted;
CREATE TABLE keyed (h halfvec(2) PRIMARY KEY);
INSERT INTO keyed VALUES ('[1,2]'), ('[1,3]'), ('[0,0]');
SELECT outcome('INSERT INTO keyed VALUES (''[0,-0]'') RETURNING h');
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM keyed WHERE h >= '[1,2]' ORDER BY h;
SELECT * FROM keyed WHERE h >= '[1,2]' ORDER BY h;
RESET enable_seqscan;
RESET enable_bitmapscan;
DROP TABLE keyed;
SELECT amvalidate(c.oid), opcname, opcdefault FROM pg_opclass AS c JOIN pg_am AS a ON a.oid = c.opcmethod WHERE a.amname = 'btree' AND c.opcintype = 'halfvec'::regtype;
-- aggregates
SELECT avg(h), sum(h) FROM unnest(ARRAY['[1,2,3]'::halfvec, '[3,5,7]', NULL]) AS h;
SELECT avg(h) IS NULL, sum(h) IS NULL FROM unnest(ARRAY[]::halfvec[]) AS h;
SELECT avg(h) FROM unnest(ARRAY['[65504]'::halfvec, '[65504]', '[65504]']) AS h;
SELECT outcome($$SELECT sum(h) FROM unnest(ARRAY['[65504]'::halfvec, '[65504]']) AS h$$);
SELECT outcome($$SELECT avg(h) FROM unnest(ARRAY['[1,2]'::halfvec, '[3]']) AS h$$), outcome($$SELECT sum(h) FROM unnest(ARRAY['[1,2]'::halfvec, '[3]']) AS h$$);
CREATE TABLE agg_rows AS SELECT i, i % 7 AS g, ARRAY[i % 100, -(i % 37), 1]::halfvec AS h FROM generate_series(1, 10000) AS i;
SELECT g, avg(h) = avg(h::vector)::halfvec, sum(h) FROM agg_rows WHERE i < 2000 GROUP BY g ORDER BY g;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
ALTER TABLE agg_rows SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT avg(h), sum(h) FROM agg_rows WHERE i < 1000;
SELECT avg(h), vector_dims(sum(h)) FROM agg_rows WHERE i < 1000;
SELECT avg(h), sum(h) FROM agg_rows WHERE i < 0;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
DROP TABLE agg_rows;
-- transition functions called by hand
SELECT e, outcome('SELECT ' || e) FROM (VALUES
	($$halfvec_accum('{0}', '[1,2]')$$), ($$halfvec_accum('{1,10,20}', '[1,2]')$$), ($$halfvec_accum('{1,10}', '[1,2]')$$), ($$halfvec_accum('{}', '[1]')$$),
	($$halfvec_combine('{2,1,2}', '{3,10,20}')$$), ($$halfvec_combine('{2,1,2}', '{3,10}')$$), ($$halfvec_combine('{0}', '{0}')$$),
	($$halfvec_avg('{0}')$$), ($$halfvec_avg('{2,3,4}')$$), ($$halfvec_avg('{1}')$$), ($$halfvec_avg('{1,65520}')$$), ($$halfvec_avg('{1,65519.999}')$$), ($$halfvec_avg('{1,1e300}')$$), ($$halfvec_avg('{1,NaN}')$$)) AS t (e);
-- a call costs what its halves take, not floats
CREATE TABLE priced (h halfvec(2000), v vector(2000));
CREATE FUNCTION cost_of(e text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE format('EXPLAIN (FORMAT json) SELECT %s FROM priced', e) INTO plan;
	RETURN (plan #>> '{0,Plan,Total Cost}')::float8;
END
$$;
SELECT cost_of('h <-> h') < cost_of('v <-> v'), cost_of('h <-> h') > cost_of('1');
DROP FUNCTION cost_of;
DROP TABLE priced;
